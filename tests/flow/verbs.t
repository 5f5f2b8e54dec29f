# The command for people, in an office of one's own: what is held stays, what is
# released goes, and how things stand is told in a few lines.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use JSON::PP;

my %DOWN = (port => 1, tls => 'none');
my $TEXT = "Subject: hello\n\nbody\n";
my $SYSTEM = '/etc/subpost/subpost.ini';

sub said { my $r = shift; return "$r->{status}|$r->{out}|$r->{err}" }
sub log_lines { return split /\n/, slurp(spool() . '/log') // '' }
sub status { return decode_json(subpost('status', '--json')->{out}) }
sub state_of { my $id = shift; return (map { $_->{state} } grep { $_->{id} eq $id } @{ decode_json(subpost('queue', '--json')->{out}) })[0] // 'none' }

sub queue
{
	my %before = map { $_ => 1 } queue_ids();

	is(sendmail([@_], $TEXT)->{status}, 0, "(a message for @_)");
	return (grep { !$before{$_} } queue_ids())[0];
}

# -- nothing there

ini(smarthost => { %DOWN });
is(said(subpost('status')), "0|office   own\nqueue    " . spool() . "\nmail     0 waiting, 0 held, 0 failed\n" .
    "account  default is up\nrunner   none; one is started when there is something to do\n|",
    'an empty queue has a status');
is_deeply(status(), { office => 'own', waiting => 0, held => 0, failed => 0, oldest => 0,
	account => { name => 'default', state => 'up', since => 0, until => 0, reason => '' },
	accounts => [ { name => 'default', state => 'up', since => 0, until => 0, reason => '' } ],
	runner => { running => JSON::PP::false, pid => 0 } }, 'and in JSON');

# -- hold, release

my $held = queue('held@x.example');
my $other = queue('other@x.example');
my $r;

ok(wait_for(sub { status()->{accounts}[0]{state} eq 'down' }, 10, 'the account to be down'), 'the account is down');
is(said(subpost('hold', $held)), '0||', 'a message is held');
is(said(subpost('hold', $held)), '0||', 'and once more, which changes nothing');
is(state_of($held), 'held', 'it is listed as held');
like(subpost('queue')->{out}, qr/^$held .* held +held by uid $>$/m, 'with the reason');
like(subpost('show', $held)->{out}, qr/^held +held by uid $>$/m, 'which show shows too');
{
	my $s = status();
	my $runner = runner_pid() // 0;

	is("$s->{waiting} $s->{held} $s->{failed}", '1 1 0', 'status counts it as held');
	cmp_ok(abs($s->{oldest} - time), '<', 60, 'and tells since when the oldest is there');
	is("$s->{accounts}[0]{state} " . ($s->{accounts}[0]{until} > time - 5 ? 'until' : $s->{accounts}[0]{until}), 'down until',
	    'and until when the account waits');
	like($s->{accounts}[0]{reason}, qr/onnect/, 'and why');
	is("$s->{runner}{running} $s->{runner}{pid}", "1 $runner", 'and who is at work');
	like(subpost('status')->{out}, qr/^mail     1 waiting, 1 held, 0 failed, the oldest since \d{4}-.*^account  default is down since .*^runner   at work, process $runner$/ms,
	    'in words as well');
}
my $sh = smarthost();
ini();
is(said(sendmail([ '-q' ])), "0|2 messages are tried now\n|", 'all are tried at a good host');
ok($sh->wait_messages(1), 'one is sent');
ok(wait_no_runner(), 'and nobody waits for what is held');
is(scalar(my @m = $sh->messages), 1, 'which is not');
is(state_of($held), 'held', 'but still there');
is(said(subpost('release', $held)), '0||', 'it is released');
ok($sh->wait_messages(2), 'and sent, by a runner that was started for it');
ok(wait_empty(), 'and then nothing waits');
for my $event (qw(held released)) {
	is(scalar(grep { / $event id=$held from=user\@example\.net$/ } log_lines()), 1, "the log has it $event");
}

# -- what cannot be done

ini(smarthost => { %DOWN, port => 1 });
my $free = queue('free@x.example');
$r = subpost('release', $free);
is("$r->{status} $r->{out}", '66 ', 'what is not held is not released');
like($r->{err}, qr/$free is not held; .* subpost retry $free/, 'and is told how else');
for my $verb (qw(hold release delete show retry)) {
	is(subpost($verb, 'x')->{status}, 64, "$verb of what is no id");
	$r = subpost($verb, '0' x 20);
	is("$r->{status} $r->{err}", "66 subpost: " . '0' x 20 . " is not in the queue\n", "$verb of none");
}
is(subpost($_)->{status}, 64, "$_ wants an id") for qw(hold release delete show);
is(subpost(@$_)->{status}, 64, "@$_ is no question") for [ 'status', 'x' ], [ 'status', '--all' ], [ 'hold', '--json', $free ],
    [ 'queue', 'x' ], [ 'check', 'x' ], [ 'list' ], [ 'flush' ];
is(said(subpost('delete', $free)), '0||', 'a message is deleted');
is(scalar(grep { / deleted id=$free from=user\@example\.net$/ } log_lines()), 1, 'and the log says so');

# -- explain

$r = subpost('explain');
is("$r->{status}$r->{err}", 0, 'explain explains');
my $mine = "$HOME/.config/subpost/subpost.ini";
like($r->{out}, qr/\Aoffice   own office: \Q$mine\E exists$/m, 'which office, and why');
like($r->{out}, qr/^looked   \Q$mine\E: is yours, and counts first$/m, 'the own file');
like($r->{out}, qr{^looked   socket /\S+: \S}m, 'the socket');
like($r->{out}, qr{^looked   system configuration \S+/subpost\.ini: \S}m, 'the system\'s file');
like($r->{out}, qr/^config   \Q$mine\E$/m, 'what is read');
like($r->{out}, qr/^account  default: 127\.0\.0\.1 port 1, address user\@example\.net$/m, 'the account');
like($r->{out}, qr/^sender   user\@example\.net, unless -f says another$/m, 'the sender');
like($r->{out}, qr/^queue    \Q@{[spool()]}\E$/m, 'the queue');
$r = subpost('explain', 'ada@y.example', 'root');
is($r->{status}, 0, 'addresses are explained as well');
is(($r->{out} =~ /(^  ada\@y\.example, .*)\z/ms)[0], sendmail([ '-bv', 'ada@y.example', 'root' ])->{out},
    'in the words of sendmail -bv');
is(subpost('explain', 'no address at all <')->{status}, 65, 'one that is none has its status');
ini(smarthost => { %DOWN, 'force-from' => 'yes' });
like(subpost('explain')->{out}, qr/^sender   user\@example\.net, whatever a message says/m, 'a sender that is forced');
ini(smarthost => { %DOWN, from => 'header', user => 'user@example.net' });
like(subpost('explain')->{out}, qr/^sender   the message's own From:, else user\@example\.net$/m, 'or found');
$r = subpost('explain');
ini("[smarthost]\nport = x\n");
$r = subpost('explain');
like("$r->{status} $r->{out}", qr/\A78 office   none\nlooked   \Q$mine\E: is yours/, 'a wrong file: no office, and where was looked');

SKIP: {
	skip "$SYSTEM is here", 3 if -e $SYSTEM;
	unlink $mine;
	$r = subpost('explain');
	like("$r->{status} $r->{out}", qr{\A78 office   none\nlooked   \Q$mine\E: no such file\nlooked   socket \S+: No such file or directory\nlooked   system configuration \Q$SYSTEM\E: no such file\n\z},
	    'nothing at all: where was looked');
	like($r->{err}, qr/\Q$mine\E/, 'and what to write');
	is(subpost('check')->{status}, 78, 'and check says so too');
}

done_testing;
