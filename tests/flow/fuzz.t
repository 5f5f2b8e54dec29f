# What reads octets of others, and a few seconds of octets that nobody would
# write: every file of each corpus, then what comes of changing them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;

use constant SECONDS => 8;     # for each target

my @targets = map { s{.*/}{}r } sort glob "$FindBin::Bin/../fuzz/corpus/*";

time_limit(60 + SECONDS * @targets);
for my $t (@targets) {
	my $last = "$T/$t.input";
	my $r = run([ "$B/tests/fuzz/$t", '-t', SECONDS, '-o', $last, "$FindBin::Bin/../fuzz/corpus/$t" ],
	    timeout => SECONDS + 30, env => { ASAN_OPTIONS => 'abort_on_error=0:exitcode=99:detect_leaks=1' });
	my ($runs) = $r->{out} =~ /^(\d+) runs/;

	ok($r->{status} == 0 && !$r->{signal} && ($runs // 0) > 100, "$t: " . SECONDS . ' s of changed inputs break no promise')
	    or diag($r->{err}, "\nthe input: ", unpack('H*', substr(slurp($last) // '', 0, 2000)));
}
done_testing();
