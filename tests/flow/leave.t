# A runner leaves when nothing waits.  Whoever submits in that very moment, or
# all at once, or more than its socket holds, is served without another word.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl qw(:DEFAULT :flock);
use Flow;
use Witness;
use Time::HiRes qw(sleep time);

time_limit(240);

my $TIMES = $ENV{LEAVE_TIMES} // 1000;
my %FAST = (auth => 'none', user => undef, 'password-file' => undef);
my $s;

sub begin
{
	start_anew($s ? $s : ());
	$s = smarthost(args => [ '--plain', '--no-auth' ], script => shift);
	ini(smarthost => { %FAST, @_ });
}

sub post
{
	my ($subject, %o) = @_;

	return sendmail([ 'bob@example.org' ], "Subject: $subject\n\nbody\n", %o);
}

# A sendmail that has read all but the end of its message: it is queued as soon
# as the pipe is closed.
sub poise
{
	my $subject = shift;

	pipe my $out, my $in or die "pipe: $!";
	my $p = start([ "$B/sendmail", 'bob@example.org' ], stdin => $out);
	syswrite $in, "Subject: $subject\n\nbody\n";
	close $out;
	return ($p, $in);
}

# Answers true as soon as $try does, without a diagnosis, by looking all the time.
sub soon
{
	my ($try, $seconds) = @_;
	my $end = time + $seconds;

	while (!$try->()) {
		return 0 if time > $end;
		sleep 0.0002;
	}
	return 1;
}

# -- one runner at a time

{
	my ($first, $r);

	begin('mail wait go default');
	is(post('stalled')->{status}, 0, 'a message is on its way');
	ok(wait_for(sub { commands($s, 'MAIL') }, 10, 'MAIL'), 'and waits for the smarthost');
	$first = runner_pid();
	ok($first, 'its runner holds the lock');
	$r = run([ "$B/subpostd" ]);
	is("$r->{status} $r->{err}", '0 ', 'a second runner, started by hand, leaves without a complaint');
	cmp_ok($r->{seconds}, '<', 3, 'soon');
	is(runner_pid(), $first, 'and the first has the lock as before');
	$s->release('go');
	ok(wait_empty(), 'which sends the message');
	ok(wait_no_runner(), 'and leaves when nothing waits');
	ok(!-e spool() . '/runner', 'and takes its socket with it');
	is(got($s, 'stalled'), 'bob', 'it has arrived, once');
}

# -- more wakes than the socket holds

{
	my ($runner, @r);

	begin('mail #1 wait go default', connections => 1);
	post('wake 0');
	wait_for(sub { commands($s, 'MAIL') }, 10, 'MAIL');
	$runner = runner_pid();
	kill 'STOP', $runner;
	push @r, post("wake $_") for 1 .. 60;
	is(scalar(grep { $_->{status} != 0 || $_->{err} ne '' } @r), 0, 'while the runner does not read, sixty messages are taken');
	cmp_ok((sort { $b <=> $a } map { $_->{seconds} } @r)[0], '<', 5, 'and nobody waits for it');
	is(runner_pid(), $runner, 'no other takes its place');
	kill 'CONT', $runner;
	$s->release('go');
	ok(wait_empty(20), 'when it reads again, all are sent');
	is(scalar(grep { got($s, "wake $_") ne 'bob' } 0 .. 60), 0, 'each once');
	is(connections($s), 1, 'on the connection that was there');
}

# -- many at once

{
	my @p;

	begin();
	for my $i (1 .. 64) {
		push @p, start([ '/bin/sh', '-c', 'for n in 1 2 3 4 5; do printf "Subject: crowd $1.$n\n\nbody\n" | ' .
		    '"$0" bob@example.org || exit; done', "$B/sendmail", $i ]);
	}
	my @r = map { $_->wait(60) } @p;
	is(scalar(grep { $_->{status} != 0 || $_->{err} ne '' } @r), 0, '64 at once submit five messages each');
	ok(wait_empty(60), 'the queue empties');
	ok(wait_no_runner(), 'and the runner leaves');
	my %n;
	$n{$_}++ for map { $_->{eml} =~ /^Subject: (crowd [\d.]+)\r$/m } $s->messages;
	is(scalar(keys %n), 320, 'all 320 have arrived');
	is(join(' ', grep { $n{$_} != 1 } keys %n), '', 'each once');
	is(join('; ', $s->violations), '', 'and no rule was broken');
}

# -- somebody holds the lock and is no runner

# A queue of its own, since the runner is patient: its patience is looked at at the end.
my ($other, $lock) = ("$T/other");

{
	my $r;

	begin();
	ini(smarthost => \%FAST, queue => { directory => $other }, -path => "$T/other.ini");
	is(subpost('queue', { env => { SUBPOST_CONFIG => "$T/other.ini" } })->{status}, 0, 'a queue');
	sysopen $lock, "$other/lock", O_RDWR | O_CREAT, 0600 or die "$other/lock: $!";
	flock $lock, LOCK_EX or die "flock: $!";
	$r = post('locked', env => { SUBPOST_CONFIG => "$T/other.ini" });
	is("$r->{status} $r->{err}", '0 ', 'whose lock somebody holds takes a message all the same');
	cmp_ok($r->{seconds}, '<', 5, 'at once');
	ok(wait_for(sub { Flow::holder("$other/next") }, 10, 'the one who waits'), 'a runner waits for it');
	is(run([ "$B/subpostd" ], env => { SUBPOST_CONFIG => "$T/other.ini" })->{status}, 0, 'and another need not');
}

# -- in the very moment the runner leaves

{
	my ($seed, $stranded, $refused, $begun, %pids) = (4711, 0, 0, time);
	my $socket = spool() . '/runner';

	srand $seed;
	for my $i (1 .. $TIMES) {
		my ($p, $in) = poise("moment $i");

		# Half of them as soon as the last message has gone, half as soon as
		# the socket has; and each up to three milliseconds later.
		soon(sub { !-e $socket }, 5) if $i % 2;
		sleep rand 0.003;
		close $in;
		$refused += $p->wait(10)->{status} != 0;
		# Nobody else comes by: who is stranded now stays so.
		if (!soon(sub { !queue_ids() }, 5)) {
			$stranded++;
			diag("message $i is stranded: ", slurp(spool() . '/log') =~ s/\A.*\n(?=(?:.*\n){10}\z)//sr);
			subpost('retry', 'all');
			wait_empty();
		}
	}
	is($refused, 0, "$TIMES messages are taken, each as the runner is about to leave");
	is($stranded, 0, 'and none of them is stranded');
	ok($s->wait_messages($TIMES), 'all have arrived');
	my %n;
	$n{$_}++ for map { $_->{eml} =~ /^Subject: (moment \d+)\r$/m } $s->messages;
	is(scalar(grep { ($n{"moment $_"} // 0) != 1 } 1 .. $TIMES), 0, 'each once');
	ok(wait_no_runner(), 'and the runner leaves');
	%pids = map { $_ => 1 } map { /subpostd\[(\d+)\]/g } map { slurp($_) // '' } glob spool() . '/log*';
	diag(sprintf 'seed %d, %d messages, %d runners, %.1f s', $seed, $TIMES, scalar keys %pids, time - $begun);
}

{
	ok(wait_for(sub { (slurp("$other/log") // '') =~ / waiting [^\n]*fuser[^\n]* lock=\Q$other\E$/m }, 60, 'its patience'),
	    'a runner that cannot have the lock says after a while how to find who has it');
	is((() = slurp("$other/log") =~ / waiting /g), 1, 'once');
	close $lock;
	ok(wait_for(sub { got($s, 'locked') eq 'bob' }, 20, 'the message'), 'when he has let go, the message leaves, and nobody need come by');
}

start_anew($s);
done_testing;
