# The service as a process: it opens, keeps its doors, looks after its children, takes a
# new configuration, and leaves; and whoever is killed is followed by another.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use IO::Select;
use Socket;
use Time::HiRes 'time';
use Witness;

time_limit(150);

my $SOCKET = "$T/run/socket";
my $INI = "$T/system/subpost.ini";
my @ROOT = $> == 0 ? ('--user', 'root') : ();
my %WITH = (env => { SUBPOST_CONFIG => $INI });
my $ENVELOPE = 'id ' . '0' x 20 . "\narrived 1\nuid 0\nfrom user\@example.net\nto ann\@example.org\n\n";
my ($s, $service);

sub system_ini
{
	return ini(-path => $INI, smarthost => { auth => 'none', user => undef, 'password-file' => undef,
	    @_ }, service => { socket => $SOCKET }, queue => { directory => spool() });
}

sub serve
{
	my %o = @_;

	$service = start([ @{ $o{before} // [] }, "$B/subpostd", '--service', @ROOT ],
	    env => { %{ $WITH{env} }, %{ $o{env} // {} } });
	ok(wait_for(sub { call() }, 10, 'the service to open'), $o{promise} // 'the service opens');
	return $service->pid;
}

# Every test begins with a smarthost of its own, an empty queue and a service.
sub begin
{
	my ($script, %keys) = @_;

	start_anew($s ? $s : ());
	$s = smarthost(args => [ '--plain', '--no-auth' ], script => $script);
	system_ini(%keys);
	return serve();
}

sub finish
{
	kill 'TERM', $service->pid;
	is($service->wait(30)->{status}, 0, 'told to leave, it does');
}

sub post
{
	return sendmail([ 'ann@example.org' ], 'Subject: ' . shift . "\n\nbody\n", %WITH);
}

sub call
{
	socket my $fh, PF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
	return connect($fh, pack_sockaddr_un($SOCKET)) ? $fh : undef;
}

# What comes first on a connection: [ kind, text ]; undef where nothing comes in time.
sub first_frame
{
	my ($fh, $seconds) = @_;
	my $got = '';

	while (IO::Select->new($fh)->can_read($seconds // 10) && sysread $fh, $got, 65536, length $got) {
		next if length $got < 4;
		my ($kind, $high, $low) = unpack 'aCn', $got;

		return [ $kind, substr $got, 4 ] if length $got >= 4 + ($high << 16 | $low);
	}
	return undef;
}

sub is_greeted { return (first_frame(@_) // [ '' ])->[0] eq 'h' }

sub frame { return $_[0] . substr(pack('N', length $_[1]), 1) . $_[1] }

# How much of what was written there has nobody read yet (SIOCOUTQ)?
sub unread
{
	my $sum = 0;

	for my $fh (@_) {
		ioctl $fh, 0x5411, my $n = pack 'i', 0 or die "ioctl: $!";
		$sum += unpack 'i', $n;
	}
	return $sum;
}

# Of these connections, those on which something has come.
sub ready
{
	my @some = IO::Select->new(@_)->can_read(0);

	return @some;
}

sub clerks { return grep { (slurp("/proc/$_/comm") // '') eq "subpostd-clerk\n" } processes(qr/^subpostd/) }
sub spares { return grep { (slurp("/proc/$_/comm") // '') eq "subpostd-spare\n" } processes(qr/^subpostd/) }
sub runners { return grep { (slurp("/proc/$_/comm") // '') eq "subpostd-runner\n" } processes(qr/^subpostd/) }

# -- opening

{
	start_anew();
	$s = smarthost(args => [ '--plain', '--no-auth' ]);
	system_ini();
	socket my $manager, PF_UNIX, SOCK_DGRAM, 0 or die "socket: $!";
	bind $manager, pack_sockaddr_un("$T/manager") or die "bind: $!";
	my $pid = serve(env => { NOTIFY_SOCKET => "$T/manager" });
	my $said = '';

	recv $manager, $said, 100, 0 if IO::Select->new($manager)->can_read(10);
	is($said, 'READY=1', 'and says so to a service manager');
	is(sprintf('%o', (stat $SOCKET)[2] & 07777), '666', 'everybody may call');
	is(join(' ', glob "$T/run/*"), $SOCKET, 'and nothing lies beside the socket');
	is((first_frame(call()) // [])->[0], 'h', 'whoever calls is greeted');
	like((first_frame(call()) // [ '', '' ])->[1], qr/\Asubpost 1\nconfig \Q$INI\E\n/, 'with the version and the settings');
	ok(wait_for(sub { processes(qr/^subpost/) == 2 }, 10, 'the others to leave'), 'while nothing waits it is one process, and a spare clerk');

	my $r = run([ "$B/subpostd", '--service', @ROOT ], %WITH);
	is($r->{status}, 75, 'a second one for the same queue is refused');
	like($r->{err}, qr/^subpostd: [^\n]*has its service already[^\n]*fuser[^\n]*\n\z/, 'in a line that says how to find the first');
	my $other = ini(-path => "$T/system/other.ini", smarthost => { nobody_answers() },
	    service => { socket => $SOCKET }, queue => { directory => "$T/other" });
	$r = run([ "$B/subpostd", '--service', @ROOT ], env => { SUBPOST_CONFIG => $other });
	is($r->{status}, 75, 'and so is one for another queue at the same socket');
	like($r->{err}, qr/^subpostd: somebody listens at [^\n]*\n\z/, 'in another line');
	ok(call(), 'the first works on');

	is(post('first')->{status}, 0, 'a message in its queue');
	ok(wait_empty(), 'is sent');
	is(got($s, 'first'), 'ann', 'once');
	ok(wait_for(sub { processes(qr/^subpost/) == 2 }, 10, 'the others to leave'), 'and then it is those two again');
	is($service->pid, (sort { $a <=> $b } processes(qr/^subpostd/))[0], 'the same');

	my ($spare) = spares();
	kill 'KILL', $spare;
	ok(wait_for(sub { !-e "/proc/$spare" }, 10, 'its end'), 'a spare clerk that dies');
	# Nothing to wait for: that nothing comes.
	my $end = time + 0.2;
	my $followed = 0;
	$followed ||= spares() while time < $end;
	ok(!$followed, 'is not followed by the next, which might die as fast');
	is((first_frame(call()) // [])->[0], 'h', 'whoever calls is greeted all the same');
	ok(wait_for(sub { spares() == 1 }, 10, 'a spare clerk'), 'and is followed by a spare clerk');

	my $inode = (stat spool() . '/runner')[1];
	is(run([ "$B/subpostd", '--retry' ], %WITH)->{status}, 0, 'a runner that somebody starts by hand');
	ok(wait_for(sub { processes(qr/^subpost/) == 2 }, 10, 'the others to leave'), 'leaves the queue to the service');
	is(post('second')->{status}, 0, 'whose socket is still there:');
	ok(wait_empty() && got($s, 'second') eq 'ann', 'it sends');
	ok((stat spool() . '/runner')[1] == $inode, 'by the same socket');

	kill 'TERM', $pid;
	is($service->wait(30)->{status}, 0, 'told to leave, it does');
	recv $manager, $said, 100, 0 if IO::Select->new($manager)->can_read(10);
	is($said, 'STOPPING=1', 'and says so');
	ok(!-e $SOCKET, 'and the socket is gone');
}

for (
	[ [ '--service', '--user', 'nobody-of-that-name' ], 78, qr/useradd --system/, 'no such account' ],
	[ [ '--service', '--retry' ], 64, qr/^usage:/, 'two orders at once' ],
	[ [ '--user', 'root' ], 64, qr/^usage:/, 'an account for a runner' ],
	[ [ '--service', @ROOT ], 78, qr/no configuration|No such file/i, 'no configuration', "$T/nowhere.ini" ],
) {
	my ($words, $status, $says, $what, $ini) = @$_;
	my $r = run([ "$B/subpostd", @$words ], env => { SUBPOST_CONFIG => $ini // $INI });

	is($r->{status}, $status, "$what: status $status");
	like($r->{err}, $says, 'and what to do');
}

SKIP: {
	skip 'only root can start it as somebody else', 2 if !can_switch_user();
	system_ini();
	chmod 0755, "$T/system";
	chmod 0644, $INI;
	my $r = run([ "$B/subpostd", '--service', '--user', 'root' ], %WITH, as_user => 1, cwd => '/');

	is($r->{status}, 77, 'who is not root can become nobody else: status 77');
	like($r->{err}, qr/^subpostd: only root can become [^\n]*\n\z/, 'and what to do');
}

# -- another configuration

{
	my $pid = begin(undef, port => 1);

	is(post('early')->{status}, 0, 'a message while the smarthost is away');
	ok(log_has(qr/ down /), 'waits');
	spew($INI, "[smarthost]\nhost =\n", 0600);
	ok(log_has(qr/ config reason=[^\n]*subpost\.ini/), 'a bad file is noticed, and told');
	my $n = () = log_text() =~ / config reason=/g;
	kill 'HUP', $pid;
	ok(wait_for(sub { (() = log_text() =~ / config reason=/g) > $n }, 10, 'the reason'), 'on SIGHUP again');
	ok(is_greeted(call()), 'and the old one holds');
	system_ini();
	ok(log_has(qr/ config read=/), 'a mended one is taken');
	ok(wait_empty(), 'and the message leaves at once');
	is(got($s, 'early'), 'ann', 'once');
	kill 'HUP', $pid;
	ok(wait_for(sub { (() = log_text() =~ / config read=/g) > 1 }, 10, 'the file to be read'), 'and on SIGHUP it is read again');
	finish();
}

{
	my $secret = spew("$T/secret/password", "wrong horse\n", 0600);

	begin(undef, auth => 'plain', user => 'user@example.net', 'password-file' => $secret);
	is(post('secret')->{status}, 0, 'a message that cannot be sent with this password');
	ok(log_has(qr/ down /), 'waits');
	my $n = () = log_text() =~ / down /g;
	spew("$secret.new", "other horse\n", 0600);
	rename "$secret.new", $secret or die "rename: $!";
	ok(log_has(qr/ config read=/), 'a new password is noticed');
	ok(wait_for(sub { (() = log_text() =~ / down /g) > $n }, 10, 'another try'), 'and tried at once');
	finish();
}

# -- whoever dies

{
	my $pid = begin('data #1 wait go default');

	is(post('runner')->{status}, 0, 'a message');
	ok(wait_for(sub { commands($s, 'DATA') }, 10, 'DATA'), 'is on its way');
	my ($runner) = runners();
	kill 'KILL', $runner;
	ok(log_has(qr/ runner-died signal=9/), 'that the runner is killed is noticed');
	$s->release('go');
	ok(wait_empty(20), 'another one does the rest');
	is($service->pid, $pid, 'the service is the same');
	finish();
}

SKIP: {
	skip 'strace is not here, or may not trace', 4 if run([ 'strace', '-qo', '/dev/null', 'true' ])->{status} != 0;
	begin(undef);
	my $fh = call();

	ok(is_greeted($fh) && wait_for(sub { clerks() == 1 }, 10, 'a clerk'), 'a clerk');
	# The runner's wake-up is the only thing that it sends so.
	my $killer = start([ 'strace', '-o', "$T/io/killer", '-e', 'trace=sendto', '-e', 'inject=sendto:signal=KILL:when=1', '-p', clerks() ]);

	wait_for(sub { slurp('/proc/' . (clerks())[0] . '/status') =~ /^TracerPid:\s*[1-9]/m }, 10, 'strace');
	syswrite $fh, frame('h', 'subpost 1') . frame('e', $ENVELOPE) . frame('t', "Subject: orphan\n\n") . frame('z', '');
	like((first_frame($fh) // [ '', '' ])->[1], qr/^done 0 /, 'takes a message');
	ok(log_has(qr/ clerk-died uid=\d+ signal=9/), 'and is killed before it has told the runner');
	ok(wait_empty(10) && got($s, 'orphan') eq 'ann', 'which sends it all the same') or diag(log_text());
	$killer->wait(10);
	finish();
}

{
	begin('data #1 wait go default');
	is(post('courier')->{status}, 0, 'a message');
	ok(wait_for(sub { commands($s, 'DATA') }, 10, 'DATA'), 'is on its way');
	kill 'KILL', couriers();
	ok(wait_empty(20), 'when the courier is killed another one takes it');
	$s->release('go');
	finish();
}

{
	my $old = begin('data #1 wait go default');

	is(post('service')->{status}, 0, 'a message');
	ok(wait_for(sub { commands($s, 'DATA') }, 10, 'DATA'), 'is on its way');
	# A clerk outlives the service, and must hold nothing of it.
	my $held = call();
	ok(is_greeted($held) && wait_for(sub { clerks() }, 10, 'a clerk'), 'and somebody stands at the counter');
	my @before = processes(qr/^subpost/);
	kill 'KILL', $old;
	$service->wait;
	ok(-e $SOCKET, 'a service that is killed leaves its socket behind');
	my $new = serve(promise => 'another one takes over');
	isnt($new, $old, 'which is another process');
	$s->release('go');
	ok(wait_empty(20), 'the message leaves');
	is(got($s, 'service'), 'ann', 'once');
	ok(kill(0, clerks()), 'the clerk is still there');
	close $held;
	ok(wait_for(sub { !grep { kill 0, $_ } @before }, 10, 'the old ones'), 'and nobody is left of the old');
	finish();
}

# -- more callers than clerks

{
	begin(undef);
	my @line = map { call() } 1 .. 25;

	ok(wait_for(sub { ready(@line) == 20 }, 10, 'twenty hellos'), 'of one uid, twenty are greeted');
	ok(wait_for(sub { clerks() == 20 }, 10, 'twenty clerks'), 'by as many clerks');
	is(scalar(grep { defined } @line), 25, 'and the others wait');
	my %greeted = map { $_ => 1 } ready(@line);
	my @waiting = grep { !$greeted{$_} } @line;
	my @inside = grep { $greeted{$_} } @line;
	close shift @waiting;
	close shift @inside;
	ok(wait_for(sub { ready($waiting[0]) }, 10, 'a hello'), 'when one goes the first of them is greeted');
	ok(is_greeted($waiting[0]), 'who has not hung up');
	ok(!ready(@waiting[1 .. 2]), 'and no other');

	my @more = map { call() } 1 .. 310;
	my @refused;

	ok(wait_for(sub { (@refused = ready(@more)) > 5 }, 10, 'refusals'), 'three hundred may wait');
	like((first_frame($refused[0]) // [ '', '' ])->[1], qr/^later 75 - [^\n]*busy: 300 others of yours/, 'and the others are told how many there are');
	ok(log_has(qr/ busy uid=\d+/), 'which is logged');
	is(scalar(() = log_text() =~ / busy uid=/g), 1, 'once');
	SKIP: {
		skip 'only root can call as another', 2 if !can_switch_user();
		chmod 0755, "$T/run";
		my $r = run([ $^X, '-MSocket', '-e', 'socket my $fh, PF_UNIX, SOCK_STREAM, 0; connect $fh, pack_sockaddr_un($ARGV[0]) or die "$!\n"; sysread $fh, my $got, 1; print $got', $SOCKET ], as_user => 1, cwd => '/');
		is("$r->{out}$r->{err}", 'h', 'somebody else is greeted');
		cmp_ok($r->{seconds}, '<', 2, 'at once');
	}

	kill 'TERM', $service->pid;
	my ($told) = grep { defined } map { first_frame($_, 10) } $waiting[1];
	like(($told // [ '', '' ])->[1], qr/^later 75 - [^\n]*stopped or restarted/, 'when the service leaves, who waits is told');
	ok(IO::Select->new($waiting[1])->can_read(10) && !sysread($waiting[1], my $end, 1), 'and hung up on');
	is($service->wait(10)->{status}, 0, 'it does not stay for those who have begun nothing');
	ok(IO::Select->new($inside[1])->can_read(0), 'who are hung up on');
	ok(!call(), 'and nobody is let in');
	@line = @inside = @waiting = @more = @refused = ();
}

# -- a caller who does nothing but break the rules

{
	begin(undef);
	for (1 .. 300) {
		my $fh = call();

		syswrite $fh, 'no frame';
		1 while sysread $fh, my $got, 1000;
	}
	my @told = log_text() =~ /^(.* caller uid=.*)$/mg;

	# The minute may end meanwhile.
	cmp_ok(scalar(@told), '>=', 10, 'is told of in the log');
	cmp_ok(scalar(@told), '<=', 30, 'and does not fill it');
	like($told[9], qr/no frame" next="no more/, 'which is said');
	finish();
}

# -- leaving with somebody who waits for his message to be sent

{
	begin(undef, port => 1);
	my $fh = call();

	is_greeted($fh);
	syswrite $fh, frame('h', 'subpost 1') . frame('e', $ENVELOPE) . frame('t', "Subject: waits\n\nbody\n") . frame('z', 'wait 60');
	like((first_frame($fh) // [ '', '' ])->[1], qr/^done 0 /, 'somebody waits for his message to be sent');
	kill 'TERM', $service->pid;
	like((first_frame($fh) // [ '', '' ])->[1], qr/^later 75 \S+ still queued as /, 'and is told when the service leaves');
	is($service->wait(10)->{status}, 0, 'which does not wait with him');
}

# -- leaving with somebody amid a message

{
	begin(undef, port => 1);
	my @amid = map { call() } 1 .. 2;

	is_greeted($_) for @amid;
	syswrite $_, frame('h', 'subpost 1') . frame('e', $ENVELOPE) . frame('t', "Subject: amid\n\n") for @amid;
	ok(wait_for(sub { clerks() == 2 && !unread(@amid) }, 10, 'two clerks'), 'two have begun a message');
	kill 'TERM', $service->pid;
	ok(wait_for(sub { !call() }, 10, 'the door to close'), 'the service is told to leave');
	syswrite $amid[0], frame('t', "all of it\n") . frame('z', '');
	like((first_frame($amid[0]) // [ '', '' ])->[1], qr/^done 0 /, 'what was begun can be ended');
	ok(!IO::Select->new($amid[1])->can_read(0), 'by each of them');
	syswrite $amid[1], frame('d', '');
	is($service->wait(10)->{status}, 0, 'and then it leaves');
	ok(IO::Select->new($_)->can_read(0), 'and nothing new is begun') for @amid;
	is(scalar(queue_ids()), 1, 'the message is in the queue');
	@amid = ();
	serve(promise => 'the next one is started');
	system_ini();
	ok(wait_empty(20) && got($s, 'amid') eq 'ann', 'and sends it');
	finish();
}

# -- out of descriptors

{
	start_anew($s);
	$s = smarthost(args => [ '--plain', '--no-auth' ]);
	system_ini();
	my $pid = serve(before => [ 'prlimit', '--nofile=40:40' ]);
	my @many = map { call() } 1 .. 60;

	ok(log_has(qr/ accept reason=/), 'a service without descriptors says so');
	@many = ();
	ok(wait_for(sub { my $fh = call(); is_greeted($fh, 1) }, 10, 'a hello'), 'and serves again when it has some');
	finish();
}

# -- leaving in the middle

{
	begin('data #1 wait go default');
	is(post('last')->{status}, 0, 'a message');
	ok(wait_for(sub { commands($s, 'DATA') }, 10, 'DATA'), 'is on its way');
	kill 'TERM', $service->pid;
	ok(wait_for(sub { !-e $SOCKET }, 10, 'the socket to go'), 'a service told to leave closes its door');
	ok(kill(0, $service->pid), 'but waits for the transaction');
	$s->release('go');
	is($service->wait(30)->{status}, 0, 'and then leaves');
	is(got($s, 'last'), 'ann', 'the message is sent');
	is(scalar(queue_ids()), 0, 'and known to be');
}

# -- a service manager's socket

{
	start_anew($s);
	$s = smarthost(args => [ '--plain', '--no-auth' ]);
	system_ini();
	unlink $SOCKET;
	socket my $door, PF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
	bind $door, pack_sockaddr_un($SOCKET) or die "bind: $!";
	listen $door, 100 or die "listen: $!";
	my $early = call();
	# As systemd does it: descriptor 3, and the process that it is for.
	my $pass = 'use POSIX; POSIX::dup2($ARGV[0], 3); $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; shift; exec @ARGV';
	my @before = ($^X, '-e', $pass, fileno($door));

	{
		local $^F = 1000;
		fcntl $door, Fcntl::F_SETFD(), 0;
	}
	my $pid = serve(before => \@before, promise => 'a service is started with a socket');
	ok(is_greeted($early), 'who called before it is greeted');
	close $early;
	finish();
	ok(-e $SOCKET, 'the socket stays');
	my $between = call();
	ok($between, 'and takes calls while there is no service');
	ok(!IO::Select->new($between)->can_read(0), 'which wait');
	serve(before => \@before, promise => 'the next one is started');
	ok(is_greeted($between), 'for the next service');
	close $between;
	finish();
}

done_testing;
