# An independent strict reader (Wire.pm) of what really went over the wire: first
# that it finds each rule broken in a recording that breaks it, then that it finds
# nothing in what the courier says to servers of every kind.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Wire;

time_limit(300);

# -- recordings: "C WORDS" and "S WORDS" are lines, "c" and "s" octets as they are,
#    "T" is the handshake; what stands in one string is said at once.

sub recording
{
	my $text = '';

	for (@_) {
		my ($who, $words) = /\A(end|lost|close|[CScsT]) ?(.*)\z/s or die "not a turn: $_";
		my $octets = $who =~ /\A[CS]\z/ ? join('', map { "$_\r\n" } split /\|/, $words, -1) : $words;

		$text .= $who eq 'T' ? "tls\n" : $who =~ /\A[CScs]\z/ ?
		    (lc $who eq 'c' ? '>' : '<') . ' ' . length($octets) . "\n$octets\n" : "$who\n";
	}
	return $text;
}

my @greeting = ('S 220 far-end.example.net at your service');
my @hello = (@greeting, 'C EHLO client.example.net');
my $all = 'S 250-far-end|250-PIPELINING|250-SIZE 100000|250-8BITMIME|250-SMTPUTF8|250-DSN|250-CHUNKING|250-ENHANCEDSTATUSCODES|250 AUTH PLAIN LOGIN';
my $few = 'S 250-far-end|250 SIZE';
my @plain = (@hello, $few);
my @rich = (@hello, $all);
my @bye = ('C QUIT', 'S 221 bye', 'end');
my ($mail, $rcpt) = ('MAIL FROM:<a@example.net>', 'RCPT TO:<b@example.org>');
my @open = ("C $mail", 'S 250 ok', "C $rcpt", 'S 250 ok');
my @data = (@open, 'C DATA', 'S 354 go');
my @sent = (@data, 'C Subject: x||text|.', 'S 250 taken');
my $x = 'x' x 998;

# -- what is right

my @right = (
	[ 'one command at a time', @plain, @sent, @bye ],
	[ 'a group', @rich, "C $mail|$rcpt|DATA", 'S 250 ok|250 ok|354 go', 'C Subject: x||text|.', 'S 250 taken', @bye ],
	[ 'text first: one turn a message', @rich, "C $mail|$rcpt|DATA", 'S 250 ok|250 ok|354 go',
	    "C Subject: x||text|.|$mail|$rcpt|DATA", 'S 250 taken|250 ok|250 ok|354 go', 'C Subject: y|||.', 'S 250 taken', @bye ],
	[ 'chunks', @rich, "C $mail|$rcpt", 'S 250 ok|250 ok', "c BDAT 5\r\nA: b\r", 'S 250 ok', "c BDAT 3 LAST\r\n\n\r\n", 'S 250 ok', @bye ],
	[ 'MAIL, RCPT and the last chunk as a group', @rich, "c $mail\r\n$rcpt\r\nBDAT 8 LAST\r\nA: b\r\n\r\n", 'S 250 ok|250 ok|250 ok', @bye ],
	[ 'all recipients refused, and RSET', @plain, "C $mail", 'S 250 ok', "C $rcpt", 'S 550 no', 'C RSET', 'S 250 ok', @sent, @bye ],
	[ 'all refused in a group: a lone dot', @rich, "C $mail|$rcpt|DATA", 'S 250 ok|550 no|354 go', 'C .', 'S 554 nobody', @bye ],
	[ 'MAIL refused, MAIL again', @plain, "C $mail", 'S 451 later', @sent, @bye ],
	[ 'lines of 998 octets and a dot more', @plain, @data, "C A: b||$x|." . substr($x, 1) =~ s/\A/./r . '|.', 'S 250 ok', @bye ],
	[ 'TLS and a login in two steps', @hello, 'S 250-far-end|250 STARTTLS', 'C STARTTLS', 'S 220 go', 'T', 'C EHLO client.example.net', $all,
	    'C AUTH PLAIN', 'S 334 ', 'C AHUAcA==', 'S 235 welcome', @sent, @bye ],
	[ 'HELO where EHLO is not known', @hello, 'S 502 what?', 'C HELO client.example.net', 'S 250 hi', @sent, @bye ],
	[ 'SIZE, BODY and DSN as offered', @rich, 'C MAIL FROM:<> SIZE=33 BODY=8BITMIME RET=HDRS ENVID=a+2Bb', 'S 250 ok',
	    'C RCPT TO:<"a b"@[192.0.2.1]> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@example.org', 'S 250 ok', 'C DATA', 'S 354 go',
	    "C MIME-Version: 1.0|A: b||Gr\xc3\xbc|.", 'S 250 ok', @bye ],
	[ 'addresses beyond ASCII by SMTPUTF8', @rich, "C MAIL FROM:<j\xc3\xb6rg\@example.net> SMTPUTF8", 'S 250 ok', "C RCPT TO:<\xc3\xa9\@ex\xc3\xa4mple.org>",
	    'S 250 ok', 'C DATA', 'S 354 go', 'C A: b|||.', 'S 250 ok', @bye ],
	[ 'a hang-up after 421', @plain, "C $mail", 'S 421 going down', 'end' ],
	[ 'a hang-up after a reply that is none', @plain, "C $mail", 'S hello', 'end' ],
	[ 'a hang-up after a reply too many', @plain, "C $mail", 'S 250 ok|250 ok', 'end' ],
	[ 'a hang-up where the server has gone', @plain, "C $mail", 'close', 'end' ],
);

for (@right) {
	my ($name, @turns) = @$_;

	is(join('; ', wire_faults(recording(@turns), clear => 1)), '', "right: $name");
}

# -- and what is not: the rules that are broken, once each

my $tokens = 'A' x 600;
my @wrong = (
	[ 'S-01', 'words before the greeting', 'C EHLO client.example.net', 'S 220 hi', $few, @bye ],
	[ 'S-03', 'MAIL before EHLO', @greeting, @sent, @bye ],
	[ 'S-03', 'a word that is no command', @plain, 'C Subject: x', 'S 500 what?', @bye ],
	[ 'S-04', 'HELO first', @greeting, 'C HELO client.example.net', 'S 250 hi', @bye ],
	[ 'S-04', 'HELO inside TLS', @hello, 'S 250-far-end|250 STARTTLS', 'C STARTTLS', 'S 220 go', 'T', 'C EHLO client.example.net', 'S 502 what?',
	    'C HELO client.example.net', 'S 250 hi', @bye ],
	[ 'S-05', 'an underscore in EHLO', @greeting, 'C EHLO my_host', $few, @bye ],
	[ 'S-05', 'something behind the name', @greeting, 'C EHLO client.example.net hi', $few, @bye ],
	[ 'S-05', 'a literal without brackets has no end', @greeting, 'C EHLO [127.0.0.1', $few, @bye ],
	[ 'S-08', 'a space after the colon', @plain, 'C MAIL FROM: <a@example.net>', 'S 250 ok', "C $rcpt", 'S 250 ok', 'C DATA', 'S 354 go', 'C A: b|||.', 'S 250 ok', @bye ],
	[ 'S-08', 'no brackets', @plain, "C $mail", 'S 250 ok', 'C RCPT TO:b@example.org', 'S 250 ok', 'C DATA', 'S 354 go', 'C A: b|||.', 'S 250 ok', @bye ],
	[ 'S-08', 'a parameter twice', @rich, 'C MAIL FROM:<> SIZE=1 SIZE=1', 'S 452 full', @bye ],
	[ 'S-08', 'a SIZE that is no number', @rich, 'C MAIL FROM:<> SIZE=big', 'S 452 full', @bye ],
	[ 'S-08', 'NEVER with another', @rich, "C $mail", 'S 250 ok', 'C RCPT TO:<b@example.org> NOTIFY=NEVER,DELAY', 'S 550 no', 'C RSET', 'S 250 ok', @bye ],
	[ 'S-08', 'an ENVID that is not xtext', @rich, 'C MAIL FROM:<> ENVID=a+b', 'S 452 full', @bye ],
	[ 'S-09', 'DATA with something behind it', @plain, @open, 'C DATA now', 'S 354 go', 'C A: b|||.', 'S 250 ok', @bye ],
	[ 'S-09', 'QUIT with something behind it', @plain, 'C QUIT now', 'S 221 bye', 'end' ],
	[ 'S-10', 'SIZE, not offered', @hello, 'S 250 far-end', 'C MAIL FROM:<> SIZE=1', 'S 452 full', @bye ],
	[ 'S-10', 'what was offered before TLS', @hello, 'S 250-far-end|250-STARTTLS|250 DSN', 'C STARTTLS', 'S 220 go', 'T',
	    'C EHLO client.example.net', $few, 'C MAIL FROM:<> RET=HDRS', 'S 452 full', @bye ],
	[ 'S-10', '8BITMIME, not offered', @plain, 'C MAIL FROM:<> BODY=8BITMIME', 'S 452 full', @bye ],
	[ 'S-10', 'a parameter that nobody knows', @rich, 'C MAIL FROM:<> PRETTY=PLEASE', 'S 452 full', @bye ],
	[ 'S-11', 'a group that was not asked for', @plain, "C $mail|$rcpt", 'S 250 ok|250 ok', 'C DATA', 'S 354 go', 'C A: b|||.', 'S 250 ok', @bye ],
	[ 'S-11 S-28', 'half a command', @plain, 'c NOO', 'end' ],
	[ 'S-19', 'a transaction after 421', @plain, 'C NOOP', 'S 421 going down', "C $mail", 'close' ],
	[ 'S-23', 'text without 354', @plain, @open, 'C DATA', 'S 250 ok', 'C A: b|||.' ],
	[ 'S-24', 'DATA for nobody', @plain, "C $mail", 'S 250 ok', "C $rcpt", 'S 550 no', 'C DATA', 'S 554 no', 'C RSET', 'S 250 ok', @bye ],
	[ 'S-27', 'MAIL in a transaction', @plain, "C $mail", 'S 250 ok', "C $rcpt", 'S 550 no', "C $mail", 'S 503 no', @bye ],
	[ 'S-27', 'RCPT after the text', @plain, @sent, "C $rcpt", 'S 503 no', @bye ],
	[ 'S-27', 'DATA without MAIL', @plain, 'C DATA', 'S 503 no', @bye ],
	[ 'S-28', 'no QUIT', @plain, @sent, 'end' ],
	[ 'S-28', 'no wait for its answer', @plain, 'C QUIT', 'end' ],
	[ 'S-28', 'words after QUIT', @plain, 'C QUIT', 'S 221 bye', 'C NOOP', 'end' ],
	[ 'L-01', 'a bare LF at a command\'s end', @plain, "c NOOP\n", 'S 250 ok', @bye ],
	[ 'L-01', 'a bare CR in a command', @plain, "C NOOP a\rx", 'S 250 ok', @bye ],
	[ 'L-01', 'a bare LF in the text', @plain, @data, "c A: b\r\n\r\none\ntwo\r\n.\r\n", 'S 250 ok', @bye ],
	[ 'L-01', 'a bare CR in the text', @plain, @data, "c A: b\r\n\r\none\rtwo\r\n.\r\n", 'S 250 ok', @bye ],
	[ 'L-01', 'a bare LF in a chunk', @rich, @open, "c BDAT 9 LAST\r\nA: b\r\n\r\n\n", 'S 250 ok', @bye ],
	[ 'L-02', 'a dot that was not doubled', @plain, @data, 'C A: b||.hidden|.', 'S 250 ok', @bye ],
	[ 'L-03', 'no last line end', @rich, @open, "c BDAT 9 LAST\r\nA: b\r\n\r\nx", 'S 250 ok', @bye ],
	[ 'L-04', 'a line of 999 octets', @plain, @data, "C A: b||x$x|.", 'S 250 ok', @bye ],
	[ 'L-05', 'a command line of 520 octets', @plain, 'C NOOP ' . 'x' x 511, 'S 250 ok', @bye ],
	[ 'L-11 S-08', 'a control octet in an address', @rich, "C MAIL FROM:<\"a\x07\"\@example.net>", 'S 553 no', @bye ],
	[ 'L-11', 'a NUL in the text', @plain, @data, "c A: b\r\n\r\n\0\r\n.\r\n", 'S 250 ok', @bye ],
	[ 'L-16', 'a sender without a domain', @plain, 'C MAIL FROM:<root>', 'S 553 no', @bye ],
	[ 'L-16', 'an address with a space', @plain, "C $mail", 'S 250 ok', 'C RCPT TO:<a b@example.org>', 'S 553 no', 'C RSET', 'S 250 ok', @bye ],
	[ 'L-25', 'octets over 127 without MIME', @rich, 'C MAIL FROM:<> BODY=8BITMIME', 'S 250 ok', "C $rcpt", 'S 250 ok', 'C DATA', 'S 354 go', "C A: b||\xc3\xbc|.", 'S 250 ok', @bye ],
	[ 'X-07', 'STARTTLS, not offered', @plain, 'C STARTTLS', 'S 454 no', @bye ],
	[ 'X-09', 'a login before EHLO in TLS', @hello, 'S 250-far-end|250-AUTH PLAIN|250 STARTTLS', 'C STARTTLS', 'S 220 go', 'T', 'C NOOP', 'S 250 ok', @bye ],
	[ 'X-10', 'STARTTLS in TLS', @hello, 'S 250-far-end|250 STARTTLS', 'C STARTTLS', 'S 220 go', 'T', 'C EHLO client.example.net',
	    'S 250-far-end|250 STARTTLS', 'C STARTTLS', 'S 503 no', @bye ],
	[ 'A-01', 'an initial response that is too long', @rich, "C AUTH PLAIN $tokens", 'S 500 no', @bye ],
	[ 'A-01', 'one that is not base64', @rich, 'C AUTH PLAIN AHUAcA=', 'S 501 no', @bye ],
	[ 'A-03', 'a response that is not base64', @rich, 'C AUTH PLAIN', 'S 334 ', 'C me', 'S 501 no', @bye ],
	[ 'A-06', 'a response without measure', @rich, 'C AUTH PLAIN', 'S 334 ', 'C ' . 'AAAA' x 3073, 'S 500 no', @bye ],
	[ 'A-07', 'AUTH after a login', @rich, 'C AUTH PLAIN AHUAcA==', 'S 235 ok', 'C AUTH PLAIN AHUAcA==', 'S 503 no', @bye ],
	[ 'A-07', 'AUTH in a transaction', @rich, "C $mail", 'S 250 ok', 'C AUTH PLAIN AHUAcA==', 'S 503 no', @bye ],
	[ 'A-10', 'another try after 535', @rich, 'C AUTH PLAIN AHUAcA==', 'S 535 no', 'C AUTH LOGIN', 'S 334 ', 'C *', 'S 501 ok', @bye ],
	[ 'A-11', 'mail after a refused login', @rich, 'C AUTH PLAIN AHUAcA==', 'S 535 no', @sent, @bye ],
	[ 'A-13', 'AUTH= on MAIL', @rich, 'C MAIL FROM:<> AUTH=<>', 'S 452 full', @bye ],
	[ 'A-25', 'a mechanism that was not offered', @rich, 'C AUTH DIGEST-MD5', 'S 504 no', @bye ],
	[ 'A-09', 'a login in clear', { clear => 0 }, @rich, 'C AUTH PLAIN AHUAcA==', 'S 235 ok', @bye ],
	[ 'E-01', 'a SIZE that is not the text\'s', @rich, 'C MAIL FROM:<> SIZE=7', 'S 250 ok', "C $rcpt", 'S 250 ok', 'C DATA', 'S 354 go', 'C A: b|||.', 'S 250 ok', @bye ],
	[ 'E-04', 'something behind DATA', @rich, "C $mail|$rcpt|DATA|A: b|||.", 'S 250 ok|250 ok|354 go', 'S 250 ok', @bye ],
	[ 'E-04', 'something behind EHLO in TLS', @rich, "C EHLO client.example.net|$mail", $all, 'S 250 ok', @bye ],
	[ 'E-07', 'a text for nobody', @rich, "C $mail|$rcpt|DATA", 'S 250 ok|550 no|354 go', 'C A: b|||.', 'S 554 nobody', @bye ],
	[ 'E-09', 'a group with EHLO, before anything was offered', @greeting, "C EHLO client.example.net|$mail", $few, 'S 250 ok', 'C RSET', 'S 250 ok', @bye ],
	[ 'E-10', 'chunks that were not offered', @plain, @open, "c BDAT 8 LAST\r\nA: b\r\n\r\n", 'S 250 ok', @bye ],
	[ 'E-10', 'a chunk of no length', @rich, @open, "c BDAT LAST\r\nA: b\r\n\r\n", 'S 500 what?' ],
	[ 'E-11', 'another chunk after a refusal', @rich, @open, "c BDAT 5\r\nA: b\r", 'S 452 full', "c BDAT 3 LAST\r\n\n\r\n", 'S 503 no', @bye ],
	[ 'E-12', 'DATA among chunks', @rich, @open, "c BDAT 5\r\nA: b\r", 'S 250 ok', 'C DATA', 'S 503 no', 'C RSET', 'S 250 ok', @bye ],
	[ 'E-12 S-27', 'MAIL among chunks', @rich, @open, "c BDAT 6\r\nA: b\r\n", 'S 250 ok', "C $mail", 'S 503 no', 'C RSET', 'S 250 ok', @bye ],
	[ 'E-13', 'a second message behind the last chunk', @rich, "c $mail\r\n$rcpt\r\nBDAT 8 LAST\r\nA: b\r\n\r\n$mail\r\n", 'S 250 ok|250 ok|250 ok|250 ok', 'C RSET', 'S 250 ok', @bye ],
	[ 'E-13', 'more in doubt than the depth allows', { depth => 2 }, @rich, 'c ' . "$mail\r\n$rcpt\r\nBDAT 8 LAST\r\nA: b\r\n\r\n" x 3, 'S 250 ok|250 ok|250 ok|250 ok|250 ok|250 ok|250 ok|250 ok|250 ok', @bye ],
	[ 'E-14', 'DATA for BINARYMIME', @hello, 'S 250-far-end|250-CHUNKING|250 BINARYMIME', 'C MAIL FROM:<> BODY=BINARYMIME', 'S 250 ok', "C $rcpt", 'S 250 ok', 'C DATA', 'S 354 go', 'C A: b|||.', 'S 250 ok', @bye ],
	[ 'E-15', 'octets over 127 that were not declared', @rich, @data, "C MIME-Version: 1.0||\xc3\xbc|.", 'S 250 ok', @bye ],
	[ 'E-16', 'an address beyond ASCII without SMTPUTF8', @rich, "C MAIL FROM:<j\xc3\xb6rg\@example.net>", 'S 553 no', @bye ],
	[ 'E-18', 'a header beyond ASCII without SMTPUTF8', @rich, 'C MAIL FROM:<> BODY=8BITMIME', 'S 250 ok', "C $rcpt", 'S 250 ok', 'C DATA', 'S 354 go', "C MIME-Version: 1.0|A: \xc3\xbc|||.", 'S 250 ok', @bye ],
	[ 'E-18', 'a header that is not UTF-8', @rich, 'C MAIL FROM:<> BODY=8BITMIME SMTPUTF8', 'S 250 ok', "C $rcpt", 'S 250 ok', 'C DATA', 'S 354 go', "C MIME-Version: 1.0|A: \xfc|||.", 'S 250 ok', @bye ],
	[ 'E-19', 'NOTIFY with a thing twice', @rich, "C $mail", 'S 250 ok', 'C RCPT TO:<b@example.org> NOTIFY=DELAY,DELAY', 'S 550 no', 'C RSET', 'S 250 ok', @bye ],
	[ 'E-26', 'REQUIRETLS in clear', @hello, 'S 250-far-end|250 REQUIRETLS', 'C MAIL FROM:<> REQUIRETLS', 'S 452 no', @bye ],
	[ 'E-27', 'two times to hold it for', @hello, 'S 250-far-end|250 FUTURERELEASE 9 2099-01-01T00:00:00Z', 'C MAIL FROM:<> HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z', 'S 452 no', @bye ],
	[ 'E-30', 'more MAIL than MAILMAX', @hello, 'S 250-far-end|250 LIMITS MAILMAX=1', @sent, @sent, @bye ],
	[ 'E-30', 'more RCPT than RCPTMAX', @hello, 'S 250-far-end|250 LIMITS RCPTMAX=1', @open, "C $rcpt", 'S 452 no', 'C DATA', 'S 354 go', 'C A: b|||.', 'S 250 ok', @bye ],
	[ 'E-30', 'two domains where one may be', @hello, 'S 250-far-end|250 LIMITS RCPTDOMAINMAX=1', @open, 'C RCPT TO:<b@example.com>', 'S 452 no', 'C DATA', 'S 354 go', 'C A: b|||.', 'S 250 ok', @bye ],
);

for (@wrong) {
	my ($rule, $name, @turns) = @$_;
	my %options = (clear => 1, ref $turns[0] ? %{ shift @turns } : ());
	my @faults = wire_faults(recording(@turns), %options);

	is(join(' ', map { /\A([^:]+)/ } @faults), $rule, "found: $name") or diag(@faults ? "@faults" : 'nothing');
}

# -- what the courier says: a queue of every shape to servers of every kind

my $u = "\xc3\xbc";
my @shapes = (
	[ [], "From: user\@example.net\n\nplain\n" ],
	[ [], "From: user\@example.net\n\n.one\n..two\n.\n" ],
	[ [], "From: user\@example.net\r\n\r\nCRLF\r\n.\r\n" ],
	[ [], "From: user\@example.net\n\nno last line end" ],
	[ [], "From: user\@example.net\n\n" ],
	[ [], "From: user\@example.net\n\na \r stray one\n" ],
	[ [], "From: user\@example.net\n\nGr${u}n\n" ],
	[ [], "From: user\@example.net\nSubject: Gr${u}n\n\n$u\n" ],
	[ [], "From: user\@example.net\nMIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\n\n\xfc\n" ],
	[ [], "From: user\@example.net\n\n" . 'long ' x 400 . "\n" ],
	[ [], "From: user\@example.net\nX-Long: " . 'word ' x 400 . "\n\ntext\n" ],
	[ [ '-f', '' ], "From: user\@example.net\n\nfrom nobody\n" ],
	[ [ '-N', 'success,delay', '-R', 'hdrs', '-V', 'a+b=c' ], "From: user\@example.net\n\nwishes\n" ],
	[ [], "From: user\@example.net\n\n" . join('', map { ".line $_\n" } 1 .. 20_000) ],
);
my @to = ('plain@example.org', '"a b"@example.org', 'UPPER@Example.ORG', 'bad@example.org', 'x@[192.0.2.1]', 'y@example.com');

my @kinds = (
	[ 'offers nothing but AUTH', 'offer "AUTH PLAIN"' ],
	[ 'offers no PIPELINING', 'offer "AUTH PLAIN" SIZE 8BITMIME DSN' ],
	[ 'offers what most do', '' ],
	[ 'offers no 8BITMIME', 'offer "AUTH PLAIN" PIPELINING "SIZE 90000000"' ],
	[ 'offers chunks', 'offer "AUTH PLAIN" PIPELINING "SIZE 90000000" 8BITMIME DSN SMTPUTF8 CHUNKING ENHANCEDSTATUSCODES' ],
	[ 'offers chunks, to a connection a message', 'offer "AUTH PLAIN" PIPELINING "SIZE 90000000" 8BITMIME DSN CHUNKING', 'messages-per-connection' => 1 ],
	[ 'offers chunks, with eight on the way', 'offer "AUTH PLAIN" PIPELINING "SIZE 90000000" 8BITMIME DSN CHUNKING', 'pipeline-depth' => 8 ],
	[ 'offers chunks and no PIPELINING', 'offer "AUTH PLAIN" 8BITMIME CHUNKING' ],
	[ 'sets limits', 'offer "AUTH PLAIN" PIPELINING 8BITMIME "LIMITS MAILMAX=5 RCPTMAX=3 RCPTDOMAINMAX=2"' ],
	[ 'refuses mail and text by turns', join("\n", 'mail #2 reply "550 5.7.0 no"', 'mail #4 reply "451 4.3.0 later"', 'data #5 reply "554 5.6.0 no"',
	    'dot #7 reply "554 5.6.0 no"', 'dot #9 reply "452 4.3.1 full"') ],
	[ 'goes in the middle', join("\n", 'rcpt #9 reply "421 4.3.2 going"', 'dot #6 reply "421 4.3.2 going"', 'mail #9 drop') ],
	[ 'takes the recipients that it likes', join("\n", 'rcpt ~plain reply "550 5.1.1 nobody"', 'rcpt #6-9 reply "452 4.5.3 too many"', 'rcpt #20-60 reply "550 5.1.1 nobody"') ],
);

# Everything is queued first, so that it goes by one connection or few, and a queue
# is over where nobody speaks any more.
sub drain
{
	my ($name, $script, %more) = @_;
	my $sh = smarthost(script => "rcpt ~bad\@ reply \"550 5.1.1 nobody\"\n$script\n",
	    wire => { free => 1, depth => $more{'pipeline-depth'} // 1 });
	my $n = 0;

	ini(smarthost => { nobody_answers() });
	for my $shape (@shapes) {
		my ($options, $text) = @$shape;
		my @some = map { $to[ ($n + $_) % @to ] } 0 .. $n % 4;

		$n++;
		is(sendmail([ '-i', @$options, '--', @some ], $text)->{status}, 0, "shape $n is taken") or return $sh;
	}
	ini(-smarthost => $sh, smarthost => { connections => 1, %more }, queue => { retry => '1s', 'retry-refused' => '1s', 'give-up-after' => '20s' });
	is(subpost('retry', 'all')->{status}, 0, 'retry sends what waits');
	wait_empty(40);
	wait_no_runner(20);
	return $sh;
}

# What was said, and how much of it there was.
my (@faults, %said);
for (@kinds) {
	my ($name, $script, %more) = @$_;
	my $sh = drain($name, $script, %more);
	my %count;

	push @faults, map { "$_ of a smarthost that $name" } $sh->faults;
	for my $path ($sh->recordings) {
		my $one = wire_stats(slurp($path), depth => $more{'pipeline-depth'} // 1);

		$count{$_} += $one->{$_} for keys %$one;
		$said{$_} += $one->{$_} for keys %$one;
	}
	cmp_ok($count{transactions} // 0, '>=', scalar @shapes, "a queue of every shape goes to a smarthost that $name");
}
cmp_ok($said{texts}, '>=', @shapes * (@kinds - 2) / 2, 'most of it by DATA');
cmp_ok($said{chunks}, '>=', @shapes, 'and some by BDAT');

# A rule is kept by all that was said; that the reader would see it broken stands above.
my @rules = (
	'S-01: nothing is said before the greeting', 'S-03: EHLO comes first, and all words are commands',
	'S-05: EHLO names a host and nothing else', 'S-08: no space after FROM: and TO:, and brackets always',
	'S-09: nothing stands behind DATA, RSET and QUIT', 'S-10: no parameter that the current EHLO did not offer',
	'S-11: one command at a time where PIPELINING is not offered', 'S-23: no text without 354',
	'S-24: no DATA where all recipients are known to be refused', 'S-27: no MAIL inside a transaction',
	'S-28: QUIT before the close, and its answer waited for', 'L-01: no bare CR and no bare LF',
	'L-02: every dot at a line\'s beginning is doubled', 'L-03: the last line has its end',
	'L-04: no line of text over 998 octets', 'L-05: no command line over its limit',
	'L-11: no control octets in a command, and 8-bit only by SMTPUTF8', 'L-16: every address is whole',
	'L-25: no 8-bit text that is not MIME', 'X-07: STARTTLS only as offered',
	'X-09: EHLO is the first word in TLS', 'X-10: no STARTTLS in TLS', 'A-01: AUTH in its limits, its response in base64',
	'A-07: no AUTH after a login', 'A-09: no login outside TLS', 'A-11: no mail without the login',
	'A-13: no AUTH= on MAIL', 'A-25: no mechanism that was not offered', 'E-01: SIZE is what was sent, octet for octet',
	'E-04: what must be last in its group is last', 'E-07: no text for nobody',
	'E-09: no group before PIPELINING is offered', 'E-10: BDAT as offered', 'E-11: no chunk after a refused one',
	'E-12: DATA and BDAT are never mixed', 'E-13: nothing behind the last chunk before its answer',
	'E-15: 8-bit text is declared', 'E-16: no address beyond ASCII without SMTPUTF8',
	'E-18: no header beyond ASCII without SMTPUTF8', 'E-19: NOTIFY says a thing once', 'E-30: LIMITS are kept',
);
for (@rules) {
	my ($rule) = /\A([^:]+)/;
	my @broken = grep { /\A\Q$rule\E:/ } @faults;

	ok(!@broken && grep({ $_->[0] =~ /\b\Q$rule\E\b/ } @wrong), $_) or diag(map { "$_\n" } @broken);
}
my %named = map { /\A([^:]+)/ ? ($1 => 1) : () } @rules;
is(join("\n", grep { !/\A([^:]+)/ || !$named{$1} } @faults), '', 'and no other rule is broken either');
note("count: $said{commands} commands on the wire, $said{transactions} transactions, $said{texts} texts, $said{chunks} chunks: " .
    @faults . ' faults');
done_testing;
