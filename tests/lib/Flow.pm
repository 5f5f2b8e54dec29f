# Flow: what the flow tests stand on.  A flow test runs the real programs, as
# they were built, against the scripted smarthost.
#
#	use FindBin;
#	use lib "$FindBin::Bin/../lib";
#	use Flow;
#
#	my $sh = smarthost(script => 'rcpt #1 reply "450 4.2.0 later"');
#	ini();
#	is(sendmail(['-t'], $text)->{status}, 0, 'a message is taken');
#	ok($sh->wait_messages(1), 'and sent');
#	done_testing;
#
# Each test has a folder of its own with a home in it; the programs see that
# home, and nothing else of the caller's environment.  Whatever was started is
# ended with the test, and the folder is removed (FLOW_KEEP=1 keeps it).  No
# call here waits without a limit.  Core Perl only.
package Flow;
use strict;
use warnings;
use Cwd 'abs_path';
use Exporter 'import';
use Fcntl qw(:flock);
use File::Basename qw(basename dirname);
use File::Path qw(make_path remove_tree);
use File::Temp 'tempdir';
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = (@Test::More::EXPORT, qw(
	$B $BIN $T $HOME smarthost ini run start sendmail subpost mailq spool spew slurp
	wait_for wait_rest queue_ids wait_empty wait_no_runner runner_pid processes
	can_switch_user time_limit new_letters letter nobody_answers
));

use constant NOBODY => 65534;

our $B = $ENV{SUBPOST_BUILD} // abs_path(dirname(__FILE__) . '/../../build');
# Where the programs are that sendmail() and subpost() start, and all that these start:
# beside it in tests/fast, a courier whose clock runs 50 times as fast.
our $BIN = $B;
our $T = tempdir('subpost-XXXXXX', TMPDIR => 1);
our $HOME = "$T/home";

our $JUDGED = 1;        # 0: others than the courier talk to the smarthosts

my $owner = $$;         # a fork of the test must not clean up after it
my $runs = 0;
my @smarthosts;
my %seen;               # id => 1, of what new_letters has told
my %started;            # pid => 1, of what start() began and nobody has waited for

chmod 0755, $T;         # another user must get through to the home
make_path("$HOME/.config/subpost", "$HOME/.local/state", "$T/io", { mode => 0700 });
$SIG{ALRM} = sub { diag('the test as a whole ran out of time'); exit 1 };
$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 1 };
time_limit(120);

# Seconds that the test may take from here on.
sub time_limit
{
	alarm shift;
}

# The queue that is looked at; a test of another office names that one's here.
our $SPOOL = "$HOME/.local/state/subpost";

sub spool
{
	return $SPOOL;
}

sub slurp
{
	my $path = shift;

	open my $fh, '<:raw', $path or return undef;
	local $/;
	return <$fh> // '';
}

# Writes a file whole; a mode may follow.
sub spew
{
	my ($path, $text, $mode) = @_;

	make_path(dirname($path), { mode => 0700 });
	unlink $path;
	open my $fh, '>:raw', $path or die "$path: $!";
	chmod $mode, $path if defined $mode;
	print $fh $text;
	close $fh or die "$path: $!";
	return $path;
}

# Calls $try every 5 ms until it answers true, which is returned.  After
# $seconds it says what it waited for and returns false.
sub wait_for
{
	my ($try, $seconds, $what) = @_;
	my $end = time + $seconds;

	for (;;) {
		my $got = $try->();

		return $got if $got;
		last if time >= $end;
		sleep 0.005;
	}
	diag('waited ' . $seconds . ' s in vain' . (defined $what ? " for $what" : ''));
	return 0;
}

# -- the far end

# smarthost(script => TEXT, args => [...]): a Flow::Smarthost, below.  The
# script's language stands at the top of smarthost.c.  What its client said is
# judged when the test ends (Wire.pm), and a fault fails the test; wire => {...}
# are options for that; free => 1 among them, or $Flow::JUDGED = 0 for all, leaves it be.
sub smarthost
{
	my $s = Flow::Smarthost->new("$T/smarthost-" . (@smarthosts + 1), @_);

	push @smarthosts, $s;
	return $s;
}

# -- configuration

# Writes the user's ini and returns its path.  ini($text): that text.
# ini(section => { key => value }, ...): over the defaults, which fit the
# smarthost that was started last; undef takes a key out.  Names with a dash
# are for this function: -smarthost => $s, -path => $file.
sub ini
{
	my $text = @_ == 1 ? shift : undef;
	my %over = @_;
	my $path = delete $over{-path} // "$HOME/.config/subpost/subpost.ini";
	my $s = delete $over{-smarthost} // $smarthosts[-1];
	my %ini;

	if (!defined $text) {
		%ini = %{ defaults($s) };
		for my $section (keys %over) {
			$ini{$section}{$_} = $over{$section}{$_} for keys %{ $over{$section} };
		}
		$text = '';
		for my $section (sort keys %ini) {
			my $keys = $ini{$section};

			$text .= "[$section]\n";
			$text .= "$_ = $keys->{$_}\n" for grep { defined $keys->{$_} } sort keys %$keys;
		}
	}
	# Whole at once: a runner that looks meanwhile would see two changes.
	spew("$path.new", $text, 0600);
	rename "$path.new", $path or die "$path: $!";
	return $path;
}

sub defaults
{
	my $s = shift;
	my %ini = (
		smarthost => {
			host => '127.0.0.1',
			'tls-name' => 'localhost',
			user => 'user@example.net',
			'password-file' => "$HOME/.config/subpost/password",
			from => 'user@example.net',
			# So that a test which waits for the end need not wait for that.
			'keep-open' => 0,
		},
		identity => { domain => 'example.net', hostname => 'client.example.net' },
	);

	spew("$HOME/.config/subpost/password", "correct horse\n", 0600);
	if ($s) {
		$ini{smarthost}{port} = $s->port;
		$ini{smarthost}{tls} = $s->tls;
		$ini{smarthost}{'tls-ca-file'} = $s->ca if $s->tls ne 'none';
		$ini{smarthost}{host} = '::1' if grep { $_ eq '-6' } @{ $s->{args} };
	}
	return \%ini;
}

# -- running programs

# start([argv], OPTIONS): a Flow::Process that runs beside the test.
#	stdin => TEXT, a handle, or a sub that is given the writing end of a pipe
#	env => { NAME => value or undef }, cwd => DIR, as_user => 1 (root only)
sub start
{
	my ($argv, %o) = @_;
	my $io = "$T/io/" . ++$runs;
	my %env = (environment(), %{ $o{env} // {} });
	my ($in, $feeder) = open_stdin($io, $o{stdin});
	my @argv = @$argv;

	if ($o{as_user}) {
		give_away($HOME);
		unshift @argv, 'setpriv', '--reuid=' . NOBODY, '--regid=' . NOBODY, '--clear-groups', '--';
	}
	delete $env{$_} for grep { !defined $env{$_} } keys %env;

	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(ALRM INT TERM HUP PIPE);
		POSIX::setsid();
		open STDIN, '<&', $in or POSIX::_exit(126);
		open STDOUT, '>', "$io.out" or POSIX::_exit(126);
		open STDERR, '>', "$io.err" or POSIX::_exit(126);
		chdir($o{cwd} // $HOME) or POSIX::_exit(126);
		%ENV = %env;
		no warnings 'exec';
		exec { $argv[0] } @argv or print STDERR "$argv[0]: $!\n";
		POSIX::_exit(127);
	}
	$started{$pid} = 1;
	return bless { pid => $pid, io => $io, begun => time, feeder => $feeder }, 'Flow::Process';
}

# run([argv], OPTIONS of start, timeout => 20): runs it to its end.  Returns
# { status, signal, out, err, seconds, timed_out }; one that does not end in
# time is killed with its process group.  The status of one that a signal has
# ended is 128 more than that, as the shell's: never 0.
sub run
{
	my ($argv, %o) = @_;
	my $timeout = delete $o{timeout} // 20;

	return start($argv, %o)->wait($timeout);
}

# sendmail([argv], TEXT, OPTIONS of run)
sub sendmail
{
	my ($args, $text, %o) = @_;

	return run([ "$BIN/sendmail", @$args ], stdin => $text, %o);
}

# subpost(ARG..., { OPTIONS of run })
sub subpost
{
	my %o = ref $_[-1] eq 'HASH' ? %{ pop() } : ();

	return run([ "$BIN/subpost", @_ ], %o);
}

sub mailq
{
	my %o = ref $_[-1] eq 'HASH' ? %{ pop() } : ();

	return run([ "$B/mailq", @_ ], %o);
}

sub environment
{
	my %env = (
		HOME => $HOME,
		PATH => '/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin',
		LC_ALL => 'C',
		XDG_CONFIG_HOME => "$HOME/.config",
		XDG_STATE_HOME => "$HOME/.local/state",
		XDG_DATA_HOME => "$HOME/.local/share",
		XDG_CACHE_HOME => "$HOME/.cache",
	);

	for (qw(ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS TSAN_OPTIONS)) {
		$env{$_} = $ENV{$_} if defined $ENV{$_};
	}
	return %env;
}

# A handle to read from, and the pid of the child that writes into it, if any.
sub open_stdin
{
	my ($io, $stdin) = @_;
	my ($in, $out);

	return $stdin if ref \$stdin eq 'GLOB' || ref $stdin eq 'GLOB';
	if (ref $stdin eq 'CODE') {
		pipe $in, $out or die "pipe: $!";
		my $pid = fork // die "fork: $!";
		if ($pid == 0) {
			$SIG{$_} = 'DEFAULT' for qw(ALRM INT TERM HUP PIPE);
			close $in;
			binmode $out;
			$out->autoflush(1);
			$stdin->($out);
			close $out;
			POSIX::_exit(0);
		}
		return ($in, $pid);
	}
	if (defined $stdin) {
		spew("$io.in", $stdin);
		open $in, '<', "$io.in" or die "$io.in: $!";
	} else {
		open $in, '<', '/dev/null' or die "/dev/null: $!";
	}
	return $in;
}

# May a test run programs as another user here?
sub can_switch_user
{
	return 0 if $> != 0;
	return system('setpriv', '--reuid=' . NOBODY, '--regid=' . NOBODY, '--clear-groups',
	    '--', 'test', '-x', "$B/sendmail", '-a', '-x', $T) == 0;
}

sub give_away
{
	my @paths = shift;

	while (defined(my $path = shift @paths)) {
		POSIX::lchown(NOBODY, NOBODY, $path);
		next if -l $path || !-d $path;
		opendir my $dh, $path or next;
		push @paths, map { "$path/$_" } grep { !/^\.\.?$/ } readdir $dh;
	}
}

# -- the queue and its runner

sub queue_ids
{
	my $dir = shift // 'queue';
	my @ids;

	opendir my $dh, spool() . "/$dir" or return @ids;
	# By way of a list: what `sort` answers a caller who wants a number is undefined.
	@ids = sort grep { /^[0-9A-Z]{20}$/ } readdir $dh;
	return @ids;
}

# The smarthost's keys for an account that nobody answers for: mail stays in the
# queue, where it can be looked at.
sub nobody_answers
{
	return (port => 1, tls => 'none', auth => 'none', 'tls-name' => undef, user => undef,
	    'password-file' => undef);
}

# A queued message taken apart: id, envelope (its lines), from, to (a list), text,
# and of that head (a list of fields, folding kept) and body.
sub letter
{
	my ($id, $dir) = @_;
	my ($envelope, $text) = split /\n\n/, substr(slurp(($dir // spool()) . "/queue/$id"), 147), 2;
	my ($head, $body) = split /(?:^|\n)\n/, $text, 2;
	my %l = (id => $id, envelope => $envelope, text => $text, body => $body // '',
	    to => [ $envelope =~ /^to (.*)/mg ], head => [ split /\n(?![ \t])/, $head ]);

	($l{from}) = $envelope =~ /^from (.*)/m;
	return \%l;
}

# What came into the queue since this was last asked.
sub new_letters
{
	return map { letter($_) } grep { !$seen{$_}++ } queue_ids();
}

sub wait_empty
{
	my $seconds = shift // 10;

	return wait_for(sub { !queue_ids() }, $seconds, 'an empty queue');
}

# Until nothing moves: in two looks, a tenth of a second apart, no courier runs, and
# these smarthosts have seen nothing new; or until the queue is empty.
sub wait_rest
{
	my @servers = @_;
	my ($last, $looks) = ('', 0);

	return wait_for(sub {
		my $now = join '|', map { $_->file('dialogue') =~ tr/\n// } @servers;

		$looks = $now eq $last && !processes(qr/^subpost-courier/) ? $looks + 1 : 0;
		$last = $now;
		return 1 if !queue_ids() || $looks > 2;
		sleep 0.1;
		return 0;
	}, 60, 'rest');
}

# Until nobody holds the queue's lock.
sub wait_no_runner
{
	my $seconds = shift // 10;

	return wait_for(sub { !is_locked(spool() . '/lock') }, $seconds, 'the runner to leave');
}

# Who holds the queue's lock, as far as the kernel tells; else undef.
sub runner_pid
{
	return holder(spool() . '/lock');
}

# Who holds the lock of that file, likewise.
sub holder
{
	my ($device, $inode) = stat shift or return undef;

	for (split /\n/, slurp('/proc/locks') // '') {
		return $1 if /^\d+: FLOCK\s+\S+\s+WRITE\s+(\d+) \w+:\w+:\Q$inode\E / && has_open($1, $device, $inode);
	}
	return undef;
}

# Has that process this file open?  Files of two file systems may have one number.
# Where nobody can tell, it may be so.
sub has_open
{
	my ($pid, $device, $inode) = @_;

	opendir my $dh, "/proc/$pid/fd" or return 1;
	for (grep { /^\d+$/ } readdir $dh) {
		my ($d, $i) = stat "/proc/$pid/fd/$_";

		return 1 if defined $i && $d == $device && $i == $inode;
	}
	return 0;
}

# The list of locks is asked first, because to try the lock is to hold it for
# a moment, in which a runner that starts would find it taken.  The list alone
# does not do: in a container it hides what a process outside took.
sub is_locked
{
	my $path = shift;

	return 1 if defined runner_pid();
	open my $fh, '<', $path or return 0;
	return !flock $fh, LOCK_SH | LOCK_NB;
}

# The pids of all programs of this test, or of those whose name matches: what
# has this test's home in its environment, what such a process has started,
# and who holds the queue's lock.
sub processes
{
	my $name = shift // qr/./;
	my %parent;
	my %ours = map { $_ => 1 } grep { defined } runner_pid();
	my @hits;

	for my $pid (map { m{/(\d+)$} } glob '/proc/[0-9]*') {
		next if $pid == $$;
		$parent{$pid} = $1 if (slurp("/proc/$pid/stat") // '') =~ /^\d+ \(.*\) [^Z] (\d+)/s;
		$ours{$pid} = 1 if (slurp("/proc/$pid/environ") // '') =~ /(?:^|\0)HOME=\Q$HOME\E(?:\0|$)/;
	}
	for my $pid (keys %parent) {
		for (my $up = $pid; defined $up; $up = $parent{$up}) {
			$ours{$pid} = 1 if $ours{$up};
		}
	}
	for my $pid (sort { $a <=> $b } grep { exists $parent{$_} } keys %ours) {
		my ($argv0) = split /\0/, slurp("/proc/$pid/cmdline") // '';

		push @hits, $pid if basename($argv0 // '') =~ $name;
	}
	return @hits;
}

# Runners start couriers, so one look may miss what the other is just starting.
sub end_processes
{
	for (1 .. 50) {
		my @left = (processes(), keys %started);

		return if !@left;
		kill 'KILL', @left;
		delete $started{$_} for grep { waitpid($_, POSIX::WNOHANG()) != 0 } keys %started;
		sleep 0.01;
	}
}

END {
	if ($$ == $owner) {
		my $status = $?;

		alarm 0;
		local $@;
		end_processes();
		for my $s (@smarthosts) {
			my $ended = $s->stop;
			my @faults = !$JUDGED || $s->{wire}{free} ? () : $s->faults(may_die => 1);

			diag("the smarthost in $s->{dir} ended with $ended: " . $s->stderr) if $ended != 0;
			diag("the client of $s->{dir} broke a rule: $_") for @faults;
			$status ||= 1 if $ended != 0 || @faults;
		}
		if ($ENV{FLOW_KEEP}) {
			diag("kept: $T");
		} else {
			remove_tree($T, { safe => 0, error => \my $ignored });
		}
		$? = $status;
	}
}

# A program that runs beside the test.
package Flow::Process;
use POSIX ();
use Time::HiRes qw(sleep time);

sub pid
{
	return shift->{pid};
}

# Waits for its end and returns what run() returns.
sub wait
{
	my ($self, $timeout) = @_;
	my $end = time + ($timeout // 20);
	my ($pid, $late, $got) = ($self->{pid}, 0);

	return $self->{result} if $self->{result};
	while (($got = waitpid $pid, POSIX::WNOHANG()) == 0) {
		if (time >= $end) {
			$late = 1;
			kill 'KILL', -$pid, $pid;
			waitpid $pid, 0;
			last;
		}
		sleep 0.002;
	}
	delete $started{$pid};
	my $status = $?;
	if ($self->{feeder}) {
		kill 'KILL', $self->{feeder};
		waitpid $self->{feeder}, 0;
	}
	return $self->{result} = {
		status => $status & 127 ? 128 + ($status & 127) : $status >> 8,
		signal => $status & 127,
		timed_out => $late,
		seconds => time - $self->{begun},
		out => Flow::slurp("$self->{io}.out"),
		err => Flow::slurp("$self->{io}.err"),
	};
}

# A running smarthost and what it has written down.
package Flow::Smarthost;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Wire;

sub new
{
	my ($class, $dir, %o) = @_;
	my @args = @{ $o{args} // [] };
	my $self = bless { dir => $dir, args => \@args, wire => $o{wire} // {} }, $class;
	my @script;

	mkdir $dir, 0755 or die "$dir: $!";
	@script = ('-s', Flow::spew("$dir/script", $o{script})) if defined $o{script};
	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0) {
		$SIG{$_} = 'DEFAULT' for qw(ALRM INT TERM HUP PIPE);
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$dir/stdout";
		open STDERR, '>', "$dir/stderr";
		exec "$Flow::B/tests/lib/smarthost", @script, '-d', $dir, @args or POSIX::_exit(127);
	}
	Flow::wait_for(sub { -e "$dir/port" || $self->has_ended }, 20, 'the smarthost');
	die "the smarthost did not start: " . $self->stderr . "\n" if !-e "$dir/port";
	chomp($self->{port} = Flow::slurp("$dir/port"));
	return $self;
}

sub port { return shift->{port} }
sub dir { return shift->{dir} }
sub ca { return shift->{dir} . '/ca.pem' }
sub pid { return shift->{pid} }

# As the ini calls it.
sub tls
{
	my %args = map { $_ => 1 } @{ shift->{args} };

	return $args{'--plain'} ? 'none' : $args{'--implicit'} ? 'implicit' : 'starttls';
}

sub file
{
	my ($self, $name) = @_;

	return Flow::slurp("$self->{dir}/$name") // '';
}

sub stderr { return shift->file('stderr') }

# What both sides said: all connections as it came, or one of them.
sub dialogue
{
	my ($self, $n) = @_;

	return $self->file(defined $n ? "dialogue.$n" : 'dialogue');
}

# Every octet that the client said on connection N.
sub raw { return $_[0]->file("raw.$_[1]") }
# And every octet of both sides, for Wire.pm: the paths of all connections.
sub recordings
{
	my $self = shift;

	return sort { ($a =~ /(\d+)$/)[0] <=> ($b =~ /(\d+)$/)[0] } glob "$self->{dir}/wire.*";
}

# What an independent reader finds wrong with the client's side of them; HOW as
# in Wire.pm.
sub faults
{
	my ($self, %how) = @_;
	my %options = (clear => $self->tls eq 'none', %how, %{ $self->{wire} });

	return map { my $n = s/.*\.//r; map { "$_ on connection $n" } wire_faults(Flow::slurp($self->{dir} . "/wire.$n"), %options) }
	    $self->recordings;
}
sub violations { return split /\n/, shift->file('violations') }

# A hash a finished connection, in the order in which they ended.
sub turns
{
	return map {
		/^(\d+) turns (\d+) messages (\d+)$/ ? { connection => $1, turns => $2, messages => $3 } : ()
	} split /\n/, shift->file('turns');
}

# A hash a message that was answered with 2yz, in order: eml and env as they
# stand in the files, and the latter taken apart: from, to (a list), auth, tls,
# connection; and its number.
sub messages
{
	my $self = shift;
	my @all;

	for my $n (sort { $a <=> $b } map { m{(\d+)\.env$} } glob "$self->{dir}/messages/*.env") {
		my %m = (number => $n, to => []);

		$m{$_} = $self->file("messages/$n.$_") for qw(eml env);
		for (split /\n/, $m{env}) {
			my ($key, $value) = split / /, $_, 2;

			if ($key eq 'to') {
				push @{ $m{to} }, $value;
			} else {
				$m{$key} = $value;
			}
		}
		push @all, \%m;
	}
	return @all;
}

sub wait_messages
{
	my ($self, $n, $seconds) = @_;

	return Flow::wait_for(sub { my @m = glob "$self->{dir}/messages/*.env"; @m >= $n },
	    $seconds // 10, "$n messages");
}

# Both ends of `wait` and `touch` in a script: PATHs there are under dir.
sub release
{
	my ($self, $name) = @_;

	Flow::spew("$self->{dir}/$name", '');
}

sub wait_file
{
	my ($self, $name, $seconds) = @_;

	return Flow::wait_for(sub { -e "$self->{dir}/$name" }, $seconds // 10, "the file $name");
}

sub has_ended
{
	my $self = shift;

	return 1 if defined $self->{status};
	return 0 if waitpid($self->{pid}, POSIX::WNOHANG()) == 0;
	$self->{status} = $?;
	return 1;
}

# Ends it and returns its wait status; 0 is a clean end.
sub stop
{
	my $self = shift;
	my $end = time + 10;

	kill 'TERM', $self->{pid} if !$self->has_ended;
	while (!$self->has_ended) {
		kill 'KILL', $self->{pid} if time > $end;
		sleep 0.002;
	}
	return $self->{status};
}

1;
