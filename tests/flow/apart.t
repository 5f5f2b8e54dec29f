# A server that breaks off where the next message's commands stand behind a text, as
# Dovecot's does in 2.3: that costs one connection, and is kept in mind.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

my $text = "From: user\@example.net\nSubject: x\n\ntext\n";

# Six messages, queued while nobody answers, to a smarthost with that script.
sub send_six
{
	my ($script) = @_;
	my $sh = smarthost(script => $script);

	ini(smarthost => { nobody_answers() });
	sendmail([ '-i', "r$_\@example.org" ], $text) for 1 .. 6;
	ini(-smarthost => $sh, smarthost => { connections => 1 });
	is(subpost('retry', 'all')->{status}, 0, 'retry sends what waits');
	ok(wait_empty(20), 'and all of it leaves, none of it a step later');
	return $sh;
}

# On how many connections stood MAIL behind a text, in what was said at once?
sub overlapping
{
	return scalar grep { slurp($_) =~ /\r\n\.\r\nMAIL FROM/ } shift->recordings;
}

sub recipients
{
	return map { @{ $_->{to} } } shift->messages;
}

# The first message goes alone, to see whether the account is up again; by BDAT the next
# one does, too, since nothing is said then.
for ([ 'DATA', 'dot #2 keep drop' ], [ 'BDAT', "offer PIPELINING \"AUTH PLAIN\" CHUNKING\ndot #1 keep drop" ]) {
	my ($way, $script) = @$_;
	my $sh = send_six($script);
	my %had;

	$had{$_}++ for recipients($sh);
	is(scalar keys %had, 6, "$way: everybody has it");
	is(join(' ', grep { $_ > 2 } values %had), '', 'nobody three times');
	cmp_ok(scalar(grep { $_ == 2 } values %had), '<=', 1, 'and one at most twice: what was in doubt');
	is(overlapping($sh), 1, 'after the first time nothing is said behind a text');
	cmp_ok(scalar(() = $sh->recordings), '<=', 3, 'on one more connection, or two');
	like(slurp(spool() . '/health'), qr/^apart default \d+$/m, 'the queue knows it');

	sendmail([ '-i', "more$_\@example.org" ], $text) for 1 .. 2;
	ok(wait_empty(20), 'later ones leave');
	is(overlapping($sh), 1, 'and are kept apart from the first');
	wait_no_runner(20);
	unlink spool() . '/health';
}

my $sh = send_six('dot #4 drop');
is(overlapping($sh), 2, 'a server that breaks off later is an ordinary one that has gone away');
unlike(slurp(spool() . '/health'), qr/^apart/m, 'and nothing is remembered of it');
done_testing;
