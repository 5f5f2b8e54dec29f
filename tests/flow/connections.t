# How many connections there are: one where one is enough, more where so many wait that
# each pays for itself, none that the server does not want; and how long one is kept.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Time::HiRes qw(sleep time);
use Witness;

time_limit(240);

my %FAST = (auth => 'none', user => undef, 'password-file' => undef);
my $s;

# Lets that many messages wait while nobody answers, and then a smarthost be there.
sub let_wait
{
	my ($n, $script, $args, %keys) = @_;

	start_anew($s ? $s : ());
	ini(smarthost => { nobody_answers() });
	for my $i (1 .. $n) {
		is(sendmail([ 'ann@example.org' ], "Subject: m$i\n\nbody\n")->{status}, 0, "message $i waits") if $i == $n;
		sendmail([ 'ann@example.org' ], "Subject: m$i\n\nbody\n") if $i < $n;
	}
	log_has(qr/ down /);
	wait_for(sub { !couriers() }, 10, 'the courier to leave');
	kill 'TERM', runner_pid() // ();
	wait_no_runner();
	$s = smarthost(args => $args, script => $script);
	ini(smarthost => { $args->[0] eq '--plain' ? %FAST : (), %keys });
	subpost('retry', 'all');
}

sub all_once
{
	my $n = shift;

	return scalar(grep { got($s, "m$_") ne 'ann' } 1 .. $n) == 0;
}

my @PLAIN = ('--plain', '--no-auth');

# -- how many

{
	let_wait(7, 'mail delay 20 default', \@PLAIN, connections => 20);
	ok(wait_empty(20), 'seven that wait are sent');
	is(connections($s), 1, 'over one connection, whatever may be');
	let_wait(60, 'mail delay 20 default', \@PLAIN, connections => 3);
	ok(wait_empty(30), 'sixty are sent');
	is(connections($s), 3, 'over as many as may be');
	ok(all_once(60), 'each once');
	let_wait(60, 'mail delay 20 default', \@PLAIN, connections => 1);
	ok(wait_empty(30) && connections($s) == 1, 'or one, where only one may be');
}

# -- until a login stands, nobody else logs in

{
	let_wait(60, 'auth #1 delay 300 default', [ '--starttls' ], connections => 4);
	ok(wait_empty(60), 'with a login that nobody has tried yet all are sent');
	my ($first) = $s->dialogue =~ /\A(.*?^S: 235)/ms;
	is(scalar(() = ($first // '') =~ /^-- connect /mg), 1, 'the first logs in alone');
	cmp_ok(connections($s), '>', 1, 'and others join it when that is good');
	like(slurp(spool() . '/health'), qr/^login default \S+ [0-9a-f]{32}$/m, 'which is remembered');
	ok(all_once(60), 'and all arrive once');
}

# -- a server that takes only one

{
	let_wait(60, 'greeting #2- reply "421 4.7.0 too many connections from you"' . "\nmail delay 20 default",
	    \@PLAIN, connections => 5);
	ok(wait_empty(60), 'a server that takes but one connection gets all over that one');
	ok(all_once(60), 'each once');
	like(log_text(), qr/ full account=default connections=1 reason=[^\n]*too many connections/, 'the log tells why');
	my ($since) = log_text() =~ /(sent id=.*)\z/s;
	unlike($since // 'nothing', qr/ down /, 'and the account was not down for it');
	cmp_ok(connections($s), '<=', 6, 'nor is it asked again for each message');
}

# -- how long one is kept

{
	start_anew($s);
	$s = smarthost(args => \@PLAIN);
	ini(smarthost => { %FAST, 'keep-open' => '60s' });
	for (1 .. 3) {
		is(sendmail([ 'ann@example.org' ], "Subject: m$_\n\nbody\n")->{status}, 0, 'a message comes');
		ok(wait_empty(), 'and is sent');
	}
	is(connections($s), 1, 'while a connection is kept open the next message goes by it');
	kill 'TERM', runner_pid() // ();
	ok(wait_no_runner(), 'but who is told to leave does not wait for that');
	like($s->dialogue, qr/^C: QUIT/m, 'and says goodbye');
	is(scalar(couriers()), 0, 'with his courier');
}

{
	start_anew($s);
	$s = smarthost(args => \@PLAIN);
	ini(smarthost => { %FAST, 'keep-open' => undef });
	is(sendmail([ 'ann@example.org' ], "Subject: m\n\nbody\n")->{status}, 0, 'by default');
	ok(wait_empty(), 'a message is sent');
	my $sent = time;
	ok(wait_no_runner(), 'and after a while everybody leaves');
	cmp_ok(time - $sent, '>=', 1.5, 'but not before two seconds have passed');
}

# -- the server's own end of a session

{
	let_wait(50, 'mail #5 reply "421 4.4.2 five is enough"' . "\nmail #11 drop\nmail #22 reset", \@PLAIN,
	    connections => 1, 'messages-per-connection' => 8);
	ok(wait_empty(60), 'connections that end, by us or by them, are followed by others');
	ok(all_once(50), 'each arrives once');
}

{
	let_wait(30, "mail ~poison reply \"421 4.3.2 not this\"", \@PLAIN, connections => 1);
	ok(wait_empty(30), 'all is sent, and then');
	kill 'TERM', runner_pid() // ();
	wait_no_runner();
	$s->stop;
	ini(smarthost => { nobody_answers() });
	sendmail([ '-f', $_ == 3 ? 'poison@example.net' : 'user@example.net', 'ann@example.org' ],
	    "Subject: p$_\n\nbody\n") for 1 .. 40;
	wait_for(sub { !couriers() }, 10, 'the courier to leave');
	kill 'TERM', runner_pid() // ();
	wait_no_runner();
	$s = smarthost(args => \@PLAIN, script => 'mail ~poison reply "421 4.3.2 not this"');
	ini(smarthost => { %FAST, connections => 1 });
	# Who goes to the back goes behind those who came before this second.
	sleep 1.1;
	subpost('retry', 'all');
	ok(wait_for(sub { queue_ids() == 1 }, 30, 'the others'), 'a message on which the server ends each session stops no other');
	is(scalar(grep { $_ != 3 && got($s, "p$_") ne 'ann' } 1 .. 40), 0, 'each of which arrives once');
	cmp_ok(connections($s), '<=', 6, 'nor is it tried again and again');
}

done_testing;
