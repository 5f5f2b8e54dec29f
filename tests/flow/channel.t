# The channel: when it is encrypted, what is believed of it, and what a server or
# somebody between may do to it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;

time_limit(240);

my $s;

sub begin
{
	my ($args, $script, %over) = @_;

	start_anew($s ? $s : ());
	$s = smarthost(args => $args, script => $script);
	ini(%over);
}

sub post
{
	my $subject = shift;

	return sendmail([ 'bob@example.org' ], "Subject: $subject\n\nbody\n")->{status} == 0;
}

# Commands in their order, without their arguments.
sub said
{
	my $n = shift;

	return join ' ', map { /^C: (\S+)/ ? $1 : () } split /\n/, $s->dialogue($n);
}

# -- ports

for my $row (
    [ 'X-01: without port and tls it is 587 and STARTTLS', {}, 'port 587, STARTTLS' ],
    [ 'X-02: port 465 is TLS from the first octet', { port => 465 }, 'port 465, TLS from the first octet' ],
    [ 'X-02: TLS from the first octet is port 465', { tls => 'implicit' }, 'port 465, TLS from the first octet' ],
    [ 'X-02: behind the host, too', { host => '127.0.0.1:465' }, 'port 465, TLS from the first octet' ],
) {
	my ($promise, $keys, $line) = @$row;

	ini(smarthost => $keys);
	like(subpost('check')->{out}, qr/^account  default: 127\.0\.0\.1 \Q$line\E, /m, $promise);
}

# -- what was said before it does not count

begin([], 'offer-clear STARTTLS PIPELINING "SIZE 10" DSN 8BITMIME SMTPUTF8 CHUNKING "AUTH PLAIN"' . "\n" . 'offer "AUTH PLAIN LOGIN"');
sendmail([ '-N', 'success', '-R', 'hdrs', 'bob@example.org', 'ann@example.org' ], "Subject: x\n\nbody\n");
ok($s->wait_messages(1) && wait_empty(), 'X-08: a server that takes back all that it offered before TLS gets mail');
unlike($s->dialogue, qr/^C: (?:MAIL|RCPT) \S+ (?:.*(?:SIZE|RET|ENVID|BODY|SMTPUTF8|NOTIFY|ORCPT)=|.*\bBODY\b)/m, 'X-08: without what is not offered any more');
unlike($s->dialogue, qr/^C: BDAT/m, 'X-08: nor BDAT');
is(join('; ', $s->violations), '', 'X-08: and commands one at a time');
like(said(1), qr/\AEHLO STARTTLS EHLO AUTH /, 'X-09: EHLO is the first command after the handshake');

begin([], 'offer STARTTLS PIPELINING "AUTH PLAIN"');
ok(post('again') && $s->wait_messages(1), 'X-10: a server that offers STARTTLS once more');
is(scalar(() = commands($s, 'STARTTLS')), 1, 'X-10: is not asked for it twice');
begin([ '--implicit' ], 'offer STARTTLS PIPELINING "AUTH PLAIN"');
ok(post('again') && $s->wait_messages(1), 'X-10: one that offers it where TLS began at once');
is(scalar(() = commands($s, 'STARTTLS')), 0, 'X-10: is not asked at all');

# -- a handshake that fails

for my $row (
    [ 'says something else', 'handshake delay 100 send "HTTP/1.1 400 Bad Request\r\n\r\n"', qr/answered the TLS handshake with something else/ ],
    [ 'sends an alert', 'handshake delay 100 send "\x15\x03\x03\x00\x02\x02\x28"', qr/refused the TLS handshake: Handshake failed/ ],
    [ 'closes', 'handshake delay 100 drop', qr/closed the connection in the TLS handshake/ ],
    [ 'resets', 'handshake delay 100 reset', qr/in the TLS handshake/ ],
) {
	my ($what, $script, $reason) = @$row;

	begin([], $script);
	post('never');
	log_has(qr/ down /);
	wait_for(sub { !couriers() }, 10, 'the courier to leave');
	# One that is faster than our first octet meets another complaint.
	like((rows())[0]{reason}, qr/$reason|before the TLS handshake/, "X-12: a server that $what in the handshake: the list says so");
	unlike($s->raw(1), qr/MAIL|AUTH|QUIT/, 'X-12: and hears nothing more, least of all in the clear');
}

for my $mode ('--starttls', '--implicit') {
	begin([ $mode, '--cert', 'unknown-ca' ], undef);
	post('never');
	log_has(qr/ down /);
	wait_for(sub { !couriers() }, 10, 'the courier to leave');
	is($s->raw(1), $mode eq '--implicit' ? '' : "EHLO client.example.net\r\nSTARTTLS\r\n", "X-12: $mode, and a certificate that is refused: no QUIT in the clear");
}

# -- an end that nobody has announced

for my $version ('1.2', '1.3') {
	for my $stage ('ehlo #2', 'auth', 'mail', 'rcpt', 'data', 'text 1', 'dot') {
		# What was half said is no answer either.
		for my $words ('', $stage =~ /text/ ? () : 'send "250 2.0.0 o" ') {
			begin([ '--priority', "NORMAL:-VERS-ALL:+VERS-TLS$version" ], "$stage " . ($stage =~ /#/ ? '' : '#1 ') . "${words}drop",
			    queue => { retry => '1s' });
			post('once');
			log_has(qr/ down |event=deferred|deferred /, 5);
			subpost('retry', 'all');
			ok($s->wait_messages(1) && wait_empty(), "D6: TLS $version is cut at $stage" . ($words ? ', in the middle of an answer' : '') .
			    ': the message goes later');
			# Here it had taken it, and was half way to say so.
			is(scalar(my @m = $s->messages), $stage eq 'dot' && $words ? 2 : 1, 'D6: and once, unless it was taken');
		}
	}
}
begin([], 'quit reply "221 2.0.0 bye" drop');
ok(post('x') && $s->wait_messages(1) && wait_empty(), 'X-18: a server that ends without close_notify after QUIT has the message');
wait_for(sub { !couriers() }, 10, 'the courier to leave');
unlike(log_text(), qr/ down |deferred|closed the connection/, 'X-18: and nobody is told of it');

# -- the dialogue, aloud

for my $mode ([ '--starttls' ], [ '--implicit' ]) {
	begin($mode, undef);
	my $r = subpost('check', '--verbose');
	my $out = $r->{out};

	is($r->{status}, 0, "check --verbose (@$mode) tries the account");
	like($out, qr/^--- connected to 127\.0\.0\.1 .*^<<< 220 .*^>>> EHLO client\.example\.net\n.*?^<<< 250-localhost\n.*^--- encrypted with TLS 1\.3.*^>>> EHLO .*^>>> AUTH PLAIN \[hidden\]\n.*?^<<< 235 /ms,
	    'and shows the dialogue as it was spoken') if $mode->[0] eq '--starttls';
	like($out, qr/^--- encrypted with TLS 1\.3.*^<<< 220 .*^>>> EHLO client\.example\.net\n.*?^>>> AUTH PLAIN \[hidden\]\n.*?^<<< 235 /ms,
	    'and shows the dialogue as it was spoken') if $mode->[0] ne '--starttls';
	like($out, qr/^ok       connected.*^<<< 220.*^ok       logged in/ms, 'between the steps');
	unlike($out, qr/correct horse|AHVzZXJAZXhhbXBsZS5uZXQAY29ycmVjdCBob3JzZQ/, 'without the secret');
	unlike(subpost('check')->{out}, qr/^(?:<<<|>>>|---)/m, 'which check alone does not');
}
begin([], 'ehlo #2 send "250-localhost\x1b[2J\r\n250 AUTH PLAIN\r\n"');
unlike(subpost('check', '--verbose')->{out}, qr/\x1b/, 'what a server says does nothing to the terminal');
begin([ '--password', 'another' ], undef);
my $r = subpost('check', '--verbose');
like("$r->{status} $r->{out}", qr/\A75 .*^<<< 535 /ms, 'where it fails, too');

# -- several accounts and servers

{
	my ($one, $two) = map { smarthost(args => [ '--implicit' ]) } 1, 2;
	my $closed = smarthost();
	my $port = $closed->port;

	$closed->stop;
	my $keys = "user = user\@example.net\npassword-file = $HOME/.config/subpost/password\ntls = implicit\n" .
	    'tls-pin = ' . join(' ', map { $_->file('pin') =~ s/\n//r } $one, $two) . "\n";
	ini("[smarthost]\nhost = 127.0.0.1:" . $one->port . " 127.0.0.1:" . $two->port . "\n${keys}" .
	    "[smarthost spare]\nhost = 127.0.0.1:$port\n${keys}" . "[smarthost third]\nhost = 127.0.0.1:" . $two->port . "\n$keys");
	my $r = subpost('check');
	like($r->{out}, qr/^account  default: [^\n]*\nserver   127\.0\.0\.1:\d+\n(?:ok [^\n]*\n)+server   127\.0\.0\.1:\d+\n(?:ok [^\n]*\n)+account  spare: .*^account  third: [^\n]*\n(?:ok [^\n]*\n)+\z/ms,
	    'check tries each account, and each server of a list');
	like("$r->{status} $r->{err}", qr/\A75 subpost: cannot reach 127\.0\.0\.1:$port: /, 'and ends with what is wrong');
	is(scalar(() = $two->dialogue =~ /^-- connect /mg), 2, 'the second server was called for both of its accounts');
	$r = subpost('check', 'default', 'third');
	like("$r->{status} $r->{out}", qr/\A0 .*^account  default: .*^account  third: .*^good     mail can be sent$/ms, 'those that are named, and no other');
	unlike($r->{out}, qr/^account  spare/m, 'not the one that is down');
	$r = subpost('check', 'nobody');
	like("$r->{status} $r->{err}", qr/\A64 subpost: the configuration has no account nobody; /, 'an account that is not there is told as that');
	$two->stop;
	$r = subpost('check', 'default');
	like("$r->{status} $r->{out}", qr/\A0 .*^bad      cannot reach .*^good     mail can be sent$/ms, 'an account is good with one of its servers, and the other one is told');
}

# -- how often it waits

# The server counts bursts of ours that follow its words, the handshake's apart: a
# ClientHello, and where TLS begins at once, a Finished, for which it has the greeting.
for my $row ([ '--starttls', 6, 'EHLO STARTTLS (ClientHello) EHLO AUTH MAIL text' ], [ '--implicit', 4, '(ClientHello Finished) EHLO AUTH MAIL text' ]) {
	my ($mode, $most, $words) = @$row;

	for my $version ('1.2', '1.3') {
		begin([ $mode, '--priority', "NORMAL:-VERS-ALL:+VERS-TLS$version" ], undef);
		ok(post('quick') && $s->wait_messages(1) && wait_for(sub { $s->turns }, 20, 'the end of the connection'), "$mode, TLS $version: a message goes");
		# One more is QUIT's.
		cmp_ok(($s->turns)[0]{turns}, '<=', $most + 1, "by one message over a new connection we wait for: $words");
	}
}

# -- what it weighs

# The most that a courier ever had resident, and what it has while a large message passes,
# in KiB; [] where it could not be seen.
sub weigh
{
	my ($size, $bundle) = @_;
	my $status;

	begin([ '--discard' ], 'dot touch here wait on default');
	if ($bundle) {
		spew("$T/bundle.pem", slurp($bundle) . slurp($s->ca), 0644);
		ini(smarthost => { 'tls-ca-file' => "$T/bundle.pem" });
	}
	sendmail([ 'bob@example.org' ], "Subject: large\n\n" . (('x' x 75 . "\n") x ($size / 76)));
	$s->wait_file('here', 60);
	$status = join '', map { slurp("/proc/$_/status") // '' } (couriers())[0] // ();
	$s->release('on');
	wait_empty(20);
	return map { $status =~ /^$_:\s+(\d+) kB/m ? $1 : 1e9 } 'VmHWM', 'VmRSS';
}

SKIP: {
	skip 'a sanitizer has memory of its own', 4 if $B =~ m{/san\z};
	my $bundle = '/etc/ssl/certs/ca-certificates.crt';
	my ($most, $now) = weigh(30 << 20);
	my (undef, $small) = weigh(1024);

	cmp_ok($most, '<=', 6 * 1024, 'with a trust file of one certificate a courier never has more than 6 MiB resident');
	cmp_ok($now, '<=', $small + 1024, 'and 30 MiB of text make less than one of difference');
	skip 'no bundle of CA certificates is installed', 2 if !-s $bundle;
	($most, $now) = weigh(30 << 20, $bundle);
	cmp_ok($most, '<=', 10 * 1024, 'with the bundle of the system, 10 MiB');
	cmp_ok($now, '<=', 6 * 1024, 'which it gives back when the certificate is believed');
}

# -- a machine without certificates

SKIP: {
	skip 'only root can hide the trust store', 3 if $> != 0 || system('unshare -m true 2>/dev/null') != 0;
	begin([], undef, smarthost => { 'tls-ca-file' => undef });
	my $hide = 'for d in /etc/ssl/certs /usr/share/ca-certificates /etc/pki; do test ! -d $d || mount -t tmpfs none $d; done && exec "$@"';
	my $r = run([ 'unshare', '-m', 'sh', '-c', $hide, 'sh', "$B/subpost", 'check' ]);
	like("$r->{status} $r->{err}", qr/\A75 subpost: no CA certificates found in the system's trust store: install the package ca-certificates, or name a file in tls-ca-file\n/,
	    'D10: without the package of CA certificates the package is named');
	is(connections($s), 0, 'D10: and nobody is called');
	$r = run([ 'unshare', '-m', 'sh', '-c', $hide, 'sh', "$B/sendmail", 'bob@example.org' ], stdin => "Subject: x\n\nbody\n");
	ok($r->{status} == 0 && log_has(qr/no CA certificates found/) && queue_ids() == 1 && !glob(spool() . '/failed/*'), 'D10: mail waits for it, and nothing bounces');
}

done_testing;
