# What the programs ask of the kernel, and in which order, as strace sees it:
# when a message is durable, what the face never touches, and that the courier
# is shut in before the smarthost has said a word.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

my $try = run([ 'strace', '-f', '-o', "$T/try", 'true' ]);

plan(skip_all => "strace cannot be run here: $try->{err}") if $try->{status} != 0;

my $SANITIZED = slurp("$B/sendmail") =~ /__asan_init/;
my $TEXT = "From: user\@example.net\nSubject: x\n\nbody\n";

# A trace as a list of { pid, call, args, result }, in the order in which the
# calls ended.
sub trace
{
	my $path = shift;
	my (%open, @calls);

	for (split /\n/, slurp($path)) {
		my ($pid, $rest) = /^(\d+) +(.*)$/ or next;

		if ($rest =~ /^(.*?) *<unfinished \.\.\.>$/) {
			$open{$pid} = $1;
			next;
		}
		$rest = (delete $open{$pid}) . $1 if $rest =~ /^<\.\.\. \w+ resumed>(.*)$/ && defined $open{$pid};
		my ($call, $args, $result) = $rest =~ /^(\w+)\((.*)\)? += (.*)$/ or next;

		$args =~ s/\)? *$//;
		push @calls, { pid => $pid, call => $call, args => $args, result => $result };
	}
	return @calls;
}

sub failed { return shift->{result} =~ /^-1 / }
sub names { return join ' ', map { $_->{call} } @_ }

# -- the face, where a runner is there

my $sh = smarthost();

ini(smarthost => { port => 1 }, queue => { retry => '1h' });
my @before;
is(sendmail([ 'a@x.example' ], $TEXT)->{status}, 0, 'a first message wakes a runner');
ok(wait_for(sub { (slurp(spool() . '/health') // '') =~ / down / }, 10, 'the account to be down'),
    'who stays, since it cannot be sent');
@before = processes(qr/^(?:subpostd|subpost-courier)$/);

my $r = run([ 'strace', '-f', '-s', '4096', '-o', "$T/face", "$B/sendmail", 'b@x.example' ], stdin => $TEXT);
my @face = trace("$T/face");
my ($id) = grep { slurp(spool() . "/queue/$_") =~ /^to b\@/m } queue_ids();

is("$r->{status} $r->{err}", '0 ', 'a second message is taken');
{
	my ($draft) = grep { $_->{call} eq 'openat' && $_->{args} =~ /O_TMPFILE/ } @face;
	my ($queue) = grep { $_->{call} eq 'openat' && $_->{args} =~ /"queue"/ } @face;
	my ($file, $dir) = map { $_->{result} } $draft // {}, $queue // {};
	my @steps;

	for my $c (@face) {
		my $first = substr $c->{args}, 0, length "$file,";

		push @steps, 'open' if $c == $draft;
		next if !@steps;
		push @steps, 'lock' if $c->{call} eq 'flock' && $first eq "$file,";
		push @steps, $c->{args} =~ /^\d+, "subpost 1 / ? 'first line' : 'write'
		    if $c->{call} =~ /^p?write/ && $first eq "$file,";
		push @steps, 'link' if $c->{call} eq 'linkat' && !failed($c);
		push @steps, $c->{args} eq $file ? 'fsync file' : $c->{args} eq $dir ? 'fsync directory' : 'fsync ?'
		    if $c->{call} =~ /^(?:f(?:data)?sync|sync)/;
		push @steps, 'let go' if $c->{call} eq 'close' && $c->{args} eq $file && !grep { $_ eq 'let go' } @steps;
		push @steps, 'wake' if $c->{call} eq 'sendto' && $c->{args} =~ /"wake $id[ "]/;
	}
	is(join(', ', @steps) =~ s/(?:write, )+/write, /r,
	    'open, lock, write, first line, link, fsync file, fsync directory, let go, wake',
	    'the commit: all octets, the first line last, the name, one fsync each, and only then the wake-up');
}
is(scalar(my @p = do { my %p = map { $_->{pid} => 1 } @face; keys %p }), 1,
    'one process does it: a runner is there');
is(names(grep { $_->{call} =~ /^v?fork|^clone|^execve$/ } @face), 'execve', 'no other is started');
is_deeply([ map { $_->{args} } grep { $_->{args} =~ m{/password"} } @face ], [],
    'the password file is not touched');
is_deeply([ map { $_->{args} } grep { $_->{args} =~ m{/(?:passwd|nsswitch\.conf|libnss_)} } @face ], [],
    'nobody is asked for the caller\'s name, since From: is there, nor for a home that is the caller\'s');
is_deeply([ map { $_->{args} } grep { $_->{args} =~ /gnutls|gsasl|seccomp/ } @face ], [],
    'no TLS, SASL or sandbox library is loaded');
SKIP: {
	skip 'sanitizers have calls of their own', 1 if $SANITIZED;
	cmp_ok(scalar(@face), '<=', 120, 'at most 120 system calls, ' . @face . ' by now');
}
{
	my $pid = runner_pid() // 0;
	my $maps = slurp("/proc/$pid/maps") // '';

	like($maps, qr/subpostd/, 'the runner can be looked at');
	unlike($maps, qr/gnutls|gsasl|seccomp/, 'and has none of these libraries either');
	is_deeply([ grep { $_ == $pid } processes(qr/^subpostd$/) ], [ grep { $_ == $pid } @before ],
	    'it is the one that was there before');
}
is(names(grep { $_->{call} =~ /^(?:connect|bind|listen)$/ && $_->{args} =~ /AF_INET/ } @face), '',
    'the face asks nothing of the network');

# -- the courier

# What the runner starts has no options of a sanitizer in its environment, and
# LeakSanitizer dies under strace.
if ($SANITIZED) {
	SKIP: {
		skip 'the courier of a sanitized build cannot be traced', 1;
	}
	done_testing;
	exit;
}
kill 'TERM', runner_pid() // ();
wait_no_runner();
ini();
$r = run([ 'strace', '-f', '-s', '256', '-o', "$T/all", "$B/sendmail", '-q' ]);
is("$r->{status} $r->{err}", '0 ', 'traced as a whole: the queue is run');
ok($sh->wait_messages(2), 'both messages are sent');
ok(wait_no_runner(), 'and the runner leaves');

my @all = trace("$T/all");
my ($start) = grep { $_->{call} eq 'execve' && $_->{args} =~ /subpost-courier/ && !failed($_) } @all;
my @courier = grep { $_->{pid} == $start->{pid} } @all;
shift @courier while $courier[0] != $start;
my ($connect) = grep { $_->{call} eq 'connect' && $_->{args} =~ /htons\(@{[ $sh->port ]}\)/ } @courier;

# The place of the first call that fits and worked, or undef.
sub place
{
	my ($call, $args) = @_;

	return (grep { $courier[$_]{call} eq $call && $courier[$_]{args} =~ $args &&
		!failed($courier[$_]) } 0 .. $#courier)[0];
}

SKIP: {
	# Of a process that is not to be dumped the kernel shows only root what it says.
	skip 'the courier lets nobody but root look at it', 10
	    if !grep { $_->{call} eq 'openat' && $_->{args} =~ /subpost\.ini/ } @courier;
	my $shut = place('seccomp', qr/^SECCOMP_SET_MODE_FILTER.*\{len=/);
	ok(defined $shut, 'the courier has a system call filter') or $shut = $#courier;

	my @inside = @courier[$shut + 1 .. $#courier];
	SKIP: {
		skip 'this kernel has no Landlock', 1
		    if grep { $_->{call} eq 'landlock_create_ruleset' && failed($_) } @courier;
		cmp_ok(place('landlock_restrict_self', qr/./) // $#courier, '<', $shut,
		    'and the file system is shut before it');
	}
	cmp_ok(place('prctl', qr/NO_NEW_PRIVS/) // $#courier, '<', $shut, 'no new privileges can be had');
	cmp_ok(place('prctl', qr/PR_SET_DUMPABLE, (?:0|SUID_DUMP_DISABLE)/) // $#courier, '<',
	    place('openat', qr/subpost\.ini/), 'it has no core dump from before it reads anything');
	{
		my ($fd) = $connect->{args} =~ /^(\d+),/;
		my ($from) = grep { $courier[$_] == $connect } 0 .. $#courier;
		my @heard = grep { $courier[$_]{call} =~ /^(?:read|recv)/ && $courier[$_]{args} =~ /^$fd,/ } $from .. $#courier;

		cmp_ok($heard[0] // -1, '>', $shut,
		    'the smarthost is heard behind the closed door, not before');
		like((map { $_->{args} } grep { !failed($_) } @courier[@heard])[0], qr/"220 /,
		    'from its first word on');
	}

	my $CHANGE = qr/^(?:open|creat|socket|connect|bind|listen|accept|exec|v?fork|clone|kill|tkill|tgkill|ptrace|
		link|symlink|unlink|rename|mkdir|rmdir|mknod|truncate|ftruncate|chmod|fchmod|chown|fchown|mount|
		memfd|setuid|setgid|io_uring|process_vm)/x;
	is(names(grep { $_->{call} =~ $CHANGE && !failed($_) } @inside), '',
	    'behind it nothing is opened, made, connected, started or changed');
	SKIP: {
		skip 'sanitizers have calls of their own', 1 if $SANITIZED;
		my $plain = qr/^(?:p?read(?:64|v)?|p?write(?:64|v)?|recv(?:from|msg)?|send(?:to)?|p?poll|close|shutdown|
			newfstatat|fstat|statx|lseek|[gs]etsockopt|get(?:random|pid|time\w*)|clock_\w+|nanosleep|brk|mmap|munmap|
			mremap|madvise|futex|rt_sig\w+|restart_syscall|exit_group)$/x;
		is(names(grep { $_->{call} !~ $plain } @inside), '',
		    'but only what is open is read and written');
	}
	is(names(grep { $_->{call} =~ /^p?write/ && $_->{args} !~ /^[12],/ } @inside), '',
	    'no file among it: messages are only read');
	is_deeply([ map { $_->{args} } grep { $_->{pid} != $start->{pid} && $_->{args} =~ m{/password"} } @all ], [],
	    'no process but the courier has opened the password');
}

# -- the runner

my ($pid) = map { $_->{pid} } grep { $_->{call} eq 'execve' && $_->{args} =~ /"subpostd"/ } @all;
my @runner = grep { $_->{pid} == $pid } @all;
is(names(grep { $_->{call} eq 'socket' && $_->{args} =~ /AF_INET/ } @runner), '',
    'the runner opens no network socket');
{
	my @order = map {
		$_->{call} eq 'flock' && $_->{args} =~ /LOCK_EX/ ? 'lock' :
		$_->{call} eq 'bind' ? 'bind' :
		$_->{call} =~ /^getdents/ ? 'scan' :
		$_->{call} eq 'unlinkat' && $_->{args} =~ /"runner"/ ? 'unbind' : ()
	} grep { !failed($_) } @runner;
	my $order = join ' ', @order;

	like($order, qr/^lock (?:unbind )?bind scan /, 'it starts with lock, bind, scan');
	like($order, qr/ unbind scan(?: scan)*$/, 'and leaves by unbinding and scanning once more');
}
{
	my @gone = map { $_->{call} eq 'unlinkat' && $_->{args} =~ /"([0-9A-Z]{20})(\.fate)?"/ ? ($2 ? 'fate' : 'message') :
		$_->{call} eq 'fsync' ? 'fsync' : () } @runner;

	like(join(' ', @gone), qr/\bmessage (?:message )*fsync\b/,
	    'a message that is done is removed, and that made durable');
	unlike(join(' ', @gone), qr/message(?: message)* fate/, 'before its fate may go');
}

done_testing;
