# Each row of tests/conformance has a promise of its name, in one of the tests'
# sources, or a reason why not.
use strict;
use warnings;
use FindBin;
use Test::More;

my $tests = "$FindBin::Bin/..";
my (%row, %refused, %promised);

sub slurp
{
	open my $fh, '<', shift or die $!;
	local $/;
	return <$fh>;
}

for (split /\n/, slurp("$tests/conformance")) {
	next if /\A(?:#|\z)/;
	if (/\Arefused ([SLTXAE]-\d\d)  (\S.{20,})\z/) {
		ok(!$refused{$1}++, "$1 is refused once, with a reason");
	} elsif (/\A([SLTXAE]-\d\d)  \S.{13} (\S.+)\z/) {
		ok(!exists $row{$1}, "$1 is listed once");
		$row{$1} = $2;
	} else {
		fail("not a row: $_");
	}
}

# A promise's name is a string in the test's source, and begins with what it keeps:
# 'S-16: ...', "L-08, L-09: ...", 'X-14, D5: ...' or "$id, S-06: ...".
for my $path (glob("$tests/flow/*.t"), glob("$tests/unit/*.c")) {
	my ($name) = $path =~ m{([^/]+/[^/]+)\z};

	for (slurp($path) =~ /['"]((?:(?:[A-Z]-?\d+|\$\w+)(?:, )?)+): [^'"]/g) {
		push @{ $promised{$_} }, $name for grep { /\A[SLTXAE]-\d\d\z/ } split /, /;
	}
}

for my $id (sort keys %row) {
	my $tested = $promised{$id};

	ok($tested || $refused{$id}, "$id is tested or refused: $row{$id}");
	ok(!$tested || !$refused{$id}, "$id is not both") or diag("it is refused, and promised by @{ $tested // [] }");
}
is(join(' ', grep { !exists $row{$_} } sort keys %promised), '', 'no promise names a row that is not there');
is(join(' ', grep { !exists $row{$_} } sort keys %refused), '', 'and no refusal does');
my $tested = grep { $promised{$_} } keys %row;
note(sprintf 'count: %d rows of the standards: %d tested, %d refused, %d neither', scalar keys %row, $tested, scalar keys %refused,
    scalar grep { !$promised{$_} && !$refused{$_} } keys %row);
done_testing;
