# What becomes of a message at the counter: who gets it, who sends it, and what
# its header says afterwards.  All is read from the queue, whose account is down.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

my $ME = 'user@example.net';
my $LOGIN = getpwuid $>;

time_limit(180);

# [ promise, [arguments], input, "status from>to to", [ fields that stand in the
# header, in this order among themselves ], [ names that do not ], body ]; what
# is undef is not looked at.  OPTIONS of run, and ini => keys, may follow.
my @rows;

sub rows
{
	push @rows, @_;
}

# -- recipients

rows(
	[ 'L-23: To, Cc and Bcc get it, in that order', [ '-t' ], "Bcc: c\@x.example\nCc: b\@x.example\nTo: a\@x.example\n\nhi\n",
	    "0 $ME>c\@x.example b\@x.example a\@x.example", [ 'Cc: b@x.example', 'To: a@x.example' ], [ 'Bcc' ], "hi\n" ],
	[ 'several fields of a name all count', [ '-t' ], "To: a\@x.example\nTo: b\@x.example\nCc: c\@x.example\nCc: d\@x.example\n\n",
	    "0 $ME>a\@x.example b\@x.example c\@x.example d\@x.example" ],
	[ 'arguments are added', [ '-t', 'z@x.example' ], "To: a\@x.example\n\n", "0 $ME>z\@x.example a\@x.example" ],
	[ 'the same one twice is one', [ '-t', 'a@x.example' ], "To: a\@x.example, A\@x.example, a\@X.example\n\n",
	    "0 $ME>a\@x.example A\@x.example" ],
	[ 'Apparently-To counts', [ '-t' ], "Apparently-To: a\@x.example\n\n", "0 $ME>a\@x.example" ],
	[ 'L-22: a Bcc alone is enough, and is not shown', [ '-t' ], "Bcc: a\@x.example\nSubject: x\n\n", "0 $ME>a\@x.example",
	    [ 'Subject: x' ], [ 'Bcc', 'To' ] ],
	[ 'a Bcc folded over lines', [ '-t' ], "Bcc: a\@x.example,\n b\@x.example,\n\tc\@x.example\nSubject: x\n\n",
	    "0 $ME>a\@x.example b\@x.example c\@x.example", undef, [ 'Bcc' ] ],
	[ 'a Bcc that comes last', [ '-t' ], "To: a\@x.example\n" . ('X-Long: ' . 'y' x 900 . "\n") x 1000 . "Bcc: z\@x.example\n\nhi\n",
	    "0 $ME>a\@x.example z\@x.example", undef, [ 'Bcc' ], "hi\n" ],
	[ 'Bcc goes without -t, too', [ 'a@x.example' ], "Bcc: b\@x.example\nTo: c\@x.example\n\n", "0 $ME>a\@x.example",
	    [ 'To: c@x.example' ], [ 'Bcc' ] ],
	[ 'names of fields have no case', [ '-t' ], "tO: a\@x.example\nCC: b\@x.example\nbcc: c\@x.example\n\n",
	    "0 $ME>a\@x.example b\@x.example c\@x.example", [ 'tO: a@x.example' ], [ 'bcc' ] ],
	[ 'a space before the colon', [ '-t' ], "To : a\@x.example\nBcc\t: b\@x.example\n\n", "0 $ME>a\@x.example b\@x.example",
	    undef, [ 'Bcc' ] ],
	[ 'no space behind the colon', [ '-t' ], "To:a\@x.example\n\n", "0 $ME>a\@x.example" ],
	[ 'a group is its members', [ '-t' ], "To: friends: a\@x.example, B <b\@x.example>;, c\@x.example\n\n",
	    "0 $ME>a\@x.example b\@x.example c\@x.example" ],
	[ 'an empty group beside others', [ '-t' ], "To: undisclosed-recipients:;\nBcc: a\@x.example\n\n", "0 $ME>a\@x.example" ],
	[ 'a last group need not be ended', [ '-t' ], "To: undisclosed-recipients:\nBcc: a\@x.example\n\n", "0 $ME>a\@x.example",
	    [ 'To: undisclosed-recipients:' ] ],
	[ 'comments are no addresses', [ '-t' ], "To: (one (two) \\) three) a\@x.example (Ada)\n\n", "0 $ME>a\@x.example" ],
	[ 'a comma in quotes parts nothing', [ '-t' ], "To: \"Lovelace, Ada\" <a\@x.example>, \"b,c\"\@x.example\n\n",
	    "0 $ME>a\@x.example \"b,c\"\@x.example" ],
	[ 'encoded words are left alone', [ '-t' ], "To: =?utf-8?q?J=C3=B6rg=2C_x?= <a\@x.example>\n\n", "0 $ME>a\@x.example",
	    [ 'To: =?utf-8?q?J=C3=B6rg=2C_x?= <a@x.example>' ] ],
	[ 'L-12: needless quotes go from the envelope', [ '-t' ], "To: \"ada\"\@x.example\n\n", "0 $ME>ada\@x.example",
	    [ 'To: "ada"@x.example' ] ],
	[ 'L-14: a route is dropped', [ '-t' ], "To: <\@relay.example,\@other.example:a\@x.example>\n\n", "0 $ME>a\@x.example" ],
	[ 'spaces around dots and at', [ '-t' ], "To: ada . l @ x . example\n\n", "0 $ME>ada.l\@x.example" ],
	[ 'comments around dots and at', [ '-t' ], "To: ada(x).(y)l(z)@(w)x.example\n\n", "0 $ME>ada.l\@x.example" ],
	[ 'empty elements of a list', [ '-t' ], "To: ,, a\@x.example, ,b\@x.example,\n\n", "0 $ME>a\@x.example b\@x.example" ],
	[ 'L-15: a domain literal', [ '-t' ], "To: a\@[192.0.2.1], b\@[IPv6:2001:db8::1]\n\n",
	    "0 $ME>a\@[192.0.2.1] b\@[IPv6:2001:db8::1]" ],
	[ 'a local part keeps its case', [ '-t' ], "To: MiXeD\@EXAMPLE.org\n\n", "0 $ME>MiXeD\@EXAMPLE.org" ],
	[ 'a bare name is qualified in envelope and header', [ '-t' ], "To: root, Ada <ada>\n\n",
	    "0 $ME>root\@example.net ada\@example.net", [ 'To: root@example.net, Ada <ada@example.net>' ] ],
	[ 'postmaster, too', [ 'postmaster' ], "\n", "0 $ME>postmaster\@example.net" ],
	[ 'UTF-8 in a local part', [ '-t' ], "To: j\xc3\xb6rg\@x.example\n\n", "0 $ME>j\xc3\xb6rg\@x.example" ],
	[ 'an argument with a display name', [ 'Ada Lovelace <a@x.example>' ], "\n", "0 $ME>a\@x.example" ],
	[ 'arguments without -t leave the header alone', [ 'a@x.example' ], "To: b\@x.example\nCc: c\@x.example\n\n",
	    "0 $ME>a\@x.example", [ 'To: b@x.example', 'Cc: c@x.example' ] ],
	[ 'a broken To matters only with -t', [ 'a@x.example' ], "To: <broken\n\n", "0 $ME>a\@x.example", [ 'To: <broken' ] ]);

# -- Resent- blocks

rows(
	[ 'Resent- fields alone count where there are any', [ '-t' ],
	    "Resent-To: r\@x.example\nTo: a\@x.example\nCc: b\@x.example\nBcc: c\@x.example\nFrom: f\@x.example\n\n",
	    "0 $ME>r\@x.example", [ qr/^Resent-From: .*\Q$ME\E/, 'Resent-To: r@x.example', 'To: a@x.example', 'From: f@x.example' ],
	    [ 'Bcc' ] ],
	[ 'the first block only', [ '-t' ],
	    "Resent-From: r\@x.example\nResent-To: one\@x.example\nResent-Cc: two\@x.example\nResent-Bcc: three\@x.example\n"
	    . "Received: by y\nResent-From: old\@x.example\nResent-To: old\@x.example\nTo: a\@x.example\n\n",
	    "0 $ME>one\@x.example two\@x.example three\@x.example",
	    [ 'Resent-From: r@x.example', 'Resent-To: one@x.example', 'Received: by y', 'Resent-To: old@x.example' ],
	    [ 'Resent-Bcc' ] ],
	[ 'two blocks without anything between', [ '-t' ],
	    "Resent-From: r\@x.example\nResent-To: one\@x.example\nResent-From: old\@x.example\nResent-To: old\@x.example\n\n",
	    "0 $ME>one\@x.example" ],
	[ 'a Resent-Bcc alone', [ '-t' ], "Resent-Bcc: r\@x.example\nTo: a\@x.example\n\n", "0 $ME>r\@x.example",
	    [ 'To: a@x.example' ], [ 'Resent-Bcc' ] ],
	[ 'Resent-From alone is no recipient', [ '-t' ], "Resent-From: r\@x.example\nTo: a\@x.example\n\n", "0 $ME>a\@x.example" ],
	[ 'a block gets its date and id', [ '-t' ], "Resent-To: r\@x.example\nFrom: f\@x.example\n\n", "0 $ME>r\@x.example",
	    [ qr/^Resent-Date: /, qr/^Resent-Message-ID: </, 'Resent-To: r@x.example' ] ],
	[ 'a complete block stays as it is', [ '-t' ],
	    "Resent-From: r\@x.example\nResent-Date: Thu, 1 Jan 1970 00:00:00 +0000\nResent-Message-ID: <i\@x>\nResent-To: t\@x.example\n\n",
	    "0 $ME>t\@x.example", [ 'Resent-From: r@x.example', 'Resent-Date: Thu, 1 Jan 1970 00:00:00 +0000',
	    'Resent-Message-ID: <i@x>', 'Resent-To: t@x.example' ] ]);

# -- the sender

rows(
	[ '-f', [ '-f', 's@x.example', 'a@x.example' ], "\n", '0 s@x.example>a@x.example', [ qr/^From: .*s\@x\.example/ ] ],
	[ '-f glued', [ '-fs@x.example', 'a@x.example' ], "\n", '0 s@x.example>a@x.example' ],
	[ '-r is -f', [ '-r', 's@x.example', 'a@x.example' ], "\n", '0 s@x.example>a@x.example' ],
	[ 'the last of several', [ '-f', 'one@x.example', '-r', 'two@x.example', '-fthree@x.example', 'a@x.example' ], "\n",
	    '0 three@x.example>a@x.example' ],
	[ 'an empty -f is the null sender', [ '-f', '', 'a@x.example' ], "\n", '0 >a@x.example', [ qr/^From: .*user\@example\.net/ ] ],
	[ '-f <> is the null sender', [ '-f', '<>', 'a@x.example' ], "\n", '0 >a@x.example' ],
	[ 'E-24: a wish for a receipt stays', [ '-f', '<>', 'a@x.example' ], "Disposition-Notification-To: f\@x.example\n\n", '0 >a@x.example',
	    [ 'Disposition-Notification-To: f@x.example' ] ],
	[ '-f with brackets', [ '-f', '<s@x.example>', 'a@x.example' ], "\n", '0 s@x.example>a@x.example' ],
	[ '-f with a name', [ '-f', 'S <s@x.example>', 'a@x.example' ], "\n", '0 s@x.example>a@x.example' ],
	[ '-f with a bare name', [ '-f', 'www-data', 'a@x.example' ], "\n", '0 www-data@example.net>a@x.example' ],
	[ '-f changes no From:', [ '-f', 's@x.example', 'a@x.example' ], "From: f\@x.example\n\n", '0 s@x.example>a@x.example',
	    [ 'From: f@x.example' ] ],
	[ 'L-20: the header is not asked for the sender, and Return-Path goes', [ 'a@x.example' ], "From: f\@x.example\nReturn-Path: <p\@x.example>\n\n",
	    "0 $ME>a\@x.example", [ 'From: f@x.example' ], [ 'Return-Path' ] ]);

my %HEADER = (ini => { smarthost => { from => 'header' } });

rows(
	[ 'from = header takes it from From:', [ 'a@x.example' ], "From: F <f\@x.example>\n\n", '0 f@x.example>a@x.example',
	    undef, undef, undef, %HEADER ],
	[ 'qualified', [ 'a@x.example' ], "From: root\n\n", '0 root@example.net>a@x.example', undef, undef, undef, %HEADER ],
	[ 'from Sender: where From: names several', [ 'a@x.example' ], "From: f\@x.example, g\@x.example\nSender: s\@x.example\n\n",
	    '0 s@x.example>a@x.example', undef, undef, undef, %HEADER ],
	[ 'from the first where nothing else is there', [ 'a@x.example' ], "From: f\@x.example, g\@x.example\n\n",
	    '0 f@x.example>a@x.example', undef, undef, undef, %HEADER ],
	[ 'from Resent-From: where there is one', [ '-t' ], "Resent-From: r\@x.example\nResent-To: a\@x.example\nFrom: f\@x.example\n\n",
	    '0 r@x.example>a@x.example', undef, undef, undef, %HEADER ],
	[ '-f is stronger', [ '-f', 's@x.example', 'a@x.example' ], "From: f\@x.example\n\n", '0 s@x.example>a@x.example',
	    undef, undef, undef, %HEADER ],
	[ 'the null sender, too', [ '-f', '<>', 'a@x.example' ], "From: f\@x.example\n\n", '0 >a@x.example', undef, undef, undef, %HEADER ],
	[ 'without From: it is the account\'s', [ 'a@x.example' ], "Subject: x\n\n", "0 $LOGIN\@example.net>a\@x.example", undef, undef, undef, %HEADER ],
	[ 'and where From: cannot be read', [ 'a@x.example' ], "From: <broken\n\n", "0 $LOGIN\@example.net>a\@x.example", undef, undef, undef, %HEADER ]);

my %SENDERS = (ini => { smarthost => { senders => '*@example.net, Boss@*' } });

rows(
	[ 'senders lets its own pass', [ 'a@x.example' ], "\n", "0 $ME>a\@x.example", undef, undef, undef, %SENDERS ],
	[ 'without case', [ '-f', 'BOSS@x.example', 'a@x.example' ], "\n", '0 BOSS@x.example>a@x.example', undef, undef, undef, %SENDERS ],
	[ 'the null sender passes', [ '-f', '<>', 'a@x.example' ], "\n", '0 >a@x.example', undef, undef, undef, %SENDERS ],
	[ 'others are refused with 77', [ '-f', 's@x.example', 'a@x.example' ], "\n", '77 nothing', undef, undef, undef, %SENDERS ],
	[ 'and are not with force-from', [ '-f', 's@x.example', 'a@x.example' ], "\n", '0 s@x.example>a@x.example', undef, undef, undef,
	    ini => { smarthost => { senders => '*@example.net', 'force-from' => 'yes' } } ],
	[ 'what from = header found is asked about, too', [ 'a@x.example' ], "From: f\@x.example\n\n", '77 nothing', undef, undef, undef,
	    ini => { smarthost => { from => 'header', senders => '*@example.net' } } ]);

# -- From:

my $B64 = qr/=\?utf-8\?[bq]\?[!-~]+\?=/i;

rows(
	[ '-F names the sender', [ '-F', 'Ada Lovelace', 'a@x.example' ], "\n", undef, [ "From: Ada Lovelace <$ME>" ] ],
	[ '-F glued', [ '-FCronDaemon', 'a@x.example' ], "\n", undef, [ "From: CronDaemon <$ME>" ] ],
	[ '-F that needs quotes', [ '-F', 'Lovelace, Ada (math) <x>', 'a@x.example' ], "\n", undef,
	    [ "From: \"Lovelace, Ada (math) <x>\" <$ME>" ] ],
	[ '-F with quotes in it', [ '-F', 'Ada "Countess" L', 'a@x.example' ], "\n", undef,
	    [ "From: \"Ada \\\"Countess\\\" L\" <$ME>" ] ],
	[ '-F that is not ASCII', [ '-F', "J\xc3\xb6rg", 'a@x.example' ], "\n", undef, [ qr/^From: $B64 <\Q$ME\E>$/ ] ],
	[ '-F that is no UTF-8', [ '-F', "J\xf6rg", 'a@x.example' ], "\n", undef, [ qr/^From: [ -~]+<\Q$ME\E>$/ ] ],
	[ '-F with line ends', [ '-F', "Ada\nBcc: evil\@x.example\r\nX: y", 'a@x.example' ], "\n", "0 $ME>a\@x.example",
	    [ qr/^From: [ -~]+$/ ], [ 'Bcc', 'X' ] ],
	[ '-F with an encoded word', [ '-F', '=?utf-8?q?x?=', 'a@x.example' ], "\n", undef, [ qr/^From: [ -~]+ <\Q$ME\E>$/ ] ],
	[ '-F of 10 KB', [ '-F', 'long ' x 2000, 'a@x.example' ], "\n", undef, [ qr/^From: long/ ] ],
	[ '-F of 10 KB of umlauts', [ '-F', "\xc3\xb6" x 5000, 'a@x.example' ], "\n", undef, [ qr/^From:(?:\s+$B64)+\s+<\Q$ME\E>$/ ] ],
	[ '-F of nothing is no name', [ '-F', '', 'a@x.example' ], "\n", undef, [ "From: $ME" ] ],
	[ 'NAME is next', [ 'a@x.example' ], "\n", undef, [ "From: Grace Hopper <$ME>" ], undef, undef, env => { NAME => 'Grace Hopper' } ],
	[ '-F before NAME', [ '-FAda', 'a@x.example' ], "\n", undef, [ "From: Ada <$ME>" ], undef, undef, env => { NAME => 'Grace' } ],
	[ 'NAME cannot break the header', [ 'a@x.example' ], "\n", "0 $ME>a\@x.example", [ qr/^From: / ], [ 'Bcc' ], undef,
	    env => { NAME => "x\nBcc: evil\@x.example" } ],
	[ '-F leaves a From: alone', [ '-FAda', 'a@x.example' ], "From: f\@x.example\n\n", undef, [ 'From: f@x.example' ] ],
	[ 'cron\'s From survives, qualified', [ '-FCronDaemon', '-i', '-B8BITMIME', '-oem', 'root' ],
	    "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root\@host> job\n\nout\n", "0 $ME>root\@example.net",
	    [ 'From: root@example.net (Cron Daemon)', 'To: root@example.net' ], undef, "out\n" ],
	[ 'so does the other cron\'s', [ '-FCronDaemon', '-i', '-odi', '-oem', '-oi', '-t', '-f', 'root' ],
	    "From: \"(Cron Daemon)\" <root>\nTo: root\n\nout\n", '0 root@example.net>root@example.net',
	    [ 'From: "(Cron Daemon)" <root@example.net>' ] ],
	[ 'a blank From: is none', [ '-FAda', 'a@x.example' ], "From: \nSubject: x\n\n", undef, [ 'Subject: x', "From: Ada <$ME>" ] ],
	[ 'several authors get a Sender:', [ 'a@x.example' ], "From: f\@x.example, g\@x.example\n\n", undef,
	    [ 'From: f@x.example, g@x.example', "Sender: $ME" ] ],
	[ 'and keep the one they have', [ 'a@x.example' ], "From: f\@x.example, g\@x.example\nSender: s\@x.example\n\n", undef,
	    [ 'Sender: s@x.example' ] ],
	[ 'a group in From: passes', [ 'a@x.example' ], "From: nobody:;\n\n", undef, [ 'From: nobody:;' ] ]);

# -- the rest of the header

my $DATE = qr/^Date: \w{3}, [ \d]\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$/;

rows(
	[ 'what is missing is added', [ 'a@x.example' ], "Subject: x\n\nhi\n", undef,
	    [ qr/^Received: by /, 'Subject: x', qr/^From: /, $DATE, qr/^Message-ID: <[0-9A-Z]{20}\@example\.net>$/ ], undef, "hi\n" ],
	[ 'L-21: the zone is the caller\'s', [ 'a@x.example' ], "\n", undef, [ qr/^Date: .* [+]0545$/ ], undef, undef, env => { TZ => 'XXX-5:45' } ],
	[ 'and has half hours', [ 'a@x.example' ], "\n", undef, [ qr/^Date: .* -0330$/ ], undef, undef, env => { TZ => 'XXX3:30' } ],
	[ 'Date and Message-ID stay', [ 'a@x.example' ], "Date: Thu, 1 Jan 70 00:00:00 GMT\nMessage-ID: <i\@x>\n\n", undef,
	    [ 'Date: Thu, 1 Jan 70 00:00:00 GMT', 'Message-ID: <i@x>' ] ],
	[ 'a second one goes', [ 'a@x.example' ], "Date: one\nSubject: one\nFrom: one\@x\nDate: two\nSubject: two\nFrom: two\@x\n\n", undef,
	    [ 'Date: one', 'Subject: one', 'From: one@x' ], [ 'two' ] ],
	[ 'L-18, L-19: Received of others stay, and ours comes first', [ 'a@x.example' ], "Received: by one; x\nReceived: by two\n (y); z\n\n", undef,
	    [ qr/^Received: by \S+ \(subpost/, 'Received: by one; x', "Received: by two\n (y); z" ] ],
	[ 'Content-Length goes', [ 'a@x.example' ], "Content-Length: 7\nX: y\n\n", undef, [ 'X: y' ], [ 'Content-Length' ] ],
	[ 'an mbox line goes', [ 'a@x.example' ], "From a\@x Thu Jan  1 00:00:00 1970\nSubject: x\n\nhi\n", undef, [ 'Subject: x' ],
	    [ 'From a' ], "hi\n" ],
	[ 'a quoted one, too', [ 'a@x.example' ], ">From a\@x Thu Jan  1\nSubject: x\n\n", undef, [ 'Subject: x' ], [ '>From' ] ],
	[ 'a text without a header is a body', [ 'a@x.example' ], "just words\nand more\n", undef, [ qr/^From: /, $DATE ], undef,
	    "just words\nand more\n" ],
	[ 'an empty line first, too', [ 'a@x.example' ], "\njust words\n", undef, [ qr/^From: / ], undef, "just words\n" ],
	[ 'a header without an empty line behind it', [ 'a@x.example' ], "Subject: x\nno field at all\nmore\n", undef, [ 'Subject: x' ],
	    undef, "no field at all\nmore\n" ],
	[ 'a first line that begins with a space', [ 'a@x.example' ], " indented\nSubject: x\n\n", undef, [ qr/^From: / ], undef,
	    " indented\nSubject: x\n\n" ],
	[ 'a header and no body', [ 'a@x.example' ], "Subject: x\n", undef, [ 'Subject: x' ], undef, '' ],
	[ 'a header that ends in the middle of a line', [ 'a@x.example' ], "Subject: x", undef, [ 'Subject: x' ], undef, '' ],
	[ 'nothing at all', [ 'a@x.example' ], '', "0 $ME>a\@x.example", [ qr/^From: /, $DATE ], undef, '' ],
	[ 'a body without a last line end', [ 'a@x.example' ], "Subject: x\n\nhi", undef, [ 'Subject: x' ], undef, 'hi' ],
	[ 'CRLF is LF', [ '-t' ], "To: a\@x.example\r\nSubject: x\r\n y\r\n\r\nhi\r\nho\r\n", "0 $ME>a\@x.example",
	    [ 'To: a@x.example', "Subject: x\n y" ], undef, "hi\nho\n" ],
	[ 'mixed line ends', [ '-t' ], "To: a\@x.example\nSubject: x\r\n\nhi\r\nho\n", "0 $ME>a\@x.example", [ 'Subject: x' ], undef, "hi\nho\n" ],
	[ 'folding stays', [ 'a@x.example' ], "Subject: a\n b\n\tc\nX:\n y\n\n", undef, [ "Subject: a\n b\n\tc", "X:\n y" ] ],
	[ 'odd names of fields pass', [ 'a@x.example' ], "X!#\$%&'*+-/=?^_`{|}~.1: y\n\n", undef, [ 'X!#$%&\'*+-/=?^_`{|}~.1: y' ] ],
	[ 'a field of 5000 octets stays', [ 'a@x.example' ], 'X-Long: ' . 'y' x 5000 . "\n\n", undef, [ 'X-Long: ' . 'y' x 5000 ] ],
	[ 'UTF-8 in a header stays', [ 'a@x.example' ], "Subject: J\xc3\xb6rg\n\n", undef, [ "Subject: J\xc3\xb6rg" ] ],
	[ 'what is signed stays', [ 'a@x.example' ],
	    "DKIM-Signature: v=1; h=from:to:subject:return-path; b=x\nFrom: root\nTo: ada\nReturn-Path: <p\@x>\nSubject: one\nSubject: two\n\n",
	    undef, [ 'From: root', 'To: ada', 'Return-Path: <p@x>', 'Subject: one', 'Subject: two' ] ],
	[ 'but for Bcc', [ '-t' ], "DKIM-Signature: h=bcc; b=x\nBcc: a\@x.example\n\n", "0 $ME>a\@x.example", undef, [ 'Bcc' ] ]);

# -- dots

rows(
	[ 'a lone dot ends the message', [ 'a@x.example' ], "Subject: x\n\none\n.\ntwo\n", undef, undef, undef, "one\n" ],
	[ 'with CRLF, too', [ 'a@x.example' ], "Subject: x\r\n\r\none\r\n.\r\ntwo\r\n", undef, undef, undef, "one\n" ],
	[ 'not with -i', [ '-i', 'a@x.example' ], "Subject: x\n\none\n.\ntwo\n", undef, undef, undef, "one\n.\ntwo\n" ],
	[ 'nor with -oi', [ '-oi', 'a@x.example' ], "Subject: x\n\n.\n..\n", undef, undef, undef, ".\n..\n" ],
	[ 'two dots are one', [ 'a@x.example' ], "Subject: x\n\n..one\n...two\n.three\n..\nx..y\n", undef, undef, undef,
	    ".one\n..two\n.three\n.\nx..y\n" ],
	[ 'and two with -i', [ '-ti' ], "To: a\@x.example\n\n..one\n", undef, undef, undef, "..one\n" ],
	[ 'a dot that ends the header', [ 'a@x.example' ], "Subject: x\n.\nmore\n", undef, [ 'Subject: x' ], undef, '' ],
	[ 'a dot is all there is', [ 'a@x.example' ], ".\n", undef, [ qr/^From: / ], undef, '' ],
	[ 'a dot without a line end', [ 'a@x.example' ], "Subject: x\n\none\n.", undef, undef, undef, "one\n" ],
	[ 'a dot in the middle of a line', [ 'a@x.example' ], "Subject: x\n\none .\n", undef, undef, undef, "one .\n" ],
	[ 'dots = text', [ 'a@x.example' ], "Subject: x\n\none\n.\n..two\n", undef, undef, undef, "one\n.\n..two\n",
	    ini => { sendmail => { dots => 'text' } } ],
	[ 'arguments = subtract', [ '-t', 'b@x.example', 'd@x.example' ], "To: a\@x.example, B\@x.example, b\@X.example\nCc: c\@x.example\n\n",
	    "0 $ME>a\@x.example B\@x.example c\@x.example", undef, undef, undef, ini => { sendmail => { arguments => 'subtract' } } ],
	[ 'subtracting all leaves nobody', [ '-t', 'a@x.example' ], "To: a\@x.example\n\n", '64 nothing', undef, undef, undef,
	    ini => { sendmail => { arguments => 'subtract' } } ],
	[ 'without -t nothing is subtracted', [ 'a@x.example' ], "To: a\@x.example\n\n", "0 $ME>a\@x.example", undef, undef, undef,
	    ini => { sendmail => { arguments => 'subtract' } } ]);

# Is the field of that name, does it say that, or does it begin so?
sub is_it
{
	my ($field, $what) = @_;

	return $field =~ /^\Q$what\E\s*:/i || $field =~ /: \Q$what\E(?:\@x)?$/ || $what =~ /[ >]/ && index($field, $what) == 0;
}

my $current = 'none yet';

for (@rows) {
	my ($promise, $args, $input, $taken, $fields, $none, $body, %o) = @$_;
	my $ini = delete $o{ini} // {};
	my $signature = join ' ', map { my $s = $_; map { "$s.$_=$ini->{$s}{$_}" } sort keys %{ $ini->{$s} } } sort keys %$ini;
	my ($said, @wrong) = ('nothing');

	if ($signature ne $current) {
		ini(%$ini, smarthost => { nobody_answers(), %{ $ini->{smarthost} // {} } });
		$current = $signature;
	}
	my $r = sendmail($args, $input, %o);
	my ($l, @more) = new_letters();

	$said = "$l->{from}>@{ $l->{to} }" if $l;
	push @wrong, "taken: $r->{status} $said ($r->{err})" if "$r->{status} $said" ne ($taken // "0 $said") || @more || !$l && !defined $taken;
	my @head = @{ $l ? $l->{head} : [] };
	for my $field (@{ $fields // [] }) {
		shift @head while @head && (ref $field ? $head[0] !~ $field : $head[0] ne $field);
		push @wrong, "no '$field' in its place" if !@head;
	}
	push @wrong, map { "'$_' is there" } grep { my $n = $_; grep { is_it($_, $n) } @{ $l ? $l->{head} : [] } } @{ $none // [] };
	push @wrong, grep { length > 78 } map { split /\n/ } grep { /^(?:From|Date|Message-ID|Sender|Received: by \S+ \(subpost)/ && $input !~ /^From: /m } @{ $l ? $l->{head} : [] };
	push @wrong, "body: '$l->{body}'" if defined $body && $l && $l->{body} ne $body;
	ok(!@wrong, $promise) or diag(join "\n", @wrong, $l ? join "\n", @{ $l->{head} } : ());
}

# -- and its weight: the text is never held as a whole

SKIP: {
	skip 'sanitizers have a memory of their own', 2 if slurp("$B/sendmail") =~ /__asan_init/;
	my $block = ('y' x 63 . "\n") x 1024;
	local $SIG{PIPE} = 'IGNORE';

	ini(smarthost => { nobody_answers() });
	pipe my $in, my $out or die "pipe: $!";
	my $p = start([ "$B/sendmail", 'a@x.example' ], stdin => $in);
	close $in;
	$out->autoflush(1);
	print $out "Subject: x\n\n";
	print $out $block for 1 .. 90 * 16;
	my ($kib) = (slurp('/proc/' . $p->pid . '/status') // '') =~ /^VmHWM:\s*(\d+) kB/m;
	close $out;
	is($p->wait(60)->{status}, 0, 'a text of 90 MiB is taken');
	cmp_ok($kib // 1 << 30, '<', 2048, 'in less than 2 MiB of memory');
}
done_testing();
