# Nobody's five thousand stand before somebody else's one: behind a rate of the
# account the submitters have their turns, and root's is every other.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Witness;
use Time::HiRes 'time';

my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';
time_limit(180);

my $MANY = $ENV{SUBPOST_MANY} // 500;
my $RATE = ($ENV{SUBPOST_RATE} // 300) / 60;     # messages a second; the variable has them a minute
my $BS = "$FindBin::Bin/../lib/bs-client";
my $sh = smarthost();

# The subjects of what the smarthost has, in order.
sub subjects
{
	return map { $_->{eml} =~ /^Subject: (.*)\r$/m ? $1 : () } $sh->messages;
}

system_ini(smarthost => { rate => $RATE * 60 . '/m' });
service_start();

my $input = join "===\n", map { "bob\@x.example a\@x.example\nSubject: many $_\n\nbody\n" } 1 .. $MANY;
my $began = time;
my $r = as_user('bob', [ $BS, $SENDMAIL, '-bs' ], stdin => $input, timeout => 120);
is("$r->{status} $r->{err}", '0 ', "$MANY messages of one user are taken");
diag(sprintf '%d messages queued in %.1f s', $MANY, time - $began);

for my $who (qw(root www-data root)) {
	my $subject = "one of $who " . time;
	my $before = scalar(my @a = subjects());
	my $began = time;

	$r = as_user($who, [ $SENDMAIL, 'a@x.example' ], stdin => "Subject: $subject\n\nbody\n");
	is("$r->{status} $r->{err}", '0 ', "one of $who is taken");
	my $taken = scalar(my @b = subjects());
	ok(wait_for(sub { grep { $_ eq $subject } subjects() }, 10, 'it'), 'and sent while the others wait');
	my $passed = 0;
	for (subjects()) {
		last if $_ eq $subject;
		$passed++;
	}
	# One may be under way when it comes.
	cmp_ok($passed - $taken, '<=', 2, 'within two steps');
	diag(sprintf '%s: %d went before it, %.2f s', $who, $passed - $taken, time - $began);
}

# The rate holds for all of them together.
{
	my $n = scalar(my @a = subjects());
	my $begun = time;

	wait_for(sub { subjects() >= $n + 15 }, 20, 'fifteen more');
	my $took = time - $begun;
	cmp_ok($took, '>=', 14 / $RATE - 0.5, "at $RATE a second fifteen take their time");
	cmp_ok($took, '<=', 15 / $RATE + 3, 'and not much more');
}
cmp_ok(scalar(queue_ids()), '>', $MANY / 2, 'most of the many still wait');
is(service_stop()->{status}, 0, 'the service leaves all the same');
is_deeply([ $sh->violations ], [], 'no rule of SMTP was broken');
done_testing;
