# Letters: mail of every shape for a real far end, and whether what arrived is what
# was sent.
#
#	my $m = letter_of(7, 'starttls', 300);  # the 7th of 300 for that way
#	sendmail($m->{argv}, $m->{input});
#	is(letter_differs($m, $arrived), '', 'it is what was sent');
#
# A letter is a hash: number (what its X-Number: says), shape, from, to (a list),
# argv, input, body (undef: there is none), and how the courier may have changed
# it on its way (as):
#	same    octet for octet, line ends aside
#	coded   the body in another transfer encoding, with the fields that say so
#	labelled        the same body, with fields that say what it is
#	words   a field's 8-bit octets as encoded words, and labelled
package Letters;
use strict;
use warnings;
use Encode ();
use Exporter 'import';
use MIME::Base64 ();
use MIME::QuotedPrint ();

our @EXPORT = qw(letter_of large_letter letter_differs octets_differ);

use constant MIB => 1 << 20;

my $long = 'x' x 998;
my $u = "\xc3\xbc";
my $mime = "MIME-Version: 1.0\n";
my @shapes = (
	# name, as, fields, body
	[ 'plain', 'same', '', "one\ntwo\n" ],
	[ 'UTF-8', 'same', "${mime}Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n", "Gr$u\xc3\x9fe \xe2\x82\xac\n" ],
	[ 'Latin-1', 'same', "${mime}Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n",
	    "Gr\xfc\xdfe \xa4\n" . join('', map { chr } 160 .. 255) . "\n" ],
	[ 'UTF-8 that nobody labelled', 'labelled', '', "Gr$u\xc3\x9fe \xe2\x82\xac\n" ],
	[ '8-bit in a field', 'words', "X-Word: Gr$u\xc3\x9fe an alle\n", "$u\n" ],
	[ 'leading dots', 'same', '', ".one\n..two\n...three\n.\n..\n" ],
	[ 'lone dots inside', 'same', '', "before\n.\nbetween\n.\n.\nafter\n" ],
	[ 'a dot as all there is', 'same', '', ".\n" ],
	[ 'lines of 998 octets', 'same', '', "$long\n$long\n." . substr($long, 1) . "\n" ],
	[ 'lines of 999 octets', 'coded', '', "x$long\nshort\n.x$long\n" ],
	[ 'a long line of 8-bit text', 'coded', "${mime}Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n", "$u " x 2000 . "\nend\n" ],
	[ 'no final newline', 'same', '', "one\ntwo" ],
	[ 'a dot without a newline', 'same', '', "one\n." ],
	[ 'CRLF', 'same', "X-Folded: one\n two\n", "one\n.\n\ntwo\n", "\r\n" ],
	[ 'an empty body', 'same', '', '' ],
	[ 'a header and no more', 'same', '', undef ],
	[ 'only empty lines', 'same', '', "\n\n\n" ],
	[ 'From at the start of lines', 'same', '', "From here\n>From there\nFrom: nobody\n" ],
	[ 'control octets', 'same', '', "tab\there, bell \a, escape \e, delete \x7f\n" ],
	[ 'many short lines', 'same', '', join '', map { "line $_\n" } 1 .. 2000 ],
);
my @locals = ('r%d', 'R%d.MiXeD', '"r %d"', '"r\\"%d"', 'r+%d=x');

# Lines of every length up to 998, some of which begin with a dot.
sub body_of_size
{
	my $size = shift;
	my $text = '';

	for (my $n = 0; length $text < $size; $n++) {
		$text .= ($n % 5 ? '' : '.') . chr(33 + $n % 94) x ($n * 37 % 998) . "\n";
	}
	return $size ? substr($text, 0, $size - 1) . "\n" : '';
}

# One in forty is large, up to 2 MiB; one in fifty has a hundred recipients; one
# in twelve is from nobody.
sub letter_of
{
	my ($i, $way, $of) = @_;
	my ($shape, $as, $extra, $body, $eol) = @{ $shapes[$i % @shapes] };
	my $number = "$way-$i";
	my $n = $i % 50 == 7 ? 100 : 1 + $i % 4;
	my @to = map { sprintf("$locals[($i + $_) % @locals]", $_) . "\@host$_.$number.example.org" } 1 .. $n;
	my $from = $i % 12 == 5 ? '' : 'user@example.net';

	if ($i % 40 == 11) {
		my $size = 1 + int(2 * MIB * ($i / $of));

		($shape, $as, $extra, $body, $eol) = ("$size octets", 'same', '', body_of_size($size));
	}
	my $head = "From: user\@example.net\nSubject: $shape\nX-Number: $number\n$extra";
	# Every third takes its recipients from the header, some from the Bcc there.
	my @argv = ('-i', '-f', $from, '--', @to);
	if ($i % 3 == 0) {
		my @seen = @to;
		my @bcc = @to > 2 ? pop @seen : ();

		@argv = ('-i', '-f', $from, '-t');
		$head .= 'To: ' . join(",\n ", @seen) . "\n";
		$head .= "Bcc: @bcc\n" if @bcc;
	}
	my $input = $head . (defined $body ? "\n$body" : '');
	$input =~ s/\n/$eol/g if $eol;
	return { number => $number, shape => $shape, as => $as, from => $from, to => \@to, argv => \@argv,
	    input => $input, head => $head, body => $body };
}

# One of 30 MiB.
sub large_letter
{
	my $way = shift;
	my $head = "From: user\@example.net\nSubject: large\nX-Number: $way-large\n";
	my $body = body_of_size(30 * MIB);

	return { number => "$way-large", shape => '30 MiB', as => 'same', from => 'user@example.net', to => [ 'large@example.org' ],
	    argv => [ '-i', '-f', 'user@example.net', '--', 'large@example.org' ], input => "$head\n$body", head => $head, body => $body };
}

# -- what arrived

sub halves
{
	my $text = shift;
	my ($head, $body) = split /(?:\A|(?<=\n))\n/, $text, 2;

	return ($head, $body // '');
}

# Fields by their name, unfolded, in small letters.
sub fields_of
{
	my $head = shift;

	$head =~ s/\n[ \t]+/ /g;
	return map { /\A([^:\s]+):\s*(.*)/s ? (lc $1 => $2) : () } split /\n/, $head;
}

# '' where the text that arrived (with LF, and without what the far end put in front)
# is the letter's, else in what they differ.
sub letter_differs
{
	my ($m, $text) = @_;
	my ($head, $body) = halves($text);
	my %is = fields_of($head);
	my $want = $m->{body} // '';
	my $coding = lc($is{'content-transfer-encoding'} // '7bit');

	$want .= "\n" if $want ne '' && $want !~ /\n\z/;
	for (grep { /\A(?:From|Subject|X-Number|X-Folded|Content-Type): /i } split /\n(?![ \t])/, $m->{head}) {
		my ($name, $value) = /\A([^:]+): (.*)\z/s;

		$value =~ s/\n[ \t]+/ /g;
		return "the field $_ is missing or another: " . ($is{ lc $name } // '') if ($is{ lc $name } // '') ne $value;
	}
	if ($m->{as} eq 'coded') {
		return "the transfer encoding is $coding" if $coding !~ /\A(?:quoted-printable|base64)\z/;
	} elsif ($m->{as} ne 'same') {
		return 'nothing says what it is' if !$is{'mime-version'} || ($is{'content-type'} // '') !~ /utf-8/i;
	}
	if ($m->{as} eq 'words') {
		my ($word) = $m->{head} =~ /^X-Word: (.*)$/m;

		return 'a field has 8-bit octets' if $head =~ /[\x80-\xff]/;
		return "X-Word: is $is{'x-word'}" if Encode::encode('UTF-8', Encode::decode('MIME-Header', $is{'x-word'} // '')) ne $word;
	}
	if ($m->{as} ne 'same') {
		$body = MIME::QuotedPrint::decode_qp($body) if $coding eq 'quoted-printable';
		$body = MIME::Base64::decode_base64($body) if $coding eq 'base64';
		$body =~ s/\r\n/\n/g;
	} elsif ($coding ne lc(($m->{head} =~ /^Content-Transfer-Encoding: (.*)$/m)[0] // '7bit')) {
		return "the transfer encoding has become $coding";
	}
	return $body eq $want ? '' : octets_differ($body, $want);
}

sub octets_differ
{
	my ($have, $want) = @_;
	my $same = ($have ^ $want) =~ /\A(\0*)/ ? length $1 : 0;
	my @show = map { s/([^ -~])/sprintf '\\x%02x', ord $1/ger }
	    map { substr $_, $same > 20 ? $same - 20 : 0, 60 } $have, $want;

	return sprintf 'octet %d of %d and %d: arrived "%s", meant "%s"', $same, length $have, length $want, @show;
}

1;
