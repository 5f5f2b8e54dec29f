# The disk refuses what has become of a message.  What is known is kept until it
# can be written down: nobody gets it twice in the meantime, and nothing else is
# begun that could not be written down either.
use strict;
use warnings;
use FindBin;

# What is mounted here is seen by nobody else, and goes with us.
BEGIN {
	if ($> == 0 && !defined $ENV{DISK_MOUNTS}) {
		$ENV{DISK_MOUNTS} = system('unshare -m mount -t tmpfs tmpfs /mnt 2>/dev/null') == 0 ? 1 : 0;
		exec 'unshare', '-m', '--', $^X, "-I$FindBin::Bin/../lib", "$FindBin::Bin/$FindBin::Script" if $ENV{DISK_MOUNTS};
	}
}

use lib "$FindBin::Bin/../lib";
use Flow;
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
	my ($subject, $to, %o) = @_;

	return sendmail($to // [ 'ann@example.org' ], "Subject: $subject\n\nbody\n", %o);
}

# Queues a message and waits until the smarthost holds its transaction; its id.
sub poise
{
	my ($subject, $to, %o) = @_;

	is(post($subject, $to, %o)->{status}, 0, "a message is taken");
	ok(wait_for(sub { commands($s, 'MAIL') }, 10, 'MAIL'), 'and is on its way');
	return (queue_ids())[0];
}

# The runner's own words, as anybody may say them who sees its socket.
sub say_to_runner
{
	my ($words, $path) = (shift, spool() . '/runner');

	socket my $fh, PF_UNIX, SOCK_DGRAM, 0 or die "socket: $!";
	return send $fh, $words, 0, pack_sockaddr_un($path);
}

# -- one has it, one must wait, and a .fate cannot be written

{
	begin("mail #1 wait go default\nrcpt #2 ~ben reply \"450 4.2.0 later\"");
	my $id = poise('half', [ 'ann@example.org', 'ben@example.org' ]);

	# No file can be made where a directory stands.
	mkdir spool() . "/queue/$id.fate.new" or die "mkdir: $!";
	$s->release('go');
	ok(log_has(qr/ disk id=$id /), 'its outcome cannot be written down, which the log tells');
	say_to_runner("wake $id") for 1 .. 3;
	isnt(subpost('retry', $id)->{status}, 0, 'nobody else can have the message meanwhile');
	is(post('next')->{status}, 0, 'other mail is taken');
	my ($next) = grep { $_ ne $id } queue_ids();
	ok(log_has(qr/ queued id=$next /), 'and seen');
	ok(say_to_runner('retry'), 'somebody asks to try again');
	ok(log_has(qr/ disk id=$id .* disk id=$id /s), 'and it is tried to write it down');
	is(got($s, 'half') . ', ' . got($s, 'next'), 'ann, ', 'but nothing is sent again, nor anything new');
	is(connections($s), 1, 'and nobody calls the smarthost');
	rmdir spool() . "/queue/$id.fate.new" or die "rmdir: $!";
	ok($s->wait_messages(2, 20), 'when there is room, the rest goes on');
	is(join(' ', map { $_->{outcome} } @{ row_of($id)->{to} // [] }), 'done later', 'and it is on disk who has it');
	is(subpost('retry', 'all')->{status}, 0, 'the other one is tried again');
	ok(wait_empty(), 'and gets it');
	is(got($s, 'half') . ', ' . got($s, 'next'), 'ann ben, ann', 'so each has it once');
	ok(wait_no_runner(), 'and the runner leaves');
}

# -- one transaction after the other, and neither answer can be written

{
	begin("mail #1 wait go default\nrcpt #2 reply \"450 4.2.0 later\"");
	ini(smarthost => { %FAST, 'recipients-per-message' => 1 });
	my $id = poise('parts', [ 'ann@example.org', 'ben@example.org' ]);

	mkdir spool() . "/queue/$id.fate.new" or die "mkdir: $!";
	$s->release('go');
	ok(log_has(qr/ disk id=$id .* disk id=$id /s), 'a part and the end of a message cannot be written down');
	rmdir spool() . "/queue/$id.fate.new" or die "rmdir: $!";
	ok(wait_for(sub { (slurp(spool() . "/queue/$id.fate") // '') =~ /done/ }, 20, 'the fate'), 'and then they can');
	is(post('behind')->{status}, 0, 'another message');
	ok(wait_for(sub { got($s, 'behind') eq 'ann' }, 10, 'it'), 'goes on at once');
	is(subpost('retry', 'all')->{status}, 0, 'who had to wait is tried again');
	ok(wait_empty(), 'and gets it');
	is(got($s, 'parts'), 'ann ben', 'each has it once');
	ok(wait_no_runner(), 'and the runner leaves');
}

# -- told to leave meanwhile

{
	begin("mail #1 wait go default\nrcpt #2 ~ben reply \"450 4.2.0 later\"");
	my $id = poise('leaving', [ 'ann@example.org', 'ben@example.org' ]);
	my $runner = runner_pid();
	mkdir spool() . "/queue/$id.fate.new" or die "mkdir: $!";
	$s->release('go');
	log_has(qr/ disk id=$id /);
	kill 'TERM', $runner;
	is(post('later')->{status}, 0, 'a runner told to leave');
	is(runner_pid(), $runner, 'stays while it alone knows who has a message');
	rmdir spool() . "/queue/$id.fate.new" or die "rmdir: $!";
	ok(wait_for(sub { (runner_pid() // 0) != $runner }, 20, 'another runner'), 'and goes when that is written down');
	ok($s->wait_messages(2, 20), 'the next one goes on');
	is(got($s, 'leaving') . ', ' . got($s, 'later'), 'ann, ann', 'and repeats nothing');
}

# -- a disk that is full indeed

SKIP: {
	skip 'no file system of our own can be mounted here', 9 if !$ENV{DISK_MOUNTS};
	start_anew($s);
	mkdir spool(), 0700;
	system('mount', '-t', 'tmpfs', '-o', 'size=256k,mode=0700', 'tmpfs', spool()) == 0 or die 'mount';
	$s = smarthost(args => [ '--plain', '--no-auth' ],
	    script => "mail #1 wait go default\nrcpt #2 ~ben reply \"450 4.2.0 later\"");
	ini(smarthost => \%FAST);
	my $id = poise('full', [ 'ann@example.org', 'ben@example.org' ]);

	open my $fh, '>', spool() . '/filler' or die "filler: $!";
	1 while syswrite $fh, 'x' x 4096;
	close $fh;
	$s->release('go');
	# The log's page was there before.
	ok(log_has(qr/ disk id=$id /), 'on a full disk its outcome cannot be written down');
	is(post('refused')->{status}, 75, 'nor is other mail taken');
	say_to_runner("wake $id");
	say_to_runner('retry');
	ok(log_has(qr/ disk id=$id .* disk id=$id /s), 'it is tried to write it down');
	is(got($s, 'full') . ' ' . commands($s, 'MAIL'), 'ann 1', 'but nothing is sent again');
	unlink spool() . '/filler';
	ok(wait_for(sub { (slurp(spool() . "/queue/$id.fate") // '') =~ /done/ }, 20, 'the fate'), 'with room it is on disk');
	is(subpost('retry', 'all')->{status}, 0, 'the other one is tried again');
	ok(wait_empty(), 'and gets it');
	is(got($s, 'full'), 'ann ben', 'each has it once');
	ok(wait_no_runner(), 'and the runner leaves');
	Flow::end_processes();
	system('umount', '-l', spool());
}

# -- a message that all have cannot be removed

SKIP: {
	skip 'no other user to run as', 8 if $> == 0 && !can_switch_user();
	my %as = $> == 0 ? (as_user => 1) : ();

	begin('dot #1 wait go default');
	my $id = poise('done', undef, %as);
	my $queue = spool() . '/queue';

	chmod 0500, $queue or die "chmod: $!";
	$s->release('go');
	ok(log_has(qr/ disk id=$id /), 'a message that everybody has cannot be removed');
	say_to_runner("wake $id") for 1 .. 3;
	say_to_runner('retry');
	ok(log_has(qr/ disk id=$id .* disk id=$id /s), 'nor the next time');
	is(got($s, 'done'), 'ann', 'it is not sent again');
	chmod 0700, $queue or die "chmod: $!";
	ok(wait_empty(20), 'when it can be, it goes');
	ok(wait_no_runner(), 'and the runner with it');
	is(got($s, 'done'), 'ann', 'it came once');
}

start_anew($s);
done_testing;
