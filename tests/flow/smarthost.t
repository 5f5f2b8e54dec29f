# The scripted smarthost itself: the other flow tests believe what it writes.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use IO::Select;
use IO::Socket::INET;
use IPC::Open2;
use MIME::Base64;
use Socket;
use Time::HiRes qw(sleep time);

# The clients here are the test's own, and some are meant to break rules.
$Flow::JUDGED = 0;
time_limit(300);
my $LOGIN = 'AUTH PLAIN ' . encode_base64("\0user\@example.net\0correct horse", '');
my @PLAIN = ('--plain');

# -- a client of a few lines: what it hears is one string, "" at the end

package Client {
	sub new
	{
		my ($class, $s) = @_;
		my $fh = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $s->port)
		    or die "connect: $!";

		return bless { in => $fh, out => $fh, got => '' }, $class;
	}

	# By gnutls-cli: a TLS client that is not of our making.
	sub new_tls
	{
		my ($class, $s, @args) = @_;
		my $log = $s->dir . '/gnutls-cli';
		my $pid = IPC::Open2::open2(my $in, my $out, 'sh', '-c',
		    'exec gnutls-cli --logfile="$0" "$@" 2>"$0.err"', $log,
		    '--x509cafile=' . $s->ca, '--verify-hostname=localhost', @args,
		    '-p', $s->port, '127.0.0.1');

		$out->autoflush(1);
		return bless { in => $in, out => $out, got => '', pid => $pid, log => $log }, $class;
	}

	sub words_of_tls
	{
		my $self = shift;

		return join '', map { Flow::slurp($_) // '' } $self->{log}, "$self->{log}.err";
	}

	sub say
	{
		my ($self, @lines) = @_;

		local $SIG{PIPE} = 'IGNORE';
		$self->{out}->syswrite(join '', map { "$_\r\n" } @lines);
	}

	sub fill
	{
		my $self = shift;

		IO::Select->new($self->{in})->can_read(5) or return $self->{late} = 1, 0;
		my $n = sysread $self->{in}, $self->{got}, 65536, length $self->{got};
		$self->{reset} = 1 if !defined $n;
		return $n;
	}

	sub hear
	{
		my $self = shift;
		my $reply = qr/\A((?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?)\r\n/;

		while ($self->{got} !~ $reply) {
			return '' if !$self->fill;
		}
		$self->{got} =~ s/$reply//;
		return $1;
	}

	sub ask
	{
		my ($self, @lines) = @_;
		my $heard;

		for (@lines) {
			$self->say($_);
			$heard = $self->hear;
		}
		return $heard;
	}

	# Waits for the end; how it came, and what else was heard, stand in $self.
	sub end
	{
		my $self = shift;

		1 while $self->fill;
		close $self->{out};
		waitpid $self->{pid}, 0 if $self->{pid};
		return $self->{late} ? 'late' : $self->{reset} ? 'reset' : 'fin';
	}
}

# A connection that has got as far as it is said: greeting, EHLO, AUTH, ...
sub client
{
	my ($s, @lines) = @_;
	my $c = Client->new($s);

	$c->hear;
	$c->ask($_) for @lines;
	return $c;
}

my @TO_AUTH = ('EHLO c.example', $LOGIN);
my @TO_RCPT = (@TO_AUTH, 'MAIL FROM:<a@x>', 'RCPT TO:<b@y>');
my @TO_DATA = (@TO_RCPT, 'DATA');
my $TEXT = "Subject: hi\r\n\r\nbody\r\n";

# One scripted server, one client, what is heard after @lines.
sub heard
{
	my ($script, @lines) = @_;
	my $s = smarthost(script => $script, args => \@PLAIN);
	my $c = client($s, @lines[0 .. $#lines - 1]);

	return wantarray ? ($c->ask($lines[-1]), $c, $s) : $c->ask($lines[-1]);
}

subtest 'without a script it takes mail politely' => sub {
	my $s = smarthost(args => \@PLAIN);
	my $c = Client->new($s);

	like($c->hear, qr/^220 localhost /, 'greeting');
	is($c->ask('EHLO c.example'), join("\r\n", '250-localhost', '250-PIPELINING',
	    '250-SIZE 104857600', '250-8BITMIME', '250-ENHANCEDSTATUSCODES', '250-DSN',
	    '250 AUTH PLAIN LOGIN'), 'EHLO has its extensions');
	like($c->ask('MAIL FROM:<a@x>'), qr/^530 5\.7\.0 /, 'no mail without AUTH');
	like($c->ask($LOGIN), qr/^235 /, 'AUTH PLAIN');
	like($c->ask('MAIL FROM:<a@x> SIZE=30 BODY=8BITMIME'), qr/^250 /, 'MAIL');
	like($c->ask('RCPT TO:<b@y> NOTIFY=NEVER'), qr/^250 /, 'RCPT');
	like($c->ask('RCPT TO:<c@y>'), qr/^250 /, 'another');
	like($c->ask('DATA'), qr/^354 /, 'DATA');
	like($c->ask("Subject: hi\r\n\r\n..dot\r\n..\r\n\xe4\r\n."), qr/^250 2\.0\.0 /, 'the final dot');
	is(scalar(my @m = $s->messages), 1, 'the message is there before its 250 is heard');
	is($m[0]{eml}, "Subject: hi\r\n\r\n.dot\r\n.\r\n\xe4\r\n", 'text without the stuffed dots');
	is($m[0]{env}, "from <a\@x> SIZE=30 BODY=8BITMIME\nto <b\@y> NOTIFY=NEVER\nto <c\@y>\n" .
	    "auth user\@example.net\ntls no\nconnection 1\n", 'envelope');
	like($c->ask('QUIT'), qr/^221 /, 'QUIT');
	is($c->end, 'fin', 'and it closes');
	wait_for(sub { $s->turns }, 5, 'turns');
	is_deeply([ $s->turns ], [ { connection => 1, turns => 9, messages => 1 } ], 'turns are counted');
	is_deeply([ $s->violations ], [ 'VIOLATION: mail before AUTH (connection 1)' ],
	    'the one fault is told');
};

subtest 'the dialogue hides secrets and texts, the raw octets do not' => sub {
	my $s = smarthost(args => \@PLAIN);
	my $c = client($s, 'EHLO c.example', 'AUTH LOGIN', encode_base64('user@example.net', ''),
	    encode_base64('correct horse', ''));

	$c->ask('MAIL FROM:<a@x>', 'RCPT TO:<b@y>', 'DATA', "$TEXT.", 'QUIT');
	$c->end;
	wait_for(sub { $s->turns }, 5, 'the end');
	is($s->dialogue, join('', map { "$_\n" } '-- connect 1', 'S: 220 localhost ESMTP at your service',
	    'C: EHLO c.example', 'S: 250-localhost', 'S: 250-PIPELINING', 'S: 250-SIZE 104857600',
	    'S: 250-8BITMIME', 'S: 250-ENHANCEDSTATUSCODES', 'S: 250-DSN', 'S: 250 AUTH PLAIN LOGIN',
	    'C: AUTH LOGIN', 'S: 334 VXNlcm5hbWU6', 'C: <hidden>', 'S: 334 UGFzc3dvcmQ6',
	    'C: <hidden>', 'S: 235 2.7.0 welcome', 'C: MAIL FROM:<a@x>', 'S: 250 2.1.0 ok',
	    'C: RCPT TO:<b@y>', 'S: 250 2.1.5 ok', 'C: DATA', 'S: 354 go ahead',
	    'C: <text: 24 octets>', 'S: 250 2.0.0 ok: taken', 'C: QUIT', 'S: 221 2.0.0 bye',
	    '-- closed 1'), 'line by line');
	is($s->dialogue(1), $s->dialogue, 'and by connection');
	is($s->raw(1), join("\r\n", 'EHLO c.example', 'AUTH LOGIN', 'dXNlckBleGFtcGxlLm5ldA==',
	    'Y29ycmVjdCBob3JzZQ==', 'MAIL FROM:<a@x>', 'RCPT TO:<b@y>', 'DATA', "$TEXT.", 'QUIT', ''),
	    'every octet is in raw');
	is_deeply([ $s->violations ], [], 'no violation');

	$s = smarthost(args => \@PLAIN);
	$c = client($s, 'EHLO c.example', $LOGIN);
	like($s->dialogue, qr/^C: AUTH PLAIN <hidden>$/m, 'an initial response is hidden');
	unlike($s->dialogue, qr/correct|Y29ycmVj|AHVzZX/, 'in every form');
};

subtest 'a wrong password is refused' => sub {
	like(heard('', 'EHLO c', 'AUTH PLAIN ' . encode_base64("\0user\@example.net\0wrong", '')),
	    qr/^535 5\.7\.8 /, 'PLAIN');
	like(heard('', 'EHLO c', 'AUTH PLAIN'), qr/^334 $/, 'PLAIN without a response draws 334');
	like(heard('', 'EHLO c', 'AUTH PLAIN', '*'), qr/^501 /, 'and may be given up');
	like(heard('', 'EHLO c', 'AUTH CRAM-MD5'), qr/^504 /, 'no other mechanism');
};

subtest 'STARTTLS leads into TLS, where AUTH is offered' => sub {
	my $s = smarthost();
	my $c = client($s, 'EHLO c');

	like($s->dialogue, qr/^S: 250 STARTTLS$/m, 'STARTTLS is offered');
	unlike($s->dialogue, qr/AUTH/, 'AUTH is not');
	like($c->ask($LOGIN), qr/^538 /, 'and refused');
	$c->ask('QUIT');

	$c = Client->new_tls($s, '--starttls-proto=smtp');
	like($c->ask('EHLO c.example'), qr/250 AUTH PLAIN LOGIN$/, 'EHLO inside');
	like($c->ask(@TO_DATA[1 .. $#TO_DATA]), qr/^354 /, 'up to DATA');
	like($c->ask("$TEXT."), qr/^250 /, 'the final dot');
	$c->ask('QUIT');
	$c->end;
	my ($m) = $s->messages;
	is($m->{tls}, 'yes', 'the message came by TLS');
	is($m->{auth}, 'user@example.net', 'with AUTH');
	is($m->{eml}, $TEXT, 'as it was');
	is($m->{connection}, 2, 'on connection 2');
	like($s->dialogue, qr/^-- tls 2$/m, 'TLS stands in the dialogue');
	like($s->raw(2), qr/^EHLO c\.example\r\nAUTH PLAIN /m, 'raw is decrypted');
	is_deeply([ grep { /connection 2/ } $s->violations ], [], 'no violation');
};

subtest 'with --implicit TLS begins at once' => sub {
	my $s = smarthost(args => [ '--implicit' ]);
	my $c = Client->new_tls($s);

	like($c->hear, qr/^220 /, 'greeting inside TLS');
	unlike($c->ask('EHLO c'), qr/STARTTLS/, 'no STARTTLS offered');
	like($c->ask('QUIT'), qr/^221 /, 'QUIT');
	$c->end;
};

# Kind, what gnutls-cli says of it.
for ([ good => qr/certificate is trusted/ ],
    [ 'wrong-name' => qr/name in the certificate does not match/ ],
    [ expired => qr/certificate chain uses expired certificate/ ],
    [ 'not-yet' => qr/certificate chain uses not yet valid certificate/ ],
    [ 'self-signed' => qr/certificate issuer is unknown/ ],
    [ 'no-san' => qr/CN=localhost/ ]) {
	my ($kind, $says) = @$_;
	my $s = smarthost(args => [ '--implicit', "--cert=$kind" ]);
	my $c = Client->new_tls($s);

	$c->hear;
	$c->say('QUIT');
	$c->end;
	like($c->words_of_tls, $says, "--cert=$kind makes such a certificate");
}

subtest 'more names may be given for the certificate' => sub {
	my $s = smarthost(args => [ '--implicit', '--name=mx.example', '--name=10.0.0.1' ]);
	my $c = Client->new_tls($s, '--verify-hostname=mx.example');

	like($c->hear, qr/^220 /, 'and are found in it');
	$c->ask('QUIT');
	$c->end;
	$c = Client->new_tls($s);
	$c->end;
	like($c->words_of_tls, qr/does not match/, 'and no others');
};

# -- what a script can do

is(heard('rcpt reply "550 5.1.1 no"', @TO_RCPT), '550 5.1.1 no', 'reply says it');
is(heard('noop reply "250-one" reply "250 two"', 'NOOP'), "250-one\r\n250 two",
    'several replies make several lines');
is(heard('noop reply "250-\x61\tb\"\r\n250 c\\\\"', 'NOOP'), "250-a\tb\"\r\n250 c\\",
    'quotes may hold escapes');
is(heard("noop send \"2\" send \"50 \\0\\r\\n\"", 'NOOP'), "250 \0", 'send adds nothing');

subtest 'repeat says it that many times' => sub {
	my ($heard, $c, $s) = heard('noop reply "250-x" repeat 20000 "250-yy\r\n" reply "250 z"', 'NOOP');

	is(length $heard, 7 + 160000 + 5, 'all octets');
	like($s->dialogue, qr/^S: <\d+ octets>$/m, 'which the dialogue does not repeat');
};

subtest 'sendfile says what is in the file' => sub {
	my $s = smarthost(script => "noop sendfile words", args => \@PLAIN);
	my $c = client($s);

	spew($s->dir . '/words', "250-from\r\n250 a file\r\n");
	is($c->ask('NOOP'), "250-from\r\n250 a file", 'a path is one under DIR');
};

for ([ drop => 'fin' ], [ fin => 'fin' ], [ reset => 'reset' ]) {
	my ($action, $how) = @$_;
	my ($heard, $c, $s) = heard("noop $action", 'NOOP');

	is($heard, '', "$action says nothing");
	is($c->end, $how, "$action ends the connection by a $how");
	ok(wait_for(sub { $s->dialogue =~ /^-- closed 1$/m }, 5, 'closed'), "$action is in the dialogue");
}

subtest 'inside TLS fin says goodbye and drop does not' => sub {
	my $s = smarthost(script => "noop \@1 drop\nnoop fin", args => [ '--implicit' ]);

	for ([ drop => qr/non-properly terminated/ ], [ fin => qr/^- Peer has closed/m ]) {
		my ($action, $says) = @$_;
		my $c = Client->new_tls($s);

		$c->hear;
		$c->say('NOOP');
		$c->end;
		like($c->words_of_tls, $says, $action);
	}
};

subtest 'stall says nothing until the client has closed' => sub {
	my $s = smarthost(script => 'noop stall', args => \@PLAIN);
	my $c = client($s);

	$c->say('NOOP');
	ok(!IO::Select->new($c->{in})->can_read(0.2), 'nothing is heard');
	$c->say('QUIT');
	ok(!IO::Select->new($c->{in})->can_read(0.1), 'whatever is said');
	close $c->{in};
	ok(wait_for(sub { $s->turns }, 5, 'the end'), 'then it ends');
	like($s->raw(1), qr/QUIT/, 'and has recorded it');
};

subtest 'delay waits, and delay-all before every answer' => sub {
	my $begun = time;

	like(heard("noop delay 150 default", 'NOOP'), qr/^250 /, 'default follows');
	cmp_ok(time - $begun, '>=', 0.15, 'later');
	my $s = smarthost(script => 'delay-all 100', args => \@PLAIN);
	$begun = time;
	client($s, 'NOOP', 'NOOP');
	cmp_ok(time - $begun, '>=', 0.3, 'three answers, three delays');
};

subtest 'touch and wait let a test know, and let it hold' => sub {
	my $s = smarthost(script => 'mail touch here wait go default', args => \@PLAIN);
	my $c = client($s, @TO_AUTH);

	$c->say('MAIL FROM:<a@x>');
	ok($s->wait_file('here'), 'here we are');
	ok(!IO::Select->new($c->{in})->can_read(0.1), 'and wait');
	$s->release('go');
	like($c->hear, qr/^250 /, 'until we are let go');
};

subtest 'ignore gives no answer' => sub {
	my $s = smarthost(script => 'noop #1 ignore', args => \@PLAIN);
	my $c = client($s);

	$c->say('NOOP');
	sleep 0.05;
	is($c->ask('QUIT'), '221 2.0.0 bye', 'the next command has one');
};

subtest 'kill ends the process whose id is in the file' => sub {
	my $s = smarthost(script => 'noop kill victim default', args => \@PLAIN);
	my $p = start([ 'sleep', 60 ]);

	$s->release('victim');
	spew($s->dir . '/victim', $p->pid . "\n");
	like(client($s)->ask('NOOP'), qr/^250 /, 'and goes on');
	is($p->wait(5)->{signal}, 9, 'by SIGKILL');
};

# -- which rule is for whom

subtest 'a rule is for the occurrences, connections and lines it names' => sub {
	my $s = smarthost(args => \@PLAIN, script => <<'S');
# a comment, and an empty line

noop #2 reply "250 second"
noop #4-5 reply "250 four or five"
noop #8- reply "250 late"
rset @2 reply "250 on two"	# another
mail ~"odd one" reply "550 5.1.0 odd"
S
	my $c = client($s, @TO_AUTH);

	is_deeply([ map { $c->ask('NOOP') =~ s/^250 //r } 1 .. 9 ], [ '2.0.0 ok', 'second', '2.0.0 ok',
	    'four or five', 'four or five', '2.0.0 ok', '2.0.0 ok', 'late', 'late' ], '#N, #N-M, #N-');
	is($c->ask('MAIL FROM:<"odd one"@x>'), '550 5.1.0 odd', '~TEXT');
	is($c->ask('MAIL FROM:<even@x>'), '250 2.1.0 ok', 'and no other');
	is($c->ask('RSET'), '250 2.0.0 ok', 'not on connection 1');
	is(client($s)->ask('RSET'), '250 on two', '@2');
};

subtest 'the first rule that fits is taken' => sub {
	is(heard("noop #1 reply \"250 a\"\nnoop reply \"250 b\"", 'NOOP'), '250 a', 'the first');
	is(heard("noop #1 reply \"250 a\"\nnoop reply \"250 b\"", 'NOOP', 'NOOP'), '250 b', 'then the other');
};

subtest 'every event can have a rule' => sub {
	my %line = (ehlo => [ 'EHLO x' ], auth => [ 'EHLO x', $LOGIN ],
	    'auth-response' => [ 'EHLO x', 'AUTH PLAIN', 'AAAA' ],
	    mail => [ @TO_AUTH, 'MAIL FROM:<a@x>' ], rcpt => [ @TO_RCPT ], data => [ @TO_DATA ],
	    dot => [ @TO_DATA, '.' ], rset => [ 'RSET' ], noop => [ 'NOOP' ], quit => [ 'QUIT' ],
	    starttls => [ 'STARTTLS' ], unknown => [ 'HELP' ]);

	is(heard("$_ reply \"499 $_\"", @{ $line{$_} }), "499 $_", $_) for sort keys %line;
	for (qw(connect greeting)) {
		my $s = smarthost(script => "$_ reply \"421 $_\" fin", args => \@PLAIN);

		is(Client->new($s)->hear, "421 $_", $_);
	}
	my $s = smarthost(script => 'handshake send "no TLS here\r\n" fin');
	my $c = client($s, 'EHLO x', 'STARTTLS');
	$c->end;
	is($c->{got}, "no TLS here\r\n", 'handshake');
};

subtest 'text N happens once, when N octets are here' => sub {
	my $s = smarthost(script => 'text 1000 touch thousand', args => \@PLAIN);
	my $c = client($s, @TO_DATA);

	$c->say('x' x 900);
	sleep 0.05;
	ok(!-e $s->dir . '/thousand', 'not before');
	$c->say('y' x 100);
	ok($s->wait_file('thousand'), 'but then');
	like($c->ask('.'), qr/^250 /, 'and things go on');

	my ($heard, $d) = heard('text drop', @TO_DATA);
	$d->say($TEXT);
	is($d->end, 'fin', 'a text may be cut off');
};

subtest 'offer and offer-clear replace the keywords' => sub {
	is(heard("offer SIZE \"AUTH XOAUTH2 PLAIN\"", 'EHLO x') =~ s/\r\n/|/gr,
	    '250-localhost|250-SIZE|250 AUTH XOAUTH2 PLAIN', 'one keyword a line');
	is(heard('offer', 'EHLO x'), '250 localhost', 'or none');
	my $s = smarthost(script => "offer-clear STARTTLS \"X A\"\noffer \"Y\"");
	is(client($s)->ask('EHLO x') =~ s/\r\n/|/gr, '250-localhost|250-STARTTLS|250 X A', 'before TLS');
	my $c = Client->new_tls($s, '--starttls-proto=smtp');
	is($c->ask('EHLO x') =~ s/\r\n/|/gr, '250-localhost|250 Y', 'inside TLS');
	$c->ask('QUIT');
	$c->end;
	is(heard('', 'HELO x'), '250 localhost', 'HELO asks for no keywords');
};

# -- the dialogue follows the answers really given

subtest 'a refused recipient is none, and a refused message is not kept' => sub {
	my $s = smarthost(args => \@PLAIN, script => <<'S');
rcpt ~bad reply "550 5.1.1 no such user"
dot #2 reply "554 5.6.0 spam"
dot #3 keep drop
dot #4 drop
dot #5 touch asked wait go reply "250-a" reply "250 b"
S
	my $c = client($s, @TO_AUTH);
	my @mail = ('MAIL FROM:<a@x>', 'RCPT TO:<b@y>', 'DATA', "$TEXT.");

	like($c->ask('MAIL FROM:<a@x>', 'RCPT TO:<bad@y>', 'DATA'), qr/^554 5\.5\.1 /, 'no recipient, no DATA');
	like($c->ask('RSET', 'MAIL FROM:<a@x>', 'RCPT TO:<bad@y>', 'RCPT TO:<b@y>', 'DATA', "$TEXT."),
	    qr/^250 /, 'one of two is enough');
	is_deeply(($s->messages)[0]{to}, [ '<b@y>' ], 'and is the only one');
	like($c->ask(@mail), qr/^554 5\.6\.0 /, 'refused at the dot');
	is(scalar(my @m = $s->messages), 1, 'is not kept');
	is($c->ask(@mail), '', 'no answer to the dot');
	is(scalar(@m = $s->messages), 2, 'but kept all the same');
	is(client($s, @TO_AUTH)->ask(@mail), '', 'no answer to the dot');
	is(scalar(@m = $s->messages), 2, 'and not kept');
	$c = client($s, @TO_AUTH, @mail[0 .. 2]);
	$c->say("$TEXT.");
	$s->wait_file('asked');
	is(scalar(@m = $s->messages), 2, 'nothing is kept before it is answered');
	$s->release('go');
	is($c->hear, "250-a\r\n250 b", 'a scripted 250');
	is(scalar(@m = $s->messages), 3, 'keeps too');
};

like(heard('data reply "250 no text"', @TO_DATA, 'NOOP'), qr/^250 2\.0\.0 /,
    'a 250 to DATA is followed by commands, not by a text');
like(heard('data reply "354 go"', @TO_AUTH, 'DATA', "$TEXT."), qr/^554 /,
    'a 354 that was scripted is followed by a text');
like(heard('auth reply "334 Zm9v"', 'EHLO x', 'AUTH PLAIN', encode_base64("\0user\@example.net\0correct horse", '')),
    qr/^235 /, 'a scripted 334 is followed by a response');
like(heard('auth reply "235 2.7.0 fine"', 'EHLO x', 'AUTH PLAIN AAAA', 'MAIL FROM:<a@x>'), qr/^250 /,
    'a scripted 235 opens the door');
like(heard('ehlo reply "502 5.5.1 no"', 'EHLO x', 'MAIL FROM:<a@x>'), qr/^503 /,
    'a refused EHLO is none');
like(heard('greeting reply "554 5.3.2 no"', 'EHLO x'), qr/^503 /, 'after a 554 greeting there is no service');
is((heard('noop reply "421 4.3.2 bye"', 'NOOP'))[1]->end, 'fin', 'a scripted 421 closes the connection');
like(heard('offer "SIZE 1000" "AUTH PLAIN"', @TO_AUTH, 'MAIL FROM:<a@x> SIZE=1001'), qr/^552 5\.3\.4 /,
    'a declared size over the offer is refused');

subtest 'chunks' => sub {
	my $s = smarthost(args => [ @PLAIN, '--chunking' ], script => 'bdat #4 reply "452 4.3.1 full"');
	my $c = client($s, @TO_RCPT);
	my @m;

	# say() ends each with CRLF, which is the end of the chunk.
	is($c->ask("BDAT 4\r\n.a"), '250 2.0.0 ok: 4 octets', 'the first');
	is(scalar(@m = $s->messages), 0, 'keeps nothing');
	$c->say("BDAT 4\r\n..\r\nBDAT 0 LAST", 'MAIL FROM:<c@x>', 'RCPT TO:<d@y>', "BDAT 2\r\n", 'BDAT 0 LAST');
	is($c->hear, '250 2.0.0 ok: 4 octets', 'the second');
	is($c->hear, '250 2.0.0 ok: taken', 'the last one');
	is(($s->messages)[0]{eml}, ".a\r\n..\r\n", 'keeps the text, dots as they were');
	is($c->hear, '250 2.1.0 ok', 'what came at once with it is heard');
	is($c->hear, '250 2.1.5 ok', 'all of it');
	is($c->hear, '452 4.3.1 full', 'a chunk is refused');
	is($c->hear, '503 5.5.1 no transaction for it', 'and so is the next');
	is(scalar(@m = $s->messages), 1, 'nothing is kept of them');
	is($c->ask('RSET'), '250 2.0.0 ok', 'RSET ends it');
	is($c->ask('BDAT 0 LAST'), '503 5.5.1 no transaction for it', 'a chunk without MAIL');
	like($c->ask('NOOP'), qr/^250/, 'the dialogue is in step');
	is(join("\n", $s->violations), '', 'a client that pipelines them is not accused');
};

like(heard('text 4 reply "421 4.3.0 bye"', @TO_DATA, "ab"), qr/^421/, 'something may happen in the midst of a text');
like(heard('rcpt :2- reply "452 4.5.3 enough"', @TO_RCPT, 'RCPT TO:<c@y>', 'RSET', 'MAIL FROM:<a@x>', 'RCPT TO:<c@y>'),
    qr/^250/, 'some things happen the second time of a transaction');
{
	my $s = smarthost(args => \@PLAIN, script => 'noop /2 reply "250 second"');

	is(client($s, 'NOOP')->ask('NOOP'), '250 second', 'or of a connection') for 1 .. 2;
}
# -- what it holds against a client

my $LONG = 'x' x 600;
my $CHUNKING = 'offer PIPELINING "AUTH PLAIN" CHUNKING SIZE';
for (
	[ 'a polite client is not accused', undef, [ @TO_DATA, "$TEXT.", 'QUIT' ] ],
	[ 'a pipelining client is not accused', undef,
	    [ @TO_AUTH, "MAIL FROM:<a\@x>\r\nRCPT TO:<b\@y>\r\nDATA", "$TEXT.\r\nMAIL FROM:<a\@x>" ] ],
	[ 'pipelining needs the offer', qr/follows mail at once, though PIPELINING was not offered/,
	    [ @TO_AUTH, "MAIL FROM:<a\@x>\r\nRCPT TO:<b\@y>" ], "offer \"AUTH PLAIN\"" ],
	[ 'EHLO ends its group', qr/follows ehlo at once/, [ "EHLO x\r\nNOOP" ] ],
	[ 'a second EHLO too', qr/ehlo was not last/, [ 'EHLO x', "EHLO x\r\nNOOP" ] ],
	[ 'DATA ends its group', qr/data was not last/, [ @TO_RCPT, "DATA\r\nSubject: x" ] ],
	[ 'QUIT ends its group', qr/quit was not last/, [ @TO_AUTH, "QUIT\r\nNOOP" ] ],
	[ 'STARTTLS ends its group', qr/starttls was not last/, [ 'EHLO x', "STARTTLS\r\nEHLO y" ],
	    "starttls reply \"454 4.7.0 no\"\noffer PIPELINING STARTTLS" ],
	[ 'AUTH ends its group', qr/auth was not last/, [ 'EHLO x', "$LOGIN\r\nNOOP" ] ],
	[ 'MAIL needs EHLO', qr/mail without EHLO/, [ 'MAIL FROM:<a@x>' ] ],
	[ 'MAIL needs AUTH', qr/mail before AUTH/, [ 'EHLO x', 'MAIL FROM:<a@x>' ] ],
	[ 'a bare LF ends no command', qr/bare LF ends a command/, [ "NOOP\nNOOP" ] ],
	[ 'a bare CR is no space', qr/bare CR in a command/, [ "NOOP\rx" ] ],
	[ 'a bare LF is in no text', qr/bare LF in the text/, [ @TO_DATA, "a\nb\r\n." ] ],
	[ 'a bare LF ends no text', qr/bare LF in the text/, [ @TO_DATA, "a\n.\nMAIL FROM:<b>\r\n." ] ],
	[ 'a bare CR is in no text', qr/bare CR in the text/, [ @TO_DATA, "a\rb\r\n." ] ],
	[ 'a NUL is in no text', qr/NUL in the text/, [ @TO_DATA, "a\0b\r\n." ] ],
	[ 'a line of 998 octets may be', undef, [ @TO_DATA, ('x' x 998) . "\r\n." . ('.' x 998) . "\r\n." ] ],
	[ 'a line of 999 octets may not', qr/over 998 octets/, [ @TO_DATA, ('x' x 999) . "\r\n." ] ],
	[ 'dots are stuffed', qr/single dot/, [ @TO_DATA, ".x\r\n." ] ],
	[ '8-bit text is declared', qr/BODY=8BITMIME/, [ @TO_DATA, "\xe4\r\n." ] ],
	[ 'a command line has 512 octets', qr/noop: a line of 607 octets/, [ "NOOP $LONG" ] ],
	[ 'MAIL has room for what was offered', undef, [ @TO_AUTH, "MAIL FROM:<a\@x> AUTH=$LONG" ] ],
	[ 'and for nothing else', qr/mail: a line of/, [ @TO_AUTH, "MAIL FROM:<a$LONG$LONG\@x>" ], 'offer "AUTH PLAIN"' ],
	[ 'SIZE needs the offer', qr/mail SIZE, but SIZE was not/, [ @TO_AUTH, 'MAIL FROM:<a@x> SIZE=1' ],
	    'offer "AUTH PLAIN"' ],
	[ 'NOTIFY needs the offer', qr/rcpt NOTIFY, but DSN was not/, [ @TO_RCPT, 'RCPT TO:<a@x> NOTIFY=NEVER' ],
	    'offer "AUTH PLAIN"' ],
	[ 'an invented parameter is told', qr/no such parameter: FOO/, [ @TO_AUTH, 'MAIL FROM:<a@x> FOO=1' ] ],
	[ 'a quoted > does not end a path', undef, [ @TO_AUTH, 'MAIL FROM:<"a> b"@x> SIZE=1' ] ],
	[ 'an 8-bit address needs the offer', qr/SMTPUTF8/, [ @TO_AUTH, "MAIL FROM:<\xc3\xa4\@x>" ] ],
	[ 'no space after FROM:', qr/directly after FROM:/, [ @TO_AUTH, 'MAIL FROM: <a@x>' ] ],
	[ 'no space after TO:', qr/directly after TO:/, [ @TO_RCPT, 'RCPT TO: <a@x>' ] ],
	[ 'AUTH once', qr/AUTH again/, [ @TO_AUTH, $LOGIN ] ],
	[ 'AUTH where it is offered', qr/AUTH was not offered/, [ 'EHLO x', $LOGIN ], 'offer SIZE' ],
	[ 'AUTH as it is offered', qr/AUTH LOGIN was not offered/, [ 'EHLO x', 'AUTH LOGIN' ],
	    'offer "AUTH PLAIN"' ],
	[ 'STARTTLS where it is offered', qr/STARTTLS was not offered/, [ 'EHLO x', 'STARTTLS' ] ],
	[ 'a value that is none is told', qr/not a value of RET/, [ @TO_AUTH, 'MAIL FROM:<a@x> RET=ALL' ] ],
	[ 'NEVER stands alone', qr/not a value of NOTIFY/, [ @TO_RCPT, 'RCPT TO:<a@x> NOTIFY=NEVER,DELAY' ] ],
	[ 'a parameter stands once', qr/mail: SIZE twice/, [ @TO_AUTH, 'MAIL FROM:<a@x> SIZE=1 SIZE=1' ] ],
	[ 'xtext is xtext', qr/not a value of ORCPT/, [ @TO_RCPT, 'RCPT TO:<a@x> ORCPT=rfc822;a=b' ] ],
	[ 'BY is not under the offered minimum', qr/not a value of BY/, [ @TO_AUTH, 'MAIL FROM:<a@x> BY=9;R' ],
	    'offer "AUTH PLAIN" "DELIVERBY 10"' ],
	[ 'BY may be what is offered', undef, [ @TO_AUTH, 'MAIL FROM:<a@x> BY=10;R' ],
	    'offer "AUTH PLAIN" "DELIVERBY 10"' ],
	[ 'HOLDFOR is not over the offered limit', qr/not a value of HOLDFOR/,
	    [ @TO_AUTH, 'MAIL FROM:<a@x> HOLDFOR=61' ], 'offer "AUTH PLAIN" "FUTURERELEASE 60 2030-01-01T00:00:00Z"' ],
	[ 'HOLDUNTIL neither', qr/not a value of HOLDUNTIL/, [ @TO_AUTH, 'MAIL FROM:<a@x> HOLDUNTIL=2030-01-01T00:00:01Z' ],
	    'offer "AUTH PLAIN" "FUTURERELEASE 60 2030-01-01T00:00:00Z"' ],
	[ 'a time that is not too late is', undef, [ @TO_AUTH, 'MAIL FROM:<a@x> HOLDUNTIL=2029-12-31T23:59:59Z' ],
	    'offer "AUTH PLAIN" "FUTURERELEASE 60 2030-01-01T00:00:00Z"' ],
	[ 'a priority has one digit', qr/not a value of MT-PRIORITY/, [ @TO_AUTH, 'MAIL FROM:<a@x> MT-PRIORITY=10' ],
	    'offer "AUTH PLAIN" MT-PRIORITY' ],
	[ 'REQUIRETLS is said inside TLS', qr/REQUIRETLS without TLS/, [ @TO_AUTH, 'MAIL FROM:<a@x> REQUIRETLS' ],
	    'offer "AUTH PLAIN" REQUIRETLS' ],
	[ 'MAIL once in a transaction', qr/MAIL inside a mail transaction/, [ @TO_RCPT, 'MAIL FROM:<a@x>' ] ],
	[ 'RCPT behind a refused MAIL', qr/rcpt, though no MAIL/, [ @TO_AUTH, 'MAIL FROM:<a@x>', 'RCPT TO:<b@y>' ],
	    "offer \"AUTH PLAIN\"\nmail reply \"450 4.2.0 no\"" ],
	[ 'and in a group it may be', undef, [ @TO_AUTH, "MAIL FROM:<a\@x>\r\nRCPT TO:<b\@y>\r\nDATA" ],
	    'mail reply "450 4.2.0 no"' ],
	[ 'DATA behind refused recipients', qr/data, though no RCPT/, [ @TO_AUTH, 'MAIL FROM:<a@x>', 'RCPT TO:<b@y>', 'DATA' ],
	    "offer \"AUTH PLAIN\"\nrcpt reply \"450 4.2.0 no\"" ],
	[ 'HELO does not do where AUTH is asked for', qr/HELO, where TLS or AUTH/, [ 'HELO x' ] ],
	[ 'EHLO has one name', qr/without one name/, [ 'EHLO x y' ] ],
	[ 'QUIT has nothing behind it', qr/quit with something behind it/, [ @TO_AUTH, 'QUIT now' ] ],
	[ 'what is no command is told', qr/not a command/, [ @TO_AUTH, 'Subject: x' ] ],
	[ 'MAILMAX is kept', qr/MAIL for the 2th time, over MAILMAX/, [ @TO_DATA, "$TEXT.", 'MAIL FROM:<a@x>' ],
	    'offer "AUTH PLAIN" "LIMITS MAILMAX=1"' ],
	[ 'RCPTMAX is kept', qr/a 2th recipient, over RCPTMAX/, [ @TO_RCPT, 'RCPT TO:<b@y>', 'RCPT TO:<c@y>' ],
	    'offer "AUTH PLAIN" "LIMITS RCPTMAX=1"' ],
	[ 'RCPTDOMAINMAX is kept', qr/in 2 domains, over RCPTDOMAINMAX/, [ @TO_RCPT, 'RCPT TO:<b@y>', 'RCPT TO:<c@z>' ],
	    'offer "AUTH PLAIN" "LIMITS RCPTDOMAINMAX=1"' ],
	[ 'a limit that is no number is none', undef, [ @TO_RCPT, 'RCPT TO:<b@y>', 'RCPT TO:<c@z>' ],
	    'offer "AUTH PLAIN" "LIMITS RCPTMAX=x RCPTDOMAINMAX=0"' ],
	[ 'the declared size holds', qr/SIZE=3 was declared/, [ @TO_AUTH, 'MAIL FROM:<a@x> SIZE=3', 'RCPT TO:<b@y>',
	    'DATA', "a\r\n\r\n." ] ],
	[ 'a dot that is stuffed does not count', undef, [ @TO_AUTH, 'MAIL FROM:<a@x> SIZE=4', 'RCPT TO:<b@y>',
	    'DATA', "..a\r\n." ] ],
	[ 'BDAT needs the offer', qr/BDAT, but CHUNKING was not offered/, [ @TO_RCPT, 'RCPT TO:<b@y>', "BDAT 3 LAST\r\nx" ] ],
	[ 'chunks and the next group at once', undef, [ @TO_RCPT, 'RCPT TO:<b@y>',
	    "BDAT 3\r\n.\r\nBDAT 0\r\nBDAT 4 LAST\r\n.x\r\nMAIL FROM:<a\@x>" ], $CHUNKING ],
	[ 'BDAT has a number', qr/BDAT without a number/, [ @TO_RCPT, 'BDAT x' ], $CHUNKING ],
	[ 'and LAST or nothing behind it', qr/neither LAST nor nothing/, [ @TO_RCPT, 'BDAT 0 FIRST' ], $CHUNKING ],
	[ 'DATA is not among chunks', qr/data between two chunks/, [ @TO_RCPT, 'RCPT TO:<b@y>', 'BDAT 0', 'DATA' ], $CHUNKING ],
	[ 'a text in chunks ends with a line end', qr/does not end with a line end/,
	    [ @TO_RCPT, 'RCPT TO:<b@y>', "BDAT 1 LAST\r\nxNOOP" ], $CHUNKING ],
	[ 'bare LF is in no chunk', qr/bare LF in the text/, [ @TO_RCPT, 'RCPT TO:<b@y>', "BDAT 4 LAST\r\nx\n\r\nNOOP" ],
	    $CHUNKING ],
	[ 'too much behind BDAT is no command', qr/not a command/, [ @TO_RCPT, 'RCPT TO:<b@y>', "BDAT 2 LAST\r\n\r\nx" ],
	    $CHUNKING ],
	[ 'nothing after QUIT', qr/octets after QUIT/, [ 'QUIT', 'NOOP' ] ],
) {
	my ($promise, $fault, $lines, $script) = @$_;
	my $s = smarthost(args => \@PLAIN, script => $script // '');
	my $c = client($s);

	for (@$lines) {
		$c->say($_);
		$c->hear for 1 .. 1 + (() = /\r\n(?=MAIL|RCPT|DATA|NOOP|EHLO)/g);
	}
	close $c->{out};
	wait_for(sub { $s->turns }, 5, 'the end');
	if ($fault) {
		like(join("\n", $s->violations), $fault, $promise);
	} else {
		is(join("\n", $s->violations), '', $promise);
	}
	$s->stop;
}

subtest 'STARTTLS inside TLS, and a client that does not wait for the greeting' => sub {
	my $s = smarthost(args => [ '--implicit' ]);
	my $c = Client->new_tls($s);

	$c->hear;
	$c->ask('EHLO x', 'STARTTLS', 'QUIT');
	$c->end;
	like(join("\n", $s->violations), qr/STARTTLS inside TLS/, 'told');
	$s = smarthost(args => \@PLAIN, script => 'greeting delay 100 default');
	$c = Client->new($s);
	$c->ask('EHLO x');
	like(join("\n", $s->violations), qr/spoke before the greeting/, 'told');
};

# -- many, and the end

subtest 'connections are served side by side' => sub {
	my $s = smarthost(args => \@PLAIN, script => "mail \@1 touch held wait go default");
	my $first = client($s, @TO_AUTH);

	$first->say('MAIL FROM:<slow@x>');
	$s->wait_file('held');
	my @c = map { client($s, @TO_DATA) } 1 .. 10;
	$_->say("$TEXT.") for @c;
	like($_->hear, qr/^250 /, 'one of ten is served') for @c;
	is(scalar(my @m = $s->messages), 10, 'ten messages');
	$s->release('go');
	like($first->hear, qr/^250 /, 'and the first goes on');
};

subtest 'turns count the waits of a client, not its octets' => sub {
	my $s = smarthost(args => \@PLAIN);
	my $c = client($s, @TO_AUTH);

	$c->say("MAIL FROM:<a\@x>\r\nRCPT TO:<b\@y>\r\nDATA");
	$c->hear for 1 .. 3;
	$c->say('x' x 70) for 1 .. 1000;
	$c->ask('.');
	$c->ask('QUIT');
	$c->end;
	wait_for(sub { $s->turns }, 5, 'turns');
	is(($s->turns)[0]{turns}, 5, 'EHLO, AUTH, envelope, text, QUIT');
};

subtest 'a megabyte arrives as it was sent' => sub {
	my $s = smarthost(args => \@PLAIN);
	my $text = join '', map { sprintf("%07d", $_) . '.' x ($_ % 70) . "\r\n" } 1 .. 25000;
	my $c = client($s, @TO_DATA);

	$c->{in}->blocking(1);
	print { $c->{out} } $text, ".\r\n";
	$c->{out}->flush;
	like($c->hear, qr/^250 /, 'taken');
	ok(($s->messages)[0]{eml} eq $text, 'whole');
};

subtest 'a line end that comes in two pieces is one' => sub {
	my $s = smarthost(args => \@PLAIN);
	my $c = client($s, @TO_DATA);

	for ("x\r", "\n.", "\r", "\n") {
		$c->{out}->syswrite($_);
		sleep 0.02;
	}
	like($c->hear, qr/^250 /, 'the final dot is found');
	is(($s->messages)[0]{eml}, "x\r\n", 'and the text is whole');
};

subtest 'SIGTERM ends it, whatever its connections do' => sub {
	my $s = smarthost(args => \@PLAIN, script => "noop \@1 stall\nnoop \@2 wait never");
	my @c = map { client($s) } 1 .. 3;

	$c[$_]->say('NOOP') for 0, 1;
	sleep 0.05;
	my $begun = time;
	is($s->stop, 0, 'with status 0');
	cmp_ok(time - $begun, '<', 5, 'at once');
};

subtest '-1 ends it after one connection' => sub {
	my $s = smarthost(args => [ '--plain', '-1' ]);

	client($s)->ask('QUIT');
	ok(wait_for(sub { $s->has_ended }, 5, 'the end'), 'it has ended');
	is($s->{status}, 0, 'with status 0');
};

subtest 'it listens on ::1 with -6, asks nobody with --no-auth, keeps nothing with --discard' => sub {
	SKIP: {
		skip 'no IPv6 here', 1 if !-e '/proc/net/if_inet6' || !slurp('/proc/net/if_inet6');
		my $s = smarthost(args => [ '--plain', '-6' ]);
		my $sock = IO::Socket->new;
		socket($sock, PF_INET6, SOCK_STREAM, 0);
		ok(connect($sock, pack_sockaddr_in6($s->port, Socket::inet_pton(AF_INET6, '::1'))), '::1');
	}
	my $s = smarthost(args => [ '--plain', '--no-auth', '--discard' ]);
	my $c = client($s);
	unlike($c->ask('EHLO x'), qr/AUTH/, 'no AUTH offered');
	like($c->ask(@TO_RCPT[2, 3], 'DATA', "$TEXT."), qr/^250 /, 'and none asked for');
	is(scalar(my @m = $s->messages), 0, 'nothing kept');
	is($s->dialogue, '', 'nothing noted');
};

# Script, what is said about it.
for ([ 'nop reply "x"', 'unknown event: nop' ], [ 'noop rply "x"', 'unknown action: rply' ],
    [ 'noop reply', 'reply needs a word' ], [ 'noop delay x', 'not a number: x' ],
    [ 'noop reply "x', 'a quote is not closed' ], [ 'noop #2', 'a rule needs an action' ],
    [ 'noop reply "\q"', 'unknown escape \q' ]) {
	my $r = run([ "$B/tests/lib/smarthost", '-d', $HOME, '-s', spew("$T/script", "\n$_->[0]\n") ]);

	is("$r->{status} $r->{err}", "1 smarthost: script line 2: $_->[1]\n", "'$_->[0]' is no script");
}

done_testing;
