# Courier: how fast mail leaves, and what that costs.
package Courier;
use strict;
use warnings;
use Bench;
use Cwd 'abs_path';
use Exporter 'import';
use File::Basename 'dirname';
use File::Temp 'tempdir';
use IO::Socket::INET;
use Peers;
use POSIX ();
use Time::HiRes qw(sleep time);

our @EXPORT = qw(drain long_line turns one heavy many);

# The ceiling goes over plain SMTP, so the like-for-like rows do so too.  The server
# that is a real one, Postfix with its spool in memory, says what the targets speak of;
# the scripted one is so fast that only we are measured.
sub drain
{
	my $n = 1000;

	rows();
	for my $far (\&scripted, \&postfix_that_discards) {
		my ($name, $begin) = $far->() or next;

		for ([ 1, '>= 0.7' ], [ 2, '>= 0.7' ]) {
			my ($connections, $target) = @$_;
			my $s = $begin->();
			my $top = ceiling($s->{port}, $n, '--pipeline', '--connections', $connections);
			my $r = drained($s, $n, connections => $connections);

			row("   ceiling, $name, text first, connections: $connections, msg/s", $top, '');
			row("P13 drain, connections: $connections, msg/s", $r->{rate}, $connections == 1 && $name eq 'scripted' ? '>= 1200' : '', $r->{words});
			row('   share of the ceiling', $r->{rate} / $top, $name eq 'Postfix' ? $target : '');
			row('P13 CPU of runner and couriers, ms a message', $r->{cpu} / $n, '<= 0.5');
			$s->{stop}->();
			close_offices();
		}
	}
	my $s = smarthost('--starttls', '--discard');
	my $r = drained($s, $n, tls => 'starttls');

	row('   drain, STARTTLS and AUTH, msg/s', $r->{rate}, '', $r->{words});
	row('   CPU of runner and couriers, ms a message', $r->{cpu} / $n, '');
	stop($s);
}

sub scripted
{
	return (scripted => sub {
		my $s = smarthost('--plain', '--no-auth', '--discard');

		$s->{stop} = sub { stop($s) };
		return $s;
	});
}

# What it has taken stands in its log, a line a message.
sub postfix_that_discards
{
	my $tool = abs_path(dirname(__FILE__)) . '/../lib/postfix';

	return unmeasured('Postfix', 'only root can start it') if $> != 0;
	unpacked('postfix', 'postfix') or return;
	return (Postfix => sub {
		my $dir = tempdir('postfix-XXXXXX', DIR => $memory);
		my $s = { dir => $dir };

		chmod 0755, $memory, $dir;
		local @SIG{qw(TERM INT HUP)} = ('IGNORE') x 3;
		$s->{stop} = $stop_postfix = sub { $stop_postfix = undef; system($tool, 'stop', $dir) };
		system("$tool start $dir $B >/dev/null") == 0 or die "Postfix does not start\n";
		# The queue manager would have the processor that its clients need.
		spew("$dir/etc/main.cf", slurp("$dir/etc/main.cf") . "virtual_transport = discard\n");
		spew("$dir/etc/master.cf", slurp("$dir/etc/master.cf") . "discard unix - - n - - discard\n");
		kill 'HUP', slurp("$dir/queue/pid/master.pid") =~ /(\d+)/;
		sleep 1;
		($s->{port}) = slurp("$dir/ports") =~ /clear (\d+)/;
		$s->{taken} = sub { scalar(() = slurp("$dir/maillog") =~ /: message-id=/g) };
		# Its processes are started by the first who come.
		ceiling($s->{port}, 100, '--connections', 2);
		return $s;
	});
}

# As many connections, in the same way, by a client that only sends and by us.
sub long_line
{
	my @cases = (
		# words, messages, connections, depth, the ceiling's way, target
		[ 'P10', 500, 2, 1, [ '--pipeline' ], '>= 0.9' ],
		[ 'P10', 1000, 2, 1, [ '--pipeline' ], '>= 0.9' ],
		[ 'P11', 500, 20, 1, [ '--pipeline' ], '>= 0.9' ],
		[ 'P11', 1000, 20, 1, [ '--pipeline' ], '>= 0.9' ],
		[ 'P12', 500, 2, 8, [ '--bdat', '--window', 8 ], '>= 0.8' ],
		[ 'P12', 1000, 2, 8, [ '--bdat', '--window', 8 ], '>= 0.8' ],
		[ 'P12', 500, 2, 16, [ '--bdat', '--window', 16 ], '>= 0.8' ],
		[ 'P12', 1000, 2, 16, [ '--bdat', '--window', 16 ], '>= 0.8' ],
	);

	rows();
	for (@cases) {
		my ($name, $n, $connections, $depth, $way, $target) = @$_;
		my $s = smarthost('--plain', '--no-auth', '--discard', $depth > 1 ? '--chunking' : ());
		my $d = delay($s->{port}, 50);
		my $top = ceiling($d->{port}, $n, @$way, '--connections', $connections);
		my $r = drained($s, $n, line => $d, connections => $connections, 'pipeline-depth' => $depth);

		row(sprintf('%s drain of %d, connections: %d%s, msg/s', $name, $n, $connections, $depth > 1 ? ", depth $depth" : ''),
		    $r->{rate}, '', sprintf('ceiling %.0f; %s; %d connections at most', $top, $r->{words}, $r->{most}));
		row('   share of the ceiling', $r->{rate} / $top, $target);
		stop($d);
		stop($s);
		close_offices();
	}
	my $s = smarthost('--plain', '--no-auth', '--discard');
	my $d = delay($s->{port}, 50);

	row('   ceiling, 1 connection, lock-step, msg/s', ceiling($d->{port}, 20), '');
	stop($d);
	stop($s);
}

# A turn is a burst of the client that follows something of the server's, so each
# is a time that it has waited.
sub turns
{
	my $n = 60;

	rows();
	for ([ 'DATA' ], [ 'BDAT', '--chunking' ]) {
		my ($way, @chunking) = @$_;

		for ([ 'plain', 'none', '--plain', '--no-auth' ], [ 'STARTTLS and AUTH', 'starttls', '--starttls' ]) {
			my ($name, $tls, @how) = @$_;
			my $s = smarthost(@how, @chunking, '--discard');
			my $d = delay($s->{port}, 50);
			my $r = drained($s, $n, line => $d, tls => $tls, connections => 1, cold => ($tls eq 'none' ? 3 : 7) - @chunking);

			row("P6 turns a message, $way, $name", $r->{turns}, '<= 1.05', sprintf '%.0f msg/s', $r->{rate});
			stop($d);
			stop($s);
			close_offices();
		}
		for ([ '--starttls', 7 ], [ '--implicit', 6 ]) {
			my ($tls, $limit) = @$_;
			my $r = single(50, [ $tls, @chunking ], \&office_sender, keep => 1);

			row("P7 turns until the 250, $way, " . substr($tls, 2), $r->{turns}, '<= ' . ($limit - @chunking));
			row("P9 turns for the next message, $way, " . substr($tls, 2), $r->{next}, '<= ' . (2 - @chunking),
			    sprintf '%.0f ms from its exec', $r->{next_ms});
		}
	}
}

sub one
{
	my @cases = (
		# RTT, words, arguments of the smarthost, target
		[ 0, 'DATA', [ '--starttls' ], '<= 15' ],
		[ 0, 'BDAT', [ '--starttls', '--chunking' ], '<= 15' ],
		[ 50, 'DATA', [ '--starttls' ], '<= 445' ],
		[ 50, 'BDAT', [ '--starttls', '--chunking' ], '<= 395' ],
		[ 50, 'DATA', [ '--implicit' ], '' ],
		[ 50, 'BDAT', [ '--implicit', '--chunking' ], '' ],
	);
	my ($msmtp, @how) = msmtp_program();

	rows();
	for (@cases) {
		my ($rtt, $way, $args, $target) = @$_;
		my $tls = substr $args->[0], 2;
		my $r = single($rtt, $args, \&office_sender);

		row("P8 accepted after ms, RTT $rtt, $way, $tls", $r->{ms}, $target);
		next if !$msmtp || @$args > 1;
		my $m = single($rtt, $args, sub { my ($o, @options) = msmtp_options(@_); ($o, @how, $msmtp, @options) });

		row('   msmtp, ms', $m->{ms}, '');
	}
}

# All that a message of 30 MiB costs, and what of it stays in memory.
sub heavy
{
	my $bundle = "$T/bundle.pem";
	my ($system) = grep { -r } qw(/etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt);

	rows();
	for my $chunking ([], [ '--chunking' ]) {
		my $way = @$chunking ? 'BDAT' : 'DATA';
		my $small = carried(1 << 10, undef, @$chunking);
		my $r = carried(30 << 20, undef, @$chunking);

		row("P15 courier, KiB resident at 30 MiB, one certificate, $way", $r->{courier}, '<= 6144');
		row('   more than for 1 KiB', $r->{courier} - $small->{courier}, '<= 307');
		row('P15 runner, KiB resident', $r->{runner}, '<= 2048');
		row('P16 CPU ms of everything', $r->{cpu}, '<= 50', sprintf 'face %.0f, runner and courier %.0f', $r->{face}, $r->{cpu} - $r->{face});
		row('P16 accepted after s', $r->{ms} / 1000, '<= 0.25');
	}
	return unmeasured('the bundle', 'this system has none') if !$system;
	my $r = carried(30 << 20, $system);

	row('P15 courier, KiB resident, the system\'s certificates', $r->{courier}, '<= 10240');
}

# One message over TLS; its connection is kept open, so that all who carried it can
# be asked what they needed.
sub carried
{
	my ($size, $bundle, @chunking) = @_;
	my $s = smarthost('--starttls', '--discard', @chunking);
	my $ca = $s->{ca};
	my $o;

	if ($bundle) {
		$ca = "$T/bundle.pem";
		spew($ca, slurp($bundle) . slurp($s->{ca}));
	}
	$o = office(port => $s->{port}, ca => $ca, keep => 20);
	my $message = message($size);
	my $begun = time;
	my $face = spent($o, $message, sendmail($o));

	wait_for(sub { meter($s)->{messages} }, LIMIT) or die "the message does not arrive\n";
	my %r = (ms => (meter($s)->{last} - $begun) * 1000, face => $face);
	# What was reported is to be written down yet, and that is part of it.
	wait_for(sub { !queued($o) }, 10) or die "the message stays in the queue\n";
	for my $pid (processes($o)) {
		my $name = slurp("/proc/$pid/comm") =~ /courier/ ? 'courier' : 'runner';

		($r{$name}) = slurp("/proc/$pid/status") =~ /^VmHWM:\s*(\d+) kB/m;
	}
	defined $r{courier} && defined $r{runner} or die "courier or runner has gone too soon\n";
	$r{cpu} = $r{face} + cpu($o);
	stop($s);
	close_offices();
	return \%r;
}

# The first attempt of a runner that starts with all of them there.
sub many
{
	my %drained;

	rows();
	for my $n (10_000, 100_000) {
		my $port = free_port();
		my $s = smarthost('--plain', '--no-auth', '--discard', '-p', $port);
		my $o = office(port => $port, plain => 1, connections => 2);
		my $begun;

		stop($s);
		fill($o, $n);
		know_all($o, $port, $n) if $n == 100_000;
		# It has read them once, so that the names are in memory, and forgotten who is down.
		put_down($o);
		restart($s);
		$begun = time;
		system_in($o, '/dev/null', "$B/subpost", 'retry', 'all') == 0 or die "subpost retry all failed\n";
		wait_for(sub { meter($s)->{messages} >= $n }, 30 + $n / 50, 0.05) or
		    die meter($s)->{messages} . " of $n messages have arrived\n";
		$drained{$n} = meter($s)->{last} - $begun;
		row("P17 $n queued: first MAIL after s", meter($s)->{first} - $begun, $n == 100_000 ? '<= 0.5' : '');
		row("   drained, s", $drained{$n}, '', sprintf '%.0f msg/s', $n / $drained{$n});
		row('P17 KiB of the runner, resident at most', $o->{runner} // runner_kib($o), '<= 16384') if $n == 100_000;
		stop($s);
		close_offices();
	}
	row('P18 drain of 100,000, x that of 10,000', $drained{100_000} / $drained{10_000}, '<= 11');
}

# So many of 1 KiB in the queue, by a session for each thousand.
sub fill
{
	my ($o, $n) = @_;
	my $dialogue = dialogue(1000);

	for (1 .. $n / 1000) {
		system_in($o, $dialogue, "$B/sendmail", '-bs') == 0 or die "sendmail -bs failed\n";
	}
	queued($o) == $n or die queued($o) . " messages are queued, not $n\n";
	put_down($o);
}

# Nobody works there, and nothing is remembered of who is down.
sub put_down
{
	my $o = shift;

	for (1 .. 500) {
		my @left = processes($o);

		last if !@left;
		kill 'KILL', @left;
		sleep 0.01;
	}
	unlink "$o->{spool}/health", "$o->{spool}/runner";
}

# A runner knows all when it has nothing left to do: its server takes the connection
# and says nothing.
sub know_all
{
	my ($o, $port, $n) = @_;
	my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 8, Proto => 'tcp', ReuseAddr => 1) or
	    die "port $port: $!\n";
	my ($begun, $last, $before, $runner) = (time, time, -1);

	system_in($o, '/dev/null', "$B/subpost", 'retry', 'all') == 0 or die "subpost retry all failed\n";
	wait_for(sub { ($runner) = grep { slurp("/proc/$_/comm") =~ /^subpostd/ } processes($o) }, 10) or die "no runner\n";
	# It is done when it has used nothing more of the processor for half a second.
	wait_for(sub {
		my $used = ran($runner);

		($before, $last) = ($used, time) if $used != $before;
		return time - $last > 0.5;
	}, LIMIT, 0.005) or die "the runner does not come to rest\n";
	row("P17 $n queued: all known after s", $last - $begun, '<= 1', sprintf '%.0f ms CPU', $before);
	$o->{runner} = runner_kib($o);
	my $r = in_office($o, sub { drive([], '/dev/null', 3, [ "$B/mailq" ]) });

	row("P18 mailq of $n, s", $r->[0]{median} / 1e6, '<= 0.4', "$r->[0]{rss} KiB resident");
	$r = paired($o, message(1024), 30);
	my $o2 = blocked_office();
	my $empty = paired($o2, message(1024), 30);

	row('P18 one more enqueue, x an empty queue\'s', ($r->[1]{median} / $r->[0]{median}) / ($empty->[1]{median} / $empty->[0]{median}), '<= 1.05',
	    words_of($r));
	# What was queued for that goes again.
	clear_newest($o, queued($o) - $n);
}

sub clear_newest
{
	my ($o, $n) = @_;

	opendir my $dh, "$o->{spool}/queue" or die "$o->{spool}/queue: $!\n";
	my @ids = sort grep { /^[0-9A-Z]{20}$/ } readdir $dh;

	unlink map { "$o->{spool}/queue/$_" } splice @ids, -$n if $n > 0;
}

sub runner_kib
{
	my $o = shift;
	my ($runner) = grep { slurp("/proc/$_/comm") =~ /^subpostd/ } processes($o);

	return slurp("/proc/$runner/status") =~ /^VmHWM:\s*(\d+) kB/m ? $1 : 0;
}

# Queues n messages while nobody listens, and lets them go: to a smarthost, or by a
# line to it.  Keys of the account may be given.
sub drained
{
	my ($s, $n, %o) = @_;
	my $d = delete $o{line};
	my $tls = delete $o{tls} // 'none';
	my $cold = delete $o{cold} // 0;
	my $port = $d ? $d->{port} : $s->{port};
	my %account = (port => $port, ca => $s->{ca}, plain => $tls eq 'none', tls => $tls, %o);
	my $o = office(%account, port => free_port());
	my $taken = $s->{taken} // sub { meter($s)->{messages} };
	my $already;
	my ($begun, $before, $after, $cpu, $last);

	# A log may still be on its way.
	wait_for(sub { $already = $taken->(); sleep 0.2; $taken->() == $already }, 20) or die "the server does not come to rest\n";
	in_office($o, sub {
		my @said = capture("$tools/drive", 1, $n, message(1024), '--', sendmail());

		grep { /^0 all .* failed 0 / } @said or die "messages were refused: @said\n";
	});
	queued($o) == $n or die queued($o) . " messages are queued, not $n\n";
	wait_for(sub { is_up($o) }, 5);
	put_down($o);
	write_ini($o, %account);
	$before = line_of($d) if $d;
	$begun = time;
	system_in($o, '/dev/null', "$B/subpost", 'retry', 'all') == 0 or die "subpost retry all failed\n";
	wait_for(sub { $taken->() - $already >= $n }, 60 + $n / 5, $s->{taken} ? 0.02 : 0.001) or die $taken->() - $already . " of $n messages have arrived\n";
	$last = $s->{taken} ? time : meter($s)->{last};
	$after = line_of($d) if $d;
	wait_for(sub { queued($o) == 0 }, 20) or die queued($o) . " messages stay in the queue\n";
	$cpu = cpu($o);
	$taken->() - $already == $n or die $taken->() - $already . " messages have arrived, not $n\n";
	return {
		rate => $n / ($last - $begun), cpu => $cpu, words => sprintf('%.2f s', $last - $begun),
		$d ? (turns => steady_turns($before, $after, $n, $cold), most => $after->{most}) : (),
	};
}

# Without those that a connection has until its first message is taken.
sub steady_turns
{
	my ($before, $after, $n, $cold) = @_;
	my $connections = $after->{connections} - $before->{connections};

	return ($after->{turns} - $before->{turns} - $cold * $connections) / ($n - $connections);
}

# One message at a time, from before the exec until the smarthost has it; keep: and
# another, while the connection is still open.
sub single
{
	my ($rtt, $args, $sender, %o) = @_;
	my $s = smarthost(@$args, '--discard');
	my $d = $rtt ? delay($s->{port}, $rtt) : undef;
	my ($office, @command) = $sender->($d ? $d->{port} : $s->{port}, $s, $args->[0], $o{keep} ? (keep => 2) : ());
	my $times = 7;
	my (%got, $before);
	my $send = sub {
		my $begun = time;
		my $already = meter($s)->{messages};

		system_in($office, message(1024), @command) == 0 or die "$command[0] failed\n";
		wait_for(sub { meter($s)->{messages} > $already }, 20, 0.0005) or die "a message does not arrive\n";
		return (meter($s)->{last} - $begun) * 1000;
	};

	for my $n (1 .. $times) {
		$before = $d ? line_of($d)->{turns} : 0;
		push @{ $got{ms} }, $send->();
		if ($o{keep}) {
			push @{ $got{turns} }, line_of($d)->{turns} - $before;
			# The runner and the courier have to have the answer first, and its proof.
			wait_for(sub { !queued($office) }, 10) or die "a message stays in the queue\n";
			my $after = line_of($d)->{turns};

			push @{ $got{next_ms} }, $send->();
			push @{ $got{next} }, line_of($d)->{turns} - $after;
		}
		settled($office);
	}
	stop($d) if $d;
	stop($s);
	return { map { $_ => (sort { $a <=> $b } @{ $got{$_} })[$times / 2] } keys %got };
}

sub office_sender
{
	my ($port, $s, $tls, @more) = @_;

	return (office(port => $port, ca => $s->{ca}, tls => substr($tls, 2), keep => 0, @more), sendmail());
}

sub ceiling
{
	my ($port, $n, @options) = @_;
	my ($rate) = join('', capture("$tools/ceiling", @options, $port, $n)) =~ /rate (\S+)/;

	return $rate // die "the ceiling client failed\n";
}

# The same of a command, which is asked when it has ended and before it is gone.
sub spent
{
	my ($o, $stdin, @command) = @_;
	my $pid = in_office($o, sub { fork // die "fork: $!\n" });
	my $ms;

	if ($pid == 0) {
		in_office($o, sub {
			open STDIN, '<', $stdin or POSIX::_exit(126);
			exec { $command[0] } @command or POSIX::_exit(127);
		});
	}
	wait_for(sub { slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) Z/s }, LIMIT) or die "$command[0] does not end\n";
	$ms = ran($pid);
	waitpid $pid, 0;
	die "$command[0] failed\n" if $? != 0;
	return $ms;
}

1;
