# force-from: whatever a message says, it leaves as the account's own, and who
# wrote it gets the answers.  Nothing else of it changes by one octet, and the
# size that is told is the size that is sent.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;

time_limit(150);

my $ACCOUNT = 'user@example.net';
my %FAST = (auth => 'none', 'password-file' => undef, 'force-from' => 'yes');
my $s;

sub begin
{
	start_anew($s ? $s : ());
	$s = smarthost(args => [ '--plain', '--no-auth' ], script => shift);
	ini(smarthost => \%FAST, identity => { domain => 'example.net', hostname => 'client.example.net' });
}

# Sends it and returns what arrived, the header apart from the body, and the
# line of MAIL.
sub convey
{
	my ($text, @args) = @_;
	my $n = () = $s->messages;
	my $r = sendmail([ @args, '-i', 'bob@example.org' ], $text);

	return { eml => "sendmail: $r->{status} $r->{err}" } if $r->{status} != 0;
	$s->wait_messages($n + 1) or return { eml => '' };
	my $m = take_apart(($s->messages)[-1]);
	$m->{mail} = (commands($s, 'MAIL'))[-1];
	return $m;
}

# A message with its header and body apart, and the envelope sender alone.
sub take_apart
{
	my $m = shift;

	@$m{qw(head body)} = $m->{eml} =~ /\A(.*?\r\n)\r\n(.*)\z/s;
	$m->{from} =~ s/>.*/>/;
	return $m;
}

# Those fields of it, in their order, unfolded lines kept.
sub fields
{
	my ($m, $names) = @_;

	return join '', grep { /^(?:$names):/i } ($m->{head} // '') =~ /(^[^\s].*\r\n(?:[ \t].*\r\n)*)/mg;
}

# The octets of the message as RFC 1870 counts them: dots not stuffed.
sub size_is_told
{
	my ($m, $what) = @_;

	like($m->{mail}, qr/ SIZE=(\d+)/, "$what: a size is told");
	my ($told) = ($m->{mail} // '') =~ / SIZE=(\d+)/;
	return is($told, length $m->{eml}, 'and it is exact');
}

begin();

# -- from, and whom to answer

{
	my @rows = (
		# From: that is written, -f, what leaves
		[ 'Ann <ann@example.org>', [],
		    "From: Ann <$ACCOUNT>\r\nReply-To: Ann <ann\@example.org>\r\n" ],
		[ 'ann@example.org', [ '-f', 'ben@example.org' ],
		    "From: $ACCOUNT\r\nReply-To: ann\@example.org\r\n" ],
		# completed at the counter first
		[ '"(Cron Daemon)" <root>', [],
		    "From: \"(Cron Daemon)\" <$ACCOUNT>\r\nReply-To: \"(Cron Daemon)\" <root\@example.net>\r\n" ],
		[ "Me <$ACCOUNT>", [], "From: Me <$ACCOUNT>\r\n" ],
		[ "Ann\n <ann\@example.org>\nReply-To: list\@example.org", [],
		    "From: Ann <$ACCOUNT>\r\nReply-To: list\@example.org\r\n" ],
		[ "J\xc3\xb6rg <j\@example.org>", [],
		    "From: =?utf-8?q?J=C3=B6rg?= <$ACCOUNT>\r\nReply-To: =?utf-8?q?J=C3=B6rg?= <j\@example.org>\r\n" ],
	);

	for my $row (@rows) {
		my ($from, $args, $want) = @$row;
		my $m = convey("Subject: x\nFrom: $from\nTo: bob\@example.org\n\nbody\n", @$args);
		my $shown = $from =~ s/\n/ /gr =~ s/[^ -~]/?/gr;

		is(fields($m, 'From|Reply-To'), $want, "From: $shown");
		is($m->{from}, "<$ACCOUNT>", 'the envelope says the same');
		size_is_told($m, 'then');
	}
}

# -- a null sender

{
	my $m = convey("From: daemon\@example.org\nSubject: null\n\nbody\n", '-f', '<>');

	is($m->{from}, '<>', 'a null sender stays null');
	is(fields($m, 'From|Reply-To'), "From: $ACCOUNT\r\nReply-To: daemon\@example.org\r\n", 'From: is the account');
}

# -- all the rest is as it was

{
	# Lines of every kind, across the pieces in which it is read.
	my $body = join '', map { ('.' x ($_ % 4)) . "line $_ " . ('x' x (($_ * 37) % 400)) . "\n" } 1 .. 2000;
	my $other = "Received: from a by b\n\twith c; d\nX-Fold: a\n  b\n\tc\nSUBJECT:  spaces  \n" .
	    "Resent-From: carol\@example.org\nResent-To: dan\@example.org\nResent-Date: Wed, 25 Nov 2026 04:06:30 +0100\n" .
	    "Resent-Message-ID: <r\@example.org>\nDKIM-Signature: v=1; d=example.org; h=from:subject;\n b=abc=\n" .
	    "Date: Wed, 25 Nov 2026 04:06:30 +0100\nMessage-ID: <m\@example.org>\n";
	my $plain = "${other}From: Ann <ann\@example.org>\nTo: bob\@example.org\n\n$body";
	my $with = convey($plain);

	ini(smarthost => { %FAST, 'force-from' => 'no' });
	my $without = convey($plain);
	my ($a, $b) = map { $_->{head} =~ s/\A(Received:.*\r\n(?:[ \t].*\r\n)*)//r } $with, $without;

	is($without->{from} . fields($without, 'From|Reply-To'), $without->{from} . "From: Ann <ann\@example.org>\r\n",
	    'force-from = no changes nothing');
	is($a, $b =~ s/^From: .*\r\n/From: Ann <$ACCOUNT>\r\nReply-To: Ann <ann\@example.org>\r\n/mr,
	    'with yes, From: and Reply-To: are all that differs in the header');
	ok($with->{body} eq $without->{body}, 'and nothing in the body');
	ok($with->{body} eq $body =~ s/\n/\r\n/gr, 'which arrives as it was written');
	size_is_told($with, 'large');
	size_is_told($without, 'unchanged');
	ini(smarthost => \%FAST);
}

# -- odd ends

{
	my @rows = (
		[ '', 'nothing at all' ],
		[ "Subject: only\n", 'a header alone' ],
		[ "From: ann\@example.org\nSubject: unended", 'a header without its end' ],
		[ "just text", 'text alone, without its end' ],
		[ "From: ann\@example.org\n\n.\n..\n\n", 'dots' ],
		[ "From: ann\@example.org\n\nunended", 'a last line without its end' ],
		[ "From: ann\@example.org\r\nSubject: crlf\r\n\r\nbody\r\n", 'CRLF' ],
	);

	for my $row (@rows) {
		my $m = convey($row->[0]);

		is(scalar(() = ($m->{head} // '') =~ /^From:/mg), 1, "$row->[1]: From: is there, once");
		size_is_told($m, $row->[1]);
	}
}

# -- a header of nearly a mebibyte, with From: at its end

{
	my $big = join '', map { "X-$_: " . ('y' x 900) . "\n" } 1 .. 1150;
	my $m = convey("${big}From: Ann <ann\@example.org>\n\nbody\n");

	cmp_ok(length $big, '>', 1_000_000, 'a large header');
	is(fields($m, 'From|Reply-To'), "From: Ann <$ACCOUNT>\r\nReply-To: Ann <ann\@example.org>\r\n", 'is changed at its end');
	is($m->{body}, "body\r\n", 'the body follows');
	size_is_told($m, 'a large header');
}

# -- many recipients, in several transactions

{
	begin();
	ini(smarthost => { %FAST, 'recipients-per-message' => 2 });
	is(sendmail([ map { "r$_\@example.org" } 1 .. 5 ], "From: ann\@example.org\nSubject: parts\n\nx\n")->{status}, 0,
	    'five recipients, two at a time');
	ok($s->wait_messages(3), 'are three transactions');
	is(join('|', map { fields(take_apart($_), 'From|Reply-To') } $s->messages),
	    join('|', ("From: $ACCOUNT\r\nReply-To: ann\@example.org\r\n") x 3), 'each from the account');
	is(got($s, 'parts'), 'r1 r2 r3 r4 r5', 'everybody has it once');
}

# -- a damaged header is not sent, a refusal is told to who wrote

{
	begin("connect #1 drop");
	is(sendmail([ '-f', 'ann@example.org', 'bob@example.org' ], "From: ann\@example.org\nSubject: spoilt\n\nx\n")->{status}, 0,
	    'a message waits');
	ok(log_has(qr/ down /), 'since nobody answers');
	my ($id) = queue_ids();
	my $path = spool() . "/queue/$id";
	my $text = slurp($path);

	open my $fh, '+<:raw', $path or die "$path: $!";
	seek $fh, index($text, 'Subject: spoilt'), 0;
	print $fh 'Subject: SPOILT';
	close $fh;
	$s->stop;
	$s = smarthost(args => [ '--plain', '--no-auth' ], script => 'rcpt ~nobody reply "550 5.1.1 no such user"');
	ini(smarthost => \%FAST);
	subpost('retry', 'all');
	ok(log_has(qr/ held id=$id /), 'one whose header is not what was queued is held');
	is(scalar(() = $s->messages), 0, 'and not sent');
	is(sendmail([ '-f', 'ann@example.org', 'nobody@example.org' ], "From: ann\@example.org\n\nx\n")->{status}, 0, 'another is taken');
	ok($s->wait_messages(1), 'and refused, which is reported');
	my ($m) = map { take_apart($_) } $s->messages;
	is("$m->{from} @{$m->{to}}", '<> <ann@example.org>', 'to its own sender');
	like(fields($m, 'From|Reply-To'), qr/^From: [^\r]*<?\Q$ACCOUNT\E>?\r\n\z/, 'in the name of the account');
}

is(join('; ', grep { !/8BIT|EIGHT/i } $s->violations), '', 'no rule was broken');
start_anew($s);
done_testing;
