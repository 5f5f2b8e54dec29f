# sendmail -bs and -bS: dialogues as real clients have them, word by word, and
# what of them stands in the queue; a thousand messages in a session, and sudden
# death; and that nobody's message can hold another one.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use POSIX ();

time_limit(240);

ini(smarthost => { nobody_answers() }, queue => { 'max-size' => '256K', 'max-recipients' => 50 },
    identity => { received => 'no' });

# -- a client at the other end of two pipes

package Client {
	# Another program would have them from its shell; a client that waits in vain
	# is ended by the test's own limit.
	sub new
	{
		my ($class, @args) = @_;
		my ($self, $in, $out) = (bless {}, $class);

		pipe $in, $self->{to} or die "pipe: $!";
		pipe $self->{from}, $out or die "pipe: $!";
		$self->{pid} = fork // die "fork: $!";
		if ($self->{pid} == 0) {
			$SIG{$_} = 'DEFAULT' for qw(ALRM INT TERM HUP PIPE);
			open STDIN, '<&', $in or POSIX::_exit(126);
			open STDOUT, '>&', $out or POSIX::_exit(126);
			open STDERR, '>>', "$Flow::T/stderr" or POSIX::_exit(126);
			chdir $Flow::HOME;
			%ENV = Flow::environment();
			exec "$Flow::B/sendmail", @args or POSIX::_exit(127);
		}
		binmode $_ for $self->{to}, $self->{from};
		$self->{to}->autoflush(1);
		return $self;
	}

	sub say { my $self = shift; print { $self->{to} } @_ }

	# A reply: its lines, without their ends.
	sub hear
	{
		my $self = shift;
		my @lines;

		while (defined(my $line = readline $self->{from})) {
			$line =~ s/\r\n\z// or die "a line without CRLF: $line";
			push @lines, $line;
			last if $line !~ /^\d{3}-/;
		}
		return wantarray ? @lines : $lines[-1];
	}

	# Says a line, and dies unless the reply is what the client goes on with.
	sub expect
	{
		my ($self, $line, $codes) = @_;

		$self->say($line) if defined $line;
		my $reply = $self->hear // 'nothing';
		$reply =~ /^(?:$codes)\b/ or die 'to ' . ($line // 'nothing') . " came: $reply\n";
		return $reply;
	}

	# Hangs up, and answers its wait status.
	sub end
	{
		my $self = shift;

		close $_ for grep { defined } delete @$self{qw(to from)};
		waitpid $self->{pid}, 0;
		return $?;
	}

	sub kill_dead
	{
		my $self = shift;

		kill 'KILL', $self->{pid};
		return $self->end;
	}
}

package main;

# Sender, recipients and their wishes in one line.
sub envelope
{
	return join ' ', map { s/^(?:from|to) //r } grep { !/^(?:id|arrived|uid) / } split /\n/, shift->{envelope};
}

# Is queue/ID a whole message: as long as its first line says?
sub is_whole
{
	my $path = spool() . '/queue/' . shift;
	my $head = slurp($path) // return 0;

	return $head =~ /\Asubpost 1 size=0*(\d+) / && $1 == length $head;
}

my $LETTER = <<'EOT';
Message-ID: <1@app.example>
Date: Wed, 25 Nov 2026 10:00:00 +0000
Subject: a letter
From: Web <web@app.example>
To: Ann <ann@y.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

The first line.
.a line that begins with a dot
.

The last one.
EOT

# As it goes through DATA.
sub stuffed
{
	return $LETTER =~ s/^\./../mgr =~ s/\n/\r\n/gr;
}

# -- clients, word by word

# Symfony Mailer, SmtpTransport over a ProcessStream: it asks for EHLO, and ends
# the text with its own CRLF.
sub symfony
{
	my $c = Client->new('-bs');

	$c->expect(undef, 220);
	$c->expect("EHLO [127.0.0.1]\r\n", 250);
	for (1, 2) {
		$c->expect("NOOP\r\n", 250) if $_ == 2;
		$c->expect("MAIL FROM:<web\@app.example>\r\n", 250);
		$c->expect("RCPT TO:<ann\@y.example>\r\n", '250|251|252');
		$c->expect("RCPT TO:<bob\@y.example>\r\n", '250|251|252');
		$c->expect("DATA\r\n", 354);
		$c->say(stuffed() =~ s/\r\n\z//r);
		$c->expect("\r\n.\r\n", 250);
	}
	$c->expect("QUIT\r\n", 221);
	return $c;
}

# SwiftMailer: RSET after a refused recipient, and the next message.
sub swift
{
	my $c = Client->new('-bs');

	$c->expect(undef, 220);
	$c->expect("EHLO localhost.localdomain\r\n", 250);
	$c->expect("MAIL FROM:<web\@app.example>\r\n", 250);
	$c->expect("RCPT TO:<ann smith\@y.example>\r\n", '5\d\d');
	$c->expect("RSET\r\n", 250);
	$c->expect("MAIL FROM:<web\@app.example>\r\n", 250);
	$c->expect("RCPT TO:<ann\@y.example>\r\n", 250);
	$c->expect("DATA\r\n", 354);
	$c->say($_) for stuffed() =~ /(.{1,64})/gs;
	$c->expect(".\r\n", 250);
	$c->expect("QUIT\r\n", 221);
	return $c;
}

# PHPMailer's SMTP class, with DSN asked for: a line a write.
sub phpmailer
{
	my $c = Client->new('-bs');

	$c->expect(undef, 220);
	$c->expect("EHLO web.app.example\r\n", 250);
	$c->expect("MAIL FROM:<web\@app.example>\r\n", 250);
	$c->expect("RCPT TO:<ann\@y.example> NOTIFY=SUCCESS,FAILURE\r\n", '250|251');
	$c->expect("DATA\r\n", 354);
	$c->say($_) for stuffed() =~ /(.*\r\n)/g;
	$c->expect(".\r\n", 250);
	$c->expect("QUIT\r\n", 221);
	return $c;
}

# Alpine (c-client's smtp.c): asks by what EHLO offered, and puts no CRLF of its own
# before the dot.
sub alpine
{
	my $c = Client->new('-bs', '-odb', '-oem');
	my ($eight, $dsn);

	$c->expect(undef, 220);
	$c->say("EHLO desk.example\r\n");
	for ($c->hear) {
		$eight = 1 if /^250[- ]8BITMIME/;
		$dsn = 1 if /^250[- ]DSN/;
	}
	$c->expect('MAIL FROM:<web@app.example>' . ($eight ? ' BODY=8BITMIME' : '') . ($dsn ? ' RET=HDRS' : '') . "\r\n", 250);
	$c->expect('RCPT TO:<ann@y.example>' . ($dsn ? ' NOTIFY=FAILURE,DELAY' : '') . "\r\n", '25[01]');
	$c->expect("DATA\r\n", 354);
	$c->say(stuffed());
	$c->expect(".\r\n", 250);
	$c->expect("QUIT\r\n", 221);
	return $c;
}

# mutt's smtp.c: the body type where it is offered, and the text line by line.
sub mutt
{
	my $c = Client->new('-bs');

	$c->expect(undef, 220);
	$c->expect("EHLO desk.example\r\n", 250);
	$c->expect("MAIL FROM:<web\@app.example> BODY=8BITMIME RET=FULL\r\n", 250);
	$c->expect("RCPT TO:<ann\@y.example> NOTIFY=NEVER\r\n", 250);
	$c->expect("DATA\r\n", 354);
	$c->say($_) for stuffed() =~ /(.*\r\n)/g;
	$c->expect(".\r\n", 250);
	$c->expect("QUIT\r\n", 221);
	return $c;
}

# A program that pipelines as RFC 2920 has it: envelope, text, and the next envelope.
sub pipeliner
{
	my $c = Client->new('-bs');
	my $envelope = "MAIL FROM:<web\@app.example> SIZE=400\r\nRCPT TO:<ann\@y.example>\r\nDATA\r\n";

	$c->expect(undef, 220);
	$c->expect("EHLO desk.example\r\n", 250);
	$c->say($envelope);
	$c->expect(undef, $_) for 250, 250, 354;
	$c->say(stuffed() . ".\r\n$envelope");
	$c->expect(undef, $_) for 250, 250, 250, 354;
	$c->say(stuffed() . ".\r\nQUIT\r\n");
	$c->expect(undef, $_) for 250, 221;
	return $c;
}

# One that chunks as Exim does: envelope and text in one go.
sub chunker
{
	my $c = Client->new('-bs');
	my $text = $LETTER =~ s/\n/\r\n/gr;

	$c->expect(undef, 220);
	$c->expect("EHLO desk.example\r\n", 250);
	$c->say("MAIL FROM:<web\@app.example>\r\nRCPT TO:<ann\@y.example>\r\nBDAT 100\r\n", substr($text, 0, 100),
	    'BDAT ', length($text) - 100, " LAST\r\n", substr($text, 100), "QUIT\r\n");
	$c->expect(undef, $_) for 250, 250, 250, 250, 221;
	return $c;
}

# A script that prints all it has, in lines of LF.
sub script
{
	my $c = Client->new('-bs');

	$c->say("HELO me\nMAIL FROM: web\@app.example\nRCPT TO: ann\@y.example\nDATA\n", $LETTER =~ s/^\./../mgr,
	    ".\nQUIT\n");
	$c->expect(undef, $_) for 220, 250, 250, 250, 354, 250, 221;
	return $c;
}

for ([ 'Symfony', \&symfony, ('web@app.example ann@y.example bob@y.example') x 2 ],
    [ 'SwiftMailer', \&swift, 'web@app.example ann@y.example' ],
    [ 'PHPMailer', \&phpmailer, 'web@app.example ann@y.example notify SUCCESS,FAILURE' ],
    [ 'Alpine', \&alpine, 'web@app.example ret HDRS body 8BITMIME ann@y.example notify FAILURE,DELAY' ],
    [ 'mutt', \&mutt, 'web@app.example ret FULL body 8BITMIME ann@y.example notify NEVER' ],
    [ 'a client that pipelines', \&pipeliner, ('web@app.example ann@y.example') x 2 ],
    [ 'a client with BDAT', \&chunker, 'web@app.example ann@y.example' ],
    [ 'a script of LF lines', \&script, 'web@app.example ann@y.example' ]) {
	my ($name, $talk, @envelopes) = @$_;
	my $c = eval { $talk->() };

	is($@, '', "$name hears what it wants to hear");
	is($c ? $c->end : -1, 0, "$name: exit status 0");
	my @new = new_letters();
	is_deeply([ map { envelope($_) } @new ], \@envelopes, "$name: the envelope");
	is_deeply([ map { $_->{text} } @new ], [ ($LETTER) x @envelopes ], "$name: every octet of the text, and no other");
}

# -- not in order

{
	my $c = Client->new('-bs');

	$c->expect(undef, 220);
	$c->expect("EHLO me\r\n", 250);
	$c->expect("MAIL FROM:<a\@x.example> SIZE=300000\r\n", 552);
	$c->expect("MAIL FROM:<a\@x.example>\r\n", 250);
	$c->expect("RCPT TO:<b\@y.example>\r\n", 250);
	$c->expect("DATA\r\n", 354);
	$c->say("Subject: x\r\n\r\n", ('x' x 70 . "\r\n") x 5000);
	like($c->expect(".\r\n", 552), qr/^552 5\.3\.4 .*max-size/, 'a text over max-size is refused, by name');
	is($c->expect("NOOP\r\n", 250), '250 2.0.0 well', 'and the session goes on');
	$c->expect("MAIL FROM:<a\@x.example>\r\n", 250);
	$c->expect("RCPT TO:<b\@y.example>\r\n", 250);
	$c->expect("DATA\r\n", 354);
	$c->say("Subject: half\r\n\r\nhalf a te");
	is($c->end >> 8, 65, 'a client that dies in its text: 65');
	is(scalar(new_letters()), 0, 'and nothing of all that is queued');
}
{
	my $r = run([ "$B/sendmail", '-bs' ], stdin => "EHLO me\r\n");

	is("$r->{status} $r->{err}", '0 ', 'a client that leaves between messages: 0, and not a word');
	$r = run([ "$B/sendmail", '-bs' ], stdin => '');
	is("$r->{status} $r->{err}", '0 ', 'so is one that says nothing at all');
}
{
	my $r = run([ "$B/sendmail", '-bS' ], stdin =>
	    "MAIL FROM:<a\@x.example>\nRCPT TO:<b\@y.example>\nDATA\nSubject: 1\n\n1\n.\n" .
	    "MAIL FROM:<a\@x.example>\nRCPT TO:<b c\@y.example>\nDATA\nSubject: 2\n\n2\n.\n" .
	    "MAIL FROM:<c\@x.example>\nRCPT TO:<d\@y.example>\nDATA\nSubject: 3\n\n3\n.\nQUIT\n");

	is($r->{out}, '', 'a batch is given no replies');
	is($r->{status}, 65, 'its first refusal is its exit status');
	like($r->{err}, qr/\Asendmail: line 9: .*\nsendmail: line 10: .*\nsendmail: .*the first in line 9.*\n\z/,
	    'what was refused is told by its line');
	is_deeply([ map { envelope($_) } new_letters() ], [ 'a@x.example b@y.example', 'c@x.example d@y.example' ],
	    'and the rest is queued');
}
SKIP: {
	skip 'there is no /dev/full here', 1 if !-c '/dev/full';
	my $r = run([ '/bin/sh', '-c', '"$0" -bs >/dev/full', "$B/sendmail" ],
	    stdin => "MAIL FROM:<a\@x.example>\r\nRCPT TO:<b\@y.example>\r\n");

	is($r->{status}, 74, 'where nobody can be answered: 74');
}

# -- a thousand in one session

my $N = 1000;

sub post
{
	my ($c, $n) = @_;
	my $name = sprintf 'n%04d', $n;

	$c->say("MAIL FROM:<a\@x.example>\r\nRCPT TO:<$name\@y.example>\r\nDATA\r\nSubject: $name\r\n\r\nbody\r\n.\r\n");
}

# The id of the next message taken.
sub hear_of_one
{
	my $c = shift;

	$c->expect(undef, $_) for 250, 250, 354;
	return $c->expect(undef, 250) =~ /queued as ([0-9A-Z]{20})$/ ? $1 : die 'no id';
}

sub begin_anew
{
	my $pid = runner_pid();

	kill 'KILL', $pid if $pid;
	wait_no_runner();
	unlink glob(spool() . '/queue/*'), spool() . '/health';
}

begin_anew();
{
	my $c = Client->new('-bs');
	my ($missing, %ids) = 0;

	$c->expect(undef, 220);
	$c->expect("EHLO me\r\n", 250);
	for my $n (1 .. $N) {
		post($c, $n);
		my $id = hear_of_one($c);

		$ids{$id}++;
		$missing++ if !is_whole($id);
	}
	$c->expect("QUIT\r\n", 221);
	is($c->end, 0, "a session takes $N messages");
	is($missing, 0, 'each stands whole in the queue when its 250 is read');
	is(scalar(keys %ids), $N, 'each under an id of its own');
	is(scalar(queue_ids()), $N, 'and no other');
}

# Killed after each tenth reply, with the next message on its way: in the middle of
# its text, or whole and not yet answered.
begin_anew();
{
	my ($n, $lost, $extra, @ids) = (0, 0, 0);

	while ($n < $N) {
		my $c = Client->new('-bs');

		$c->expect(undef, 220);
		$c->expect("EHLO me\r\n", 250);
		for (1 .. 10) {
			post($c, ++$n);
			push @ids, hear_of_one($c);
		}
		if ($n % 20 == 0) {
			post($c, 0) for 1 .. 1 + $n / 20 % 5;
		} else {
			$c->say("MAIL FROM:<a\@x.example>\r\nRCPT TO:<n0000\@y.example>\r\nDATA\r\nSubject: n0000\r\n\r\nhalf");
		}
		$c->kill_dead;
		$lost += grep { !is_whole($_) } @ids[-10 .. -1];
	}
	my %there = map { $_ => 1 } queue_ids();
	my %promised = map { $_ => 1 } @ids;

	$lost += grep { !$there{$_} } @ids;
	is($lost, 0, "killed after each tenth of $N replies: nothing that was acknowledged is missing");
	is(scalar(grep { !$promised{$_} && slurp(spool() . "/queue/$_") !~ /^to n0000\@.*^body$/ms } keys %there), 0,
	    'and nothing is there but that and whole messages whose 250 was under way');
	is(scalar(grep { !is_whole($_) } keys %there), 0, 'nothing half');
}

# -- one message is one message

begin_anew();
{
	my $sh = smarthost();
	my $evil = "MAIL FROM:<evil\@x.example>\r\nRCPT TO:<victim\@y.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nhi\r\n";
	my %ends = ('LF.LF' => "\n.\n", 'LF.CRLF' => "\n.\r\n", 'CRLF.LF' => "\r\n.\n", 'CR.CR' => "\r.\r",
		'CRLF.CR' => "\r\n.\r", 'CR.CRLF' => "\r.\r\n", 'CRLF.CRCRLF' => "\r\n.\r\r\n", 'CRLF.NULCRLF' => undef,
		'LF.CR' => "\n.\r", 'CR.LF' => "\r.\n");
	my $sent = 0;

	ini(smarthost => { port => $sh->port }, identity => { received => 'no' });
	for my $name (sort grep { defined $ends{$_} } keys %ends) {
		for my $chunked (0, 1) {
			my $c = Client->new('-bs');
			my $text = "Subject: $name\r\n\r\nfirst$ends{$name}$evil";

			$c->expect(undef, 220);
			$c->expect("EHLO me\r\n", 250);
			$c->expect("MAIL FROM:<a\@x.example>\r\n", 250);
			$c->expect("RCPT TO:<b\@y.example>\r\n", 250);
			if ($chunked) {
				$c->expect('BDAT ' . length($text) . " LAST\r\n$text", 250);
			} else {
				$c->expect("DATA\r\n", 354);
				$c->expect("$text.\r\n", 250);
			}
			$c->expect("QUIT\r\n", 221);
			is($c->end, 0, "$name " . ($chunked ? 'in BDAT' : 'in DATA') . ' is one message');
			$sent++;
		}
	}
	ok($sh->wait_messages($sent, 30), 'all arrive');
	ok(wait_empty(), 'the queue is empty');
	my @messages = $sh->messages;

	is(scalar(@messages), $sent, 'as many as were sent');
	is(scalar(grep { "$_->{from}>@{ $_->{to} }" !~ /^<a\@x\.example>[^<]*><b\@y\.example>$/ } @messages), 0, 'none from or to anybody else');
	is(scalar(grep { $_->{eml} !~ /^Subject: smuggled\r?$/m } @messages), 0, 'each with all of its text');
	is(join("\n", $sh->violations), '', 'and in good form');
	unlike(join('', map { slurp($_) } glob $sh->dir . '/raw.*'), qr/(?<!\r)\n|\r(?!\n)/, 'no bare CR or LF is on the wire');
}

done_testing;
