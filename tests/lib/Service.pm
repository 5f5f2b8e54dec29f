# Service: the counter for everybody, on a stage: a machine with an account
# `subpost`, a few people, and a system's configuration at its real place.
#
#	use Service;            # first of all: it starts the test again (Stage.pm)
#	use Flow;
#	my $reason = stage_service();
#	plan(skip_all => $reason) if $reason ne '';
#	my $sh = smarthost();
#	system_ini(service => { operators => 'adm' });
#	service_start();
#	is(as_user('bob', [ $SENDMAIL, 'a@x.example' ], stdin => $text)->{status}, 0, '...');
#
# The service's queue is the one that queue_ids, log_text and the others of Flow
# and Witness look at.  The caller's end of the counter is here a second time, in
# perl (desk_...), for what our own programs would never say.
package Service;
use strict;
use warnings;
use Stage;              # first: it starts this test again
use Carp 'croak';
use Exporter 'import';
use Flow ();
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOCK_STREAM);
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
	$SENDMAIL $SOCKET $ACCOUNT stage_service system_ini system_path service_start service_stop
	service_kill service_pid service_err service_processes runners clerks is_alive as_user as_wrapped
	start_as uid_of home_of own_ini in_child desk_open desk_frame desk_say desk_hear
	desk_answer desk_envelope desk_message owner_of ids_of
);

our $SENDMAIL = '/usr/sbin/sendmail';
our $SOCKET = '/run/subpost/socket';
our $ACCOUNT = 990;
my $SPOOL = '/var/lib/subpost';

# login => uid, gid, supplementary groups
my %PEOPLE = (
	root => [ 0, 0 ],
	'www-data' => [ 33, 33 ],
	nobody => [ 65534, 65534 ],
	subpost => [ $ACCOUNT, $ACCOUNT ],
	alice => [ 2001, 2001 ],
	bob => [ 2002, 2002 ],
	ops => [ 2003, 2003 ],
);
my $service;            # the Flow::Process that runs
my $owner = $$;

# -- the stage

# '' or why this machine cannot have one.
sub stage_service
{
	my $reason = Stage::stage_set(sendmail => "$Flow::B/sendmail", home => $Flow::HOME);

	return $reason if $reason ne '';
	return 'nobody else can reach the programs' if !Flow::can_switch_user();
	# What is below /var/lib stays where it is, but for what is ours.
	my $script = <<'END';
set -e
mkdir /run/lib /run/lib.real
mount --bind /var/lib /run/lib.real
for f in /run/lib.real/*; do ln -s "$f" /run/lib/; done
rm -f /run/lib/subpost
mount --bind /run/lib /var/lib
mkdir -p -m 755 /etc/subpost
grep -v -e ^subpost: -e ^alice: -e ^bob: -e ^ops: /etc/passwd > /run/passwd
printf '%s\n' "subpost:x:$2:$2:mail:/nonexistent:/usr/sbin/nologin" "alice:x:2001:2001:Alice:$1/alice:/bin/sh" \
    "bob:x:2002:2002:Bob Other:$1/bob:/bin/sh" "ops:x:2003:2003:Operator:$1/ops:/bin/sh" >> /run/passwd
cat /run/passwd > /etc/passwd
grep -v -e ^subpost: -e ^alice: -e ^bob: -e ^ops: -e ^adm: /etc/group > /run/group
printf '%s\n' "subpost:x:$2:" alice:x:2001: bob:x:2002: ops:x:2003: adm:x:4:ops >> /run/group
cat /run/group > /etc/group
for u in alice bob ops; do
	printf '%s:*:20000:0:99999:7:::\n' $u >> /etc/shadow
	mkdir -p -m 700 "$1/$u"
	chown "$u" "$1/$u"
done
END
	mkdir "$Flow::T/people", 0755;
	open my $sh, '-|', 'sh', '-c', "exec 2>&1\n$script", 'stage', "$Flow::T/people", $ACCOUNT or die "sh: $!";
	my $said = do { local $/; <$sh> } // '';

	return 'the stage cannot be set here: ' . join ' ', split /\n/, $said if !close $sh;
	$Flow::SPOOL = $SPOOL;
	return '';
}

sub uid_of { return ($PEOPLE{ $_[0] } // croak "nobody is called $_[0]")->[0] }

sub home_of
{
	my $name = shift;

	return $name eq 'root' ? $Flow::HOME : -d "$Flow::T/people/$name" ? "$Flow::T/people/$name" : '/nonexistent';
}

# The system's configuration: ini(...) of Flow, at its place; the password is
# root's, who lends it to the service by its group.  Replaced in one step, as a
# careful admin does.
sub system_ini
{
	my %over = @_ == 1 ? () : @_;
	my $new = '/etc/subpost/subpost.ini.new';
	my @text = @_ == 1 ? @_ : ();

	mkdir '/etc/subpost', 0755;
	chmod 0755, '/etc/subpost';
	Flow::spew('/etc/subpost/password', "correct horse\n", 0640) if !-e '/etc/subpost/password';
	chown 0, $ACCOUNT, '/etc/subpost/password';
	if (@text) {
		Flow::spew($new, $text[0]);
	} else {
		$over{smarthost} = { 'password-file' => '/etc/subpost/password', %{ $over{smarthost} // {} } };
		Flow::ini(-path => $new, %over);
	}
	chmod 0644, $new;
	rename $new, system_path() or die "$new: $!";
}

sub system_path { return '/etc/subpost/subpost.ini' }

# A configuration of that user's own, in their home.
sub own_ini
{
	my ($name, %over) = @_;
	my ($uid, $gid) = @{ $PEOPLE{$name} };
	my $dir = home_of($name) . '/.config/subpost';

	Flow::spew("$dir/password", "correct horse\n", 0600);
	$over{smarthost} = { 'password-file' => "$dir/password", %{ $over{smarthost} // {} } };
	Flow::ini(-path => "$dir/subpost.ini", %over);
	system('chown', '-R', "$uid:$gid", home_of($name) . '/.config') == 0 or die "chown does not work\n";
	return home_of($name) . '/.local/state/subpost';
}

# -- the service

# Starts it as root, and returns when it answers.  OPTIONS of Flow's start; and
# before => [...], what stands in front of it; args => [...], behind.
sub service_start
{
	my %o = @_;
	my @before = @{ delete $o{before} // [] };
	my @args = @{ delete $o{args} // [] };

	$service = Flow::start([ @before, "$Flow::B/subpostd", '--service', @args ], cwd => '/', %o);
	return $service if $o{env}{LISTEN_FDS};
	return $service if Flow::wait_for(\&answers, 20, 'the service');
	Flow::diag('the service: ' . service_err());
	die "the service does not start\n";
}

# Has it said hello?
sub answers
{
	my $s = desk_open() or return 0;
	my ($kind) = desk_hear($s, 10);

	return defined $kind && $kind eq 'h';
}

sub service_pid { return $service->pid }
sub service_err { return Flow::slurp("$service->{io}.err") // '' }

# Asks it to leave; what it ended with.
sub service_stop
{
	my $limit = shift // 20;

	kill 'TERM', $service->pid;
	return $service->wait($limit);
}

sub service_kill
{
	kill 'KILL', $service->pid;
	return $service->wait(20);
}

# What runs of it: the pids below it, by what they are.  A clerk and a runner
# have the name of the service; who holds the queue's lock is the runner.  A spare
# clerk has no caller yet, and is none of them.
sub service_processes
{
	my $parent = shift // $service->pid;

	return split ' ', Flow::slurp("/proc/$parent/task/$parent/children") // '';
}

sub runners { return grep { defined } Flow::runner_pid() }

sub clerks
{
	my %other = map { $_ => 1 } runners();

	return grep { !$other{$_} && (Flow::slurp("/proc/$_/comm") // '') ne "subpostd-spare\n" && (readlink("/proc/$_/exe") // '') =~ m{/subpostd$} } service_processes(@_);
}

sub is_alive { return (Flow::slurp("/proc/$_[0]/stat") // ') X') !~ /\) [ZX]/ }

# -- the callers

# The argv that runs a command as that user, and what a log-in would set.
sub as
{
	my ($name, $argv, %o) = @_;
	my ($uid, $gid) = @{ $PEOPLE{$name} // croak "nobody is called $name" };
	my @groups = $uid == 0 || $uid == 65534 ? '--clear-groups' : '--init-groups';
	my %env = (HOME => home_of($name), USER => $name, LOGNAME => $name,
		(map { ("XDG_${_}_HOME" => undef) } qw(CONFIG STATE DATA CACHE)), %{ delete $o{env} // {} });
	my @before = @{ delete $o{before} // [] };

	# The stage's /etc decides who is in which group, so no argument of Flow's does.
	return ([ @before, 'setpriv', "--reuid=$uid", "--regid=$gid", @groups, '--', @$argv ],
	    cwd => '/', env => \%env, %o);
}

# as_user(NAME, [argv], OPTIONS of Flow's run): as it, to its end.
# before => [...]: what stands in front of all, still as root.
sub as_user { return Flow::run(as(@_)) }
sub start_as { return Flow::start(as(@_)) }

# Runs $do in a child that is that user, and returns what it answers: one line of
# text, without its end.
sub in_child
{
	my ($name, $do, $seconds) = @_;
	my ($uid, $gid) = @{ $PEOPLE{$name} };

	pipe my $out, my $in or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
		alarm($seconds // 60);
		close $out;
		$( = $gid; $) = "$gid $gid";
		POSIX::setuid($uid);
		my $answer = eval { $do->() } // "died: $@";
		syswrite $in, $answer;
		POSIX::_exit(0);
	}
	close $in;
	return sub {
		local $/;
		my $said = <$out>;
		waitpid $pid, 0;
		return defined $said && length $said ? $said : "ended with $?";
	};
}

# -- the words of the counter, as src/desk.h has them

# A connection; undef where there is none.
sub desk_open
{
	my $s = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $SOCKET) or return undef;

	binmode $s;
	return $s;
}

sub desk_frame
{
	my ($kind, $text) = @_;

	return $kind . substr(pack('N', length $text), 1) . $text;
}

sub desk_say
{
	my ($s, $kind, $text) = @_;
	my $octets = desk_frame($kind, $text // '');

	local $SIG{PIPE} = 'IGNORE';
	while (length $octets) {
		my $n = syswrite($s, $octets) // return 0;

		substr($octets, 0, $n, '');
	}
	return 1;
}

sub read_all
{
	my ($s, $n, $end) = @_;
	my $got = '';

	while (length $got < $n) {
		my $rin = '';

		vec($rin, fileno $s, 1) = 1;
		my $left = $end - time;
		return undef if $left <= 0 || select($rin, undef, undef, $left) <= 0;
		return undef if !sysread $s, $got, $n - length $got, length $got;
	}
	return $got;
}

# The next frame: kind, text; nothing where the connection has ended, or the
# time is over.
sub desk_hear
{
	my ($s, $seconds) = @_;
	my $end = time + ($seconds // 20);
	my $head = read_all($s, 4, $end) // return;
	my $length = unpack 'N', "\0" . substr $head, 1;

	return (substr($head, 0, 1), $length ? read_all($s, $length, $end) // return : '');
}

# The next answer's text, or '' where none comes; what comes before it is dropped.
sub desk_answer
{
	my ($s, $seconds) = @_;

	while (my ($kind, $text) = desk_hear($s, $seconds)) {
		return $text if $kind eq 'a';
	}
	return '';
}

sub desk_envelope
{
	my %o = (uid => 0, from => 'user@example.net', to => [ 'a@x.example' ], id => '0' x 20, arrived => 1, @_);

	return join '', map { "$_\n" } "id $o{id}", "arrived $o{arrived}", "uid $o{uid}", "from $o{from}",
	    (map { "to $_" } @{ $o{to} }), '';
}

# One whole message by these words; the answer.
sub desk_message
{
	my ($s, $text, %o) = @_;

	desk_say($s, 'e', desk_envelope(%o));
	desk_say($s, 't', $_) for unpack '(a60000)*', $text;
	desk_say($s, 'z');
	return desk_answer($s);
}

# -- what is in the queue

# Whose message that is, by its file.
sub owner_of
{
	my ($text) = (Flow::slurp($Flow::SPOOL . "/queue/$_[0]") // '') =~ /^uid (\d+)$/m;

	return $text;
}

# The ids of those whose Subject is that.
sub ids_of
{
	my $subject = shift;

	return grep { (Flow::slurp("$Flow::SPOOL/queue/$_") // '') =~ /^Subject: \Q$subject\E$/m } Flow::queue_ids();
}

# Whoever has a home of their own on the stage is no process of Flow's.
END {
	if ($$ == $owner) {
		my $status = $?;

		for (1 .. 20) {
			my @left = grep { $_ != $$ && (Flow::slurp("/proc/$_/environ") // '') =~ m{(?:^|\0)HOME=\Q$Flow::T\E/people/} }
			    map { m{/(\d+)$} } glob '/proc/[0-9]*';

			last if !@left;
			kill 'KILL', @left;
			sleep 0.01;
		}
		$? = $status;
	}
}

1;
