# While an account is down its mail goes by the account that is named as its fallback; and
# comes back when it is up.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;

time_limit(120);

my (%s, $n);

# Smarthosts by the names of accounts, and the ini for them: name => [ script, keys ].
sub begin
{
	my ($queue, %accounts) = @_;
	my %ini;

	start_anew(values %s);
	%s = map { $_ => smarthost(args => [ '--plain', @{ $accounts{$_}[2] // [ '--no-auth' ] } ],
	    script => $accounts{$_}[0]) } keys %accounts;
	for my $name (keys %accounts) {
		$ini{ $name eq 'default' ? 'smarthost' : "smarthost $name" } = { host => '127.0.0.1',
			port => $s{$name}->port, tls => 'none', auth => 'none', from => 'user@example.net',
			'keep-open' => 0, 'tls-name' => undef, 'tls-ca-file' => undef, user => undef,
			'password-file' => undef, %{ $accounts{$name}[1] // {} } };
	}
	ini(%ini, queue => $queue);
}

sub post
{
	my ($to) = @_;

	$n++;
	return sendmail(ref $to ? $to : [ $to // 'ann@example.org' ], "Subject: m$n\n\nbody\n")->{status};
}

# Who got how many.
sub seen { return join ' ', map { "$_=" . scalar($s{$_}->messages) } sort keys %s }
sub health { return slurp(spool() . '/health') // '' }

# -- a server's trouble

{
	begin({ retry => '2s' }, default => [ 'greeting #1 reply "421 4.3.2 not today"', { fallback => 'spare' } ],
	    spare => [ '' ]);
	is(post(), 0, 'while a server refuses, a message is taken');
	ok(wait_empty(), 'and sent');
	is(seen(), 'default=0 spare=1', 'by the fallback');
	is(post(), 0, 'and the next');
	ok(wait_empty() && seen() eq 'default=0 spare=2', 'likewise');
	ok(wait_no_runner(), 'when the step is over');
	sleep 2.5;      # the step itself, by which nothing is awaited
	is(post(), 0, 'the next');
	ok(wait_empty() && seen() eq 'default=1 spare=2', 'goes by its own account again');
	unlike(health(), qr/ down /, 'which is up');
}

# -- a quota

{
	begin({ retry => '1h' }, default => [ 'mail #1 reply "550 5.4.5 daily sending quota exceeded"',
	    { fallback => 'spare' } ], spare => [ '' ]);
	is(post(), 0, 'with a quota that is used up');
	ok(wait_empty() && seen() eq 'default=0 spare=1', 'the same message goes by the fallback');
	is(got($s{spare}, "m$n"), 'ann', 'once');
	like(health(), qr/^account default down .* account 550 5\.4\.5 /m, 'the account waits');
}

# -- a wrong password

{
	begin({ retry => '1h' }, default => [ 'auth reply "535 5.7.8 no"', { fallback => 'spare', auth => 'plain',
	    user => 'user@example.net', 'password-file' => "$HOME/.config/subpost/password" }, [] ], spare => [ '' ]);
	is(post(), 0, 'with a password that is refused');
	ok(log_has(qr/ down account=default scope=account[^\n]*535/), 'the account is down');
	like(subpost('status')->{out}, qr/default is down since [^\n]*535/, 'that is said');
	is(seen() . scalar(queue_ids()), 'default=0 spare=01', 'and nothing goes another way behind the back of who must mend it');
}

# -- a chain

{
	my $away = 'greeting reply "421 4.3.2 not today"';

	begin({ retry => '1h' }, default => [ $away, { fallback => 'a' } ], a => [ $away, { fallback => 'b' } ],
	    b => [ '' ]);
	is(post(), 0, 'where the fallback is down as well');
	ok(wait_empty() && seen() eq 'a=0 b=1 default=0', 'its own fallback has the message');
}

# -- several accounts

{
	begin({ retry => '1h' }, default => [ 'greeting reply "421 4.3.2 not today"' ],
	    work => [ '', { recipients => '*@work.example' } ]);
	is(post('ann@example.org'), 0, 'mail of an account that is down');
	ok(log_has(qr/ down account=default/), 'waits');
	is(post('bob@work.example'), 0, 'that of another');
	ok(wait_for(sub { seen() eq 'default=0 work=1' }, 10, 'bob'), 'does not wait for it');
	is(post([ 'ann@example.org', 'cid@work.example', 'dan@example.org', 'eve@work.example' ]), 0,
	    'of a message for both');
	ok(wait_for(sub { got($s{work}, "m$n") eq 'cid eve' }, 10, 'cid and eve'), 'those get it whose account is up');
	is(scalar(queue_ids()), 2, 'and it waits for the others');
	like(subpost('show', (queue_ids())[1])->{out}, qr/^to +cid\@work\.example\nby +work\n +sent: /m, 'as the list tells');
}

{
	begin({}, default => [ '' ], work => [ '', { recipients => '*@work.example' } ]);
	is(post([ 'ann@example.org', 'cid@work.example', 'dan@example.org' ]), 0, 'where all are up');
	ok(wait_empty(), 'a message for both');
	is(got($s{default}, "m$n") . ', ' . got($s{work}, "m$n"), 'ann dan, cid', 'goes to each by its own account, once');
	is(seen(), 'default=1 work=1', 'with one transaction each');
}

done_testing;
