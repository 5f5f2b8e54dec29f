# A real far end: 400 messages of every shape through Debian's Postfix, half of
# them by STARTTLS, half by implicit TLS, compared octet for octet with what
# was queued.  Postfix is unpacked, not installed, and needs root (see
# tests/lib/postfix); where it cannot be had this test is skipped.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use IO::Socket::INET;
use Time::HiRes qw(sleep time);

use constant EACH => 200;               # messages by either port
use constant MIB => 1 << 20;
use constant SENDER => 'user@example.net';

my $tool = "$FindBin::Bin/../lib/postfix";
my $postfix = "$T/postfix";
my $running = 0;

# Debian's archive may have to be asked for the package first.
time_limit(400);
plan(skip_all => 'Postfix can only be started by root') if $> != 0;
END {
	my $status = $?;

	system($tool, 'stop', $postfix) if $running;
	$? = $status;
}

# -- what is sent: a shape is the fields and the body of a message, as octets

my $long = 'x' x 998;
my @shapes = (
	[ 'UTF-8', sub { ("Content-Type: text/plain; charset=utf-8\n", "Gr\xc3\xbc\xc3\x9fe \xe2\x82\xac\n") } ],
	[ 'Latin-1', sub { ("Content-Type: text/plain; charset=iso-8859-1\n", "Gr\xfc\xdfe \xa4\n" . join('', map { chr } 160 .. 255) . "\n") } ],
	[ 'leading dots', sub { ('', ".one\n..two\n...three\n.\r\n..\n") } ],
	[ 'lone dots inside', sub { ('', "before\n.\nbetween\n.\n.\nafter\n") } ],
	[ 'a dot as all there is', sub { ('', ".\n") } ],
	[ 'lines of 998 octets', sub { ('', "$long\n$long\n." . substr($long, 1) . "\n") } ],
	[ 'no final newline', sub { ('', "one\ntwo") } ],
	[ 'a dot without a newline', sub { ('', "one\n.") } ],
	[ 'CRLF', sub { ("X-Folded: one\n two\n", "one\n.\n\ntwo\n") }, "\r\n" ],
	[ 'an empty body', sub { ('', '') } ],
	[ 'a header and no more', sub { ('', undef) } ],
	[ 'only empty lines', sub { ('', "\n\n\n") } ],
	[ 'From at the start of lines', sub { ('', "From here\n>From there\nFrom: nobody\n") } ],
	[ 'control octets', sub { ('', "tab\there, bell \a, escape \e, delete \x7f\n") } ],
	[ 'many short lines', sub { ('', join '', map { "line $_\n" } 1 .. 2000) } ],
);

sub body_of_size
{
	my $size = shift;
	my $text = '';

	# Lines of every length up to 998, some of which begin with a dot.
	for (my $n = 0; length $text < $size; $n++) {
		my $len = $n * 37 % 998;

		$text .= ($n % 5 ? '' : '.') . chr(33 + $n % 94) x $len . "\n";
	}
	return substr($text, 0, $size - 1) . "\n";
}

# Message number i of a port: { number, shape, to, argv, input, body }.
sub compose
{
	my ($i, $port, $big) = @_;
	my ($shape, $make, $eol) = @{ $shapes[$i % @shapes] };
	my ($extra, $body) = $make->();
	my $number = "$port-$i";
	my $n = $big ? 1 : $i % 50 == 7 ? 100 : 1 + $i % 4;
	my @to = map { "r$_.$number\@host$_.example.org" } 1 .. $n;
	my ($head, $input);

	($shape, $extra, $body, $eol) = ("$big octets", '', body_of_size($big)) if $big;
	$head = 'From: ' . SENDER . "\nSubject: $shape\nX-Number: $number\n$extra";
	# Every third takes its recipients from the header, some from the Bcc there.
	my @argv = ('-i', '--', @to);
	if ($i % 3 == 0) {
		my @bcc = @to > 2 ? splice(@{ [@to] }, -1) : ();
		my %hidden = map { $_ => 1 } @bcc;

		@argv = ('-i', '-t');
		$head .= 'To: ' . join(",\n ", grep { !$hidden{$_} } @to) . "\n";
		$head .= "Bcc: @bcc\n" if @bcc;
	}
	$input = $head . (defined $body ? "\n$body" : '');
	$input =~ s/\r?\n/$eol/g if $eol;
	return { number => $number, shape => $shape, to => \@to, argv => \@argv, input => $input, body => $body };
}

# -- the two offices, one a port

sub free_ports
{
	my @s = map { IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1, Proto => 'tcp') } 1 .. 2;

	return map { $_->sockport } @s;
}

my %port;
@port{qw(starttls implicit)} = free_ports();
my %office;
for my $tls (sort keys %port) {
	my $path = "$T/office/$tls.ini";

	ini(-path => $path,
	    smarthost => { host => 'localhost', 'tls-name' => undef, port => $port{$tls}, tls => $tls, 'tls-ca-file' => "$postfix/ca.pem" },
	    queue => { directory => "$T/office/$tls" });
	$office{$tls} = { spool => "$T/office/$tls", env => { SUBPOST_CONFIG => $path } };
}

sub queue_of
{
	my $office = shift;

	return sort grep { m{/[0-9A-Z]{20}$} } glob "$office->{spool}/queue/*";
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

# -- queueing, while nobody listens

my (%sent, @refused);
for my $tls (sort keys %port) {
	my $office = $office{$tls};

	for my $i (1 .. EACH) {
		my $big = $i == EACH ? 30 * MIB : $i % 45 == 5 && $i < EACH - 10 ? MIB : 0;

		$big = MIB if $tls eq 'starttls' && $i == 51;
		my $m = compose($i, $tls, $big);
		my $r = $big > MIB ? weighed_sendmail($m->{argv}, $m->{input}, $office->{env}) :
		    sendmail($m->{argv}, $m->{input}, env => $office->{env});

		push @refused, "$m->{number} ($m->{shape}): $r->{status} $r->{err}" if $r->{status} != 0;
		delete $m->{input};
		$sent{ $m->{number} } = $m;
	}
}
# A start that was left half-way could not be undone: a signal waits for its end.
my $interrupted = 0;
my $started = do {
	local @SIG{qw(TERM INT HUP ALRM)} = (sub { $interrupted = 1 }) x 4;
	$running = 1;
	system("$tool start $postfix $B $port{starttls} $port{implicit} > $T/reason");
};
exit 1 if $interrupted;
if ($started >> 8 == 77) {
	$running = 0;
	chomp(my $reason = slurp("$T/reason"));
	plan(skip_all => $reason);
}
is($started, 0, 'Postfix runs');
is("@refused", '', 2 * EACH . ' messages of every shape are taken while nobody listens');

# A queue file is its stamp and envelope, an empty line, the text.
my $not_whole = 0;
for my $tls (sort keys %office) {
	for my $path (queue_of($office{$tls})) {
		my $file = slurp($path);
		my $at = index $file, "\n\n";
		my ($number) = substr($file, $at, 4096) =~ /^X-Number: (\S+)$/m;

		if ($at < 0 || !defined $number) {
			$not_whole++;
			next;
		}
		$sent{$number}{queued} = substr $file, $at + 2;
	}
}
is(scalar(grep { defined $_->{queued} } values %sent), 2 * EACH, 'and all of them are in the queues');
is($not_whole, 0, 'and nothing else is');

# The body as it was given, line ends aside; the header grows at the counter.
sub has_body
{
	my $m = shift;
	my $at = index $m->{queued}, "\n\n";
	my $body = $m->{body} // '';

	$body =~ s/\r+\n/\n/g;
	return $at < 0 ? $body eq '' : substr($m->{queued}, $at + 2) eq $body;
}

is(join(', ', map { "$_->{number} ($_->{shape})" } grep { !has_body($_) } values %sent), '',
    'every body is queued as it was given, octet for octet');

# -- delivery

my $expected = 0;
$expected += @{ $_->{to} } for values %sent;
for my $tls (sort keys %office) {
	my $r = subpost('retry', 'all', { env => $office{$tls}{env} });

	is($r->{status}, 0, "retry sends what waits ($tls)") or diag($r->{err});
}
my $begun = time;
ok(wait_for(sub {
	weigh_all();
	sleep 0.02;
	return !map { queue_of($_) } values %office;
}, 120, 'both queues to be empty'), 'both queues become empty');
my $drained = time - $begun;

sub delivered
{
	opendir my $dh, "$postfix/maildir/new" or return 0;
	return scalar grep { !/^\./ } readdir $dh;
}

ok(wait_for(sub { sleep 0.05; delivered() >= $expected }, 120, "$expected deliveries"),
    'every recipient of every message has something in the Maildir');
is(delivered(), $expected, 'and nobody has anything twice');
is(scalar(glob("$T/office/*/failed/*") // ''), '', 'nothing was given up');

# -- what arrived, less what Postfix put in front

my $trace = qr/\AReturn-Path: <(?<from>.*)>\nX-Original-To: (?<to>.*)\nDelivered-To: .*\n(?<received>Received: from .*\n(?:[ \t].*\n)+)/;
my (%got, @strange, @open, @other_sender, %wrong);
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

	push @open, $number if $received !~ /\bwith (?:UTF8SMTP|ESMTP)SA\b/;
	push @other_sender, "$number: $from" if $from ne SENDER;
	if (!$m) {
		push @strange, $path;
		next;
	}
	$got{$number}{$to}++;
	my $want = $m->{queued};
	$want .= "\n" if $want !~ /\n\z/;
	$wrong{$number} //= difference($rest, $want) if $rest ne $want;
}

sub difference
{
	my ($have, $want) = @_;
	my $same = ($have ^ $want) =~ /\A(\0*)/ ? length $1 : 0;
	my @show = map { s/([^ -~])/sprintf '\\x%02x', ord $1/ger }
	    map { substr $_, $same > 20 ? $same - 20 : 0, 60 } $have, $want;

	return sprintf 'octet %d of %d and %d: arrived "%s", queued "%s"', $same, length $have, length $want, @show;
}

sub recipients_differ
{
	my $m = shift;

	return join(' ', sort @{ $m->{to} }) ne join(' ', sort keys %{ $got{ $m->{number} } // {} });
}

is("@strange", '', 'nothing arrived that was not sent');
is(join(', ', map { "$_->{number} ($_->{shape})" } grep { recipients_differ($_) } values %sent), '',
    'each message reached exactly its recipients, one to a hundred of them');
is("@other_sender", '', 'each came from the sender it was given');
is("@open", '', 'each came over TLS and with a login');
for my $tls ('starttls', 'implicit') {
	my @bad = grep { /^$tls-/ } sort keys %wrong;

	is(scalar @bad, 0, "each message that came by $tls is what was queued, octet for octet");
	diag("$_ ($sent{$_}{shape}): $wrong{$_}") for @bad;
}

diag(sprintf '%d messages to %d recipients in %.1f s', 2 * EACH, $expected, $drained);
diag('most memory ever resident, with a message of 30 MiB: ' .
    join ', ', map { sprintf '%s %.2f MiB', $_, $memory{$_} / 1024 } sort keys %memory);

$running = 0;
is(system($tool, 'stop', $postfix), 0, 'Postfix leaves no process behind');
done_testing;
