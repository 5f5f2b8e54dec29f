# Sudden death in the service, at random moments, under eight submitters: clerk,
# runner, courier, and the service as a whole.  Who was told yes has their message
# in the queue or sent; everything is started again by itself.
#
# SUBPOST_KILLS=300 for the long run; KILL_SEED for another one.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Witness;
use Time::HiRes qw(sleep time);

my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';

my $KILLS = $ENV{SUBPOST_KILLS} // 60;
my $SEED = $ENV{KILL_SEED} // 20240229;
my @SUBMITTERS = (qw(bob www-data root bob alice www-data nobody ops));
my %SOON = (queue => { retry => '1s', 'retry-refused' => '1s' });

time_limit(180 + 2 * $KILLS);
my $sh = smarthost(script => 'delay-all 1');

system_ini(%SOON);

# -- whoever starts it again, as a service manager does

my $SUPERVISOR = <<'END';
my ($file, @argv) = @ARGV;
my ($pid, $over);
$SIG{TERM} = sub { $over = 1; kill 'TERM', $pid if $pid };
until ($over) {
	$pid = fork // die;
	if (!$pid) { $SIG{TERM} = 'DEFAULT'; exec @argv or die; }
	open my $f, '>', "$file.new"; print $f "$pid\n"; close $f;
	rename "$file.new", $file;
	1 until waitpid($pid, 0) == $pid;
}
exit($? >> 8 || $? & 127);
END
my $supervisor = start([ $^X, '-e', $SUPERVISOR, "$T/master", "$B/subpostd", '--service' ], cwd => '/');

# The service of this moment, or undef.
sub master
{
	my ($pid) = (slurp("$T/master") // '') =~ /^(\d+)$/m or return undef;

	return (readlink("/proc/$pid/exe") // '') =~ m{/subpostd$} ? $pid : undef;
}

sub answers
{
	my $s = desk_open() or return 0;
	my ($kind) = desk_hear($s, 5);

	return defined $kind && $kind eq 'h';
}
ok(wait_for(\&answers, 20, 'the service'), 'the service answers');

# -- the submitters

# Sends one message after the other, each with a subject of its own, and writes
# down with what each ended.
my $SUBMITTER = <<'END';
use strict;
use IO::Handle;
my ($stop, $who, @argv) = @ARGV;
STDOUT->autoflush(1);
open STDERR, '>', '/dev/null' if !$ENV{FLOW_KEEP};
for (my $n = 1; !-e $stop; $n++) {
	open my $p, '|-', @argv or die;
	print $p "Subject: $who $n\n\nbody\n";
	close $p;
	print "$who $n $?\n";
	select undef, undef, undef, 0.2;
}
END
my $n = 0;
my @faces = map { start_as($_, [ $^X, '-e', $SUBMITTER, "$T/stop", 's' . ++$n, $SENDMAIL, 'a@x.example' ]) } @SUBMITTERS;

# -- and death

my %children = (
	clerk => sub { clerks(@_) },
	runner => sub { runners() },
	courier => sub { grep { (readlink("/proc/$_/exe") // '') =~ m{/subpost-courier$} } service_processes(@_) },
	service => sub { @_ },
);
my @KINDS = qw(clerk runner courier service);
my %killed = map { $_ => 0 } @KINDS;

srand $SEED;
my $began = time;
for my $round (1 .. $KILLS) {
	my $kind = $KINDS[$round % @KINDS];
	my $end = time + 3;

	sleep 0.001 * int rand 50;
	while (time < $end) {
		my $master = master();
		my @whom = defined $master ? $children{$kind}->($master) : ();

		if (@whom && kill 'KILL', $whom[rand @whom]) {
			$killed{$kind}++;
			last;
		}
		sleep 0.0005;
	}
}
my $took = time - $began;
ok(wait_for(\&answers, 20, 'the service'), 'after the last death the service answers');
my $last = as_user('bob', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: the last\n\nbody\n");
is("$last->{status} $last->{err}", '0 ', 'and takes mail');
spew("$T/stop", '');
my %status;
for my $r (map { $_->wait(40) } @faces) {
	ok(!$r->{timed_out}, 'no submitter hangs');
	$status{$1} = $2 while $r->{out} =~ /^(s\d+ \d+) (\d+)$/mg;
}
# A loaded machine may take its time, as long as the queue becomes shorter.  Each order
# looks at every message, so it is not given all the time.
my ($left, $before, $rounds) = (1, 1e9, 0);
while ($left > 0 && $left < $before) {
	subpost('retry', 'all');
	$before = $left if $rounds++;
	wait_for(sub { !queue_ids() }, 15);
	$left = queue_ids();
}
is($left, 0, 'everything that waits is sent') or diag(substr(mailq()->{out}, 0, 2000), join "\n", (split /\n/, log_text())[-20 .. -1]);
ok(wait_no_runner(20), 'and the runner leaves');
$supervisor->pid && kill 'TERM', $supervisor->pid;
is($supervisor->wait(20)->{status}, 0, 'the service leaves when it is asked to');

# -- what became of it

my %got;
$sh->stop;
$got{$_}++ for map { $_->{eml} =~ /^Subject: (s\d+ \d+)\r$/m } $sh->messages;
my @yes = grep { $status{$_} == 0 } sort keys %status;
my @later = grep { $status{$_} == 75 << 8 } sort keys %status;
my @other = grep { $status{$_} != 0 && $status{$_} != 75 << 8 } sort keys %status;
my @doubt = grep { $got{$_} } @later;
my @twice = grep { $got{$_} > 1 } sort keys %got;
my $kills = 0;
$kills += $_ for values %killed;

is(substr(join(' ', grep { !$got{$_} } @yes), 0, 1000), '', 'who was told yes: not one message is lost');
is(join(' ', map { "$_: $status{$_}" } @other), '', 'everybody else was told to try again');
cmp_ok(scalar(@doubt), '<=', $kills, 'no more are queued than kills of those who were told no');
cmp_ok(scalar(@twice), '<=', $kills, 'nor arrive twice');
cmp_ok(scalar(@yes), '>=', 50, 'most were told yes');
cmp_ok($killed{$_}, '>=', int($KILLS / 8), "the kills did hit: $_") for @KINDS;
is(join('; ', $sh->violations), '', 'and no rule is broken');
is(scalar(my @half = glob spool() . '/tmp/*'), 0, 'nothing half is left');
diag(sprintf 'seed %d, %.0f s: %s; %d taken, %d told to try again, %d of those queued all the same, %d twice', $SEED, $took,
    join(', ', map { "$killed{$_} ${_}s" } @KINDS), scalar @yes, scalar @later, scalar @doubt, scalar @twice);
done_testing;
