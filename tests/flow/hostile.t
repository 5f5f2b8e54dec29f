# A smarthost that means harm, or does not know better: what it can cost us at most is that
# a message is not sent now.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

my $n = 0;      # of the messages sent so far

$BIN = "$B/tests/fast";
time_limit(500);

# A message to so many through a new server; when nothing moves any more it is looked at.
# A home and a queue of its own are not needed: the queue is emptied first.
sub meet
{
	my ($script, %o) = @_;
	my $s = smarthost(script => $script, args => $o{args} // [ '--plain' ], wire => { free => 1 });
	my @to = map { "r$_." . ($n + 1) . '@example.org' } 1 .. ($o{to} // 1);

	subpost('delete', queue_ids()) if queue_ids();
	$n++;
	unlink spool() . '/log';
	ini(smarthost => { connections => 1, 'keep-open' => 0 }, queue => { retry => '1h', 'retry-refused' => '1h' });
	sendmail([ '-i', @to ], "Subject: $n\n\nx\n")->{status} == 0 or diag("message $n was not taken");
	$o{meanwhile}->($s) if $o{meanwhile};
	wait_for(sub { $s->turns }, 60, 'a connection and its end');
	wait_rest($s);
	my @all = $s->messages;
	my $here = {
		s => $s,
		got => scalar(map { @{ $_->{to} } } grep { $_->{from} !~ /^<>/ } @all),
		waits => scalar(queue_ids()),
		bounces => [ grep { $_->{from} =~ /^<>/ } @all ],
		log => slurp(spool() . '/log') // '',
	};
	$here->{s}->stop if !$o{stays};
	return $here;
}

sub is_sent
{
	my ($promise, $script, %o) = @_;
	my $r = meet($script, %o);

	ok($r->{got} == ($o{to} // 1) && !$r->{waits} && !@{ $r->{bounces} }, $promise)
	    or diag("got $r->{got}, waits $r->{waits}\n", $r->{s}->dialogue, $r->{log});
}

sub waits
{
	my ($promise, $script, %o) = @_;
	my $r = meet($script, %o);

	# What begins like a yes the server calls one, and has kept the text: nobody else may.
	ok(($script =~ /^dot/ || $r->{got} == 0) && $r->{waits} == 1 && !@{ $r->{bounces} }, $promise)
	    or diag("got $r->{got}, waits $r->{waits}\n", $r->{s}->dialogue, $r->{log});
	return $r;
}

# -- replies as they may come

for my $code ('250', '250 ', '250 \xff\x80', '250 ' . 'x' x 600, '250-\r\n250') {
	is_sent("S-12: a yes is one, whatever stands behind it: $code" =~ s/x{9,}/.../r, join '',
	    map { "$_ send \"$code\\r\\n\"\n" } qw(mail rcpt dot rset));
}
is_sent('S-13: a yes is one by its first digit', "mail reply \"254 x\"\nrcpt reply \"259 x\"\ndot reply \"299 x\"");
for (432, 459, 499) {
	waits("S-13: $_ to RCPT is for later", "rcpt reply \"$_ odd\"");
}
is(scalar(@{ meet('rcpt ~"<r" reply "599 odd"')->{bounces} }), 1, 'S-13: 599 to RCPT bounces');
{
	my @at = qw(greeting mail rcpt dot);

	for my $reply ('199 x', '600 x', '25x ok', '2500 ok', '25', 'x', '99999999999 x', '250ok', ' 250 ok', '') {
		waits("S-14: \"$reply\" is no reply ($at[0])", "$at[0] #1 send \"$reply\\r\\n\"");
		push @at, shift @at;
	}
}
is_sent('S-15: any command may have an answer in lines, whose last one may be bare', join '',
    map { my ($e, $c) = @$_; "$e send \"$c-a\\r\\n$c-b c\\r\\n$c\\r\\n\"\n" }
    [ greeting => 220 ], [ mail => 250 ], [ rcpt => 250 ], [ data => 354 ], [ dot => 250 ], [ quit => 221 ]);
for my $at (qw(greeting ehlo mail rcpt dot)) {
	waits("S-16: codes that differ within one reply end the connection ($at)", "$at #1 send \"250-a\\r\\n550 b\\r\\n\"");
}
is_sent('S-17: lines of 4 KiB, and two hundred of them', 'ehlo send "250-x\r\n' . ('250-' . 'y' x 500 . '\r\n') x 99 .
    ('250-Z' . 'z' x 4000 . '\r\n') . '250-PIPELINING\r\n' x 99 . "250 AUTH PLAIN\\r\\n\"\n");
is_sent('C1: replies in pieces of an octet or two', join '', map { my ($e, $r) = @$_;
    "$e " . join(' delay 1 ', map { "send \"$_\"" } $r =~ /(\\r\\n|[^\\])/g) . "\n" }
    [ greeting => '220 hello\r\n' ], [ mail => '250-a\r\n250 b\r\n' ], [ rcpt => '250 ok\r\n' ], [ data => '354 go\r\n' ],
    [ dot => '250 2.0.0 ok\r\n' ]);

# -- too much

# The most that any courier of ours has had in memory, in KiB, as long as it can be seen.
sub peak
{
	my $done = shift;
	my $peak = 0;

	wait_for(sub {
		for (processes(qr/^subpost-courier/)) {
			my ($kib) = (slurp("/proc/$_/status") // '') =~ /^VmHWM:\s+(\d+)/m;

			$peak = $kib if defined $kib && $kib > $peak;
		}
		return $done->();
	}, 60, 'the end of it');
	return $peak;
}

my $usual = 0;
my $x = 'x' x 16384;

meet('ehlo delay 300 default', meanwhile => sub { my $s = shift; $usual = peak(sub { $s->turns }) });
cmp_ok($usual, '>', 0, 'what a courier usually has in memory can be seen');
for (
	[ 'C2: a gigabyte in one line', "ehlo send \"250-\" repeat 65536 \"$x\" fin" ],
	[ 'C2: a reply that never ends', "ehlo repeat 50000000 \"250-x\\r\\n\" fin" ],
	[ 'C2: a gigabyte that nobody asked for', "mail send \"250 ok\\r\\n\" repeat 65536 \"$x\\r\\n\" fin" ],
) {
	my ($what, $script) = @$_;
	my $peak = 0;

	waits("$what: it waits", $script, meanwhile => sub { my $s = shift; $peak = peak(sub { $s->turns }) });
	cmp_ok($peak, '<', $usual + 16384, "$what: in at most 16 MiB more than usual ($usual KiB)");
}
{
	my $begun = time;

	waits('T-03: an octet now and then does not make a reply last longer', 'greeting trickle 20 "220-x\r\n"');
	cmp_ok(time - $begun, '>=', 5, 'it had its five minutes');
}

# -- at the end of a text

waits("C4: a connection that ends before the answer to the text: $_", "dot #1 $_") for qw(fin reset drop bye);
waits('C4: a goodbye in TLS, and no end of the connection', 'dot #1 bye', args => [ '--starttls' ]);
{
	my $here = meet('dot #1 keep drop', stays => 1);
	my @ids;

	subpost('retry', 'all');
	wait_empty(20);
	@ids = map { $_->{eml} =~ /^(Message-ID: .*)/mi } $here->{s}->messages;
	is(scalar(@ids), 2, 'C4: what may have arrived is sent again');
	is($ids[0], $ids[1], 'C4: under the same Message-ID');
	$here->{s}->stop;
}

{
	my $here = meet('rcpt #1 reply "450 4.2.0 later"', stays => 1);
	my @said;

	subpost('retry', 'all');
	wait_empty(20);
	@said = map { [ $here->{s}->raw($_) =~ /^((?:MAIL|RCPT) .*)\r$/mg ] } 1, 2;
	is(scalar(@{ $said[1] }), 2, 'S-20: what drew a 4yz is asked again');
	is_deeply($said[1], $said[0], 'S-20: unchanged');
	$here->{s}->stop;
}

# -- words

my $evil = '\x1b]0;owned\x07\x1b[2J\x9b31m \xe2\x80\xae\xe2\x80\x8b %n%s%p ${run{/bin/touch /tmp/x}} `id` $(id) \\" sent id=X status=sent \\x00';
{
	my $here = waits('C5: escapes in an answer', "rcpt reply \"450 4.2.1 $evil\"");
	my $queue = subpost('queue');

	for ([ 'mailq', mailq()->{out} ], [ 'subpost queue', $queue->{out} ],
	    [ 'subpost show', subpost('show', queue_ids())->{out} ], [ 'the log', $here->{log} ]) {
		unlike($_->[1], qr/[^ -~\n\t]/, "C5: no octet of them reaches a terminal by $_->[0]");
		like($_->[1], qr/%n%s%p/, "C7: a format is text in $_->[0]");
	}
	is(scalar(() = $here->{log} =~ /^\S+ \S+ sent /mg), 0, 'C6: nothing in the log says that it was sent');
	is(scalar(() = $here->{log} =~ /^\S+ \S+ deferred id=/mg), 1, 'C6: an answer is one line of the log');
}
{
	my $here = meet("rcpt ~\"<r\" reply \"550 5.1.1 $evil\"");
	my ($bounce) = @{ $here->{bounces} };

	is(scalar(@{ $here->{bounces} }), 1, 'C8: an answer full of commands bounces once');
	unlike($bounce->{eml} // "\e", qr/[^ -~\r\n\t]/, 'C5: its escapes do not come through');
	like($bounce->{eml} // '', qr/\$\{run/, 'C8: and what looks like a program is text');
	ok(!-e '/tmp/x', 'C8: which nobody has run');
}
{
	my $here = meet("mail ~\"<>\" reply \"550 5.7.1 no\"\nrcpt ~\"<r\" reply \"550 5.1.1 no\"");

	is(scalar(@{ $here->{bounces} }), 0, 'T-14: a report that is refused draws no other');
	is(scalar(() = $here->{log} =~ /^\S+ \S+ reported /mg), 1, 'C8: one was written');
}
done_testing;
