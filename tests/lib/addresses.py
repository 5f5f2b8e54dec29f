"""What Python's email package makes of address headers: the lines of
addresses.c in, and out "id TAB DEFECTS" and for every mailbox "TAB local TAB
domain TAB name".  DEFECTS are the names of those it saw, with commas, or of the
exception that it raised; a domain that is not there is "-"."""
import re
import sys
from email import policy


def unescape(text):
    raw = re.sub(rb'\\x([0-9a-f]{2})', lambda m: bytes([int(m.group(1), 16)]), text)
    return raw.decode('utf-8', 'surrogateescape')


def escape(text):
    raw = text.encode('utf-8', 'surrogateescape')
    return re.sub(rb'[\x00-\x1f\x7f\\]', lambda m: b'\\x%02x' % m.group(0)[0], raw)


def read(body):
    try:
        header = policy.default.header_factory('To', body)
        found = [x for a in header.addresses for x in
                 (a.username or '', a.domain or '-', a.display_name or '')]
    except Exception as e:
        return [type(e).__name__]
    return [','.join(sorted({type(d).__name__ for d in header.defects}))] + found


for line in sys.stdin.buffer:
    ident, body = line.rstrip(b'\n').split(b'\t', 1)
    # Unfolded, as the email package does before it parses (RFC 5322 section 2.2.3).
    body = re.sub(r'\r?\n(?=[ \t])', '', unescape(body))
    sys.stdout.buffer.write(b'\t'.join([ident] + [escape(x) for x in read(body)]) + b'\n')
