# What a sender wishes of a message's way: asked for by options, kept in the
# queue, said to a smarthost that offers it, and obeyed by our own notices.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;

time_limit(180);

my $NOTICE = 'Your message could not be delivered';
my @OFFERS = ('PIPELINING', '"SIZE 1000000"', '8BITMIME', 'ENHANCEDSTATUSCODES', '"AUTH PLAIN LOGIN"');
my $s;

# A smarthost that offers that besides the usual, with that script, and a clean queue.
sub begin
{
	my ($offers, $script, %over) = @_;

	start_anew($s ? $s : ());
	$s = smarthost(script => join("\n", "offer @OFFERS $offers", $script // ''));
	ini(%over, queue => { retry => '1s', 'retry-refused' => '1s', %{ $over{queue} // {} } });
}

# Queues a message of that subject with those arguments, and answers its id.
sub post
{
	my ($subject, @args) = @_;
	my %before = map { $_ => 1 } queue_ids(), queue_ids('failed');
	my $r = sendmail(\@args, "Subject: $subject\n\nbody of $subject\n");

	is("$r->{status}$r->{err}", '0', "$subject is taken");
	return (grep { !$before{$_} } queue_ids(), queue_ids('failed'))[0] // '';
}

# Until nothing waits any more.
sub settled
{
	my $what = shift;

	ok(wait_empty(), "$what: settled");
	ok(wait_no_runner(), "$what: and the runner leaves");
	is(join('; ', $s->violations), '', "$what: no rule was broken");
}

sub notices
{
	return arrived($s, $NOTICE);
}

# -- kept and shown

{
	begin('');
	my $port = $s->port;
	$s->stop;
	my $id = post('kept', '-N', 'success,delay', '-R', 'hdrs', '-V', 'job 42+1', '-B', '8BITMIME', '-U',
	    '-O', 'requiretls=yes', 'ann@example.org', 'ben@example.org');
	my $file = slurp(spool() . "/queue/$id") // '';

	is(($file =~ /^(from .*?\n)\n/ms)[0], join('', map { "$_\n" } 'from user@example.net', 'ret HDRS', 'envid job+2042+2B1',
	    'body 8BITMIME', 'smtputf8 yes', 'requiretls yes', 'to ann@example.org', 'notify SUCCESS,DELAY',
	    'to ben@example.org', 'notify SUCCESS,DELAY'), 'what was wished stands in the queue, in its order');
	my $row = row_of($id);
	is_deeply($row->{wishes}, { ret => 'HDRS', envid => 'job+2042+2B1', body => '8BITMIME', smtputf8 => JSON::PP::true(),
	    requiretls => JSON::PP::true() }, 'the list tells it');
	is(join(' ', map { $_->{notify} } @{ $row->{to} }), 'SUCCESS,DELAY SUCCESS,DELAY', 'of each recipient too');
	my $shown = subpost('show', $id)->{out};
	like($shown, qr/^ret +HDRS\nenvid +job\+2042\+2B1\nbody +8BITMIME\nsmtputf8 +yes\nrequiretls +yes\nto +ann\@example\.org\nnotify +SUCCESS,DELAY\n/m,
	    'and so does subpost show');

	my $plain = post('plain', 'ann@example.org');
	unlike(slurp(spool() . "/queue/$plain") =~ s/\n\n.*//sr, qr/^(?:ret|envid|body|smtputf8|requiretls|notify|orcpt)/m,
	    'who wishes nothing has no such line');
	is_deeply(row_of($plain)->{wishes}, {}, 'nor anything in the list');
	ok(!exists row_of($plain)->{to}[0]{notify}, 'nor have the recipients');
}

# -- said where DSN is offered

for my $case ([ 'DSN', ' RET=FULL ENVID=job+2042', ' NOTIFY=SUCCESS,FAILURE' ], [ '', '', '' ]) {
	my ($offers, $mail, $rcpt) = @$case;
	my $what = $offers ? 'with DSN' : 'without DSN';

	begin($offers);
	my $id = post('wishes', '-N', 'failure,success', '-R', 'full', '-V', 'job 42', 'ann@example.org', 'ben@example.org');
	settled($what);
	is(got($s, 'wishes'), 'ann ben', "$what: everybody gets the message");
	like((commands($s, 'MAIL'))[0] // '', qr/^MAIL FROM:<user\@example\.net> SIZE=\d+\Q$mail\E$/, "$what: MAIL");
	is(join('; ', commands($s, 'RCPT')), join('; ', map { "RCPT TO:<$_\@example.org>$rcpt" } qw(ann ben)), "$what: RCPT");
	my $notes = () = log_text() =~ /courier note="\Q$id\E: the server offers no DSN/g;
	is($notes, $offers ? 0 : 1, $offers ? "$what: the log has nothing to tell" :
	    'E-21: without DSN the wishes are dropped, and the log says so once');
}
{
	begin('');
	post('no wishes', 'ann@example.org');
	settled('no wishes');
	unlike(log_text(), qr/courier note=/, 'where nothing was wished nothing is missed');
}

# -- an alias keeps the name that the sender gave

{
	my $aliases = spew("$HOME/aliases", "ops: ann\@example.org, ben\@example.org\n", 0600);

	begin('DSN', 'rcpt ~ben@ reply "550 5.1.1 no ben"', identity => { aliases => $aliases });
	post('an alias', qw(-N failure ops));
	ok($s->wait_messages(2), 'the notice comes');
	settled('an alias');
	is(join('; ', commands($s, 'RCPT TO:<ann')), 'RCPT TO:<ann@example.org> NOTIFY=FAILURE ORCPT=rfc822;ops@example.net',
	    'the server hears whom the sender had named');
	my ($notice) = map { $_->{eml} } notices();
	like($notice // '', qr/^  ben\@example\.org\r\n    Original recipient: ops\@example\.net\r\n.*no ben/m, 'and so does the sender');
}

# -- REQUIRETLS

for my $offered (0, 1) {
	my $what = $offered ? 'with REQUIRETLS' : 'without REQUIRETLS';

	begin($offered ? 'REQUIRETLS' : '');
	post('confidential', qw(-O requiretls=yes ann@example.org ben@example.org));
	post('common', 'ann@example.org');
	ok($s->wait_messages(2), "$what: two messages come");
	settled($what);
	is(got($s, 'common'), 'ann', "$what: another message is not touched by it");
	is(scalar(my @m = grep { / REQUIRETLS$/ } commands($s, 'MAIL')), $offered, "$what: MAIL");
	is(got($s, 'confidential'), $offered ? 'ann ben' : '', "$what: " . ($offered ? 'it goes' : 'it does not go'));
	unlike(log_text(), qr/ down /, "$what: the account is not blamed");
	next if $offered;
	is(scalar(queue_ids('failed')), 1, 'it lies in failed/');
	like(log_text(), qr/ failed .*REQUIRETLS only, and the server does not offer it/, 'and the log says why');
	my @n = notices();
	is(scalar @n, 1, 'the sender gets one notice');
	like($n[0]{eml} // '', qr/^  recipient 1: 5\.7\.30\r\n\r\n  recipient 2: 5\.7\.30\r\n/m, 'with the cause');
	unlike($n[0]{eml} // '', qr/ann|ben|confidential/, 'and nothing that such a way must not see');
}

# -- SMTPUTF8

for my $offered (0, 1) {
	my $what = $offered ? 'with SMTPUTF8' : 'without SMTPUTF8';

	begin($offered ? 'SMTPUTF8' : '');
	post('to joerg', '-U', "j\xc3\xb6rg\@example.org", 'ann@example.org');
	ok($s->wait_messages($offered ? 1 : 2), "$what: it is sent");
	settled($what);
	is(got($s, 'to joerg'), $offered ? "ann j\xc3\xb6rg" : 'ann', "$what: who can be named gets it");
	is(scalar(my @m = grep { / SMTPUTF8$/ } commands($s, 'MAIL')), $offered, "$what: MAIL");
	next if $offered;
	my ($n) = notices();
	like(($n // {})->{eml} // '', qr/^  j\xc3\xb6rg\@example\.org\r\n    the address is not ASCII, and the server does not offer SMTPUTF8\r\n/m,
	    'and the sender is told of the other');
}

# -- our own notices

for my $case ([ 'never', 0 ], [ 'success', 0 ], [ 'delay', 0 ], [ 'success,delay', 0 ], [ 'failure', 1 ], [ 'failure,delay', 1 ]) {
	my ($notify, $told) = @$case;

	begin('DSN', 'rcpt ~ann@ reply "550 5.1.1 no ann"');
	my $id = post('a failure', '-N', $notify, 'ann@example.org', 'ben@example.org');
	settled("-N $notify");
	is(got($s, 'a failure'), 'ben', "-N $notify: the other gets it");
	is("@{[ queue_ids('failed') ]}", $id, "-N $notify: the message lies in failed/");
	is(scalar(my @n = notices()), $told, "E-22: -N $notify: " . ($told ? 'the sender is told' : 'nobody is told'));
	is(scalar(() = log_text() =~ / not-reported id=\Q$id\E to=ann\@example\.org reason="[^"]+"/g), 1 - $told,
	    "-N $notify: and the log says " . ($told ? 'nothing else' : 'so'));
	like(slurp(spool() . "/failed/$id.fate") // '', qr/^to 0 never told 550 5\.1\.1 /m, "-N $notify: it is settled");
}

start_anew($s);
done_testing;
