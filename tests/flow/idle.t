# A service that has nothing to do does nothing: it is one process that nobody
# wakes, small, and without the libraries that only a courier needs.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Time::HiRes qw(sleep time);
use Witness;

use constant WATCHED => 5;      # seconds
use constant KIB_MAX => 2048;

time_limit(60);

# How often that process has been switched to since it began.
sub switches
{
	my @n = (slurp("/proc/$_[0]/status") // '') =~ /^\w*voluntary_ctxt_switches:\s*(\d+)/mg;

	return @n == 2 ? $n[0] + $n[1] : die "/proc/$_[0]/status does not say it\n";
}

sub children { return split ' ', slurp("/proc/$_[0]/task/$_[0]/children") // '' }

my $socket = "$T/run/socket";
my $with = { SUBPOST_CONFIG => "$T/system/subpost.ini" };
my $s = smarthost(args => [ '--plain', '--no-auth' ]);

ini(-path => $with->{SUBPOST_CONFIG}, smarthost => { auth => 'none', user => undef, 'password-file' => undef },
    service => { socket => $socket }, queue => { directory => spool() });
my $service = start([ "$B/subpostd", '--service', $> == 0 ? ('--user', 'root') : () ], env => $with);
my $pid = $service->pid;

ok(wait_for(sub { -S $socket }, 10, 'the socket'), 'a service begins');
is(sendmail([ 'ann@example.org' ], "Subject: one\n\nbody\n", env => $with)->{status}, 0, 'is given a message');
ok(wait_for(sub { arrived($s, 'one') && !queue_ids() }, 20, 'the message'), 'which arrives');
ok(wait_for(sub { children($pid) == 1 }, 20, 'its children to leave'), 'and then it has nobody but a spare clerk');
my ($spare) = children($pid);
is(slurp("/proc/$spare/comm"), "subpostd-spare\n", 'who waits for the next caller');

# Until it has buried the last one.
wait_for(sub { my $n = switches($pid); sleep 0.2; $n == switches($pid) }, 10, 'it to sleep');
my $before = switches($pid) + switches($spare);
my $end = time + WATCHED;

sleep $end - time while time < $end;
is(switches($pid) + switches($spare) - $before, 0, 'nothing wakes it in ' . WATCHED . ' seconds');

my $kib = 0;
$kib += (slurp("/proc/$_/smaps_rollup") // '') =~ /^Pss:\s*(\d+) kB/m ? $1 : 1 << 30 for $pid, $spare;

SKIP: {
	skip('a sanitizer has memory of its own', 1) if (slurp("/proc/$pid/maps") // '') =~ /lib[at]san|ubsan/;
	cmp_ok($kib, '<=', KIB_MAX, "they hold $kib KiB");
}
unlike(slurp("/proc/$pid/maps"), qr/gnutls|gsasl|seccomp/, 'and maps nothing that is a courier\'s');
kill 'TERM', $pid;
is($service->wait(20)->{status}, 0, 'it leaves when it is told to');
is(slurp("$service->{io}.err") // '', '', 'and has said nothing');

done_testing();
