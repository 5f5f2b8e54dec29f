# Several accounts: which mail goes by which, each to its own servers, with its own login
# and address; what nobody carries is refused at once, and how all that is shown.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use JSON::PP;

my $TEXT = "Subject: hello\n\nbody\n";
my %sh = (default => smarthost(),
    work => smarthost(args => [ qw(--user work@work.example --password battery) ]),
    corp => smarthost(args => [ '--no-auth' ]));

spew("$HOME/.config/subpost/work", "battery\n", 0600);
sub account { my ($s, %keys) = @_; return { host => '127.0.0.1', 'tls-name' => 'localhost', port => $s->port,
    tls => $s->tls, 'tls-ca-file' => $s->ca, %keys } }
my %WORK = ('smarthost work' => account($sh{work}, user => 'work@work.example',
    'password-file' => "$HOME/.config/subpost/work", senders => '*@work.example'));
my %CORP = ('smarthost corp' => account($sh{corp}, auth => 'none', from => 'gate@corp.example', 'force-from' => 'yes',
    recipients => '*@corp.example'));
my %ALL = (-smarthost => $sh{default}, smarthost => { senders => '*@example.net' }, %WORK, %CORP);

my %before = map { $_ => 0 } keys %sh;

# Sends it, and waits until nothing is left: who got what, "account FROM > TO, TO; ...".
sub convey
{
	my ($args, $text) = @_;
	my $r = sendmail($args, $text // $TEXT);

	return "$r->{status} $r->{err}" if $r->{status} != 0;
	wait_empty() or return 'something is left';
	return join '; ', map {
		my @m = $sh{$_}->messages;
		my @new = @m[ $before{$_} .. $#m ];
		my $name = $_;

		$before{$name} = @m;
		map { my $f = $_->{from} =~ s/ .*//r; map({ "$name $f > $_" } join ', ', map { s/ .*//r } @{ $_->{to} }) } @new;
	} sort keys %sh;
}

sub status { return decode_json(subpost('status', '--json')->{out}) }
sub wait_down { my $name = shift; return wait_for(sub { grep { "$_->{name} $_->{state}" eq "$name down" } @{ status()->{accounts} } }, 10, "$name to be down") }
sub rows { return decode_json(subpost('queue', '--json')->{out}) }

# -- ways

ini(%ALL);
for my $row (
	[ 'the default account has what nobody else has', [ 'a@x.example' ], 'default <user@example.net> > <a@x.example>' ],
	[ 'a sender has an account', [ '-f', 'me@work.example', 'a@x.example' ], 'work <me@work.example> > <a@x.example>' ],
	[ 'in any case', [ '-f', 'me@WORK.Example', 'a@x.example' ], 'work <me@WORK.Example> > <a@x.example>' ],
	[ 'a recipient has one, whose address is forced', [ 'a@corp.example' ], 'corp <gate@corp.example> > <a@corp.example>' ],
	[ 'the first account of the file counts', [ '-f', 'me@work.example', 'a@corp.example' ],
	    'corp <gate@corp.example> > <a@corp.example>' ],
	[ 'a message goes by several, to each of its recipients once',
	    [ qw(a@x.example b@corp.example c@x.example d@corp.example) ],
	    'corp <gate@corp.example> > <b@corp.example>, <d@corp.example>; default <user@example.net> > <a@x.example>, <c@x.example>' ],
	[ 'the null sender is refused by nobody', [ '-f', '<>', 'a@x.example', 'b@corp.example' ],
	    'corp <> > <b@corp.example>; default <> > <a@x.example>' ]) {
	my ($what, $args, $wants) = @$row;

	is(convey($args), $wants, $what);
}
is_deeply([ map { my $n = $_; my %auth = map { ($_->{auth} // '') => 1 } $sh{$n}->messages; "$n: @{[ sort keys %auth ]}" } sort keys %sh ],
    [ 'corp: ', 'default: user@example.net', 'work: work@work.example' ], 'each with a login of its own');
like(($sh{corp}->messages)[0]{eml}, qr/^From: .*<?gate\@corp\.example>?\r$/m, 'the forced address stands in the header');
like(($sh{work}->messages)[0]{eml}, qr/^From: .*me\@work\.example/m, 'and where none is forced, the sender');

# -- what nobody carries

for my $row ([ 'a sender', [ '-f', 'me@y.example', 'a@x.example' ], qr/no account carries mail from me\@y\.example to a\@x\.example/ ],
    [ 'one of two recipients', [ '-f', 'me@y.example', 'b@corp.example', 'a@x.example' ], qr/from me\@y\.example to a\@x\.example/ ]) {
	my ($what, $args, $says) = @$row;
	my $r = sendmail($args, $TEXT);

	is($r->{status}, 77, "$what that no account carries is refused");
	like($r->{err}, $says, 'and named');
	is_deeply([ queue_ids() ], [], 'nothing is queued');
}
is(convey([ '-f', 'me@y.example', 'b@corp.example' ]), 'corp <gate@corp.example> > <b@corp.example>', 'whom one carries is taken');
{
	my $r = sendmail([ '-bs' ], "EHLO x\r\nMAIL FROM:<me\@y.example>\r\nRCPT TO:<a\@x.example>\r\nRCPT TO:<b\@corp.example>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n");

	like($r->{out}, qr/^250 2\.1\.0 .*\r\n550 5\.7\.1 no account carries .*\r\n250 2\.1\.5 .*\r\n354 .*\r\n250 /m,
	    'in a dialogue at RCPT, and the others go');
	wait_empty();
}

# -- how it is shown

like(subpost('explain', 'a@x.example', 'b@corp.example')->{out}, qr/^account  default: 127\.0\.0\.1 port \d+, address user\@example\.net
account  corp: 127\.0\.0\.1 port \d+, address gate\@corp\.example
account  work: .*
.*^  a\@x\.example, by default: 127\.0\.0\.1 port \d+, from user\@example\.net
  b\@corp\.example, by corp: 127\.0\.0\.1 port \d+, from gate\@corp\.example$/ms, 'explain names the accounts and the ways');
wait_no_runner();
ini(%ALL, 'smarthost corp' => { %{ $CORP{'smarthost corp'} }, port => 1 });
is(sendmail([ 'a@x.example', 'b@corp.example' ], $TEXT)->{status}, 0, '(a message of which one account is down)');
ok($sh{default}->wait_messages($before{default} + 1), 'one account that is down keeps no other back');
$before{default}++;
wait_down('corp');
{
	my ($row) = @{ rows() };

	is_deeply([ map { [ @$_{qw(address account outcome)} ] } @{ $row->{to} } ],
	    [ [ 'a@x.example', 'default', 'done' ], [ 'b@corp.example', 'corp', 'later' ] ], 'the list says which carries whom');
	cmp_ok($row->{next}, '>', time, 'and when that one is tried next');
	like(subpost('show', $row->{id})->{out}, qr/^to +a\@x\.example\nby +default\n +sent: .*\nto +b\@corp\.example\nby +corp\n.*^account +corp is down since /ms,
	    'show does, and why it waits');
	like(mailq()->{out}, qr/^account corp is down since .*\n(?!account)/m, 'the list names the account that is down');
	is_deeply([ map { "$_->{name} $_->{state}" } @{ status()->{accounts} } ], [ 'default up', 'corp down', 'work up' ],
	    'status all of them');
}
is(sendmail([ '-f', 'me@work.example', 'a@x.example' ], $TEXT)->{status}, 0, '(a message of another account)');
ok($sh{work}->wait_messages($before{work} + 1), 'mail of other accounts goes on');
$before{work}++;

# -- the configuration changes under what waits

ini(%ALL);
wait_empty();
is(scalar($sh{corp}->messages), $before{corp} + 2, 'a mended account has its mail');
$before{corp} += 2;
wait_no_runner();
ini(-smarthost => $sh{default}, smarthost => { port => 1 });
is(sendmail([ '-f', 'me@y.example', 'a@x.example' ], $TEXT)->{status}, 0, '(a message that waits)');
wait_down('default');
ini(-smarthost => $sh{default}, smarthost => { senders => '*@example.net' });
is(subpost('retry')->{status}, 0, '(a person wants it tried)');
ok(wait_for(sub { (rows()->[0]{reason} // '') =~ /no account carries mail from me\@y\.example to a\@x\.example/ }, 15, 'the reason'),
    'what nobody carries any more waits, and says so');
is(rows()->[0]{to}[0]{account}, '', 'by no account');
ini(-smarthost => $sh{default});
is(subpost('retry')->{status}, 0, '(and when that is mended)');
ok($sh{default}->wait_messages($before{default} + 1), 'it goes');
done_testing;
