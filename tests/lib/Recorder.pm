# Recorder: a wire-tap between a client and a server on loopback, for servers that
# are not our own: what goes through is written as the scripted smarthost writes
# its wire.N, for Wire.pm.
#
#	my $tap = Recorder->new($dir, $port);   # listens on $tap->port, calls $port
#	$tap->recordings                        # the paths, in order
#	$tap->stop
package Recorder;
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(IPPROTO_TCP TCP_NODELAY SHUT_WR);

sub new
{
	my ($class, $dir, $target) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, Proto => 'tcp') or die "no free port: $!\n";

	mkdir $dir or die "$dir: $!\n";
	my $parent = $$;
	my $pid = fork // die "fork: $!\n";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(ALRM INT TERM HUP);
		$SIG{CHLD} = $SIG{PIPE} = 'IGNORE';
		# Whoever reads what the test says must not wait for us.
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		listen_for($listener, $target, $dir, $parent);
		POSIX::_exit(0);
	}
	return bless { dir => $dir, pid => $pid, port => $listener->sockport }, $class;
}

sub port { return shift->{port} }

sub recordings
{
	my $self = shift;

	return sort { ($a =~ /(\d+)$/)[0] <=> ($b =~ /(\d+)$/)[0] } glob "$self->{dir}/wire.*";
}

sub stop
{
	my $self = shift;

	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
}

# As long as the test is there.
sub listen_for
{
	my ($listener, $target, $dir, $parent) = @_;
	my $select = IO::Select->new($listener);

	for (my $n = 0; getppid == $parent; ) {
		$select->can_read(1) or next;
		my $client = $listener->accept or next;
		my $child = fork // next;

		$n++;
		next if $child;
		close $listener;
		pass_on($client, $target, "$dir/wire.$n");
		POSIX::_exit(0);
	}
}

# Each octet is written down before it is passed on, so that an answer never stands
# before what it answers.
sub pass_on
{
	my ($client, $target, $path) = @_;
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $target, Proto => 'tcp') or return;
	my $select = IO::Select->new($client, $server);

	open my $record, '>:raw', $path or return;
	$record->autoflush(1);
	setsockopt($_, IPPROTO_TCP, TCP_NODELAY, 1) for $client, $server;
	while ($select->count) {
		for my $from ($select->can_read) {
			my ($to, $way) = $from == $client ? ($server, '>') : ($client, '<');
			my $n = sysread $from, my $octets, 65536;

			if ($n) {
				print $record "$way $n\n$octets\n";
				for (my $at = 0; $at < $n; ) {
					my $done = syswrite $to, $octets, $n - $at, $at;

					last if !defined $done;
					$at += $done;
				}
				next;
			}
			print $record $from == $server ? "close\n" : defined $n ? "end\n" : "lost\n";
			shutdown $to, SHUT_WR;
			$select->remove($from);
		}
	}
}

1;
