# A list of servers: one that is dead costs the next message nothing, and is asked again
# when its time has come.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;

time_limit(120);

my %FAST = (auth => 'none', user => undef, 'password-file' => undef, port => undef, tls => 'none',
    'tls-name' => undef);
my (@s, $n);

# As many smarthosts as there are scripts.
sub begin
{
	my ($keys, @scripts) = @_;

	start_anew(@s);
	@s = map { smarthost(args => [ '--plain', '--no-auth' ], script => $_) } @scripts;
	ini(smarthost => { %FAST, host => hosts(), %{ $keys->{smarthost} // {} } }, queue => $keys->{queue} // {});
}

sub hosts
{
	return join ' ', @_, map { '127.0.0.1:' . $_->port } @s;
}

sub post
{
	return sendmail([ 'ann@example.org' ], 'Subject: m' . ++$n . "\n\nbody\n")->{status};
}

sub health { return slurp(spool() . '/health') // '' }
sub seen { return join ' ', map { connections($_) } @s }

# -- the first is dead

{
	begin({}, '');
	ini(smarthost => { %FAST, host => hosts('127.0.0.1:1') });
	is(post(), 0, 'where the first server of the list is dead, a message is taken');
	ok(wait_empty(), 'and sent at once');
	ok(wait_no_runner(), 'and nobody waits for anything');
	is(seen(), '1', 'by the next one');
	like(health(), qr/^server default 127\.0\.0\.1:1 down /m, 'the first is known to be down');
	like(health(), qr/^account default up$/m, 'the account is not');
	my $down = () = log_text() =~ / down /g;
	is(post(), 0, 'the next message');
	ok(wait_empty() && seen() eq '2', 'goes straight to the second');
	is(scalar(() = log_text() =~ / down /g), $down, 'and the first is left alone');
	unlike(subpost('status')->{out}, qr/is down/, 'nobody is told that mail waits');
}

# -- it comes back

{
	begin({ queue => { retry => '1s' } }, 'greeting #1 reply "421 4.3.2 not today"', '');
	is(post(), 0, 'where the first server has no time');
	ok(wait_empty() && seen() eq '1 1', 'the second takes the message');
	ok(wait_no_runner(), 'when its step is over');
	sleep 1.3;      # the step itself, by which nothing is awaited
	is(post(), 0, 'the next message');
	ok(wait_empty() && seen() eq '2 1', 'goes to the first again');
	unlike(health(), qr/ down /, 'which is well');
	ok(wait_no_runner(), 'then');
	is(post(), 0, 'and so');
	ok(wait_empty() && seen() eq '3 1', 'does the one behind it');
}

# -- in the middle of a message

{
	begin({}, 'mail #1 reply "421 4.3.2 closing"', '');
	is(post(), 0, 'where the first server ends the session at MAIL');
	ok(wait_empty() && seen() eq '1 1', 'the message goes by the second, at once');
	is(got($s[1], "m$n"), 'ann', 'once');
}

# -- all are dead

{
	begin({ queue => { retry => '2s 1h' } }, map { 'greeting #1 reply "421 4.3.2 not today"' } 1 .. 2);
	is(post(), 0, 'where all servers refuse');
	ok(log_has(qr/server=127\.0\.0\.1:\d+ scope=server[^\n]*\n(?:[^\n]*\n)*?[^\n]* down [^\n]*server=127/), 'each is asked once');
	like(subpost('status')->{out}, qr/default is down since .*not today/, 'and it is said why mail waits');
	ok(wait_empty(), 'until the first of them is asked again');
	like(seen(), qr/^(?:2 1|1 2)$/, 'which takes it');
}

# -- the account's trouble is not a server's

{
	begin({ queue => { retry => '1h' } }, 'mail #1 reply "550 5.4.5 daily sending quota exceeded"', '');
	is(post(), 0, 'where a quota is the trouble');
	ok(log_has(qr/ down account=default scope=account/), 'the account is down');
	is(seen(), '1 0', 'and the next server, who has the same, is not asked');
	unlike(health(), qr/^server .* down /m, 'no server is');
}

# -- one account's servers, all of them being asked, are no other's trouble

{
	my @keys = (%FAST, connections => 3);

	begin({ queue => { retry => '1s 1h' } }, (map { "greeting #1 reply \"421 4.3.2 not today\"\ngreeting #2 wait go default" } 1 .. 2), '');
	my $work = pop @s;
	ini(smarthost => { @keys, host => hosts() }, 'smarthost work' => { @keys, host => '127.0.0.1:' . $work->port,
	    recipients => '*@work.example' }, queue => { retry => '1s 1h' });
	push @s, $work;
	is(scalar(grep { post() } 1 .. 40), 0, 'where much waits for an account');
	ok(wait_for(sub { seen() eq '2 2 0' }, 10, 'both servers'), 'whose servers are both being asked again');
	is(sendmail([ 'ben@work.example' ], "Subject: work\n\nbody\n")->{status}, 0, 'a message by another');
	ok(wait_for(sub { got($work, 'work') eq 'ben' }, 5, 'it'), 'goes at once');
	$_->release('go') for @s[0, 1];
	ok(wait_empty(20), 'and then the rest');
}

done_testing;
