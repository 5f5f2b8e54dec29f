# Waiting for the outcome, and the dialogue: the face stays until the message has
# left, was refused, or the time is over; what it watched is sent all the same
# when it goes away before.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use MIME::Base64 'encode_base64';
use POSIX ();
use Time::HiRes 'time';

my $TEXT = "Subject: hello\n\nnobody sees this line\n";
my @TO = ('a@x.example');
my %DOWN = (port => 1);

# Each test begins without a message, a runner, or a state of the account.
sub fresh
{
	my ($script, %o) = @_;
	my $sh = smarthost(script => $script // '', args => $o{args} // []);

	if (-d spool()) {
		my $pid = runner_pid();

		kill 'TERM', $pid if defined $pid;
		wait_no_runner();
		subpost('delete', $_) for queue_ids();
		unlink spool() . '/health';
	}
	ini(%{ $o{ini} // {} });
	return $sh;
}

sub says { return "$_[0]{status} $_[0]{err}" }

# One that waits, and the id of its message once that is queued.
sub start_waiting
{
	my ($args, %o) = @_;
	my $face = start([ "$B/sendmail", @$args ], stdin => $TEXT, %o);

	wait_for(sub { queue_ids() }, 10, 'the message to be queued');
	return ($face, queue_ids());
}

sub is_over
{
	return (slurp('/proc/' . shift->pid . '/stat') // ') Z ') =~ /\) Z /;
}

sub is_down
{
	return (slurp(spool() . '/health') // '') =~ / down /;
}

sub traces
{
	return map { s{.*/}{}r } glob spool() . '/trace/*';
}

# -- what the exit status says

subtest 'sent within the time' => sub {
	my $sh = fresh();
	my $r = sendmail([ '-O', 'wait=20', @TO ], $TEXT);
	my @got = $sh->messages;

	is(says($r), '0 ', 'is 0, without a word');
	is(scalar @got, 1, 'and the smarthost has it by then');
	ok($r->{seconds} < 10, 'and the rest of the time is not waited for');
};

subtest 'the smarthost is down' => sub {
	my $sh = fresh(undef, ini => { smarthost => \%DOWN, queue => { retry => '1h' } });
	my $r = sendmail([ '-O', 'wait=2', @TO ], $TEXT);
	my ($id) = queue_ids();

	like(says($r), qr/^75 sendmail: still queued as $id; it will be sent, do not send it again; default is down .*cannot reach/,
	    'is 75, with what is wrong');
	ok($r->{seconds} >= 2 && $r->{seconds} < 8, 'after the time, not before');
	is($r->{err} =~ tr/\n//, 1, 'in one line');
	ini();
	subpost('retry');
	ok($sh->wait_messages(1), 'and it is sent later');
	wait_empty();
	wait_no_runner();
	is(scalar(my @m = $sh->messages), 1, 'once');
};

subtest 'put off' => sub {
	fresh('rcpt reply "450 4.2.0 come again"');
	like(says(sendmail([ '-Owait=2', @TO ], $TEXT)), qr/^75 .*still queued as \w{20}; .*do not send it again; last: .*450 4\.2\.0 come again/,
	    'is 75, with the last word about it');
};

subtest 'refused' => sub {
	fresh('rcpt ~a@x reply "550 5.1.1 nobody of that name"');
	my $r = sendmail([ '-O', 'wait=20', @TO ], $TEXT);

	like(says($r), qr/^69 sendmail: not sent to a\@x\.example: .*550 5\.1\.1 nobody of that name$/,
	    'is 69, with name and words');
	ok($r->{seconds} < 10, 'at once');
	ok(wait_for(sub { queue_ids('failed') }, 10, 'failed/'), 'and the message is kept in failed/');
};

subtest 'refused for some' => sub {
	my $sh = fresh("rcpt ~no1 reply \"550 5.1.1 no\"\nrcpt ~no2 reply \"550 5.1.1 no\"");
	my $r = sendmail([ '-O', 'wait=20', 'yes@x.example', 'no1@x.example', 'no2@x.example' ], $TEXT);

	like(says($r), qr/^69 sendmail: not sent to no1\@x\.example: .*550 5\.1\.1 no; 1 more is refused; 1 got it$/,
	    'names the first, and counts the others');
	is_deeply(($sh->messages)[0]{to}, [ '<yes@x.example>' ], 'who has it');
};

subtest 'refused for one while another waits' => sub {
	fresh("rcpt ~no reply \"550 5.1.1 no\"\nrcpt ~later reply \"450 4.2.0 later\"");
	my $r = sendmail([ '-O', 'wait=3', 'no@x.example', 'later@x.example' ], $TEXT);

	like(says($r), qr/^69 sendmail: not sent to no\@x\.example: .*550 5\.1\.1 no; 1 still waits$/,
	    'is 69 all the same');
	ok($r->{seconds} >= 3, 'once the time is over');
};

subtest 'removed by hand' => sub {
	fresh(undef, ini => { smarthost => \%DOWN, queue => { retry => '1h' } });
	my ($face, $id) = start_waiting([ '-O', 'wait=15', @TO ]);

	wait_for(\&is_down, 10, 'the account to be down');
	is(subpost('delete', $id)->{status}, 0, 'can be done while somebody waits');
	is(says($face->wait), "69 sendmail: $id was removed from the queue by hand and not sent\n",
	    'and is not taken for sent');
	is_deeply([ glob spool() . '/queue/*' ], [], 'nothing is left of it');
};

subtest 'held' => sub {
	my $sh = fresh(undef, ini => { smarthost => \%DOWN, queue => { retry => '1h' } });
	my ($face, $id) = start_waiting([ '-O', 'wait=15', @TO ]);
	my $path = spool() . "/queue/$id";

	wait_for(\&is_down, 10, 'the account to be down');
	open my $fh, '+<', $path or die "$path: $!";
	seek $fh, -2, 2;
	print $fh 'X';
	close $fh;
	ini();
	subpost('retry');
	my $r = $face->wait;
	like(says($r), qr/^75 sendmail: queued as $id, and held: .*checksum is wrong; see: subpost show $id$/,
	    'is 75 at once, with the reason');
	ok($r->{seconds} < 12, 'and the time is not waited for');
};

# -- going away

for my $signal (qw(INT TERM KILL)) {
	my $sh = fresh('rcpt #1 wait go default');
	my ($face, $id) = start_waiting([ '-v', '-O', 'wait=60', @TO ]);

	wait_for(sub { $sh->dialogue =~ /RCPT/ }, 10, 'the dialogue');
	kill $signal, $face->pid;
	is($face->wait->{signal}, { INT => 2, TERM => 15, KILL => 9 }->{$signal}, "a face that waits ends by SIG$signal");
	$sh->release('go');
	ok($sh->wait_messages(1), 'and its message is sent all the same');
	wait_empty();
	wait_no_runner();
	is(scalar(my @m = $sh->messages), 1, 'once');
	is(scalar(traces()), 1, 'what it looked at is left behind');
	sendmail([ '-O', 'wait=20', @TO ], $TEXT);
	is(scalar(traces()), 0, 'until the next runner sweeps');
}

# -- who does not wait

for my $case ([ 'a plain call', { queue => { wait => '30s' } } ],
    [ '-odi without the key', {}, '-odi' ],
    [ '-O wait=0', { queue => { wait => '30s' } }, '-odi', '-O', 'wait=0' ],
    [ '-odb', { queue => { wait => '30s' } }, '-odb' ],
    [ '-v without waiting', {}, '-v' ]) {
	my ($what, $ini, @args) = @$case;
	my $sh = fresh('rcpt #1 wait go default', ini => $ini);
	my $r = sendmail([ @args, @TO ], $TEXT, timeout => 15);

	is($r->{status}, 0, "$what does not wait");
	unlike($r->{err}, qr/^(?:>>>|<<<|---)/m, 'and shows no dialogue');
	is(scalar(traces()), 0, 'and leaves nothing to write it into');
	$sh->release('go');
	ok($sh->wait_messages(1), 'before it is sent');
}

subtest '-odi with the key' => sub {
	my $sh = fresh('rcpt #1 wait go default', ini => { queue => { wait => '30s' } });
	my ($face, $id) = start_waiting([ '-odi', @TO ]);

	wait_for(sub { $sh->dialogue =~ /RCPT/ }, 10, 'the dialogue');
	ok(!is_over($face), 'waits');
	$sh->release('go');
	is(says($face->wait), '0 ', 'and is told');
	is(scalar(my @m = $sh->messages), 1, 'that it was sent');
};

subtest 'many at once' => sub {
	my $sh = fresh();
	my @faces = map { start([ "$B/sendmail", '-O', 'wait=60', "r$_\@x.example" ], stdin => $TEXT) } 1 .. 20;

	is_deeply([ map { says($_->wait(60)) } @faces ], [ ('0 ') x 20 ], 'each is told of its own');
	is(scalar(my @m = $sh->messages), 20, 'and each was sent once');
};

# -- the dialogue

for my $case ([ 'STARTTLS and PLAIN', [], 'offer SIZE PIPELINING "AUTH PLAIN"' ],
    [ 'TLS from the first octet and LOGIN', [ '--implicit' ], 'offer SIZE "AUTH LOGIN"' ],
    [ 'many lines of EHLO', [], 'ehlo #2' . join('', map { " reply \"250-X-$_ " . 'x' x 200 . '"' } 1 .. 100) .
        ' reply "250 AUTH PLAIN"' ]) {
	my ($what, $args, $script) = @$case;
	my $sh = fresh($script, args => $args);
	my $r = sendmail([ '-v', '-O', 'wait=20', @TO ], $TEXT);
	my $err = $r->{err};

	is($r->{status}, 0, "$what: sent");
	like($err, qr/^<<< 235 .*?^>>> MAIL FROM:<user\@example\.net>.*?^>>> RCPT TO:<a\@x\.example>\n.*?^>>> DATA\n.*?^<<< 354 .*?^>>> \[\d+ octets of text\]\n>>> \.\n<<< 250 /ms,
	    'the dialogue is shown in its order');
	like($err, $script =~ /LOGIN/ ? qr/^>>> AUTH LOGIN\n<<< 334 \[hidden\]\n>>> \[hidden\]\n<<< 334 \[hidden\]\n>>> \[hidden\]\n<<< 235/m :
	    qr/^>>> AUTH PLAIN \[hidden\]\n<<< 235/m, 'the login without its words');
	if ($what =~ /many/) {
		ok($err !~ /<<< 220/, 'of a long beginning the first lines are cut');
		like($err, qr/^--- the beginning is not shown\n/m, 'which is said');
	} else {
		like($err, qr/^--- encrypted with TLS/m, 'and that it is encrypted');
		like($err, qr/^--- connected to .*\n(?:---.*\n)?<<< 220 .*\n>>> EHLO client\.example\.net\n<<< 250-/m, 'from the beginning');
	}
	for my $secret ('correct horse', 'nobody sees', map { encode_base64($_, '') =~ s/=+$//r }
	    'correct horse', "\0user\@example.net\0correct horse", 'user@example.net') {
		is(index($err, $secret), -1, "no '$secret'");
	}
	is(scalar(traces()), 0, 'and nothing is left behind');
}

subtest 'the dialogue comes as it is spoken' => sub {
	my $sh = fresh('dot #1 wait go default');
	my ($face, $id) = start_waiting([ '-v', '-O', 'wait=30', @TO ]);

	ok(wait_for(sub { slurp("$face->{io}.err") =~ /^>>> \.$/m }, 10, 'the final dot'), 'line by line');
	is((stat spool() . '/trace')[2] & 07777, 0700, 'by way of a directory that is ours alone');
	is((stat spool() . "/trace/$id")[2] & 07777, 0600, 'and a file that is, too');
	$sh->release('go');
	like(says($face->wait), qr/^0 .*^<<< 250 [^\n]*\n$/ms, 'to the last one');
};

subtest 'the dialogue is masked' => sub {
	fresh('rcpt reply "550 5.1.1 \x1b[31mred"');
	my $r = sendmail([ '-v', '-O', 'wait=20', @TO ], $TEXT);

	like($r->{err}, qr/^<<< 550 5\.1\.1 \\x1b\[31mred$/m, 'what the server says cannot steer a terminal');
};

subtest 'a second message on the same connection' => sub {
	my $sh = fresh('dot #1 wait go default');
	my ($one) = start_waiting([ '-O', 'wait=60', 'silent@x.example' ]);

	wait_for(sub { $sh->dialogue =~ /RCPT/ }, 10, 'the first');
	my $two = start([ "$B/sendmail", '-v', '-O', 'wait=60', 'seen@x.example' ], stdin => $TEXT);

	wait_for(sub { queue_ids() == 2 }, 10, 'the second');
	$sh->release('go');
	is(says($one->wait), '0 ', 'one sees nothing');
	my $r = $two->wait;
	like(says($r), qr/^0 .*<<< 220 .*seen\@x/ms, 'and the other all of its own');
	unlike($r->{err}, qr/silent\@/, 'and nothing of the first');
};

subtest 'a connection that fails' => sub {
	fresh(undef, ini => { smarthost => \%DOWN, queue => { retry => '1h' } });
	like(sendmail([ '-v', '-O', 'wait=2', @TO ], $TEXT)->{err}, qr/^--- cannot reach 127\.0\.0\.1:1: .*; next try in \d+ s$/m,
	    'is shown with its reason');
};

done_testing;
