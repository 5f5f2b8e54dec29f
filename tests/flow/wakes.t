# What a runner is told is heard, or whoever tells it learns that it is not; and
# a runner that leaves is followed by one other, not by a crowd.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Fcntl ':flock';
use File::Copy 'copy';
use Flow;
use IO::Handle;
use Socket;
use Witness;

time_limit(200);

my %FAST = (auth => 'none', user => undef, 'password-file' => undef);
my $s;

sub begin
{
	start_anew($s ? $s : ());
	$s = smarthost(args => [ '--plain', '--no-auth' ], script => shift);
	ini(smarthost => \%FAST);
}

sub post
{
	my ($subject, $to) = (shift, shift // 'ann@example.org');

	return sendmail(ref $to ? $to : [ $to ], "Subject: $subject\n\nbody\n");
}

# Says words to the runner until its socket takes no more.
sub fill_up
{
	my $to = pack_sockaddr_un(spool() . '/runner');

	socket my $fh, PF_UNIX, SOCK_DGRAM, 0 or die "socket: $!";
	$fh->blocking(0);
	1 while send $fh, 'nothing', 0, $to;
	return $!{EAGAIN};
}

# -- to try again, said to a runner that does not read

{
	begin("rcpt #1 reply \"450 4.2.0 later\"\nrcpt #2 wait go default");
	is(post('first')->{status}, 0, 'a message is taken');
	ok(log_has(qr/ deferred /), 'and put off for minutes');
	my ($id) = queue_ids();
	is(post('second')->{status}, 0, 'another');
	ok(wait_for(sub { commands($s, 'RCPT') == 2 }, 10, 'RCPT'), 'is on its way');
	my $runner = runner_pid();

	kill 'STOP', $runner;
	ok(fill_up(), 'the runner does not read, and has too many words');
	my $retry = start([ "$B/subpost", 'retry', $id ]);
	ok(wait_for(sub { (row_of($id)->{next} // 1) == 0 }, 10, 'the fate'), 'somebody wants the first tried again');
	kill 'CONT', $runner;
	is($retry->wait->{status}, 0, 'which is said until it is heard');
	$s->release('go');
	ok(wait_empty(), 'and it is tried');
	is(got($s, 'first') . got($s, 'second'), 'annann', 'both have arrived');
}

{
	begin('mail #1 wait go default');
	post('stopped');
	ok(wait_for(sub { commands($s, 'MAIL') }, 10, 'MAIL'), 'a message is on its way');
	my $runner = runner_pid();

	kill 'STOP', $runner;
	fill_up();
	my $r = subpost('retry', 'all');
	is($r->{status}, 75, 'where nobody ever reads, that is said');
	like($r->{err}, qr/^subpost: [^\n]*does not listen[^\n]*fuser[^\n]*\n\z/, 'and how to find out why');
	is(post('new')->{status}, 0, 'but a new message is taken');
	kill 'CONT', $runner;
	$s->release('go');
	ok(wait_empty(), 'and found');
}

# -- a courier that cannot be used

{
	begin();
	my $built = $B;
	my $bin = "$T/bin";

	mkdir $bin or die "$bin: $!";
	for (qw(sendmail subpost subpostd)) {
		copy("$built/$_", "$bin/$_") or die "$_: $!";
		chmod 0755, "$bin/$_";
	}
	symlink 'sendmail', "$bin/mailq";
	spew("$bin/subpost-courier", "#!/bin/sh\nexit 3\n", 0755);
	$B = $BIN = $bin;
	is(post('no courier')->{status}, 0, 'where the courier ends before it is ready, mail is taken');
	ok(log_has(qr/ down [^\n]*ended 5 times without a word, last with status 3/), 'and after some tries the reason is told');
	like(mailq()->{out}, qr/without a word/, 'in the list of the queue too');
	spew("$bin/subpost-courier", "#!/bin/sh\nkill -SEGV \$\$\n", 0755);
	subpost('retry', 'all');
	subpost('retry', 'all') if !log_has(qr/ courier-died signal=11/);
	ok(log_has(qr/last by signal 11/), 'and so is another');
	copy("$built/subpost-courier", "$bin/subpost-courier") or die "courier: $!";
	chmod 0755, "$bin/subpost-courier";
	subpost('retry', 'all');
	ok(wait_empty(), 'with one that works, mail goes');
	is(got($s, 'no courier'), 'ann', 'once');
	$B = $BIN = $built;
}

# -- one that is short of descriptors

# poll(2) takes no more of them than a process may have open, so it fails as long as
# that is two; a signal is all that can wake it then.
{
	begin('rcpt #1 reply "450 4.2.0 later"');
	post('scarce');
	ok(log_has(qr/ deferred /) && wait_for(sub { !couriers() }, 10, 'the courier to go'), 'a runner waits');
	my $runner = runner_pid();
	my $limit = run([ 'prlimit', '--pid', $runner, '--nofile', '--output', 'SOFT', '--noheadings' ])->{out} =~ s/\s//gr;
	my $begun = time;

	run([ 'prlimit', '--pid', $runner, '--nofile=2:' ]);
	kill 'HUP', $runner;
	ok(log_has(qr/(?: poll [^\n]*\n.*){2}/s), 'one that cannot be woken says so');
	run([ 'prlimit', '--pid', $runner, "--nofile=$limit:" ]);
	my $said = () = log_text() =~ / poll /g;
	ok($said <= time - $begun + 2, 'not more often than once a second') or diag("$said times in " . (time - $begun) . ' s');
	is(post('plenty')->{status}, 0, 'when it has them back');
	ok(wait_for(sub { got($s, 'plenty') eq 'ann' }, 10, 'mail'), 'it works on');
	is(runner_pid(), $runner, 'being the same');
	subpost('retry', 'all');
	ok(wait_empty(), 'and what waited goes');
}

# With fewer than it needs it does not begin, however far it came; and mail stays.
{
	begin('');
	ini(smarthost => { %FAST, port => 1, tls => 'none' });
	post('kept');
	ok(log_has(qr/ down /), 'mail waits');
	kill 'TERM', runner_pid() // ();
	ok(wait_no_runner(), 'and no runner');
	my ($wrong, %why) = (0);

	ini(smarthost => \%FAST);
	for my $n (4 .. 40) {
		my $r = run([ 'prlimit', "--nofile=$n:$n", "$B/subpostd", '--retry' ]);

		last if $r->{status} == 0 || $r->{timed_out};         # it has what it needs
		$wrong++ if $r->{status} !~ /^(?:75|78|71)$/ || $r->{err} !~ /\Asubpostd: [^\n]+\n\z/;
		$why{$1}++ if $r->{err} =~ /(signalfd|socket|lock|open)/;
	}
	is($wrong, 0, 'a runner with too few descriptors ends with one line that says why');
	ok($why{signalfd}, 'also where it could not be told to leave');
	is(scalar(queue_ids()), got($s, 'kept') eq 'ann' ? 0 : 1, 'and loses nothing');
	subpost('retry', 'all');
	ok(wait_empty(), 'with enough of them mail goes');
	is(got($s, 'kept'), 'ann', 'once');
}

# -- one that leaves has a transaction to end, and others come

{
	begin('dot #1 wait go default');
	post('last');
	ok(wait_for(sub { $s->dialogue =~ /^C: DATA/m }, 10, 'DATA'), 'a transaction is under way');
	my $runner = runner_pid();

	kill 'TERM', $runner;
	ok(wait_for(sub { !-e spool() . '/runner' }, 10, 'no socket'), 'its runner is told to leave, and hears nothing more');
	is(scalar(grep { post("after $_")->{status} != 0 } 1 .. 20), 0, 'twenty come meanwhile');
	ok(wait_for(sub { processes(qr/^subpostd$/) == 2 }, 10, 'two runners'), 'one runner waits for the lock, not twenty');
	is(runner_pid(), $runner, 'which the first has still');
	$s->release('go');
	ok(wait_empty(20), 'then all are sent');
	is(scalar(grep { got($s, $_) ne 'ann' } 'last', map { "after $_" } 1 .. 20), 0, 'each once');
	ok(wait_no_runner(), 'and nobody stays');
}

# -- couriers whose runner has died, and who tell the next at the same time

{
	begin('greeting reply "421 4.3.2 not now"');
	post($_, [ 'ann@example.org', 'ben@example.org' ]) for 'one', 'two';
	ok(log_has(qr/ down /), 'nothing leaves');
	my @ids = queue_ids();
	my @locks = map {
		open my $fh, '<', spool() . "/queue/$_" or die "queue: $!";
		flock $fh, LOCK_EX or die "flock: $!";
		$fh;
	} @ids;
	my $to = pack_sockaddr_un(spool() . '/runner');

	is(scalar(@ids), 2, 'two messages wait, and couriers have their locks');
	socket my $fh, PF_UNIX, SOCK_DGRAM, 0 or die "socket: $!";
	for my $words ('to %s 0 done none 250 - ok', 'to %s 1 later recipient 450 4.2.0 busy', 'end %s') {
		send($fh, sprintf($words, $_), 0, $to) or die "send: $!" for @ids;
	}
	for (@ids) {
		my $id = $_;

		ok(wait_for(sub { (slurp(spool() . "/queue/$id.fate") // '') =~ /done/ }, 5, 'the fate'), 'what both tell in turns is written down');
		is(join(' ', map { $_->{outcome} } @{ row_of($id)->{to} // [] }), 'done later', 'whole');
	}
}

start_anew($s);
done_testing;
