# The face that forty years of callers know: addresses, options, exit codes.
# Most of it is read from the queue, whose account is down, so that every
# message stays where it can be looked at.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use POSIX ();

my %DOWN = nobody_answers();
my $TEXT = "Subject: hello\n\nbody\n";

ini(smarthost => \%DOWN, queue => { 'max-size' => '256K' });

# Runs the face and returns { status, out, err, new }: new is what came into the
# queue, a list of { id, from, to, text }.
sub submit
{
	my ($args, $text, %o) = @_;
	my $r = sendmail($args, $text, %o);

	$r->{new} = [ new_letters() ];
	return $r;
}

# What was taken, in one line: "status from>to to".
sub taken
{
	my $r = submit(@_);
	my $l = $r->{new}[0];

	return "$r->{status} " . (@{ $r->{new} } == 1 ? "$l->{from}>@{ $l->{to} }" :
	    scalar(@{ $r->{new} }) . ' queued') . ($r->{err} ne '' ? " $r->{err}" : '');
}

sub litter
{
	return glob spool() . '/tmp/*';
}

# -- addresses

my $ME = 'user@example.net';

is(taken([ 'a@example.org' ], $TEXT), "0 $ME>a\@example.org", 'a recipient of the command line is taken');
is(taken([ 'a@x.example', 'b@y.example' ], $TEXT), "0 $ME>a\@x.example b\@y.example",
    'so are two, in order');
is(taken([ 'a@x.example, b@y.example' ], $TEXT), "0 $ME>a\@x.example b\@y.example",
    'and a list in one argument');
is(taken([ '"a, b"@x.example' ], $TEXT), "0 $ME>\"a, b\"\@x.example",
    'a quoted comma does not split a recipient');
is(taken([ 'A B <a@x.example>' ], $TEXT), "0 $ME>a\@x.example", 'a display name is no part of the address');
is(taken([ 'root' ], $TEXT), "0 $ME>root\@example.net", 'a bare name gets the domain');
is(taken([ 'a@x.example', 'a@X.EXAMPLE' ], $TEXT), "0 $ME>a\@x.example", 'everybody gets it once');
is(taken([ '--', '-a@x.example' ], $TEXT), "0 $ME>-a\@x.example",
    'behind -- a recipient may begin with a dash');
is(taken([ '-i', '--', '-t', '-f' ], $TEXT), "0 $ME>-t\@example.net -f\@example.net",
    'and nothing behind -- is an option');
is(taken([ 'a@x.example', '-f', 'b@y.example' ], $TEXT),
    "0 $ME>a\@x.example -f\@example.net b\@y.example",
    'nor is anything behind the first recipient: what a page appends cannot become an option');

# -- -t

my $LETTER = "To: a\@x.example, Team: b\@x.example, c\@x.example;\nCc: d\@x.example\n" .
    "Bcc: e\@x.example,\n f\@x.example\nSubject: x\n\nbody\n";

is(taken([ '-t' ], $LETTER), "0 $ME>" . join(' ', map { "$_\@x.example" } qw(a b c d e f)),
    '-t takes To, Cc and Bcc, groups and folded lines too');
is(taken([ '-t', 'g@x.example' ], $LETTER), "0 $ME>" . join(' ', map { "$_\@x.example" } qw(g a b c d e f)),
    '-t adds to the command line');
is(taken([ 'g@x.example' ], $LETTER), "0 $ME>g\@x.example", 'without -t the header names nobody');
for ([ '-t' ], [ '-t', 'g@x.example' ], [ 'g@x.example' ]) {
	my $r = submit($_, $LETTER);

	unlike($r->{new}[0]{text}, qr/Bcc|[ef]\@x\.example/, "no trace of Bcc in the text: sendmail @$_");
}
is(taken([ '-ti' ], "To: a\@x.example\n\n.\nb\n"), "0 $ME>a\@x.example", 'options share a word: -ti');
is(taken([ '-t' ], "to:a\@x.example\n\n"), "0 $ME>a\@x.example", 'a field is found in any case');

# -- -f, -r, -F

for ([ 'glued', '-fb@y.example' ], [ 'separate', '-f', 'b@y.example' ], [ 'as -r', '-r', 'b@y.example' ],
    [ 'as glued -r', '-rb@y.example' ], [ 'in brackets', '-f', '<b@y.example>' ],
    [ 'with a name', '-f', 'B <b@y.example>' ]) {
	my ($how, @args) = @$_;

	is(taken([ @args, 'a@x.example' ], $TEXT), '0 b@y.example>a@x.example', "the sender is set, $how");
}
is(taken([ '-f', 'b@y.example', '-r', 'c@y.example', 'a@x.example' ], $TEXT),
    '0 c@y.example>a@x.example', 'of two senders the last one wins');
is(taken([ '-r', 'c@y.example', '-f', 'b@y.example', 'a@x.example' ], $TEXT),
    '0 b@y.example>a@x.example', 'whichever letter it has');
is(taken([ '-f', 'b', 'a@x.example' ], $TEXT), '0 b@example.net>a@x.example',
    'a bare sender gets the domain');
is(taken([ '-f', $_, 'a@x.example' ], $TEXT), '0 >a@x.example', "the null sender, as '$_'") for '', '<>';
is(taken([ '-f<>', 'a@x.example' ], $TEXT), '0 >a@x.example', "and as '-f<>'");
like(submit([ '-f', '', 'a@x.example' ], $TEXT)->{new}[0]{text}, qr/^From: .*<user\@example\.net>$/m,
    'mail with a null sender has an author still');
for ([ 'Ann Other', 'Ann Other' ], [ 'Other, Ann', '"Other, Ann"' ], [ "J\xc3\xbcrgen", '=?UTF-8?\S+?=' ],
    [ "A\nBcc: evil\@x.example", 'ABcc: evil@x.example' ]) {
	my ($name, $phrase) = @$_;
	my $r = submit([ '-F', $name, 'a@x.example' ], $TEXT);
	my ($from) = $r->{new}[0]{text} =~ /^From: (.*(?:\n .*)*)$/m;

	$phrase = $phrase =~ /\\S/ ? qr/=\?UTF-8\?\S+\?=/i : qr/"?\Q$phrase\E"?/ if $phrase !~ /^"/;
	$phrase = qr/\Q$phrase\E/ if !ref $phrase;
	(my $shown = $name) =~ s/[^ -~]+/?/g;
	like($from, qr/^$phrase\s<user\@example\.net>$/, "-F '$shown' is the author's name");
}
like(submit([ '-FAnn', 'a@x.example' ], $TEXT)->{new}[0]{text}, qr/^From: Ann </m, '-F may be glued');
like(submit([ '-F', 'Ann', 'a@x.example' ], "From: b\@y.example\n\n")->{new}[0]{text},
    qr/\A(?!.*Ann).*^From: b\@y\.example$/ms, 'a From: that is there stays as it is');

# -- dots

sub body
{
	my ($args, $text) = @_;
	my $r = submit([ @$args, 'a@x.example' ], "Subject: x\n\n$text");

	return (split /\n\n/, $r->{new}[0]{text}, 2)[1];
}

is(body([], "a\n.\nb\n"), "a\n", 'a lone dot ends the text');
is(body([], "a\r\n.\r\nb\r\n"), "a\n", 'with CRLF too');
is(body([], "a\n..b\n...\n"), "a\n.b\n..\n", 'and the first of two leading dots goes');
is(body([], "a\n.b\n. \n"), "a\n.b\n. \n", 'other dots stay');
is(body([ $_ ], "a\n.\n..b\n"), "a\n.\n..b\n", "$_: dots are text") for '-i', '-oi', '-it', '-vi';
is(body([ '-o', 'i' ], "a\n.\nb\n"), "a\n.\nb\n", '-o i: as well');
is(body([ '-oem' ], "a\n.\nb\n"), "a\n", '-oem: as before, whatever stands in its value');

# -- every other option

# Letter, and what it takes: a value glued or in the next word (2), nothing (0),
# a value only when glued (1).
my %ARITY = ((map { $_ => 2 } split //, 'ABCDLMOVXehop'), (map { $_ => 0 } split //, 'EGTUcmnsx'),
	(map { $_ => 1 } split //, 'JQd'));
# A value such as callers write; any does.
my %VALUE = (A => 'm', B => '8BITMIME', V => 'id-1', e => 'q', h => '5', o => 'db',
	O => 'DeliveryMode=b', L => 'tag', p => 'SMTP:host', d => '0.1', M => 'sproto=x');

for my $letter (sort { lc $a cmp lc $b || $a cmp $b } keys %ARITY) {
	my $value = $VALUE{$letter} // "$T/canary";
	my $to = 'a@x.example';
	my %ways = (
		0 => [ [ "-$letter" ], [ "-${letter}i" ], [ "-i$letter" ] ],
		1 => [ [ "-$letter" ], [ "-$letter$value" ] ],
		2 => [ [ "-$letter$value" ], [ "-$letter", $value ], [ "-i$letter", $value ], [ "-$letter", '-t' ] ],
	);
	my @wrong = grep { !/^.* gives 0 \Q$ME>$to\E$/ }
	    map { "@$_ gives " . taken([ @$_, $to ], $TEXT) } @{ $ways{ $ARITY{$letter} } };

	is_deeply(\@wrong, [], "-$letter takes " . ('nothing', 'a value in its own word, or none',
	    'one value, glued or not')[ $ARITY{$letter} ] . ', and no recipient is lost or made');
}
ok(!-e "$T/canary", 'no option has made the file that it named');
is(taken([ '-oQ/nowhere', '-OQueueDirectory=/nowhere', '-C/nowhere/x.cf', '-X/nowhere/log', 'a@x.example' ],
    $TEXT), "0 $ME>a\@x.example", 'no option names another queue or configuration');
is(taken([ '-bm', 'a@x.example' ], $TEXT), "0 $ME>a\@x.example", '-bm delivers');
is(taken([ '-b', 'm', 'a@x.example' ], $TEXT), "0 $ME>a\@x.example", '-b m too');

# -- what is refused

# Refused: this status, one line on stderr that fits, silence on stdout, and
# nothing in the queue.
sub refused
{
	my ($r, $status, $words, $promise) = @_;
	my $new = $r->{new} // [ new_letters() ];
	my $said = "$r->{status}" . ($r->{out} eq '' ? '' : ', talks on stdout') .
	    (@$new ? ', queued' : '') . (litter() ? ', leaves litter' : '') .
	    ($r->{err} =~ /\A[^\n]+\n\z/ ? '' : ", not one line: $r->{err}") .
	    ($r->{err} =~ $words ? '' : ", other words: $r->{err}");

	return is($said, $status, $promise);
}

refused(submit([], $TEXT), 64, qr/^sendmail: no recipient/, '64: nobody to send to');
refused(submit([ '-t' ], $TEXT), 64, qr/no recipient in To, Cc or Bcc/,
    '64: -t, and the header names nobody');
refused(submit([ "-$_", 'a@x.example' ], $TEXT), 64, qr/unknown option -\Q$_\E;/, "64: -$_ is no option")
    for 'S', '4', 'a', 'Z', '?';
refused(submit([ "-i\e[31m", 'a@x.example' ], $TEXT), 64, qr/unknown option -\?;/,
    '64: and one that would speak to the terminal is not repeated');
refused(submit([ '--help', 'a@x.example' ], $TEXT), 64, qr/unknown option/,
    '64: there are no long options');
refused(submit([ $_ ], $TEXT), 64, qr/option $_ needs a value/, "64: $_ without its value")
    for '-f', '-F', '-N', '-o', '-b';
refused(submit([ "-b$_", 'a@x.example' ], $TEXT), 64, qr/-b$_ would .*subpost|-b$_ would .*sendmail -|-b$_ would .*mailq/,
    "64: -b$_ is not offered, and what to use instead is") for qw(d D l t h H P C O V);
refused(submit([ '-bz', 'a@x.example' ], $TEXT), 64, qr/modes of -b there are m \(deliver\), p /,
    '64: nor is -bz, and the modes are told');
SKIP: {
	my %execve = (x86_64 => 59, aarch64 => 221);
	my $number = $execve{ (POSIX::uname())[4] } or skip 'the number of execve here is not known', 1;
	my $r = run([ $^X, '-e', '$n = pack "J", 0; syscall shift, $ARGV[0], $n, $n; exit 99', $number,
		"$B/sendmail" ], stdin => $TEXT);
	refused($r, 64, qr/^sendmail: /, '64: called with no arguments at all, not even a name');
}

refused(submit([ 'a@x.example' ], "Subject: x\n\na\0b\n"), 65, qr/NUL/, '65: a NUL in the text');
refused(submit([ 'a@x.example' ], "Sub\0ject: x\n\nb\n"), 65, qr/NUL/, '65: a NUL in the header');
refused(submit([ "a\@x.example$_->[0]RCPT TO:<b\@x.example>" ], $TEXT), 65, qr/./,
    "65: $_->[1] in a recipient") for [ "\r\n", 'CR LF' ], [ "\n", 'LF' ], [ "\r", 'CR' ];
refused(submit([ '-f', "b\@y.example$_->[0]DATA", 'a@x.example' ], $TEXT), 65, qr/./,
    "65: $_->[1] in the sender") for [ "\r\n", 'CR LF' ], [ "\n", 'LF' ], [ "\e", 'ESC' ];
refused(submit([ '-t' ], "To: a\@x.example\e[2J\n\n"), 65, qr/\A[^\e]+\z/, '65: ESC in a header address');
refused(submit([ 'a' x 1100 . '@x.example' ], $TEXT), 65, qr/\A.{1,300}\n\z/, '65: a recipient over 1 KiB');
refused(submit([ '-f', 'a' x 1100 . '@x.example', 'a@x.example' ], $TEXT), 65, qr/\A.{1,300}\n\z/,
    '65: a sender over 1 KiB');
refused(submit([ $_ ], $TEXT), 65, qr/./, "65: '$_' is no address") for '<a@x.example', 'a b@x.example', '@';
refused(submit([ '-t' ], "To: <a\@x.example\n\n"), 65, qr/./, '65: nor is it in a header');
refused(submit([ 'a@x.example' ], 'X: ' . 'a' x 2_000_000 . "\n\n"), 69, qr/max-size/,
    '69: a header over max-size');

{
	my $r = submit([ 'a@x.example' ], sub { my $out = shift; 1 while print $out "y\n" x 4096 });

	refused($r, 69, qr/over 262144 octets; the limit is max-size in \Q$HOME\E/,
	    '69: a flood is over max-size');
	cmp_ok($r->{seconds}, '<', 5, 'and is not read to its end');
}
refused(run([ 'sh', '-c', "exec $B/sendmail a\@x.example < $T" ]), 74, qr/cannot read the message/,
    '74: stdin is a directory');
refused(run([ 'sh', '-c', "exec $B/sendmail a\@x.example <&-" ]), 74, qr/cannot read the message/,
    '74: stdin is closed');
refused(run([ 'bash', '-c', "ulimit -f 1; exec $B/sendmail a\@x.example" ],
    stdin => "Subject: x\n\n" . "line\n" x 20000), 75, qr/write/,
    '75: over the file size limit, no death by SIGXFSZ');
refused(run([ 'bash', '-c', "set -o pipefail; (ulimit -f 0; exec $B/sendmail a\@x.example) 2>&1 | cat >&2" ],
    stdin => $TEXT), 75, qr/write/,
    '75: no octet may be written');

# A queue on a file system of its own, seen by nobody else: what is printed by
# the face, and then what is left.
sub on_tmpfs
{
	my ($options, $then, $text) = @_;
	my $dir = "$T/mounted";

	mkdir $dir;
	ini(-path => "$T/mounted.ini", smarthost => \%DOWN, queue => { directory => "$dir/spool" });
	return run([ 'unshare', '-m', 'sh', '-c', "mount -t tmpfs -o $options none $dir && chmod 700 $dir &&" .
		"mkdir -m 700 $dir/spool && { $then; $B/sendmail a\@x.example; status=\$?;" .
		"find $dir/spool/* -mindepth 1 -type f 1>&2; exit \$status; }" ],
	    stdin => $text, env => { SUBPOST_CONFIG => "$T/mounted.ini" });
}

SKIP: {
	skip 'only root may mount', 3 if $> != 0 || system("unshare -m mount -t tmpfs none $HOME 2>/dev/null") != 0;
	refused(on_tmpfs('size=64k', 'true', "Subject: x\n\n" . "line\n" x 40000), 75, qr/No space left/,
	    '75: the disk is full, and nothing is left');
	refused(on_tmpfs('size=1m', "mkdir -m 700 $T/mounted/spool/queue; mount -o remount,ro none $T/mounted",
	    $TEXT), 75, qr/Read-only file system/, '75: the queue is read-only');
	refused(on_tmpfs('size=1m,nr_inodes=4', "mkdir -m 700 $T/mounted/spool/queue", $TEXT), 75,
	    qr/No space left/, '75: no inode is left');
}

SKIP: {
	skip 'there is a configuration for the whole system here', 2 if -e '/etc/subpost/subpost.ini';
	my $r = submit([ 'a@x.example' ], $TEXT, env => { XDG_CONFIG_HOME => "$HOME/nowhere" });

	refused($r, 78, qr{\Q$HOME\E/nowhere/subpost/subpost\.ini},
	    '78: no configuration; the file to write is named');
	like($r->{err}, qr/\[smarthost\].*host = .*user = /, 'with the three lines to write into it');
}
refused(submit([ 'a@x.example' ], $TEXT, env => { SUBPOST_CONFIG => "$HOME/none.ini" }), 78,
    qr{SUBPOST_CONFIG names \Q$HOME\E/none\.ini}, '78: SUBPOST_CONFIG names a file that is not there');
ini(-path => "$HOME/second.ini", smarthost => \%DOWN);
refused(submit([ 'a@x.example' ], $TEXT, env => { SUBPOST_CONFIG => "$HOME/second.ini" }), 78,
    qr{belongs to \S+/subpost\.ini; give \S+/second\.ini a \[queue\] directory of its own},
    '78: the queue of another configuration');
spew("$HOME/second.ini", "[smarthost]\nhst = x\nport = many\n", 0600);
refused(submit([ 'a@x.example' ], $TEXT, env => { SUBPOST_CONFIG => "$HOME/second.ini" }), 78,
    qr{^sendmail: \S+second\.ini:3: }, '78: an error in the configuration, with file and line');

# -- texts

{
	my $r = submit([ 'a@x.example' ], '');

	is("$r->{status} $r->{out}$r->{err}", '0 ',
	    'no text at all is a valid message, and success is silent');
	like($r->{new}[0]{text}, qr/\A(?:[A-Z][-\w]+: .*\n(?: .*\n)*)+\n\z/,
	    'it gets a header and an empty text');
}
ini(smarthost => \%DOWN, queue => { 'max-size' => '256K' }, identity => { received => 'no' });
{
	my $whole = "From: b\@y.example\nDate: Wed, 25 Nov 2026 03:00:00 +0000\nMessage-ID: <1\@y.example>\n" .
	    "Subject: folded\n line\n\na\n\n  b\nc";
	(my $crlf = $whole) =~ s/\n/\r\n/g;
	my ($lf) = submit([ 'a@x.example' ], $whole)->{new}[0]{text};

	is($lf, $whole, 'a text that is whole is queued octet by octet');
	is(submit([ 'a@x.example' ], $crlf)->{new}[0]{text}, $lf, 'CRLF and LF make the same text');
	is(submit([ 'a@x.example' ], sub { my $out = shift; print $out $_ for split //, $crlf })->{new}[0]{text},
	    $lf, 'in whatever pieces it comes');
}
is(submit([ 'a@x.example' ], "just words\n")->{new}[0]{text} =~ s/.*?\n\n//sr, "just words\n",
    'a text without a header is all text');

# -- callers in odd states

my $odd = "$B/sendmail a\@x.example";
for ([ 'stdout closed', '>&-' ], [ 'stderr closed', '2>&-' ], [ 'both closed', '>&- 2>&-' ],
    [ 'stdout full', '>/dev/full' ]) {
	my ($state, $how) = @$_;
	my $r = run([ 'sh', '-c', "exec $odd $how" ], stdin => $TEXT);

	is("$r->{status} " . (() = new_letters()), '0 1', "with $state a message is taken");
}
is(run([ 'sh', '-c', "exec $B/mailq >/dev/full" ])->{status}, 74, '74: a list that cannot be written');
is(run([ 'bash', '-c', "$B/sendmail -Z 2> >(exec true); echo \$?" ])->{out}, "64\n",
    'a reader that has gone does not kill it by SIGPIPE');
{
	my $r = run([ 'perl', '-e', '$SIG{$_} = "IGNORE" for qw(TERM CHLD INT); alarm 1; exec @ARGV', "$B/sendmail",
		'a@x.example' ], stdin => sub { my $out = shift; select undef, undef, undef, 1.3; print $out $TEXT });

	is("$r->{status} $r->{signal}", '0 0', 'an alarm of the caller does not ring here');
}
{
	my $r = run([ 'perl', '-MFcntl', '-e', 'fcntl STDIN, F_SETFL, O_NONBLOCK; exec @ARGV', "$B/sendmail",
		'a@x.example' ], stdin => sub { my $out = shift; select undef, undef, undef, 0.3; print $out $TEXT });

	is("$r->{status} $r->{err}", '0 ', 'an input that does not block is waited for');
}
new_letters();

{
	wait_for(\&runner_pid, 5, 'a runner');
	kill 'TERM', runner_pid() // ();
	wait_no_runner();
	my $r = run([ 'sh', '-c', "all=\$($odd 2>&1 7>&1); echo \"\$? \$all\"" ], stdin => $TEXT, timeout => 10);

	is($r->{out}, "0 \n", 'who reads its output to the end is not kept waiting');
	ok(wait_for(\&runner_pid, 5, 'a runner'), 'though the runner that it started lives on');
	my $pid = runner_pid();
	is(readlink "/proc/$pid/cwd", '/', 'in the root directory');
	is((split ' ', (slurp("/proc/$pid/stat") =~ s/.*\) //sr))[3], $pid, 'with a session of its own');
	is_deeply([ map { readlink "/proc/$pid/fd/$_" } 0 .. 2 ], [ ('/dev/null') x 3 ],
	    'and nothing of the caller\'s');
}

# -- what arrives, waking and listing

my $sh = smarthost(args => [ '--plain' ]);
my %UP = (port => $sh->port, tls => 'none');

mkdir "$HOME/project", 0700;
ini(-path => "$HOME/project/my.ini", smarthost => \%UP, queue => { directory => "$HOME/project/spool" });
is(sendmail([ '-t', 'x@x.example' ], $LETTER, cwd => "$HOME/project", env => { SUBPOST_CONFIG => 'my.ini' })->{status},
    0, 'a relative SUBPOST_CONFIG counts from where the caller is');
ok($sh->wait_messages(1), 'and is found by the runner, who is elsewhere');
is_deeply([ map { s/^<|>.*//gr } ($sh->messages)[0]{to}->@* ],
    [ map { "$_\@x.example" } qw(x a b c d e f) ], 'everybody of -t is on the wire');
unlike($sh->raw(1) =~ s/RCPT TO.*//gr, qr/Bcc|[ef]\@x\.example/, 'and Bcc is not');
is_deeply([ $sh->violations ], [], 'no rule of SMTP is broken');

my $waiting = queue_ids();
like(mailq()->{out}, qr/\AID +AGE/, 'mailq lists the queue by its name');
is(() = mailq()->{out} =~ /^[0-9A-Z]{20} /gm, $waiting, 'a line a message');
is(sendmail([ '-bp' ])->{out} =~ s/\b\d+[sm]\b//gr, mailq()->{out} =~ s/\b\d+[sm]\b//gr, 'so does -bp');
symlink "$B/sendmail", "$T/mailq";
like(run([ "$T/mailq" ])->{out}, qr/\AID +AGE/, 'wherever the link is');
my $r = subpost('delete', queue_ids());
is("$r->{status} " . queue_ids(), '0 0', '(all that is deleted)');

sub when_down { return (slurp(spool() . '/health') // '') =~ / down / }

my $down = smarthost(args => [ '--plain' ], script => qq(greeting #1-3 reply "421 4.3.2 not now"));
ini(smarthost => { port => $down->port, tls => 'none' }, queue => { retry => '1h' });
is(taken([ 'a@x.example' ], $TEXT), "0 $ME>a\@x.example", 'a message for a server that is down is taken');
for my $n (1 .. 3) {
	my $flush = ('-q', '-q15m', '-qf')[$n - 1];

	wait_for(sub { $down->dialogue =~ /connect $n\b.*closed $n\b/s && when_down() }, 5,
	    "connection $n");
	my $r = sendmail([ $flush ]);
	is("$r->{status} $r->{out}$r->{err}", "0 1 message is tried now\n",
	    "$flush wakes the runner, says so, and does not wait");
	ok(wait_for(sub { $down->dialogue =~ /connect @{[ $n + 1 ]}\b/ }, 5, 'another connection'),
	    'who tries at once');
}
ok($down->wait_messages(1), 'until the message is sent');
ok(wait_no_runner(), 'a runner without work leaves');
{
	my $r = sendmail([ '-q' ]);
	is("$r->{status} $r->{out}$r->{err}", '0 ', '-q with an empty queue is no error, and silent');
}
like(mailq()->{out}, qr/\Athe queue is empty\n\z/, 'and mailq says that it is empty');

done_testing;
