# What a section [user NAME] of the system's file says holds for the mail of that
# uid: how it is completed, and, to the last hop, as whom it leaves.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Witness;

my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';
time_limit(120);

my %ACCOUNT = (smarthost => { from => 'server@example.net' });
my $sh = smarthost();
my $running = 0;

# The service, by that configuration.
sub renew
{
	service_stop() if $running;
	system_ini(%ACCOUNT, @_);
	service_start();
	$running = 1;
}

# Sends it as that user, and returns what arrived: { from, to, eml }.
sub convey
{
	my ($who, $text, @args) = @_;
	my $n = () = $sh->messages;
	my $r = as_user($who, [ $SENDMAIL, '-i', @args ], stdin => $text);

	return { from => '', eml => "sendmail: $r->{status} $r->{err}" } if $r->{status} != 0;
	$sh->wait_messages($n + 1) or return { from => '', eml => 'nothing came' };
	my $m = ($sh->messages)[-1];
	$m->{from} =~ s/>.*/>/;
	$m->{to} = join "", @{ $m->{to} };
	return $m;
}

spew('/etc/subpost/aliases', "staff: web\@example.org\n", 0644);
spew('/etc/subpost/aliases.all', "staff: all\@example.org\n", 0644);

subtest 'the keys of [identity]' => sub {
	renew(identity => { aliases => '/etc/subpost/aliases.all' }, 'user www-data' => { domain => 'shop.example',
	    received => 'no', aliases => '/etc/subpost/aliases', root => 'shop@example.org' });
	my %m = map { $_ => convey($_, "To: staff, root, guest\nSubject: names\n\nbody\n", '-t') } qw(www-data bob);

	like($m{'www-data'}{eml}, qr/^To: .*\@shop\.example/m, 'bare names have the domain of the user');
	like($m{bob}{eml}, qr/^To: .*\@example\.net/m, 'others\' have the domain of all');
	like($m{'www-data'}{to}, qr/web\@example\.org/, 'the aliases are the user\'s');
	like($m{bob}{to}, qr/all\@example\.org/, 'and others\' those of all');
	like($m{'www-data'}{to}, qr/shop\@example\.org/, 'root is whom the user\'s section names');
	like($m{bob}{to}, qr/root\@example\.net/, 'and else root');
	unlike($m{'www-data'}{eml}, qr/^Received:/m, 'received = no is obeyed');
	like($m{bob}{eml}, qr/^Received:.*\n?.*uid 2002/m, 'for that user alone');
};

subtest 'from' => sub {
	renew('user www-data' => { from => 'web@example.net' }, 'user bob' => { from => 'header' });
	is(convey('www-data', "Subject: s\n\nbody\n", 'a@x.example')->{from}, '<web@example.net>', 'is the sender where none is named');
	is(convey('root', "Subject: s\n\nbody\n", 'a@x.example')->{from}, '<server@example.net>', 'and the account\'s is others\'');
	is(convey('bob', "From: me\@x.example\n\nbody\n", 'a@x.example')->{from}, '<me@x.example>', 'from = header is one user\'s');
	is(convey('www-data', "From: me\@x.example\n\nbody\n", 'a@x.example')->{from}, '<web@example.net>', 'and not another\'s');
};

subtest 'force-from' => sub {
	renew(smarthost => { %{ $ACCOUNT{smarthost} }, 'force-from' => 'yes' }, 'user www-data' => { from => 'web@example.net' },
	    'user nobody' => { from => 'nobody@example.net' });
	my %m = map { $_ => convey($_, "From: Me <me\@x.example>\nSubject: s\n\nbody\n", '-f', 'me@x.example', 'a@x.example') }
	    qw(www-data bob nobody);

	is($m{nobody}{from}, '<server@example.net>', 'who has no uid here is not who has that number');

	is($m{'www-data'}{from}, '<web@example.net>', 'a user\'s mail leaves as the user\'s from');
	like($m{'www-data'}{eml}, qr/^From: Me <web\@example\.net>\r$/m, 'which the header says as well');
	is($m{bob}{from}, '<server@example.net>', 'others\' leaves as the account\'s');
	like($m{bob}{eml}, qr/^From: Me <server\@example\.net>\r$/m, 'which the header says as well');
};

subtest 'a file of one\'s own' => sub {
	renew('user alice' => { from => 'service@example.net' });
	own_ini('alice', smarthost => { from => 'alice@example.net' }, 'user alice' => { from => 'nobody@example.net' },
	    service => { operators => 'alice' });
	my $m = convey('alice', "Subject: s\n\nbody\n", 'a@x.example');

	is($m->{from}, '<alice@example.net>', 'counts more, and its sections of the service do not at all');
	my $check = as_user('alice', [ "$B/subpost", 'check' ]);
	like("$check->{out}$check->{err}", qr/counts only in the system's file/, 'which `subpost check` tells');
};

subtest 'a bad file' => sub {
	renew();
	system_ini("[smarthost]\nhost =\n");
	ok(log_has(qr/ config reason=/), 'is noticed, and told');
	is(convey('bob', "Subject: s\n\nbody\n", 'a@x.example')->{from}, '<server@example.net>',
	    'and until it is mended mail is taken and sent by the one before');
	system_ini(%ACCOUNT);
};

subtest 'an account of their own' => sub {
	my $web = smarthost(args => [ '--no-auth' ]);

	renew(-smarthost => $sh, 'smarthost web' => { host => '127.0.0.1', port => $web->port, tls => $web->tls,
	    'tls-name' => 'localhost', 'tls-ca-file' => $web->ca, auth => 'none', from => 'web@example.net',
	    'force-from' => 'yes' }, 'smarthost inner' => { host => '127.0.0.1', port => 1, auth => 'none',
	    recipients => '*@inner.example' },
	    'user www-data' => { smarthost => 'Web', from => 'shop@example.net' });
	my $n = () = $sh->messages;

	is(as_user('www-data', [ $SENDMAIL, '-i', 'a@x.example', 'b@inner.example' ], stdin => "Subject: s\n\nbody\n")->{status},
	    0, '(a message of such a user)');
	ok($web->wait_messages(1), 'carries all of the user\'s mail');
	is(join(',', map { s/ .*//r } @{ ($web->messages)[0]{to} }), '<a@x.example>,<b@inner.example>', 'to whomever it is');
	is(($web->messages)[0]{from} =~ s/ .*//r, '<shop@example.net>', 'from the user\'s own address');
	is(convey('bob', "Subject: s\n\nbody\n", 'a@x.example')->{from}, '<server@example.net>', 'and nobody else\'s');
	is(scalar(() = $sh->messages), $n + 1, 'which goes as ever');
	like(as_user('www-data', [ "$B/subpost", 'status' ])->{out}, qr/^account  web is up\n(?!account)/m, 'the user sees that account alone');
	like(as_user('bob', [ "$B/subpost", 'status' ])->{out}, qr/^account  default is up\naccount  inner is up\naccount  web is up\n(?!account)/m,
	    'and others those that their mail may go by');
	is_deeply([ $web->violations ], [], 'no rule of SMTP was broken');
};

is(service_stop()->{status}, 0, 'the service leaves');
is_deeply([ $sh->violations ], [], 'no rule of SMTP was broken');
done_testing;
