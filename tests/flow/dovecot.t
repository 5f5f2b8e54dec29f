# A real far end of another family: Dovecot's submission service, by every way to log
# in that it knows, which passes what it takes to the scripted smarthost.  Letters of
# every shape, compared octet for octet with what was meant; what the courier says to
# it, once in clear, is read by an independent reader.  Dovecot is unpacked, not
# installed, and needs root (see tests/lib/dovecot); where it cannot be had this test
# is skipped.  SUBPOST_MESSAGES: how many letters go by each way, 20.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Letters;
use Recorder;
use Wire;

use constant EACH => $ENV{SUBPOST_MESSAGES} // 20;

my $tool = "$FindBin::Bin/../lib/dovecot";
my $dovecot = "$T/dovecot";
my $running = 0;

# Debian's archive may have to be asked for the packages first.
time_limit(300 + EACH);
plan(skip_all => 'Dovecot can only be started by root') if $> != 0;
END {
	my $status = $?;

	system($tool, 'stop', $dovecot) if $running;
	$? = $status;
}

# What comes to it was said by Dovecot.
my $relay = smarthost(args => [ '--plain', '--no-auth' ], wire => { free => 1 });

# A start that was left half-way could not be undone: a signal waits for its end.
my $interrupted = 0;
my $started = do {
	local @SIG{qw(TERM INT HUP ALRM)} = (sub { $interrupted = 1 }) x 4;
	$running = 1;
	system("$tool start $dovecot $B " . $relay->port . " > $T/reason");
};
exit 1 if $interrupted;
if ($started >> 8 == 77) {
	$running = 0;
	chomp(my $reason = slurp("$T/reason"));
	plan(skip_all => $reason);
}
is($started, 0, 'Dovecot runs');

my %port = slurp("$dovecot/ports") =~ /(\w+) (\d+)/g;
my $tap = Recorder->new("$T/tap", $port{starttls});
my %token = ('password-file' => undef, 'token-command' => "cat $dovecot/token");
my @ways = (
	# name, port, tls, auth, more
	[ 'starttls-plain', $port{starttls}, 'starttls', 'plain' ],
	[ 'starttls-login', $port{starttls}, 'starttls', 'login' ],
	[ 'implicit-scram', $port{implicit}, 'implicit', 'scram-sha-256' ],
	[ 'implicit-oauthbearer', $port{implicit}, 'implicit', 'oauthbearer', %token ],
	[ 'starttls-xoauth2', $port{starttls}, 'starttls', 'xoauth2', %token ],
	[ 'clear-scram', $tap->port, 'none', 'scram-sha-256', 'tls-ca-file' => undef, 'tls-name' => undef ],
);

my (%sent, @refused);
for (@ways) {
	my ($way, $port, $tls, $auth, %more) = @$_;
	my $path = "$T/office/$way.ini";
	my $env = { SUBPOST_CONFIG => $path };

	# Nobody listens yet, so that many letters go by one connection.
	ini(-path => $path, smarthost => { nobody_answers() }, queue => { directory => "$T/office/$way" });
	for my $i (1 .. EACH) {
		my $m = letter_of($i, $way, EACH);
		my $r = sendmail($m->{argv}, $m->{input}, env => $env);

		push @refused, "$m->{number} ($m->{shape}): $r->{status} $r->{err}" if $r->{status} != 0;
		delete $m->{input};
		$sent{ $m->{number} } = $m;
	}
	ini(-path => $path, smarthost => { host => 'localhost', 'tls-name' => undef, port => $port, tls => $tls, auth => $auth,
	    'tls-ca-file' => "$dovecot/ca.pem", %more }, queue => { directory => "$T/office/$way" });
}
is("@refused", '', @ways * EACH . ' letters of every shape are taken while nobody listens');

for (@ways) {
	my ($way, undef, undef, $auth) = @$_;
	my $env = { SUBPOST_CONFIG => "$T/office/$way.ini" };
	my $waiting = sub { grep { m{/[0-9A-Z]{20}$} } glob "$T/office/$way/queue/*" };

	my $r = subpost('retry', 'all', { env => $env });

	is($r->{status}, 0, "retry sends what waits ($way)") or diag($r->{err}), next;
	ok(wait_for(sub { !$waiting->() }, 60 + EACH / 4, 'an empty queue'), "and all of it leaves ($way)") or
	    diag(mailq({ env => $env })->{out} . slurp("$T/office/$way/health"));
	is(scalar(() = glob "$T/office/$way/failed/*"), 0, "and nothing is given up ($way)");
}

# -- what arrived, less what Dovecot put in front

my (%got, @strange, %wrong, %envelope);
for my $arrived ($relay->messages) {
	my $text = $arrived->{eml} =~ s/\r\n/\n/gr;

	$text =~ s/\A(?:(?:Received|Return-Path): .*\n(?:[ \t].*\n)*)+?(?=(?!Received: from Dovecot))//;
	my ($number) = $text =~ /^X-Number: (\S+)$/m;
	my $m = $sent{ $number // '' };

	if (!$m) {
		push @strange, $number // $arrived->{number};
		next;
	}
	$got{$number}{ s/\A<(.*)>.*\z/$1/r =~ s/\\x([0-9a-f]{2})/chr hex $1/ger }++ for @{ $arrived->{to} };
	$envelope{$number} = $arrived->{from} =~ s/\A<(.*)>.*\z/$1/r;
	my $wrong = letter_differs($m, $text);
	$wrong{$number} //= "$m->{shape}: $wrong" if $wrong ne '';
}
is("@strange", '', 'nothing arrived that was not sent');
# The first text that had the next letter's commands behind it was too much for it.
my $broke = () = slurp("$dovecot/log") =~ /Panic/g;
my @twice = grep { grep { $_ != 1 } values %{ $got{$_} } } sort keys %got;

is(join("\n", map { "$_->{number} ($_->{shape}): " . join ' ', sort keys %{ $got{ $_->{number} } // {} } }
    grep { join(' ', sort @{ $_->{to} }) ne join(' ', sort keys %{ $got{ $_->{number} } // {} }) } values %sent), '',
    'each letter reached exactly its recipients');
cmp_ok(scalar @twice, '<=', $broke, "and nobody has one twice, but where Dovecot broke off: $broke times") or diag("@twice");
cmp_ok($broke, '<=', 2 * @ways, 'which is learnt from the first time, on each of two connections');
is(join("\n", map { "$_->{number}: " . ($envelope{ $_->{number} } // 'nobody') } grep { ($envelope{ $_->{number} } // '?') ne $_->{from} }
    values %sent), '', 'each came from the sender it was given, or from nobody');
for (@ways) {
	my ($way) = @$_;
	my @bad = grep { /\A\Q$way\E-\d/ } sort keys %wrong;

	is(scalar @bad, 0, "each letter that came by $way is what was meant, octet for octet");
	diag("$_ $wrong{$_}") for @bad;
}
is(join("\n", map { wire_faults(slurp($_), clear => 1) } $tap->recordings), '', 'and nothing that was said to Dovecot breaks a rule');
cmp_ok(scalar(() = $tap->recordings), '>=', 1, 'of which there is a recording');
$tap->stop;

$running = 0;
is(system($tool, 'stop', $dovecot), 0, 'Dovecot leaves no process behind');
done_testing;
