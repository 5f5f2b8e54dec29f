# Peers: other people's programs beside ours.
package Peers;
use strict;
use warnings;
use Bench;
use Cwd 'abs_path';
use Exporter 'import';
use File::Basename 'dirname';
use lib dirname(__FILE__) . '/../lib';
use Peer;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(peers unpacked msmtp_program msmtp_options);

# Other people's programs, as Debian packs them: unpacked, not installed.  Those
# with a queue queue, and cannot send.
sub peers
{
	my @sender = ('-f', 'bench@example.net', 'someone@example.net');

	rows();
	if ($> == 0 && system('unshare -m true 2>/dev/null') == 0) {
		housed('nullmailer', 'nullmailer', 'nullmailer/queue/*',
		    "$B/peers/nullmailer/usr/bin/nullmailer-inject", @sender);
		housed('dma', 'dma', 'dma/Q*', '/usr/sbin/dma', @sender);
		housed('exim', 'exim4-daemon-light', 'exim4/input/*-H', '/usr/sbin/exim4', '-i', '-odq', @sender);
	} else {
		unmeasured($_, 'only root, with a mount namespace, can run it') for qw(nullmailer dma exim);
	}
	postfix(@sender);
	msmtp();
}

# The peer on the same disk, in the same minutes as the floor and as ours.
# $place says afresh for each size: by, what starts the driver; command; and how
# many messages the peer has when all is over.
sub beside
{
	my ($name, $place) = @_;

	for ([ '1 KiB', 1 << 10, 30 ], [ '1 MiB', 1 << 20, 10 ], [ '30 MiB', 30 << 20, 3 ]) {
		my ($size, $octets, $runs) = @$_;
		my $at = $place->();
		my $o = blocked_office();
		my $r;

		local @drive_by = @{ $at->{by} // [] };
		$r = eval {
			in_office($o, sub {
				drive([], message($octets), $runs, [ "$tools/floor", fresh('floor') ], [ sendmail() ], $at->{command});
			});
		} or return unmeasured($name, $@ =~ s/\n//r);
		row("   $name, $size, x floor", ratio($r->[2], $r->[0], 'median'), '',
		    sprintf('ours %s; %s', ratio($r->[1], $r->[0], 'median'), words_of([ @$r[0, 2] ])));
		row("   $at->{verb}, of those handed over", $at->{count}->(ROUNDS * $runs) . ' of ' . ROUNDS * $runs, '',
		    sprintf('%s, %.1f MiB resident', failures([ $r->[2] ]), $r->[2]{rss} / 1024));
		busy($r);
		close_offices();
	}
}

# A peer that stands in BUILDDIR/peers, and where its libraries are that the
# machine lacks; () after saying why not.
sub fetched
{
	my ($name, $package) = @_;
	my $root = unpacked($name, $package) or return;
	my @programs = grep { -f && -x && -B } glob "$root/usr/{bin,sbin}/*";
	my $libraries = peer_libraries($root);
	my @missing = missing_libraries($libraries, @programs);

	if (@missing) {
		my $beside = unpacked("$name-libraries", lacking_libraries($package)) or return;

		$libraries = join ':', $libraries || (), peer_libraries($beside);
		@missing = missing_libraries($libraries, @programs);
	}
	return @missing ? unmeasured($name, "it lacks @missing") : ($root, $libraries);
}

sub unpacked
{
	my ($name, @packages) = @_;
	my $had = -d "$B/peers/$name";
	my $root;

	return unmeasured($name, 'not installed, and only root may fetch it') if !$had && $> != 0;
	$root = unpack_peer($B, $name, @packages) or
	    return unmeasured($name, "apt-get cannot download @packages here");
	print "    $name: downloaded @packages, unpacked in $root, not installed\n" if !$had;
	return $root;
}

# Each with a machine of its own: tests/bench/peer.
sub housed
{
	my ($name, $package, $queue, @command) = @_;
	my ($root, $libraries) = fetched($name, $package) or return;

	chmod 0755, $T;
	beside($name, sub {
		my $dir = fresh("peer-$name");

		chmod 0755, $dir;
		return { command => \@command, verb => 'queued', count => sub { scalar(() = glob "$dir/spool/$queue") },
		    by => [ abs_path(dirname(__FILE__)) . '/peer', $name, $root, $libraries, $dir ] };
	});
}

# It has no queue: it is done when the smarthost, whose disk is memory, has the
# message.
sub msmtp
{
	my ($program, @how) = msmtp_program() or return;
	my $s = smarthost('--starttls');

	print "    msmtp has no queue: it hands over to a smarthost whose disk is memory\n";
	beside('msmtp', sub {
		my (undef, @options) = msmtp_options($s->{port}, $s, '--starttls');
		my $before = messages($s);

		return { command => [ $program, @options ], verb => 'arrived', by => \@how,
		    count => sub { messages($s) - $before } };
	});
	stop($s);
}

# Its path, and what is to stand before a command that runs it.
sub msmtp_program
{
	my ($installed) = grep { -x } map { "$_/msmtp" } split /:/, $ENV{PATH};
	my ($root, $libraries) = $installed ? () : fetched('msmtp', 'msmtp');

	return $installed if $installed;
	return $root ? ("$root/usr/bin/msmtp", '/usr/bin/env', "LD_LIBRARY_PATH=$libraries") : ();
}

sub msmtp_options
{
	my ($port, $s, $tls) = @_;
	my $o = office(port => $port, ca => $s->{ca}, tls => substr($tls, 2));
	my $starttls = $tls eq '--starttls' ? 'on' : 'off';

	spew("$o->{home}/msmtprc", <<"END");
account default
host localhost
port $port
tls on
tls_starttls $starttls
tls_trust_file $s->{ca}
auth plain
user user\@example.net
passwordeval cat $o->{home}/password
from user\@example.net
END
	return ($o, '-C', "$o->{home}/msmtprc", 'someone@example.net');
}

# Debian's package with a queue of its own; all it takes is put off.
sub postfix
{
	my @sender = @_;
	my $dir = "$T/postfix";
	my $tool = abs_path(dirname(__FILE__)) . '/../lib/postfix';
	my ($measured, $ended);

	chmod 0755, $T;
	if ($> != 0) {
		return unmeasured('postfix', 'only root can start it');
	}
	unpacked('postfix', 'postfix') or return;
	printf '    %-12s ', 'postfix';
	# A start that was left half-way could not be undone: a signal waits for its end.
	{
		my $interrupted = 0;

		local @SIG{qw(TERM INT HUP)} = (sub { $interrupted = 1 }) x 3;
		system($tool, 'start', $dir, $B);
		$stop_postfix = sub { $stop_postfix = undef; system($tool, 'stop', $dir) };
		exit 1 if $interrupted;
	}
	return $stop_postfix = undef if $? >> 8 == 77;
	die "it does not start\n" if $? != 0;
	print "runs, with a queue of its own\n";
	$measured = eval { measure_postfix($dir, @sender); 1 };
	$ended = $stop_postfix->();
	die $@ if !$measured;
	die "Postfix does not stop\n" if $ended != 0;
}

sub measure_postfix
{
	my ($dir, @sender) = @_;
	my ($master) = slurp("$dir/queue/pid/master.pid") =~ /(\d+)/;
	my $moving = sub { scalar grep { -f } glob "$dir/queue/{maildrop,incoming,active}/*" };
	my $held = sub { scalar grep { -f } glob "$dir/queue/deferred/*/*" };

	spew("$dir/etc/main.cf", slurp("$dir/etc/main.cf") . "defer_transports = virtual\n");
	kill 'HUP', $master;
	sleep 1;
	beside('postfix', sub {
		my $before = $held->();

		return { verb => 'queued', by => [ '/usr/bin/env', "LD_LIBRARY_PATH=$B/peers/postfix/usr/lib/postfix" ],
		    command => [ "$B/peers/postfix/usr/sbin/sendmail", '-C', "$dir/etc", '-i', @sender ],
		    count => sub { wait_for(sub { !$moving->() }, 60); $held->() - $before } };
	});
}

1;
