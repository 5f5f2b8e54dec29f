# Each recipient has an answer of his own, each message its own trouble, and a
# sender is told once of what will never arrive.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;
use Time::HiRes qw(sleep time);

time_limit(240);

my $NOTICE = 'Your message could not be delivered';
my $s;

# A configuration that tries again soon.
sub configure
{
	my %over = @_;

	ini(%over, queue => { retry => '1s', 'retry-refused' => '1s', %{ $over{queue} // {} } });
}

# A smarthost with that script, a clean queue, and those sections of the ini.
sub begin
{
	my ($script, %over) = @_;

	start_anew($s ? $s : ());
	$s = smarthost(script => $script);
	configure(%over);
}

sub text
{
	return "Subject: $_[0]\n\nbody of $_[0]\n";
}

# Queues a message and answers its id.
sub post
{
	my ($subject, $args, %o) = @_;
	my %before = map { $_ => 1 } queue_ids(), queue_ids('failed');
	my $r = sendmail($args, text($subject), %o);

	fail("$subject: sendmail ended with $r->{status}: $r->{err}") if $r->{status} != 0 || $r->{err} ne '';
	return (grep { !$before{$_} } queue_ids(), queue_ids('failed'))[0] // '';
}

# Several messages that wait together: each [ subject, argv ].  They come in
# while nothing listens, and go when it does.
sub post_together
{
	my ($script, $over, @letters) = @_;
	my (@ids, $port);

	begin('', %$over, queue => { retry => '1h' });
	$port = $s->port;
	$s->stop;
	push @ids, post(@$_) for @letters;
	log_has(qr/ down /);
	$s = smarthost(script => $script, args => [ '-p', $port ]);
	configure(%$over);
	subpost('retry', 'all');
	return @ids;
}

sub no_violations
{
	is(join('; ', $s->violations), '', "$_[0]: and no rule was broken");
}

sub outcomes
{
	my $row = row_of(shift);

	return join ' ', map { ($_->{address} =~ /^([^@]*)/)[0] . '=' . $_->{outcome} } @{ $row->{to} // [] };
}

my @TO = map { "$_\@example.org" } qw(ann ben cat dan eve);

# -- every answer there is, side by side in one transaction

{
	begin(join "\n", 'rcpt ~ann@ reply "250 2.1.5 ok"',
	    'rcpt ~ben@ reply "251 2.1.5 not here; I pass it on to <ben@example.com>"',
	    'rcpt ~cat@ reply "252 2.1.5 who knows"',
	    'rcpt #1-5 ~dan@ reply "450 4.2.1 mailbox busy"',
	    'rcpt ~dan@ wait seen default',
	    'rcpt ~eve@ reply "550 5.1.1 no such person here"');
	my $id = post('mixed', [ '-f', 'boss@example.net', @TO ]);

	ok(wait_for(sub { outcomes($id) =~ /dan=later eve=never/ }, 10, 'the outcomes'),
	    'of five recipients one is to wait and one is refused');
	$s->release('seen');
	ok($s->wait_messages(3), 'the refusal is told, and the one who was busy is tried again');
	ok(wait_empty(), 'then all is settled');
	is(got($s, 'mixed'), 'ann ben cat dan', 'S-20: 250, 251 and 252 get the message, 450 gets it later, each once');
	is(join(' ', map { "@{ $_->{to} }" } grep { $_->{number} == 3 } arrived($s, 'mixed')), '<dan@example.org>',
	    'only the one who was busy was asked again');
	my @rcpts = commands($s, 'RCPT TO:<dan');
	is(scalar @rcpts, 2, 'and he was asked twice in all');
	is(row_of($id)->{state}, 'failed', 'the message lies in failed/, for the one it did not reach');
	like(row_of($id)->{reason}, qr/RCPT answered: 550 5\.1\.1 no such person here/, 'with the words of the server');
	unlike(log_text(), qr/ down /, 'and the account was never blamed');

	my ($n, @more) = arrived($s, $NOTICE);
	is(defined $n && scalar @more, 0, 'there is one notice');
	$n //= { from => '', to => [], eml => '' };
	like($n->{from}, qr/^<>/, 'it comes with a null sender');
	is("@{ $n->{to} }", '<boss@example.net>', "goes to the message's sender");
	like($n->{eml}, qr/^From: [^\r]*<user\@example\.net>\r$/m, "its From: is the account's address");
	like($n->{eml}, qr/^To: boss\@example\.net\r$/m, 'its To: is the sender');
	like($n->{eml}, qr/^Auto-Submitted: auto-replied\r$/m, 'it says that nobody wrote it');
	like($n->{eml}, qr/^  eve\@example\.org\r\n.*no such person here/m, 'it names the recipient and the words of the server');
	unlike($n->{eml}, qr/(?:ann|ben|cat|dan)\@example/, 'and nobody else');
	like($n->{eml}, qr/subpost retry \Q$id\E/, 'and what can be done');
	no_violations('every answer');

	# What was refused can be tried again when the cause is mended.
	my $port = $s->port;
	$s->stop;
	wait_no_runner();
	$s = smarthost(args => [ '-p', $port ]);
	configure();
	is(subpost('retry', $id)->{status}, 0, 'a failed message can be tried again by hand');
	ok($s->wait_messages(1), 'and goes');
	is(got($s, 'mixed'), 'eve', 'to the one who was refused, and to no other');
	ok(wait_for(sub { !queue_ids('failed') && !queue_ids() }, 10, 'an empty queue'), 'then nothing is left of it');
}

# -- the notice

{
	begin(join "\n", 'rcpt ~ann@ reply "550 5.1.1 no ann"', 'rcpt ~ben@ reply "553 5.1.3 no ben"',
	    'rcpt #1-3 ~cat@ reply "450 4.2.1 busy"', 'rcpt ~cat@ reply "550 5.1.1 no cat after all"');
	my $id = post('two notices', [ @TO[0 .. 2] ]);

	ok($s->wait_messages(2), 'those refused now and those refused later are told of');
	ok(wait_empty(), 'and that is all');
	my @n = arrived($s, $NOTICE);
	is(scalar @n, 2, 'in a notice for each time');
	push @n, { eml => '' } while @n < 2;
	like($n[0]{eml}, qr/ann\@example\.org.*no ann.*ben\@example\.org.*no ben/s, 'the first names both who were refused');
	unlike($n[0]{eml}, qr/cat\@/, 'and not the one who might still get it');
	like($n[1]{eml}, qr/cat\@example\.org.*no cat after all/s, 'the second names the one who was refused later');
	unlike($n[1]{eml}, qr/ann\@|ben\@/, 'and none of those already told');
	is(got($s, 'two notices'), '', 'and nobody got the message');
}

{
	begin("rcpt ~ann\@ reply \"550 5.1.1 no ann\"\nrcpt #1-2 ~ben\@ reply \"450 4.2.1 busy\"", queue => { 'retry-refused' => '1h' });
	my $id = post('retry all', [ @TO[0, 1] ]);

	log_has(qr/ reported /);
	is(outcomes($id), 'ann=never ben=later', 'one recipient is refused, one is to wait');
	is(subpost('retry', 'all')->{status}, 0, 'a retry of all that waits');
	ok(wait_empty(), 'goes at once');
	is(got($s, 'retry all'), 'ben', 'to the one who was to wait');
	is(scalar(my @r = commands($s, 'RCPT TO:<ann')), 1, 'and does not ask again for the one refused');
	is(scalar(arrived($s, $NOTICE)), 1, 'of whom the sender has been told once');
}

{
	begin("mail ~FROM:<> reply \"550 5.6.0 we take no such thing\"\nrcpt ~ann\@ reply \"550 5.1.1 no ann\"");
	post('no second notice', [ $TO[0] ]);

	ok(wait_for(sub { queue_ids('failed') == 2 && !queue_ids() }, 10, 'two failed messages'),
	    'a refused notice lies in failed/ beside its message');
	ok(wait_no_runner(), 'and the runner leaves');
	is(scalar(my @m = $s->messages), 0, 'no notice is made of a notice');
	is(scalar(my @c = commands($s, 'MAIL FROM:<>')), 1, 'and nobody insists on it');
}

for my $reply ('454 4.7.0 Temporary trouble', '554 5.7.1 Access denied', '503 5.5.1 not that') {
	begin("mail ~FROM:<> reply \"$reply\"\nrcpt ~ann\@ reply \"550 5.1.1 no ann\"");
	post('report and health', [ $TO[0] ]);
	log_has(qr/ deferred .*from=<> /);
	post('after the report', [ $TO[1] ]);
	ok($s->wait_messages(1), "a notice refused by $reply holds up nobody else");
	unlike(log_text(), qr/ down /, 'and the account is not blamed for it');
}

{
	begin('rcpt ~ann@ reply "550 5.1.1 no ann"');
	my $id = post('null sender', [ '-f', '<>', @TO[0, 1] ]);

	ok(wait_for(sub { queue_ids('failed') == 1 && !queue_ids() }, 10, 'the message in failed/'),
	    'a message with a null sender that is refused lies in failed/');
	ok(wait_no_runner(), 'and the runner leaves');
	is(row_of($id)->{state}, 'failed', 'the list says failed');
	is(scalar(arrived($s, $NOTICE)), 0, 'and nobody is told, since there is nobody to tell');
	is(got($s, 'null sender'), 'ben', 'the other recipient has it');
	like(((arrived($s, 'null sender'))[0] // {})->{from} // '', qr/^<>/, 'with the null sender it was given');
}

# -- many are refused in one message that takes many transactions

{
	my @to = map { "r$_\@example.org" } 1 .. 95;
	my @n;

	begin("rcpt ~user\@ reply \"250 2.1.5 ok\"\nrcpt reply \"550 5.1.1 no such user\"", smarthost => { 'recipients-per-message' => 10 });
	post('refused by the dozen', \@to);
	ok(wait_for(sub { @n = arrived($s, $NOTICE); @n }, 10, 'the notice') && wait_empty(), 'refused in ten transactions');
	@n = arrived($s, $NOTICE);
	is(scalar @n, 1, 'they are told of in one notice');
	is(scalar(grep { $n[0]{eml} =~ /\b\Q$_\E\b/ } @to), scalar @to, 'which names them all');
}

# -- a notice survives the death of the runner, and is written once

{
	begin("rcpt ~ann\@ reply \"550 5.1.1 no ann\"\nmail #2 wait go default");
	post('killed before the notice', [ $TO[0] ]);
	ok(wait_for(sub { commands($s, 'MAIL FROM:<>') }, 10, 'the notice on its way'), 'a notice is on its way');
	ok(kill_dead(runner_pid()), 'and the runner is killed');
	subpost('retry', 'all');
	$s->release('go');
	ok(wait_for(sub { !queue_ids() && queue_ids('failed') == 1 }, 10, 'the queue to settle'), 'the next one settles everything');
	ok(wait_no_runner(), 'and leaves');
	is(scalar(arrived($s, $NOTICE)), 1, 'the notice came once');
}

{
	my ($n, $kills, $settled, $seed) = (25, 0, 0, 20240601);
	my %told;

	srand $seed;
	begin("delay-all 2\nrcpt ~nobody reply \"550 5.1.1 no such person\"");
	for my $i (1 .. $n) {
		post("killed $i", [ "nobody$i\@example.org" ]);
		sleep 0.001 * int rand 50;
		if (defined(my $pid = runner_pid())) {
			$kills += kill_dead($pid);
		}
		subpost('retry', 'all');
		$settled += wait_empty();
	}
	is($settled, $n, "$n refused messages settle, whenever the runner dies");
	$told{$_}++ for map { $_->{eml} =~ /(nobody\d+)\@/g } arrived($s, $NOTICE);
	is(scalar(keys %told), $n, 'the sender is told of each');
	is(join(' ', grep { $told{$_} != 1 } sort keys %told), '', 'once');
	is(scalar(queue_ids('failed')), $n, 'and each lies in failed/');
	note("seed $seed, the runner was killed $kills times");
}

# -- the connection ends among the recipients

{
	begin('rcpt #3 reply "421 4.3.2 shutting down"');
	post('goodbye in between', \@TO);
	ok(wait_empty(), '421 to the third of five: a new connection is made');
	is(got($s, 'goodbye in between'), 'ann ben cat dan eve', 'and all five get the message, once');
	is(connections($s), 2, 'over a second connection');
	is(scalar(arrived($s, $NOTICE)), 0, 'nobody is told of a failure');
}

{
	begin("rcpt ~ann\@ reply \"550 5.1.1 no ann\"\nrcpt #3 drop");
	post('refused before the end', \@TO);
	ok(wait_empty(), 'a refusal, and then the connection breaks: it is tried again');
	is(got($s, 'refused before the end'), 'ben cat dan eve', 'the others get the message, once');
	is(scalar(my @r = commands($s, 'RCPT TO:<ann')), 1, 'the one refused is not asked again');
	is(scalar(arrived($s, $NOTICE)), 1, 'and told of once');
}

# -- many recipients

my @MANY = map { "r$_\@example.org" } 0 .. 9;

{
	my $begun;

	begin('', smarthost => { 'recipients-per-message' => 3 });
	$begun = time;
	post('ten by three', \@MANY);
	ok(wait_empty(), 'ten recipients, three at a time');
	is(got($s, 'ten by three'), join(' ', map { "r$_" } 0 .. 9), 'all get the message, once');
	is(join(' ', map { scalar @{ $_->{to} } } arrived($s, 'ten by three')), '3 3 3 1', 'in four transactions');
	is(connections($s), 1, 'on one connection');
	cmp_ok(time - $begun, '<', 5, 'without waiting in between');
	no_violations('ten by three');
}

{
	begin('rcpt #2 reply "451 4.7.1 Greylisted, come back in five minutes"',
	    smarthost => { 'recipients-per-message' => 3 }, queue => { 'retry-refused' => '2s' });
	my $id = post('greylisted', \@MANY);

	ok($s->wait_messages(4), 'one who is greylisted in the first transaction does not delay the others');
	is(got($s, 'greylisted'), join(' ', map { "r$_" } 0, 2 .. 9), 'who get the message at once');
	is(connections($s), 1, 'on one connection');
	ok(wait_for(sub { row_of($id)->{tries} }, 5, 'the try'), 'it counts as a try of the message,');
	is(row_of($id)->{tries}, 1, 'as one');
	ok(wait_empty(), 'and the one who is greylisted');
	is(got($s, 'greylisted'), join(' ', map { "r$_" } 0 .. 9), 'gets it when the time has come, and nobody twice');
	unlike(log_text(), qr/ down /, 'the account was not blamed');
}

for my $reply ('452 4.5.3 too many recipients', '552 too many recipients') {
	begin("rcpt #4-10 reply \"$reply\"");
	post('more than it takes', \@MANY);
	ok(wait_empty(), "a server that takes three at a time and says $reply");
	is(got($s, 'more than it takes'), join(' ', map { "r$_" } 0 .. 9), 'serves all in the end, once');
	is(scalar(arrived($s, $NOTICE)), 0, 'and nobody is told of a failure');
}

# -- nobody is accepted

for my $case ([ 'with PIPELINING', '' ], [ 'with PIPELINING, and the server asks for the text all the same', "data reply \"354 go ahead\"\n" ],
    [ 'in lock-step', "offer \"SIZE 1000000\" 8BITMIME ENHANCEDSTATUSCODES \"AUTH PLAIN LOGIN\"\n" ]) {
	my ($how, $script) = @$case;

	post_together($script . 'rcpt ~no@ reply "550 5.1.1 no"', {},
	    [ 'none', [ map { "no\@$_.example.org" } 'a' .. 'c' ] ], [ 'next', [ $TO[0] ] ]);
	ok(wait_empty(), "all recipients are refused, $how");
	ok(wait_no_runner(), 'and the runner leaves');
	is(got($s, 'none') . '+' . got($s, 'next'), '+ann', 'nobody gets that message, and the next one goes');
	is(connections($s), 1, 'on the same connection');
	is(scalar(arrived($s, $NOTICE)), 1, 'the sender is told');
	is(scalar(() = (((arrived($s, $NOTICE))[0] // {})->{eml} // '') =~ /^  no\@/mg), 3, 'of all three at once');
	no_violations("nobody accepted, $how");
}

# -- many messages

{
	post_together('', {}, map { [ "letter $_", [ $TO[$_ % 5] ] ] } 1 .. 12);
	ok(wait_empty(), 'twelve messages');
	is(connections($s), 1, 'go over one connection');
	is(join(' ', map { got($s, "letter $_") } 1 .. 12), join(' ', map { $TO[$_ % 5] =~ /^(\w+)/ } 1 .. 12), 'each once');
	is(scalar(my @a = commands($s, 'AUTH')), 1, 'with one login');
	no_violations('twelve messages');
}

{
	post_together('', { smarthost => { 'messages-per-connection' => 2 } }, map { [ "letter $_", [ $TO[$_ % 5] ] ] } 1 .. 5);
	ok(wait_empty(), 'five messages, two a connection');
	is(connections($s), 3, 'go over three connections');
	is(join(' ', map { got($s, "letter $_") } 1 .. 5), join(' ', map { $TO[$_ % 5] =~ /^(\w+)/ } 1 .. 5), 'each once');
	unlike((log_text() =~ / sent .*/s) ? $& : '', qr/ down /, 'and a limit of ours is nobody\'s fault');
}

{
	begin('', smarthost => { 'messages-per-connection' => 2, 'recipients-per-message' => 2 });
	post('both limits', \@MANY);
	ok(wait_empty(), 'ten recipients, two at a time, two transactions a connection');
	is(got($s, 'both limits'), join(' ', map { "r$_" } 0 .. 9), 'all get the message, once');
	is(connections($s), 3, 'over three connections');
}

{
	begin('');
	my $r = sendmail([ '-t', 'ann@example.org', 'ann@EXAMPLE.ORG', 'ben@example.org' ],
	    "To: ann\@example.org, \"Ben\" <ben\@Example.Org>\nCc: ann\@example.org\nSubject: thrice\n\nbody\n");

	is($r->{status}, 0, 'a message names its recipients more than once');
	ok(wait_empty(), 'it goes');
	is(got($s, 'thrice'), 'ann ben', 'to each of them once');
}

# -- one message's own trouble

for my $case ([ '454 at MAIL', 'mail ~bad@ reply "454 4.7.0 Temporary trouble"', qr/454/ ],
    [ 'a hang-up at MAIL', 'mail ~bad@ drop', qr/clos/ ],
    [ '421 at RCPT', 'rcpt ~toxic@ reply "421 4.7.0 Try again later"', qr/421/ ],
    [ 'a reset at RCPT', 'rcpt ~toxic@ reset', qr/broke|clos/ ]) {
	my ($what, $script, $reason) = @$case;
	my ($bad, @good) = post_together($script, { queue => { 'retry-refused' => '1h' } },
	    [ 'bad', [ '-f', 'bad@example.net', 'toxic@example.org' ] ],
	    map { [ "good $_", [ $TO[$_] ] ] } 0 .. 3);

	ok(wait_for(sub { queue_ids() == 1 }, 15, 'the others to go'), "$what, for one message alone: the others go");
	is(join(' ', map { got($s, "good $_") } 0 .. 3), 'ann ben cat dan', 'each once');
	ok(wait_for(sub { (row_of($bad)->{tries} // 0) == 1 }, 15, 'its own trouble to be its own'), 'and the trouble is its own from then on');
	like(row_of($bad)->{reason}, $reason, 'the list says what it is');
	ok(wait_for(sub { log_text() =~ / up [^\n]*\n(?!.* down )/s }, 5, 'the account to be up'), 'and the account is not blamed any longer');
	post('one more', [ $TO[4] ]);
	ok($s->wait_messages(5), 'what comes later goes at once');
}

{
	my ($bad) = post_together('mail ~other@ reply "553 5.7.1 <other@example.net>: not owned by user"', {},
	    [ 'other sender', [ '-f', 'other@example.net', $TO[0] ] ], [ 'own sender', [ $TO[1] ] ]);

	ok($s->wait_messages(1), 'a sender whom the account may not use is kept waiting, and others go');
	is(got($s, 'own sender'), 'ben', 'the right one');
	ok(wait_for(sub { row_of($bad)->{state} eq 'waiting' }, 5, 'its answer'), 'nothing is given up for that');
	like(row_of($bad)->{reason}, qr/not owned.*`from`/, 'and the list says what to mend');
	unlike((log_text() =~ / sent .*/s) ? $& : '', qr/ down /, 'the account goes on');
}

# -- a recipient's address cannot speak for the server

for my $name ('access.denied', 'account.suspended', '"relay access denied"', '"account suspended"', '"sending quota"', 'greylist') {
	begin("rcpt #1 reply \"550 5.7.1 <" . $name =~ s/"/\\"/gr . "\@example.org>: Recipient address rejected\"");
	my $id = post('echo', [ '--', "$name\@example.org" ]);

	ok(wait_for(sub { queue_ids('failed') && !queue_ids() }, 10, 'the refusal'), "a refused $name\@ is a refused recipient");
	unlike(log_text(), qr/ down /, 'and no trouble of the account');
}

start_anew($s);
done_testing;
