# Real smarthosts, as far as they are known (tests/fixtures, one file each): what becomes of
# mail that meets them.  Each file is a script of the smarthost's.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use POSIX ();

use constant JOBS => 6;         # each is a test of its own, and most of them only wait

my $FIXTURES = "$FindBin::Bin/../fixtures";
my $LONG = 'x' x 700;           # a password, or a token, too long for a command line

# What is sent: a message an entry, to so many recipients, from the first sender and the
# second in turn.  What comes of it: recipients who got it (once), messages that wait,
# recipients who bounced; whether the account is down, and what the hint says; how many
# connections and AUTHs it took.
my @fixtures = (
	# name                        send          got waits bounced down hint                    connections auths
	[ 'gmail-ok',                 [ 1, 2, 1 ],  4, 0, 0, 0, undef,                             1, 1 ],
	[ 'gmail-534',                [ 1, 1 ],     0, 2, 0, 1, qr/app password/,                  1, 1 ],
	[ 'gmail-454-login',          [ 1, 1 ],     0, 2, 0, 1, qr/counts logins/,                 1, 1 ],
	[ 'gmail-550-5.4.5',          [ 1, 1 ],     0, 2, 0, 1, qr/limit is reached/,              1, 1 ],
	[ 'gmail-421-greeting',       [ 1, 1 ],     0, 2, 0, 1, qr/Server busy/,                   1, 0 ],
	[ 'm365-ok',                  [ 1, 2 ],     3, 0, 0, 0, undef,                             1, 1 ],
	[ 'm365-5.7.139',             [ 1 ],        0, 1, 0, 1, qr/admin must enable/,             1, 1 ],
	[ 'm365-5.7.30',              [ 1 ],        0, 1, 0, 1, qr/auth = xoauth2/,                1, 1 ],
	[ 'm365-sendas-at-dot',       [ 1, 1 ],     1, 1, 0, 0, qr/force-from = yes/,              undef, undef ],
	[ 'm365-432',                 [ 1, 1 ],     0, 2, 0, 1, qr/connections/,                   1, 1 ],
	[ 'm365-5.2.252-penalty',     [ 1, 1 ],     0, 2, 0, 1, qr/throttled the account/,         1, 1 ],
	[ 'm365-xoauth2-two-step-only', [ 1 ],      1, 0, 0, 0, undef,                             1, 1, 'token' ],
	[ 'ses-ok',                   [ 1, 0, 1 ],  2, 0, 0, 0, undef,                             2, 2 ],
	[ 'ses-454-rate',             [ 1 ],        0, 1, 0, 1, qr/rate/,                          1, 1 ],
	[ 'ses-454-daily',            [ 1, 1 ],     0, 2, 0, 1, qr/limit is reached/,              1, 1 ],
	[ 'ses-unverified',           [ 1, 1 ],     1, 1, 0, 0, qr/verify the address/,            undef, undef ],
	[ 'sendgrid-451-credits',     [ 1, 1 ],     0, 2, 0, 1, qr/credits are used up/,           1, 1 ],
	[ 'mailgun-334-goahead',      [ 1 ],        1, 0, 0, 0, undef,                             1, 1, 'long' ],
	[ 'yahoo-334-plain',          [ 1 ],        1, 0, 0, 0, undef,                             1, 1, 'long' ],
	[ 'yahoo-20-then-close',      [ (1) x 45 ], 45, 0, 0, 0, undef,                            3, 3 ],
	[ 'brevo-525',                [ 1 ],        0, 1, 0, 1, qr/this machine's address/,        1, 1 ],
	[ 'zoho-5.4.6',               [ 1, 1 ],     0, 2, 0, 1, qr/unblocked/,                     1, 1 ],
	[ 'oci-254',                  [ 1 ],        1, 0, 0, 0, qr/254 4.7.1 Suppression/,         1, 1 ],
	[ 'postfix-450-greylist',     [ 2, 1 ],     2, 1, 0, 0, qr/Greylisted/,                    1, 1 ],
	[ 'postfix-452-rcpt',         [ 7 ],        7, 0, 0, 0, undef,                             1, 1 ],
	[ 'exim-limits',              [ 7, 1, 1 ],  9, 0, 0, 0, undef,                             undef, undef ],
	[ 'gmx-no-codes',             [ 2, 1 ],     2, 0, 1, 0, qr/mailbox unavailable/,           undef, undef ],
	[ 'mailersend-554-greeting',  [ 1, 1 ],     0, 2, 0, 1, qr/locked us out/,                 1, 0 ],
	[ 'proton-454-auth',          [ 1 ],        0, 1, 0, 1, qr/password may be right/,         1, 1 ],
	[ 'exchange-tarpit-5s',       [ 3 ],        2, 0, 1, 0, qr/User unknown/,                  undef, undef ],
);

# With a name it is one of them, in a process and a home of its own.
if (@ARGV) {
	my ($row) = grep { $_->[0] eq $ARGV[0] } @fixtures;

	meet(@$row);
	exit 0;
}

my %running;
my @said;
my $told = 0;

time_limit(300);
for my $n (0 .. $#fixtures) {
	reap(JOBS - 1);
	my $pid = fork // die "fork: $!";

	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(ALRM INT TERM HUP);
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$T/fixture.$n";
		open STDERR, '>&', \*STDOUT;
		exec $^X, $0, $fixtures[$n][0] or POSIX::_exit(127);
	}
	$running{$pid} = $n;
}
reap(0);
done_testing;

# Until no more than so many run; what they found is told in their order.
sub reap
{
	my $most = shift;

	while (keys %running > $most) {
		my $pid = waitpid -1, 0;
		my $n = delete $running{$pid} // next;

		$said[$n] = [ $?, slurp("$T/fixture.$n") ];
		for (; defined(my $r = $said[$told]); $told++) {
			ok($r->[0] == 0 && $r->[1] eq '', "S-30: $fixtures[$told][0]") or diag($r->[1]);
		}
	}
}

sub meet
{
	my ($name, $send, $got, $waits, $bounced, $down, $hint, $connections, $auths, $secret) = @_;
	my $s = smarthost(args => [ '-s', "$FIXTURES/$name", $secret ? ('--password', $LONG) : () ]);
	my %account = (connections => 1, 'keep-open' => 0);
	my %queue = (retry => '1h', 'retry-refused' => '1h');
	my ($n, $sum) = (0, 0);

	$BIN = "$B/tests/fast";
	%account = (%account, auth => 'xoauth2', 'password-file' => undef,
	    'token-command' => "cat $HOME/token") if ($secret // '') eq 'token';
	spew("$HOME/token", "$LONG\n", 0600);
	$account{'keep-open'} = '30s' if grep { !$_ } @$send;

	# All wait before one is sent; the last one's arrival shows the runner another file.
	ini(smarthost => { nobody_answers(), %account, auth => 'none', 'token-command' => undef }, queue => \%queue);
	for (@$send) {
		$n++;
		if ($_ == 0) {
			# It waits until the server has had enough.
			wait_for(sub { $s->turns }, 20, 'an idle end');
			next;
		}
		if ($n == @$send || $send->[$n] == 0) {
			# No courier of the old file may be about to read the new one.
			wait_for(sub { (slurp(spool() . '/log') // '') =~ /cannot reach/ }, 20, 'a first failure') if $n > 1 && $send->[$n - 2];
			ini(smarthost => \%account, queue => \%queue);
			spew("$HOME/.config/subpost/password", "$LONG\n", 0600) if $secret;
		}
		sendmail([ '-i', '-f', ($n % 2 ? 'first' : 'second') . '@example.net', map { "r$_.$n\@example.org" } 1 .. $_ ],
		    "Subject: $n\n\nx\n")->{status} == 0 or print "message $n was not taken\n";
		$sum += $_;
	}
	wait_for(sub { $s->dialogue =~ /^-- connect/m }, 20, 'a connection') or print "no connection\n";
	wait_rest($s);
	judge($s, $name, $got, $waits, $bounced, $down, $hint, $connections, $auths);
}

sub judge
{
	my ($s, $name, $got, $waits, $bounced, $down, $hint, $connections, $auths) = @_;
	my $dialogue = $s->dialogue;
	# Without what was said of the server that nobody answers for.
	my $log = join '', grep { !/cannot reach/ } split /^/, slurp(spool() . '/log') // '';
	my (%got, %bounced);

	for my $m ($s->messages) {
		if ($m->{from} =~ /^<>/) {
			$bounced{$1}++ while $m->{eml} =~ /(r\d\.\d+\@example\.org)/g;
		} else {
			$got{ s/^<|>.*//gr }++ for @{ $m->{to} };
		}
	}
	my %found = (
		'got it' => [ scalar(keys %got), $got ],
		'got it twice' => [ scalar(grep { $_ > 1 } values %got), 0 ],
		'messages wait' => [ scalar(my @q = queue_ids()), $waits ],
		bounced => [ scalar(keys %bounced), $bounced ],
		'of the account down' => [ $log =~ /\bdown account=/ ? 1 : 0, $down ],
		connections => [ scalar(() = $dialogue =~ /^-- connect/mg), $connections ],
		logins => [ scalar(() = $dialogue =~ /^C: AUTH/mg), $auths ],
		'the hint' => [ !defined $hint || $log =~ $hint ? 1 : 0, 1 ],
		violations => [ scalar(my @v = $s->violations), 0 ],
	);
	for (sort keys %found) {
		my ($is, $should) = @{ $found{$_} };

		print "$_: $is, not $should\n" if defined $should && $is != $should;
	}
	print map { "$_\n" } $s->violations;
	print $dialogue, $log if $ENV{PROVIDERS_SHOW};
}
