# At the door: what of a message is changed on its way to a server that takes less than
# it has, and what MAIL says of it; with the real courier.  What cannot go comes back
# with the reason, and what has been changed is the same at rest as it came.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

time_limit(240);

my $OE = "\xc3\xb6";
my @WEAK = ('PIPELINING', '"SIZE 10000000"', 'ENHANCEDSTATUSCODES', '"AUTH PLAIN LOGIN"');
my $MIME = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: ";
my $NOTICE = 'Your message could not be delivered';
my $s;

sub begin
{
	my @offers = @_;

	wait_no_runner() && $s->stop if $s;
	$s = smarthost(script => "offer @WEAK @offers");
	ini(queue => { retry => '1s', 'retry-refused' => '1s' });
}

# The letters that have come, but for notices.
sub letters { return grep { $_->{eml} !~ /^Subject: \Q$NOTICE\E/m } $s->messages }

# Sends a text and answers the letter; or undef, with what is written down of it in
# $fate and what the sender is told in $why.
my ($fate, $why);
sub send_one
{
	my ($what, $text, @to) = @_;
	my $before = () = letters();
	my %failed = map { $_ => 1 } queue_ids('failed');

	@to = ('ann@example.org') if !@to;
	is(sendmail([ '-i', '-f', 'user@example.net', @to ], $text)->{status}, 0, "$what: it is taken");
	ok(wait_empty(), "$what: it is settled");
	my ($notice) = grep { $_->{eml} =~ /^Subject: \Q$NOTICE\E/m } reverse $s->messages;
	$why = (($notice // {})->{eml} // '') =~ s/\s+/ /gr;
	$fate = join '', map { slurp(spool() . "/failed/$_.fate") } grep { !$failed{$_} } queue_ids('failed');
	return (letters())[$before];
}

# What MAIL said behind the address, without the size, which is judged here.
sub mail_of
{
	my ($what, $m) = @_;
	my ($said) = $m->{env} =~ /^from <[^>]*>(.*)$/m;
	my $size = $said =~ s/ SIZE=(\d+)// ? $1 : -1;

	is($size, length $m->{eml}, "$what: SIZE is the size");
	return $said =~ s/\A //r;
}

sub body_of { return shift->{eml} =~ /\r\n\r\n(.*)\z/s ? $1 : '' }

# -- octets over 127

my $CRON = "Subject: cron: gr${OE}\xc3\x9fer\n\nna${OE}ve\n.dot\nand a line of ASCII\n";
my $LABELLED = "Subject: s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nna${OE}ve, and ASCII\n";

for my $dots ('', 'CHUNKING') {
	my $what = $dots ? 'in chunks' : 'by DATA';

	begin('8BITMIME', $dots);
	my $m = send_one("M-14: a cron job's UTF-8, $what", $CRON);
	like($m->{eml}, qr/^\Q${MIME}\E8bit\r$/m, 'M-14: it is labelled');
	like($m->{eml}, qr/^Subject: cron: =\?utf-8\?q\?gr=C3=B6=C3=9Fer\?=\r$/m, 'M-13: its subject is an encoded-word');
	is(body_of($m), "na${OE}ve\r\n.dot\r\nand a line of ASCII\r\n", 'its text is as it came');
	is(mail_of('M-14', $m), 'BODY=8BITMIME', 'E-15: BODY=8BITMIME is said');

	$m = send_one("what is labelled, $what", $LABELLED);
	like($m->{eml}, qr/\r\nSubject: s\r\n\Q${MIME}\E8bit\r\n/, 'it passes as it is');
	is(mail_of('labelled', $m), 'BODY=8BITMIME', 'E-15: and goes with BODY=8BITMIME');

	$m = send_one("ASCII, $what", "Subject: s\n\nplain\n");
	is(mail_of('ASCII', $m), '', 'E-15: 7-bit text goes without');

	begin($dots);
	$m = send_one("L-25: without 8BITMIME, $what", $LABELLED);
	like($m->{eml}, qr/\r\nSubject: s\r\nMIME-Version: 1\.0\r\nContent-Type: text\/plain; charset=utf-8\r\n/, 'its label stays');
	like($m->{eml}, qr/^Content-Transfer-Encoding: quoted-printable\r$/m, 'L-25: but for how it is encoded');
	is(body_of($m), "na=C3=B6ve, and ASCII\r\n", 'L-25: and its text is quoted-printable');
	is(mail_of('L-25', $m), '', 'E-15: BODY is not said');
}

# -- long lines

{
	my $long = 'x' x 100_000;

	begin('8BITMIME');
	my $m = send_one('L-04: a line of 100,000 octets', "Subject: s\n\n$long\n");
	my $text = body_of($m) =~ s/=\r\n//gr;

	ok(!(grep { length > 78 } split /\n/, body_of($m)), 'L-04: no line of it is long');
	is($text, "$long\r\n", 'and all of it is there');
	is(mail_of('L-04', $m), '', 'and it is 7-bit');

	my $list = join ',', map { "person$_\@example.org" } 1 .. 100;
	$m = send_one('L-04: a long list of addresses', "To: $list\nSubject: s\n\nx\n");
	ok(!(grep { length > 79 } split /\n/, $m->{eml} =~ s/\r\n\r\n.*//sr), 'L-04: the header is folded');
	like($m->{eml} =~ s/\r\n(?=[ \t])//gr =~ s/, /,/gr, qr/^To: \Q$list\E\r$/m, 'and nothing of it is lost');

	$m = send_one('a line of 998 octets', "Subject: s\n\n" . 'y' x 998 . "\n");
	is(body_of($m), 'y' x 998 . "\r\n", 'passes as it is');
}

# -- names

begin('8BITMIME');
my $m = send_one('E-17: a domain that is not ASCII', "To: J${OE}rg <j\@b\xc3\xbccher.example>\nSubject: s\n\nx\n",
    "j\@b\xc3\xbccher.example");
is("@{ $m->{to} }", '<j@xn--bcher-kva.example>', 'E-17: is said as A-labels');
like($m->{eml}, qr/^To: =\?utf-8\?q\?J=C3=B6rg\?= <j\@xn--bcher-kva\.example>\r$/m, 'E-17: in the header too');

$m = send_one('E-17: a local part that is not ASCII', "To: j${OE}\@x.example\nSubject: s\n\nx\n");
is($m, undef, 'E-17: goes nowhere');
like($fate, qr/ 5\.6\.7 /, 'E-17: with 5.6.7');
like($why, qr/To: field has an address that is not ASCII/, 'E-17: and the reason');

begin('8BITMIME', 'SMTPUTF8');
$m = send_one('E-16: a local part that is not ASCII, with SMTPUTF8', "To: j${OE}\@x.example\nSubject: s${OE}\n\nx\n", "j${OE}\@x.example");
like($m->{eml}, qr/^To: j${OE}\@x\.example\r\nSubject: s${OE}\r$/m, 'E-18: goes as it is');
like(mail_of('E-16', $m), qr/\bSMTPUTF8\b/, 'E-16: and MAIL says SMTPUTF8');

$m = send_one('E-16: UTF-8 in the body alone', $LABELLED);
is(mail_of('E-16', $m), 'BODY=8BITMIME', 'E-16: is no matter of SMTPUTF8');

$m = send_one('E-16: UTF-8 in the header, as was wished', "Subject: s${OE}\n\nx\n", '-U', 'ann@example.org');
like($m->{eml}, qr/^Subject: s${OE}\r$/m, 'E-16: it stays');
like(mail_of('E-16', $m), qr/\bSMTPUTF8\b/, 'E-16: and MAIL says SMTPUTF8');

$m = send_one('E-16: a wish without a need', "Subject: s\n\nx\n", '-U', 'ann@example.org');
is(mail_of('E-16', $m), '', 'E-16: says nothing to the server');

$m = send_one('E-16: UTF-8 in the header, and no wish', "Subject: s${OE}xyz\n\nx\n");
like($m->{eml}, qr/^Subject: =\?utf-8\?q\?s=C3=B6xyz\?=\r$/m, 'E-16: becomes encoded-words');

$m = send_one('E-18: a header that is not UTF-8', "Subject: s\xf6\nX-Note: $OE\n\nx\n", "j${OE}\@x.example");
like($m->{eml}, qr/^Subject: =\?unknown-8bit\?q\?s=F6\?=\r\nX-Note: $OE\r$/m, 'E-18: is encoded, and only that');

# -- an account's own address

begin('8BITMIME');
ini(smarthost => { from => "me\@b\xc3\xbccher.example", 'force-from' => 'yes' });
$m = send_one('a forced From: that is not ASCII', "From: Ann <ann\@x.example>\nSubject: s\n\nx\n");
like(($m // {})->{eml} // '', qr/^From: Ann <me\@xn--bcher-kva\.example>\r$/m, 'E-17: is written as A-labels too');
like(($m // {})->{env} // '', qr/^from <me\@xn--bcher-kva\.example>/m, 'E-17: in MAIL as well');

# -- what is signed

# Without a label that is quite right, and with what an encoder would not leave.
my $SIGNED = "DKIM-Signature: v=1; a=rsa-sha256; h=from; b=x\nSubject:  s\nMIME-Version: 1.0\n" .
    "Content-Type: text/plain\n\nna${OE}ve \t \n";

begin('8BITMIME');
$m = send_one('M-17: what is signed by DKIM', $SIGNED);
is(body_of($m), "na${OE}ve \t \r\n", 'M-17: passes untouched');
like($m->{eml}, qr/\r\nDKIM-Signature: v=1; a=rsa-sha256; h=from; b=x\r\nSubject:  s\r\nMIME-Version: 1\.0\r\nContent-Type: text\/plain\r\n(?!Content)/,
    'M-17: its header too');
begin('');
$m = send_one('M-17: the same without 8BITMIME', $SIGNED);
is($m, undef, 'M-17: goes nowhere');
like($fate, qr/ 5\.6\.2 /, 'M-17: with 5.6.2');
like($why, qr/octets over 127.*it is signed \(DKIM-Signature\)/, 'and the reason');

ok(wait_no_runner(), 'the runner leaves');
done_testing;
