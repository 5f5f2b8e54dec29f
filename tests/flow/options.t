# What options of the command line do to a message's way, seen from the queue and
# from the far end; their reading is in the unit test of the same name.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

my %DOWN = nobody_answers();
my $TEXT = "Subject: hello\n\nbody\n";
my $ME = 'user@example.net';
my $queued = 0;

ini(smarthost => \%DOWN);

# The face, and what is new in the queue.
sub submit
{
	my ($args, $text, %o) = @_;
	my $r = sendmail($args, $text // $TEXT, %o);

	$r->{new} = [ map { $_->{id} } new_letters() ];
	$queued += @{ $r->{new} };
	return $r;
}

# The lines of a message's envelope behind its sender.
sub envelope
{
	return letter($_[0])->{envelope} =~ s/\A.*^from [^\n]*\n//msr =~ s/\n/; /gr;
}

sub said
{
	my $r = shift;

	return "$r->{status}|$r->{out}|$r->{err}";
}

# -- wishes, as the envelope carries them

for ([ [], 'to a@x.example' ],
    [ [ '-N', 'success,failure' ], 'to a@x.example; notify SUCCESS,FAILURE' ],
    [ [ '-NDELAY' ], 'to a@x.example; notify DELAY' ],
    [ [ '-N', 'never' ], 'to a@x.example; notify NEVER' ],
    [ [ '-Rhdrs' ], 'ret HDRS; to a@x.example' ],
    [ [ '-R', 'full' ], 'ret FULL; to a@x.example' ],
    [ [ '-V', 'a b+c' ], 'envid a+20b+2Bc; to a@x.example' ],
    [ [ '-B', '8BITMIME' ], 'body 8BITMIME; to a@x.example' ],
    [ [ '-B7BIT' ], 'body 7BIT; to a@x.example' ],
    [ [ '-U' ], 'smtputf8 yes; to a@x.example' ],
    [ [ '-O', 'requiretls=yes' ], 'requiretls yes; to a@x.example' ],
    [ [ '-O', 'requiretls=no', '-Odeliverymode=i' ], 'to a@x.example' ],
    [ [ '-R', 'hdrs', '-V', 'id', '-B', '7BIT', '-U', '-Orequiretls=yes', '-Nnever' ],
	'ret HDRS; envid id; body 7BIT; smtputf8 yes; requiretls yes; to a@x.example; notify NEVER' ]) {
	my ($args, $envelope) = @$_;
	my $r = submit([ @$args, 'a@x.example' ]);

	is(said($r) . envelope($r->{new}[0]), "0||$envelope", "sendmail @$args: $envelope");
}
{
	my $r = submit([ '-N', 'failure', '-t', 'a@x.example' ], "To: b\@x.example\n$TEXT");

	is(envelope($r->{new}[0]), 'to a@x.example; notify FAILURE; to b@x.example; notify FAILURE',
	    '-N is for every recipient, those of the header too');
}

# -- dots and arguments, as the configuration has them

for ([ 'classic', [], "a\n" ], [ 'classic', [ '-i' ], "a\n.\n..b\n" ], [ 'text', [], "a\n.\n..b\n" ],
    [ 'text', [ '-i' ], "a\n.\n..b\n" ]) {
	my ($dots, $args, $body) = @$_;

	ini(smarthost => \%DOWN, sendmail => { dots => $dots });
	my $r = submit([ @$args, 'a@x.example' ], "Subject: x\n\na\n.\n..b\n");
	is(slurp(spool() . "/queue/$r->{new}[0]") =~ s/\A.*?\n\n.*?\n\n//sr, $body,
	    "dots = $dots" . (@$args ? ', and -i' : ''));
}
for ([ 'add', 'to b@x.example; to c@x.example; to a@x.example' ], [ 'subtract', 'to a@x.example' ]) {
	my ($arguments, $envelope) = @$_;

	ini(smarthost => \%DOWN, sendmail => { arguments => $arguments });
	my $r = submit([ '-t', 'b@x.example', 'c@X.example' ],
	    "To: a\@x.example, b\@x.example\nCc: c\@x.example\n$TEXT");
	is(envelope($r->{new}[0]) =~ s/X/x/gr, $envelope, "arguments = $arguments");
}
ini(smarthost => \%DOWN);

# -- telling

{
	my $r = submit([ '-v', '-f', 'me@y.example', 'a@x.example', 'b@x.example' ]);

	is("$r->{status}$r->{out}", 0, '-v says nothing on stdout');
	for ([ "$HOME/.config/subpost/subpost.ini", 'the configuration' ], [ spool(), 'the queue' ],
	    [ 'me@y.example', 'the sender' ], [ 'a@x.example', 'a recipient' ], [ 'b@x.example', 'and the other' ],
	    [ $r->{new}[0], 'the id' ]) {
		my ($what, $name) = @$_;

		like($r->{err}, qr/\Q$what\E/, "and on stderr $name");
	}
	unlike($r->{err}, qr/^(?:>>>|<<<)/m, 'but no dialogue, since it does not wait');
}

# -- modes

like(sendmail([ '-bp' ])->{out}, qr/\AID +AGE/, '-bp lists the queue');
like(mailq('-v', '-Ac')->{out}, qr/\AID +AGE/, 'mailq takes old options');
for ([ '0000' ], [ '-v', 'x' ]) {
	my $r = mailq(@$_);

	is("$r->{status}$r->{out}", 64, "mailq @$_: 64");
	like($r->{err}, qr/\Amailq: [^\n]*subpost show ID\n\z/, 'and what shows one message');
}

spew("$HOME/aliases", "root: admin\@x.example, ops\@x.example\nloop: pool\npool: loop\n", 0644);
ini(smarthost => { %DOWN, host => 'smtp.example.com' }, identity => { aliases => "$HOME/aliases" });
{
	my $r = sendmail([ '-bv', 'root', 'b@y.example' ]);

	is("$r->{status}$r->{err}", 0, '-bv explains addresses');
	like($r->{out}, qr/$_/, "and says $_") for qw(aliases admin@x.example ops@x.example b@y.example smtp.example.com);
	$r = sendmail([ '-bv', 'loop', 'b@y.example' ]);
	cmp_ok($r->{status}, '>=', 65, 'of one that would be refused the status tells it');
	like($r->{err}, qr/\Asendmail: [^\n]*loop[^\n]*\n\z/, 'with the reason');
	like($r->{out}, qr/b\@y\.example/, 'and the others are explained all the same');
	is(scalar(queue_ids()), $queued, 'nothing was sent');
}
for ([ 'sendmail -bi', "$B/sendmail", '-bi' ], [ 'sendmail -I', "$B/sendmail", '-I' ],
    [ 'newaliases', "$B/newaliases" ], [ 'newaliases -v', "$B/newaliases", '-v' ]) {
	my ($name, @argv) = @$_;

	is(run(\@argv)->{status}, 65, "$name checks the aliases");
	like(run(\@argv)->{err}, qr/\Q$HOME\E\/aliases:[23]: /, 'with the line of an error');
}
spew("$HOME/aliases", "root: admin\@x.example\n", 0644);
is(run([ "$B/newaliases" ])->{status}, 0, 'good ones are no error');

# -- dialogues

ini(smarthost => \%DOWN);
{
	my $r = submit([ '-bs' ], join '', map { "$_\r\n" } 'EHLO here', 'MAIL FROM:<me@y.example>',
	    'RCPT TO:<a@x.example>', 'DATA', 'Subject: x', '', '..b', '.', 'QUIT');

	is("$r->{status}$r->{err}", 0, '-bs ends in order');
	like($r->{out}, qr/\A220 .*^354 .*^250 .*^221 /ms, 'after a dialogue');
	is(envelope($r->{new}[0]), 'to a@x.example', 'with a message in the queue');
	$r = submit([ '-bs', '-oem', '-odb', '-t' ], "QUIT\r\n");
	is("$r->{status}$r->{err}", 0, 'options that say nothing to a dialogue do no harm');
	$r = submit([ '-bS' ], join '', map { "$_\n" } 'MAIL FROM:<me@y.example>', 'RCPT TO:<a@x.example>', 'DATA',
	    'Subject: x', '', 'b', '.');
	is(said($r), '0||', '-bS says nothing');
	is(envelope($r->{new}[0]), 'to a@x.example', 'and its message is in the queue');
	$r = sendmail([ '-bs' ], "QUIT\r\n", env => { SUBPOST_CONFIG => "$HOME/none.ini" });
	is($r->{status}, 78, '-bs without a configuration ends');
	like($r->{out}, qr/\A421 4\.3\.0 [^\r\n]*none\.ini[^\r\n]*\r\n\z/, 'and tells the client why');
	like($r->{err}, qr/\Asendmail: [^\n]*none\.ini[^\n]*\n\z/, 'and whoever reads stderr');
}

# -- the queue

my $sh = smarthost(args => [ '--plain' ], script => <<'EOF');
rcpt #1 reply "450 4.2.0 not yet"
rcpt #2 reply "450 4.2.0 not yet"
rcpt #3 reply "550 5.1.1 nobody"
rcpt #6 reply "450 4.2.0 not yet"
EOF
subpost('delete', queue_ids());
ini(smarthost => { port => $sh->port, tls => 'none' }, queue => { 'retry-refused' => '1h' });

sub fate_says
{
	my ($id, $pattern) = @_;

	return wait_for(sub { (slurp(spool() . "/queue/$id.fate") // '') =~ $pattern }, 10, "the fate of $id");
}

my @put_off;
for (1 .. 2) {
	push @put_off, my $id = submit([ 'a@x.example' ])->{new}[0];
	ok(fate_says($id, qr/not yet/), 'a message is put off for an hour');
}
is(said(sendmail([ '-qI', $put_off[1] ])), "0|$put_off[1] is tried now\n|", '-qI ID tries one');
ok(wait_for(sub { my %left = map { $_ => 1 } queue_ids(); !$left{ $put_off[1] } }, 10, 'its end'), 'and it ends');
is_deeply([ grep { $_ eq $put_off[0] } queue_ids() ], [ $put_off[0] ], 'the other one still waits');
is_deeply([ grep { $_ eq $put_off[1] } queue_ids('failed') ], [ $put_off[1] ], '(it was refused)');
ok($sh->wait_messages(1), '(and that is told)');
is(said(sendmail([ "-qI$put_off[1]" ])), "0|$put_off[1] is tried now\n|", '-qIID tries one that was given up');
ok(wait_for(sub { !grep { $_ eq $put_off[1] } queue_ids(), queue_ids('failed') }, 10, 'its end'),
    'and now it goes');
is(scalar(grep { $_->{to}[0] =~ /a\@x\.example/ } $sh->messages), 1, 'to whom it was for');
like(sendmail([ '-q' ])->{out}, qr/\A\d messages? (?:is|are) tried now\n\z/, '-q tries all');
ok(fate_says($put_off[0], qr/^tries 2$/m), 'those put off by the smarthost too');
unlike(slurp(spool() . "/queue/$put_off[0].fate"), qr/^renewed/m,
    'but a cron job with -q makes nobody wait longer for the news that it was given up');
sendmail([ '-q' ]);
ok(wait_empty(), 'until they go');
is(scalar(grep { $_->{to}[0] =~ /a\@x\.example/ } $sh->messages), 2, 'once each');
like(said(sendmail([ '-q', '-v' ])), qr/\A0\|the queue is empty\n\|sendmail: own office: [^\n]+\n\z/,
    '-q -v says that nothing waits, and where');
for ([ 64, '-qI', 'nonsense' ], [ 64, '-qI', '../../x' ], [ 66, '-qI', '0' x 20 ], [ 66, '-qI' . '0' x 20 ]) {
	my ($status, @args) = @$_;
	my $r = sendmail(\@args);

	is("$r->{status}$r->{out}", $status, "@args: $status");
	like($r->{err}, qr/\Asendmail: [^\n]+\n\z/, 'with a reason');
}

# -- waiting

sub has_left
{
	my $subject = shift;

	return scalar grep { $_->{eml} =~ /^Subject: $subject\r?$/m } $sh->messages;
}

is(said(sendmail([ '-O', 'wait=20', 'a@x.example' ], "Subject: one\n\n")), '0||',
    '-O wait= ends when the message has left');
is(has_left('one'), 1, 'and it has');
ini(smarthost => { port => $sh->port, tls => 'none' }, queue => { wait => '20s' });
is(said(sendmail([ '-odi', 'a@x.example' ], "Subject: two\n\n")), '0||',
    '-odi waits as the configuration says');
is(has_left('two'), 1, 'and it has left');
{
	my $r = sendmail([ '-v', '-odi', 'a@x.example' ], "Subject: three\n\n");

	is("$r->{status}$r->{out}", 0, 'so does -odi with -v');
	like($r->{err}, qr/^<<< 250 /m, 'which shows the dialogue, too');
}

done_testing;
