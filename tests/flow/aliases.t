# Local names: who gets what is sent to root, what is refused and where it says
# so, what the header shows, and the three ways to ask before anything is sent.
# All is read from the queue, whose account is down.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

my %DOWN = nobody_answers();
my $ME = 'user@example.net';
my $FILE = "$HOME/aliases";
my $TEXT = "Subject: hello\n\nbody\n";

time_limit(180);

# The configuration with these keys of [identity], and of [queue].
sub configure
{
	my ($identity, $queue) = @_;

	ini(smarthost => \%DOWN, identity => $identity, queue => $queue // {});
}

sub aliases
{
	return spew($FILE, shift, 0644);
}

# What was taken, in one line: "status from>to to"; the text is kept in $text.
my $text;

sub taken
{
	my ($args, $message) = @_;
	my $r = sendmail($args, $message // $TEXT);
	my $said = "$r->{status} ";

	$text = '';
	for my $l (new_letters()) {
		$said .= "$l->{from}>@{ $l->{to} }";
		$text = $l->{text};
	}
	return $said . ($r->{err} =~ s/^sendmail: //r =~ s/\n\z//r);
}

sub names_field
{
	my $name = shift;

	return $text =~ /^\Q$name\E: (.*(?:\n .*)*)$/m ? $1 : undef;
}

# -- who gets it

configure({ aliases => $FILE, root => 'admin@y.example' });
aliases(<<"END");
# The people of this machine.
root: ann, bob\@x.example
Ann:  ann\@x.example,
# not there any more: carl\@x.example
      "A, B" <"a, b"\@x.example>
postmaster: root
team: :include:$HOME/team
me:   \\me, ann
self: self, bob\@x.example
loop: pool
pool: loop
prog: ann, "|/usr/bin/logger -t x"
null: /dev/null
bad:  ann,
      b\@
END
spew("$HOME/team", "# the team\nann, dora\@x.example\nemil\n", 0644);

my $ANN = 'ann@x.example "a, b"@x.example';

for ([ 'root', "$ANN bob\@x.example", 'a name is all that stands behind it' ],
    [ 'ROOT', "$ANN bob\@x.example", 'in any case' ],
    [ 'root@localhost', "$ANN bob\@x.example", 'at localhost too' ],
    [ 'Root <root@localhost.localdomain>', "$ANN bob\@x.example", 'by its other name as well' ],
    [ 'root@example.net', 'root@example.net', 'and nowhere else' ],
    [ 'postmaster', "$ANN bob\@x.example", 'a name behind a name is followed' ],
    [ 'team', "$ANN dora\@x.example emil\@example.net", 'an included file is a list a line' ],
    [ 'me', "me\@example.net $ANN", 'a backslash ends it' ],
    [ 'self', 'self@example.net bob@x.example', 'and so does a name that stands for itself' ],
    [ 'daemon', 'admin@y.example', 'an account of the system without a line goes to root = ...' ],
    [ 'carl', 'carl@example.net', 'all others get the domain' ],
    [ 'root, ann, bob@X.example, postmaster', "$ANN bob\@x.example", 'everybody gets it once' ]) {
	my ($name, $to, $promise) = @$_;

	is(taken([ $name ]), "0 $ME>$to", $promise);
}
is(taken([ '-t' ], "To: root\nCc: carl\nBcc: team\n\n"),
    "0 $ME>$ANN bob\@x.example carl\@example.net dora\@x.example emil\@example.net",
    '-t goes the same way');
is(names_field('To'), 'root@example.net', 'the header shows what it showed, with the domain');
is(names_field('Cc'), 'carl@example.net', 'in Cc too');
is(taken([ 'dora@x.example' ], "To: root\n\n"), "0 $ME>dora\@x.example",
    'without -t nobody is found in the header');

# -- what is refused, with nothing queued

for ([ 'loop', 65, "$FILE:11: loop leads back to itself; take it off this line", 'a loop' ],
    [ 'prog', 65, "$FILE:12: mail would go to a program, which is not done here; name an address " .
	'instead of |/usr/bin/logger -t x', 'a program' ],
    [ 'null', 65, "$FILE:13: mail would go to a file, which is not done here; name an address " .
	'instead of /dev/null', 'a file' ],
    [ 'bad', 65, "$FILE:15: not an address: b\@: its domain is not complete", 'a value that is no address' ],
    [ 'dora@x.example, loop', 65, "$FILE:11: loop leads back to itself; take it off this line",
	'a list with one of them, as a whole' ]) {
	my ($name, $status, $says, $what) = @$_;

	is(taken([ $name ]), "$status $says", "$status: $what, with file and line");
}
for ([ 0664, 'can be written by its group' ], [ 0646, 'can be written by all' ]) {
	my ($mode, $what) = @$_;

	chmod $mode, "$HOME/team";
	is(taken([ 'team' ]), "65 $FILE:7: $HOME/team can be written by others; type: chmod go-w $HOME/team",
	    "65: an included file $what");
	is(taken([ 'ann' ]), "0 $ME>$ANN", 'others are not touched by it');
	chmod 0644, "$HOME/team";
	chmod $mode, $FILE;
	is(taken([ 'ann' ]), "78 the aliases file $FILE can be written by others; type: chmod go-w $FILE",
	    "78: the file itself $what");
	is(taken([ 'a@x.example' ]), "0 $ME>a\@x.example", 'nobody needs it for other addresses');
	chmod 0644, $FILE;
}
rename "$HOME/team", "$HOME/real";
symlink "$HOME/real", "$HOME/team";
is(taken([ 'team' ]), "65 $FILE:7: $HOME/team is a symbolic link; name the file itself",
    '65: an included link');
unlink "$HOME/team";
is(taken([ 'team' ]), "65 $FILE:7: $HOME/team is not there; make it, or mend its name", '65: an included file that is not there');
configure({ aliases => "$HOME/none" });
is(taken([ 'root' ]), "78 the aliases file $HOME/none is not there; make it, or mend its name", '78: no such aliases file');
is(taken([ 'a@x.example' ]), "0 $ME>a\@x.example", 'which other addresses do not need');

{
	my $chain = join '', map { "n$_: n" . ($_ + 1) . "\n" } 1 .. 10;

	configure({ aliases => $FILE });
	aliases("${chain}n11: ann\@x.example\n");
	is(taken([ 'n2' ]), "0 $ME>ann\@x.example", 'ten names in a row are followed');
	is(taken([ 'n1' ]), "65 $FILE:10: n11 stands behind 10 other names, and no more may be in a row",
	    '65: and eleven are not');
}
configure({ aliases => $FILE }, { 'max-recipients' => 5 });
aliases("five: a\@x, b\@x, c\@x, d\@x, e\@x\n");
is(taken([ 'five', 'a@x', 'five@localhost' ]), "0 $ME>a\@x b\@x c\@x d\@x e\@x",
    'max-recipients counts those that are left');
like(taken([ 'five', 'f@x' ]), qr/^65 over 5 recipients, aliases included; the limit is max-recipients in \S+\.ini$/,
    '65: one more than that');

# -- default, root, neither

configure({ aliases => $FILE });
aliases("default: admin\@y.example\nann: ann\@x.example, carl\n");
is(taken([ 'carl', 'daemon' ]), "0 $ME>admin\@y.example", 'the default is for all without a line');
is(taken([ 'ann' ]), "0 $ME>ann\@x.example admin\@y.example", 'behind a name too');
is(taken([ 'carl@x.example' ]), "0 $ME>carl\@x.example", 'but not for an address');
configure({ root => 'admin@y.example' });
is(taken([ 'root', 'daemon', 'nobody', 'ann' ]), "0 $ME>admin\@y.example nobody\@example.net ann\@example.net",
    'root alone is for the system\'s accounts, and nobody is none');
configure({});
is(taken([ 'root' ]), "0 $ME>root\@example.net", 'without both they are names as all others');

# -- the header

configure({ aliases => $FILE, root => 'admin@y.example', 'rewrite-to' => 'yes' });
aliases("ann: ann\@x.example\nteam: ann, bob\@x.example\n");
for ([ 'To: ann', 'ann@x.example', 'a name is shown as its address' ],
    [ 'To: Ann <ann>', 'Ann <ann@x.example>', 'behind its display name' ],
    [ 'To: root (Root)', 'admin@y.example (Root)', 'where root = ... applies too' ],
    [ 'To: The Team <team>', "ann\@x.example,\n bob\@x.example", 'of several, all are' ],
    [ 'Cc: carl, team, d@x.example', "carl\@example.net, ann\@x.example,\n bob\@x.example, d\@x.example",
	'and in Cc as well' ]) {
	my ($field, $shows, $promise) = @$_;
	my ($name) = $field =~ /^(\w+)/;

	taken([ '-t' ], "$field\n\n");
	is(names_field($name), $shows, "rewrite-to = yes: $promise");
}
is(taken([ '-t' ], "To: root\nDKIM-Signature: h=to; b=x\n\n"), "0 $ME>admin\@y.example",
    'a signed field goes to the same people');
is(names_field('To'), 'root', 'and shows what was signed');
is(taken([ '-t' ], "Bcc: team\nTo: ann\n\n"), "0 $ME>ann\@x.example bob\@x.example",
    'Bcc goes through the aliases');
unlike($text, qr/bob/, 'and is not shown by them');

# -- asking first

sub asked
{
	my $r = run([ @_ ]);

	return "$r->{status}\n$r->{out}$r->{err}";
}

my $BY = ", by 127.0.0.1 port 1, from $ME\n";

is(asked("$B/sendmail", '-bv', 'ann@z.example', 'Team', 'root', 'carl'), "0\n  ann\@z.example$BY" .
    "Team: $FILE line 2: ann, bob\@x.example\n  ann\@x.example$BY  bob\@x.example$BY" .
    "root: [identity] root: admin\@y.example\n  admin\@y.example$BY" .
    "carl: [identity] domain: example.net\n  carl\@example.net$BY",
    '-bv tells what a name stands for, and where it goes');
is(asked("$B/newaliases"), "0\n$FILE: 2 aliases, nothing wrong\n", 'newaliases finds nothing wrong');
aliases("ann: ann\@x.example\nloop: loop2\nloop2: loop\nprog: |cat\nann: bob\@x.example\nno colon\n");
is(asked("$B/sendmail", '-bv', 'ann', 'prog', 'carl'), "65\nann: $FILE line 1: ann\@x.example\n  ann\@x.example$BY" .
    "prog: $FILE line 4: |cat\ncarl: [identity] domain: example.net\n  carl\@example.net$BY" .
    "sendmail: $FILE:4: mail would go to a program, which is not done here; name an address instead of |cat\n",
    '65: -bv of a name whose mail would be refused; the others are told');
my $PROBLEMS = <<"END";
$FILE:2: loop2 leads back to itself; take it off this line
$FILE:3: loop leads back to itself; take it off this line
$FILE:4: mail would go to a program, which is not done here; name an address instead of |cat
$FILE:5: ann has a line already, which counts: line 1; put all its addresses there
$FILE:6: there is no name with a ':' behind it; write: name: address
END
is(asked("$B/newaliases"), "65\n${PROBLEMS}newaliases: $FILE: 5 problems; the other aliases count as they are\n",
    '65: newaliases tells all problems with file and line');
is(asked("$B/sendmail", '-bi'), "65\n${PROBLEMS}sendmail: $FILE: 5 problems; the other aliases count as they are\n",
    'and so does -bi');
chmod 0666, $FILE;
is(asked("$B/newaliases"), "78\nnewaliases: the aliases file $FILE can be written by others; type: chmod go-w $FILE\n",
    '78: a file that others can write');
unlink $FILE;
is(asked("$B/newaliases"), "78\nnewaliases: the aliases file $FILE is not there; make it, or mend its name\n", '78: no file');
is(asked("$B/sendmail", '-bv', 'ann'), "78\nsendmail: the aliases file $FILE is not there; make it, or mend its name\n", 'so says -bv');
is(asked("$B/sendmail", '-bv', 'ann@x.example'), "0\n  ann\@x.example$BY", 'and not of an address that needs none');
configure({});
is(asked("$B/newaliases"), "0\nthere is no aliases file: [identity] aliases is not set in " .
    "$HOME/.config/subpost/subpost.ini\n", 'without the key newaliases says so');
is(asked("$B/newaliases", 'ann') =~ s/\n.*//sr, 64, '64: newaliases takes no name');
is(scalar(() = new_letters()), 0, 'and nothing was queued by asking');

done_testing;
