# Programs that have called /usr/sbin/sendmail for decades call ours, and what
# they meant is what arrives: envelope, header and text.  They run on a stage,
# where ours stands at that path (tests/lib/Stage.pm); those that exclude one
# another as packages are unpacked side by side (tests/lib/Peer.pm).  What
# cannot be had on this machine is skipped, each with its reason.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Stage;              # first: it starts this test again
use Flow;
use Peer;

use constant CRON_PATIENCE => 70;       # seconds: cron acts when a minute begins

my $LIB = "$FindBin::Bin/../lib";
my $TEXT = "Gr\xc3\xbc\xc3\x9fe\n.dot\n..two\n.\nlast\n";
my $ASCII = "one\n.dot\n..two\n.\nlast\n";
my $SUBJECT = '=?UTF-8?B?R3LDvMOfZQ==?=';
my $NO_STAGE = stage_set(sendmail => "$B/sendmail", home => $HOME);
my $SENDMAIL = $NO_STAGE ? "$B/sendmail" : '/usr/sbin/sendmail';

# The archive may have to be asked for packages first.
time_limit(400);
my $sh = smarthost(args => [ '--plain' ]);
ini(smarthost => { port => $sh->port, tls => 'none' });
# What a log-in gives; the queue is where a caller's home says.
my %ENVIRONMENT = (LOGNAME => 'root', USER => 'root',
	map { ("XDG_${_}_HOME" => undef) } qw(CONFIG STATE DATA CACHE));
spew("$HOME/.gitconfig", "[user]\n\tname = Ann M\xc3\xbcller\n\temail = ann\@git.example\n");
my %BROKEN = (SUBPOST_CONFIG => spew("$T/broken.ini", "[smarthost]\nhst = nowhere\n", 0600));

# -- what is there, and why not

my %PACKAGES = (
	cron => [ qw(cron) ],
	at => [ qw(at) ],
	anacron => [ qw(anacron) ],
	sudo => [ qw(sudo) ],
	logrotate => [ qw(logrotate libpopt0) ],
	mutt => [ qw(mutt libgpgme11 libassuan0 libtokyocabinet9) ],
	's-nail' => [ qw(s-nail) ],
	'bsd-mailx' => [ qw(bsd-mailx liblockfile1) ],
	mailutils => [ qw(mailutils libmailutils9 mailutils-common guile-3.0-libs libltdl7 libmariadb3) ],
);
my (%peer, %cannot);

# The path of a program from that package, unpacked; why not is in %cannot.
sub peer
{
	my ($name, $program) = @_;

	$cannot{$name} //= do {
		$peer{$name} = unpack_peer($B, $name, @{ $PACKAGES{$name} });
		defined $peer{$name} ? '' : "Debian's package $name cannot be downloaded here";
	};
	return $program if $cannot{$name};
	my @missing = missing_libraries(libraries($name), "$peer{$name}/$program");
	$cannot{$name} = "$name needs libraries that are not here: @missing" if @missing;
	return "$peer{$name}/$program";
}

sub libraries
{
	return join ':', map { $peer{$_} ? peer_libraries($peer{$_}) : () } @_;
}

sub installed
{
	my ($what, @try) = @_;

	return '' if system("@try >/dev/null 2>&1") == 0;
	return "$what is not installed";
}

my $NO_PHP = installed('php-cli', 'php -n -v');
my $NO_GIT = installed('git-email', 'test -x "$(git --exec-path)/git-send-email"') ||
    installed('libmailtools-perl', '/usr/bin/perl -MMail::Address -e 1');
my $PYTHON = (grep { -x } '/usr/bin/python3')[0] // 'python3';
my $NO_PYTHON = installed('python3', "$PYTHON -V");
my $NO_EMAIL_SENDER = installed('libemail-sender-perl', "/usr/bin/perl -MEmail::Sender -MEmail::Simple -e 1");

# -- the callers

# Each is a row:
#	argv, stdin, env, cwd   how it is called; none: something else sends it
#	as                      as that user instead of root
#	skip                    why not, if anything
#	broken                  how it ends where sendmail cannot take the mail
#	far                     it goes to a real Postfix
#	at                      the domain of all its recipients, by which it is known
#	like                    or what stands in its text
#	from, to                the envelope; to: local parts, in order
#	head                    fields: exactly, or a pattern; undef: must not be there
#	text                    every octet of it
my @callers;

sub php
{
	my ($code, @options) = @_;

	return [ 'php', '-n', '-d', 'display_errors=stderr', @options, '-r', "exit(mail($code) ? 0 : 1);" ];
}

sub quoted { return '"' . (shift =~ s/([\\"\$])/\\$1/gr) . '"' }

{
	my ($text, $crlf) = map { quoted($_) } $TEXT, $TEXT =~ s/\n/\r\n/gr;
	my $headers = quoted("From: Ann <me\@php.example>\r\nCc: c\@php.example\r\nBcc: d\@php.example\r\nX-Mailer: PHP");

	push @callers, {
		name => 'PHP mail(), the path that is built in', skip => $NO_PHP || $NO_STAGE,
		argv => php(qq("a\@php.example, Ben <b\@php.example>", "$SUBJECT", $text, $headers)),
		broken => 1, at => 'php.example', from => 'user@example.net', to => 'a b c d',
		head => { From => 'Ann <me@php.example>', To => 'a@php.example, Ben <b@php.example>',
			Cc => 'c@php.example', Subject => $SUBJECT, 'X-Mailer' => 'PHP' },
		text => "$TEXT\n",      # PHP adds the line end
	}, {
		name => 'PHP mail(), another path, a text with CRLF', skip => $NO_PHP,
		argv => php(qq("a\@php2.example", "Gr\xc3\xbc\xc3\x9fe", $crlf),
			'-d', "sendmail_path=$B/sendmail -t -fwww\@php2.example"),
		broken => 1, at => 'php2.example', from => 'www@php2.example', to => 'a',
		head => { To => 'a@php2.example', Subject => '=?utf-8?b?R3LDvMOfZQ==?=', From => qr/<www\@php2\.example>$/ },
		text => "Gr\xc3\xbc\xc3\x9fe\n.dot\n.two\n",    # without -i dots are SMTP's
	}, {
		name => 'PHP mail(), the fifth argument', skip => $NO_PHP || $NO_STAGE,
		argv => php(qq("a\@php5.example", "$SUBJECT", $crlf, ["From" => "shop\@php5.example",
			"Bcc" => "b\@php5.example", "MIME-Version" => "1.0"], "-fme\@php5.example")),
		broken => 1, at => 'php5.example', from => 'me@php5.example', to => 'a b',
		head => { From => 'shop@php5.example', 'MIME-Version' => '1.0' },
		text => "$TEXT\n",
	}, {
		name => 'PHP mail(), where mail must not get another recipient', skip => $NO_PHP || $NO_STAGE,
		argv => php(q("a@phpx.example", "x\r\nBcc: evil@phpx.example", "text")),
		at => 'phpx.example', from => 'user@example.net', to => 'a',
		head => { Subject => 'x  Bcc: evil@phpx.example' },
		text => "text\n",
	};
}

# Symfony's mailer by its transports: a dialogue, its default; and a pipe, with
# the recipients as arguments and dots doubled unless -i is there.
my $SYMFONY = "From: Ann <me\@%s>\nTo: a\@%1\$s\nSubject: $SUBJECT\nMIME-Version: 1.0\nDate: " .
    "Wed, 25 Nov 2026 03:00:00 +0000\nMessage-ID: <1\@%1\$s>\n\n$TEXT";
push @callers, {
	name => 'Symfony, sendmail -bs',
	argv => [ "$LIB/bs-client", $SENDMAIL, '-bs' ],
	stdin => "me\@bs.example a\@bs.example hidden\@bs.example\n" . sprintf($SYMFONY, 'bs.example') . "===\n" .
	    "me\@bs2.example b\@bs2.example\nSubject: the second\n\n$TEXT",
	at => 'bs.example', from => 'me@bs.example', to => 'a hidden',
	head => { From => 'Ann <me@bs.example>', Subject => $SUBJECT, 'Message-ID' => '<1@bs.example>' },
	text => $TEXT,
}, {
	name => 'and a second message in the same session',
	at => 'bs2.example', from => 'me@bs2.example', to => 'b', head => { Subject => 'the second' }, text => $TEXT,
}, {
	name => 'Alpine, sendmail -bs -odb -oem',
	argv => [ "$LIB/bs-client", $SENDMAIL, '-bs', '-odb', '-oem' ],
	stdin => "me\@alpine.example a\@alpine.example\n" . sprintf($SYMFONY, 'alpine.example'),
	at => 'alpine.example', from => 'me@alpine.example', to => 'a', head => {}, text => $TEXT,
}, {
	name => 'Symfony, sendmail -t -i',
	argv => [ $SENDMAIL, '-t', '-i', '-fme@symfony.example' ], stdin => sprintf($SYMFONY, 'symfony.example'),
	broken => 78, at => 'symfony.example', from => 'me@symfony.example', to => 'a',
	head => { Subject => $SUBJECT }, text => $TEXT,
}, {
	name => 'Symfony, arguments and doubled dots',
	argv => [ $SENDMAIL, '-fme@symfony2.example', 'a@symfony2.example', 'hidden@symfony2.example' ],
	stdin => sprintf($SYMFONY, 'symfony2.example') =~ s/\n\./\n../gr,
	at => 'symfony2.example', from => 'me@symfony2.example', to => 'a hidden', head => {}, text => $TEXT,
};

# -- programs for people

spew("$HOME/muttrc", <<'END');
set use_envelope_from = yes
set envelope_from_address = "me@mutt.example"
set from = "me@mutt.example"
set realname = "J. Other"
set dsn_notify = "failure,delay"
set use_8bitmime = yes
set charset = utf-8
set send_charset = utf-8
set copy = no
END
push @callers, {
	name => 'mutt', package => 'mutt',
	argv => [ peer('mutt', 'usr/bin/mutt'), '-n', '-F', "$HOME/muttrc", '-s', "Gr\xc3\xbc\xc3\x9fe",
		'-c', 'c@mutt.example', '-b', 'b@mutt.example', '--', 'a@mutt.example' ],
	stdin => $TEXT, env => { LC_ALL => 'C.UTF-8' }, broken => 1,
	at => 'mutt.example', from => 'me@mutt.example', to => 'a c b',
	head => { From => '"J. Other" <me@mutt.example>', Subject => qr/^=\?utf-8\?B\?R3LDvMOfZQ==\?=$/i,
		'Content-Type' => 'text/plain; charset=utf-8' },
	text => $TEXT,
}, {
	name => 's-nail', package => 's-nail',
	argv => [ peer('s-nail', 'usr/bin/s-nail'), '-n', '-Ssendwait', '-Sencoding=8bit', '-r', 'me@snail.example',
		'-s', "Gr\xc3\xbc\xc3\x9fe", '-c', 'c@snail.example', '-b', 'b@snail.example', 'a@snail.example' ],
	stdin => $ASCII, env => { LC_ALL => 'C.UTF-8' }, broken => qr/^[^0]/,
	at => 'snail.example', from => 'me@snail.example', to => 'a c b',
	head => { From => 'me@snail.example', Cc => 'c@snail.example', Subject => qr/^=\?utf-8\?B\?R3LDvMOfZQ==\?=$/i },
	text => $ASCII,
}, {
	name => 'bsd-mailx -r', package => 'bsd-mailx',
	argv => [ peer('bsd-mailx', 'usr/bin/bsd-mailx'), '-r', 'me@mailx.example', '-s', 'hello',
		'-c', 'c@mailx.example', '-b', 'b@mailx.example', 'a@mailx.example' ],
	stdin => $TEXT, env => { LC_ALL => 'C.UTF-8' },
	at => 'mailx.example', from => 'me@mailx.example', to => 'a c b',
	head => { From => 'me@mailx.example', Subject => 'hello', Cc => 'c@mailx.example' }, text => $TEXT,
}, {
	name => 'Nagios, by printf and mail -s', package => 'bsd-mailx',
	argv => [ 'sh', '-c', q(printf '%b' '***** Nagios *****\n\nState: DOWN\n.\nInfo: it is\n' | "$0" -s '** PROBLEM alert **' admin@nagios.example),
		peer('bsd-mailx', 'usr/bin/bsd-mailx') ],
	at => 'nagios.example', from => 'user@example.net', to => 'admin',
	head => { Subject => '** PROBLEM alert **' }, text => "***** Nagios *****\n\nState: DOWN\n.\nInfo: it is\n",
}, {
	name => 'GNU mailutils', package => 'mailutils',
	argv => [ peer('mailutils', 'usr/bin/mail.mailutils'), '-r', 'me@mailutils.example', '-s', 'hello', '-a',
		'Cc: c@mailutils.example', 'a@mailutils.example' ],
	stdin => $TEXT,
	at => 'mailutils.example', from => 'me@mailutils.example', to => 'c a',
	head => { Subject => 'hello', From => qr/<me\@mailutils\.example>$/ }, text => $TEXT,
}, {
	name => 'logrotate, which mails by bsd-mailx', package => 'logrotate', also => 'bsd-mailx',
	argv => [ peer('logrotate', 'usr/sbin/logrotate'), '-f', '-s', "$T/logrotate.state", '-m',
		peer('bsd-mailx', 'usr/bin/bsd-mailx'), spew("$T/logrotate.conf", "$T/log/app.log {\n\trotate 0\n\t" .
		"mail ops\@logrotate.example\n\tmailfirst\n}\n", 0600) ],
	at => 'logrotate.example', from => 'user@example.net', to => 'ops',
	head => { Subject => qr{/log/app\.log} }, text => "a line\n.\nanother\n",
};
spew("$T/log/app.log", "a line\n.\nanother\n");

# -- what runs by itself

spew("$T/anacrontab", "SHELL=/bin/sh\nMAILTO=ops\@anacron.example\n1 0 nightly echo out; echo .dot; echo last\n");
mkdir "$T/anacron" or die "$T/anacron: $!";
push @callers, {
	name => 'anacron', package => 'anacron',
	argv => [ peer('anacron', 'usr/sbin/anacron'), '-d', '-f', '-n', '-t', "$T/anacrontab", '-S', "$T/anacron" ],
	at => 'anacron.example', from => 'user@example.net', to => 'ops',
	head => { From => 'Anacron <root@example.net>', Subject => qr/^Anacron job 'nightly' on / },
	text => "out\n.dot\nlast\n",
}, {
	name => 'sudo tells of a command', package => 'sudo', broken => 0,
	argv => [ peer('sudo', 'usr/bin/sudo'), 'true' ],
	at => 'sudo.example', like => qr/COMMAND=\S+$/m, from => 'user@example.net', to => 'ops',
	head => { From => 'root@sudo.example', Subject => qr/^\*\*\* SECURITY information for /,
		'Auto-Submitted' => 'auto-generated' },
	text => qr/\A\S+ : .* : root : .* COMMAND=\S+\n\n\z/,
}, {
	name => 'and of its end', package => 'sudo',
	at => 'sudo.example', like => qr/; EXIT=0$/m, from => 'user@example.net', to => 'ops', head => {},
	text => qr/ ; EXIT=0\n\n\z/,
}, {
	name => 'cron', package => 'cron', patience => CRON_PATIENCE,
	at => 'cron.example', from => 'user@example.net', to => 'ops other',
	head => { From => 'root@example.net (Cron Daemon)', To => 'ops@cron.example,other@cron.example',
		Subject => qr/^Cron <root@\S+> printf /, 'X-Cron-Env' => qr/^</ },
	text => $TEXT,
}, {
	name => 'cron, the crontab of a user who named nobody', package => 'cron', patience => CRON_PATIENCE,
	like => qr/^Subject: Cron <root@\S+> echo by myself$/m, from => 'user@example.net', to => 'root@example.net',
	head => { From => 'root@example.net (Cron Daemon)', To => 'root@example.net' }, text => "by myself\n",
}, {
	name => 'at', package => 'at',
	argv => [ peer('at', 'usr/bin/at'), 'now' ], stdin => "printf 'out\\n.\\n.dot\\n'\n",
	like => qr/^Subject: Output from your job +1$/m, from => 'user@example.net', to => 'root@example.net',
	head => { To => 'root@example.net', From => qr/<?user\@example\.net>?$/ }, text => "out\n.\n.dot\n",
}, {
	name => 'batch', package => 'at',
	argv => [ peer('at', 'usr/bin/at'), '-qb', 'now' ], stdin => "echo from a batch\n",
	like => qr/^Subject: Output from your job +2$/m, from => 'user@example.net', to => 'root@example.net',
	head => {}, text => "from a batch\n",
};

# -- libraries and scripts

my $PATCH = <<'END';
From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: =?UTF-8?q?Ann=20M=C3=BCller?= <ann@git.example>
Date: Wed, 25 Nov 2026 03:00:00 +0000
Subject: [PATCH] dots: keep them

They were lost.
---
 a | 2 +-

--- a/a
+++ b/a
@@ -1 +1 @@
-.
+..
.
--
2.39.5
END
my $PATCHED = $PATCH =~ s/.*?\n\n/From: Ann M\xc3\xbcller <ann\@git.example>\n\n/sr;
spew("$T/0001-dots.patch", $PATCH);
my $PYTHON_MAIL = <<'END';
import subprocess, sys
from email.message import EmailMessage
m = EmailMessage()
m['From'] = 'Ann <me@python.example>'
m['To'] = 'J\u00fcrgen M\u00fcller <a@python.example>, "B, the second" <b@python.example>'
m['Bcc'] = 'c@python.example'
m['Subject'] = 'Gr\u00fc\u00dfe'
m.set_content('one\n.dot\n..two\n.\nlast\n')
subprocess.run([sys.argv[1], '-t', '-oi'], input=m.as_bytes(), check=True)
END
my $EMAIL_SENDER = <<'END';
use Email::Sender::Transport::Sendmail;
use Email::Simple;
my $text = do { local $/; <STDIN> };
my %where = $ARGV[0] =~ m{^/usr/sbin/} ? () : (sendmail => $ARGV[0]);
Email::Sender::Transport::Sendmail->new(%where)->send(Email::Simple->new($text),
	{ from => 'me@sender.example', to => [ 'a@sender.example', 'b@sender.example' ] });
END
my $PERL_PIPE = <<'END';
open my $mail, '|-', "$ARGV[0] -oi -t" or die;
print $mail <STDIN>;
close $mail or exit($? >> 8);
END
push @callers, {
	name => 'git send-email --smtp-server', skip => $NO_GIT, broken => qr/^[^0]/,
	argv => [ 'git', 'send-email', '--smtp-server', $SENDMAIL, '--from', 'me@git.example', '--to', 'a@git.example',
		'--bcc', 'b@git.example', '--suppress-cc', 'all', '--envelope-sender', 'bounce@git.example',
		'--confirm', 'never', '--quiet', "$T/0001-dots.patch" ],
	at => 'git.example', from => 'bounce@git.example', to => 'a b',
	head => { From => 'me@git.example', To => 'a@git.example', Subject => '[PATCH] dots: keep them' },
	text => $PATCHED,
}, {
	name => 'git, sendemail.sendmailCmd', skip => $NO_GIT, broken => qr/^[^0]/,
	argv => [ 'git', '-c', "sendemail.sendmailCmd=$SENDMAIL -f me\@gitcmd.example", 'send-email', '--from', 'ann@git.example',
		'--to', 'a@gitcmd.example', '--suppress-cc', 'all', '--confirm', 'never', '--quiet', "$T/0001-dots.patch" ],
	at => 'gitcmd.example', from => 'me@gitcmd.example', to => 'a', head => {},
	text => $PATCHED,
}, {
	name => 'Python, subprocess and email.message', skip => $NO_PYTHON, broken => 1,
	argv => [ $PYTHON, spew("$T/mail.py", $PYTHON_MAIL), $SENDMAIL ],
	at => 'python.example', from => 'user@example.net', to => 'a b c',
	head => { To => qr/<a\@python\.example>, "B, the second" <b\@python\.example>$/, Subject => qr/^=\?utf-8\?/ },
	text => $ASCII,
}, {
	name => 'Perl, Email::Sender', skip => $NO_EMAIL_SENDER, broken => qr/^[^0]/,
	argv => [ '/usr/bin/perl', '-e', $EMAIL_SENDER, $SENDMAIL ],
	stdin => "From: Ann <ann\@sender.example>\nTo: everybody:;\nSubject: hello\n\n$TEXT",
	at => 'sender.example', from => 'me@sender.example', to => 'a b',
	head => { From => 'Ann <ann@sender.example>', To => 'everybody:;' }, text => $TEXT,
}, {
	name => 'Perl, a pipe', broken => 78,
	argv => [ $^X, '-e', $PERL_PIPE, $SENDMAIL ],
	stdin => "From: Ann <ann\@pipe.example>\nTo: a\@pipe.example\nBcc: b\@pipe.example,\n  c\@pipe.example\nSubject: hello\n\n$TEXT",
	at => 'pipe.example', from => 'user@example.net', to => 'a b c',
	head => { From => 'Ann <ann@pipe.example>', Subject => 'hello' }, text => $TEXT,
}, {
	name => 'a shell, sendmail -t < file', broken => 78,
	argv => [ 'sh', '-c', '"$0" -t < "$1"', $SENDMAIL, spew("$T/letter", "To: a\@shell.example\nSubject: hello\n\none\n..two\n.\nlost\n") ],
	at => 'shell.example', from => 'user@example.net', to => 'a', head => { Subject => 'hello' }, text => "one\n.two\n",
};

# -- calls copied from programs that need a machine of their own

# Name, arguments, input without its text, sender, recipients, header, text.
# The domain is the name in small letters; @ at the end of an address means it.
my $FROM_HERE = qr/<?user\@example\.net>?$/;     # nobody said who it is from
my @copied = (
	[ 'cronie', '-FCronDaemon -i -odi -oem -oi -t -f root',
	    "From: \"(Cron Daemon)\" <root>\nTo: ops\@\nSubject: Cron <root\@host> job\nMIME-Version: 1.0\n" .
	    "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nAuto-Submitted: auto-generated\n" .
	    "Precedence: bulk\nX-Cron-Env: <XDG_SESSION_ID=1>\nX-Cron-Env: <LANG=C>\n",
	    'root@example.net', 'ops', { From => '"(Cron Daemon)" <root@example.net>', 'Auto-Submitted' => 'auto-generated' } ],
	[ 'mdadm', '-t', "From: mdadm monitoring <root>\nTo: ops\@\nSubject: Fail event on /dev/md0:host\nX-Mdadm: running\n",
	    'user@example.net', 'ops', { From => 'mdadm monitoring <root@example.net>' },
	    "This is an automatically generated mail message.\n\nFaithfully yours, etc.\n" ],
	[ 'smartd', '-i ops@', "To: ops\@\nSubject: SMART error (FailedHealthCheck) detected on host: host\n",
	    'user@example.net', 'ops', { From => $FROM_HERE } ],
	[ 'logwatch', '-t', "To: ops\@\nTo: second\@\nFrom: Logwatch\nSubject: Logwatch for host (Linux)\nAuto-Submitted: auto-generated\n" .
	    "Precedence: bulk\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain; charset=\"UTF-8\"\n",
	    'user@example.net', 'ops second', { From => 'Logwatch@example.net', Precedence => 'bulk' }, "Gr\xc3\xbc\xc3\x9fe\n.dot\n" ],
	[ 'apt-listchanges', '-oi -t', "MIME-Version: 1.0\nContent-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: 8bit\n" .
	    "Auto-Submitted: auto-generated\nSubject: apt-listchanges: news for host\nTo: ops\@\n",
	    'user@example.net', 'ops', { From => $FROM_HERE, 'Auto-Submitted' => 'auto-generated' } ],
	[ 'unattended-upgrades', '-oi -t', "Subject: [package on hold] unattended-upgrades result for host: SUCCESS\nFrom: root\nTo: ops\@\n" .
	    "Auto-Submitted: auto-generated\nMIME-Version: 1.0\nContent-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n",
	    'user@example.net', 'ops', { From => 'root@example.net' }, "Unattended upgrade result: All upgrades installed\n.=\n.\n" ],
	[ 'reportbug', '-f me@ -oi -oem submit@ copy@', "Content-Type: text/plain; charset=\"us-ascii\"\nFrom: Me <me\@>\nTo: Debian Bug Tracking System <submit\@>\n" .
	    "Subject: subpost: it works\nX-Reportbug-Version: 12.0.0\n", 'me@', 'submit copy', { From => 'Me <me@reportbug.example>' } ],
	[ 'bts', '-t', "From: Me <me\@>\nTo: control\@\nSubject: closing 1\nDate: Wed, 25 Nov 2026 03:00:00 +0000\n" .
	    "User-Agent: devscripts bts/2.23.4\nMessage-ID: <bts-1\@>\n", 'user@example.net', 'control',
	    { 'Message-ID' => '<bts-1@bts.example>', Date => 'Wed, 25 Nov 2026 03:00:00 +0000' }, "close 1\nthanks\n" ],
	[ 'popularity-contest', '-oi survey@', "To: survey\@\nSubject: popularity-contest submission\n", 'user@example.net', 'survey', {} ],
	[ 'busybox', '-t -f me@ -oi', "To: a\@\nBcc: b\@\nSubject: hello\n", 'me@', 'a b', {} ],
	[ 'busybox-crond', '-ti', "To: ops\@\nSubject: cron: job\n", 'user@example.net', 'ops', {} ],
	[ 'phpmailer', '-oi -fme@ -t', "Date: Wed, 25 Nov 2026 03:00:00 +0000\nTo: A <a\@>\nFrom: Shop <shop\@>\nReply-To: Shop <shop\@>\n" .
	    "Bcc: b\@\nSubject: order\nMessage-ID: <x\@>\nX-Mailer: PHPMailer\nMIME-Version: 1.0\n", 'me@', 'a b',
	    { 'Reply-To' => 'Shop <shop@phpmailer.example>', From => 'Shop <shop@phpmailer.example>' } ],
	[ 'rails', '-i -f me@ -- a@ b@', "From: me\@\nTo: a\@\nSubject: welcome\n", 'me@', 'a b', { To => 'a@rails.example' } ],
	[ 'nodemailer', '-i -f me@ a@ b@', "From: me\@\nTo: a\@\nSubject: welcome\n", 'me@', 'a b', {} ],
	[ 'mercurial', '-f me@ a@ b@', "From: me\@\nTo: a\@, b\@\nSubject: [PATCH] x\n", 'me@', 'a b', {}, "diff\n.x\n" ],
	[ 'fail2ban', '-f fail2ban@ ops@', "Subject: [Fail2Ban] sshd: banned 192.0.2.1 from host\nDate: Wed, 25 Nov 2026 03:00:00 +0000\n" .
	    "From: Fail2Ban <fail2ban\@>\nTo: ops\@\n", 'fail2ban@', 'ops', { From => 'Fail2Ban <fail2ban@fail2ban.example>' }, "Hi,\n\nThe IP 192.0.2.1\n" ],
	[ 'request-tracker', '-oi -t -odb -oem -f rt@', "From: \"Ann via RT\" <rt\@>\nTo: a\@\nCC: c\@\nbcc: b\@\nRT-Ticket: rt #1\nPrecedence: bulk\n",
	    'rt@', 'a c b', { CC => 'c@request-tracker.example', 'RT-Ticket' => 'rt #1' } ],
	[ 'emacs', '-oi -f me@ -oem -odb -t', "From: me\@\nTo: a\@\nFCC: ~/sent\nSubject: hello\n", 'me@', 'a', {} ],
	[ 'dovecot', '-i -f <> -- a@', "Return-Path: <old\@>\nAuto-Submitted: auto-replied (vacation)\nFrom: b\@\nTo: a\@\nSubject: Auto: away\n",
	    '', 'a', { 'Return-Path' => undef, From => 'b@dovecot.example', 'Auto-Submitted' => 'auto-replied (vacation)' } ],
	[ 'procmail', '-oi a@', "From old\@ Wed Nov 25 03:00:00 2026\nReceived: from x by y; Wed, 25 Nov 2026 03:00:00 +0000\nFrom: b\@\nTo: list\@\n",
	    'user@example.net', 'a', { From => 'b@procmail.example', To => 'list@procmail.example' } ],
	[ 'fetchmail', '-i -f b@ -- a@', "Received: from x by y; Wed, 25 Nov 2026 03:00:00 +0000\nReturn-Path: <b\@>\nFrom: b\@\nTo: a\@\n", 'b@', 'a', {} ],
	[ 'backuppc', '-t -f backuppc@', "To: a\@\ncc:\nFrom: BackupPC <backuppc\@>\nSubject: no backups\n", 'backuppc@', 'a', {} ],
	[ 'bugzilla', '-i -fbugs@ a@', "From: bugs\@\nTo: a\@\nSubject: [Bug 1] x\nAuto-Submitted: auto-generated\n", 'bugs@', 'a', {} ],
	[ 'mime-lite', '-t -oi -oem', "From: me\@\nTo: \"Doe, John\" <a\@>, (a comment) b\@\nSubject: x\n", 'user@example.net', 'a b', {} ],
	[ 'redmine', '-i -t', "From: me\@\nTo: undisclosed-recipients:;\nBcc: a\@, b\@\n", 'user@example.net', 'a b', { To => 'undisclosed-recipients:;' } ],
	[ 'mailman', '-f list-bounces@ a@ b@ c@', "From: me\@\nTo: list\@\nSender: list-bounces\@\nList-Id: <list.x>\n", 'list-bounces@', 'a b c',
	    { Sender => 'list-bounces@mailman.example', 'List-Id' => '<list.x>' } ],
	[ 'ups', '-oi -bm -F NUT ops@', "Subject: on battery\n", 'user@example.net', 'ops', { From => 'NUT <user@example.net>' } ],
	[ 'inn', '-oi -oem news@', "From: poster\@\nNewsgroups: x.test\nSubject: for the moderator\nTo: news\@\n", 'user@example.net', 'news', { Newsgroups => 'x.test' } ],
	[ 'resent', '-t -oi', "Resent-From: me\@\nResent-To: r\@\nResent-Bcc: s\@\nFrom: x\@\nTo: y\@\nBcc: z\@\nSubject: bounced by mutt\n",
	    'user@example.net', 'r s', { 'Resent-To' => 'r@resent.example', 'Resent-Bcc' => undef, To => 'y@resent.example' } ],
);
for (@copied) {
	my ($name, $argv, $head, $from, $to, $want, $text) = @$_;
	my $at = "$name.example";

	s/(?<=\w)@(?![\w.])/\@$at/g for $argv, $head, $from;
	$text //= $argv =~ /-(?:o?i|ti)\b/ ? $TEXT : "a line\n";
	push @callers, { name => "$name (copied)", argv => [ $SENDMAIL, split ' ', $argv ], stdin => "$head\n$text",
		at => $at, from => $from, to => $to, head => $want, text => $text, broken => 78 };
}

# -- and twice to a real far end

my $postfix = "$T/postfix";
my ($COLIN, $UID) = ("$T/colin", 65533);
my $NO_POSTFIX = $NO_STAGE || (can_switch_user() ? start_postfix() : 'nobody else can reach the programs');

# Returns why not, if anything.  The office is a user's, whose cron job it is:
# cron tells its mailer neither its home nor anything from the crontab.
sub start_postfix
{
	my $interrupted = 0;
	my $started = do {
		# A start that was left half-way could not be undone: a signal waits for its end.
		local @SIG{qw(TERM INT HUP ALRM)} = (sub { $interrupted = 1 }) x 4;
		system("$LIB/postfix start $postfix $B > $T/reason");
	};
	chomp(my $reason = slurp("$T/reason"));

	exit 1 if $interrupted;
	return $reason if $started >> 8 == 77;
	die "Postfix does not start\n" if $started != 0;
	my ($port) = slurp("$postfix/ports") =~ /^starttls (\d+)$/m;

	ini(-path => "$COLIN/.config/subpost/subpost.ini",
	    smarthost => { host => 'localhost', 'tls-name' => undef, port => $port, tls => 'starttls',
		'tls-ca-file' => "$postfix/ca.pem", 'password-file' => undef, password => 'correct horse' });
	system('chown', '-R', "$UID:$UID", $COLIN) == 0 or die "chown does not work\n";
	system("echo colin:x:$UID:$UID:Colin Other:$COLIN:/bin/sh >> /etc/passwd");
	system("echo 'colin:*:20000:0:99999:7:::' >> /etc/shadow");
	return '';
}

END {
	my $status = $?;

	system("$LIB/postfix", 'stop', $postfix) if defined $NO_POSTFIX && $NO_POSTFIX eq '';
	$? = $status;
}

push @callers, {
	name => 'PHP mail() to Postfix', skip => $NO_PHP || $NO_POSTFIX, far => 1,
	argv => php('"a@phpfix.example", ' . quoted($SUBJECT) . ', ' . quoted($TEXT =~ s/\n/\r\n/gr) .
		', "From: Ann <ann@phpfix.example>\r\nBcc: b@phpfix.example", "-fme@phpfix.example"'),
	as => 'colin',
	at => 'phpfix.example', from => 'me@phpfix.example', to => 'a b',
	head => { From => 'Ann <ann@phpfix.example>', Subject => $SUBJECT }, text => "$TEXT\n",
}, {
	name => 'cron to Postfix', skip => $NO_POSTFIX, package => 'cron', far => 1, patience => CRON_PATIENCE,
	at => 'cronfix.example', from => 'user@example.net', to => 'ops',
	head => { From => 'root@example.net (Cron Daemon)', To => 'ops@cronfix.example',
		Subject => qr/^Cron <colin@/ }, text => $TEXT,
};

# What Postfix has delivered, in the form of a smarthost's messages: of one
# message there is a file a recipient.
sub delivered
{
	my %m;

	for my $path (glob "$postfix/maildir/new/*") {
		my $file = slurp($path) // '';
		my ($from, $to) = $file =~ /\AReturn-Path: (<.*>)\nX-Original-To: (.*)\nDelivered-To: .*\n/ or next;
		my $text = substr $file, $+[0];
		my ($id) = $text =~ /^Message-ID: (.*)$/mi or next;

		$m{$id} //= { from => $from, eml => $text =~ s/\n/\r\n/gr, to => [] };
		$m{$id}{to} = [ sort @{ $m{$id}{to} }, "<$to>" ];
	}
	return values %m;
}

# -- they are called

sub reason_to_skip
{
	my $c = shift;

	return $c->{skip} if $c->{skip};
	for my $package (grep { defined } @$c{qw(package also)}) {
		return $NO_STAGE || $cannot{$package} if $NO_STAGE || $cannot{$package};
	}
	return '';
}

sub call
{
	my ($c, %env) = @_;
	my $libraries = libraries(grep { defined } @$c{qw(package also)});

	my @as = defined $c->{as} ? ('setpriv', "--reuid=$UID", "--regid=$UID", '--clear-groups', '--') : ();

	$env{LD_LIBRARY_PATH} = $libraries if $libraries ne '';
	return run([ @as, @{ $c->{argv} } ], stdin => $c->{stdin}, env => { %ENVIRONMENT, %{ $c->{env} // {} }, %env });
}

my @daemons;
sub start_daemons
{
	return if $NO_STAGE;
	my $printf = "printf 'Gr\\303\\274\\303\\237e\\n.dot\\n..two\\n.\\nlast\\n'";

	if (peer('cron', 'usr/sbin/cron') && !$cannot{cron}) {
		spew('/etc/cron.d/job', "MAILTO=ops\@cron.example,other\@cron.example\nCONTENT_TYPE=text/plain; charset=utf-8\n" .
		    "* * * * * root $printf\n", 0644);
		spew('/etc/cron.d/far', "MAILTO=ops\@cronfix.example\n* * * * * colin $printf\n", 0644)
		    if !$NO_POSTFIX;
		spew('/var/spool/cron/crontabs/root', "* * * * * echo by myself\n", 0600);
		push @daemons, start([ peer('cron', 'usr/sbin/cron'), '-f' ], env => \%ENVIRONMENT);
	}
	if (!$cannot{at}) {
		# The load of a machine that tests is no reason to wait.
		push @daemons, start([ peer('at', 'usr/sbin/atd'), '-f', '-l', '1000' ], env => \%ENVIRONMENT);
		wait_for(sub { -s '/run/atd.pid' }, 10, 'atd');
	}
	if (!$cannot{sudo}) {
		my $so = "$peer{sudo}/usr/libexec/sudo/sudoers.so";

		spew('/etc/sudo.conf', join('', map { "Plugin sudoers_$_ $so\n" } qw(policy io audit)), 0644);
		spew('/etc/sudoers', "Defaults mail_always, mailto=\"ops\@sudo.example\", mailfrom=\"root\@sudo.example\"\nroot ALL=(ALL) ALL\n", 0440);
	}
}
start_daemons();

my %ended;
for my $c (grep { $_->{argv} && !reason_to_skip($_) } @callers) {
	$ended{ $c->{name} } = call($c);
}

# -- what arrived

# Everything that came and fits the row.
sub arrived
{
	my $c = shift;
	my @all = grep { !defined $c->{at} || ($_->{to}[0] // '') =~ /\@\Q$c->{at}\E>/ }
	    $c->{far} ? delivered() : $sh->messages;

	return grep { !defined $c->{like} || $_->{eml} =~ s/\r\n/\n/gr =~ $c->{like} } @all;
}

sub fits
{
	my ($have, $want) = @_;

	return !defined $have if !defined $want;
	return defined $have && (ref $want ? $have =~ $want : $have eq $want);
}

sub shown
{
	my $v = shift;

	return !defined $v ? 'nothing' : "'" . ($v =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger) . "'";
}

# What is wrong with a message, in words; '' where nothing is.
sub wrong_with
{
	my ($m, $c) = @_;
	my ($head, $text) = split /\r\n\r\n/, $m->{eml}, 2;
	my (%field, %n, @wrong);

	for ($head =~ /^(\S.*(?:\n[ \t].*)*)/mg) {
		my ($name, $value) = /^([^:]+):\s*(.*)\z/s or push @wrong, 'a field is none: ' . shown($_);

		$n{ lc $name }++;
		$field{$name} //= $value =~ s/\r?\n//gr =~ s/\r//gr;
	}
	my %want = (Bcc => undef, bcc => undef, %{ $c->{head} });
	for my $name (sort keys %want) {
		push @wrong, "$name is " . shown($field{$name}) . ", not " . shown($want{$name})
		    if !fits($field{$name}, $want{$name});
	}
	for (qw(from date message-id)) {
		push @wrong, ($n{$_} // 'no') . " $_" if ($n{$_} // 0) != 1;
	}
	my $to = join ' ', map { s/^<|>.*//gr } @{ $m->{to} };
	my $want = defined $c->{at} ? join ' ', map { "$_\@$c->{at}" } split ' ', $c->{to} : $c->{to};
	my ($from) = $m->{from} =~ /^<(.*?)>/;

	push @wrong, "goes to $to, not $want" if $to ne $want;
	push @wrong, "comes from <$from>, not <$c->{from}>" if $from ne $c->{from};
	$text =~ s/\r\n/\n/g;
	push @wrong, 'the text is ' . shown($text) . ', not ' . shown($c->{text}) if !fits($text, $c->{text});
	return join '; ', @wrong;
}

for my $c (sort { ($a->{patience} // 0) <=> ($b->{patience} // 0) } @callers) {
	SKIP: {
		my $reason = reason_to_skip($c);
		my $r = $ended{ $c->{name} };

		skip "$c->{name}: $reason", 1 if $reason;
		if ($r && ($r->{status} != 0 || $r->{signal} != 0)) {
			fail("$c->{name}: ends with $r->{status}");
			diag($r->{err});
			next;
		}
		wait_for(sub { arrived($c) }, $c->{patience} // 20, "the mail of $c->{name}");
		my @m = arrived($c);

		is(@m == 1 || (@m && $c->{patience}) ? wrong_with($m[0], $c) : @m . ' messages', '', "$c->{name}: what was meant arrives");
	}
}
is_deeply([ $sh->violations ], [], 'no rule of SMTP is broken');

# -- and where it cannot be taken

for my $c (grep { defined $_->{broken} } @callers) {
	SKIP: {
		my $reason = reason_to_skip($c);

		skip "$c->{name}: $reason", 1 if $reason;
		my $r = call($c, %BROKEN);

		like("$r->{status} signal $r->{signal}", ref $c->{broken} ? qr/$c->{broken}.* signal 0$/ : qr/^$c->{broken} signal 0$/,
		    "$c->{name}: is told when there is no configuration to send with") or diag($r->{err});
	}
}
{
	my $r = run([ $^X, '-e', 'open my $m, "|-", @ARGV or die; print $m "a line\n" for 1 .. 200000; close $m; print $? >> 8',
		$SENDMAIL, '-t' ], env => { %ENVIRONMENT, %BROKEN });

	is("$r->{out} signal $r->{signal}", '78 signal 0', 'who is still writing when it is refused is not killed, but told');
}
{
	my $r = run([ $^X, '-e', 'my $pid = open my $m, "|-", @ARGV or die; waitpid $pid, 0; print $? >> 8', $SENDMAIL, '-t' ],
	    env => { %ENVIRONMENT, %BROKEN }, timeout => 10);

	is("$r->{out} $r->{timed_out}", '78 0', 'and who never ends is not waited for');
}
done_testing;
