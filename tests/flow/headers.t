# Address headers as two parsers read them: ours, and Python's email package,
# which was written by other people from the same RFC.  A thousand are made from
# a grammar, the same each time, and more are as they were seen in the world.
# Where the two differ a row of @reasons says why; a difference without a reason
# fails, and so does a reason that is never needed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

use constant MADE => 1000;
use constant SEED => 5322;

my $PYTHON = (grep { -x } '/usr/bin/python3')[0] // 'python3';
plan(skip_all => 'python3 is not installed') if system("$PYTHON -c 'import email.headerregistry' 2>/dev/null") != 0;

# -- headers made from the grammar of RFC 5322, sections 3.2 to 3.4 and 4.4

# Of our own, so that the headers are the same wherever this runs.
my $state = SEED;
sub dice
{
	my $n = shift;

	$state = ($state * 1103515245 + 12345) % 2147483648;
	return int($state / 65536) % $n;
}

sub any { return $_[dice(scalar @_)] }
# True in one of so many cases.
sub rare { return dice(shift) == 0 }
sub many { my ($max, $make) = @_; return map { $make->() } 1 .. dice($max + 1) }

sub atom { return any('ann', 'ben', 'root', 'a', 'A.1', 'x+y', "o'hara", '_', '{x}', q(!#$%&'*/=?^`|~), '0', 'J-P', "\xc3\xa4rger", 'a' x 70) }
sub word { return rare(4) ? string() : atom() =~ s/\./-/gr }
sub space { return rare(6) ? any(' ', '  ', "\t", "\n ", "\r\n\t", comment(), ' ' . comment() . ' ') : '' }
sub gap { return any(' ', ' ', ' ', "\n ", ' ' . comment() . ' ') }

sub comment
{
	my $depth = shift // 0;
	my $inside = join any('', ' '), many(3, sub { any('x', 'a b', '\\(', '\\)', '\\\\', '"', ',', '@', '<a@b>', "\xc3\xa4", ':;') });

	$inside .= comment($depth + 1) if $depth < 3 && rare(4);
	return "($inside)";
}

sub string
{
	return '"' . join('', many(4, sub { any('x', 'Y z', ' ', ',', '@', '.', '..', '\\"', '\\\\', '\\x', '<', '>', '(', ')', ':', ';', "\n ", "\xc3\xb6") })) . '"';
}

sub dotted
{
	my $part = shift;

	return join rare(12) ? any(' .', '. ', '.(c)') : '.', map { $part->() } 0 .. (rare(3) ? 1 + dice(2) : 0);
}

sub label { return any(qw(x example a-b 1 mail host), 'l' x 60, rare(8) ? "b\xc3\xbccher" : 'org') }
sub literal { return any('[192.0.2.1]', '[IPv6:2001:db8::1]', '[ 192.0.2.1 ]', '[x-tag:y]', '[]', '[a b]', '[192.0.2.1') }
sub local_part { return rare(6) ? string() : dotted(sub { atom() =~ s/\./-/gr }) }
sub domain { return rare(12) ? literal() : dotted(\&label) }
sub addr_spec { return rare(12) ? local_part() : local_part() . space() . '@' . space() . domain() }
sub route { return join(',', map { '@' . domain() } 0 .. dice(2)) . ':' }
sub encoded { return any('=?UTF-8?Q?M=C3=BCller?=', '=?utf-8?b?w6Q=?=', '=?iso-8859-1?Q?a,=20b?=', '=?UTF-8?Q?a?= =?UTF-8?Q?b?=') }

sub phrase
{
	return join gap(), map { rare(6) ? encoded() : rare(6) ? atom() . any('.', '.', ' .') : word() } 0 .. dice(3);
}

sub angle
{
	my $inside = rare(15) ? '' : (rare(12) ? route() : '') . space() . addr_spec() . space();

	return '<' . $inside . '>';
}

sub mailbox
{
	return space() . (rare(2) ? addr_spec() . (rare(4) ? ' ' . comment() : '') :
	    (rare(5) ? '' : phrase() . any(' ', ' ', '')) . angle()) . space();
}

sub group
{
	return phrase() . space() . ':' . join(',', many(3, \&mailbox)) . space() . (rare(15) ? '' : ';');
}

sub element { return rare(10) ? any('', ' ', comment()) : rare(8) ? group() : mailbox() }
sub list { return join any(',', ', ', ",\n "), map { element() } 0 .. dice(4) }

# One octet goes, comes, or changes its place: what people mistype.
sub spoilt
{
	my $s = shift;
	my $at = dice(length($s) + 1);
	my $how = dice(3);
	my $odd = any(qw(< > ( ) [ ] : ; @ . \\ "), ',', ' ', "\x01", "\e", "\x7f", "\xff");

	return substr($s, 0, $at) . $odd . substr($s, $at) if $how == 0 || $at >= length $s;
	return substr($s, 0, $at) . substr($s, $at + 1) if $how == 1;
	return substr($s, 0, $at) . $odd . substr($s, $at + 1);
}

my %seen;
my @made;
while (@made < MADE) {
	my $h = rare(3) ? spoilt(list()) : list();

	push @made, $h if !$seen{$h}++;
}

# -- headers as they are met

my @met = (
	'root', 'root@localhost', 'Ann Other <ann@example.org>', '"Other, Ann" <ann@example.org>', '<ann@example.org>',
	'ann@example.org (Ann Other)', 'Other, Ann <ann@example.org>', 'undisclosed-recipients:;', 'Undisclosed recipients: ;',
	'(Cron Daemon) <root>', '"(Cron Daemon)" <root>', 'root (Cron Daemon)', 'Cron Daemon <root@host.example>',
	'a@x.example, b@y.example', 'a@x.example,b@y.example', 'a@x.example, , b@y.example', 'a@x.example,', ',a@x.example',
	'a@x.example; b@y.example', 'a@x.example b@y.example', 'a@x.example, b@y.example;', 'mailto:a@x.example',
	'John Q. Public <john@example.org>', 'J.R.R. Tolkien <jrr@example.org>', 'Dr. Who <who@example.org>',
	'Joe (the boss) <joe@example.org>', '"Joe \\"Boss\\" B" <joe@example.org>', "O'Hara <o'hara\@example.org>",
	'=?utf-8?Q?J=C3=BCrgen?= <j@example.org>', '=?UTF-8?B?SsO8cmdlbg==?= =?UTF-8?B?IE0=?= <j@example.org>',
	'"=?utf-8?Q?J=C3=BCrgen?=" <j@example.org>', "J\xc3\xbcrgen <j\@example.org>", "j\xc3\xbcrgen\@example.org",
	"j\@b\xc3\xbccher.example", "J\xfcrgen <j\@example.org>", '"J@x" <j@example.org>', 'j@x <j@example.org>',
	"'a\@x.example' <a\@x.example>", "'a\@x.example'", '"a@x.example" <a@x.example>', '<<a@x.example>>', '<a@x.example',
	'a@x.example>', 'Ann <a@x.example> (comment)', 'Ann <a@x.example> trailing', 'a@x.example trailing',
	'Ann<a@x.example>', 'Ann,Ben <a@x.example>', 'Friends: a@x.example, b@x.example;', 'Friends: a@x.example, b@x.example',
	'A: a@x.example;, B: b@x.example;', 'A: a@x.example; B: b@x.example;', 'A: B: a@x.example;;', ':a@x.example;',
	'<@host.example:a@x.example>', '<@a.example,@b.example:a@x.example>', '@a.example:a@x.example', 'a%b@x.example',
	'a!b!c', 'host!user@x.example', 'a..b@x.example', '.a@x.example', 'a.@x.example', '"a..b"@x.example', '"a b"@x.example',
	'a b@x.example', '"a@b"@x.example', 'a@b@x.example', 'a@', '@x.example', '@', '<>', '"" <a@x.example>', '""@x.example',
	'a@[192.0.2.1]', 'a@[IPv6:::1]', 'a@192.0.2.1', 'a@x..example', 'a@.example', 'a@x.example.', 'a@x_y.example', 'a@-x-.example',
	"a\@x.example,\n b\@y.example,\n\tc\@z.example", "a\@x.example,\r\n b\@y.example", "Ann\n <a\@x.example>", "\"Ann\n Other\" <a\@x.example>",
	'a . b @ x . example', 'a(c)@(d)x.example', '(all) a@x.example (behind)', '((nested) comment) a@x.example', '(open a@x.example',
	'a@x.example (open', 'a@x.example )', '"open <a@x.example>', 'a\\b@x.example', 'a@x\\y.example', '"a\\"@x.example', "a\@x.example\0",
	"a\tb\@x.example", 'a@x.example, "b', 'Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>',
	'A Group(Some people):Chris Jones <c@(Chris\'s host.)public.example>, joe@example.org, John <jdoe@one.test> (my dear friend); (the end)',
	'(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;', 'Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example',
	'From: a@x.example', 'To: a@x.example', 'a@x.example\\n', 'Ann [work] <a@x.example>', 'Ann: <a@x.example>', 'Ann; <a@x.example>',
	'Company, Inc. <info@example.org>', 'user+tag@example.org', 'User@EXAMPLE.org', '1@example.org', '-a@example.org', '~a@example.org',
	'a' x 64 . '@example.org', 'a' x 65 . '@example.org', 'a@' . 'x' x 63 . '.example', 'a' x 1100 . '@x.example', 'a, b, c', 'www-data, root',
	"\xe2\x80\x9cAnn\xe2\x80\x9d <a\@x.example>", 'Ann <a@x.example>, Ben', 'all@x.example,,,,', ' ', '', '()', '(only a comment)',
	'"Ann Other"  <  a@x.example  >', 'a@x.example<a@x.example>', '<a@x.example>,<b@x.example>', '<a@x.example><b@x.example>',
	'Mr. & Mrs. X <x@example.org>', 'Ann/Ben <x@example.org>', 'Ann @ work <x@example.org>', 'x@example.org (at) home',
	'NOREPLY <noreply@example.org>, "Support (24/7)" <support@example.org>', '"\\\\" <x@example.org>', 'a@x.example (a) (b)',
	'ann at example dot org', 'http://example.org/', '/dev/null', '|cmd', '"|cmd arg"', ':include:/list', '"|cmd arg"@x.example',
);
my @headers = (@made, @met);

# -- both are asked

sub escaped { return shift =~ s/([\x00-\x1f\x7f\\])/sprintf '\\x%02x', ord $1/ger }
sub unescaped { return shift =~ s/\\x([0-9a-f]{2})/chr hex $1/ger }

# Local part and domain of an address as SMTP writes it, without quotes.
sub taken_apart
{
	my ($local, $domain) = shift =~ /\A("(?:[^"\\]|\\.)*"|[^@]*)(?:\@(.*))?\z/s or die 'no address of ours';

	$local =~ s/\\(.)/$1/gs if $local =~ s/\A"(.*)"\z/$1/s;
	return $local . '@' . ($domain // '-');
}

# For each header { ours, why, theirs, defects }: the envelope as each reads it;
# ours is undef where it was refused.
sub ask
{
	my @asked = @_;
	my $questions = join '', map { "$_\t" . escaped($asked[$_]) . "\n" } 0 .. $#asked;
	my $ours = run([ "$B/tests/lib/addresses" ], stdin => $questions);
	my $theirs = run([ $PYTHON, "$FindBin::Bin/../lib/addresses.py" ], stdin => $questions, timeout => 60);
	my @answers;

	is("$ours->{status} $ours->{err}", '0 ', 'our parser answers about ' . @asked . ' headers');
	is("$theirs->{status} $theirs->{err}", '0 ', 'and so does the other');
	for (split /\n/, $ours->{out}) {
		my ($n, $verdict, @words) = map { unescaped($_) } split /\t/, $_, -1;

		$answers[$n] = $verdict eq 'no' ? { why => $words[0] } :
		    { ours => join(' ', map { taken_apart($words[$_ * 2]) } 0 .. @words / 2 - 1) };
	}
	for (split /\n/, $theirs->{out}) {
		my ($n, $defects, @words) = map { unescaped($_) } split /\t/, $_, -1;

		$answers[$n]{defects} = $defects;
		$answers[$n]{theirs} = join ' ', map { "$words[$_ * 3]\@$words[$_ * 3 + 1]" } 0 .. @words / 3 - 1;
	}
	return @answers;
}

# What the other calls invalid may be refused; what we read must be read the same.
sub agrees
{
	my $a = shift;

	return $a->{defects} =~ /InvalidHeaderDefect|Error$/ if !defined $a->{ours};
	return $a->{ours} eq $a->{theirs};
}

# -- why they differ

# The header in pieces: quoted strings, comments, literals, and what is between.
my $piece = qr/"(?:[^"\\]|\\.)*"|(\((?:[^()\\]|\\.|(?1))*\))|\[[^\]]*\]|[^"(\[]+|./s;

sub pieces
{
	my $h = shift;
	my @p;

	push @p, $& while $h =~ /\G$piece/g;
	return @p;
}

# Each takes its peculiarity out of a header; undef: it has none.  On what is
# left, both must agree.
my @reasons = (
	{
		reason => 'SMTP carries no control octet (RFC 5321 section 4.1.2); the other keeps it',
		without => sub { my $h = shift; $h =~ s/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[\r\n](?![\n \t])//g ? $h : undef },
	}, {
		reason => 'there is nothing in a literal but an IP address that SMTP carries (RFC 5321 section 4.1.3)',
		without => sub { literals(shift, sub { shift !~ /\A\[\s*[\w.:-]+(?:\s+[\w.:-]+)*\s*\]\z/ }) },
	}, {
		reason => 'space in a literal is folding and goes (RFC 5322 section 3.4.1); the other sees no literal',
		without => sub { literals(shift, sub { shift =~ /\w\s+\w/ }) },
	}, {
		reason => 'an address has a limit here',
		without => sub { my $h = shift; $h =~ s/a{1000,}/a/g ? $h : undef },
	}, {
		reason => 'a charset holds no special (RFC 2047 section 2), so this is no encoded word',
		without => sub { my $h = shift; $h =~ s/(=\?[^?\s]*)[,@;:<>]([^?\s]*\?)/$1$2/g ? $h : undef },
	}, {
		reason => 'the other fails (AttributeError) at a name that ends in a dot, which RFC 5322 section 4.1 allows',
		may_be_mended => 1,
		without => \&without_final_dots,
	},
);

sub literals
{
	my ($h, $is_odd) = @_;
	my $n = 0;
	my @p = map { /\A\[/ && $is_odd->($_) ? ($n++, '[192.0.2.1]')[1] : $_ } pieces($h);

	return $n ? join '', @p : undef;
}

sub without_final_dots
{
	my @p = pieces(shift);
	my $n = 0;

	for my $i (0 .. $#p) {
		next if $p[$i] =~ /\A["(\[]/;
		# Between the dot and what ends the name there may be comments.
		my $next = (grep { !/\A\(/ && /\S/ } @p[$i + 1 .. $#p])[0] // '';

		$n += $p[$i] =~ s/\.(?=\s*[<:])/.x/g;
		$n += $p[$i] =~ s/\.(?=\s*\z)/.x/ if $next =~ /\A\s*[<:]/;
	}
	return $n ? join '', @p : undef;
}

my @answers = ask(@headers);
my @differ = grep { !agrees($answers[$_]) } 0 .. $#headers;
my (%because, @mended, @unexplained);
for my $n (@differ) {
	my $h = $headers[$n];

	for my $r (@reasons) {
		my $left = $r->{without}->($h) // next;

		$h = $left;
		$because{$n}{ $r->{reason} } = 1;
	}
	push @mended, $h;
}
my @again = ask(@mended);
for my $i (0 .. $#differ) {
	next if $because{ $differ[$i] } && agrees($again[$i]);
	push @unexplained, $differ[$i];
	for ([ 'header', $headers[$differ[$i]], $answers[$differ[$i]] ], [ 'without', $mended[$i], $again[$i] ]) {
		my ($what, $h, $a) = @$_;

		diag("$what: ", escaped($h), "\n  ours: ", $a->{ours} // $a->{why}, "\n  theirs: $a->{theirs} $a->{defects}");
	}
}
is(scalar @unexplained, 0, 'every difference has a reason');
cmp_ok(scalar(grep { agrees($_) } @answers), '>=', 500, 'the two agree about more than 500 headers as they are');
for my $r (@reasons) {
	my $n = grep { $because{$_}{ $r->{reason} } } @differ;

	ok($n > 0 || $r->{may_be_mended}, "$n: $r->{reason}");
}
done_testing;
