# Every fault at every stage (tests/lib/Matrix.pm): a choice of them, or all: `make matrix`.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Matrix qw(cells sample why_none promise_of);
use Time::HiRes 'sleep';

use constant JOBS => 8;         # they wait for time to pass, more than they work

my @chosen = $ENV{MATRIX} ? grep { "@$_[0 .. 2]" =~ /$ENV{MATRIX}/ } cells() : sample();
my @cells = grep { $_->[3] !~ /\d/ } @chosen;
my (%running, %why, @said);

time_limit($ENV{MATRIX} ? 7200 : 300);
$SIG{CHLD} = 'DEFAULT';
for my $next (0 .. $#cells) {
	reap(JOBS - 1);
	start_cell($next);
}
reap(0);

$why{ why_none($_->[3]) }++ for grep { $_->[3] =~ /\d/ } @chosen;
diag(sprintf '%d cells; and %d that do not exist:', scalar @cells, scalar(@chosen) - @cells) if $ENV{MATRIX};
diag("  $why{$_}: $_") for sort keys %why;
done_testing;

sub start_cell
{
	my $n = shift;
	my $pid = fork // die "fork: $!";

	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(ALRM INT TERM HUP);
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$T/cell.$n";
		open STDERR, '>&', \*STDOUT;
		exec $^X, "$FindBin::Bin/../lib/cell", @{ $cells[$n] }[0 .. 2] or POSIX::_exit(127);
	}
	$running{$pid} = $n;
}

# Until no more than so many run.  What they have shown is told in their order.
sub reap
{
	my $most = shift;

	while (keys %running > $most) {
		my $pid = waitpid -1, 0;
		my $n = delete $running{$pid} // next;

		$said[$n] = [ $? == 0, slurp("$T/cell.$n") ];
		show_what_is_said();
	}
}

my $told;
sub show_what_is_said
{
	while (defined(my $r = $said[$told //= 0])) {
		ok($r->[0] && $r->[1] eq '', promise_of(@{ $cells[$told] })) or diag($r->[1]);
		$told++;
	}
}
