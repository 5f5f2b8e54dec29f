# One wrong password must not lock the account: however many connections there may be, and
# whoever tries again, it is shown once a step; a mended one goes through at once.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;

time_limit(180);

my $SECRET = "$HOME/.config/subpost/password";
my ($s, $n);

sub begin
{
	my ($script, $keys, %queue) = @_;

	start_anew($s ? $s : ());
	$s = smarthost(script => $script);
	ini(smarthost => { connections => 20, %$keys }, queue => { retry => '1h', %queue });
}

sub password { return spew($SECRET, shift() . "\n", 0600) }
sub post { return sendmail([ 'ann@example.org' ], 'Subject: m' . ++$n . "\n\nbody\n")->{status} }
sub auths { return scalar(() = $s->dialogue =~ /^C: AUTH/mg) }
sub mechanisms { return join ' ', $s->dialogue =~ /^C: AUTH (\S+)/mg }
sub health { return slurp(spool() . '/health') // '' }
# Waits for one more line that says so.
sub downs { return scalar(() = log_text() =~ / down account/g) }

sub retry
{
	my $before = downs();

	subpost('retry', @_);
	return wait_for(sub { downs() > $before }, 20, 'the account to be down again');
}

# -- a wrong password

{
	begin('', {});
	password('wrong horse');
	is(join('', map { post() } 1 .. 30), '0' x 30, 'with a wrong password thirty messages are taken');
	ok(log_has(qr/ down account=default scope=account/), 'the account is down');
	is(auths(), 1, 'E7: one login is tried, though twenty connections may be');
	my @bad = grep { !retry('all') } 1 .. 10;
	is("@bad", '', 'ten times somebody tries again');
	utime undef, undef, "$HOME/.config/subpost/subpost.ini";
	my $before = downs();
	is(post(), 0, 'and touches the ini file');
	ok(wait_for(sub { downs() > $before }, 20, 'another down'), 'which makes it be looked at again');
	is(auths(), 1, 'it stays at that one login');
	like(subpost('status')->{out}, qr/still the same.*--force/, 'and it is said what to do');
	like(health(), qr/^refused default [0-9a-f]{32} \d{10} 1$/m, 'E7: the refusal is remembered by a fingerprint');
	unlike(health() . log_text(), qr/wrong horse/, 'and nowhere by the password');
	retry('all', '--force');
	is(auths(), 2, 'the operator may force one more');
	is(scalar(queue_ids()), 31, 'and nothing is lost, or bounced');
	password('correct horse');
	subpost('retry', 'all');
	ok(wait_empty(60), 'a mended password goes through at once');
	like(health(), qr/^login default \S+ [0-9a-f]{32}$/m, 'and is known to be good');
	unlike(health(), qr/ down /, 'the account is up');
}

# -- another one than the one that is known to be good

{
	password('worse horse');
	my ($before, $down) = (auths(), downs());
	is(join('', map { post() } 1 .. 40), '0' x 40, 'where a good password is replaced by a wrong one');
	ok(wait_for(sub { downs() > $down }, 20, 'another down'), 'the account is down again');
	is(auths() - $before, 1, 'after one login');
	password('correct horse');
	subpost('retry', 'all');
	ok(wait_empty(60), 'and with the good one all goes on');
}

# -- a server that offers SCRAM and has it not

{
	begin("offer \"AUTH SCRAM-SHA-256 PLAIN\"\nauth ~SCRAM reply \"535 5.7.8 no\"", {}, retry => '1s 1h');
	is(post(), 0, 'where SCRAM is offered and refused');
	ok(wait_empty(), 'the message is sent all the same');
	is(mechanisms(), 'SCRAM-SHA-256 PLAIN', 'A-17: the next step tries PLAIN');
	ok(wait_no_runner(), 'then');
	is(post(), 0, 'the next message');
	ok(wait_empty(), 'is sent');
	is(mechanisms(), 'SCRAM-SHA-256 PLAIN PLAIN', 'with what worked: that is remembered');
}

{
	begin("offer \"AUTH SCRAM-SHA-256 PLAIN\"\nauth reply \"535 5.7.8 no\"", {}, retry => '1s 1s 1s 1s 1h');
	is(post(), 0, 'where both are refused');
	ok(log_has(qr/still the same/), 'the password is known to be wrong');
	is(mechanisms(), 'SCRAM-SHA-256 PLAIN', 'after one login each');
}

# -- tokens

{
	my $count = "$T/tokens";
	my $helper = spew("$T/helper", "#!/bin/sh\necho x >> $count\necho token-\${SUBPOST_TOKEN:-kept}\n", 0755);

	begin("offer \"AUTH XOAUTH2\"\nauth #1 reply \"535 5.7.8 expired\"\nauth reply \"235 2.7.0 ok\"",
	    { 'token-command' => $helper, 'password-file' => undef });
	is(post(), 0, 'where a token has grown old');
	ok(wait_empty(), 'the message is sent, with another one');
	is(auths(), 2, 'at once, by the next courier');
	unlike(log_text(), qr/ down /, 'the account was not down for it');
	begin("offer \"AUTH XOAUTH2\"\nauth reply \"535 5.7.8 no\"", { 'token-command' => $helper, 'password-file' => undef });
	is(post(), 0, 'where no token is taken');
	ok(log_has(qr/ down account=default scope=account/), 'the account is down');
	is(auths(), 2, 'after two logins');
	like(log_text(), qr/ down [^\n]* next=3[6-9]\d\d /, 'and left alone for an hour');
}

done_testing;
