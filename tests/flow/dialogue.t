# The dialogue: at every stage the smarthost may say no for now, say no for
# good, talk nonsense, hang up or hesitate.  Whatever it does, sendmail has said
# yes and means it: the message is sent, or kept with a reason, or failed with a
# notice; it is never lost, and sent twice only where nobody could know better.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;

time_limit(300);

my $LOCK_STEP = "offer \"SIZE 104857600\" 8BITMIME ENHANCEDSTATUSCODES \"AUTH PLAIN LOGIN\"\n";
my $SMALL = "Subject: letter\n\nbody\n";
my $LARGE = "Subject: letter\n\n" . "A line of the text, and not the last.\n" x 8000;
# More than the kernel takes off our hands while the far end does not read: so
# what is said in the middle of it is heard before the final dot goes out.
my $HUGE = "Subject: letter\n\n" . ("A line of the text, and not the last. " x 20 . "\n") x 26000;
my $NOTICE = 'Your message could not be delivered';
my $cells = 0;

# What becomes of a message, by the words of the table:
#	sent     it arrives, and the account is not blamed
#	account  the account waits and says why; the message has no try against it
#	message  the message waits and says why; the account goes on
#	failed   it lies in failed/ with the reason, and the sender is told once
#	sender   the message waits like that, since this sender is the trouble
#	doubt    as account, but it arrives twice: the server had kept it and did
#	         not say so
my @TABLE = (
	# stage, what the server does, its script, what becomes of the message, the reason
	[ 'connect', 'hangs up', 'connect #1 drop', 'account', qr/clos/ ],
	[ 'connect', 'resets', 'connect #1 reset', 'account', qr/reset|clos/ ],
	[ 'connect', 'hesitates', 'connect #1 wait go', 'sent' ],
	[ 'connect', 'hesitates and hangs up', 'connect #1 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'the greeting', 'says 421', 'greeting #1 reply "421 4.3.2 shutting down"', 'account', qr/greeting answered: 421 4\.3\.2 shutting down/ ],
	[ 'the greeting', 'says 450', 'greeting #1 reply "450 busy"', 'account', qr/greeting answered: 450 busy/ ],
	[ 'the greeting', 'says 554', 'greeting #1 reply "554 5.7.1 not you"', 'account', qr/greeting answered: 554 5\.7\.1 not you/ ],
	[ 'the greeting', 'is no mail server', 'greeting #1 reply "HTTP/1.1 400 Bad Request"', 'account', qr/./ ],
	[ 'the greeting', 'says a line without end', 'greeting #1 repeat 300000 x', 'account', qr/./ ],
	[ 'the greeting', 'says lines without end', 'greeting #1 repeat 30000 "220-x\r\n"', 'account', qr/./ ],
	[ 'the greeting', 'hangs up', 'greeting #1 drop', 'account', qr/clos.*check port and tls/ ],
	[ 'the greeting', 'resets', 'greeting #1 reset', 'account', qr/reset|clos/ ],
	[ 'the greeting', 'hesitates', 'greeting #1 wait go default', 'sent' ],
	[ 'the greeting', 'hesitates and hangs up', 'greeting #1 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'EHLO', 'says 421', 'ehlo #1 reply "421 4.3.2 shutting down"', 'account', qr/EHLO answered: 421/ ],
	[ 'EHLO', 'says 451', 'ehlo #1 reply "451 4.3.0 later"', 'account', qr/EHLO answered: 451/ ],
	[ 'EHLO', 'says 502', 'ehlo #1 reply "502 5.5.1 what?"', 'account', qr/EHLO answered: 502/ ],
	[ 'EHLO', 'says 354', 'ehlo #1 reply "354 go ahead"', 'account', qr/EHLO answered: 354/ ],
	[ 'EHLO', 'hangs up', 'ehlo #1 drop', 'account', qr/clos/ ],
	[ 'EHLO', 'hangs up in the middle of its answer', 'ehlo #1 send "250-localhost\r\n250-STARTT" drop', 'account', qr/clos/ ],
	[ 'EHLO', 'resets', 'ehlo #1 reset', 'account', qr/reset|clos/ ],
	[ 'EHLO', 'hesitates', 'ehlo #1 wait go default', 'sent' ],
	[ 'EHLO', 'hesitates and hangs up', 'ehlo #1 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'STARTTLS', 'says 454', 'starttls #1 reply "454 4.7.0 no TLS just now"', 'account', qr/STARTTLS answered: 454/ ],
	[ 'STARTTLS', 'says 501', 'starttls #1 reply "501 5.5.4 what?"', 'account', qr/STARTTLS answered: 501/ ],
	[ 'STARTTLS', 'hangs up', 'starttls #1 drop', 'account', qr/clos/ ],
	[ 'STARTTLS', 'resets', 'starttls #1 reset', 'account', qr/reset|clos/ ],
	[ 'STARTTLS', 'hesitates', 'starttls #1 wait go default', 'sent' ],
	[ 'STARTTLS', 'hesitates and hangs up', 'starttls #1 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'the handshake', 'talks in the clear', 'handshake #1 reply "421 4.3.2 no"', 'account', qr/TLS/ ],
	[ 'the handshake', 'hangs up', 'handshake #1 drop', 'account', qr/TLS|clos/ ],
	[ 'the handshake', 'resets', 'handshake #1 reset', 'account', qr/TLS|reset|clos/ ],
	[ 'the handshake', 'hesitates', 'handshake #1 wait go default', 'sent' ],
	[ 'the handshake', 'hesitates and hangs up', 'handshake #1 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'EHLO inside TLS', 'says 421', 'ehlo #2 reply "421 4.3.2 shutting down"', 'account', qr/EHLO answered: 421/ ],
	[ 'EHLO inside TLS', 'says 550', 'ehlo #2 reply "550 5.7.1 no"', 'account', qr/EHLO answered: 550/ ],
	[ 'EHLO inside TLS', 'hangs up', 'ehlo #2 drop', 'account', qr/clos|TLS/ ],
	[ 'EHLO inside TLS', 'resets', 'ehlo #2 reset', 'account', qr/reset|clos/ ],
	[ 'EHLO inside TLS', 'hesitates', 'ehlo #2 wait go default', 'sent' ],
	[ 'EHLO inside TLS', 'hesitates and hangs up', 'ehlo #2 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'AUTH', 'says 421', 'auth #1 reply "421 4.3.2 shutting down"', 'account', qr/AUTH answered: 421/ ],
	[ 'AUTH', 'says 454', 'auth #1 reply "454 4.7.0 no database"', 'account', qr/AUTH answered: 454/ ],
	[ 'AUTH', 'says 535', 'auth #1 reply "535 5.7.8 no"', 'account', qr/AUTH answered: 535.*password/ ],
	[ 'AUTH', 'asks for more than there is', 'auth #1 reply "334 "', 'account', qr/asks for more/ ],
	[ 'AUTH', 'hangs up', 'auth #1 drop', 'account', qr/clos|TLS/ ],
	[ 'AUTH', 'resets', 'auth #1 reset', 'account', qr/reset|clos/ ],
	[ 'AUTH', 'hesitates', 'auth #1 wait go default', 'sent' ],
	[ 'AUTH', 'hesitates and hangs up', 'auth #1 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'MAIL', 'says 421', 'mail #1 reply "421 4.3.2 shutting down"', 'account', qr/MAIL answered: 421/ ],
	[ 'MAIL', 'says 450', 'mail #1 reply "450 4.2.0 not now"', 'message', qr/MAIL answered: 450/ ],
	[ 'MAIL', 'says 451 4.3.0', 'mail #1 reply "451 4.3.0 disk full"', 'account', qr/MAIL answered: 451/ ],
	[ 'MAIL', 'says 530', 'mail #1 reply "530 5.7.0 log in first"', 'account', qr/MAIL answered: 530.*login/ ],
	[ 'MAIL', 'says 550', 'mail #1 reply "550 5.6.0 not this"', 'failed', qr/MAIL answered: 550 5\.6\.0 not this/ ],
	[ 'MAIL', 'says 553 5.7.1', 'mail #1 reply "553 5.7.1 not as this sender"', 'sender', qr/MAIL answered: 553.*`from`/ ],
	[ 'MAIL', 'says 354', 'mail #1 reply "354 go ahead"', 'account', qr/MAIL answered: 354/ ],
	[ 'MAIL', 'hangs up', 'mail #1 drop', 'account', qr/clos|TLS/ ],
	[ 'MAIL', 'resets', 'mail #1 reset', 'account', qr/reset|clos/ ],
	[ 'MAIL', 'hesitates', 'mail #1 wait go default', 'sent' ],
	[ 'MAIL', 'hesitates and hangs up', 'mail #1 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'RCPT', 'says 421', 'rcpt #1 reply "421 4.3.2 shutting down"', 'account', qr/RCPT answered: 421/ ],
	[ 'RCPT', 'says 450', 'rcpt #1 reply "450 4.2.1 mailbox busy"', 'message', qr/RCPT answered: 450/ ],
	[ 'RCPT', 'says 451 4.7.1 greylisted', 'rcpt #1 reply "451 4.7.1 Greylisted, come back"', 'message', qr/RCPT answered: 451/ ],
	[ 'RCPT', 'says 452 4.7.0', 'rcpt #1 reply "452 4.7.0 too fast"', 'account', qr/RCPT answered: 452/ ],
	[ 'RCPT', 'says 550', 'rcpt #1 reply "550 5.1.1 nobody here"', 'failed', qr/RCPT answered: 550 5\.1\.1 nobody here/ ],
	[ 'RCPT', 'says 354', 'rcpt #1 reply "354 go ahead"', 'account', qr/RCPT answered: 354/ ],
	[ 'RCPT', 'hangs up', 'rcpt #1 drop', 'account', qr/clos|TLS/ ],
	[ 'RCPT', 'resets', 'rcpt #1 reset', 'account', qr/reset|clos/ ],
	[ 'RCPT', 'hesitates', 'rcpt #1 wait go default', 'sent' ],
	[ 'RCPT', 'hesitates and hangs up', 'rcpt #1 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'DATA', 'says 421', 'data #1 reply "421 4.3.2 shutting down"', 'account', qr/DATA answered: 421/ ],
	[ 'DATA', 'says 451', 'data #1 reply "451 4.6.0 not now"', 'message', qr/DATA answered: 451/ ],
	[ 'DATA', 'says 550', 'data #1 reply "550 5.6.0 not this"', 'failed', qr/DATA answered: 550/ ],
	[ 'DATA', 'says 250', 'data #1 reply "250 2.0.0 ok"', 'account', qr/DATA answered: 250|do not match what it was asked/ ],
	[ 'DATA', 'hangs up', 'data #1 drop', 'account', qr/clos|TLS/ ],
	[ 'DATA', 'resets', 'data #1 reset', 'account', qr/reset|clos/ ],
	[ 'DATA', 'hesitates', 'data #1 wait go default', 'sent' ],
	[ 'DATA', 'hesitates and hangs up', 'data #1 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'the text', 'says 421 in the middle', 'text 1 #1 reply "421 4.3.2 shutting down" delay 200', 'account', qr/421|middle of a message/ ],
	[ 'the text', 'says 250 in the middle', 'text 1 #1 reply "250 2.0.0 taken" delay 200', 'account', qr/middle of a message/ ],
	[ 'the text', 'says 554 in the middle', 'text 1 #1 reply "554 5.6.0 stop it" delay 200', 'account', qr/middle of a message/ ],
	[ 'the text', 'hangs up in the middle', 'text 1 #1 delay 100 drop', 'account', qr/clos|reset|broke|middle/ ],
	[ 'the text', 'resets in the middle', 'text 1 #1 delay 100 reset', 'account', qr/^(?!.*arrived).*(?:clos|reset|broke|middle)/ ],
	[ 'the text', 'hesitates in the middle', 'text 100000 #1 wait go', 'sent' ],
	[ 'the text', 'hesitates in the middle and hangs up', 'text 100000 #1 wait go drop', 'account', qr/clos|reset|TLS|middle|arrived/ ],

	[ 'the final dot', 'says 421', 'dot #1 reply "421 4.3.2 shutting down"', 'account', qr/final dot answered: 421/ ],
	[ 'the final dot', 'says 451', 'dot #1 reply "451 4.6.0 not now"', 'message', qr/final dot answered: 451/ ],
	[ 'the final dot', 'says 452 over quota', 'dot #1 reply "452 4.7.0 too many concurrent messages"', 'account', qr/final dot answered: 452/ ],
	[ 'the final dot', 'says 554', 'dot #1 reply "554 5.6.0 spam"', 'failed', qr/final dot answered: 554 5\.6\.0 spam/ ],
	[ 'the final dot', 'says 550 5.4.5 limit', 'dot #1 reply "550 5.4.5 daily limit"', 'account', qr/final dot answered: 550.*limit/ ],
	[ 'the final dot', 'says 354 again', 'dot #1 reply "354 go on"', 'account', qr/final dot answered: 354/ ],
	[ 'the final dot', 'hangs up', 'dot #1 drop', 'account', qr/may have arrived/ ],
	[ 'the final dot', 'resets', 'dot #1 reset', 'account', qr/may have arrived/ ],
	[ 'the final dot', 'keeps it and hangs up', 'dot #1 keep drop', 'doubt', qr/may have arrived/ ],
	[ 'the final dot', 'hangs up in the middle of its yes', 'dot #1 keep send "250 2.0.0 ta" drop', 'doubt', qr/may have arrived/ ],
	[ 'the final dot', 'says yes and hangs up', 'dot #1 default drop', 'sent' ],
	[ 'the final dot', 'says yes and resets', 'dot #1 default delay 50 reset', 'sent' ],
	[ 'the final dot', 'hesitates', 'dot #1 wait go default', 'sent' ],
	[ 'the final dot', 'hesitates and hangs up', 'dot #1 wait go drop', 'account', qr/may have arrived/ ],

	[ 'QUIT', 'says 421', 'quit #1 reply "421 4.3.2 shutting down"', 'sent' ],
	[ 'QUIT', 'says 500', 'quit #1 reply "500 5.5.1 what?"', 'sent' ],
	[ 'QUIT', 'says nonsense', 'quit #1 reply "so long"', 'sent' ],
	[ 'QUIT', 'hangs up', 'quit #1 drop', 'sent' ],
	[ 'QUIT', 'resets', 'quit #1 reset', 'sent' ],
	[ 'QUIT', 'hesitates', 'quit #1 wait go default', 'sent' ],
	[ 'QUIT', 'hesitates and hangs up', 'quit #1 wait go drop', 'sent' ],
);
my %IN_TRANSACTION = map { $_ => 1 } 'MAIL', 'RCPT', 'DATA', 'the final dot';

# -- what must be true, by the word of the table; each answers with complaints

sub after_sent
{
	return wait_empty() ? () : 'it is still in the queue';
}

sub after_account
{
	my ($s, $reason) = @_;
	my ($row) = rows();
	my (@wrong, $why);

	push @wrong, 'the account is not down' if log_text() !~ / down account=default /;
	return (@wrong, 'it is not in the queue') if !$row;
	push @wrong, "its state is $row->{state}" if $row->{state} ne 'waiting';
	push @wrong, "it has $row->{tries} tries" if $row->{tries} != 0;
	push @wrong, "the reason is: $row->{reason}" if $row->{reason} !~ $reason;
	($why) = subpost('queue')->{out} =~ /^account default is down since .*?: (.*)$/m;
	push @wrong, 'the list does not say why the account is down' if ($why // '') !~ $reason;
	return (@wrong, try_again($s));
}

sub after_message
{
	my ($s, $reason) = @_;
	my @wrong;
	my ($row) = rows();

	push @wrong, 'the account is down' if log_text() =~ / down account=default /;
	return (@wrong, 'it is not in the queue') if !$row;
	push @wrong, "its state is $row->{state}" if $row->{state} ne 'waiting';
	push @wrong, "it has $row->{tries} tries" if $row->{tries} != 1;
	push @wrong, "the reason is: $row->{reason}" if $row->{reason} !~ $reason;
	return (@wrong, try_again($s));
}

# One connection and one MAIL so far: nobody hammers a door that was shut.
sub try_again
{
	my $s = shift;
	my @wrong;
	my $connections = connections($s);
	my $mails = () = commands($s, 'MAIL');

	push @wrong, "$connections connections and $mails MAILs before anybody asked"
	    if $connections != 1 || $mails > 1;
	push @wrong, 'retry failed' if subpost('retry', '--force', 'all')->{status} != 0;
	push @wrong, 'it is still in the queue after a retry' if !wait_empty();
	return @wrong;
}

sub after_failed
{
	my ($s, $reason) = @_;
	my (@wrong, @notices);

	push @wrong, 'it is still in the queue' if !wait_empty();
	my ($row) = rows();
	push @wrong, 'the account is down' if log_text() =~ / down account=default /;
	return (@wrong, 'it is not in failed/') if !$row;
	push @wrong, "its state is $row->{state}" if $row->{state} ne 'failed';
	push @wrong, "the reason is: $row->{reason}" if $row->{reason} !~ $reason;
	@notices = arrived($s, $NOTICE);
	push @wrong, @notices . ' notices' if @notices != 1;
	push @wrong, 'the notice does not say why' if @notices && $notices[0]{eml} !~ $reason;
	push @wrong, "the notice's sender is $notices[0]{from}" if @notices && $notices[0]{from} !~ /^<>/;
	return @wrong;
}

my %AFTER = (
	sent => \&after_sent,
	sender => \&after_message,
	account => \&after_account,
	doubt => \&after_account,
	message => \&after_message,
	failed => \&after_failed,
);
my %ARRIVALS = (sent => 1, account => 1, message => 1, sender => 1, doubt => 2, failed => 0);
# The log's word for: the first try is over.
my %FIRST = (sent => qr/ sent /, account => qr/ down /, doubt => qr/ down /,
	message => qr/ deferred /, sender => qr/ deferred /, failed => qr/ failed /);

# While the server hesitates the message is where it was, and nobody else has it.
sub wait_for_hesitation
{
	my ($s, $stage) = @_;
	my %heard = (
		connect => qr/^-- connect 1/m, 'the greeting' => qr/^-- connect 1/m,
		EHLO => qr/^C: EHLO /m, STARTTLS => qr/^C: STARTTLS/m, 'the handshake' => qr/^S: 220 2/m,
		'EHLO inside TLS' => qr/^C: EHLO .*^C: EHLO /ms, AUTH => qr/^C: AUTH /m,
		MAIL => qr/^C: MAIL /m, RCPT => qr/^C: RCPT /m, DATA => qr/^C: DATA/m,
		'the text' => qr/^S: 354 /m, 'the final dot' => qr/^C: <text/m, QUIT => qr/^C: QUIT/m,
	);
	my @wrong;

	wait_for(sub { $s->dialogue =~ $heard{$stage} }, 10, "the server to hear of $stage")
	    or push @wrong, 'the stage was not reached';
	push @wrong, 'the message has left the queue too early' if $stage ne 'QUIT' && queue_ids() != 1;
	$s->release('go');
	return @wrong;
}

sub try_cell
{
	my ($stage, $script, $becomes, $reason, %o) = @_;
	my $s = smarthost(script => $script, args => $o{args});
	my $text = $stage ne 'the text' ? $SMALL : $script =~ /delay/ ? $HUGE : $LARGE;
	my (@wrong, $r, @ours);

	ini(%{ $o{ini} // {} });
	$r = sendmail([ 'bob@example.org' ], $text);
	push @wrong, "sendmail ended with $r->{status}: $r->{err}" if $r->{status} != 0 || $r->{err} ne '';
	push @wrong, wait_for_hesitation($s, $stage) if $script =~ /\bwait go\b/;
	log_has($FIRST{$becomes}, 15)
	    or push @wrong, 'the log says: ' . log_text();
	wait_for(sub { couriers() == 0 }, 10, 'the courier to leave')
	    or push @wrong, 'the courier does not leave';
	push @wrong, $AFTER{$becomes}->($s, $reason // qr/^/);
	@ours = arrived($s, 'letter');
	push @wrong, 'it arrived ' . @ours . ' times' if @ours != $ARRIVALS{$becomes};
	push @wrong, 'a notice was sent' if $becomes ne 'failed' && arrived($s, $NOTICE);
	push @wrong, 'it has been changed' if grep { $_->{eml} ne $ours[0]{eml} } @ours;
	push @wrong, "it blames the account: " . log_text() if $becomes eq 'sent' && log_text() =~ / down /;
	push @wrong, $s->violations;
	diag($s->dialogue, log_text()) if @wrong;
	start_anew($s);
	return @wrong;
}

# -- the table

for my $row (@TABLE) {
	my ($stage, $does, $script, $becomes, $reason) = @$row;

	is(join('; ', try_cell($stage, $script, $becomes, $reason)), '', "$stage: the server $does: $becomes");
	$cells++;
}

# The same in lock-step, where each command waits for the answer to the last.
for my $row (grep { $IN_TRANSACTION{ $_->[0] } } @TABLE) {
	my ($stage, $does, $script, $becomes, $reason) = @$row;

	is(join('; ', try_cell($stage, $LOCK_STEP . $script, $becomes, $reason)), '',
	    "$stage, without PIPELINING: the server $does: $becomes");
	$cells++;
}

# Without TLS and login nothing stands between EHLO and MAIL.
for my $row (grep { $_->[0] eq 'MAIL' || $_->[0] eq 'the final dot' } @TABLE) {
	my ($stage, $does, $script, $becomes, $reason) = @$row;

	next if $becomes eq 'sent';
	is(join('; ', try_cell($stage, $script, $becomes, $reason, args => [ '--plain', '--no-auth' ],
	    ini => { smarthost => { auth => 'none', user => undef, 'password-file' => undef } })), '',
	    "$stage, without TLS and login: the server $does: $becomes");
	$cells++;
}

# -- nobody there at all

{
	my $s = smarthost();
	my $port = $s->port;
	my $r;

	ini();
	$s->stop;
	$r = sendmail([ 'bob@example.org' ], $SMALL);
	is($r->{status}, 0, 'a message is taken while nobody answers at the smarthost');
	log_has(qr/ down /);
	like(((rows())[0] // {})->{reason}, qr/refused/, 'the list says that the connection was refused');
	is(((rows())[0] // {})->{tries}, 0, 'and the message is not blamed');
	my $again = smarthost(args => [ '-p', $port ]);
	ini();
	is(subpost('retry', 'all')->{status}, 0, 'when the smarthost is back, a retry');
	ok($again->wait_messages(1), 'sends it');
	ok(wait_empty(), 'and empties the queue');
	is(scalar(my @m = $again->messages), 1, 'once');
	start_anew($again);
}

# -- the machine at the far end dies while it has the message

{
	my $s = smarthost(script => 'dot wait never default');
	my $port = $s->port;
	my $id;

	ini();
	is(sendmail([ 'bob@example.org' ], $SMALL)->{status}, 0, 'a message is taken for a server that is about to die');
	wait_for(sub { $s->dialogue =~ /^C: <text/m }, 10, 'the final dot');
	($id) = queue_ids();
	is(((rows())[0] // {})->{state}, 'sending', 'while its answer is awaited, the list says: sending');
	is(subpost('retry', $id)->{status}, 75, 'a retry of it is refused for now');
	like(subpost('delete', $id)->{err}, qr/being sent just now/, 'and to delete it, too, with the reason');
	is(scalar(queue_ids()), 1, 'and it is still there');
	kill 'KILL', $s->pid;
	wait_for(sub { $s->has_ended }, 10, 'the smarthost to die');
	$s->{status} = 0;
	log_has(qr/ down /);
	like(((rows())[0] // {})->{reason}, qr/may have arrived/, 'when the server is dead, the list says that it may have arrived');
	my $again = smarthost(args => [ '-p', $port ]);
	ini();
	subpost('retry', 'all');
	ok($again->wait_messages(1), 'the one that is started in its place gets it');
	ok(wait_empty(), 'and the queue is empty');
	start_anew($again);
}

note("$cells cells");
done_testing;
