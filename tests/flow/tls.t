# Nothing is said to a smarthost that has not proved who it is, and the secret
# is shown to nobody else.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;
use MIME::Base64 'encode_base64';

time_limit(300);

my $SECRET_FILE = "$HOME/.config/subpost/password";
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
	my ($subject, @args) = @_;
	my $r = sendmail([ @args, 'bob@example.org' ], "Subject: $subject\n\nbody\n");

	fail("$subject: sendmail ended with $r->{status}: $r->{err}") if $r->{status} != 0 || $r->{err} ne '';
}

# Every octet that was said to the smarthost, on whatever connection.
sub all_raw
{
	return join '', map { slurp($_) // '' } glob $s->dir . '/raw.*';
}

sub the_reason
{
	return first_row()->{reason} // '';
}

sub first_row
{
	return (rows())[0] // {};
}

# -- a smarthost that is not who it should be

my $OTHER_CA = do {
	my $other = smarthost();
	$other->stop;
	$other->ca;
};
my @CERTIFICATES = (
	[ 'is for another name', [ '--cert', 'wrong-name' ], qr/certificate of localhost is for another name|name/ ],
	[ 'has expired', [ '--cert', 'expired' ], qr/expired/ ],
	[ 'is not valid yet', [ '--cert', 'not-yet' ], qr/not (?:yet )?valid|clock/ ],
	[ 'is signed by itself', [ '--cert', 'self-signed' ], qr/tls-ca-file|trust|unknown|self/ ],
	[ 'has its name in the subject only', [ '--cert', 'no-san' ], qr/name/ ],
	[ 'is signed by another of that name', [], qr/signature|trust/, sub { $OTHER_CA } ],
	[ 'nobody has signed whom the system trusts', [], qr/tls-ca-file/, sub { undef } ],
);
my @STRIPPED = (
	[ 'D1, X-04: a server that does not offer STARTTLS', 'offer-clear PIPELINING "SIZE 1000" "AUTH PLAIN LOGIN"', qr/offers no encryption/ ],
	[ 'D1, X-04: a server that offers XXXXXXXX instead', 'offer-clear PIPELINING XXXXXXXX "AUTH PLAIN LOGIN"', qr/offers no encryption/ ],
	[ 'D1, X-07: a server that says 454 to STARTTLS', 'starttls reply "454 4.7.0 not now"', qr/STARTTLS answered: 454/ ],
	(map { [ "D1, X-07: a server that says $_ to STARTTLS", "starttls reply \"$_ 5.5.1 no\"", qr/STARTTLS/ ] } 250, 501, 502, 503),
	[ 'D1, X-07: a server that says 500 to STARTTLS', 'starttls reply "500 5.5.1 what?"', qr/STARTTLS answered: 500/ ],
	[ 'D2, X-11: a server that goes on in the clear after its 220', 'starttls send "220 ready\r\n250-localhost\r\n250 AUTH PLAIN\r\n"', qr/tampering/ ],
	[ 'D2, X-11: a server that goes on in the clear a moment later', 'starttls send "220 ready\r\n" delay 30 send "250-localhost\r\n250 AUTH PLAIN\r\n"', qr/tampering|TLS/ ],
);

# Queues a message for a smarthost that must not be told anything, and then has
# the fault mended.
sub try_impostor
{
	my ($what, $reason, $args, $script, %over) = @_;
	my @mode = grep { $_ eq '--implicit' } @$args;
	my $port;

	begin($args, $script, %over);
	post('precious');
	log_has(qr/ down /);
	wait_for(sub { !couriers() }, 10, 'the courier to leave');
	unlike(all_raw(), qr/MAIL|RCPT|DATA|AUTH|precious/i, "$what: it is told nothing");
	like(the_reason(), $reason, 'the list says why');
	is(join(' ', map { $_ // '' } first_row()->@{qw(state tries)}), 'waiting 0', 'and the message waits, without blame');
	$port = $s->port;
	$s->stop;
	$s = smarthost(args => [ '-p', $port, @mode ]);
	ini();
	subpost('retry', 'all');
	ok($s->wait_messages(1) && wait_empty(), 'when the fault is mended it goes');
	is((($s->messages)[0] // {})->{tls}, 'yes', 'encrypted');
}

for my $mode ('--starttls', '--implicit') {
	for my $case (@CERTIFICATES) {
		my ($what, $args, $reason, $ca) = @$case;

		try_impostor("X-03, D3: a certificate that $what ($mode)", $reason, [ $mode, @$args ], undef,
		    $ca ? (smarthost => { 'tls-ca-file' => $ca->() }) : ());
	}
}
for my $case (@STRIPPED) {
	my ($what, $script, $reason) = @$case;

	try_impostor($what, $reason, [], $script);
}
try_impostor('X-12: implicit TLS to a server that speaks in the clear', qr/TLS/, [ '--starttls' ], undef,
    smarthost => { tls => 'implicit' });
for my $version ('1.0', '1.1') {
	try_impostor("X-06: a server that knows nothing newer than TLS $version", qr/TLS/,
	    [ '--priority', "NORMAL:-VERS-ALL:+VERS-TLS$version:%COMPAT" ], undef);
}

for my $priority ('NORMAL:-VERS-ALL:+VERS-TLS1.2', 'NORMAL:-VERS-ALL:+VERS-TLS1.3') {
	for my $mode ('--starttls', '--implicit') {
		begin([ $mode, '--priority', $priority ], undef);
		post('good');
		ok($s->wait_messages(1) && wait_empty(), "$mode with $priority: mail goes");
		is(join('; ', $s->violations), '', 'and no rule is broken');
	}
}

# Both wait for the other's first octet: the likeliest mistake with a port, and
# without a word it would look like a program that hangs.
{
	begin([ '--implicit' ], undef, smarthost => { tls => 'starttls' });
	my $p = start([ "$B/subpost", 'check' ]);
	ok(wait_for(sub { slurp("$p->{io}.out") =~ /^note .*check port and tls/m }, 15),
	    'STARTTLS where TLS is from the first octet: subpost check tells of the silence');
	kill 'TERM', $p->pid;
	isnt($p->wait(5)->{status}, 0, 'and can be ended');
}

# -- without TLS

{
	my %none = (tls => 'none', 'tls-name' => undef, 'tls-ca-file' => undef);
	my $r;

	begin([ '--plain' ], undef);
	post('in the clear');
	ok($s->wait_messages(1), 'tls = none with a login is for loopback');
	begin([ '--plain' ], undef, smarthost => { %none, host => 'relay.example.net' });
	$r = sendmail([ 'bob@example.org' ], "Subject: x\n\nbody\n");
	is($r->{status}, 78, 'for another host it is an error of the configuration');
	like($r->{err}, qr/^sendmail: [^\n]*tls[^\n]*\n\z/, 'in a line that names the key');
	is(subpost('check')->{status}, 78, 'subpost check says so, too');
	is(scalar(queue_ids()), 0, 'and nothing is queued');
	ini(smarthost => { %none, host => 'relay.invalid', auth => 'none', user => undef, 'password-file' => undef });
	is(sendmail([ 'bob@example.org' ], "Subject: x\n\nbody\n")->{status}, 0, 'without a login another host is allowed');
}

# -- the login

for my $case ([ 'LOGIN', 'offer PIPELINING "AUTH LOGIN"' ], [ 'PLAIN', 'offer PIPELINING "AUTH PLAIN"' ],
    [ 'LOGIN, as servers said it long ago', 'offer PIPELINING "AUTH=LOGIN" "AUTH LOGIN"' ],
    [ 'mechanisms we do not know, and LOGIN', 'offer PIPELINING "AUTH GSSAPI NTLM LOGIN"' ]) {
	begin([], $case->[1]);
	post('login');
	ok($s->wait_messages(1), "a server that offers $case->[0]: mail goes");
	is((($s->messages)[0] // {})->{auth}, 'user@example.net', 'with the login');
	is(join('; ', $s->violations), '', 'and no rule is broken');
}

for my $case ([ 'only mechanisms we do not know', 'offer PIPELINING "AUTH GSSAPI NTLM"' ], [ 'no login at all', 'offer PIPELINING' ]) {
	begin([], $case->[1]);
	post('no way in');
	log_has(qr/ down /);
	unlike(all_raw(), qr/MAIL|AUTH/, "a server that offers $case->[0] is told nothing");
	like(the_reason(), qr/login|auth/i, 'and the list says why');
}

{
	begin([ '--password', 'another one' ], undef, queue => { retry => '1h' });
	post('wrong password 1');
	log_has(qr/ down /);
	like(the_reason(), qr/AUTH answered: 535.*check user and password/, 'a wrong password: the list says so');
	post("wrong password $_") for 2 .. 6;
	log_has(qr/(?: queued .*){6}/s);
	is(scalar(my @a = commands($s, 'AUTH')), 1, 'five more messages do not try it again');
	is(connections($s), 1, 'nor connect');
	# A person's word ends the back-off, but makes no refused password a better one.
	my $downs = 1;
	for my $by ([ 'a queue run', sub { sendmail([ '-q' ], '') } ], [ 'a retry', sub { subpost('retry', 'all') } ]) {
		my ($what, $ask) = @$by;

		$downs++;
		is($ask->()->{status}, 0, "$what is asked for");
		ok(log_has(qr/(?: down .*){$downs}/s) && commands($s, 'AUTH') == 1, 'and does not show it again');
		like(the_reason(), qr/still the same.*mend it in \Q$SECRET_FILE\E/, 'the list says where to mend it');
	}
	spew($SECRET_FILE, "another one\n", 0600);
	subpost('retry', 'all');
	ok(wait_empty(), 'with the right password');
	is(join(' ', map { got($s, "wrong password $_") } 1 .. 6), join(' ', ('bob') x 6), 'all go, each once');
	is(scalar(@a = commands($s, 'AUTH')), 2, 'with one more login');
}

# -- where the password comes from

my $show = spew("$HOME/show", <<'END', 0700);
#!/bin/sh
for word; do printf '%s\n' "$word"; done > "$HOME/argv"
env > "$HOME/env"
echo 'correct horse'
END

sub with_command
{
	return (smarthost => { 'password-file' => undef, 'password-command' => shift });
}

{
	begin([], undef, with_command("$show \$(touch $HOME/pwned) `id` 'two  words' \"a'b\" a;touch|x>y&z \$HOME * ~"));
	post('by command');
	ok($s->wait_messages(1), 'a password command is asked');
	is(slurp("$HOME/argv"), join('', map { "$_\n" } '$(touch', "$HOME/pwned)", '`id`', 'two  words', q(a'b),
	    'a;touch|x>y&z', '$HOME', '*', '~'), 'its words come as they are written: no shell reads them');
	ok(!-e "$HOME/pwned", 'and does nothing of what they say');
	like(slurp("$HOME/env"), qr/^HOME=\Q$HOME\E$/m, 'it finds the home');
}

for my $case ([ 'that fails', 'false', qr/password-command.*1/ ], [ 'that prints nothing', 'true', qr/password-command/ ],
    [ 'that is not there', "$HOME/nothing", qr/password-command/ ]) {
	my ($what, $command, $reason) = @$case;

	begin([], undef, with_command($command));
	post('no password');
	log_has(qr/ down /);
	is(connections($s), 0, "a password command $what: nobody is asked to let us in");
	like(the_reason(), $reason, 'the list says why');
	ini();
	subpost('retry', 'all');
	ok($s->wait_messages(1) && wait_empty(), 'mended, the message goes');
}

for my $case ([ 'others may read', sub { chmod 0644, $SECRET_FILE }, qr/chmod 0600/ ],
    [ 'is not there', sub { unlink $SECRET_FILE }, qr/password/ ],
    [ 'is empty', sub { spew($SECRET_FILE, '', 0600) }, qr/empty|no password/ ],
    [ 'is a directory', sub { unlink $SECRET_FILE; mkdir $SECRET_FILE }, qr/regular|file/ ]) {
	my ($what, $spoil, $reason) = @$case;

	begin([], undef);
	$spoil->();
	post('spoilt file');
	log_has(qr/ down /);
	is(connections($s), 0, "a password file that $what is not used");
	like(the_reason(), $reason, 'the list says why');
	rmdir $SECRET_FILE;
	ini();
	subpost('retry', 'all');
	ok($s->wait_messages(1) && wait_empty(), 'mended, the message goes');
}

# -- the secret is nowhere

my $CANARY = 'Kanari3n-vogel_7Qz';

# Where it might show: as it is, or as AUTH wraps it.
sub shows
{
	my $text = shift // '';

	return $text =~ /\Q$CANARY\E/ || index($text, encode_base64($CANARY, '')) >= 0 ||
	    index($text, encode_base64("\0user\@example.net\0$CANARY", '')) >= 0;
}

sub tree
{
	my @paths = @_;
	my @files;

	while (defined(my $path = shift @paths)) {
		-d $path && !-l $path ? push(@paths, glob("$path/* $path/.[!.]*")) : push(@files, $path);
	}
	return @files;
}

for my $way ('password-file', 'password', 'password-command') {
	my %key = ('password-file' => $SECRET_FILE, password => $CANARY, 'password-command' => "cat $HOME/secret");
	my (@out, @where);

	begin([ '--password', $CANARY ], "mail #1 wait go default\nrcpt ~nobody reply \"550 5.1.1 no such person\"",
	    smarthost => { 'password-file' => undef, $way => $key{$way} });
	spew($SECRET_FILE, "$CANARY\n", 0600);
	spew("$HOME/secret", "$CANARY\n", 0600);
	push @out, sendmail([ 'bob@example.org', 'nobody@example.org' ], "Subject: canary\n\nbody\n");
	ok(wait_for(sub { commands($s, 'MAIL') }, 10, 'MAIL'), "with $way we are logged in");
	for my $pid (processes()) {
		push @where, map { "/proc/$pid/$_" } grep { shows(slurp("/proc/$pid/$_")) } qw(cmdline environ);
	}
	is("@where", '', 'no process shows the secret in its arguments or environment');
	my ($id) = queue_ids();
	push @out, map { subpost(@$_) } [ 'queue' ], [ 'queue', '--json' ], [ 'show', $id ];
	$s->release('go');
	ok($s->wait_messages(2) && wait_empty(), 'the message goes, and a notice of the one who was refused');
	push @out, subpost('check'), mailq();
	is(scalar(grep { shows($_->{out}) || shows($_->{err}) } @out), 0, 'no program of ours prints it');
	is(join(' ', grep { shows(slurp($_)) } tree(spool())), '', 'no file of the queue holds it, the log included');
	is(scalar(grep { shows($_->{eml}) } $s->messages), 0, 'no message and no notice does');
	unlike(all_raw(), qr/\Q$CANARY\E/, 'and the server hears it only as AUTH wraps it');
	ok(shows(all_raw()), 'which it does');
}

{
	my $r;

	begin([ '--password', 'another one' ], undef, smarthost => { 'password-file' => undef, password => $CANARY });
	post('refused canary');
	log_has(qr/ down /);
	$r = subpost('check');
	isnt($r->{status}, 0, 'a refused secret: subpost check fails');
	ok(!shows($r->{out}) && !shows($r->{err}), 'and does not print it');
	is(join(' ', grep { shows(slurp($_)) } tree(spool())), '', 'nor is it in the queue');
	for my $line ("password = $CANARY ; mine", "password $CANARY", "pasword = $CANARY", "$CANARY",
	    "password = $CANARY\n  $CANARY", "password-command = echo $CANARY # x", "port = $CANARY", 'password = ' . $CANARY x 20) {
		ini(slurp("$HOME/.config/subpost/subpost.ini") =~ s/^password = .*\n(?: .*\n)?/$line\n/mr);
		my @out = (sendmail([ 'bob@example.org' ], "Subject: x\n\nbody\n"), subpost('check'));

		ok(!(grep { shows($_->{out}) || shows($_->{err}) } @out), 'no error of the configuration quotes it: ' .
		    (split /\n/, $line =~ s/\Q$CANARY\E/SECRET/gr)[0] =~ s/(?:SECRET)+/SECRET/r);
		ini(smarthost => { 'password-file' => undef, password => $CANARY });
	}
}

start_anew($s);
done_testing;
