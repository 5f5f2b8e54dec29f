# Sudden death, at chosen moments and at hundreds of random ones: no message is
# lost, and none is sent twice unless the courier died between the final dot and
# the word that it was heard.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;
use Time::HiRes qw(sleep time);

time_limit(300);

# More than the kernel takes off a courier's hands while the far end does not
# read: so its final dot cannot be out yet.
my $HUGE = ("A line of the text, and not the last. " x 20 . "\n") x 26000;
my %SOON = (queue => { retry => '1s', 'retry-refused' => '1s' });
my $s;

sub begin
{
	start_anew($s ? $s : ());
	$s = smarthost(script => shift);
	ini(%SOON);
}

sub post
{
	my ($subject, $to, $body) = @_;
	my $r = sendmail([ $to // 'bob@example.org' ], "Subject: $subject\n\n" . ($body // "body of $subject\n"));

	fail("$subject: sendmail ended with $r->{status}: $r->{err}") if $r->{status} != 0 || $r->{err} ne '';
}

# -- at chosen moments

my %MOMENTS = (
	'before the text is asked for' => [ 'data #1 wait go default', sub { commands($s, 'DATA') } ],
	'in the middle of the text' => [ 'text 1 #1 wait go', sub { $s->dialogue =~ /^S: 354/m } ],
	'between the final dot and its answer' => [ 'dot #1 wait go default', sub { commands($s, '<text') } ],
);
my @ORDER = ('before the text is asked for', 'in the middle of the text', 'between the final dot and its answer');

# Brings one message to that moment; answers with the pids of runner and courier.
sub bring_to
{
	my $moment = shift;
	my ($script, $reached) = @{ $MOMENTS{$moment} };
	my ($runner, $courier);

	begin($script);
	post('letter', undef, $moment =~ /text$/ ? $HUGE : undef);
	wait_for($reached, 10, "the moment $moment");
	wait_for(sub { ($runner, $courier) = (runner_pid(), couriers()); defined $courier }, 5, 'runner and courier');
	return ($runner, $courier);
}

for my $moment (@ORDER) {
	my ($runner) = bring_to($moment);
	my $again;

	ok(kill_dead($runner), "the runner dies $moment");
	subpost('retry', 'all');
	ok(wait_for(sub { ($again = runner_pid()) && $again != $runner }, 10, 'another runner'), 'another one takes its place');
	is(connections($s), 1, 'and does not send what the courier still has');
	$s->release('go');
	ok(wait_empty(15), 'the queue empties');
	ok(wait_no_runner(15), 'the runner leaves');
	ok(wait_for(sub { !couriers() }, 10, 'the courier to leave'), 'and the courier, too');
	is(got($s, 'letter'), 'bob', 'the message has arrived, once');
}

for my $moment (@ORDER) {
	my (undef, $courier) = bring_to($moment);
	my $in_doubt = $moment =~ /final dot/;

	ok(kill_dead($courier), "the courier dies $moment");
	ok(wait_empty(15), 'another one sends the message');
	$s->release('go');
	ok(wait_no_runner(15), 'the runner leaves');
	$s->stop;
	like(got($s, 'letter'), $in_doubt ? qr/^bob(?:\*2)?$/ : qr/^bob$/,
	    $in_doubt ? 'it arrives, at most twice: nobody could know' : 'it arrives, once');
}

for my $moment (@ORDER) {
	my ($runner, $courier) = bring_to($moment);
	my $in_doubt = $moment =~ /final dot/;

	is(kill_dead($runner) + kill_dead($courier), 2, "both die $moment");
	post('next');
	ok(wait_empty(15), 'the next sendmail has both messages sent');
	$s->release('go');
	ok(wait_no_runner(15), 'the runner leaves');
	$s->stop;
	is(got($s, 'next'), 'bob', 'the next message once');
	like(got($s, 'letter'), $in_doubt ? qr/^bob(?:\*2)?$/ : qr/^bob$/, $in_doubt ? 'that one at most twice' : 'that one once');
}

for my $moment (@ORDER) {
	my ($runner) = bring_to($moment);

	ok(kill('TERM', $runner), "the runner is asked to leave $moment");
	ok(!wait_for_end($runner, 0.3), 'it waits for the answer');
	$s->release('go');
	ok(wait_for_end($runner, 15), 'and then leaves');
	subpost('retry', 'all');
	ok(wait_empty(15), 'nothing is left over');
	is(got($s, 'letter'), 'bob', 'the message has arrived, once');
	unlike(log_text(), qr/ down | courier-died /, 'and nobody is blamed');
}

# True as soon as that process has ended; false when it still runs after a time.
sub wait_for_end
{
	my ($pid, $seconds) = @_;
	my $end = time + $seconds;

	while (kill 0, $pid) {
		return 0 if time > $end;
		sleep 0.005;
	}
	return 1;
}

{
	my $s0 = smarthost();
	my ($port, $runner) = ($s0->port);

	start_anew($s, $s0);
	ini(queue => { retry => '1h' });
	post('waiting');
	log_has(qr/ down /);
	$runner = runner_pid();
	kill 'TERM', $runner;
	ok(wait_for_end($runner, 5), 'a runner that only waits leaves at once when asked to');
	post('one more');
	ok(wait_for(sub { my $pid = runner_pid(); $pid && $pid != $runner }, 5, 'a runner'), 'the next sendmail starts another');
	is(scalar(my @down = log_text() =~ / down /g), 1, 'which remembers that the account is down');
	wait_for(sub { -S spool() . '/runner' }, 5, 'its socket');
	kill_dead(runner_pid());
	ok(-S spool() . '/runner', 'one that is killed leaves its socket behind');
	$s = smarthost(args => [ '-p', $port ]);
	ini(%SOON);
	subpost('retry', 'all');
	ok($s->wait_messages(2) && wait_empty(), 'which is in nobody\'s way');
	is(got($s, 'waiting') . got($s, 'one more'), 'bobbob', 'both messages go, once');
}

{
	my $p;

	begin('');
	pipe my $out, my $in or die "pipe: $!";
	$in->autoflush(1);
	$p = start([ "$B/sendmail", 'bob@example.org' ], stdin => $out);
	print $in "Subject: half\n\n" . "half a letter\n" x 10000;
	wait_for(sub { -d spool() . '/queue' }, 5, 'the queue');
	kill 'KILL', $p->pid;
	is($p->wait->{signal}, 9, 'a sendmail that dies before its message is whole');
	is(scalar(queue_ids()), 0, 'leaves nothing in the queue');
	post('whole');
	ok($s->wait_messages(1) && wait_empty(), 'and nothing in the way of the next');
	is(scalar(my @m = $s->messages), 1, 'which is all that arrives');
}

# A message that the courier dies of must not take the others with it.
{
	my %seen;

	begin('mail ~toxic@ wait never');
	sendmail([ '-f', 'toxic@example.net', 'bob@example.org' ], "Subject: toxic\n\nbody\n");
	for my $n (1 .. 3) {
		my $pid;

		wait_for(sub { my @c = commands($s, 'MAIL FROM:<toxic'); @c >= $n }, 10, "MAIL number $n");
		wait_for(sub { ($pid) = grep { !$seen{$_}++ } couriers(); $pid }, 10, 'a new courier');
		kill 'SEGV', $pid;
		wait_for_end($pid, 5);
	}
	ok(wait_for(sub { ((rows())[0]{state} // '') eq 'held' }, 10, 'the message to be held'),
	    'a message that three couriers have crashed on is put aside');
	like(((rows())[0] // {})->{reason} // '', qr/crashed on it three times/, 'with the reason');
	post('harmless');
	ok($s->wait_messages(1), 'and others go');
	is(got($s, 'harmless'), 'bob', 'once');
	unlike(log_text(), qr/ down /, 'without blame for the account');
}

# -- at random moments

# Kills @who again and again while messages come in and go out.  Answers with
# the number of kills that hit a runner and of those that hit a courier.
sub kill_at_random
{
	my ($rounds, $choose) = @_;
	my ($runners, $couriers, $n) = (0, 0, 0);

	for my $round (1 .. $rounds) {
		my %who = map { $_ => 1 } $choose->();
		my $end = time + 1;

		post('letter ' . ++$n . '.') for 1 .. 2;
		sleep 0.001 while $who{courier} && !couriers() && queue_ids() && time < $end;
		sleep 0.001 * int rand($who{courier} ? 25 : 60);
		my $before = $couriers + $runners;
		$couriers += kill_dead($_) for $who{courier} ? couriers() : ();
		$runners += kill_dead($_) for $who{runner} ? grep { defined } runner_pid() : ();
		# Nobody to be killed: on a slow machine couriers die before they have said a
		# word, and the account is left alone for that.
		subpost('retry', 'all') if $round % 3 == 0 || $couriers + $runners == $before;
	}
	return ($runners, $couriers, $n);
}

for my $case ([ 'runners', 110, sub { 'runner' } ], [ 'couriers', 50, sub { 'courier' } ],
    [ 'runners and couriers', 70, sub { (['runner'], ['courier'], ['runner', 'courier'])[rand 3]->@* } ]) {
	my ($whom, $rounds, $choose) = @$case;
	my $seed = $ENV{KILL_SEED} // 20240229;
	my ($runners, $couriers, $n, %got, @lost, @twice);

	srand $seed;
	begin('delay-all 2');
	($runners, $couriers, $n) = kill_at_random($rounds, $choose);
	ok(wait_for(sub { subpost('retry', 'all'); sleep 0.2; !queue_ids() }, 60, 'the queue to empty'),
	    "$whom die at random: the queue empties all the same");
	$s->stop;
	$got{$_}++ for map { $_->{eml} =~ /^Subject: (letter \d+\.)\r$/m } $s->messages;
	@lost = grep { !$got{$_} } map { "letter $_." } 1 .. $n;
	@twice = grep { $got{$_} > 1 } sort keys %got;
	is(join(' ', @lost), '', "of $n messages none is lost");
	if ($couriers == 0) {
		is(join(' ', @twice), '', 'and none arrives twice');
	} else {
		cmp_ok(scalar(@twice), '<=', $couriers, 'and no more arrive twice than couriers were killed');
	}
	is(join('; ', $s->violations), '', 'and no rule is broken');
	cmp_ok($runners + $couriers, '>=', $rounds / 8, 'the kills did hit');
	diag("seed $seed, $n messages, $runners runners and $couriers couriers killed: " .
	    @lost . ' lost, ' . @twice . ' twice');
}

start_anew($s);
done_testing;
