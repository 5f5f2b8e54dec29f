# Wrong calls: each ends with the status that says whose mistake it was and one
# line that says which; nothing is queued that was not promised, and nothing is
# promised that was dropped.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

my %DOWN = nobody_answers();
my $TEXT = "Subject: hello\n\nbody\n";
my @CLOSED = ('sh', '-c');

time_limit(120);
ini(smarthost => \%DOWN, queue => { 'max-size' => '256K', 'max-recipients' => 20 },
    identity => { aliases => "$HOME/aliases" });
spew("$HOME/aliases", <<'EOF', 0644);
loop: pool
pool: loop
prog: |/usr/bin/vacation ada
file: /var/mail/ada
list: :include:/nowhere/list
empty:
many: a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21
EOF

# [ what is wrong, [arguments], input, status, what the line says, OPTIONS of run ];
# ini => a configuration of its own, with => [ words before the program ].
my @calls;

sub calls
{
	push @calls, @_;
}

# -- options

calls(map { [ "-$_ is no option", [ "-$_", 'a@x.example' ], $TEXT, 64, qr/unknown option -\Q$_\E/ ] }
    qw(a g j k l u w y z H K P S W Y Z 1 4 6 @));
calls([ "an option that cannot be printed", [ "-\x01", 'a@x.example' ], $TEXT, 64, qr/unknown option -\?/ ],
    [ 'an unknown option inside a word', [ '-tiw' ], $TEXT, 64, qr/unknown option -w/ ],
    [ '--help', [ '--help' ], $TEXT, 64, qr/unknown option/ ],
    [ '--version', [ '--version' ], $TEXT, 64, qr/unknown option/ ],
    [ 'a long option before recipients', [ '--from=a@b', 'a@x.example' ], $TEXT, 64, qr/unknown option/ ]);
calls(map { [ "-$_ without its value", [ "-$_" ], $TEXT, 64, qr/-$_ needs a value/ ] }
    qw(A B C D F L M N O R V X b e f h o p r));
calls([ 'a value is missing at the end of a cluster', [ '-tif' ], $TEXT, 64, qr/-f needs a value/ ]);

# -- values

calls(
	[ '-N with a word that is none', [ '-N', 'sometimes', 'a@x.example' ], $TEXT, 64, qr/-N/ ],
	[ '-N with nothing in it', [ '-N', '', 'a@x.example' ], $TEXT, 64, qr/-N/ ],
	[ '-N never with others', [ '-N', 'never,success', 'a@x.example' ], $TEXT, 64, qr/-N/ ],
	[ '-N with a comma too many', [ '-Nsuccess,,delay', 'a@x.example' ], $TEXT, 64, qr/-N/ ],
	[ '-R with a word that is none', [ '-R', 'half', 'a@x.example' ], $TEXT, 64, qr/-R/ ],
	[ '-V that is too long', [ '-V', 'v' x 200, 'a@x.example' ], $TEXT, 64, qr/-V/ ],
	[ 'wait that is no time', [ '-O', 'wait=soon', 'a@x.example' ], $TEXT, 64, qr/wait/ ],
	[ 'wait that is negative', [ '-Owait=-1', 'a@x.example' ], $TEXT, 64, qr/wait/ ],
	[ '-qI without an id', [ '-qI' ], $TEXT, 64, qr/-qI|id/ ],
	[ '-qI with an id that is none', [ '-qI', '../../etc' ], $TEXT, 64, qr/id/i ]);
calls(map { [ "the mode -b$_", [ "-b$_" ], $TEXT, 64, qr/\S/ ] } qw(t d D l h H P C O q z));
calls([ 'the mode of no letter', [ '-b', '' ], $TEXT, 64, qr/\S/ ],
    [ 'a daemon with an interval', [ '-bd', '-q15m' ], $TEXT, 64, qr/\S/ ]);

# -- recipients

calls(
	[ 'no argument', [], $TEXT, 64, qr/no recipient/ ],
	[ 'only -i', [ '-i' ], $TEXT, 64, qr/no recipient/ ],
	[ 'only a sender', [ '-f', 'me@x.example' ], $TEXT, 64, qr/no recipient/ ],
	[ 'an empty argument', [ '' ], $TEXT, 64, qr/no recipient/ ],
	[ 'a blank argument', [ ' ' ], $TEXT, 64, qr/no recipient/ ],
	[ 'a comment for a recipient', [ '(nobody)' ], $TEXT, 64, qr/no recipient/ ],
	[ 'a group without members', [ 'undisclosed-recipients:;' ], $TEXT, 64, qr/no recipient/ ],
	[ '-t and no header', [ '-t' ], "just text\n", 64, qr/no recipient/ ],
	[ '-t and an empty message', [ '-t' ], '', 64, qr/no recipient/ ],
	[ '-t and no To, Cc or Bcc', [ '-t' ], $TEXT, 64, qr/no recipient/ ],
	[ '-t and an empty To', [ '-t' ], "To:\n$TEXT", 64, qr/no recipient/ ],
	[ '-t and a To of a comment', [ '-t' ], "To: (all of you)\n$TEXT", 64, qr/no recipient/ ],
	[ '-t and undisclosed recipients', [ '-t' ], "To: undisclosed-recipients:;\n$TEXT", 64, qr/no recipient/ ],
	[ '-t and a To in the body', [ '-t' ], "Subject: x\n\nTo: a\@x.example\n", 64, qr/no recipient/ ],
	[ 'a Resent block without recipients', [ '-t' ], "Resent-To:\nTo: a\@x.example\n$TEXT", 64, qr/no recipient in the first Resent-/ ],
	[ '-t where aliases are checked', [ '-bi', '-t' ], "To: a\@x.example\n$TEXT", 64, qr/-t reads a message/ ],
	[ '-t by its short form', [ '-It' ], "To: a\@x.example\n$TEXT", 64, qr/-t reads a message/ ],
	[ '-t where the queue is listed', [ '-bp', '-t' ], "To: a\@x.example\n$TEXT", 64, qr/-t reads a message/ ]);

my %bad = (
	'an open bracket' => '<a@x.example', 'a closing bracket' => 'a@x.example>',
	'two at signs' => 'a@@x.example', 'no local part' => '@x.example', 'no domain' => 'a@',
	'an open quote' => '"a@x.example', 'an open comment' => 'a@x.example (ada',
	'a comment that nests and is not closed' => '((a) b@x.example',
	'an open domain literal' => 'a@[192.0.2.1', 'a bracket in a literal' => 'a@[[192.0.2.1]',
	'two words' => 'ada lovelace', 'a word behind the address' => 'a@x.example b',
	'a null recipient' => '<>',
	'a semicolon without a group' => 'a@x.example;', 'a route and no address' => '<@x.example:>',
	'a trailing backslash' => 'a\\', 'a dot before the at sign' => 'a b.@x.example',
	'a control octet' => "a\x01\@x.example", 'a DEL' => "a\x7f\@x.example",
	'a line end' => "a\@x.example\nRCPT TO:<b\@x.example>", 'a carriage return' => "a\@x.example\rb",
	'an address of 1100 octets' => 'a' x 1088 . '@x.example',
	'a domain of 1100 octets' => 'a@' . 'x.' x 550 . 'example',
);

calls(map { [ "$_ in an argument", [ $bad{$_} ], $TEXT, 65, qr/\S/ ] } sort keys %bad);
calls(map { [ "$_ in a To field", [ '-t' ], "To: $bad{$_}\n$TEXT", 65, qr/To: field/ ] }
    grep { $bad{$_} !~ /[\n\r]/ } sort keys %bad);
calls(map { [ "$_ as a sender", [ '-f', $bad{$_}, 'a@x.example' ], $TEXT, 65, qr/\S/ ] }
    grep { $bad{$_} ne '<>' && $bad{$_} ne 'a\\' } sort keys %bad);
calls(
	[ 'two senders in one', [ '-f', 'a@x.example, b@x.example', 'c@x.example' ], $TEXT, 65, qr/\S/ ],
	[ 'good ones and a bad one', [ 'a@x.example', 'b@x.example', '<c@x.example' ], $TEXT, 65, qr/\S/ ],
	[ 'a good To and a bad Bcc', [ '-t' ], "To: a\@x.example\nBcc: <b\@x.example\n$TEXT", 65, qr/Bcc: field/ ],
	[ 'a good To and a bad Cc', [ '-t' ], "To: a\@x.example\nCc: \"b\@x.example\n$TEXT", 65, qr/Cc: field/ ],
	[ 'a recipient in Latin-1', [ "j\xf6rg\@x.example" ], $TEXT, 65, qr/UTF-8/ ],
	[ 'one in the header', [ '-t' ], "To: a\@x.example, b\@\xf6.example\n$TEXT", 65, qr/UTF-8/ ],
	[ 'a sender in Latin-1', [ '-f', "j\xf6rg\@x.example", 'a@x.example' ], $TEXT, 65, qr/UTF-8/ ],
	[ 'a bad Apparently-To', [ '-t' ], "Apparently-To: a\@\n$TEXT", 65, qr/Apparently-To: field/ ],
	[ 'a bad Resent-Bcc', [ '-t' ], "Resent-To: a\@x.example\nResent-Bcc: b\@\n$TEXT", 65, qr/Resent-Bcc: field/ ],
	[ 'too many arguments', [ map { "r$_\@x.example" } 1 .. 21 ], $TEXT, 65, qr/over 20 recipients/ ],
	[ 'too many in the header', [ '-t' ], 'To: ' . join(",\n ", map { "r$_\@x.example" } 1 .. 21) . "\n$TEXT",
	    65, qr/over 20 recipients/ ],
	[ 'aliases that stand for each other', [ 'loop' ], $TEXT, 65, qr/aliases:[12]: loop|aliases:[12]: pool/ ],
	[ 'an alias for a program', [ 'prog' ], $TEXT, 65, qr/aliases:3: / ],
	[ 'an alias for a file', [ 'file' ], $TEXT, 65, qr/aliases:4: / ],
	[ 'an alias for a list that is not there', [ 'list' ], $TEXT, [ 65, 75 ], qr/nowhere/ ],
	[ 'an alias for nobody', [ 'empty' ], $TEXT, 65, qr/aliases:6: / ],
	[ 'an alias for too many', [ 'many' ], $TEXT, 65, qr/over 20 recipients/ ]);

# -- texts

calls(
	[ 'a NUL in the text', [ 'a@x.example' ], "Subject: x\n\na\0b\n", 65, qr/NUL/ ],
	[ 'a NUL in the header', [ 'a@x.example' ], "Subject: a\0b\n\nx\n", 65, qr/NUL/ ],
	[ 'a NUL as the whole message', [ 'a@x.example' ], "\0", 65, qr/NUL/ ],
	[ 'a NUL in a recipient of the header', [ '-t' ], "To: a\0b\@x.example\n\nx\n", 65, qr/NUL/ ],
	[ 'a message over max-size', [ 'a@x.example' ], "Subject: x\n\n" . "x\n" x 150_000, 69, qr/max-size/ ],
	[ 'a message over max-size with -t', [ '-t' ], "To: a\@x.example\n\n" . "x\n" x 150_000, 69, qr/max-size/ ],
	[ 'a message without an end', [ 'x' ], sub { my $out = shift; print $out "y\n" x 4096 or return while 1 },
	    69, qr/max-size/ ],
	[ 'a field without an end', [ 'x' ], sub { my $out = shift; print $out 'y:' x 4096 or return while 1 },
	    [ 65, 69 ], qr/max-size|header/ ],
	[ 'names that get a domain by the hundred thousand', [ 'a@x.example' ], 'To: ' . 'a,' x 450_000 . "a\n$TEXT", 65,
	    qr/header.*names/, ini => { queue => { 'max-size' => '100M' } } ],
	[ 'a file of NULs', [ 'x' ], undef, 65, qr/NUL/, with => [ @CLOSED, 'exec "$@" </dev/zero', 'sh' ] ]);
calls([ 'a header over 1 MiB', [ 'a@x.example' ], 'X: ' . "y\n " x 600_000 . "\n\n", 65, qr/header is over/,
    ini => { queue => { 'max-size' => '100M' } } ]);

# -- what the process was given

calls(
	[ 'standard input is closed', [ 'a@x.example' ], undef, 74, qr/cannot read/, with => [ @CLOSED, 'exec "$@" <&-', 'sh' ] ],
	[ 'standard input is a directory', [ 'a@x.example' ], undef, 74, qr/cannot read/, with => [ @CLOSED, 'exec "$@" </', 'sh' ] ],
	[ 'standard input can only be written', [ 'a@x.example' ], undef, 74, qr/cannot read/,
	    with => [ @CLOSED, 'exec "$@" 0>/dev/null', 'sh' ] ],
	[ 'a wrong call with all closed', [ '-w' ], undef, 64, qr/^/, with => [ @CLOSED, 'exec "$@" <&- >&- 2>&-', 'sh' ] ],
	[ 'a list that nobody reads', [ '-bp' ], undef, 74, qr/cannot write/, with => [ @CLOSED, 'exec "$@" >/dev/full', 'sh' ] ],
	[ 'a list with standard output closed', [ '-bp' ], undef, 74, qr/cannot write/,
	    with => [ @CLOSED, 'exec "$@" >&-', 'sh' ] ],
	[ 'files of no octet, and so no words', [ 'a@x.example' ], $TEXT, 75, qr/^/, with => [ 'prlimit', '--fsize=0', '--' ] ],
	[ 'files too small for the message', [ 'a@x.example' ], "Subject: x\n\n" . "x\n" x 100_000, 75, qr/\S/,
	    with => [ 'prlimit', '--fsize=65536', '--' ] ],
	[ 'one descriptor left', [ 'a@x.example' ], $TEXT, [ 71, 75, 78 ], qr/\S/, with => [ 'prlimit', '--nofile=4', '--' ] ]);

# A dynamic loader would need one before we are asked.
calls([ 'no descriptor left', [ 'a@x.example' ], $TEXT, [ 71, 75, 78 ], qr/\S/, with => [ 'prlimit', '--nofile=3', '--' ] ])
    if slurp("$B/sendmail") !~ m{/ld-linux};

# -- the configuration

calls(
	[ 'no configuration', [ 'a@x.example' ], $TEXT, 78, qr{write \S+/subpost\.ini}, env => { XDG_CONFIG_HOME => "$T/empty" } ],
	[ 'a configuration that is named and not there', [ 'a@x.example' ], $TEXT, 78, qr/SUBPOST_CONFIG/,
	    env => { SUBPOST_CONFIG => "$T/nowhere.ini" } ],
	[ 'a configuration that is a directory', [ 'a@x.example' ], $TEXT, 78, qr/\S/, env => { SUBPOST_CONFIG => $T } ],
	[ 'no host', [ 'a@x.example' ], $TEXT, 78, qr/host/, ini => { smarthost => { host => undef } } ],
	[ 'a key that has the wrong form', [ 'a@x.example' ], $TEXT, 78, qr/line|:\d+:/, ini => { queue => { 'max-size' => 'much' } } ],
	[ 'a queue that is a file', [ 'a@x.example' ], $TEXT, [ 75, 78 ], qr/\S/, ini => { queue => { directory => "$T/file" } } ],
	[ 'an aliases file that is not there', [ 'root' ], $TEXT, 78, qr/aliases/, ini => { identity => { aliases => "$T/nowhere" } } ],
	[ 'an aliases file that others may write', [ 'root' ], $TEXT, 78, qr/chmod/, ini => { identity => { aliases => "$T/open" } } ],
	[ 'a sender that the account does not carry', [ '-f', 'x@other.example', 'a@x.example' ], $TEXT, 77, qr/senders/,
	    ini => { smarthost => { senders => '*@example.net' } } ]);

spew("$T/file", '');
spew("$T/open", "root: a\@x.example\n");
chmod 0666, "$T/open";
my $number = 0;

for (@calls) {
	my ($name, $args, $input, $status, $says, %o) = @$_;
	my $with = delete $o{with} // [];
	my $own = delete $o{ini};
	my @status = ref $status ? @$status : $status;
	my $spool = $own ? "$T/spool." . ++$number : spool();

	if ($own) {
		ini(-path => "$T/own.$number.ini", smarthost => { %DOWN, %{ $own->{smarthost} // {} } },
		    identity => $own->{identity} // {}, queue => { directory => $spool, %{ $own->{queue} // {} } });
		$o{env} = { SUBPOST_CONFIG => "$T/own.$number.ini" };
	}
	my $r = run([ @$with, "$B/sendmail", @$args ], stdin => $input, %o);
	my @queued = map { glob "$_/queue/* $_/tmp/*" } $spool, spool();

	ok((grep { $r->{status} == $_ } @status) && !$r->{signal} && $r->{out} eq '' && !@queued &&
	    $r->{err} =~ /\A(?:(?:sendmail|mailq): [^\n]+\n)?\z/ && $r->{err} =~ $says, "$status[0]: $name")
	    or diag("status $r->{status}, signal ", $r->{signal} // 0, ', queued ', scalar(@queued), ", out '$r->{out}', err '$r->{err}'");
	unlink @queued;
}

# -- and what is promised in spite of it all is kept

for ([ 'standard output and error are closed', '>&- 2>&-' ], [ 'nobody reads what it says', '2>/dev/full' ]) {
	my ($name, $how) = @$_;
	my $r = run([ @CLOSED, "exec \"\$@\" $how", 'sh', "$B/sendmail", 'a@x.example' ], stdin => $TEXT);

	ok($r->{status} == 0 && queue_ids() == 1, "0, and queued once: $name") or diag("status $r->{status}: $r->{err}");
	unlink glob spool() . '/queue/*';
}
done_testing();
