# A real far end: letters of every shape through Debian's Postfix, by STARTTLS and by
# implicit TLS, with each login that it knows, compared octet for octet with what was
# meant, and two of 30 MiB; what the courier says to it, once in clear, is read by an
# independent reader.  Postfix is unpacked, not installed, and needs root (see
# tests/lib/postfix); where it cannot be had this test is skipped.
# SUBPOST_MESSAGES: how many letters go by each way, 20.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Letters;
use Recorder;
use Time::HiRes qw(sleep time);
use Wire;

use constant EACH => $ENV{SUBPOST_MESSAGES} // 20;

my $tool = "$FindBin::Bin/../lib/postfix";
my $postfix = "$T/postfix";
my $running = 0;

# Debian's archive may have to be asked for the package first.
time_limit(400 + EACH);
plan(skip_all => 'Postfix can only be started by root') if $> != 0;
END {
	my $status = $?;

	system($tool, 'stop', $postfix) if $running;
	$? = $status;
}

# -- Postfix, and the ways to it: an office each

# A start that was left half-way could not be undone: a signal waits for its end.
my $interrupted = 0;
my $started = do {
	local @SIG{qw(TERM INT HUP ALRM)} = (sub { $interrupted = 1 }) x 4;
	$running = 1;
	system("$tool start $postfix $B > $T/reason");
};
exit 1 if $interrupted;
if ($started >> 8 == 77) {
	$running = 0;
	chomp(my $reason = slurp("$T/reason"));
	plan(skip_all => $reason);
}
is($started, 0, 'Postfix runs');

my %port = slurp("$postfix/ports") =~ /(\w+) (\d+)/g;
my $tap = Recorder->new("$T/tap", $port{clear});
my @ways = (
	# name, port, tls, auth
	[ 'starttls-plain', $port{starttls}, 'starttls', 'plain' ],
	[ 'starttls-scram', $port{starttls}, 'starttls', 'scram-sha-256' ],
	[ 'implicit-login', $port{implicit}, 'implicit', 'login' ],
	[ 'implicit-scram', $port{implicit}, 'implicit', 'scram-sha-256' ],
	[ 'clear', $tap->port, 'none', 'none' ],
);

# Its ini: way; with a list of keys for an account that nobody answers for.
sub office
{
	my ($way, $port, $tls, $auth, @more) = @{ +shift };

	@more = ('tls-ca-file' => undef, user => undef, 'password-file' => undef) if $tls eq 'none';
	return ini(-path => "$T/office/$way.ini", queue => { directory => "$T/office/$way" },
	    smarthost => { host => 'localhost', 'tls-name' => undef, port => $port, tls => $tls, auth => $auth,
	    'tls-ca-file' => "$postfix/ca.pem", @more, @_ });
}

sub environment_of
{
	return { SUBPOST_CONFIG => "$T/office/$_[0][0].ini" };
}

sub queue_of
{
	return sort grep { m{/[0-9A-Z]{20}$} } glob "$T/office/$_[0][0]/queue/*";
}

# -- memory: the most that a program of ours ever had resident, in KiB

my %memory;

sub weigh
{
	my ($name, $pid) = @_;
	my ($kib) = (slurp("/proc/$pid/status") // '') =~ /^VmHWM:\s*(\d+) kB/m or return;

	$memory{$name} = $kib if $kib > ($memory{$name} // 0);
}

sub weigh_all
{
	for my $name (qw(subpostd subpost-courier)) {
		weigh($name, $_) for processes(qr/^\Q$name\E$/);
	}
}

# What a process had before its exec was the test's own.
sub is_sendmail
{
	my $pid = shift;

	return (readlink("/proc/$pid/exe") // '') =~ m{/sendmail$};
}

# sendmail() that is weighed while it runs.
sub weighed_sendmail
{
	my ($argv, $input, $env) = @_;
	my $p = start([ "$B/sendmail", @$argv ], stdin => $input, env => $env);
	my $stat;

	until (($stat = slurp('/proc/' . $p->pid . '/stat') // '') =~ /^\d+ \(.*\) Z/s || $stat eq '') {
		weigh('sendmail', $p->pid) if is_sendmail($p->pid);
		sleep 0.001;
	}
	return $p->wait(20);
}

# -- queueing, while nobody listens, so that many letters go by one connection

my (%sent, @refused);
for my $way (@ways) {
	my $env = environment_of($way);

	office($way, nobody_answers());
	for my $i (1 .. EACH) {
		my $m = letter_of($i, $way->[0], EACH);
		my $r = sendmail($m->{argv}, $m->{input}, env => $env);

		push @refused, "$m->{number} ($m->{shape}): $r->{status} $r->{err}" if $r->{status} != 0;
		delete $m->{input};
		$sent{ $m->{number} } = $m;
	}
	if ($way->[3] eq 'plain' || $way->[3] eq 'login') {
		my $m = large_letter($way->[0]);
		my $r = weighed_sendmail($m->{argv}, $m->{input}, $env);

		push @refused, "$m->{number}: $r->{status} $r->{err}" if $r->{status} != 0;
		delete $m->{input};
		$sent{ $m->{number} } = $m;
	}
}
is("@refused", '', keys(%sent) . ' letters of every shape are taken while nobody listens');
is(scalar(map { queue_of($_) } @ways), scalar keys %sent, 'and all of them are in the queues');

# -- delivery

my $expected = 0;
$expected += @{ $_->{to} } for values %sent;
my $begun = time;
for my $way (@ways) {
	my $name = $way->[0];

	office($way);
	my $r = subpost('retry', 'all', { env => environment_of($way) });

	is($r->{status}, 0, "retry sends what waits ($name)") or diag($r->{err}), next;
	ok(wait_for(sub {
		weigh_all();
		sleep 0.02;
		return !queue_of($way);
	}, 120 + EACH / 4, 'an empty queue'), "and all of it leaves ($name)") or
	    diag(mailq({ env => environment_of($way) })->{out} . slurp("$T/office/$name/health"));
}
my $drained = time - $begun;

sub delivered
{
	opendir my $dh, "$postfix/maildir/new" or return 0;
	return scalar grep { !/^\./ } readdir $dh;
}

ok(wait_for(sub { sleep 0.05; delivered() >= $expected }, 120, "$expected deliveries"),
    'every recipient of every letter has something in the Maildir');
is(delivered(), $expected, 'and nobody has anything twice');
is(scalar(() = glob "$T/office/*/failed/*"), 0, 'nothing was given up');
like(slurp("$T/office/starttls-plain/log"), qr/ sent .* reply="250 2\.0\.0 Ok: queued as [0-9A-F]+"/,
    'X-19: the log has the name that the server gave to what it took');

# -- what arrived, less what Postfix put in front

my $trace = qr/\AReturn-Path: <(?<from>.*)>\nX-Original-To: (?<to>.*)\nDelivered-To: .*\n(?<received>Received: from .*\n(?:[ \t].*\n)+)/;
my (%got, @strange, @open, %from, %wrong);
for my $path (glob "$postfix/maildir/new/*") {
	my $text = slurp($path);

	if ($text !~ $trace) {
		push @strange, $path;
		next;
	}
	my ($from, $to, $received) = @+{qw(from to received)};
	my $rest = substr $text, $+[0];
	my ($number) = $rest =~ /^X-Number: (\S+)$/m;
	my $m = $sent{ $number // '' };

	if (!$m) {
		push @strange, $path;
		next;
	}
	push @open, $number if $received !~ /\bwith (?:UTF8SMTP|ESMTP)SA\b/ && $number !~ /\Aclear/;
	$from{$number} = $from;
	$got{$number}{$to}++;
	next if exists $wrong{$number};
	$wrong{$number} = letter_differs($m, $rest);
}

sub recipients_differ
{
	my $m = shift;

	return join(' ', sort map { plainly($_) } @{ $m->{to} }) ne join(' ', sort map { plainly($_) } keys %{ $got{ $m->{number} } // {} });
}

# Postfix takes the quotes off where it can, and the domain's letters are one.
sub plainly
{
	my $address = shift;

	$address =~ s/\\(.)/$1/g;
	return $address =~ s/\A"(.*)"\@/$1\@/r;
}

is("@strange", '', 'nothing arrived that was not sent');
is(join(', ', map { "$_->{number} ($_->{shape})" } grep { recipients_differ($_) } values %sent), '',
    'each letter reached exactly its recipients, one to a hundred of them');
is(join(', ', grep { $from{$_} ne $sent{$_}{from} } sort keys %from), '', 'each came from the sender it was given, or from nobody');
is("@open", '', 'each came over TLS and with a login');
for (@ways) {
	my ($way) = @$_;
	my @bad = grep { /\A\Q$way\E-/ && $wrong{$_} ne '' } sort keys %wrong;

	is(scalar @bad, 0, "each letter that came by $way is what was meant, octet for octet");
	diag("$_ ($sent{$_}{shape}): $wrong{$_}") for @bad;
}
is(join("\n", map { wire_faults(slurp($_), clear => 1) } $tap->recordings), '', 'and nothing that was said to Postfix breaks a rule');
cmp_ok(scalar(() = $tap->recordings), '>=', 1, 'of which there is a recording');
$tap->stop;

diag(sprintf '%d letters to %d recipients in %.1f s', scalar keys %sent, $expected, $drained);
diag('most memory ever resident, with a message of 30 MiB: ' .
    join ', ', map { sprintf '%s %.2f MiB', $_, $memory{$_} / 1024 } sort keys %memory);

$running = 0;
is(system($tool, 'stop', $postfix), 0, 'Postfix leaves no process behind');
done_testing;
