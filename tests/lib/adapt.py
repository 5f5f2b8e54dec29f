"""What Python's email package sees in messages: for each file named on stdin a line
"NAME TAB DUMP", where DUMP is all that a reader sees: types, decoded text, names of
files, decoded fields.  Files are messages as they lie in the queue, or as they went
over the wire with LF for line ends and without doubled dots.  What an encoding may
change is made alike: space in fields, quotes around names, how a domain is written."""
import email
import email.header
import email.message
import email.policy
import email.utils
import re
import sys

SEEN = ('subject', 'from', 'to', 'cc', 'comments', 'x-note')


def text_of(raw):
    """A raw field body: UTF-8, or octets of which nobody knows what they are."""
    octets = raw.encode('utf-8', 'surrogateescape')
    try:
        return octets.decode('utf-8')
    except UnicodeDecodeError:
        return octets.decode('latin-1')


def decoded(body):
    """Its words; one that is no UTF-8 does not change what the others are."""
    out = ''
    for text, charset in email.header.decode_header(body):
        if isinstance(text, str):
            out += text
        elif charset is None:
            out += text.decode('raw-unicode-escape')
        else:
            out += text.decode('latin-1' if charset == 'unknown-8bit' else charset)
    return ' '.join(out.split())


def field(name, raw):
    body = re.sub(r'\n', '', raw)
    if not all(ord(c) < 128 for c in body):
        # Word by word, as each may be of another character set.
        body = ''.join(text_of(w) for w in re.split(r'(\s+)', body))
    if name in ('from', 'to', 'cc'):
        body = re.sub(r'[" \\]', '', decoded(body))
        return re.sub(r'(?<=@)xn--[^>, ]*', lambda m: m.group(0).encode().decode('idna'), body)
    return decoded(body)


def parameter(part, header, name):
    for key, raw in part.raw_items():
        if key.lower() == header:
            one = email.message.Message()
            one[header] = text_of(re.sub(r'\n', '', raw))
            value = one.get_param(name, None, header)
            if isinstance(value, tuple) and value[0] == 'unknown-8bit':
                return value[2]
            return email.utils.collapse_rfc2231_value(value) if value is not None else None
    return None


def dump(part, out):
    out.append(part.get_content_type())
    out.extend('%s=%s' % (k.lower(), field(k.lower(), v)) for k, v in part.raw_items() if k.lower() in SEEN)
    out.append('name=%s' % parameter(part, 'content-type', 'name'))
    out.append('filename=%s' % parameter(part, 'content-disposition', 'filename'))
    if part.is_multipart():
        out.append('(')
        for inner in part.get_payload():
            dump(inner, out)
        out.append(')')
        return
    text = part.get_payload(decode=True) or b''
    text = re.sub(rb'\r\n', b'\n', text).replace(b'\r', b' ').replace(b'\0', b' ')
    # The end of a last line belongs to the delimiter, or to the end of the message.
    out.append(text[:-1] if text.endswith(b'\n') else text)


for line in sys.stdin.buffer:
    path = line.rstrip(b'\n')
    with open(path, 'rb') as f:
        message = email.message_from_bytes(f.read(), policy=email.policy.compat32)
    out = []
    dump(message, out)
    sys.stdout.buffer.write(path + b'\t' + ascii(out).encode() + b'\n')
