# No privilege is needed anywhere: not set-id, not a writable root, not even an
# environment; and the commit works where the file system or /proc lacks what
# the usual way needs.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

my $TEXT = "From: user\@example.net\nSubject: x\n\n" . "body\n" x 20000;
my $root = $> == 0;
my $namespaces = $root && run([ 'unshare', '-m', 'mount', '-t', 'tmpfs', 'none', $HOME ])->{status} == 0;
my $other = can_switch_user();
my @as = $other ? (as_user => 1) : ();
my $who = $other ? 'another user' : 'the user';
my $sh = smarthost();
my $sent = 0;

sub sh_quoted
{
	return join ' ', map { "'" . s/'/'\\''/gr . "'" } @_;
}

# One more message has arrived, as it was, and nothing is left behind.
sub arrives
{
	my $promise = shift;

	ok($sh->wait_messages(++$sent, 20) && ($sh->messages)[-1]{eml} =~ /\r\n\r\n(?:body\r\n){20000}\z/, $promise);
}

sub tmp_is_empty
{
	my @left = glob spool() . '/tmp/*';

	return is_deeply(\@left, [], 'nothing is left in tmp/');
}

is(run([ 'find', '-L', $B, '-type', 'f', '-perm', '/6000' ])->{out}, '',
    'no program is set-uid or set-gid');

# -- no new privileges

ini();
my @nnp = ('setpriv', '--no-new-privs', '--inh-caps=-all');
@nnp = ('setpriv', '--no-new-privs') if run([ @nnp, 'true' ], @as)->{status} != 0;
my $r = run([ @nnp, "$B/sendmail", 'a@x.example' ], stdin => $TEXT, @as);
is("$r->{status} $r->{err}", '0 ', "without any privilege to gain, $who can queue a message");
arrives('and it is sent');
wait_no_runner();
SKIP: {
	skip 'only root can be somebody else', 3 if !$other;
	is((stat spool())[4], 65534, 'the queue is the user\'s');
	is(sprintf('%o', (stat spool() . '/queue')[2] & 07777), '700', 'and the user\'s alone');
	$r = run([ "$B/mailq" ], env => {});
	is($r->{status}, 78, 'even root is told to use a queue of its own');
}

# -- a root that cannot be written to

SKIP: {
	skip 'only root may mount', 3 if !$namespaces;
	my $spool = spool();
	my $command = sh_quoted("$B/sendmail", 'a@x.example');
	my $drop = $other ? 'setpriv --reuid=65534 --regid=65534 --clear-groups ' : '';

	$r = run([ 'unshare', '-m', 'sh', '-c', "mount --bind $spool $spool &&" .
		" for m in \$(awk '{ print \$5 }' /proc/self/mountinfo); do" .
		" case \$m in $spool | /proc* | /sys* | /dev*) ;; *) mount -o remount,ro,bind \$m || exit 99 ;; esac; done;" .
		" touch $HOME/x $B/x /etc/x 2>/dev/null && exit 98; exec $drop$command" ], stdin => $TEXT);
	is("$r->{status} $r->{err}", '0 ', 'with all read-only but the queue a message can be queued');
	arrives('and it is sent');
	is(grep({ -e "$_/x" } $HOME, $B, '/etc'), 0, 'nothing else was written');
	wait_no_runner();
}

# -- no environment at all

SKIP: {
	skip 'only root may mount', 3 if !$namespaces;
	my $uid = $other ? 65534 : 0;

	spew("$T/passwd", "me:x:$uid:$uid:J\xc3\xb6rg &, room 1,,:$HOME:/bin/sh\n", 0644);
	$r = run([ 'unshare', '-m', 'sh', '-c', "mount --bind $T/passwd /etc/passwd && exec " .
		($other ? 'setpriv --reuid=65534 --regid=65534 --clear-groups ' : '') .
		'env -i ' . sh_quoted("$B/sendmail", 'a@x.example') ], stdin => $TEXT =~ s/^From:.*\n//r);
	is("$r->{status} $r->{err}", '0 ', 'without an environment the home of the password file is taken');
	arrives('and the message is sent');
	like(($sh->messages)[-1]{eml}, qr/^From: =\?utf-8\?q\?J=C3=B6rg_Me\?= <user\@example\.net>\r$/mi,
	    'from the full name of the password file, whose & is the login, without the room');
	wait_no_runner();
}

# -- the ways of the commit

$r = run([ "$B/sendmail", 'a@x.example' ], stdin => $TEXT, @as);
is("$r->{status} $r->{err}", '0 ', 'the usual way: an unnamed file gets its name');
arrives('sent whole');
ok(!-e spool() . '/tmp', 'without a file in tmp/');
wait_no_runner();

# Runs the face with the faults of @inject, itself and nobody it starts.
sub inject
{
	my @inject = @_;

	return run([ 'strace', '-o', "$T/trace", '-e', 'trace=openat,linkat', (map { ('-e', "inject=$_") } @inject),
		"$B/sendmail", 'a@x.example' ], stdin => $TEXT, @as);
}

sub calls
{
	return grep { /^(?:openat|linkat)\(/ } split /\n/, slurp("$T/trace") // '';
}

SKIP: {
	spew("$T/trace", '');
	chmod 0666, "$T/trace";
	skip 'strace cannot be run here', 14 if inject()->{status} != 0;
	arrives('seen by strace it is the same');
	wait_no_runner();
	my @opened = grep { /^openat/ } calls();
	my ($when) = grep { $opened[$_ - 1] =~ /O_TMPFILE/ } 1 .. @opened;

	for my $error (qw(EOPNOTSUPP EISDIR)) {
		$r = inject("openat:error=$error:when=$when");
		is("$r->{status} $r->{err}", '0 ', "a file system without unnamed files ($error)");
		like(join("\n", calls()), qr/O_TMPFILE.*INJECTED.*^openat\(.*O_EXCL.*^linkat\(\d+, "(\w+)", \d+, "\1", 0\)/ms,
		    'a file with a name in tmp/ does');
		arrives('sent whole');
		tmp_is_empty();
		wait_no_runner();
	}
	$r = inject('linkat:error=ENOENT:when=1');
	is("$r->{status} $r->{err}", '0 ', 'an unnamed file that cannot be named by its descriptor');
	like(join("\n", calls()), qr{INJECTED.*\nlinkat\(AT_FDCWD, "/proc/self/fd/\d+", \d+, "\w+", AT_SYMLINK_FOLLOW\) = 0}s,
	    'is named by way of /proc');
	arrives('sent whole');
	tmp_is_empty();
	wait_no_runner();
	$r = inject('linkat:error=ENOENT:when=1..2');
	is("$r->{status} $r->{err}", '0 ', 'one that cannot be named at all');
	like(join("\n", calls()), qr/INJECTED.*O_EXCL.*^linkat\(\d+, "(\w+)", \d+, "\1", 0\)/ms,
	    'is written again with a name');
	arrives('sent whole');
	tmp_is_empty();
	wait_no_runner();
	$r = inject('linkat:error=ENOSPC');
	is("$r->{status} " . queue_ids(), '75 0', 'no room for a name: 75, and nothing is queued');
	tmp_is_empty();
	$r = inject("openat:error=EIO:when=$when");
	is("$r->{status} " . queue_ids(), '75 0', 'a disk that fails: 75, and nothing is queued');
}

SKIP: {
	skip 'only root may mount', 5 if !$namespaces;
	skip 'sanitizers need /proc', 5 if slurp("$B/sendmail") =~ /__asan_init/;
	my $command = ($other ? 'setpriv --reuid=65534 --regid=65534 --clear-groups ' : '') .
	    sh_quoted("$B/sendmail", 'a@x.example');

	# Somebody else's runner: ours could not find its own program without /proc.
	$r = run([ 'unshare', '-m', 'sh', '-c', 'umount -l /proc 2>/dev/null || mount -t tmpfs none /proc || exit 99;' .
		" test ! -e /proc/self && exec $command" ], stdin => $TEXT);
	is($r->{status}, 0, 'without /proc a message is queued');
	is(scalar(my @ids = queue_ids()), 1, 'once');
	tmp_is_empty();
	like($r->{err}, qr/\A(?:sendmail: the message is queued, but nothing can send it: [^\n]+\n)?\z/,
	    'and where no runner can be started for want of it, that is said');
	run([ "$B/sendmail", '-q' ], @as);
	arrives('the next run of the queue sends it whole');
}
ok(wait_empty(), 'nothing waits');
is_deeply([ $sh->violations ], [], 'no rule of SMTP was broken');

done_testing;
