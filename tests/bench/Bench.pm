# Bench: what the parts of the bench stand on: a floor, offices, far ends, lines to
# them, and rows.
package Bench;
use strict;
use warnings;
use Exporter 'import';
use Fcntl ':flock';
use File::Basename qw(basename dirname);
use File::Path qw(make_path remove_tree);
use File::Temp 'tempdir';
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOCK_DGRAM);
use Time::HiRes qw(sleep time);

our @EXPORT = (qw($B $T $memory $tools $stop_postfix @drive_by ROUNDS LIMIT begin), qw(
	paired drive dialogue counted arrived failures busy rows row words_of ratio unmeasured
	office write_ini service blocked_service blocked_office sendmail hand_over queued is_up
	runner_holds children_of switches ran cpu pss processes settled close_offices make_room
	in_office system_in smarthost restart messages meter delay line_of spawn stop free_port
	message fresh capture spew slurp wait_for which sum
));

use constant ROUNDS => 3;
use constant LIMIT => 60;       # seconds for an answer that comes in one
use constant BUSY => 20;        # percent that the floor may wander between rounds

our ($B, $tools);               # the build directory; where the bench's own programs are
our $T;                         # a folder of our own on the disk, and one in memory
our $memory;
our $stop_postfix;              # how to, while one runs
our @drive_by;                  # words before the driver: where it is to run
my $owner;
my %children;                   # pid => 1, of what runs beside us
my @offices;
my $fresh = 0;                  # folders and sockets so far

# Makes the folders; all is ended and removed when the program ends.
sub begin
{
	$B = shift;
	$tools = "$B/tests/bench";
	$owner = $$;
	$T = tempdir('bench-XXXXXX', DIR => $B);
	# Each folder in it may have block groups of its own (ext4): so nobody looks for
	# room among another's files.
	system("chattr +T '$T' 2>/dev/null");
	$memory = tempdir('subpost-bench-XXXXXX', DIR => -w '/dev/shm' ? '/dev/shm' : $T);
}

# -- measuring

# The floor and our sendmail in turn; answers what drive said of each.
sub paired
{
	my ($o, $message, $runs, @options) = @_;

	return in_office($o, sub {
		drive(\@options, $message, $runs, [ "$tools/floor", fresh('floor') ], [ sendmail($o) ]);
	});
}

sub drive
{
	my ($options, $message, $runs, @commands) = @_;
	my @all;

	$message = message($message) if $message =~ /^\d+$/;
	for (capture(@drive_by, "$tools/drive", @$options, ROUNDS, $runs, $message, map { ('--', @$_) } @commands)) {
		my ($n, $rest) = /^(\d+) all (.*)/ or next;

		$all[$n] = { split / /, $rest };
	}
	die "drive said nothing\n" if @all != @commands;
	return \@all;
}

# What a client that waits for nothing says; its path.
sub dialogue
{
	my $n = shift;
	my $path = "$T/dialogue-$n";
	my $text = slurp(message(1024)) =~ s/\n/\r\n/gr;

	my $one = "MAIL FROM:<user\@example.net>\r\nRCPT TO:<someone\@example.net>\r\nDATA\r\n$text.\r\n";

	spew($path, "EHLO bench\r\n" . $one x $n . "QUIT\r\n");
	return $path;
}

# After the fact: a speed with fewer than all messages is no speed.
sub counted
{
	my ($o, $expected, $r) = @_;
	my $got = queued($o);

	row('   queued, of those handed over', "$got of $expected", 'all', failures($r));
	(defined $o->{pid} ? runner_holds($o) : is_up($o)) or
	    print "    !! the runner has gone: it was not up all the time\n";
	busy($r);
}

sub arrived
{
	my ($s, $expected, $r) = @_;

	row('   arrived, of those handed over', messages($s) . " of $expected", 'all', failures($r));
	busy($r);
}

sub failures
{
	my $r = shift;

	return sprintf '%d exits were not 0', sum(map { $_->{failed} } @$r);
}

sub busy
{
	my $r = shift;

	printf "    !! the floor's rounds lie %d %% apart: the machine was busy, run again\n", $r->[0]{spread}
	    if $r->[0]{spread} > BUSY;
}

# -- rows

sub rows
{
	printf "    %-46s %12s  %-8s  %s\n", '', 'measured', 'target', '';
}

sub row
{
	my ($what, $value, $target, $words) = @_;

	$value = sprintf $value < 10 ? '%.2f' : '%.0f', $value if $value =~ /^\d+\.\d+(?:e[-+]\d+)?$/;
	printf "    %-46s %12s  %-8s  %s\n", $what, $value, $target, $words // '';
}

sub words_of
{
	my $r = shift;

	return sprintf '%d us, p99 %d; floor %d us, p99 %d, spread %d %%',
	    @{ $r->[1] }{qw(median p99)}, @{ $r->[0] }{qw(median p99 spread)};
}

sub ratio
{
	my ($a, $b, $key) = @_;

	return sprintf '%.2f', $b->{$key} > 0 ? $a->{$key} / $b->{$key} : 0;
}

sub unmeasured
{
	my ($name, $why) = @_;

	printf "    %-12s not measured: %s\n", $name, $why;
	return;
}

# -- offices: a home, an ini, a queue

sub office
{
	my %o = @_;
	my $home = fresh('home');
	my $office = { home => $home, spool => "$home/spool", sendmail => "$B/sendmail" };

	spew("$home/password", "correct horse\n", 0600);
	write_ini($office, %o);
	push @offices, $office;
	return $office;
}

# port, ca, plain or tls; keep: seconds that a connection is kept open; ini: where it
# is written; more: its last lines; what else is given are keys of the account.
sub write_ini
{
	my ($office, %o) = @_;
	my ($port, $ca, $plain, $tls, $keep, $ini, $more) = delete @o{qw(port ca plain tls keep ini more)};
	my $login = $plain ? "auth = none\n" : <<"END";
tls-ca-file = $ca
user = user\@example.net
password-file = $office->{home}/password
END
	$login .= "keep-open = ${keep}s\n" if defined $keep;
	$login .= "$_ = $o{$_}\n" for sort keys %o;
	$tls = $plain ? 'none' : $tls // 'starttls';
	# Limits and further attempts of their own would be measured too.
	spew($ini // "$office->{home}/.config/subpost/subpost.ini", <<"END", 0600);
[smarthost]
host = 127.0.0.1
port = $port
tls = $tls
tls-name = localhost
from = user\@example.net
messages-per-connection = 100000
$login
[identity]
domain = example.net
hostname = bench.example.net

[queue]
directory = $office->{spool}
retry = 1h
retry-refused = 1h
@{[ $more // '' ]}
END
}

# A service with a queue of its own, and an office for callers that is not theirs: as
# whoever runs the bench, since nobody else need be able to reach its folder.
sub service
{
	my %o = @_;
	my $set = "$B/counter";
	my $socket = "$memory/counter-" . ++$fresh;
	my $office;

	-x "$set/sendmail" && -x "$set/subpostd" or die "$set/sendmail is not there: make bench builds it\n";
	$office = office(%o, ini => "$set/etc/subpost/subpost.ini", more => <<"END");
[service]
socket = $socket
user-messages = 1000000
END
	$office->{sendmail} = "$set/sendmail";
	in_office($office, sub {
		$office->{pid} = spawn("$office->{home}/stderr", "$set/subpostd", '--service', $> == 0 ? ('--user', 'root') : ());
	});
	wait_for(sub { -S $socket }, 20) or die 'the service does not start: ' . slurp("$office->{home}/stderr") . "\n";
	return $office;
}

# The same as below.
sub blocked_service
{
	my $o = service(port => free_port(), plain => 1);

	hand_over($o, message(1024));
	wait_for(sub { runner_holds($o) && children_of($o->{pid}) == 1 }, 10) or die "no runner has come up\n";
	sleep 0.5;
	runner_holds($o) or die "the runner does not stay\n";
	return $o;
}

# Nobody listens at its port: after one attempt its runner backs off and stays.
sub blocked_office
{
	my $o = office(port => free_port(), plain => 1);

	hand_over($o, message(1024));
	wait_for(sub { is_up($o) }, 10) or die "no runner has come up\n";
	sleep 0.5;
	is_up($o) or die "the runner does not stay\n";
	return $o;
}

sub sendmail
{
	my $o = shift;

	return (defined $o ? $o->{sendmail} : "$B/sendmail", '-i', 'someone@example.net');
}

sub hand_over
{
	my ($o, $message) = @_;

	system_in($o, $message, sendmail($o)) == 0 or die "sendmail failed\n";
}

sub queued
{
	my $o = shift;

	opendir my $dh, "$o->{spool}/queue" or return 0;
	return scalar grep { /^[0-9A-Z]{20}$/ } readdir $dh;
}

# Connecting a datagram socket says nothing to anybody, and works only where
# somebody listens.
sub is_up
{
	my $o = shift;

	return !!IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => "$o->{spool}/runner");
}

# The service has that socket whether or not a runner is there.
sub runner_holds
{
	my $o = shift;

	open my $fh, '<', "$o->{spool}/lock" or return 0;
	return !flock $fh, LOCK_SH | LOCK_NB;
}

# But for the spare clerk, who is always there.
sub children_of
{
	return grep { slurp("/proc/$_/comm") ne "subpostd-spare\n" } split ' ', slurp("/proc/$_[0]/task/$_[0]/children");
}

sub switches
{
	my $o = shift;

	return sum(map { slurp("/proc/$_/status") =~ /^\w*voluntary_ctxt_switches:\s*(\d+)/mg } processes($o));
}

# Milliseconds that a process was on a processor.
sub ran
{
	return slurp("/proc/$_[0]/schedstat") =~ /^(\d+)/ ? $1 / 1e6 : 0;
}

# Of all of an office, of those who are there now.
sub cpu
{
	return sum(map { ran($_) } processes(shift));
}

sub pss
{
	my ($o, $which) = (@_, qr/^Pss/m);

	return sum(map { my $all = slurp("/proc/$_/smaps_rollup"); $all =~ /$which:\s*(\d+) kB/mg } processes($o));
}

# All processes with the office's home in their environment, and their children:
# a courier shows its environment to nobody.
sub processes
{
	my $o = shift;
	my (%parent, %ours);

	for my $pid (map { m{(\d+)$} } glob '/proc/[0-9]*') {
		next if $pid == $$;
		$parent{$pid} = $1 if slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) [^Z] (\d+)/s;
		$ours{$pid} = 1 if slurp("/proc/$pid/environ") =~ /(?:^|\0)HOME=\Q$o->{home}\E(?:\0|$)/;
	}
	for my $pid (keys %parent) {
		for (my $up = $pid; defined $up; $up = $parent{$up}) {
			$ours{$pid} = 1 if $ours{$up};
		}
	}
	return grep { exists $parent{$_} } keys %ours;
}

# Until the queue is empty and its runner, and so its courier, has gone.
sub settled
{
	my $o = shift;

	wait_for(sub { queued($o) == 0 }, 20) or die queued($o) . " messages stay in the queue\n";
	wait_for(sub { !is_up($o) && !processes($o) }, 20) or die "the runner does not leave an empty queue\n";
}

sub close_offices
{
	while (my $o = shift @offices) {
		for (1 .. 200) {
			my @left = processes($o);

			last if !@left;
			kill 'KILL', @left;
			sleep 0.01;
		}
	}
	make_room();
}

# Large files go; the others stay until the end.  Before ext4 gives out an inode
# it passes over all of the same group that were deleted in the last minutes, one
# by one: thousands would slow whatever is measured next.
sub make_room
{
	system('find', $T, '-mindepth', 2, '-type', 'f', '-size', '+64k', '-delete');
}

sub in_office
{
	my ($o, $do) = @_;

	local %ENV = (%ENV, HOME => $o->{home}, XDG_CONFIG_HOME => "$o->{home}/.config",
	    XDG_STATE_HOME => "$o->{home}/.local/state");
	return $do->();
}

sub system_in
{
	my ($o, $stdin, @command) = @_;

	return in_office($o, sub {
		my $pid = fork // die "fork: $!\n";

		if ($pid == 0) {
			open STDIN, '<', $stdin or POSIX::_exit(126);
			open STDOUT, '>', '/dev/null';
			open STDERR, '>', "$T/stderr";
			exec { $command[0] } @command or POSIX::_exit(127);
		}
		waitpid $pid, 0;
		print map { "    | $_\n" } split /\n/, slurp("$T/stderr") if $? != 0;
		return $?;
	});
}

# -- the far end and the line to it

sub smarthost
{
	my @args = @_;
	my $dir = tempdir('smarthost-XXXXXX', DIR => $memory);
	my $s = { dir => $dir, args => \@args, ca => "$dir/ca.pem" };

	restart($s);
	return $s;
}

# Its certificate is made when it starts, so the ini's ca.pem, which is named
# by its path, is always the one that fits.
sub restart
{
	my $s = shift;

	remove_tree($s->{dir}, { keep_root => 1 });
	$s->{pid} = spawn("$s->{dir}/stderr", "$B/tests/lib/smarthost", '-d', $s->{dir}, @{ $s->{args} });
	wait_for(sub { -s "$s->{dir}/port" }, 20) or die 'the smarthost does not start: ' . slurp("$s->{dir}/stderr") . "\n";
	($s->{port}) = slurp("$s->{dir}/port") =~ /(\d+)/;
}

sub messages
{
	my $s = shift;

	return scalar(my @all = glob "$s->{dir}/messages/*.env");
}

# What one that discards has counted, in messages and seconds.
sub meter
{
	my $s = shift;
	my ($messages, $first, $last) = unpack 'Q3', slurp("$s->{dir}/meter");

	return { messages => $messages // 0, first => ($first // 0) / 1e9, last => ($last // 0) / 1e9 };
}

sub delay
{
	my ($target, $rtt) = @_;
	my $file = "$memory/delay-" . free_port();
	my $d = { file => $file };

	$d->{pid} = spawn($file, "$tools/delay", 0, $target, $rtt);
	wait_for(sub { slurp($file) =~ /^port (\d+)$/m && ($d->{port} = $1) }, 5) or die "delay does not start\n";
	return $d;
}

# What the line has counted; the proxy is asked, not stopped.
sub line_of
{
	my $d = shift;
	my $before = slurp($d->{file}) =~ tr/\n//;

	kill 'USR1', $d->{pid};
	wait_for(sub { slurp($d->{file}) =~ tr/\n// > $before }, 5) or die "delay does not answer\n";
	return { (split /\n/, slurp($d->{file}))[-1] =~ /(\w+) (\d+)/g };
}

sub spawn
{
	my ($output, @command) = @_;
	my $pid = fork // die "fork: $!\n";

	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', $output;
		open STDERR, '>&', \*STDOUT;
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	$children{$pid} = 1;
	return $pid;
}

sub stop
{
	my $child = shift;
	my $pid = $child->{pid};

	kill 'TERM', $pid;
	wait_for(sub { waitpid($pid, POSIX::WNOHANG()) != 0 }, 10) or kill 'KILL', $pid;
	delete $children{$pid};
}

sub free_port
{
	my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1, Proto => 'tcp') or
	    die "no free port: $!\n";

	return $s->sockport;
}

# -- small things

# A message of about that size, made once; its path.
sub message
{
	my $size = shift;
	my $path = "$T/message-$size";
	my $line = 'x' x 71 . "\n";
	my $text = "From: user\@example.net\nTo: someone\@example.net\nSubject: bench\n\n";

	return $path if -e $path;
	$text .= $line x (($size - length $text) / 72);
	spew($path, $text . 'x' x ($size - length($text) - 1) . "\n");
	return $path;
}

sub fresh
{
	my $dir = "$T/" . shift . ++$fresh;

	make_path($dir, { mode => 0700 });
	return $dir;
}

sub capture
{
	my @command = @_;
	my @lines;

	open my $out, '-|', @command or die "$command[0]: $!\n";
	@lines = <$out>;
	close $out or die basename($command[0]) . " failed\n";
	return @lines;
}

sub spew
{
	my ($path, $text, $mode) = @_;

	make_path(dirname($path), { mode => 0700 });
	open my $fh, '>:raw', $path or die "$path: $!\n";
	chmod $mode, $path if defined $mode;
	print $fh $text;
	close $fh or die "$path: $!\n";
}

sub slurp
{
	my $path = shift;

	open my $fh, '<:raw', $path or return '';
	local $/;
	return <$fh> // '';
}

sub wait_for
{
	my ($try, $seconds, $step) = @_;
	my $end = time + $seconds;

	until ($try->()) {
		return 0 if time > $end;
		sleep($step // 0.002);
	}
	return 1;
}

sub which
{
	my $program = shift;

	return scalar grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

sub sum
{
	my $sum = 0;

	$sum += $_ // 0 for @_;
	return $sum;
}

END {
	if (defined $owner && $$ == $owner) {
		my $status = $?;

		$stop_postfix->() if $stop_postfix;
		close_offices();
		kill 'KILL', keys %children if %children;
		remove_tree($T, $memory);
		$? = $status;
	}
}

1;
