# Witness: what a flow test reads back when a conversation is over: the log, the
# list of the queue, and who got what how often.  And a clean table for the next.
package Witness;
use strict;
use warnings;
use Exporter 'import';
use File::Path 'remove_tree';
use Flow ();
use JSON::PP ();

our @EXPORT = qw(log_text log_has rows row_of arrived got connections commands couriers kill_dead
	start_anew);

sub log_text
{
	return Flow::slurp(Flow::spool() . '/log') // '';
}

# Waits until the log matches.
sub log_has
{
	my ($pattern, $seconds) = @_;

	return Flow::wait_for(sub { log_text() =~ $pattern }, $seconds // 10, "the log to match $pattern");
}

# The list of the queue, as `subpost queue --json` tells it.
sub rows
{
	return @{ JSON::PP::decode_json(Flow::subpost('queue', '--json')->{out}) };
}

# That row of it; an empty one where there is none.
sub row_of
{
	my $id = shift;

	return (grep { $_->{id} eq $id } rows())[0] // {};
}

# The messages of that subject that a smarthost has taken.
sub arrived
{
	my ($s, $subject) = @_;
	my @all = grep { $_->{eml} =~ /^Subject: \Q$subject\E\r$/m } $s->messages;

	return @all;
}

# Who got the message of that subject: "ann ben*2", by local parts.
sub got
{
	my %n;

	$n{$_}++ for map { /^<?([^@>]*)/ } map { @{ $_->{to} } } arrived(@_);
	return join ' ', map { $n{$_} > 1 ? "$_*$n{$_}" : $_ } sort keys %n;
}

sub connections
{
	return scalar(() = shift->dialogue =~ /^-- connect /mg);
}

# What the client has said so far that begins with those words.
sub commands
{
	my ($s, $words) = @_;
	my @all = $s->dialogue =~ /^C: (\Q$words\E.*)$/mg;

	return @all;
}

sub couriers
{
	return Flow::processes(qr/^subpost-courier$/);
}

# Kills a process, and comes back when its sockets and locks are gone with it:
# until then it could still be sent a wake that it will never read.  True if
# there was one.
sub kill_dead
{
	my $pid = shift;

	kill 'KILL', $pid or return 0;
	Flow::wait_for(sub { (Flow::slurp("/proc/$pid/stat") // ') Z') =~ /\) [ZX]/ }, 10, 'the end of a killed process');
	return 1;
}

# Ends what runs, and removes the queue.
sub start_anew
{
	Flow::end_processes();
	$_->stop for @_;
	remove_tree(Flow::spool());
}

1;
