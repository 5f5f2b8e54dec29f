# When mail is tried again, and until when (RFC 5321 section 4.5.4.1).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Socket qw(getaddrinfo SOCK_STREAM AF_INET6);
use Time::HiRes qw(time);
use Witness;

time_limit(180);

my %FAST = (auth => 'none', user => undef, 'password-file' => undef);
my $AWAY = 'greeting #1-2 reply "421 4.3.2 not today"';
my $s;

sub begin
{
	my ($script, $queue, %keys) = @_;

	start_anew($s ? $s : ());
	$s = smarthost(args => [ '--plain', '--no-auth' ], script => $script);
	ini(smarthost => { %FAST, %keys }, queue => $queue);
}

sub post
{
	my ($subject, @to) = @_;

	return sendmail([ @to ? @to : 'ann@example.org' ], "Subject: $subject\n\nbody\n")->{status};
}

# The pauses that were told, in seconds.
sub pauses { return join ' ', log_text() =~ / down [^\n]* next=(\d+)/g }

# -- again

{
	begin($AWAY, { retry => '1s 2s 1h' });
	my $began = time;
	is(post('again'), 0, 'where a server has no time, a message is taken');
	ok(wait_empty(30), 'T-09: and tried again after the steps that the configuration names');
	is(got($s, 'again'), 'ann', 'until it is sent, once');
	cmp_ok(time - $began, '>=', 2.5, 'T-10: not before each of them is over');
	is(pauses(), '1 2', 'T-10: which grow from one to the next');
	is(connections($s), 3, 'and there is one attempt a step');
	begin($AWAY, {});
	post('default');
	ok(log_has(qr/ down /), 'by default');
	like(pauses(), qr/\A6[0-6]\z/, 'T-10: the first of them is a minute, drawn out by up to a tenth');
}

# -- not for ever

{
	begin('greeting reply "421 4.3.2 not today"', { retry => '1h', 'give-up-after' => '2s' });
	is(post('old'), 0, 'where a server never has time');
	# The runner looks at the ages every ten minutes, or when it is asked to.
	ok(wait_for(sub { subpost('retry', 'all'); scalar(queue_ids('failed')) }, 30, 'failed/'),
	    'T-11: a message that could not be sent for so long is given up');
	like(log_text(), qr/gave-up id=\S+ reason="given up after 2s; last: [^\n]*not today/, 'with the reason');
	ok(wait_for(sub { grep { (slurp(spool() . "/queue/$_") // '') =~ /given up after/ } queue_ids() }, 10, 'the report'),
	    'T-11: and its sender is told');
}

# -- one attempt for all

{
	begin('greeting reply "421 4.3.2 not today"', { retry => '1h' }, connections => 5);
	is(join('', map { post("many $_") } 1 .. 40), '0' x 40, 'where forty messages wait for a server that is away');
	ok(log_has(qr/ down /), 'it is known to be down');
	is(connections($s), 1, 'T-12: one connection tells for all of them');
	subpost('retry', 'all');
	ok(wait_for(sub { connections($s) > 1 }, 10, 'the next'), 'the next step');
	ok(wait_for(sub { pauses() =~ / / }, 10, 'another down'), 'is over');
	is(connections($s), 2, 'T-12: with one more');
	my @touched = glob spool() . '/queue/*.fate';
	is("@touched", '', 'and no message is touched for it');
}

# -- many recipients

{
	begin('', {});
	is(post('list', map { "r$_\@example.org" } 1 .. 60), 0, 'a message to sixty');
	ok(wait_empty(), 'is sent');
	is(scalar($s->messages), 1, 'T-13: as one copy');
	is(scalar(@{ ($s->messages)[0]{to} }), 60, 'for all of them');
}

# -- reports

{
	begin("rcpt ~nobody reply \"550 5.1.1 who?\"\nrcpt ~user\@ reply \"550 5.1.1 nor this one\"", {});
	is(post('gone', 'nobody@example.org'), 0, 'where a recipient is refused, and the report about it too');
	ok(wait_empty(), 'nothing is left in the queue');
	is(scalar(queue_ids('failed')), 2, 'message and report have failed');
	is(scalar(() = log_text() =~ / reported id=/g), 1, 'T-14: and no report is written about the report');
	unlike(log_text(), qr/ down /, 'nor is the account down for it');
}

# -- several addresses

SKIP: {
	my ($error, @all) = getaddrinfo('localhost', '', { socktype => SOCK_STREAM });

	skip 'localhost has no IPv6 address here', 2 if !grep { $_->{family} == AF_INET6 } @all;
	begin('', {}, host => 'localhost');
	is(post('other'), 0, 'where nobody listens at the first address of a name');
	ok(wait_empty() && got($s, 'other') eq 'ann', 'T-15: the next one is tried at once');
}

done_testing;
