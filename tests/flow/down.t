# No service, or one that does not answer: nobody hangs, and everybody is told
# what to do; a slow one is waited for, and has the message once.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Witness;
use Fcntl qw(F_SETFD F_SETFL O_NONBLOCK);
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOCK_STREAM AF_UNIX pack_sockaddr_un);

my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';
time_limit(120);

# Seconds that a disk takes for one message: 10 in SUBPOST_SLOW, as a bad one does.
my $SLOW = $ENV{SUBPOST_SLOW} // 3;
my $TEXT = "Subject: %s\n\nbody\n";
my $sh = smarthost();

mkdir '/run/subpost', 0755;

sub post
{
	my ($name, $subject, %o) = @_;

	return as_user($name, [ $SENDMAIL, @{ $o{args} // [] }, 'a@x.example' ], stdin => sprintf($TEXT, $subject), timeout => 30);
}

# That it is refused with 75, within that time, by one line that names the socket
# and the unit.
sub is_told
{
	my ($r, $what, $seconds) = @_;

	is($r->{status}, 75, "$what: 75") or diag($r->{err});
	cmp_ok($r->{seconds}, '<', $seconds, "$what: within $seconds s");
	like($r->{err}, qr/\A[^\n]*\Q$SOCKET\E[^\n]*\bsubpost\.socket\b[^\n]*\n\z/, "$what: in one line that names the socket and the unit");
}

sub listener
{
	my $backlog = shift;

	unlink $SOCKET;
	socket my $s, AF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
	bind $s, pack_sockaddr_un($SOCKET) or die "$SOCKET: $!";
	chmod 0666, $SOCKET;
	listen $s, $backlog or die "listen: $!" if defined $backlog;
	return $s;
}

# -- nobody there

{
	my $r = post('bob', 'x');

	is($r->{status}, 78, 'no configuration at all: 78') or diag($r->{err});
	like($r->{err}, qr/subpost\.ini/, 'and which file to write');
	cmp_ok($r->{seconds}, '<', 2, 'at once');
}

system_ini();
is_told(post('bob', 'x'), 'no service', 2);
is_told(as_user('bob', [ "$B/mailq" ]), 'no service, and a question', 2);
is_told(as_user('bob', [ "$B/subpost", 'queue' ]), 'no service, and subpost', 2);
like(as_user('bob', [ "$B/subpost", 'explain' ])->{out}, qr/\Q$SOCKET\E/, 'subpost explain says so, too');
{
	my $r = as_user('bob', [ $SENDMAIL, '-bs' ], stdin => "EHLO x\r\nMAIL FROM:<me\@x.example>\r\nQUIT\r\n");

	unlike($r->{out}, qr/^250 2\.1\.0/m, 'a session takes nothing');
	cmp_ok($r->{seconds}, '<', 2, 'and says so at once');
}

listener();
is_told(post('bob', 'x'), 'a socket that a dead service has left', 2);

{
	my $s = listener(0);
	my @fill;

	# A full backlog: connecting blocks, and cannot be waited for by poll.
	for (1 .. 10) {
		socket my $c, AF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
		fcntl $c, F_SETFL, O_NONBLOCK;
		connect $c, pack_sockaddr_un($SOCKET) or last;
		push @fill, $c;
	}
	my $r = post('bob', 'x');
	is_told($r, 'a service that takes no call', 3.5);
	cmp_ok($r->{seconds}, '>', 1, 'which had its two seconds');
}

# One that takes the call and hangs up, as often as it is called.
{
	my $s = listener(10);
	my $pid = fork // die "fork: $!";

	if ($pid == 0) {
		$SIG{TERM} = 'DEFAULT';
		alarm 60;
		while (accept my $c, $s) { close $c; }
		POSIX::_exit(0);
	}
	my $r = post('bob', 'x');
	is($r->{status}, 75, 'a service that hangs up before its hello: 75') or diag($r->{err});
	cmp_ok($r->{seconds}, '<', 2, 'at once');
	kill 'KILL', $pid;
	waitpid $pid, 0;
}
unlink $SOCKET;

# Root may read the configuration and its secret, so it needs no service.
{
	my $r = post('root', 'by myself', args => [ '-v' ]);

	is($r->{status}, 0, 'no service, and root: taken') or diag($r->{err});
	like($r->{err}, qr/own office/, 'by an office of its own');
	ok($sh->wait_messages(1), 'and sent');
	is(got($sh, 'by myself'), 'a', 'once');
	ok(!-e '/var/lib/subpost/queue', 'and not by the service\'s queue');
}

# -- started by the first connection

# What a service manager does: fd 3 is the socket.
my $AS_MANAGER = <<'END';
use POSIX ();
use Fcntl;
use Socket;
my $path = shift;
socket my $s, AF_UNIX, SOCK_STREAM, 0 or die;
bind $s, pack_sockaddr_un($path) or die "$path: $!";
chmod 0666, $path;
listen $s, 10 or die;
my $r = '';
vec($r, fileno $s, 1) = 1;
select $r, undef, undef, 60;
POSIX::dup2(fileno $s, 3) if fileno $s != 3;
open my $three, '<&=', 3;
fcntl $three, F_SETFD, 0;
@ENV{qw(LISTEN_PID LISTEN_FDS)} = ($$, 1);
exec @ARGV;
END
my $ACTIVATE = '/usr/bin/systemd-socket-activate';
for my $case ([ 'a manager', [ $^X, '-e', $AS_MANAGER, $SOCKET ] ],
    [ 'systemd-socket-activate', [ 'sh', '-c', 'umask 0; exec "$@"', 'sh', $ACTIVATE, '-l', $SOCKET ] ]) {
	my ($name, $before) = @$case;

	SKIP: {
		skip "$name is not here", 6 if $name =~ /systemd/ && !-x $ACTIVATE;
		unlink $SOCKET;
		my $service = start([ @$before, "$B/subpostd", '--service' ], cwd => '/');
		wait_for(sub { -S $SOCKET }, 10, 'the socket');
		# systemd-socket-activate has a mode of its own; and it is there before it listens.
		chmod 0666, $SOCKET;
		wait_for(sub { (slurp('/proc/net/unix') // '') =~ /: \S+ \S+ 00010000 \S+ \S+ \S+ \Q$SOCKET\E$/m }, 10, 'a listener');
		unlike(readlink('/proc/' . $service->pid . '/exe') // '', qr/subpostd/, "$name waits, no service runs");
		my $r = post('bob', "first by $name");
		is("$r->{status} $r->{err}", '0 ', 'the first caller starts it');
		like(readlink('/proc/' . $service->pid . '/exe') // '', qr/subpostd/, 'as its own process');
		ok(wait_for(sub { got($sh, "first by $name") }, 10, 'the message'), 'and the message is sent');
		kill 'TERM', $service->pid;
		is($service->wait->{status}, 0, 'it leaves when asked to');
		ok(-S $SOCKET, 'and leaves the manager\'s socket');
	}
}
unlink $SOCKET;

# -- a slow disk

SKIP: {
	skip 'strace is not here', 8 if run([ 'strace', '-V' ])->{status} != 0;
	skip 'the courier of a sanitized build cannot be traced', 8 if slurp("$B/sendmail") =~ /__asan_init/;
	# Two flushes a message: the file, and the directory.
	my $each = int($SLOW / 2 * 1e6);
	my @strace = ('strace', '-D', '-f', '-qq', '-o', "$T/slow", '-e', 'trace=fsync,fdatasync',
	    '-e', "inject=fsync,fdatasync:delay_enter=$each", '--');

	my $before = scalar(my @m = $sh->messages);
	service_start(before => \@strace);
	my @faces = map { start_as('bob', [ $SENDMAIL, 'a@x.example' ], stdin => sprintf($TEXT, "slow $_")) } 1 .. 3;
	my @r = map { $_->wait(60) } @faces;
	for my $r (@r) {
		is("$r->{status} $r->{err}", '0 ', "a disk that takes $SLOW s for a message: taken");
	}
	cmp_ok($r[0]{seconds}, '>=', $SLOW * 0.9, 'after that time');
	ok($sh->wait_messages($before + 3, 60), 'and sent');
	ok(wait_empty(60), 'to the last');
	is(join(' ', map { got($sh, "slow $_") } 1 .. 3), 'a a a', 'every one of them once');
	is(service_stop(60)->{status}, 0, 'and the service leaves');
}

is_deeply([ $sh->violations ], [], 'no rule of SMTP was broken');
done_testing;
