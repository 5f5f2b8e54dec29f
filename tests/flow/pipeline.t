# Many messages and many recipients on one connection: how often the line is crossed, and
# what the server's limits come to.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Time::HiRes 'sleep';
use Witness;

time_limit(300);

my $OFFER = 'offer PIPELINING "SIZE 104857600" 8BITMIME ENHANCEDSTATUSCODES DSN "AUTH PLAIN LOGIN"';
my %ONE = (connections => 1, 'messages-per-connection' => 1000, 'keep-open' => 0);
my $s;

sub begin
{
	my ($script, $args, %account) = @_;

	start_anew($s ? $s : ());
	$s = smarthost(script => $script, args => $args // [],
	    wire => { depth => $account{'pipeline-depth'} // 1 });
	ini(smarthost => { %ONE, %account }, queue => { retry => '1s', 'retry-refused' => '1h' });
}

# So many messages, which wait until all are there.
sub post
{
	my ($n, @to) = @_;

	@to = 'bob@example.org' if !@to;
	for (1 .. $n) {
		my $r = sendmail([ @to ], "Subject: letter $_.\n\nbody of $_\n");

		fail("sendmail: $r->{status} $r->{err}") if $r->{status} != 0;
	}
	$s->release('all');
}

sub all_arrive
{
	my ($n, $promise) = @_;

	ok($s->wait_messages($n, 60) && wait_empty(60), $promise);
	wait_no_runner(20);
	$s->stop;
	is(join(' ', map { scalar arrived($s, "letter $_.") } 1 .. $n), join(' ', (1) x $n), 'each once');
	is(join('; ', $s->violations), '', 'and no rule is broken');
}

# The recipients of each transaction, in their order.
sub transactions
{
	return map { scalar @{ $_->{to} } } $s->messages;
}

# -- how often the line is crossed

for my $case ([ 'with DATA', "$OFFER\n" ], [ 'with CHUNKING', "$OFFER CHUNKING\n" ]) {
	my ($how, $offer) = @$case;

	begin("${offer}connect #1 wait all\n");
	post(40);
	all_arrive(40, "E-05: $how forty messages that wait go at once");
	is(connections($s), 1, 'over one connection');
	# EHLO, STARTTLS, the handshake, EHLO, AUTH, the first group, QUIT, and an answer that is
	# not there in time for the next.
	my $turns = ($s->turns)[0]{turns};
	cmp_ok($turns, '<=', 40 + 10, "and the client waits once for each: $turns times in all");
}

begin("$OFFER CHUNKING\nconnect #1 wait all\n", [], 'pipeline-depth' => 8);
post(40);
all_arrive(40, 'E-13: with pipeline-depth = 8 all arrive');
{
	my $said = $s->raw(1);

	my $data = () = $said =~ /^DATA\r$/mg;

	is($data + (() = $said =~ /^BDAT \d+ LAST\r$/mg), 40, 'by BDAT or DATA');
	ok($data > 0 && $data < 20, "and most by BDAT, with one by DATA behind each window as its proof: $data times");
}

# -- whether a server copes with that, without a message

for my $case ([ "$OFFER CHUNKING\n", qr/^ok +copes with pipeline-depth = 8 /m, 'a server that answers in step' ],
    [ "$OFFER\n", qr/^note +pipeline-depth = 8 is not for this server: the server does not offer CHUNKING/m,
	'one that does not offer CHUNKING' ],
    [ "$OFFER CHUNKING\nbdat #3 ignore\n", qr/^note +pipeline-depth = 8 is not for this server: .*number 3 was answered: 250/m,
	'one that forgets an answer' ],
    [ "$OFFER CHUNKING\nmail #5 send \"250 ok\\r\\n250 ok\\r\\n\"\n", qr/^note .*a text for nobody of number 5 was answered: 250 ok/m,
	'one that answers twice' ],
    [ "$OFFER CHUNKING\nbdat #2 reply \"250 taken\"\n", qr/^note .*number 2 was answered: 250 taken/m,
	'one that takes a text for nobody' ]) {
	my ($script, $said, $who) = @$case;

	start_anew($s);
	$s = smarthost(script => $script, wire => { free => 1 });
	ini(smarthost => {});
	my $r = subpost('check', '--depth', '8');
	like($r->{out}, $said, "E-13: $who is told apart before pipeline-depth is set");
	is($r->{status}, 0, 'and the account is good');
	is(scalar(grep { @{ $_->{to} } } $s->messages), 0, 'nobody gets anything for that');
}
for my $bad ('', '0', '33', 'x') {
	is(subpost('check', '--depth', length $bad ? $bad : ())->{status}, 64, "--depth '$bad' is no use");
}

# -- limits

begin("$OFFER\nrcpt :101- reply \"452 4.5.3 too many recipients\"\n", [], 'recipients-per-message' => 1000);
post(1, map { "r$_\@example.org" } 1 .. 350);
ok($s->wait_messages(4, 60) && wait_empty(60), 'L-08: who is too many for one transaction goes with the next');
wait_no_runner(20);
$s->stop;
is(join(' ', transactions()), '100 100 100 50', 'of as many as the server took');
is(scalar(my @got = split / /, got($s, 'letter 1.')), 350, 'all get it, each once');
unlike(got($s, 'letter 1.'), qr/\*/, 'and nobody twice');
is(connections($s), 1, 'over one connection');
is(join('; ', $s->violations), '', 'and no rule is broken');

begin("$OFFER\n");
post(1, map { "r$_\@example.org" } 1 .. 250);
ok($s->wait_messages(3, 60) && wait_empty(60), 'L-07: a hundred recipients a transaction, unless the account says otherwise');
wait_no_runner(20);
$s->stop;
is(join(' ', transactions()), '100 100 50', 'and the rest in the next');
is(connections($s), 1, 'over one connection');

begin("$OFFER \"LIMITS RCPTMAX=3\"\n");
post(1, map { "r$_\@example.org" } 1 .. 8);
ok($s->wait_messages(3, 60) && wait_empty(60), 'E-30: RCPTMAX is kept to');
wait_no_runner(20);
$s->stop;
is(join(' ', transactions()), '3 3 2', 'in each transaction');
is(join('; ', $s->violations), '', 'and no rule is broken');

begin("$OFFER \"LIMITS RCPTDOMAINMAX=1\"\n");
post(1, 'a@one.example', 'b@two.example', 'c@ONE.example', 'd@three.example', 'e@two.example');
ok($s->wait_messages(3, 60) && wait_empty(60), 'E-30: RCPTDOMAINMAX is kept to');
wait_no_runner(20);
$s->stop;
is(join(' ', transactions()), '2 2 1', 'in each transaction');
is(join('; ', $s->violations), '', 'and no rule is broken');

begin("$OFFER \"LIMITS MAILMAX=2\"\nconnect #1 wait all\n");
post(5);
all_arrive(5, 'E-30: MAILMAX is kept to');
is(connections($s), 3, 'with as many connections as that takes');
unlike(log_text(), qr/ down /, 'and nobody is blamed');

# -- the server's own end of a session

for my $case ([ 'hangs up', 'dot /5 default drop' ], [ 'says 421', 'mail /6 reply "421 4.7.0 enough for now"' ],
    [ 'closes', 'dot /5 default fin' ]) {
	my ($how, $rule) = @$case;

	begin("$OFFER\n$rule\nconnect #1 wait all\n", [], 'keep-open' => '1s');
	post(12);
	all_arrive(12, "S-19: a server that $how after five messages is called again at once");
	is(connections($s), 3, 'as often as that takes');
	unlike(log_text(), qr/ down /, 'and the account is not blamed');
}

# -- whose dialogue is whose

for my $case ([ 'with DATA', "$OFFER\n" ], [ 'with CHUNKING', "$OFFER CHUNKING\n" ],
    [ 'in a window', "$OFFER CHUNKING\n", 'pipeline-depth' => 4 ]) {
	my ($how, $offer, %account) = @$case;

	begin("${offer}connect #1 wait all\nrcpt ~busy reply \"450 4.2.1 mailbox busy\"\n", [], %account);
	my @to = ('first@one.example', 'busy@two.example', 'third@three.example');
	sendmail([ $_ ], "Subject: to $_\n\nbody\n") for @to;
	$s->release('all');
	ok($s->wait_messages(2), "of three that go together, $how, one is put off");
	ok(wait_for(sub { my @r = rows(); @r == 1 && $r[0]{state} eq 'waiting' }, 10, 'the one'), 'and waits');
	my $shown = subpost('show', (queue_ids())[0])->{out};

	like($shown, qr/^ *<<< 220 .*^ *>>> MAIL FROM:.*^ *>>> RCPT TO:<busy\@two\.example>.*^ *<<< 450 4\.2\.1 mailbox busy/ms,
	    'its dialogue is shown, with the beginning of the connection');
	unlike($shown, qr/one\.example|three\.example/, 'and nothing of what was said of the others');
	unlike($shown, qr/correct|>>> AUTH PLAIN (?!\[hidden\])/, 'and no secret');
}

# -- a server from before EHLO

begin("ehlo ~EHLO reply \"502 5.5.1 what?\"\n", [ '--plain', '--no-auth' ], auth => 'none', user => undef,
    'password-file' => undef);
post(3);
all_arrive(3, 'S-04: where neither TLS nor a login is wanted, a server that knows only HELO will do');
like($s->dialogue, qr/^C: HELO client\.example\.net$/m, 'which is said');
unlike($s->dialogue, qr/^C: MAIL FROM:<[^>]*> ./m, 'and nothing that was not offered');

begin("ehlo ~EHLO #2- reply \"502 5.5.1 what?\"\n");
post(1);
log_has(qr/ down .*EHLO answered: 502/);
unlike($s->dialogue, qr/^C: HELO/m, 'S-04: inside TLS it will not do');

# -- a session that ends before what it took is proven says nothing good of the server

{
	begin("$OFFER CHUNKING\nbdat #1 wait all default\nmail #2 reply \"421 4.7.0 not you\"");
	ini(smarthost => \%ONE, queue => { retry => '1h' });
	sendmail([ 'bob@example.org' ], "Subject: letter 1.\n\nbody\n");
	ok(wait_for(sub { $s->dialogue =~ /^C: BDAT/m }, 10, 'BDAT'), 'while the first of two messages is not answered');
	sendmail([ 'bob@example.org' ], "Subject: letter 2.\n\nbody\n");
	ok(log_has(qr/(?: queued .*){2}/s), 'the other is given to the same connection');
	$s->release('all');
	ok(log_has(qr/ down /), 'and the second then draws the end of the session');
	like(subpost('status')->{out}, qr/is down since .*not you/, 'which people are told');
	is(connections($s) . (log_text() =~ / up /), '1', 'and the server is left alone');
}

start_anew($s);
done_testing;
