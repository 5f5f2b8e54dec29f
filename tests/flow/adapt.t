# What is changed in a message so that it passes, read back by others: a thousand
# messages made from a grammar, the same each time, go through the filter for servers
# that take more or less, and Python's email package must see the same in what went in
# and in what came out.  And nothing may be on the wire that such a server does not take.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use MIME::Base64;
use MIME::QuotedPrint;

use constant MADE => 250;       # for each kind of server
use constant SEED => 2045;

my $PYTHON = (grep { -x } '/usr/bin/python3')[0] // 'python3';
plan(skip_all => 'python3 is not installed') if system("$PYTHON -c 'import email.policy' 2>/dev/null") != 0;
time_limit(400);

# -- messages made from the grammars of RFC 5322 and RFC 2045

my $state = SEED;
sub dice
{
	my $n = shift;

	$state = ($state * 1103515245 + 12345) % 2147483648;
	return int($state / 65536) % $n;
}

sub any { return $_[dice(scalar @_)] }
sub rare { return dice(shift) == 0 }
sub many { my ($max, $make) = @_; return map { $make->() } 1 .. dice($max + 1) }

my $OE = "\xc3\xb6";
my $JA = "\xe6\x97\xa5\xe6\x9c\xac";
my $boundaries = 0;

sub word
{
	return any('hello', $OE, "gr${OE}\xc3\x9fe", $JA, 'x' x 70, '"q"', '=3D', '--b', '.', 'From ', '=', "tab\there",
	    'trail ', '', '--', '---', '\\', '%41', 'a,b;c', '=?utf-8?q?x?', "$JA$JA$JA$JA$JA");
}

sub line
{
	return any('y', '-', $OE) x any(499, 997, 998, 999, 2000, 5000) if rare(12);
	return "long $OE " x any(20, 200) if rare(12);
	return join ' ', many(8, \&word);
}

sub text { return join("\n", many(5, \&line)) . any('', "\n", "\n\n") . (rare(8) ? "\xe4\xff latin\n" : '') }

sub file_name
{
	my $name = any('plain.txt', "gr${OE}e.pdf", 'a b "c".txt', "$OE \"c\\.txt", "$JA.doc", 'x' x 100 . $OE, $OE x 60, 'n' x 950);

	return '"' . $name =~ s/(["\\])/\\$1/gr . '"';
}

sub leaf
{
	my $head = any('', '', 'text/plain; charset=utf-8', 'text/html; charset=utf-8', 'application/octet-stream',
	    'text/plain', 'application/pdf; name=' . file_name());
	my $coding = any('', '', '7bit', '8bit', 'binary', 'quoted-printable', 'base64');
	my $text = text();

	$head = "Content-Type: $head\n" if $head ne '';
	$head .= 'Content-Disposition: attachment; filename=' . file_name() . "\n" if rare(3);
	$head .= "Content-Transfer-Encoding: $coding\n" if $coding ne '';
	if ($coding eq 'quoted-printable') {
		$text = encode_qp($text);
		$text =~ s/=\n//g if rare(2);           # in long lines
	} elsif ($coding eq 'base64') {
		$text = rare(2) ? encode_base64($text, '') . "\n" : encode_base64($text);
	}
	return "$head\n$text";
}

sub multipart
{
	my $depth = shift;
	my $b = sprintf any('b%d', '=_b%d', 'b%d--', '----=_Part_%d', 'b %d b'), ++$boundaries;
	my $head = 'Content-Type: multipart/' . any('mixed', 'alternative', 'related') . "; boundary=\"$b\"\n";
	my $open = rare(8);

	$head .= 'Content-Transfer-Encoding: ' . any('8bit', '7bit', 'binary') . "\n" if rare(3);
	$head .= "\n" . (rare(3) ? "pre${OE}mble\n" : '');
	$head .= "--$b" . any('', '', " \t") . "\n" . part($depth + 1) . "\n" for 0 .. dice(3);
	# The other takes all empty lines from the end of a part that is nowhere closed.
	return $open ? $head =~ s/\n+\z/\n/r : "$head--$b--" . any("\n", "\n", '') . (rare(4) ? "$OE epilogue\n" : '');
}

sub part
{
	my $depth = shift;
	my $kind = dice(10);

	return leaf() if $kind < 5 || $depth > 3;
	return multipart($depth) if $kind < 9;
	return 'Content-Type: message/rfc822' . any('', "\nContent-Transfer-Encoding: 8bit") . "\n\n" . message($depth + 1);
}

sub mailbox
{
	my $spec = any('a@b.example', "x\@b\xc3\xbccher.example", '"q r"@c.example');
	my $name = any('', "J${OE}rg M\xc3\xbcller", "\"J${OE}rg, M.\"", 'Plain Name', "$JA Name", '"P, N"', "=?utf-8?q?=C3=A4?= $OE", "A. $OE.");

	return $name ne '' ? "$name <$spec>" : $spec;
}

sub message
{
	my $depth = shift // 0;
	my $head = 'From: ' . mailbox() . "\nTo: " . join(any(', ', ',', ",\n "), map { mailbox() } 1 .. any(1, 2, 30)) .
	    "\nSubject: " . join(' ', many(13, \&word)) =~ tr/\t/ /r . "\n";

	$head .= 'X-Note: ' . join(' ', many(5, sub { any("\xe4\xff", 'ok', $OE, 'z' x any(10, 999, 3000)) })) . "\n" if rare(3);
	return "$head\n" . text() if rare(6);
	return $head . (rare(5) ? '' : "MIME-Version: 1.0\n") . part($depth);
}

# -- through the filter

# What a server that offers this may not see, in the lines without doubled dots.
sub broken
{
	my ($wire, $how, @lines) = @_;
	my ($head) = $wire =~ /\A(.*?)\r\n\r\n/s;

	return 'a bare CR or LF' if $wire =~ /(?<!\r)\n|\r(?!\n)|[^\n]\z/;
	return 'a NUL' if $wire =~ /\0/;
	return 'a long line' if grep { length > 998 } @lines;
	return 'an octet over 127' if $how !~ /8/ && $wire =~ /[\x80-\xff]/;
	return 'one in the header' if $how !~ /u/ && $head =~ /[\x80-\xff]/;
	return '';
}

# Where two dumps part, and what stands there.
sub difference
{
	my ($in, $out) = @_;
	my ($same) = ($in ^ $out) =~ /\A(\0*)/;
	my $from = length $same > 60 ? length($same) - 60 : 0;

	return map { "\n" . substr $_, $from, 200 } $in, $out;
}

sub compare
{
	my ($how, $what) = @_;
	my (@refused, @broken, @names);

	for my $n (1 .. MADE) {
		my $text = message();
		my $r = run([ "$B/tests/lib/adapt", $how . 'p' . any(1, 7, 4096) ], stdin => $text);
		my @lines = map { $how !~ /b/ ? s/\A\.//r : $_ } split /\r\n/, $r->{out}, -1;
		my $name = "$T/$how.$n";

		if ($r->{status} != 0) {
			push @refused, "$r->{status} $r->{err}";
			next;
		}
		my $fault = broken($r->{out}, $how, @lines);
		push @broken, "$n: $fault" if $fault ne '';
		spew("$name.in", $text);
		spew("$name.out", join "\n", @lines);
		push @names, $name;
	}
	is(join(', ', @refused), '', "$what: " . MADE . ' messages go');
	is(join(', ', @broken), '', 'L-01, L-04: with nothing in them that may not be');

	my $seen = run([ $PYTHON, "$FindBin::Bin/../lib/adapt.py" ], stdin => join('', map { "$_.in\n$_.out\n" } @names), timeout => 120);
	my %dump = map { split /\t/, $_, 2 } split /\n/, $seen->{out};
	my @differ = grep { !defined $dump{"$_.in"} || $dump{"$_.in"} ne $dump{"$_.out"} } @names;

	is("$seen->{status} $seen->{err}", '0 ', 'another reads them');
	is(scalar(@differ), 0, 'and sees the same in them as before')
	    or diag($differ[0], difference(map { $dump{"$differ[0].$_"} // '' } qw(in out)));
}

compare('', 'L-25: to a server that has only 7 bits');
compare('8', 'E-15: to a server with 8BITMIME');
compare('8u', 'E-18: to a server with SMTPUTF8');
compare('b', 'L-25: in chunks');

done_testing;
