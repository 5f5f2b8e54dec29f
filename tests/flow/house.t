# The house, from its sources: who may include whom, which file knows which
# library, what is written down for people, and what is never called.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Cwd 'abs_path';

my $ROOT = abs_path("$FindBin::Bin/../..");

# Floor 0 is matter, 1 mail (pure), 2 doors, 3 people.
my @FLOORS = (
	[ qw(buf clock file slim codec guess log outcome) ],
	[ qw(phrase dsn pattern address host pin intake dots mailarg header complete force words refit part encode label mime adapt envelope fate reply scram bearer offers verdict schedule rate report agenda) ],
	[ qw(person keys inifile accounts users config route trusted aliases targets spool health pace trace wake errand secret idna dial srv conn certificate tls sasl text command smtp transaction dialogue trial auth sandbox manager landlock fence desk settings usage admit watch) ],
	[ qw(ledger dispatch runner steer carriers await listing verbs check clerk callers greeting premises roster spare service office login session parcel debt courier subpostd subpost sendmail options recipients submit talk smtpin newaliases account job sorting pool post) ],
);
my %MAIN = map { $_ => 1 } qw(courier subpostd subpost sendmail);
my %LIBRARY = (
	'ini.h' => 'inifile.c', 'gnutls/gnutls.h' => 'tls.c', 'gnutls/x509.h' => 'certificate.c', 'gnutls/crypto.h' => 'tls.c', 'gsasl.h' => 'sasl.c', 'seccomp.h' => 'sandbox.c', 'resolv.h' => 'srv.c', 'idn2.h' => 'idna.c',
);

my %floor = map { my $n = $_; map { $_ => $n } @{ $FLOORS[$n] } } 0 .. $#FLOORS;
my @sources = map { glob "$ROOT/$_" } 'src/*.[ch]', 'compat/*.[ch]';
my %text = map { (m{([^/]+/[^/]+)$})[0] => slurp($_) } @sources;
my $makefile = slurp("$ROOT/Makefile") =~ s/\\\n\s*/ /gr;

# A Makefile variable's words, without looking into it further.
sub make_words
{
	my $name = shift;
	my ($words) = $makefile =~ /^\Q$name\E = *(.*)$/m;

	return split ' ', $words // '';
}

# The text without comments and the contents of strings.
sub code
{
	return shift =~ s{/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'}{ substr($&, 0, 2) eq '/*' ? ' ' : '""' }gesr;
}

# A promise that nobody breaks; who does is named.
sub none
{
	my ($who, $promise) = @_;

	return is(join(', ', @$who), '', $promise);
}

sub module { return shift =~ s{.*/|\.[ch]$}{}gr }

# -- floors and libraries

none([ grep { !exists $floor{ module($_) } } sort keys %text ], 'every module has its floor');
for my $n (0 .. $#FLOORS) {
	my @wrong;

	for my $file (grep { ($floor{ module($_) } // -1) == $n } sort keys %text) {
		for my $header ($text{$file} =~ /^#\s*include\s+"([^"]+)"/mg) {
			my $to = $floor{ module($header) };

			push @wrong, "$file includes $header" if !defined $to || $to > $n;
		}
	}
	none(\@wrong, "floor $n stands on itself and what is below");
}
for my $library (sort keys %LIBRARY) {
	my @users = grep { $text{$_} =~ /^#\s*include\s+<\Q$library\E/m } sort keys %text;

	is("@users", "src/$LIBRARY{$library}", "<$library> is seen by $LIBRARY{$library} alone");
}
{
	my %near = map { $_ => 1 } qw(sys/socket.h netinet/in.h netdb.h fcntl.h unistd.h dirent.h poll.h sys/stat.h);
	my @wrong = grep { $floor{ module($_) } == 1 && grep({ $near{$_} } $text{$_} =~ /^#\s*include\s+<([^>]+)>/mg) }
	    sort keys %text;

	none(\@wrong, 'floor 1 is pure: no files, no sockets');
	@wrong = grep { $floor{ module($_) } == 1 && code($text{$_}) =~ /\b(?:time|gettimeofday|clock_gettime|getrandom|clock_now)\s*\(/ }
	    sort keys %text;
	none(\@wrong, 'and no clock');
}

# -- files

none([ grep { /\.c$/ && !$MAIN{ module($_) } && !exists $text{ s/c$/h/r } } sort keys %text ],
    'every module has its header');
none([ grep { /\.h$/ && $text{$_} !~ m{\A/\* \w+: } } sort keys %text ],
    'every header opens by saying what the thing is');
none([ grep { /\.h$/ && $text{$_} !~ /^#ifndef (\w+_H)\n#define \1\n.*^#endif\n\z/ms } sort keys %text ],
    'and may be included twice');
{
	my %built = map { $_ => 1 } make_words('LIB'), map { make_words("${_}_SRC") } make_words('PROGRAMS');

	none([ grep { /\.c$/ && !$built{$_} } sort keys %text ], 'every source is built');
	none([ grep { !-e "$ROOT/tests/unit/$_.c" } make_words('UNITS') ],
	    'every unit of the Makefile has its tests');
	none([ grep { my $u = module($_); !grep { $_ eq $u } make_words('UNITS') } glob "$ROOT/tests/unit/*.c" ],
	    'and every unit test is run');
}
for my $bad (qw(strcpy strcat sprintf vsprintf gets strtok atoi atol system popen tmpnam mktemp alloca setuid)) {
	none([ grep { code($text{$_}) =~ /(?<![\w.>])\Q$bad\E\s*\(/ } sort keys %text ],
	    "$bad is never called");
}
none([ grep { $text{$_} =~ /\b(?:TODO|FIXME|XXX|HACK)\b/ } sort keys %text ], 'nothing is left for later');
none([ grep { $text{$_} =~ /[ \t]$/m } sort keys %text ], 'no line ends in blanks');
none([ grep { $text{$_} =~ /[^\n\t -~]/ } sort keys %text ], 'the sources are plain ASCII');

# -- programs

for my $program (make_words('PROGRAMS')) {
	my $needed = run([ 'readelf', '-d', "$B/$program" ])->{out};
	my @libraries = $needed =~ /\(NEEDED\).*\[(lib(?:gnutls|gsasl|idn2|seccomp|ssl|crypto|nettle)[^\]]*)\]/g;

	# What runs for every message may be static, so that no loader delays it: then it needs nothing.
	my $static = $program =~ /\A(?:sendmail|subpostd)\z/ && $needed =~ /\bPIE\b/ && $needed !~ /\(NEEDED\)/;
	ok($static || $needed =~ /\[libc\.so/, "$program is linked as it should be");
	if ($program eq 'subpost-courier') {
		is(scalar(@libraries), 4, 'the courier is linked with GnuTLS, gsasl, libidn2 and seccomp');
	} else {
		none(\@libraries, "$program knows no TLS, SASL, IDNA or seccomp");
	}
	like($needed, qr/BIND_NOW|\bNOW\b/, "and its addresses are bound at the start");
}
none([ grep { !-l "$B/$_" || readlink "$B/$_" ne 'sendmail' } make_words('FACES') ],
    'every other face is a link to sendmail');

# -- what is written down for people

my @manuals = make_words('MANUALS');
my %manual = map { $_ => slurp("$ROOT/man/$_") // '' } @manuals;

for my $name (grep { $_ ne 'subpost-courier' } make_words('PROGRAMS'), make_words('FACES')) {
	ok(scalar(grep { /^\Q$name\E\.[18]$/ } @manuals), "$name has a manual page");
}
none([ grep { $manual{$_} eq '' } @manuals ], 'every manual of the Makefile is there');
SKIP: {
	skip 'mandoc is not here', 1 if run([ 'mandoc', '-V' ])->{status} == 127;
	for my $m (grep { $manual{$_} ne '' } @manuals) {
		my $r = run([ 'mandoc', '-Tlint', '-Wwarning', "$ROOT/man/$m" ]);

		is("$r->{status}$r->{out}$r->{err}", 0, "$m: mandoc finds nothing to warn of");
	}
}
{
	my %table;
	my ($with, $without) = split /^These options of other sendmails .*\n/m, $manual{'sendmail.8'};
	my %class = ('with effect' => [ $with ], 'without' => [ ($without // '') =~ /\A(.*?)^\.El$/ms ]);

	# letter => class, arity, and of what has no effect the words.
	$table{$1} = [ $3 eq 'NULL' ? 'without' : 'with effect', $2, $3 eq 'NULL' ? "$4 ($5)" : '' ]
	    while $text{'compat/options.c'} =~ /^\t\{ '(\w)', ([A-Z]+), (\w+), "([^"]+)", (?:NULL|"([^"]+)") \},$/mg;
	cmp_ok(scalar(keys %table), '>', 30, 'the table of sendmail options can be read');

	my %page;
	for my $class (sort keys %class) {
		for ($class{$class}[0] =~ /^(\.It Fl .*\n(?:(?!\.(?:It|El|Bl)).*\n)*)/mg) {
			my ($flags, $words) = /\A\.It (\N*)\n(.*)\z/s;

			$words = $class eq 'without' ? $words =~ s/\n\.Pq (.*)\n\z/ ($1)/r : '';
			$page{$1} = [ $class, defined $2 ? 'GLUED' : defined $3 ? 'VALUE' : 'NONE', $words ]
			    while $flags =~ /Fl (\w)(?:( Ns Op Ar)|( Ar))?(?: |$)/g;
		}
	}
	# On a page, what may be taken from the next word as well looks like what is glued.
	$_->[1] =~ s/SELECT/GLUED/ for values %table;
	is_deeply(\%page, \%table,
	    'sendmail(8) has every option of the table, with its arity, and says which have no effect and why');
}
{
	my @verbs = $text{'src/subpost.c'} =~ /^\t\{ "(\w+)", (?:do_\w+|NULL), "/mg;

	cmp_ok(scalar(@verbs), '>', 4, 'the table of subpost verbs can be read');
	none([ grep { $manual{'subpost.1'} !~ /^\.(?:It )?Cm \Q$_\E\b/m } @verbs ],
	    'every verb is in subpost(1)');
}

# -- the keys of the ini file

my (%sample, %page, %table);
{
	for (split /\n/, slurp("$ROOT/conf/subpost.ini")) {
		$sample{$1} = 1 if /^;?([a-z][a-z-]*) =/;
	}
	# The other two of the three ways stand in a comment: nobody should
	# uncomment them all.
	$sample{$_} = 1 for slurp("$ROOT/conf/subpost.ini") =~ /^#   (password(?:-\w+)?)  /mg;
	%page = map { $_ => 1 } $manual{'subpost.ini.5'} =~ /^\.It (?:Cm|Ic|Va|Sy|Li) ([a-z][a-z-]*)/mg;
	%table = map { $_ => 1 } $text{'src/keys.c'} =~ /^\t\[KEY_\w+\] = \{[^"\n]*"([a-z-]+)"/mg;
}
cmp_ok(scalar(keys %sample), '>', 15, 'the sample configuration can be read');
cmp_ok(scalar(keys %table), '>', 15, 'the table of keys can be read');
is_deeply([ sort keys %sample ], [ sort keys %table ],
    'conf/subpost.ini names every key that is read, and no other');
none([ grep { !$page{$_} } sort keys %sample ], 'every key of conf/subpost.ini is in subpost.ini(5)');
none([ grep { !$sample{$_} } sort keys %page ], 'and every key of subpost.ini(5) is in conf/subpost.ini');
{
	my $ini = slurp("$ROOT/conf/subpost.ini") =~ s/^;(?=[a-z])//gmr;

	$ini =~ s/^password-command = .*$/password-command = true/m;
	ini($ini);
	my $r = mailq();
	is("$r->{status} $r->{err}", '0 ', 'with all its defaults uncommented it is a good configuration');
}

done_testing;
