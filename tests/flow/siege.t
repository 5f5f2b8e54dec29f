# Bad callers at the counter, and too many of them: each costs itself its own
# connection, with a reason in the log, and nobody else anything; the service
# stays the process that it is, and nobody sees an octet of another's mail.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Witness;
use Fcntl qw(F_SETFL O_NONBLOCK);
use POSIX ();
use Time::HiRes qw(sleep time);

my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';
time_limit(200);

my $FRAMES = $ENV{SUBPOST_FRAMES} // 4000;      # of the generator
my $SEED = $ENV{SIEGE_SEED} // 20240229;
my $CANARY = 'c4n4ry';
my $sh = smarthost();

# Nobody answers there.  The secret stays, or callers could do without the service.
system_ini(smarthost => { port => 1 }, queue => { retry => '1h' });
service_start();
my $pid = service_pid();

# What nobody may see: it waits in the queue all the time.
is(as_user('www-data', [ $SENDMAIL, '-f', "$CANARY\@x.example", "$CANARY\@y.example" ],
    stdin => "Subject: $CANARY\n\n$CANARY\n")->{status}, 0, 'a message of somebody else\'s waits');
my ($canary) = queue_ids();

sub same_service
{
	my $after = shift;

	return ok(is_alive($pid) && service_pid() == $pid, "$after: the service is the process that it was");
}

# -- what no program of ours would say

my $HELLO = desk_frame('h', 'subpost 1');
my $ENVELOPE = desk_frame('e', desk_envelope());
my $TEXT = desk_frame('t', "Subject: siege\n\nbody\n");
my $END = desk_frame('z', '');
my $MESSAGE = $ENVELOPE . $TEXT . $END;

# Each is a row: what is said; what the answers must be like; how many messages
# it may leave behind.
my @SAID = (
	[ 'nothing, and leaves', '', qr/\A\z/, 0 ],
	[ 'text of another protocol', "EHLO localhost\r\nMAIL FROM:<a\@b>\r\n", undef, 0 ],
	[ 'HTTP', "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", undef, 0 ],
	[ 'octets of zero', "\0" x 5000, undef, 0 ],
	[ 'octets of 255', "\xff" x 5000, undef, 0 ],
	[ 'half a head', 'h', qr/\A\z/, 0 ],
	[ 'half a frame', substr($HELLO, 0, 7), qr/\A\z/, 0 ],
	[ 'a length that nobody has', "h\xff\xff\xff", undef, 0 ],
	[ 'a frame one octet too long', $HELLO . "t\x01\x00\x01" . 'x' x 65537, undef, 0 ],
	[ 'a future version', desk_frame('h', 'subpost 2') . $MESSAGE, qr/^later 75 /m, 0 ],
	[ 'a version of many octets', desk_frame('h', 'subpost ' . '1' x 60000) . $MESSAGE, undef, 0 ],
	[ 'no hello', $MESSAGE, undef, 0 ],
	[ 'two hellos', $HELLO . $HELLO . $MESSAGE, undef, 0 ],
	[ 'text without an envelope', $HELLO . $TEXT . $END, undef, 0 ],
	[ 'an end without anything', $HELLO . $END, undef, 0 ],
	[ 'an envelope after the text', $HELLO . $ENVELOPE . $TEXT . $ENVELOPE . $END, undef, 0 ],
	[ 'an envelope without an end', $HELLO . desk_frame('e', "id 00000000000000000000\n") . $TEXT . $END, undef, 0 ],
	[ 'an envelope that is none', $HELLO . desk_frame('e', "\0\1\2\n\n") . $TEXT . $END, undef, 0 ],
	[ 'an envelope that never ends', $HELLO . desk_frame('e', 'x' x 65536) x 300, undef, 0 ],
	[ 'a recipient with a line end', $HELLO . desk_frame('e', desk_envelope(to => [ "a\@x.example\\nto $CANARY\@y" ])) . $TEXT . $END, undef, 0 ],
	[ 'a NUL in the text', $HELLO . $ENVELOPE . desk_frame('t', "Subject: x\n\na\0b\n") . $END, qr/^never 65 /m, 0 ],
	[ 'a question inside a message', $HELLO . $ENVELOPE . $TEXT . desk_frame('v', "list\n") . $END, undef, 0 ],
	[ 'an end with words of its own', $HELLO . $ENVELOPE . $TEXT . desk_frame('z', 'wait forever'), undef, 0 ],
	[ 'a message that is dropped', $HELLO . $ENVELOPE . $TEXT . desk_frame('d', ''), qr/\A\z/, 0 ],
	[ 'a message whose caller goes before its end', $HELLO . $ENVELOPE . $TEXT, qr/\A\z/, 0 ],
	[ 'frames of the service', $HELLO . desk_frame('a', 'done 0 - ok') . desk_frame('o', 'x'), undef, 0 ],
	[ 'a question without words', $HELLO . desk_frame('v', ''), undef, 0 ],
	[ 'a question that is a path', $HELLO . desk_frame('v', "show\n../../../etc/subpost/password\n"), qr/^never 6[46] /m, 0 ],
	[ 'a question about another\'s mail', $HELLO . desk_frame('v', "show\n$canary\n"), qr/^\w+ 66 /m, 0 ],
	[ 'an order about another\'s mail', $HELLO . desk_frame('v', "delete\n$canary\n"), qr/^\w+ 66 /m, 0 ],
	[ 'a verb that is none', $HELLO . desk_frame('v', "shell\nrm -rf /\n"), qr/^never 64 /m, 0 ],
	[ 'a question of many words', $HELLO . desk_frame('v', "delete\n" . ("0" x 20 . "\n") x 3000), undef, 0 ],
	[ 'empty frames of text', $HELLO . $ENVELOPE . desk_frame('t', '') x 5000 . $TEXT . $END, qr/^done 0 /m, 1 ],
	[ 'a good message, and after it rubbish', $HELLO . $MESSAGE . 'rubbish', qr/^done 0 /m, 1 ],
	[ 'a good message', $HELLO . $MESSAGE, qr/^done 0 /m, 1 ],
);

# Says it as bob, closes that side, and hears to the end.  All octets heard.
sub say_all
{
	my ($octets, $seconds) = @_;
	my $end = time + ($seconds // 10);
	my $heard = '';
	my $s = desk_open() or return "no connection: $!";

	local $SIG{PIPE} = 'IGNORE';
	fcntl $s, F_SETFL, O_NONBLOCK;
	shutdown $s, 1 if $octets eq '';
	for (;;) {
		my ($r, $w, $left) = ('', '', $end - time);

		vec($r, fileno $s, 1) = 1;
		vec($w, fileno $s, 1) = 1 if length $octets;
		return $heard . '[not closed]' if $left <= 0 || !select($r, $w, undef, $left);
		if (length $octets && vec $w, fileno $s, 1) {
			my $n = syswrite $s, $octets;

			# A side that is closed takes nothing more, and may have said why.
			substr $octets, 0, $n // length $octets, '';
			shutdown $s, 1 if !length $octets;
		}
		if (vec $r, fileno $s, 1) {
			my $n = sysread $s, $heard, 65536, length $heard;

			last if !$n;
		}
	}
	return $heard;
}

# The answers in it, a line each.
sub answers_in
{
	my $octets = shift;
	my $answers = '';

	while (length $octets >= 4) {
		my ($kind, $length) = (substr($octets, 0, 1), unpack 'N', "\0" . substr $octets, 1, 3);

		$answers .= substr($octets, 4, $length) . "\n" if $kind eq 'a';
		substr $octets, 0, 4 + $length, '';
	}
	return $answers;
}

for my $row (@SAID) {
	my ($what, $octets, $answer, $messages) = @$row;
	my $before = queue_ids();
	my $heard = in_child('bob', sub { say_all($octets) })->();
	my $answers = answers_in($heard);

	unlike($heard, qr/\[not closed\]|^no connection|^ended/, "$what: is heard to its end");
	like($answers, $answer, "$what: is answered") if defined $answer;
	unlike($answers, qr/^done/m, "$what: is not taken") if !defined $answer;
	unlike($heard, qr/$CANARY/, "$what: sees nothing of others");
	is(scalar(queue_ids()) - $before, $messages, "$what: leaves what it should");
}
same_service('all of it');
ok(-e spool() . "/queue/$canary", 'another\'s mail is where it was');
is(scalar(my @t = glob spool() . '/tmp/*'), 0, 'nothing half is left');
like(log_text(), qr/\bcaller\b[^\n]*\b2002\b[^\n]*/, 'the log says who broke the rules, and how');

# -- frames of a generator

subtest 'frames at random' => sub {
	my $said = in_child('bob', sub {
		my @good = ($HELLO, $ENVELOPE, $TEXT, $END, desk_frame('d', ''), desk_frame('v', "list\n"), desk_frame('v', "show\n$canary\n"),
		    desk_frame('v', "list\njson\n"), desk_frame('z', 'wait 1'));
		my ($frames, $connections, $seen, $stuck) = (0, 0, 0, 0);

		srand $SEED;
		while ($frames < $FRAMES) {
			my $octets = rand() < 0.8 ? $HELLO : '';

			for (1 .. 1 + int rand 12) {
				my $frame = $good[rand @good];

				for (1 .. (rand() < 0.5 ? 0 : 1 + int rand 3)) {
					substr($frame, int rand length $frame, 1) = chr int rand 256;
				}
				$frame = substr $frame, 0, int rand length $frame if rand() < 0.05;
				$octets .= $frame;
				$frames++;
			}
			my $heard = say_all($octets, 15);

			$connections++;
			$seen++ if $heard =~ /$CANARY/;
			$stuck++ if $heard =~ /\[not closed\]/;
		}
		return "seen $seen stuck $stuck" . ($connections > 100 ? '' : " of only $connections");
	}, 100)->();

	is($said, 'seen 0 stuck 0', "$FRAMES of them: each connection ends, and nothing of others is seen");
	same_service('after that');
	unlike(log_text(), qr/\bsignal\b/, 'no clerk died by a signal');
	unlike(service_err(), qr/Sanitizer|runtime error/, 'and no sanitizer has found anything');
};
subpost('delete', $_) for grep { $_ ne $canary } queue_ids();

# -- descriptors, and other things that are no mail

SKIP: {
	my $python = '/usr/bin/python3';

	skip 'python3 is not here', 3 if !-x $python;
	my $script = <<'END';
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(10)
s.connect(sys.argv[1])
fds = [os.open('/dev/zero', os.O_RDONLY), os.open(sys.argv[2], os.O_RDONLY)] + list(os.pipe())
frame = lambda k, t: k + len(t).to_bytes(3, 'big') + t
for words in frame(b'h', b'subpost 1'), frame(b'v', b'list\n'):
    try:
        socket.send_fds(s, [words], (fds * 63)[:250])
    except PermissionError:     # the service does not let any come (SO_PASSRIGHTS)
        s.sendall(words)
said = b''
while b'a\0' not in said:
    got = s.recv(65536)
    if not got: break
    said += got
print(said[-60:])
END
	my $r = as_user('bob', [ $python, '-c', $script, $SOCKET, '/etc/passwd' ]);
	is($r->{status}, 0, '250 descriptors that come along') or diag($r->{err});
	like($r->{out}, qr/done 0 /, 'are no matter');
	same_service('and then');
}
{
	POSIX::mkfifo("$T/fifo", 0666);
	chmod 0666, "$T/fifo";
	open my $hold, '+<', "$T/fifo" or die "$T/fifo: $!";
	$hold->autoflush(1);
	open my $in, '<', "$T/fifo" or die "$T/fifo: $!";
	my $face = start_as('bob', [ $SENDMAIL, 'a@x.example' ], stdin => $in);
	print $hold "Subject: by a pipe with a name\n\n";
	wait_for(sub { (slurp('/proc/' . $face->pid . '/wchan') // 'pipe') =~ /pipe|^0/ }, 5, 'it to read');
	is(as_user('bob', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: meanwhile\n\nbody\n")->{status}, 0,
	    'one that reads from a pipe that does not end is in nobody\'s way');
	print $hold "body\n";
	close $hold;
	my $r = $face->wait(20);
	is("$r->{status} $r->{err}", '0 ', 'and is taken when it has ended');
	is(scalar(ids_of('by a pipe with a name')), 1, 'whole');
}

# -- silence

{
	my @silent = map { desk_open() } 1 .. 15;

	desk_say($_, 'h', 'subpost 1') for @silent[0 .. 9];
	syswrite $_, "t\0" for @silent[5 .. 9];
	my $r = as_user('root', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: next to silence\n\nbody\n");
	is("$r->{status} $r->{err}", '0 ', 'fifteen silent callers hold up nobody, not even of the same uid');
	cmp_ok($r->{seconds}, '<', 2, 'at all');
}
subpost('delete', $_) for grep { $_ ne $canary } queue_ids();

# -- a flood

# Holds as many connections as it can, some of them with half a message, and asks
# for a new one for each that is taken from it.
my $FLOOD = <<'END';
use strict;
use Fcntl;
use Socket;
my ($path, $want, $ready) = @ARGV;
my (%open, $n);
sub another
{
	socket my $s, AF_UNIX, SOCK_STREAM, 0 or return 0;
	fcntl $s, F_SETFL, O_NONBLOCK;
	connect $s, pack_sockaddr_un($path) or return 0;
	$open{fileno $s} = $s;
	# None of them breaks a rule: each keeps its place as long as it can.
	syswrite $s, "h\0\0\x09subpost 1" if ++$n % 2;
	syswrite $s, "e\0\1\0id 000" if $n % 6 == 3;
	return 1;
}
$SIG{PIPE} = 'IGNORE';
for (;;) {
	my $r = '';

	for (1 .. 100) { last if keys %open >= $want || !another(); }
	if ($n >= $want && defined $ready) { open my $f, '>', $ready; undef $ready; }
	vec($r, $_, 1) = 1 for keys %open;
	select $r, undef, undef, 0.02 or next;
	for (grep { vec $r, $_, 1 } keys %open) {
		delete $open{$_} if !sysread $open{$_}, my $x, 65536;
	}
	select undef, undef, undef, 0.02;
}
END
{
	my $ready = "$T/io/flooded";

	chmod 0777, "$T/io";
	# The socket's backlog may be full at times, which a caller waits out by itself.
	my $flood = start_as('bob', [ $^X, '-e', $FLOOD, $SOCKET, 2000, $ready ], before => [ 'prlimit', '--nofile=4096:4096' ]);
	ok(wait_for(sub { -e $ready }, 20, 'the flood'), '2,000 connections of one uid');
	my @took;
	my $bad = '';
	for my $n (1 .. 100) {
		my $r = as_user('www-data', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: in a flood $n\n\nbody\n",
		    timeout => 10);

		push @took, $r->{seconds};
		$bad = "$n: $r->{status} $r->{err}" if $r->{status} != 0 || $r->{err} ne '';
		last if $bad ne '';
	}
	@took = sort { $a <=> $b } @took;
	is($bad, '', 'somebody else\'s hundred messages meanwhile are taken');
	cmp_ok($took[98] // 99, '<', 2, 'each but the slowest within two seconds');
	diag(sprintf 'in a flood: median %.3f s, p99 %.3f s, max %.3f s', map { $_ // 0 } @took[49, 98, 99]);
	is(scalar(grep { (slurp(spool() . "/queue/$_") // '') =~ /^Subject: in a flood/m } queue_ids()), 100, 'and not one is lost');
	ok(is_alive($flood->pid), 'while the flood goes on');
	my $r = as_user('bob', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: x\n\nbody\n", timeout => 70);
	is($r->{status}, 75, 'one more of that uid is told to try again') or diag($r->{err});
	cmp_ok($r->{seconds}, '<', 2, 'at once');
	same_service('with all of them');
	kill 'KILL', $flood->pid;
	$flood->wait;
	ok(wait_for(sub { !clerks() }, 20, 'the clerks to leave'), 'its clerks leave with it');
	$r = as_user('bob', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: after\n\nbody\n");
	is("$r->{status} $r->{err}", '0 ', 'and then that uid is served again');
	same_service('after the flood');
}
subpost('delete', $_) for queue_ids();

# -- many at once

# Waits for the start, sends, and tells how many were not taken and the mean time.
my $SUBMITTER = <<'END';
use Time::HiRes qw(time sleep);
my ($start, $n, @argv) = @ARGV;
my ($bad, $all) = (0, 0);
sleep 0.01 until -e $start;
for (1 .. $n) {
	my $began = time;
	open my $p, '|-', @argv or die;
	print $p "Subject: parallel\n\nbody $_\n";
	close $p;
	$bad++ if $?;
	$all += time - $began;
}
printf "%d %.4f\n", $bad, $all / $n;
END
{
	my $start = "$T/start";
	my @faces = map { my $n = $_; start_as($n % 2 ? 'bob' : 'www-data', [ $^X, '-e', $SUBMITTER, $start, 20, $SENDMAIL, 'a@x.example' ]) } 1 .. 64;
	my ($bad, $err, @mean) = (0, '');
	my $began = time;

	spew($start, '');
	for my $r (map { $_->wait(90) } @faces) {
		my ($b, $mean) = ($r->{out} // '') =~ /^(\d+) ([\d.]+)$/ or do { $bad++; next };

		$bad += $b;
		$err .= $r->{err};
		push @mean, $mean;
	}
	my $took = time - $began;
	@mean = sort { $a <=> $b } @mean;
	is("$bad $err", '0 ', '64 submitters of two uids, 20 messages each: none is refused');
	cmp_ok($mean[-1] / ($mean[0] || 1), '<=', 3, 'and the slowest has waited at most three times as long as the fastest');
	diag(sprintf '64 submitters: %.0f messages/s, means %.4f to %.4f s, ratio %.2f', 1280 / $took, @mean[0, -1], $mean[-1] / $mean[0]);
	is(scalar(queue_ids()), 1280, 'and every one is in the queue');
	same_service('at the end');
}
is(service_stop()->{status}, 0, 'it leaves when asked to');
done_testing;
