# Started as root: the service is its account for good, and who else has that account gets
# nothing of root's by it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Witness;

my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';
time_limit(60);
system_ini(smarthost => { nobody_answers() });

# Waits for the socket that root makes in the account's directory, and puts a link to a
# file of root's in its place.
my $SWAP = <<'END';
use Time::HiRes 'sleep';
for (1 .. 2000) {
	if (my ($name) = glob '/run/subpost/socket.*') {
		unlink $name;
		exit !symlink '/etc/of-root', $name;
	}
	sleep 0.005;
}
exit 1;
END

SKIP: {
	skip 'strace is not here', 2 if run([ 'strace', '-V' ])->{status} != 0;
	mkdir '/run/subpost', 0755;
	chown uid_of('subpost'), 0, '/run/subpost';
	spew('/etc/of-root', "secret\n", 0600);
	my $swap = start_as('subpost', [ $^X, '-e', $SWAP ]);
	# Root pauses where a name could be followed.
	my @slowly = ('strace', '-f', '-o', '/dev/null', '-e', 'trace=/chmod,listen', '-e', 'inject=/chmod,listen:delay_enter=300000', '--');
	my $service = start([ @slowly, "$B/subpostd", '--service' ], cwd => '/');

	is($swap->wait(20)->{status}, 0, 'who has the account puts a link in place of the socket');
	wait_for(sub { -l '/run/subpost/socket' }, 5, 'the service');
	is(sprintf('%o', (stat '/etc/of-root')[2] & 07777), '600', 'and what it leads to stays as it was');
	kill 'KILL', processes(qr/^subpostd/);
	$service->wait(20);
	unlink '/run/subpost/socket';
}

service_start();
is(sprintf('%o', (stat $SOCKET)[2] & 07777), '666', 'everybody may call');
is(sprintf('%o', (stat '/var/lib/subpost')[2] & 07777), '700', 'and nobody else enter the queue');
is((stat '/var/lib/subpost')[4], uid_of('subpost'), 'which is the account\'s');

my $s = desk_open();

desk_say($s, 'h', 'subpost 1');
ok(wait_for(sub { clerks() }, 10, 'a clerk'), 'somebody calls');
for my $pid (service_pid(), clerks()) {
	my $what = $pid == service_pid() ? 'the service' : 'its clerk';
	my %is = (slurp("/proc/$pid/status") // '') =~ /^(\w+):\s*(.*)$/mg;
	my $account = uid_of('subpost');

	is(join(' ', split ' ', $is{Uid}), "$account $account $account $account", "$what is the account");
	is(join(' ', split ' ', $is{Gid}), "$account $account $account $account", 'and of its group');
	is($is{Groups} =~ s/\s+$//r, $account, 'alone');
	like($is{CapPrm}, qr/^0+$/, 'with no rights of root\'s');
	like($is{CapEff}, qr/^0+$/, 'at all');
	is((stat "/proc/$pid/environ")[4], 0, 'and nobody of the account can look into it');
}
is(service_stop()->{status}, 0, 'it leaves when asked to');
done_testing;
