# Logins, as the courier sees to them: what it tells its runner, when it does not try at
# all, tokens and certificates.  The runner is played here, by a socket as its own.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Digest::SHA qw(hmac_sha256);
use MIME::Base64;
use POSIX ();
use Socket qw(AF_UNIX SOCK_SEQPACKET MSG_NOSIGNAL);

time_limit(240);

my $KEY = '00112233445566778899aabbccddeeff';
my $PRINT = qr/[0-9a-f]{32}/;
my $SECRET = "$HOME/.config/subpost/password";

# Runs a courier by an order, such as 'alone key=...', and answers its records, but for
# notes.  One that is ready is looked at, if somebody wants to, and told to leave.
sub courier
{
	my ($order, $look) = @_;
	my ($record, @records);

	socketpair my $ours, my $theirs, AF_UNIX, SOCK_SEQPACKET, 0 or die "socketpair: $!";
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(ALRM INT TERM HUP PIPE);
		# The next free place may be the one that it goes to.
		POSIX::dup2(fileno $theirs, 9);
		POSIX::dup2(9, 3);
		POSIX::close(9);
		open STDERR, '>>', "$T/stderr";
		%ENV = Flow::environment();
		exec "$B/subpost-courier" or POSIX::_exit(126);
	}
	close $theirs;
	send $ours, join(' ', 'begin', $order // ()), MSG_NOSIGNAL;
	while (defined recv($ours, $record, 65536, 0) && length $record) {
		next if $record =~ /^note /;
		push @records, $record;
		next if $record !~ /^ready /;
		$look->($pid) if $look;
		send $ours, 'quit', MSG_NOSIGNAL;
	}
	waitpid $pid, 0;
	push @records, "died of $?" if $? != 0;
	return @records;
}

# How many connections, and how many AUTHs, a smarthost has seen.
sub seen
{
	my $s = shift;
	my $auths = () = $s->dialogue =~ /^C: AUTH/mg;

	return scalar(grep { -e $s->dir . "/raw.$_" } 1 .. 99) . " $auths";
}

sub print_of
{
	my ($record) = @_;

	return ($record // '') =~ /^(?:ready|refused) \S+ ($PRINT)$/ ? $1 : undef;
}

sub password
{
	spew($SECRET, shift() . "\n", 0600);
}

# -- fingerprints

my ($s, $t);
$s = smarthost(script => 'offer "AUTH SCRAM-SHA-256 PLAIN LOGIN"');
ini();

my @said = courier('alone');
is("@said", 'ready SCRAM-SHA-256 -', 'without a key there is no fingerprint');
@said = courier("alone key=$KEY");
like("@said", qr/^ready SCRAM-SHA-256 $PRINT$/, 'a good login is told with its mechanism and a fingerprint');
my $good = print_of($said[0]);
is_deeply([ courier("alone key=$KEY mechanism=PLAIN") ], [ "ready PLAIN $good" ],
    'which is the same with another mechanism: what last worked is taken');
is_deeply([ courier("alone key=$KEY mechanism=CRAM-MD5") ], [ "ready SCRAM-SHA-256 $good" ],
    'but not what is not offered any more');
is_deeply([ courier("alone key=$KEY avoid=SCRAM") ], [ "ready PLAIN $good" ], 'nor what is to be avoided');
isnt(print_of(courier("alone key=" . reverse $KEY)), $good, 'another key makes another fingerprint');

# -- a wrong password

password('wrong horse');
my $before = seen($s);
@said = courier("alone key=$KEY good=$good");
my $bad = print_of($said[0]);
is(scalar(@said), 2, 'a refused login is told in two records');
like($said[0], qr/^refused SCRAM-SHA-256 $PRINT$/, 'with mechanism and fingerprint');
isnt($bad, $good, 'which is another than that of the good one');
unlike($s->dialogue, qr/^C: MAIL/m, 'A-11: nobody goes on without it');
like($said[1], qr/^down later account 535 5\.7\.8 AUTH answered: 535.*check user and password/, 'and why');

$before = seen($s);
@said = courier("alone key=$KEY refused=" . ('f' x 32) . " refused=$bad");
like("@said", qr/^down later account 0 4\.7\.8 the password of user\@example\.net was refused by 127\.0\.0\.1 /,
    'one that is known to be refused is not tried');
like("@said", qr/still the same.*mend it in \Q$SECRET\E, then .subpost retry all./, 'and it is said where to mend it');
is(seen($s), $before, 'without as much as a connection');

@said = courier("alone force key=$KEY refused=$bad");
like("@said", qr/^refused SCRAM-SHA-256 $bad down /, 'by force it is');

password('correct horse');
is_deeply([ courier("alone key=$KEY refused=$bad") ], [ "ready SCRAM-SHA-256 $good" ],
    'a mended password is tried at once');

# -- nobody has tried it yet

$before = seen($s);
is_deeply([ courier("key=$KEY good=$bad") ], [ 'unproven' ], 'a new secret is not tried by several at once');
is_deeply([ courier("key=$KEY") ], [ 'unproven' ], 'nor is the first one');
is(seen($s), $before, 'nothing is said to the server');
is_deeply([ courier("key=$KEY good=$good") ], [ "ready SCRAM-SHA-256 $good" ], 'one that is known to be good is');

# -- where nothing can be loaded any more: the letters of other languages

$t = smarthost(args => [ '--password', "p\xc3\xa4ss" ], script => 'offer "AUTH SCRAM-SHA-256"');
ini(-smarthost => $t);
password("pa\xcc\x88ss");
is_deeply([ courier('alone') ], [ 'ready SCRAM-SHA-256 -' ], 'a password with an umlaut logs in, however that is written');
password('correct horse');
$t->stop;

# -- what is no refusal of the login

for my $row (
	[ 'reply "454 4.7.0 no database"', 'a 454', qr/down later account 454 / ],
	[ 'reply "421 4.7.0 bye"', 'a 421', qr/down later account 421 / ],
	[ 'reply "525 5.7.1 Unauthorized IP address"', 'a 525', qr/down later account 525 / ],
	[ 'reply "538 5.7.11 TLS first"', 'a 538', qr/down later account 538 / ],
	[ 'drop', 'an end', qr/down later server 0 / ],
) {
	my ($action, $name, $is) = @$row;
	my $t = smarthost(script => "auth $action");

	ini(-smarthost => $t);
	like(join('|', courier("alone key=$KEY")), qr/^$is[^|]*$/, "$name during AUTH is trouble, and refuses no password");
	$t->stop;
}
for my $row (
	[ 'scram signature', 'A-17: a wrong server signature' ], [ 'scram silent', 'A-17: a missing one' ],
	[ 'scram i=1', 'A-17: one round of hashing' ], [ 'scram nonce', 'A-17: a nonce that is not ours' ],
	[ 'scram m-first', 'A-17: an extension that must be understood' ],
) {
	my ($script, $name) = @$row;
	my $t = smarthost(script => "offer \"AUTH SCRAM-SHA-256 PLAIN\"\n$script");

	ini(-smarthost => $t);
	like(join('|', courier("alone key=$KEY")), qr/^down later server 0 4\.7\.0 [^|]*$/,
	    "$name ends the connection, and refuses no password");
	unlike($t->dialogue, qr/MAIL|PLAIN <hidden>/, 'nothing is sent, and nothing weaker tried');
	is_deeply([ $t->violations ], [], 'by the rules');
	$t->stop;
}

# -- tokens

$s = smarthost(args => [ '--password', 'ya29.fresh' ], script => 'offer "AUTH PLAIN XOAUTH2 OAUTHBEARER"');
my $helper = spew("$T/token", "#!/bin/sh\necho \"asked \${SUBPOST_TOKEN-for none}\" >>$T/asked\ncat $T/token-is\n", 0700);
my %token = (smarthost => { 'password-file' => undef, 'token-command' => $helper, host => 'localhost' });

sub token
{
	spew("$T/token-is", shift() . "\n", 0600);
}

ini(%token);
token('ya29.fresh');
@said = courier("alone key=$KEY");
like("@said", qr/^ready OAUTHBEARER $PRINT$/, 'A-20: a token logs in by OAUTHBEARER');
$good = print_of($said[0]);
is(slurp("$T/asked"), "asked for none\n", 'token-command is asked for one');
$token{smarthost}{auth} = 'xoauth2';
ini(%token);
is_deeply([ courier("key=$KEY good=$good") ], [ "ready XOAUTH2 $good" ], 'A-22: or by XOAUTH2');

token('ya29.stale');
@said = courier("key=$KEY good=$good");
$bad = print_of($said[0]);
like($said[0], qr/^refused XOAUTH2 $PRINT$/, 'a stale one is refused, though the user is known to be good');
isnt($bad, $good, 'and it is the token that is remembered');
like($said[1], qr/^down later account 535 .*check user and token.*\(its reason: 401\)/,
    'A-22: the status that the server gives is shown');
unlink "$T/asked";
$before = seen($s);
like(join('|', courier("alone fresh key=$KEY refused=$bad")), qr/^down [^|]*the token of [^|]*run token-command[^|]*$/,
    'the same one is not shown again');
is(seen($s), $before, 'nor anything said');
is(slurp("$T/asked"), "asked fresh\n", 'SUBPOST_TOKEN=fresh asks token-command for another one');
token('ya29.fresh');
is_deeply([ courier("alone fresh key=$KEY refused=$bad") ], [ "ready XOAUTH2 $good" ], 'which is shown');

token('two words');
like(join('|', courier("alone key=$KEY")), qr/^down later account [^|]*is no token[^|]*$/, 'what is no token is not shown');
is_deeply([ $s->violations ], [], 'all that by the rules');

my $long = 'ya29.' . 'x' x 2500;
$t = smarthost(args => [ '--password', $long ], script => 'offer "AUTH LOGIN XOAUTH2"');
token($long);
ini(-smarthost => $t, %token);
like("@{[ courier('alone') ]}", qr/^ready XOAUTH2 -$/, 'A-01: a token as long as Microsoft\'s logs in');
like($t->dialogue, qr/^C: AUTH XOAUTH2\nS: 334 \nC: <hidden>\nS: 235/m, 'in two lines');
is_deeply([ $t->violations ], [], 'none of them too long');

# -- what is left of a secret in memory, once it was shown (E1)

# All that a process may write to, as one string; undef where we may not look.
no warnings 'portable';          # addresses have 64 bits
sub memory
{
	my $pid = shift;
	my $all = '';

	# A sanitizer has terabytes of its own, and keeps what was freed.
	return undef if (slurp("/proc/$pid/maps") // '') =~ /lib[at]san|ubsan/;
	open my $maps, '<', "/proc/$pid/maps" or return undef;
	open my $mem, '<:raw', "/proc/$pid/mem" or return undef;
	while (<$maps>) {
		my ($from, $to) = /^([0-9a-f]+)-([0-9a-f]+) .w/ or next;

		sysseek $mem, hex $from, 0 or next;
		sysread $mem, $all, hex($to) - hex $from, length $all;
	}
	return $all;
}

# A text, and what base64 makes of it wherever it begins.
sub forms
{
	my $secret = shift;

	return ($secret, map { substr encode_base64(('x' x $_) . $secret . 'xx', ''), 4, int(length($secret) / 3) * 4 - 8 } 0 .. 2);
}

# PBKDF2 (RFC 8018), one block.
sub stretch
{
	my ($secret, $salt, $rounds) = @_;
	my $u = hmac_sha256($salt . pack('N', 1), $secret);
	my $sum = $u;

	for (2 .. $rounds) {
		$u = hmac_sha256($u, $secret);
		$sum ^= $u;
	}
	return $sum;
}

my $canary = 'Zq7-canary-of-forty-octets-' . join '', map { chr 65 + rand 26 } 1 .. 13;
my $salted = stretch($canary, decode_base64('W22ZaJ0SNY7soEsUEjb6gQ=='), 4096);
my $client_key = hmac_sha256('Client Key', $salted);
for my $mechanism (qw(PLAIN LOGIN CRAM-MD5 SCRAM-SHA-256 SCRAM-SHA-256-PLUS XOAUTH2 OAUTHBEARER)) {
	my $by_token = $mechanism =~ /OAUTH/;
	my $c = smarthost(args => [ '--password', $canary ], script => "offer \"AUTH $mechanism\"");
	my @forms = (forms($canary), $salted, unpack('H*', $salted), $client_key, hmac_sha256('Server Key', $salted));
	my ($memory, @left);

	token($canary);
	ini(-smarthost => $c, smarthost => { auth => lc $mechanism, host => 'localhost',
	    $by_token ? ('password-file' => undef, 'token-command' => $helper) : () });
	password($canary);
	like("@{[ courier(qq(alone key=$KEY), sub { $memory = memory(@_) }) ]}", qr/^ready \Q$mechanism\E $PRINT$/,
	    "$mechanism logs in");
	$c->stop;
	SKIP: {
		skip 'the memory of a courier is not for us', 2 if !defined $memory;
		like($memory, qr/user\@example\.net/, 'the memory of that courier can be read');
		@left = grep { index($memory, $forms[$_]) >= 0 } 0 .. $#forms;
		is("@left", '', "nothing of the secret is left in it, in no form");
	}
}
password('correct horse');

# -- and where else it could show, on the way of a message (E1, A-07, A-13)

sub shows
{
	my $text = shift // '';

	return scalar grep { index($text, $_) >= 0 } forms($canary), unpack('H*', $salted), encode_base64($salted, '');
}

sub tree
{
	my @paths = @_;
	my @files;

	while (defined(my $path = shift @paths)) {
		-d $path && !-l $path ? push(@paths, glob("$path/* $path/.[!.]*")) : push(@files, $path);
	}
	return @files;
}

$helper = spew("$T/token", "#!/bin/sh\ncat $T/token-is\n", 0700);
token($canary);
for my $row (
	[ 'PLAIN', 'password-file', $SECRET ], [ 'SCRAM-SHA-256', 'password-command', "cat $T/token-is" ],
	[ 'XOAUTH2', 'token-command', $helper ],
) {
	my ($mechanism, $way, $value) = @$row;
	my $c = smarthost(args => [ '--password', $canary ],
	    script => "offer \"AUTH $mechanism\"\nauth #1 touch asked wait go default\nrcpt ~nobody reply \"450 4.2.0 later\"");
	my (@out, @where);

	local $Flow::SPOOL = "$T/queue-$mechanism";
	ini(-smarthost => $c, smarthost => { 'password-file' => undef, $way => $value },
	    queue => { directory => $Flow::SPOOL });
	password($canary);
	push @out, sendmail([ 'bob@example.org', 'nobody@example.org' ], "Subject: canary\n\nbody\n");
	ok($c->wait_file('asked'), "$mechanism: the secret is under way");
	for my $pid (processes()) {
		push @where, map { "/proc/$pid/$_" } grep { shows(slurp("/proc/$pid/$_")) } qw(cmdline environ);
	}
	is("@where", '', 'no process shows it in its arguments or environment');
	push @out, sendmail([ 'bob@example.org' ], "Subject: $_\n\nbody\n") for 2, 3;
	$c->release('go');
	ok($c->wait_messages(3), 'the messages go');
	my ($id) = queue_ids();
	push @out, map { subpost(@$_) } [ 'queue' ], [ 'show', $id ], [ 'check', '--verbose' ];
	push @out, mailq();
	is(scalar(grep { shows($_->{out}) || shows($_->{err}) } @out), 0, 'no program of ours prints it');
	is(join(' ', grep { shows(slurp($_)) } tree(spool())), '', 'no file of the queue holds it, the log included');
	is(join(' ', glob "$HOME/core* $T/core* /core*"), '', 'there is no core');
	my ($first) = grep { $c->raw($_) =~ /^DATA/m } 1 .. 9;
	is(scalar(() = $c->raw($first) =~ /^AUTH/mg), 1, 'A-07: however many messages, there is one AUTH a connection');
	unlike($c->raw($first), qr/^MAIL .*AUTH=/m, 'A-13: and no AUTH= with MAIL');
	is_deeply([ $c->violations ], [], 'all that by the rules');
}
{
	my $echo = encode_base64("\0user\@example.net\0$canary", '');
	my $c = smarthost(args => [ '--password', $canary ],
	    script => "offer \"AUTH PLAIN\"\nauth reply \"500 5.5.1 Command unrecognized: AUTH PLAIN $echo\"");

	local $Flow::SPOOL = "$T/queue-echo";
	ini(-smarthost => $c, queue => { directory => $Flow::SPOOL });
	password($canary);
	sendmail([ 'bob@example.org' ], "Subject: x\n\nbody\n");
	ok(wait_for(sub { slurp(spool() . '/log') =~ / down /s }, 10, 'the account to be down'),
	    'a server that says the response back');
	my @out = (mailq(), subpost('check', '--verbose'), map { subpost('show', $_) } queue_ids());
	is(scalar(grep { shows($_->{out}) || shows($_->{err}) } @out), 0, 'makes no program of ours print it');
	like($out[1]{out}, qr/AUTH PLAIN \[hidden\]/, 'which show that it was there');
	is(join(' ', grep { shows(slurp($_)) } tree(spool())), '', 'nor is it written down');
}
password('correct horse');

# -- with the runner as it is

# A queue of its own: what is known of a login is the queue's.
sub begin
{
	my ($name, $script, %smarthost) = @_;
	my $c = smarthost(args => [ '--password', 'ya29.fresh' ], script => $script);

	$Flow::SPOOL = "$T/queue-$name";
	ini(-smarthost => $c, smarthost => \%smarthost, queue => { directory => $Flow::SPOOL, retry => '1s' });
	password('ya29.fresh');
	return $c;
}

{
	spew("$T/token", "#!/bin/sh\necho ya29.\${SUBPOST_TOKEN-stale}\n", 0700);
	my $c = begin('tokens', 'offer "AUTH XOAUTH2"', 'password-file' => undef, 'token-command' => "$T/token");

	sendmail([ 'bob@example.org' ], "Subject: x\n\nbody\n");
	ok($c->wait_messages(1), 'A-21: after a token that was refused comes a fresh one, and the mail goes');
	is(seen($c), '2 2', 'on another connection, once');
	is(slurp(spool() . '/log') =~ / down /, '', 'and the account was never down for it');
	is_deeply([ $c->violations ], [], 'by the rules');
}
{
	my $c = begin('tale', "offer \"AUTH SCRAM-SHA-256 PLAIN\"\nauth ~SCRAM reply \"535 5.7.8 no\"");

	sendmail([ 'bob@example.org' ], "Subject: x\n\nbody\n");
	ok($c->wait_messages(1), 'where SCRAM is offered and not there, the next step tries without');
	is(seen($c), '2 2', 'which is one AUTH a step');
	like($c->dialogue, qr/AUTH SCRAM-SHA-256 <hidden>\nS: 535.*connect 2.*AUTH PLAIN <hidden>\nS: 235/s, 'PLAIN');
	ok(wait_no_runner(20), 'the runner leaves');
	sendmail([ 'bob@example.org' ], "Subject: x\n\nbody\n");
	ok($c->wait_messages(2), 'and the next message goes');
	is(seen($c), '3 3', 'by what worked, at once');
	is_deeply([ $c->violations ], [], 'by the rules');
}
password('correct horse');

# -- certificates

{
	my ($cert, $key) = ("$T/cert.pem", "$T/key.pem");

	$s = smarthost(args => [ '--client-cert' ], script => 'offer "AUTH PLAIN EXTERNAL"');
	spew($cert, $s->file('client.pem'), 0644);
	spew($key, $s->file('client.key'), 0600);
	my %external = ('password-file' => undef, user => undef, 'tls-cert-file' => $cert, 'tls-key-file' => $key);

	ini(smarthost => { %external, auth => 'external' });
	@said = courier("alone key=$KEY");
	like("@said", qr/^ready EXTERNAL $PRINT$/, 'A-24: a client certificate logs in by EXTERNAL');
	like($s->raw(1), qr/^AUTH EXTERNAL =\r$/m, 'A-02: with nothing to say');
	$good = print_of(@said);
	ini(smarthost => { %external });
	is_deeply([ courier("alone key=$KEY") ], [ "ready EXTERNAL $good" ],
	    'under auto as well, where there is nothing else to show');
	like(join('|', courier("alone key=$KEY refused=$good")), qr/^down [^|]*the certificate of [^|]*renew tls-cert-file[^|]*$/,
	    'one that was refused is not shown again');
	ini(smarthost => { 'tls-cert-file' => $cert, 'tls-key-file' => $key });
	like("@{[ courier('alone') ]}", qr/^ready PLAIN -$/, 'a password beside it goes before it');
	is_deeply([ $s->violations ], [], 'all that by the rules');
}

done_testing;
