# The queue as files, whatever has happened to them, and the command that shows
# and steers it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Fcntl qw(:flock);
use File::Path 'remove_tree';
use JSON::PP;
use POSIX ();

my %DOWN = (port => 1, tls => 'none');
my %LATER = (retry => '1h', 'retry-refused' => '1h');
my $TEXT = "Subject: hello\n\nbody\n";

sub health { return slurp(spool() . '/health') // '' }
sub log_lines { return split /\n/, slurp(spool() . '/log') // '' }
sub file { return spool() . "/queue/$_[0]" }
sub fate { return slurp(file("$_[0].fate")) }

# Queues a message and returns its id.
sub queue
{
	my ($args, $text) = @_;
	my %before = map { $_ => 1 } queue_ids();
	my $r = sendmail($args, $text // $TEXT);

	diag("sendmail: $r->{status} $r->{err}") if $r->{status} != 0 || $r->{err} ne '';
	return (grep { !$before{$_} } queue_ids())[0];
}

# The rows of subpost queue --json, by id.
sub rows
{
	my $list = decode_json(subpost('queue', '--json')->{out});

	return map { $_->{id} => $_ } @$list;
}

sub row { my %rows = rows(); return $rows{ $_[0] } // {} }

sub wait_down { return wait_for(sub { health() =~ / down / }, 10, 'the account to be down') }

sub stop_runner
{
	kill 'TERM', runner_pid() // ();
	return wait_no_runner();
}

# All of a new start: no runner, no queue.
sub fresh_spool
{
	stop_runner();
	remove_tree(spool());
}

sub crc32c
{
	my $crc = 0xffffffff;

	for my $octet (unpack 'C*', shift) {
		$crc ^= $octet;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
	}
	return $crc ^ 0xffffffff;
}

# A message file with this envelope and text, whole.
sub message_file
{
	my ($envelope, $text) = @_;
	my $stamp = sub {
		return sprintf "subpost 1 size=%015d envelope=%08d head-crc=%08x text-crc=%08x lines=%012d " .
		    "longest=%012d eight-bit=0 unended=0\n", 147 + length("$envelope$text"),
		    length $envelope, shift, crc32c($text), $text =~ tr/\n//, 100;
	};

	return $stamp->(crc32c($envelope . $stamp->(0))) . $envelope . $text;
}

# -- damage

my @hurt = (
	[ 'a first line that is none', qr/first line is damaged/, sub { s/size=/sizf=/ } ],
	[ 'another program\'s file', qr/not a message of subpost/, sub { $_ = "Subject: x\n\n" . 'y' x 500 } ],
	[ 'less than a first line', qr/not a message/, sub { $_ = substr $_, 0, 40 } ],
	[ 'a foreign version', qr/another version/, sub { s/subpost 1 /subpost 2 / } ],
	[ 'a changed recipient', qr/envelope is damaged/, sub { s/^to h/to H/m } ],
	[ 'a changed sender', qr/envelope is damaged/, sub { s/^from u/from U/m } ],
	[ 'a cut text', qr/has \d+ octets and should have \d+/, sub { substr $_, -5, 5, '' } ],
	[ 'a text with a tail', qr/has \d+ octets and should have \d+/, sub { $_ .= "more\n" } ],
	[ 'a cut envelope', qr/has \d+ octets and should have \d+/, sub { $_ = substr $_, 0, 180 } ],
	[ 'an unknown word', qr/a line that this version does not know/, sub {
		my ($e, $t) = split /(?<=\n)(?=Received|Subject)/, substr($_, 147), 2;
		$_ = message_file("colour 5\n$e", $t);
	} ],
	[ 'an envelope without a recipient', qr/something is missing/, sub {
		my ($e, $t) = split /(?<=\n)(?=Received|Subject)/, substr($_, 147), 2;
		$_ = message_file($e =~ s/^to .*\n//mr, $t);
	} ],
	[ 'a recipient that would be two commands', qr/cannot be sent to/, sub {
		my ($e, $t) = split /(?<=\n)(?=Received|Subject)/, substr($_, 147), 2;
		$_ = message_file($e =~ s/^to .*$/to a\@x>\\x0d\\x0aDATA/mr, $t);
	} ],
	[ 'a message under another\'s id', qr/another id/, sub { s/^id .{19}/'id ' . '0' x 19/me;
		my ($e, $t) = split /(?<=\n)(?=Received|Subject)/, substr($_, 147), 2;
		$_ = message_file($e, $t);
	} ],
);

ini(smarthost => \%DOWN, queue => \%LATER);
my $good = queue([ 'good@x.example' ]);
ok(wait_down(), 'a first message waits, since the host is down');
my %id = map { $_->[0] => queue([ 'h@x.example' ]) } @hurt;
my $changed = queue([ 'changed@x.example' ], "Subject: x\n\n" . "text\n" x 30000);
my $fated = queue([ 'fated@x.example' ]);
ok(stop_runner(), '(the runner is ended)');

my %bytes;
for (@hurt) {
	my ($what, $reason, $hurt) = @$_;
	my $path = file($id{$what});

	local $_ = slurp($path);
	$hurt->();
	spew($path, $bytes{$what} = $_, 0600);
}
{
	local $_ = slurp(file($changed));
	substr $_, -9, 1, 'X';
	spew(file($changed), $bytes{changed} = $_, 0600);
	spew(file("$fated.fate"), "subpost-fate 1 crc=00000000\ntries 1\nnext 0\n", 0600);
}
# Things with the name of an id that are no files.
my %odd = map { $_ => '01J000000000000' . sprintf '%05d', ord } qw(link directory fifo);
symlink '/etc/passwd', file($odd{link});
mkdir file($odd{directory});
POSIX::mkfifo(file($odd{fifo}), 0600);
# What a power cut leaves of a message that nobody was promised.
my ($empty, $zeros, $taken) = ('01J00000000000000EMP', '01J00000000000000ZER', '01J00000000000000TKN');
spew(file($empty), '', 0600);
spew(file($zeros), "\0" x 500, 0600);
spew(file($taken), "\0" x 500, 0600);
open my $writer, '+<', file($taken) or die $!;
flock $writer, LOCK_EX;
# And what has nothing to do with us.
my @foreign = ('README', '01j00000000000000low', '01J0000000000000000', '01J000000000000000000', '.hidden');
spew(file($_), "not ours\n", 0600) for @foreign;
my $lone = '01J00000000000000LON.fate';
spew(file($lone), "subpost-fate 1 crc=00000000\n", 0600);

my %rows = rows();
for (@hurt) {
	my ($what, $reason) = @$_;
	my $row = $rows{ $id{$what} } // {};

	is(($row->{state} // 'missing') . ($row->{reason} =~ $reason ? '' : ": $row->{reason}"), 'held',
	    "$what: held, and why");
}
is($rows{$fated}{state} . ($rows{$fated}{reason} =~ /\.fate is damaged/ ? '' : $rows{$fated}{reason}), 'held',
    'a damaged fate: held, and why');
is($rows{ $odd{$_} }{state} // 'missing', 'held', "a $_ with an id's name: held") for sort keys %odd;
is($rows{$good}{state}, 'waiting', 'the good one waits');
is(scalar(grep { $rows{$_} && $rows{$_}{state} ne 'held' } grep { $_ ne $good && $_ ne $changed } keys %rows), 0,
    'and nothing else is to be sent') or diag(join ' ', map { "$_ $rows{$_}{state}" } keys %rows);

my $sh = smarthost();
ini(queue => \%LATER);
is(subpost('retry', 'all')->{status}, 0, 'all are tried again at a good host');
ok($sh->wait_messages(1), 'the good one is sent');
ok(wait_for(sub { row($changed)->{state} eq 'held' }, 10, 'the changed text to be held'),
    'a text changed after it was queued: held');
like(row($changed)->{reason}, qr/text is damaged: the checksum is wrong/, 'and why');
ok(wait_no_runner(), 'what is held keeps no runner');
is(scalar(my @m = $sh->messages), 1, 'nothing else was sent');
unlike($sh->dialogue, qr/RCPT TO:<(?:h|H|fated|a)@/, 'nor begun');
like($sh->dialogue, qr/RCPT TO:<changed\@/, 'the changed text was begun');
unlike(join('', map { $sh->raw($_) } 1 .. ($sh->dialogue =~ /connect (\d+)(?!.*connect)/s)[0]), qr/tex.{0,20}\r\n\.\r\n/s,
    'and never got its final dot');
is(join(' ', grep { slurp(file($id{$_})) ne $bytes{$_} } sort keys %id), '',
    'no held file was changed or deleted');
is(slurp(file($changed)), $bytes{changed}, 'nor was that one');
ok(-l file($odd{link}) && -d file($odd{directory}) && -p file($odd{fifo}), 'nor what is no file');
is(join(' ', grep { -e file($_) } $empty, $zeros), '',
    'empty files, and such as begin with zeros, are swept');
ok(-e file($taken), 'but for one that somebody has');
close $writer;
is(join(' ', grep { (slurp(file($_)) // '') ne "not ours\n" } @foreign), '',
    'names that are no ids are left alone');
ok(!-e file($lone), 'a fate without a message is swept');
is(scalar(grep { / held / } log_lines()), scalar(grep { $_->{state} eq 'held' && $_->{id} ne $taken } values %{ { rows() } }),
    'the log has a line for each that is held');

my $r = subpost('retry', $id{'a foreign version'});
is($r->{status}, 65, 'a damaged one is not retried');
like($r->{err}, qr/stays held: written by another version of subpost; mend or remove it by hand/,
    'and the reason is told');
is(subpost('retry', $changed)->{status}, 0, 'whose text alone is damaged may be tried');
ok(wait_for(sub { (grep { / held .*\Q$changed\E/ || /held id=\Q$changed\E/ } log_lines()) == 2 }, 10, 'another hold'),
    'and is held again');
$r = subpost('show', $id{'a cut text'});
like("$r->{status} $r->{out}", qr/\A0 id .*^held +it has \d+ octets/ms,
    'show tells of a damaged one what it can');
$r = subpost('delete', $id{'a cut text'});
is("$r->{status} " . (-e file($id{'a cut text'}) ? 'there' : 'gone'), '0 gone',
    'and a person can delete it');

# -- the list

fresh_spool();
is(subpost('queue')->{out}, "the queue is empty\n", 'an empty queue says so');
is_deeply(decode_json(subpost('queue', '--json')->{out}), [], 'and is an empty list in JSON');

my $EVIL = "\e[31mred\a \xc2\x9b2J \xe2\x80\xae \xff";
$sh = smarthost(script => <<"END");
rcpt ~bad reply "550 5.1.1 no such user $EVIL"
rcpt ~later reply "451 4.3.0 come back $EVIL"
END
ini(queue => \%LATER);
my $bad = queue([ 'bad@x.example' ]);
ok($sh->wait_messages(1), 'the sender of a refused message gets a report');
my $later = queue([ 'fine@x.example', 'later@x.example', 'later2@x.example' ]);
ok($sh->wait_messages(2), 'a message goes to those who take it');
wait_for(sub { defined fate($later) }, 10, 'a fate');
my $null = queue([ '-f', '', 'later@x.example' ]);
wait_for(sub { defined fate($null) }, 10, 'a fate');

wait_for(sub { subpost('queue')->{out} !~ / sending / }, 10, 'the end of that attempt');
my $table = subpost('queue')->{out};
like($table, qr/\AID +AGE +SIZE SENDER +RECIPIENTS LEFT +NEXT +LAST REASON\n/, 'the table has a head');
is($table, mailq()->{out}, 'it is the one of mailq');
like($table, qr/^$later +\d+s +\d+ user\@example\.net +later\@x\.example \+1 +\d\dm +.*451 4\.3\.0 come back/m,
    'a row tells who is left, when, and why');
like($table, qr/^$null +\S+ +\S+ <> /m, 'the null sender is shown as <>');
like($table, qr/^$bad +.*bad\@x\.example +failed +.*550 5\.1\.1 no such user/m,
    'what was given up is listed');
unlike($table, qr/[^ -~\n]/, 'no control, no foreign octet reaches the terminal');
{
	my $json = subpost('queue', '--json')->{out};
	my %r = rows();

	unlike($json =~ s/\\u[0-9a-f]{4}//gr, qr/[\x00-\x09\x0b-\x1f\x7f-\xff]/,
	    'nor does the JSON hold one');
	is_deeply([ map { $r{$_}{state} } $later, $bad ], [ 'waiting', 'failed' ], 'JSON: the state');
	is_deeply([ map { $_->{outcome} } @{ $r{$later}{to} } ], [ 'done', 'later', 'later' ],
	    'JSON: each recipient\'s outcome');
	is_deeply([ map { $_->{address} } @{ $r{$later}{to} } ], [ map { "$_\@x.example" } qw(fine later later2) ],
	    'JSON: the addresses');
	is("$r{$bad}{to}[0]{code} $r{$bad}{to}[0]{status}", '550 5.1.1', 'JSON: reply code and status');
	is($r{$null}{from}, '', 'JSON: the null sender is empty');
	cmp_ok($r{$later}{next}, '>', time + 3000, 'JSON: the next try is a time');
	is($r{$later}{uid}, $>, 'JSON: who it is from');
	is($r{$later}{tries}, 1, 'JSON: how often it was tried');
}
is_deeply([ sort map { row($_)->{state} } $later, $bad ], [ 'failed', 'waiting' ],
    'to look changes nothing');
unlike(slurp(spool() . '/log'), qr/[^ -~\n]/, 'nor does one reach the log');
is(join('', grep { !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \w+\[\d+\]: [a-z-]+(?: [a-z]+=(?:"(?:[^"\\]|\\.)*"|[^ "]+))*$/ } log_lines()), '',
    'every line of the log is an event and its facts');
{
	my @sent = grep { / sent / } log_lines();

	is(scalar(@sent), 2, 'the log has a line for each recipient that was reached');
	is(scalar(grep { / failed id=$bad / } log_lines()), 1, 'one for each that was refused');
	is(scalar(grep { / deferred id=$later / } log_lines()), 2, 'one for each that waits');
	is(scalar(grep { / reported id=$bad / } log_lines()), 1, 'and one for the report');
	is(scalar(grep { / queued id=$later / } log_lines()), 1, 'as well as for a message that came');
}
{
	my $report = ($sh->messages)[0];

	is($report->{from} =~ s/ .*//r, '<>', 'the report has the null sender');
	like($report->{eml}, qr/bad\@x\.example.*550 5\.1\.1 no such user/s, 'it says what was said');
	unlike($report->{eml}, qr/[^\r\n\t -~]/, 'and none of it moves a terminal');
	like($report->{eml}, qr/subpost retry $bad/, 'and how to try again');
}

# -- show

$r = subpost('show', $later);
is("$r->{status} $r->{err}", '0 ', 'show shows a message');
like($r->{out}, qr/^id +$later\nplace +queue\/\n/m, 'its id and place');
like($r->{out}, qr/^to +fine\@x\.example\n +sent.*^to +later\@x\.example\n +waiting: .*451 4\.3\.0/ms,
    'each recipient\'s fate');
like($r->{out}, qr/^Subject: hello\n.*\n\nbody\n\z/ms, 'and its text');
unlike($r->{out}, qr/[^ -~\n]/, 'nothing of it moves a terminal');
like(subpost('show', $bad)->{out}, qr/^place +failed\//m, 'one that was given up is shown too');
{
	my $nasty = queue([ 'later@x.example' ], "Subject: x\n\n\e]0;title\a\xff\n");

	unlike(subpost('show', $nasty)->{out}, qr/[^ -~\n]/, 'a text with escapes is shown harmless');
	wait_for(sub { defined fate($nasty) }, 10, 'a fate');
	is(subpost('delete', $nasty)->{status}, 0, '(it is deleted)');
}

# -- retry and delete

for ([ 'show' ], [ 'retry' ], [ 'delete' ]) {
	my $verb = $_->[0];

	is(subpost($verb, '01J0000000000000000X')->{status}, 66, "66: $verb of an id that is not there");
	is(subpost($verb, '../../etc/passwd')->{status}, 64, "64: $verb of what is no id");
}
is(subpost(@$_)->{status}, 64, '64: subpost ' . join ' ', @$_)
    for [], [ 'nonsense' ], [ 'show' ], [ 'delete' ], [ 'queue', 'x' ], [ 'queue', '--xml' ], [ 'show', '--json' ];
is(subpost('--help')->{status} . subpost('--help')->{err}, '0', 'help is no error');
{
	my %next = map { $_ => row($_)->{next} } $later, $null;
	my $n = () = $sh->dialogue =~ /RCPT TO:<later\@/g;

	is(subpost('retry', $null)->{status}, 0, 'retry of one that waits');
	ok(wait_for(sub { (() = $sh->dialogue =~ /RCPT TO:<later\@/g) == $n + 1 }, 10, 'another try'),
	    'tries it at once');
	ok(wait_for(sub { row($null)->{tries} == 2 && row($null)->{state} eq 'waiting' }, 10, 'its fate'),
	    'and it waits again');
	is(row($later)->{next}, $next{$later}, 'the others keep their time');
	is(subpost('retry', 'all')->{status}, 0, 'retry all');
	ok(wait_for(sub { row($later)->{tries} == 2 && row($null)->{tries} == 3 }, 10, 'all tries'),
	    'tries all that wait');
	is(scalar(my @fine = $sh->dialogue =~ /RCPT TO:<fine\@/g), 1, 'who has it does not get it again');
	is(row($bad)->{state}, 'failed', 'what was given up stays so');
}
is(subpost('delete', $null)->{status}, 0, 'delete of one that waits');
is(scalar(grep { /\Q$null\E/ } map { glob spool() . "/$_/*" } qw(queue failed)), 0,
    'message and fate are gone');
is(scalar(grep { / deleted id=$null from=<>$/ } log_lines()), 1, 'the log says so');

my $mended = smarthost(script => qq(dot #1 wait go default\n));
ini(queue => \%LATER);
is(subpost('retry', $bad)->{status}, 0, 'retry of one that was given up');
ok(wait_for(sub { $mended->dialogue =~ /C: <text/ }, 10, 'its text'), 'sends it anew');
is(row($bad)->{state}, 'sending', 'being sent just now, says the list');
$r = subpost('delete', $bad);
is($r->{status}, 75, 'what is being sent just now cannot be deleted');
like($r->{err}, qr/\Asubpost: $bad is being sent just now; try again in a moment\n\z/, 'and that is said');
is(subpost('retry', $bad)->{status}, 75, 'nor retried');
is(subpost('show', $bad)->{status}, 0, 'but looked at');
$mended->release('go');
ok(wait_for(sub { !-e file($bad) }, 10, 'it to leave'), 'it is sent, and leaves the queue');
ok(wait_for(sub { !-e file("$bad.fate") }, 10, 'its fate to go'), 'its fate with it');
is(scalar(glob(spool() . '/failed/*') // ''), '', 'and nothing of it is left in failed/');
is(subpost('delete', $later)->{status}, 0, '(another is deleted)');
ok(wait_no_runner(), 'a runner whose last message was deleted leaves');

my $again = smarthost(script => qq(rcpt reply "550 5.1.1 no"\n));
ini(queue => \%LATER);
my $gone = queue([ '-f', '', 'x@x.example' ]);
ok(wait_for(sub { queue_ids('failed') == 1 }, 10, 'a failure'), 'another is given up');
is(subpost('delete', $gone)->{status}, 0, 'delete of one that was given up');
is(scalar(my @left = glob spool() . '/failed/*'), 0, 'and both its files are gone');

# -- one who waits beside one who was refused, after whom nothing more was said

{
	fresh_spool();
	my $s = smarthost(script => qq(rcpt ~bad reply "550 5.1.1 no such user"\nrcpt reply "450 4.2.0 later"\n));
	ini(queue => \%LATER);
	my $id = queue([ '-f', '', 'slow@x.example', 'bad@x.example' ]);
	wait_for(sub { defined fate($id) }, 10, 'a fate');
	like(row($id)->{reason}, qr/450 4\.2\.0 later/, 'the list tells why the one that is left waits');
}

# -- a clock that was ahead

# In a runner's start, and in one that waits already.
for my $how ('found', 'told of') {
	fresh_spool();
	ini(smarthost => \%DOWN, queue => \%LATER);
	my $id = queue([ 'tomorrow@x.example' ]);
	ok(wait_down() && stop_runner(), "(a message, and no runner: $how)");
	my ($e, $t) = split /(?<=\n)(?=Received|Subject)/, substr(slurp(file($id)), 147), 2;
	my $ahead = $id =~ s/^0\K1/2/r;          # some fifteen years
	$e =~ s/^id .*/id $ahead/m;
	$e =~ s/^arrived \K.*/time + 1000000/me;
	unlink file($id);
	if ($how eq 'told of') {
		queue([ 'today@x.example' ]);
		ok(wait_for(\&runner_pid, 10, 'a runner'), '(another one keeps a runner waiting)');
	}
	spew(file($ahead), message_file($e, $t), 0600);
	is(row($ahead)->{state} . ($ahead gt $id ? '' : '?'), 'waiting', 'a message from the future waits');
	my $s = smarthost();
	ini(queue => \%LATER);
	is(sendmail([ $how eq 'found' ? '-q' : "-qI$ahead" ], '')->{status}, 0, 'asked to send what waits');
	ok(wait_for(sub { !-e file($ahead) }, 10, 'it to leave'), 'the runner does not wait for that time to come');
	like($s->dialogue, qr/RCPT TO:<tomorrow\@/, 'but sends it');
}

# -- why mail waits

my @reasons = (
	[ 'a refused connection', { port => 1 }, [], undef, qr/127\.0\.0\.1.*refused/i ],
	[ 'an unresolvable name', { host => 'no-such-host.invalid' }, [], undef, qr/no-such-host\.invalid/ ],
	[ 'a certificate for another name', {}, [ '--cert', 'wrong-name' ], undef, qr/certificate.*localhost/ ],
	[ 'an expired certificate', {}, [ '--cert', 'expired' ], undef, qr/expired/ ],
	[ 'a wrong password', {}, [], 'auth reply "535 5.7.8 bad credentials"', qr/535 5\.7\.8 bad credentials/ ],
	[ 'a host that is closed', {}, [], 'greeting reply "554 5.3.2 no service"', qr/554 5\.3\.2 no service/ ],
	[ 'a host without TLS', {}, [], 'offer-clear SIZE', qr/STARTTLS/ ],
	[ 'a missing password file', { 'password-file' => "$HOME/nowhere" }, [], undef, qr{\Q$HOME\E/nowhere} ],
);
for (@reasons) {
	my ($what, $keys, $args, $script, $reason) = @$_;

	fresh_spool();
	my $s = smarthost(args => $args, defined $script ? (script => "$script\n") : ());
	ini(smarthost => $keys, queue => \%LATER);
	my $r = sendmail([ 'a@x.example' ], $TEXT);
	is("$r->{status} $r->{err}", '0 ', "$what: a message is taken all the same");
	wait_down();
	my ($id) = queue_ids();
	my $row = row($id);
	is("$row->{state} " . ($row->{reason} =~ $reason ? 'why' : $row->{reason}), 'waiting why',
	    'it waits, and the list says why');
	like(mailq()->{out}, qr/^account default is down since .*, next try in \d\dm: .*$reason/m,
	    'for the account too');
	like(subpost('show', $id)->{out}, qr/^account +default is down since .*$reason/m,
	    'and show of the message');
	ok(!defined fate($id), 'no fate is written for it');
	is(scalar(grep { / down account=default / } log_lines()), 1, 'the log has one line');
	unlike(slurp(spool() . '/log') . health() . mailq()->{out}, qr/correct horse/,
	    'and no secret is told');
}

# -- a host that is down, and a mended configuration

fresh_spool();
my $busy = smarthost(script => qq(greeting #1-2 reply "421 4.3.2 too busy"\n));
ini(queue => \%LATER);
queue([ "a$_\@x.example" ]) for 1 .. 5;
ok(wait_down(), 'a host is down');
queue([ "a$_\@x.example" ]) for 6 .. 8;
is(sendmail([ '-q' ])->{status}, 0, '(the queue is run)');
ok(wait_for(sub { (grep { / down / } log_lines()) == 2 }, 10, 'the second failure'), 'and still is');
queue([ "a$_\@x.example" ]) for 9, 10;
is(sendmail([ '-q' ])->{status}, 0, '(the queue is run)');
ok($busy->wait_messages(10), 'then it is up');
is(scalar(my @connects = $busy->dialogue =~ /^-- connect/mg), 3,
    'one connection a step, however many wait, and then one for all');
ok(wait_empty(), 'nothing waits');
ok(wait_for(sub { health() !~ / down / }, 5, 'health'), 'and the account is well');
is(scalar(grep { / up account=default/ } log_lines()), 1, 'which the log says once');

wait_no_runner();
ini(smarthost => \%DOWN, queue => \%LATER);
queue([ 'first@x.example' ]);
ok(wait_down(), 'a configuration that is wrong');
my $pid = runner_pid();
my $right = smarthost(script => qq(dot \@1 wait go default\n));
ini(queue => \%LATER);
queue([ 'second@x.example' ]);
ok(wait_for(sub { $right->dialogue =~ /C: <text/ }, 10, 'a text'),
    'is mended, and with the next message both go through');
is(runner_pid(), $pid, 'without another runner');
$right->release('go');
ok($right->wait_messages(2), 'both are sent');
wait_no_runner();
ini(smarthost => \%DOWN, queue => \%LATER);
queue([ 'third@x.example' ]);
wait_down();
spew("$HOME/.config/subpost/subpost.ini", "[smarthost]\nhost = 127.0.0.1\nport = many\n", 0600);
$pid = runner_pid();
kill 'HUP', $pid;
ok(wait_for(sub { grep { / config reason=.*subpost\.ini:3: / } log_lines() }, 10, 'a line'),
    'a configuration that was broken is told in the log');
is(runner_pid(), $pid, 'and does not end the runner');
$right->stop;
is(scalar(queue_ids()), 1, 'nor lose mail');
is_deeply([ map { $_->violations } $sh, $mended, $again, $busy, $right ], [], 'no rule of SMTP was broken');

done_testing;
