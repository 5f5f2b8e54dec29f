# Where the account has a rate, messages leave evenly, each at its own moment; and
# nobody spins, or holds a connection for long, meanwhile.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Time::HiRes qw(time stat);
use Witness;

time_limit(120);

my %FAST = (auth => 'none', user => undef, 'password-file' => undef);
# The first waits until all are there, so that nobody leaves with an empty queue.
my $HELD = 'mail #1 wait go default';
my $s;

sub begin
{
	start_anew($s ? $s : ());
	$s = smarthost(args => [ '--plain', '--no-auth' ], script => shift // '');
	ini(smarthost => { %FAST, @_ });
}

sub post
{
	my $subject = shift;

	return sendmail([ 'ann@example.org' ], "Subject: $subject\n\nbody\n")->{status};
}

# The moments at which the smarthost took them.
sub moments
{
	return sort { $a <=> $b } map { (stat)[9] } glob $s->dir . '/messages/*.eml';
}

sub steps
{
	my @at = @_;

	return map { $at[$_] - $at[$_ - 1] } 1 .. $#at;
}

sub switches
{
	return (slurp("/proc/$_[0]/status") // '') =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : 0;
}

# -- many at once

{
	begin($HELD, rate => '10/s');
	is(join('', map { post("m$_") } 1 .. 20), '0' x 20, 'twenty messages are taken at once');
	$s->release('go');
	ok(wait_empty(20), 'and sent');
	my @steps = steps(moments());
	my $all = 0;
	$all += $_ for @steps;
	cmp_ok($all, '>=', 1.7, 'at ten a second not faster than that');
	cmp_ok($all, '<=', 8, 'and not much slower');
	my @close = grep { $_ < 0.05 } @steps;
	cmp_ok(scalar(@close), '<=', 6, 'spread evenly') or diag("@steps");
	cmp_ok(connections($s), '<=', 2, 'over no more connections than may be');
	like(slurp(spool() . '/pace') // '', qr/\Adefault [0-9]{16}\n\z/, 'when the last one left is written down');
}

# -- one by one, each with a runner of its own

{
	begin('', rate => '1/s');
	for (1 .. 3) {
		is(post("single $_"), 0, 'a message comes alone');
		ok(wait_empty(), 'it is sent');
		ok(wait_no_runner(), 'and nobody stays');
	}
	my @early = grep { $_ < 0.9 } steps(moments());
	is("@early", '', 'the rate holds over runners');
}

# -- far apart

{
	begin('', rate => '1/h');
	is(post('first'), 0, 'a message is taken');
	# One that comes before is found by the scan, and logged when it is its turn.
	wait_for(sub { -S spool() . '/runner' }, 10, 'the runner');
	is(post('second'), 0, 'and another one');
	ok(wait_for(sub { $s->messages == 1 && !couriers() }, 10, 'the courier to go'),
	    'for one that is an hour away no connection is held');
	my $runner = runner_pid();
	my $before = switches($runner);
	my $logged = () = log_text() =~ / queued /g;
	post('third');
	ok(wait_for(sub { (() = log_text() =~ / queued /g) > $logged }, 10, 'the log'), 'what comes meanwhile is logged');
	cmp_ok(switches($runner) - $before, '<', 40, 'and whoever waits does not spin');
	is(scalar($s->messages), 1, 'and nothing leaves too early');
	is(runner_pid(), $runner, 'it is the same one');
	ini(smarthost => \%FAST);
	kill 'HUP', $runner;
	ok(wait_empty(), 'without the rate all of it goes');
}

# -- a connection held for a moment

{
	begin($HELD, rate => '1/s');
	post("near $_") for 1 .. 3;
	$s->release('go');
	ok(wait_empty(), 'a second apart');
	is(connections($s), 1, 'they go over one connection');
	begin('', rate => '10/m');
	post("six $_") for 1 .. 2;
	ok(wait_empty(15), 'six seconds apart');
	is(connections($s), 2, 'each has its own, started when it is time');
}

# -- what needs several transactions

{
	begin('', rate => '2/s', 'recipients-per-message' => 1);
	is(sendmail([ map { "r$_\@example.org" } 1 .. 3 ], "Subject: several\n\nbody\n")->{status}, 0,
	    'a message of three transactions is taken');
	ok(wait_empty(), 'and sent');
	my @early = grep { $_ < 0.4 } steps(moments());
	is(scalar(@{[ moments() ]}) . "@early", '3', 'each of them counts');
}

# -- leaving while it waits

{
	begin('', rate => '1/h');
	post("left $_") for 1 .. 2;
	ok(wait_for(sub { $s->messages == 1 && !couriers() }, 10, 'the first'), 'one has left');
	my $runner = runner_pid();
	kill 'TERM', $runner;
	ok(wait_no_runner(), 'sent away, it goes at once');
	like(log_text(), qr/ leaving by=$$ uid=$> *$/m, 'and who sent it is in the log');
	is(scalar(queue_ids()), 1, 'what waits stays');
}

done_testing;
