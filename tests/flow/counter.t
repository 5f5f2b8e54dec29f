# The counter as its callers see it: who may send, see, and delete what, whatever
# stands around them; that no caller's process opens the secret or the queue;
# what is refused, and that the words of the command line work over the socket.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Witness;
use JSON::PP;

my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';
time_limit(150);

my $BS = "$FindBin::Bin/../lib/bs-client";
my $SUBPOST = "$B/subpost";
my $MAILQ = "$B/mailq";
my $NO_STRACE = run([ 'strace', '-V' ])->{status} != 0;
# Nobody answers there.  The secret stays, or callers could do without the service.
my %QUIET = (queue => { retry => '1h' }, smarthost => { port => 1 });
my %OPERATORS = (operators => 'adm');
my $sh = smarthost();
my $sent = 0;

sub says { return "$_[0]{status} $_[0]{err}" }

# Sends one message as that user; its id, or undef.
sub post
{
	my ($name, $subject, @args) = @_;
	my $r = as_user($name, [ $SENDMAIL, @args, 'a@x.example' ], stdin => "Subject: $subject\n\nbody\n");

	is(says($r), '0 ', "$subject: taken") if $r->{status} != 0;
	return (ids_of($subject))[0];
}

# Puts another configuration in place, and waits until the service goes by it:
# that a new hello says so.
my $renewed = 0;
sub renew
{
	my %o = @_;
	my $name = 'renewed' . ++$renewed . '.example.net';

	system_ini(%o, identity => { %{ $o{identity} // {} }, domain => $name });
	ok(wait_for(sub {
		my $s = desk_open() or return 0;
		my (undef, $text) = desk_hear($s, 5);

		return ($text // '') =~ /^domain \Q$name\E$/m;
	}, 10, 'the service to read its configuration again'), 'a new configuration counts at once');
}

# -- a chroot that has nothing of ours but programs and the socket

my $ROOM = "$T/room";

sub furnish
{
	my @programs = ("$B/sendmail", $SUBPOST, '/usr/bin/setpriv');
	my %files = map { $_ => 1 } map { `ldd $_ 2>/dev/null` =~ m{(/\S+) \(0x}g } @programs;

	system('mkdir', '-p', map({ "$ROOM$_" } qw(/usr/sbin /usr/bin /etc /run/subpost /tmp /dev)));
	for my $f (@programs, keys %files) {
		my $to = $f =~ m{^\Q$B\E/(.*)} ? "/usr/sbin/$1" : $f;

		system('sh', '-c', 'mkdir -p "$(dirname "$2")" && cp -L "$1" "$2"', 'cp', $f, "$ROOM$to") == 0 or return 0;
	}
	symlink 'sendmail', "$ROOM/usr/sbin/mailq";
	system('sh', '-c', 'cp /etc/passwd /etc/group "$1/etc" && touch "$1/dev/null" && mount --bind /dev/null "$1/dev/null"' .
	    ' && mount --bind /run/subpost "$1/run/subpost"', 'sh', $ROOM) == 0 or return 0;
	chmod 0755, $ROOM;
	return 1;
}

# -- the callers

my $READ_ONLY = <<'END';
mount --make-rprivate / &&
cut -d ' ' -f 2 /proc/self/mounts | while read -r m; do mount -o remount,bind,ro "$m" 2>/dev/null || :; done
touch /run/x /tmp/x /etc/x 2>/dev/null && exit 99
exec "$@"
END

# Each is a row:
#	user            who it is
#	before, inner   what stands around the program, as root and as the user
#	received        how Received: calls it
#	own             what it may do with mail of its own: yes or no
#	others          and with that of others
#	office          where its mail goes
my @CALLERS = (
	{ name => 'root', user => 'root', received => 'uid 0', own => 1, others => 1 },
	{ name => 'www-data', user => 'www-data', received => 'uid 33', own => 1, others => 0 },
	{ name => 'a user without a configuration', user => 'bob', received => 'uid 2002', own => 1, others => 0 },
	{ name => 'a user with a configuration', user => 'alice', received => 'uid 2001', own => 1, others => 0, office => 'own' },
	{ name => 'an operator', user => 'ops', received => 'uid 2003', own => 1, others => 1 },
	{ name => 'a uid that is nobody\'s', user => 'nobody', received => 'unknown uid', own => 0, others => 0 },
	{ name => 'a user in a namespace without a map', user => 'bob', inner => [ qw(unshare -U --) ], received => 'uid 2002',
	    own => 1, others => 0 },
	{ name => 'who may gain no privileges', user => 'bob', inner => [ qw(setpriv --no-new-privs) ], received => 'uid 2002',
	    own => 1, others => 0 },
	{ name => 'who has a root to read only', user => 'bob', before => [ qw(unshare -m sh -c), $READ_ONLY, 'sh' ],
	    received => 'uid 2002', own => 1, others => 0 },
	{ name => 'who has no network', user => 'bob', before => [ qw(unshare -n) ], received => 'uid 2002', own => 1, others => 0 },
	{ name => 'who is in a chroot', user => 'bob', before => [ $^X, '-e', 'chroot shift or die; chdir "/"; exec @ARGV', $ROOM ], received => 'uid 2002', own => 1, others => 0,
	    programs => '/usr/sbin' },
);

# Runs one of our programs as that caller.
sub call
{
	my ($c, $program, $args, %o) = @_;
	my $path = ($c->{programs} // $B) . "/$program";

	return as_user($c->{user}, [ @{ $c->{inner} // [] }, $path, @$args ], timeout => 30, %o,
	    before => [ @{ $o{before} // [] }, @{ $c->{before} // [] } ]);
}

sub can_call
{
	my $c = shift;
	return as_user($c->{user}, [ @{ $c->{inner} // [] }, 'true' ], before => $c->{before} // [])->{status} == 0;
}

system_ini(%QUIET, service => \%OPERATORS);
service_start();
my $alices = own_ini('alice', %QUIET);
# Sanitizers need /proc.
my $furnished = slurp("$B/sendmail") !~ /__asan_init/ && furnish();

# What a trace says was opened of what is not the caller's.
sub forbidden
{
	my $trace = slurp(shift) // '';

	return join '; ', grep { m{"(?:/etc/subpost/password|/(?:var|run)/lib/subpost)\b} } split /\n/, $trace;
}

for my $c (@CALLERS) {
	subtest $c->{name} => sub {
		plan(skip_all => 'this machine cannot have such a caller') if !($c->{programs} ? $furnished : can_call($c));
		my $subject = 'from ' . ++$sent;
		my $foreign = post($c->{user} eq 'www-data' ? 'bob' : 'www-data', "foreign $sent");
		my $trace = "$T/trace.$sent";
		my $own = ($c->{office} // '') eq 'own';
		# A runner that is started is another process, which stays.
		my @strace = $NO_STRACE ? () : ('strace', $own ? () : '-f', '-qq', '-o', $trace, '-e', 'trace=%file,%network', '--');
		local $Flow::SPOOL = $alices if $own;

		# send
		my $r = call($c, 'sendmail', [ '-v', 'a@x.example' ], stdin => "Subject: $subject\n\nbody\n", before => \@strace);
		my ($id) = ids_of($subject);
		is($r->{status}, 0, 'may send') or diag($r->{err});
		ok(defined $id, 'and it is in the queue') or return;
		like($r->{err}, $c->{office} ? qr/own office/ : qr/service\b.*\Q$SOCKET\E/, 'sendmail -v says in which');
		my $letter = letter($id);
		like($letter->{head}[0], qr/\AReceived: [^\n]*\n?.*\b\Q$c->{received}\E\b/s, 'Received: has the kernel\'s word for who it is');
		is(scalar(grep { /^Received:/ } @{ $letter->{head} }), 1, 'once');
		SKIP: {
			skip 'strace is not here', 2 if $NO_STRACE;
			like(slurp($trace), $c->{office} ? qr/execve/ : qr/connect\(.*\Q$SOCKET\E.* = 0/, 'strace has seen it');
			is(forbidden($trace), '', 'and that neither the secret nor the service\'s queue was opened');
		}

		# explain
		$r = call($c, 'subpost', [ 'explain' ]);
		is($r->{status}, 0, 'subpost explain works') or diag($r->{err});
		like($r->{out}, $c->{office} ? qr/own office/ : qr/service\b.*\Q$SOCKET\E/, 'and says the same');

		# list
		$r = call($c, 'mailq', []);
		is($r->{status}, 0, 'may ask for a list') or diag($r->{err});
		is(index($r->{out}, $id) >= 0, !!$c->{own}, $c->{own} ? 'which has mail of its own' : 'which has not even what it sent');
		is(index($r->{out}, $foreign) >= 0, !!$c->{others}, $c->{others} ? 'and that of others' : 'and not that of others');

		# show
		$r = call($c, 'subpost', [ 'show', $id ]);
		is($r->{status}, $c->{own} ? 0 : 66, $c->{own} ? 'may look at its own' : 'may look at none');
		like($r->{out}, $c->{own} ? qr/^Subject: \Q$subject\E$/m : qr/\A\z/, 'and sees what was meant');
		$r = call($c, 'subpost', [ 'show', $foreign ]);
		is($r->{status}, $c->{others} ? 0 : 66, ($c->{others} ? 'may' : 'may not') . ' look at that of others');

		# delete
		my $absent = call($c, 'subpost', [ 'delete', '0' x 20 ]);
		$r = call($c, 'subpost', [ 'delete', $foreign ]);
		is($r->{status}, $c->{others} ? 0 : 66, ($c->{others} ? 'may' : 'may not') . ' delete it');
		is($r->{err} =~ s/\Q$foreign\E/ID/gr, $absent->{err} =~ s/0{20}/ID/gr, 'and is told what is said of one that is not there')
		    if !$c->{others};
		is(-e "/var/lib/subpost/queue/$foreign" ? 1 : 0, $c->{others} ? 0 : 1, 'which is what happened to it');
		$r = call($c, 'subpost', [ 'delete', $id ]);
		is($r->{status}, $c->{own} ? 0 : 66, ($c->{own} ? 'may' : 'may not') . ' delete what it sent') or diag($r->{err});
		is(-e spool() . "/queue/$id" ? 1 : 0, $c->{own} ? 0 : 1, 'which is what happened to that');

		# the secret
		if ($c->{user} ne 'root' && !$c->{programs}) {
			for my $path ('/etc/subpost/password', '/var/lib/subpost/queue', '/var/lib/subpost/log') {
				is(as_user($c->{user}, [ @{ $c->{inner} // [] }, 'cat', $path ], before => $c->{before} // [])->{out}, '',
				    "cannot read $path");
			}
		}
	};
}
{
	subpost('delete', $_) for queue_ids();
	like(mailq()->{out}, qr/^the queue is empty$/m, 'root deletes what is left');
	is((stat '/var/lib/subpost')[4], $ACCOUNT, 'the queue is the account\'s');
	is((slurp('/proc/' . service_pid() . '/status') =~ /^Uid:\t(\d+\t\d+\t\d+\t\d+)$/m)[0], join("\t", ($ACCOUNT) x 4),
	    'and the service is nothing else, by any of its uids');
	is(slurp('/proc/' . service_pid() . '/status') =~ /^CapEff:\t0+$/m ? 1 : 0, 1, 'and has no capability');
}

# -- whatever the caller claims

subtest 'a caller that lies' => sub {
	my $id = post('bob', 'lies', '-f', 'root@example.net');

	is(owner_of($id), 2002, 'by its sender');
	as_user('bob', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: named\n\nbody\n", env => { USER => 'root', LOGNAME => 'root' });
	is(owner_of((ids_of('named'))[0] // ''), 2002, 'by its environment');
	my $answer = in_child('bob', sub {
		my $s = desk_open() or return "no connection: $!";

		desk_hear($s);
		desk_say($s, 'h', 'subpost 1');
		return desk_message($s, "Subject: forged\n\nbody\n", uid => 0, arrived => 1, id => '1' x 20);
	})->();
	like($answer, qr/^done 0 [0-9A-Z]{20} /, 'by the envelope that it writes itself');
	my ($forged) = ids_of('forged');
	is(owner_of($forged // ''), 2002, 'is who the kernel says');
	isnt($forged, '1' x 20, 'and its id is not of its making');
	like(letter($forged)->{head}[0], qr/\bfrom uid 2002\b/, 'nor is its Received:') if defined $forged;
	subpost('delete', $_) for queue_ids();
};

# The service in a container that does not know the caller's uid.
subtest 'a service to which the caller\'s uid is not mapped' => sub {
	my $enter = <<'END';
my %unshare = ('x86_64' => 272, 'aarch64' => 97);
my ($machine) = (`uname -m` =~ /(\S+)/);
pipe my $ready, my $go;
my $top = $$;
if (!fork) {
	close $go;
	sysread $ready, my $x, 1;
	for (qw(uid_map gid_map)) { open my $f, '>', "/proc/$top/$_"; syswrite $f, "0 0 2002\n"; }
	kill 'USR1', $top;
	exit 0;
}
$SIG{USR1} = sub { exec @ARGV };
alarm 10;
syscall($unshare{$machine} // exit(77), 0x10000000) == 0 or exit 77;
close $ready;
syswrite $go, 'x';
sleep 1 while 1;
END
	my @enter = ($^X, '-e', $enter);

	plan(skip_all => 'no user namespace can be had') if run([ @enter, 'true' ])->{status} != 0;
	service_stop();
	service_start(before => \@enter);
	post('bob', 'unmapped');
	post('alice', 'unmapped');
	my ($id) = ids_of('unmapped');
	like(letter($id)->{head}[0], qr/\bunknown uid\b/, 'takes the mail as an unknown\'s');
	my $r = as_user('bob', [ $SUBPOST, 'show', $id ]);
	is($r->{status}, 66, 'which is nobody\'s, not even the sender\'s');
	$r = as_user('nobody', [ $SUBPOST, 'delete', $id ]);
	is($r->{status}, 66, 'and least of all that of whoever has the number');
	$r = as_user('www-data', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: mapped\n\nbody\n");
	is(owner_of((ids_of('mapped'))[0] // ''), 33, 'others are who they are');
	subpost('delete', $_) for queue_ids();
	service_stop();
	service_start();
};

# -- what is refused, and how

renew(%QUIET, queue => { retry => '1h', 'max-size' => '64K' }, service => { %OPERATORS, 'user-messages' => 5 },
    'user www-data' => { from => 'www@shop.example', senders => 'www@shop.example *@list.example' });

subtest 'the sender policy of [user www-data]' => sub {
	my $r = as_user('www-data', [ $SENDMAIL, '-f', 'ceo@bank.example', 'a@x.example' ], stdin => "Subject: phish\n\nbody\n");

	is($r->{status}, 77, 'a sender that is not among the senders is refused with 77') or diag($r->{err});
	like($r->{err}, qr/\S/, 'with a reason');
	like(in_child('www-data', sub {
		my $s = desk_open() or return "no connection: $!";

		desk_hear($s);
		desk_say($s, 'h', 'subpost 1');
		return desk_message($s, "Subject: phish\n\nbody\n", from => 'ceo@bank.example');
	})->(), qr/^never 77 - /, 'whatever program asks');
	is(scalar(ids_of('phish')), 0, 'and nothing is queued');
	is(letter(post('www-data', 'default') // '')->{from}, 'www@shop.example', 'its from is the sender where none is named');
	is(letter(post('www-data', 'listed', '-f', 'x@list.example') // '')->{from}, 'x@list.example', 'one of the senders is');
	is(letter(post('bob', 'free', '-f', 'ceo@bank.example') // '')->{from}, 'ceo@bank.example', 'and it holds for nobody else');
	subpost('delete', $_) for queue_ids();
};

subtest 'max-size' => sub {
	my $big = "Subject: big\n\n" . ('x' x 70 . "\n") x 1000;
	my $r = as_user('bob', [ $SENDMAIL, 'a@x.example' ], stdin => $big);

	is($r->{status}, 69, 'a message that is too large is refused with 69') or diag($r->{err});
	like(in_child('bob', sub {
		my $s = desk_open() or return "no connection: $!";

		desk_hear($s);
		desk_say($s, 'h', 'subpost 1');
		my $first = desk_message($s, substr($big, 0, 65000) . "\n" . $big);
		my $second = desk_message($s, "Subject: small\n\nbody\n");
		return "$first then $second";
	})->(), qr/^never 69 - .* then done 0 /, 'whatever program brings it, which can go on with another');
	is(scalar(ids_of('big')), 0, 'and nothing is queued');
	subpost('delete', $_) for queue_ids();
};

subtest 'user-messages' => sub {
	my ($taken, $r) = (0);

	post('www-data', 'many');
	# How much waits is counted by the runner, who is a moment behind.
	ok(wait_for(sub {
		$r = as_user('bob', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: many\n\nbody\n");
		$taken++ if $r->{status} == 0;
		return $r->{status} != 0;
	}, 10, 'a refusal'), 'who has too much waiting is refused');
	is($r->{status}, 75, 'with 75');
	like($r->{err}, qr/\d+ .*mailq/, 'and the number, and where to look');
	cmp_ok($taken, '>=', 5, 'not before');
	cmp_ok($taken, '<=', 20, 'nor long after');
	is(says(as_user('www-data', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: other\n\nbody\n")), '0 ', 'nobody else is');
	as_user('bob', [ $SUBPOST, 'delete', map { owner_of($_) == 2002 ? $_ : () } queue_ids() ]);
	ok(wait_for(sub { as_user('bob', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: again\n\nbody\n")->{status} == 0 }, 10,
	    'room'), 'and when it has gone there is room again');
	subpost('delete', $_) for queue_ids();
};

renew(%QUIET, service => { %OPERATORS, 'user-rate' => '5/h' });
subtest 'user-rate' => sub {
	my @status = map { as_user('bob', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: fast\n\nbody\n") } 1 .. 6;

	is("@{[ map { $_->{status} } @status ]}", '0 0 0 0 0 75', 'so many at once, and no more');
	like($status[5]{err}, qr/\d/, 'with the time until the next');
	is(says(as_user('www-data', [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: other\n\nbody\n")), '0 ', 'which is nobody else\'s');
	subpost('delete', $_) for queue_ids();
};

# -- the words of the command line

renew(%QUIET, service => \%OPERATORS);
subtest 'subpost by a user, and by an operator' => sub {
	my $bobs = post('bob', 'held');
	my $other = post('www-data', 'not held');
	my $rows = sub { return { map { $_->{id} => $_ } @{ decode_json(as_user($_[0], [ $SUBPOST, 'queue', '--json' ])->{out} || '[]') } } };

	is_deeply([ sort keys %{ $rows->('bob') } ], [ $bobs ], 'queue --json: a user sees what is their own');
	is_deeply([ sort keys %{ $rows->('ops') } ], [ sort $bobs, $other ], 'an operator everything');
	for my $verb (qw(hold release retry delete show)) {
		is(as_user('bob', [ $SUBPOST, $verb, $other ])->{status}, 66, "$verb: mail of others is not there");
	}
	is(says(as_user('bob', [ $SUBPOST, 'hold', $bobs ])), '0 ', 'hold');
	is($rows->('bob')->{$bobs}{state}, 'held', 'holds it');
	is(as_user('bob', [ $SUBPOST, 'release', $bobs ])->{status}, 0, 'release');
	isnt($rows->('bob')->{$bobs}{state}, 'held', 'lets it go');
	is(as_user('bob', [ $SUBPOST, 'release', $bobs ])->{status}, 66, 'once');
	is(as_user('bob', [ $SUBPOST, 'retry', $bobs ])->{status}, 0, 'retry of one');
	is(as_user('bob', [ $SUBPOST, 'retry', 'all' ])->{status}, 0, 'and of all');
	is(as_user('bob', [ $SENDMAIL, '-q' ])->{status}, 0, 'sendmail -q');
	for my $who ([ bob => 1 ], [ ops => 2 ], [ root => 2 ], [ nobody => 0 ]) {
		my ($name, $n) = @$who;
		my $r = as_user($name, [ $SUBPOST, 'status', '--json' ]);
		my $j = eval { decode_json($r->{out}) } // {};

		is("$r->{status} " . ($j->{office} // ''), '0 service', "status --json for $name");
		is($j->{waiting}, $n, 'counts what they may see');
	}
	is(as_user('bob', [ $SUBPOST, 'status' ])->{status}, 0, 'status in words');
	is(as_user('ops', [ $SUBPOST, 'delete', $bobs, $other ])->{status}, 0, 'an operator deletes');
	is(scalar(queue_ids()), 0, 'all of it');
};

# -- and with a smarthost that answers

renew(service => \%OPERATORS);
subpost('retry');

subtest 'waiting over the socket' => sub {
	my $r = as_user('bob', [ $SENDMAIL, '-v', '-O', 'wait=30', 'a@x.example' ], stdin => "Subject: waited\n\nbody\n", timeout => 60);

	is($r->{status}, 0, 'sendmail -O wait=30 ends with 0') or diag($r->{err});
	is(got($sh, 'waited'), 'a', 'when the smarthost has it');
	like($r->{err}, qr/^>>> MAIL FROM:.*^>>> RCPT TO:<a\@x\.example>.*^<<< 250 /ms, 'and with -v the dialogue is shown');
	unlike($r->{err}, qr/correct horse/, 'without the secret');
	$r = as_user('www-data', [ $SENDMAIL, '-odi', 'a@x.example' ], stdin => "Subject: odi\n\nbody\n", timeout => 60);
	is(says($r), '0 ', 'sendmail -odi likewise, without a word');
};

subtest 'a session of a hundred messages' => sub {
	my $input = join "===\n", map { "me\@bs.example b$_\@bs.example\nSubject: session $_\n\nbody\n" } 1 .. 100;
	my $trace = "$T/trace.bs";
	my @strace = $NO_STRACE ? () : ('strace', '-f', '-qq', '-o', $trace, '-e', 'trace=connect', '--');
	my $r = as_user('www-data', [ $BS, $SENDMAIL, '-bs' ], stdin => $input, timeout => 60, before => \@strace);

	is(says($r), '0 ', 'is taken');
	ok($sh->wait_messages(102, 30), 'and sent');
	is(scalar(my @m = grep { $_->{eml} =~ /^Subject: session \d+\r$/m } $sh->messages), 100, 'every message once');
	SKIP: {
		skip 'strace is not here', 1 if $NO_STRACE;
		is(scalar(() = (slurp($trace) // '') =~ /\Q$SOCKET\E/g), 1, 'over one connection');
	}
};

subtest 'sendmail -q, when the smarthost is back' => sub {
	renew(%QUIET, service => \%OPERATORS);
	post('bob', 'later');
	log_has(qr/ down /);
	renew(service => \%OPERATORS);
	is(as_user('root', [ $SENDMAIL, '-q' ])->{status}, 0, 'root\'s');
	ok(wait_empty(20), 'sends what waits');
	is(got($sh, 'later'), 'a', 'once');
};

ok(wait_no_runner(20), 'when nothing waits the runner leaves');
is(join('', map { slurp("/proc/$_/comm") } service_processes()), "subpostd-spare\n", 'and an idle service has nobody but a spare clerk');
is(service_stop()->{status}, 0, 'which leaves when it is asked to');
is_deeply([ $sh->violations ], [], 'no rule of SMTP was broken');
done_testing;
