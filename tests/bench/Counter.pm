# Counter: how fast and how small the hand-over is.
package Counter;
use strict;
use warnings;
use Bench;
use Exporter 'import';
use IPC::Open2;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(enqueue counter start large burst session counts idle);

my $seconds = $ENV{BENCH_IDLE} // 60;   # that the idle service is watched for

sub enqueue
{
	my $o = blocked_office();
	my $r = paired($o, message(1024), 90);

	rows();
	row('P1 enqueue 1 KiB, x floor', ratio($r->[1], $r->[0], 'median'), '<= 1.2', words_of($r));
	row('   p99, x floor\'s p99', ratio($r->[1], $r->[0], 'p99'), '');
	counted($o, 1 + ROUNDS * 90, $r);
}

sub counter
{
	my $o = blocked_service();
	my $r = paired($o, message(1024), 90);

	rows();
	row('P2 enqueue 1 KiB, x floor', ratio($r->[1], $r->[0], 'median'), '<= 1.4', words_of($r));
	row('   p99, x floor\'s p99', ratio($r->[1], $r->[0], 'p99'), '');
	counted($o, 1 + ROUNDS * 90, $r);
	close_offices();
	crowds(\&blocked_service, '<= 1.5');
	resident_clerk();
}

# What the most were that they had resident, while both are still there: the clerk
# has answered and waits for another message of the same session.
sub resident_clerk
{
	my $o = blocked_service();
	my $size = 30 << 20;
	my $message = slurp(message($size)) =~ s/\n/\r\n/gr;
	my (%kib, @clerks);

	in_office($o, sub {
		my $pid = open2(my $from, my $to, $o->{sendmail}, '-bs') or die "$o->{sendmail}: $!\n";
		my $hear = sub {
			my $line = <$from> // '';

			$line = <$from> // '' while $line =~ /^\d{3}-/;
			$line =~ /^[23]/ or die "sendmail -bs says: $line";
		};

		local $SIG{ALRM} = sub { die "sendmail -bs does not answer\n" };
		alarm LIMIT;
		$hear->();
		for ("EHLO bench\r\n", "MAIL FROM:<user\@example.net>\r\n", "RCPT TO:<someone\@example.net>\r\n",
		    "DATA\r\n", "$message.\r\n") {
			print $to $_;
			$to->flush;
			$hear->();
		}
		@clerks = grep { slurp("/proc/$_/comm") eq "subpostd-clerk\n" } children_of($o->{pid});
		%kib = map { $_ => slurp("/proc/$_/status") =~ /^VmHWM:\s*(\d+) kB/m ? $1 : 0 } $pid, @clerks;
		print $to "QUIT\r\n";
		close $to;
		waitpid $pid, 0;
		alarm 0;
		@clerks == 1 or die scalar @clerks . " clerks are there, not 1\n";
		row('P15 clerk, KiB resident at 30 MiB', $kib{ $clerks[0] }, '<= 2048');
		row('P15 face, KiB resident at 30 MiB', $kib{$pid}, '<= 2048');
	});
	row('   queued, of those handed over', queued($o) . ' of 2', 'all');
}

# A process that sleeps and is not woken has not been switched to: what it waits
# for with a limit would show.
sub idle
{
	my $s = smarthost('--starttls');
	my $o = service(port => $s->{port}, ca => $s->{ca});
	my ($before, $after, $begun);

	hand_over($o, message(1024));
	wait_for(sub { messages($s) == 1 }, 20) or die "the message does not arrive\n";
	wait_for(sub { !queued($o) && !runner_holds($o) && processes($o) == 2 }, 20) or
	    die scalar(() = processes($o)) . " processes stay, not 2\n";
	# What it still has to say about the last one's end is no part of being idle.
	sleep 1;
	$before = switches($o);
	$begun = time;
	sleep $seconds;
	$after = switches($o);
	rows();
	row(sprintf('P14 wake-ups in %.0f s', time - $begun), $after - $before, '0');
	row('P14 KiB of PSS in all', pss($o), '<= 2048', sprintf '%d process%s, %d KiB private', processes($o) + 0,
	    processes($o) == 1 ? '' : 'es', pss($o, qr/^Private_(?:Clean|Dirty)/m));
	stop($s);
}

sub start
{
	my $s = smarthost('--starttls');
	my $o = office(port => $s->{port}, ca => $s->{ca});
	my $r;

	hand_over($o, message(1024));
	$r = paired($o, message(1024), 30, '-w', $o->{spool});
	rows();
	row('P1 enqueue 1 KiB, x floor', ratio($r->[1], $r->[0], 'median'), '<= 1.4', words_of($r));
	wait_for(sub { queued($o) == 0 }, 20) or die "the queue does not become empty\n";
	arrived($s, 1 + ROUNDS * 30, $r);
	stop($s);
}

sub large
{
	my @cases = ([ '1 MiB', 1 << 20, 30, '<= 1.25' ], [ '30 MiB', 30 << 20, 7, '<= 1.3' ]);

	rows();
	for (@cases) {
		my ($name, $size, $runs, $target) = @$_;
		my $o = blocked_office();
		my $r = in_office($o, sub {
			drive([], message($size), $runs, [ "$tools/floor", fresh('floor') ], [ sendmail() ],
			    [ "$tools/floor", '-s', fresh('floor') ]);
		});

		row("P3 enqueue $name, x floor", ratio($r->[1], $r->[0], 'median'), $target, words_of($r));
		row('   the same, x a floor that streams', ratio($r->[1], $r->[2], 'median'), '',
		    sprintf('%d us, spread %d %%', @{ $r->[2] }{qw(median spread)}));
		counted($o, 1 + ROUNDS * $runs, $r);
		close_offices();
	}
	resident();
}

# The text is longer than any the program could hold and stay small.
sub resident
{
	my $o = blocked_office();
	my $r = in_office($o, sub { drive([], message(90 << 20), 1, [ sendmail() ]) });

	row('P15 face, KiB resident at 90 MiB', $r->[0]{rss}, '<= 2048');
	counted($o, 1 + ROUNDS, $r);
}

sub burst
{
	rows();
	crowds(\&blocked_office, '<= 1.3');
}

sub crowds
{
	my ($place, $target) = @_;

	for my $jobs (4, 16, 64) {
		my $o = $place->();
		my $r = paired($o, message(1024), 4 * $jobs < 90 ? 90 : 4 * $jobs, '-j', $jobs);
		my $runs = ROUNDS * (4 * $jobs < 90 ? 90 : 4 * $jobs);

		row("P5 $jobs at a time, floor's rate / rate", ratio($r->[0], $r->[1], 'rate'), $target,
		    sprintf('%.0f/s, floor %.0f/s', $r->[1]{rate}, $r->[0]{rate}));
		row('   p99, x floor\'s p99', ratio($r->[1], $r->[0], 'p99'), '<= 1.5');
		counted($o, 1 + $runs, $r);
		close_offices();
	}
}

# No process is started for a message, so this is what its durability costs.
sub session
{
	my ($n, $runs) = (1000, 10);
	my $o = blocked_office();
	my $dialogue = dialogue($n);
	my $r = in_office($o, sub {
		drive([], message(1024), $runs, [ "$tools/floor", fresh('floor') ],
		    [ '/bin/sh', '-c', 'exec "$0" -bs <"$1"', "$B/sendmail", $dialogue ]);
	});
	my $each = $r->[1]{median} / $n;

	rows();
	row("   $n messages in a session, msg/s", 1e6 / $each, '');
	row('   a message, x floor', $each / $r->[0]{median}, '', sprintf('%.0f us; floor %d us, spread %d %%',
	    $each, @{ $r->[0] }{qw(median spread)}));
	counted($o, 1 + ROUNDS * $runs * $n, $r);
}

# On a slow disk the flushes say what the clock says on a fast one.
sub counts
{
	my $o = blocked_office();
	my %calls;
	my $all = 0;

	die "strace is not installed\n" if !which('strace');
	system_in($o, message(1024), 'strace', '-f', '-qq', '-o', "$T/strace", sendmail()) == 0 or
	    die "strace failed\n";
	open my $fh, '<', "$T/strace" or die "$T/strace: $!\n";
	while (<$fh>) {
		/^\d+\s+(\w+)\(/ or next;
		$calls{$1}++;
		$all++;
	}
	rows();
	row('P4 flushes', sum(@calls{qw(fsync fdatasync sync syncfs)}), '2');
	row('   programs run', sum(@calls{qw(execve execveat)}), '1');
	row('   system calls', $all, '<= 120');
}

1;
