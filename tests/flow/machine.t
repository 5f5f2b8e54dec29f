# A machine as it is run: PHP as www-data and a cron job, neither of which has a
# configuration or could read the secret, send by the service; to the scripted
# smarthost, and to a real Postfix.  All of it waits first, so that cron need
# begin only one minute for both.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Peer;
use Witness;

use constant CRON_PATIENCE => 70;       # seconds: cron acts when a minute begins

my $LIB = "$FindBin::Bin/../lib";
my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';
# The archive may have to be asked for packages first.
time_limit(300);

my $postfix = "$T/postfix";
my $NO_POSTFIX = start_postfix();
my $cron = unpack_peer($B, 'cron', 'cron');
my $NO_CRON = defined $cron ? '' : "Debian's package cron cannot be downloaded here";
my $NO_PHP = system('php -n -v >/dev/null 2>&1') == 0 ? '' : 'php-cli is not installed';
my $BODY = "Gr\xc3\xbc\xc3\x9fe\n.dot\n..two\n.\nlast\n";

sub start_postfix
{
	my $interrupted = 0;
	my $started = do {
		# A start that was left half-way could not be undone: a signal waits for its end.
		local @SIG{qw(TERM INT HUP ALRM)} = (sub { $interrupted = 1 }) x 4;
		system("$LIB/postfix start $postfix $B > $T/reason");
	};
	chomp(my $reason = slurp("$T/reason"));

	exit 1 if $interrupted;
	return $reason if $started >> 8 == 77;
	die "Postfix does not start\n" if $started != 0;
	return '';
}

END {
	my $status = $?;

	system("$LIB/postfix", 'stop', $postfix) if defined $NO_POSTFIX && $NO_POSTFIX eq '';
	$? = $status;
}

# Texts that Postfix has delivered, a file a recipient.
sub delivered
{
	my $like = shift;

	return grep { $_ =~ $like } map { slurp($_) // '' } glob "$postfix/maildir/new/*";
}

my $sh = smarthost();
system_ini(smarthost => { port => 1 }, queue => { retry => '1h' },
    'user www-data' => { from => 'www@shop.example', senders => 'www@shop.example', domain => 'shop.example' });
service_start();

# -- the callers

sub quoted { return '"' . (shift =~ s/([\\"\$])/\\$1/gr) . '"' }

# PHP's mail() as www-data; the recipient's domain is whither.
sub php
{
	my ($whither, @more) = @_;
	my $code = 'exit(mail(' . join(', ', quoted("a\@php.$whither.example"), '"hello"', quoted($BODY =~ s/\n/\r\n/gr),
	    quoted("From: Shop <www\@shop.example>\r\nBcc: b\@php.$whither.example"), @more) . ') ? 0 : 1);';

	return as_user('www-data', [ 'php', '-n', '-d', 'display_errors=stderr', '-r', $code ]);
}

my $cron_process;
if ($NO_CRON eq '') {
	my $printf = "printf 'Gr\\303\\274\\303\\237e\\n.dot\\n..two\\n.\\nlast\\n'";

	for my $whither (qw(near far)) {
		spew("/etc/cron.d/$whither", "MAILTO=ops\@cron.$whither.example\nCONTENT_TYPE=text/plain; charset=utf-8\n" .
		    "* * * * * www-data $printf\n", 0644);
	}
	$cron_process = start([ "$cron/usr/sbin/cron", '-f' ], env => { LOGNAME => 'root', USER => 'root',
		map { ("XDG_${_}_HOME" => undef) } qw(CONFIG STATE DATA CACHE) });
}
SKIP: {
	skip $NO_PHP, 4 if $NO_PHP ne '';
	for my $whither (qw(near far)) {
		my $r = php($whither);

		is("$r->{status} $r->{err}", '0 ', "PHP mail() as www-data is taken ($whither)");
	}
	my $r = php('near', '"-fceo@bank.example"');
	is($r->{status}, 1, 'PHP mail() is told of a sender that it may not use');
	like($r->{err}, qr/ceo|sender|bank/, 'and why, where its user can read it');
}

# The ids of what waits for that domain.
sub waiting_for
{
	my $domain = shift;

	return grep { (slurp(spool() . "/queue/$_") // '') =~ /^to [^\n]*\@[a-z]+\.$domain\.example$/m } queue_ids();
}

# -- they wait; then one half goes to the one, the other to the other

my $each = ($NO_PHP eq '') + ($NO_CRON eq '');
SKIP: {
	skip 'neither PHP nor cron is here', 6 if $each == 0;
	ok(wait_for(sub { waiting_for('near') >= $each && waiting_for('far') >= $each }, CRON_PATIENCE, 'cron'),
	    $NO_CRON || 'and so is a cron job\'s output');
	unlink glob '/etc/cron.d/*';
	kill 'TERM', $cron_process->pid if $cron_process;
	is(scalar(grep { owner_of($_) != 33 } queue_ids()), 0, 'all of it is www-data\'s');
	my @far = waiting_for('far');
	is(subpost('hold', @far)->{status}, 0, 'one half is held');
	system_ini('user www-data' => { from => 'www@shop.example', senders => 'www@shop.example', domain => 'shop.example' });
	# A new configuration is a reason to try again at once; what is held stays.
	wait_for(sub { !waiting_for('near') }, 20, 'the other to leave');
	check_smarthost();
	skip $NO_POSTFIX, 6 if $NO_POSTFIX ne '';
	my ($port) = slurp("$postfix/ports") =~ /^starttls (\d+)$/m;
	spew('/etc/subpost/postfix.pem', slurp("$postfix/ca.pem"), 0644);
	system_ini(smarthost => { host => 'localhost', 'tls-name' => undef, port => $port, tls => 'starttls',
	    'tls-ca-file' => '/etc/subpost/postfix.pem' },
	    'user www-data' => { from => 'www@shop.example', senders => 'www@shop.example', domain => 'shop.example' });
	ok(wait_for(sub { (my @n = log_text() =~ / config read=/g) >= 2 }, 20, 'the service to read it'),
	    'a new smarthost counts at once');
	subpost('release', @far);
	ok(wait_empty(20), 'released, it leaves, too');
	check_postfix();
}

sub check_smarthost
{
	my %m = map { join(' ', sort map { s/^<|>.*//gr } @{ $_->{to} }) => $_ } $sh->messages;
	my $php = $m{'a@php.near.example b@php.near.example'};
	my $job = $m{'ops@cron.near.example'};

	SKIP: {
		skip $NO_PHP, 4 if $NO_PHP ne '';
		ok($php, 'PHP\'s mail reaches the scripted smarthost, the hidden recipient, too') or return;
		like($php->{from}, qr/^<www\@shop\.example>/, 'by the sender of [user www-data]');
		like($php->{eml}, qr/\AReceived: [^\n]*(?:\n[ \t][^\n]*)*\bfrom uid 33\b/, 'with the kernel\'s word for who it was');
		is(($php->{eml} =~ s/\r\n/\n/gr) =~ /\n\n(.*)\z/s ? $1 : '', "$BODY\n", 'and every octet of it');
	}
	SKIP: {
		skip $NO_CRON, 2 if $NO_CRON ne '';
		ok($job, 'and so does cron\'s') or return;
		is(($job->{eml} =~ s/\r\n/\n/gr) =~ /\n\n(.*)\z/s ? $1 : '', $BODY, 'with every octet');
	}
	is_deeply([ $sh->violations ], [], 'no rule of SMTP is broken');
}

sub check_postfix
{
	SKIP: {
		skip $NO_PHP, 2 if $NO_PHP ne '';
		wait_for(sub { delivered(qr/^X-Original-To: [ab]\@php\.far/m) >= 2 }, 20, 'Postfix to deliver');
		my @php = delivered(qr/^X-Original-To: [ab]\@php\.far/m);
		is(scalar @php, 2, 'Postfix has PHP\'s, for both');
		is($php[0] =~ /\n\n(.*)\z/s ? $1 : '', "$BODY\n", 'with every octet');
	}
	SKIP: {
		skip $NO_CRON, 2 if $NO_CRON ne '';
		wait_for(sub { delivered(qr/^X-Original-To: ops\@cron\.far/m) }, 20, 'Postfix to deliver');
		my @job = delivered(qr/^X-Original-To: ops\@cron\.far/m);
		cmp_ok(scalar @job, '>=', 1, 'and cron\'s');
		is(($job[0] // '') =~ /\n\n(.*)\z/s ? $1 : '', $BODY, 'with every octet');
	}
}

is(service_stop()->{status}, 0, 'the service leaves when it is asked to');
done_testing;
