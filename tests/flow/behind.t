# The runner of the service: behind its fence it can do all that an own office's does;
# it counts what each has waiting, whoever worked before it; and whoever sends it away
# is named, and followed by the next.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Witness;
use File::Path 'remove_tree';

my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';
time_limit(180);

my %SLOW = (queue => { retry => '1h', 'retry-refused' => '1h' }, service => { 'user-messages' => 5 });
my $sh;

sub begin
{
	my ($script, %ini) = @_;

	service_stop() if $sh;
	remove_tree(glob '/var/lib/subpost/*') if $sh;
	$sh->stop if $sh;
	$sh = smarthost(script => $script);
	system_ini(%ini);
	service_start();
}

sub post
{
	my ($who, $subject, @options) = @_;

	return as_user($who, [ $SENDMAIL, @options, 'ann@x.example' ], stdin => "Subject: $subject\n\nbody\n");
}

sub status_of
{
	my ($pid, $name) = @_;

	return (slurp("/proc/$pid/status") // '') =~ /^\Q$name\E:\s+(\S+)/m ? $1 : '?';
}

sub runner { return (runners())[0] // 0 }

# -- what it does there

{
	begin("mail #1 wait go default\nrcpt ~never reply \"550 5.1.1 nobody of that name\"");
	is(post('bob', 'held up')->{status}, 0, 'a message is on its way');
	ok(wait_for(sub { commands($sh, 'MAIL') && runner() }, 10, 'a runner'), 'somebody is at work');
	my $runner = runner();
	is(status_of($runner, 'Seccomp') . status_of($runner, 'NoNewPrivs'), '21', 'behind a fence');
	is(status_of($runner, 'Uid'), $ACCOUNT, 'as the service account');
	my @open = map { readlink($_) // () } glob "/proc/$runner/fd/*";
	is(join(' ', grep { m{^/} && !m{^(?:/var/lib|/run/lib)/subpost(?:/|$)|^/dev/null$} && !m{^\Q$T\E/io/} } @open), '',
	    'with nothing open that is not below the queue') or diag("@open");
	$sh->release('go');
	ok(wait_empty(), 'it sends');
	like(log_text(), qr/ queued [^\n]*uid=2002.* sent /s, 'and logs');
	my ($mine) = log_text() =~ /^(\S+) \S+ queued/m;
	like($mine, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/, 'with the time');

	my $r = post('bob', 'looked at', '-O', 'wait=30s', '-v');
	is($r->{status}, 0, 'somebody waits, and is told');
	like($r->{err}, qr/^<<< 250/m, 'what was said');

	is(as_user('bob', [ $SENDMAIL, '-f', 'bob@x.example', 'never@x.example' ], stdin => "Subject: no\n\nbody\n")->{status}, 0,
	    'a message that nobody takes');
	ok(wait_empty(), 'is settled');
	is(scalar(my @failed = queue_ids('failed')), 1, 'and lies with what has failed');
	ok(wait_for(sub { arrived($sh, 'Undelivered: no') || grep { $_->{eml} =~ /^To: .*bob\@x/mi } $sh->messages }, 10, 'the report'),
	    'its sender is told');
	ok(wait_for(sub { !runner() }, 10, 'the runner to leave'), 'then nobody stays');
	ok(wait_for(sub { grep({ is_alive($_) } service_processes()) == 1 }, 10, 'the others to end'), 'but the service, and a spare clerk');
}

# -- a server that is down, and a courier that cannot begin

{
	begin("connect #1 reply \"421 4.3.2 closed\"\nconnect #2- default", %SLOW);
	post('bob', 'down');
	ok(log_has(qr/ down account=default /), 'that the server is down is noted');
	ok(wait_for(sub { (slurp('/var/lib/subpost/health') // '') =~ /^account default down/m }, 10, 'health'), 'also for the next');
	kill 'HUP', runner();
	is(scalar(queue_ids()), 1, 'and mail waits');
	my $first = runner();
	is(as_user('root', [ "$B/subpost", 'retry', 'all' ])->{status}, 0, 'an operator has it tried again');
	ok(wait_empty(), 'it goes');
}

# -- sent away

{
	begin("connect #1 reply \"421 4.3.2 closed\"\nconnect #2- default", %SLOW);
	post('bob', 'stays');
	ok(log_has(qr/ down account=default /), 'mail waits');
	my $first = runner();
	kill 'TERM', $first;
	ok(wait_for(sub { runner() && runner() != $first }, 10, 'the next runner'), 'a runner that somebody sends away is followed');
	ok(log_has(qr/subpostd\[$first\]: leaving by=$$ uid=0/), 'and who it was is logged');
	service_kill();
	ok(wait_for(sub { !runner() }, 10, 'the runner to leave'), 'with the service killed nobody goes on');
	ok(log_has(qr/subpostd\[\d+\]: leaving reason="the service has ended"/), 'and that is logged');
	service_start();
	ok(wait_for(sub { runner() }, 10, 'a runner'), 'the next service has one');
}

# -- counting

# Until bob is refused; how many of his were taken.
sub fill
{
	my $taken = 0;

	wait_for(sub {
		my $r = post('bob', 'many');

		$taken++ if $r->{status} == 0;
		return $r->{status} == 75;
	}, 10, 'a refusal');
	return $taken;
}

{
	begin("connect #1- reply \"421 4.3.2 closed\"", %SLOW);
	cmp_ok(fill(), '>=', 5, 'one uid fills its place');
	my $first = runner();
	kill 'KILL', $first;
	ok(wait_for(sub { runner() && runner() != $first }, 20, 'the next runner'), 'the runner dies, and another comes');
	is(post('bob', 'after')->{status}, 75, 'who is as strict');
	is(post('alice', 'after')->{status}, 0, 'with him alone');
	service_kill();
	service_start();
	ok(wait_for(sub { post('bob', 'after')->{status} == 75 }, 10, 'a refusal'), 'as is another service, when it has looked');
	my ($one, @others) = grep { owner_of($_) == 2002 } queue_ids();
	as_user('bob', [ "$B/subpost", 'delete', @others ]);
	ok(wait_for(sub { post('bob', 'room')->{status} == 0 }, 10, 'room'),
	    'what is deleted counts no more, though nothing can be sent');
	as_user('root', [ "$B/subpost", 'delete', $_ ]) for queue_ids();
	ok(wait_for(sub { !runner() }, 10, 'the runner to leave'), 'and with an empty queue nobody stays');
}

is(service_stop()->{status}, 0, 'the service leaves');
is_deeply([ $sh->violations ], [], 'no rule of SMTP was broken');
done_testing;
