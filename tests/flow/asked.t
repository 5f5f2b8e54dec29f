# The command for people, at the service's counter: what a user, an operator and
# root are told, and what none of them makes by asking.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Witness;

my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';

my $SUBPOST = "$B/subpost";
my $INI = system_path();
my %OPERATORS = (service => { operators => 'adm' });

sub by { my ($name, @words) = @_; return as_user($name, [ $SUBPOST, @words ], timeout => 60) }
sub said { my $r = shift; return "$r->{status}|$r->{out}|$r->{err}" }
sub log_lines { return split /\n/, slurp('/var/lib/subpost/log') // '' }
sub health { return slurp('/var/lib/subpost/health') // '' }
sub post { as_user($_[0], [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: $_[1]\n\nbody\n"); return (ids_of($_[1]))[0] }

# -- check

my $sh = smarthost();
system_ini(%OPERATORS);
service_start();
my $r = by('root', 'check');
like(said($r), qr/\A0\|service  \Q$SOCKET\E answers \(subpost 1\); it goes by \Q$INI\E\nread     \Q$INI\E\nqueue    \/var\/lib\/subpost \(the service's\)\naccount  default: .*^ok .*^good     mail can be sent\n\|\z/ms,
    'check by root: the service answers, and the account works') or diag(said($r));
ok(!-e "$HOME/.local/state/subpost", 'which makes no queue in root\'s home');
chown $ACCOUNT, $ACCOUNT, '/etc/subpost/password';
chmod 0600, '/etc/subpost/password';
like(said(by('root', 'check')), qr/\A0\|.*^ok       logged in.*^good     mail can be sent\n\|\z/ms,
    'also where the password is the service\'s alone');
chmod 0640, '/etc/subpost/password';
chown 0, $ACCOUNT, '/etc/subpost/password';
$r = run([ 'unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /etc/subpost && exec "$1" check', 'sh', $SUBPOST ]);
like(said($r), qr/\A0\|service .*^account  default is up\n/ms, 'root without the system\'s configuration is a user');
$r = by('bob', 'check');
like(said($r), qr/\A0\|service  \Q$SOCKET\E answers \(subpost 1\); it goes by \Q$INI\E\naccount  default is up\nnote     whether the login works can be tried by root, where the service runs: subpost check\n\|\z/,
    'check by a user: that it answers, and what it says of its account');
is(system('find', home_of('bob'), '-name', 'subpost', '-exec', 'false', '{}', '+') >> 8, 0, 'nor in bob\'s');

chown $ACCOUNT, $ACCOUNT, '/etc/subpost/password';
chmod 0600, '/etc/subpost/password';
$r = by('root', 'check');
like(said($r), qr/\A0\|.*^good     mail can be sent\n\|\z/ms, 'check by root, of a password that is the service\'s account\'s') or diag(said($r));
chown 0, $ACCOUNT, '/etc/subpost/password';
chmod 0640, '/etc/subpost/password';

# -- explain

$r = by('bob', 'explain', 'ada@y.example');
my $bobs = home_of('bob') . '/.config/subpost/subpost.ini';
is($r->{status}, 0, 'explain by a user');
like($r->{out}, qr/\Aoffice   service: no configuration of your own, and \Q$SOCKET\E answers\nlooked   \Q$bobs\E: no such file\nlooked   socket \Q$SOCKET\E: answers\nlooked   system configuration \Q$INI\E: readable\n/,
    'which office, and what was looked at');
like($r->{out}, qr/^config   \Q$INI\E, as the service read it\naccount  default: 127\.0\.0\.1 port \d+, address user\@example\.net\n/m, 'whose configuration');
like($r->{out}, qr/^queue    the service's, by way of \Q$SOCKET\E\n  ada\@y\.example, by 127\.0\.0\.1 /m, 'and where an address leads');

# -- an account that waits

service_stop();
system_ini(%OPERATORS, smarthost => { nobody_answers() });
service_start();
my $id = post('bob', 'waits');
my $others = post('www-data', 'waits, too');
ok(wait_for(sub { health() =~ / down / }, 10, 'the account to be down'), 'the account waits');
my $health = health();
my $waits = qr/the account waits until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ; only an operator can try sooner\n/;
for ([ retry => $id ], [ 'retry' ], [ retry => 'all' ]) {
	like(said(by('bob', @$_)), qr/\A0\|$waits\|\z/, "a user's @$_ does not lift that, and says so");
}
like(said(as_user('bob', [ $SENDMAIL, '-q' ])), qr/\A0\|1 message is due\n$waits\|\z/, 'nor does sendmail -q');
is(health(), $health, 'nothing was tried');
is(said(by('nobody', 'retry')), '0||', 'who owns nothing has nothing to retry');
is(said(by('ops', 'retry', $id)), '0||', 'an operator\'s is not told that');
ok(wait_for(sub { health() =~ / down / && health() ne $health }, 10, 'another try'), 'and lifts it');
$r = by('bob', 'check');
like(said($r), qr/\A75\|service .*^account  default is down since .*Connection refused/ms, 'check by a user tells of it');
unlike($r->{out}, qr/^queue /m, 'and of no queue');
is(by('root', 'check')->{status}, 75, 'and so does root\'s');

service_stop();
system_ini(%OPERATORS, smarthost => { nobody_answers(), user => 'user@example.net', auth => 'plain', 'password-file' => '/etc/subpost/password' });
service_start();
$r = by('bob', 'check');
like(said($r), qr/\A75\|service .*^account  default is down since .*^note     whether the login works can be tried by root.*\|subpost: the service's account cannot be used now, for the reason above/ms,
    'also where a login is needed that is not for users');

# -- hold, release, delete

is(said(by('ops', 'hold', $id)), '0||', 'an operator holds a user\'s message');
like(by('bob', 'queue')->{out}, qr/^$id .* held +held by uid 2003$/m, 'who is told by whom');
unlike(by('bob', 'queue')->{out}, qr/$others/, 'and not of others');
is(said(by('bob', 'queue')) =~ s/.*?\n//r =~ s/account .*\n//r =~ s/^$id.*\n//mr, '|', 'nor of anything else');
is(by('bob', $_, $others)->{status}, 66, "$_ of mail of others") for qw(show hold release retry delete);
is(said(by('ops', 'hold', $others)), '0||', '(all is held)');
$sh = smarthost();
system_ini(%OPERATORS);
is(said(by('ops', 'release', $id)), '0||', 'and is released');
ok($sh->wait_messages(1), 'and sent') or diag(by('root', 'status')->{out});
is(scalar(my @m = $sh->messages), 1, 'alone');
ok(wait_for(sub { !runners() }, 10, 'the runner to leave'), 'what is held keeps no runner');
is(said(by('root', 'delete', $others)), '0||', 'root deletes what is left');
is(scalar(grep { / deleted id=$others from=user\@example\.net by=0$/ } log_lines()), 1, 'and the log says who did');
is(scalar(grep { / held id=$id from=user\@example\.net by=2003$/ } log_lines()), 1, 'and who held');
like(said(by('bob', 'queue')), qr/\A0\|no mail of yours is in the queue\n\|\z/, 'nothing of bob\'s is left');
like(said(by('root', 'queue')), qr/\A0\|the queue is empty\n\|\z/, 'nor of anybody\'s');

# -- what a server says of somebody else's mail

service_stop();
$sh = smarthost(script => 'rcpt ~ceo wait go reply "452 4.7.0 too fast for <ceo@secret.example>"');
system_ini(%OPERATORS);
service_start();
as_user('root', [ $SENDMAIL, 'ceo@secret.example' ], stdin => "Subject: of root\n\nbody\n");
ok(wait_for(sub { commands($sh, 'RCPT') }, 10, 'RCPT'), 'mail of root\'s is on its way');
my $looks_on = start_as('bob', [ $SENDMAIL, '-v', '-O', 'wait=3', 'a@x.example' ], stdin => "Subject: of bob\n\nbody\n");
ok(wait_for(sub { ids_of('of bob') }, 10, 'the message'), 'and somebody else waits for his');
$sh->release('go');
$r = $looks_on->wait(20);
like($r->{err}, qr/^--- .*too fast for/m, 'he is told what the account waits for');
unlike($r->{err}, qr/ceo|secret/, 'but not to whom root writes') or diag($r->{err});
as_user('root', [ $SENDMAIL, 'ceo@secret.example' ], stdin => "Subject: of root, too\n\nbody\n");
ok(wait_for(sub { health() =~ / down / }, 10, 'the account to be down'), 'and while the account waits');
$r = as_user('bob', [ $SENDMAIL, '-O', 'wait=1', 'a@x.example' ], stdin => "Subject: of bob, too\n\nbody\n");
like($r->{err}, qr/^sendmail: still queued as \S+;.*too fast for/, 'whoever waits is told why his own does');
unlike($r->{err}, qr/ceo|secret/, 'in no more words') or diag($r->{err});
my ($old) = ids_of('of bob, too');
system_ini(%OPERATORS, queue => { 'give-up-after' => '1s' });
ok(wait_for(sub { !ids_of('of bob, too') }, 20, 'it to be given up'), 'nor when his own has waited for too long');
$r = by('bob', 'show', $old);
like($r->{out}, qr/given up after 1s; last: .*too fast for/, 'and is given up');
unlike($r->{out}, qr/ceo|secret/, 'for that reason') or diag($r->{out});
by('root', 'delete', $_) for $old, queue_ids();

# -- nobody there

service_stop();
$r = by('bob', 'queue');
is("$r->{status}|$r->{out}", '75|', 'without a service: 75');
like($r->{err}, qr/\Q$SOCKET\E.*subpost\.socket/, 'and what to start');
$r = by('bob', 'explain');
like(said($r), qr/\A75\|office   none\nlooked   \Q$bobs\E: no such file\nlooked   socket \Q$SOCKET\E: \S.*\nlooked   system configuration \Q$INI\E: readable\n\|subpost: .*\Q$SOCKET\E/,
    'explain says what was looked at all the same');
is(by('bob', 'check')->{status}, 75, 'check by a user fails');
$r = by('root', 'check');
like(said($r), qr/\A0\|note     .*\Q$SOCKET\E.*\nread .*^good     the account works\n\|\z/ms, 'check by root tries the account, and notes it');
ok(!-e "$HOME/.local/state/subpost", 'and still makes no queue in root\'s home');

done_testing;
