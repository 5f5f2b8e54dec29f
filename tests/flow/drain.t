# Five hundred messages drain while runners and couriers die two hundred times.
# Nobody is lost, and nobody gets a message twice unless the courier was killed
# between the final dot and the word that its answer is on disk: then the first
# copy is the last thing on a connection that was cut.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;
use Time::HiRes qw(sleep time);

use constant MESSAGES => 500;
use constant KILLS => 200;

time_limit(280);

my $seed = $ENV{KILL_SEED} // 20261125;
my ($s, %killed, %got, @lost, @twice, @unexplained);

# -- 500 wait for a smarthost that is not there yet

$s = smarthost();
my $port = $s->port;
ini(-smarthost => $s, queue => { retry => '1s', 'retry-refused' => '1s' });
$s->stop;
for my $n (1 .. MESSAGES) {
	my $r = sendmail([ 'bob@example.org' ], "Subject: letter $n.\n\nbody of letter $n\n");

	fail("letter $n: sendmail ended with $r->{status}: $r->{err}") if $r->{status} != 0;
}
is(scalar(my @all = queue_ids()), MESSAGES, MESSAGES . ' messages are queued while the smarthost is away');

# -- it comes, and death with it

srand $seed;
$s = smarthost(args => [ '-p', $port ], script => 'delay-all 6');
ini(-smarthost => $s, queue => { retry => '1s', 'retry-refused' => '1s' });
for my $round (1 .. KILLS) {
	my $who = (qw(runner courier both))[rand 3];
	my $end = time + 5;

	# As the next sendmail would: somebody comes by and wakes a runner.
	subpost('retry', 'all');
	sleep 0.001 until couriers() || !queue_ids() || time > $end;
	last if !queue_ids();
	sleep 0.001 * rand 50;
	my ($runner, @couriers) = (runner_pid(), couriers());
	$killed{courier} += kill_dead($_) for $who ne 'runner' ? @couriers : ();
	$killed{runner} += kill_dead($_) for $who ne 'courier' && defined $runner ? $runner : ();
}
ok(wait_for(sub { subpost('retry', 'all'); sleep 0.1; !queue_ids() }, 120, 'the queue to empty'),
    'the queue empties all the same');
ok(wait_no_runner(), 'and the runner leaves');
$s->stop;

# -- who got what

my %last;               # the last message on each connection
for my $m ($s->messages) {
	my ($n) = $m->{eml} =~ /^Subject: letter (\d+)\.\r$/m;

	push @{ $got{$n} }, $m;
	$last{ $m->{connection} } = $m->{number}
	    if $m->{number} > ($last{ $m->{connection} } // 0);
}
my $dialogue = $s->dialogue;
@lost = grep { !$got{$_} } 1 .. MESSAGES;
@twice = grep { @{ $got{$_} // [] } > 1 } 1 .. MESSAGES;
for my $n (@twice) {
	my @copies = sort { $a->{number} <=> $b->{number} } @{ $got{$n} };

	pop @copies;
	push @unexplained, grep { $last{ $_->{connection} } != $_->{number} } @copies;
}
is(join(' ', @lost), '', 'none of them is lost');
is(scalar(@unexplained), 0, 'what came twice was each time the last on a connection that was cut');
cmp_ok(scalar(@twice), '<=', $killed{courier} // 0, 'and that is at most as often as couriers were killed');
is(join('; ', $s->violations), '', 'no rule of SMTP is broken');
cmp_ok(($killed{courier} // 0) + ($killed{runner} // 0), '>=', KILLS, 'death did come ' . KILLS . ' times');
diag(sprintf 'seed %d: %d messages, %d runners and %d couriers killed: %d lost, %d twice', $seed, MESSAGES,
    $killed{runner} // 0, $killed{courier} // 0, scalar @lost, scalar @twice);
done_testing;
