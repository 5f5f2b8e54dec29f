# The service's runner, which asks for its couriers, has several at once as well; and each
# end is heard, whoever was listened to when it came.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Service;            # first: it starts this test again
use Flow;
use Witness;

my $NO_STAGE = stage_service();

plan(skip_all => $NO_STAGE) if $NO_STAGE ne '';
time_limit(180);

my $BS = "$FindBin::Bin/../lib/bs-client";
my $MANY = 120;
# Each connection ends by itself several times; the first message waits until all are there.
my $sh = smarthost(script => "mail #1 wait go default\nmail ~bob delay 20 default");

system_ini(smarthost => { connections => 4, 'messages-per-connection' => 10, 'keep-open' => 0 });
service_start();

my $input = join "===\n", map { "bob\@x.example a\@x.example\nSubject: many $_\n\nbody\n" } 1 .. $MANY;
my $r = as_user('bob', [ $BS, $SENDMAIL, '-bs' ], stdin => $input, timeout => 120);
is("$r->{status} $r->{err}", '0 ', "$MANY messages of one user are taken");
$sh->release('go');
ok(wait_for(sub { scalar($sh->messages) >= $MANY }, 60, 'all'), 'and all are sent');
my @twice = grep { got($sh, "many $_") ne 'a' } 1 .. $MANY;
is("@twice", '', 'each once');

# How many connections were open at the same time, at most.
my ($open, $most) = (0, 0);
for ($sh->dialogue =~ /^-- (connect|closed) /mg) {
	$open += $_ eq 'connect' ? 1 : -1;
	$most = $open if $open > $most;
}
cmp_ok($most, '>', 1, 'over several connections at once');
cmp_ok($most, '<=', 5, 'but not more than may be, and one that says goodbye') or diag($most);
ok(wait_for(sub { !Flow::processes(qr/^subpost-courier$/) }, 20, 'the couriers to leave'), 'which all end');
unlike(slurp('/var/lib/subpost/log') // '', qr/courier-died| down /, 'well');

done_testing;
