# The last dialogue about a message that not everybody got: kept beside it, shown to
# whose it is, without secrets, without its text, without a word about others' mail.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use JSON::PP;

my $TEXT = "Subject: hello\n\nmy private words\n";
my $sh = smarthost(script => join "\n", 'rcpt ~later@ reply "450 4.2.0 come back"', 'rcpt ~never@ reply "550 5.1.1 nobody \x1b[2J here"',
    'rcpt ~slow@ reply "451 4.3.0 not here"', '');

# The dialogue as show has it, without the two blanks before each line.
sub said { my $id = shift; return join '', map { "$_\n" } (subpost('show', $id)->{out} =~ /^dialogue\n((?:  .*\n)+)/m ? $1 : '') =~ /^  (.*)$/mg }
sub held_back { my $id = shift; return wait_for(sub { (slurp(spool() . "/queue/$id.fate") // slurp(spool() . "/failed/$id.fate") // '') =~ /^said /m }, 20, 'the dialogue') }
sub queue
{
	my %before = map { $_ => 1 } queue_ids();

	is(sendmail([ '-i', @_ ], $TEXT)->{status}, 0, "(a message for @_)");
	return (grep { !$before{$_} } queue_ids())[0];
}

ini(smarthost => { port => 1 }, queue => { 'retry-refused' => '1h' });
my @ids = (queue('later@x.example', 'good@x.example'), queue('never@y.example'), queue('fine@z.example'));
ini(smarthost => { connections => 1 }, queue => { 'retry-refused' => '1h' });
is(subpost('retry')->{status}, 0, '(and now they go)');
ok(held_back($ids[0]), 'what was said is kept with a message that waits');
ok(held_back($ids[1]), 'and with one that was given up');
my $said = said($ids[0]);

like($said, qr/^<<< 220 .*\n.*^>>> EHLO /ms, 'from the greeting on');
like($said, qr/^>>> MAIL FROM:<user\@example\.net>.*\n.*^>>> RCPT TO:<later\@x\.example>.*\n.*^<<< 450 4\.2\.0 come back\n/ms,
    'with what was asked and what was answered');
unlike($said, qr/correct horse|Y29ycmVjdCBob3JzZQ|AHVzZXJ/, 'secrets are replaced');
like($said, qr/^>>> AUTH \S+ \[hidden\]$|^>>> \[hidden\]$/m, 'and seen to be');
unlike($said, qr/private/, 'the text is not in it');
unlike($said, qr/[yz]\.example/, 'nor a word about the messages beside it');
$said = said($ids[1]);
like($said, qr/^<<< 550 5\.1\.1 nobody \\x1b\[2J here$/m, 'what could harm a terminal is masked');
unlike($said, qr/[xz]\.example/, 'and that one has its own words only');
{
	my $json = decode_json(subpost('show', '--json', $ids[1])->{out});

	is(join('', map { "$_\n" } @{ $json->{dialogue} }), $said, 'in JSON, a line each');
	is("$json->{id} $json->{state} $json->{to}[0]{outcome}", "$ids[1] failed never", 'with all that the list says');
}
my $fate = slurp(spool() . "/queue/$ids[0].fate");
is(() = $fate =~ /^said /mg, 1, 'it is one line of the fate');
my $slow = queue('slow@x.example');
ok(held_back($slow), '(a message that waits)');
my $other = smarthost();
ini();
is(subpost('retry')->{status}, 0, '(and is taken elsewhere)');
ok(wait_for(sub { !-e spool() . "/queue/$slow.fate" && !-e spool() . "/queue/$slow" }, 20, 'its files to go'), 'takes its dialogue with it');
is_deeply([ $sh->violations, $other->violations ], [], 'no rule of SMTP was broken');
done_testing;
