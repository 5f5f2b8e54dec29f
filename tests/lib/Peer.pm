# Peer: other people's programs as Debian packs them, unpacked but not installed:
# no daemon of theirs is started on this machine, and packages that exclude one
# another stand side by side.  They are kept in BUILD/peers, a folder each.
package Peer;
use strict;
use warnings;
use Exporter 'import';
use File::Path qw(make_path remove_tree);

our @EXPORT = qw(unpack_peer peer_libraries missing_libraries lacking_libraries run_quietly);

my $updated = 0;

# Runs a command; its output is shown only when it fails.
sub run_quietly
{
	my $pid = open my $out, '-|' // die "fork: $!\n";

	if (!$pid) {
		open STDERR, '>&', \*STDOUT;
		exec @_ or print "$_[0]: $!\n";
		exit 127;
	}
	my $said = do { local $/; <$out> } // '';
	return 1 if close $out;
	print STDERR map { "# $_\n" } "@_", split /\n/, $said;
	return 0;
}

# unpack_peer(BUILD, NAME, PACKAGE...): the folder BUILD/peers/NAME, in which the
# packages are; undef where they cannot be had.  The rename at the end makes it
# whole or absent, whoever is interrupted.
sub unpack_peer
{
	my ($build, $name, @packages) = @_;
	my $root = "$build/peers/$name";
	my $new = "$root.$$";

	return $root if -d $root;
	make_path($new);
	my @apt = qw(apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=0 -o Acquire::http::Timeout=20);
	my @get = ('sh', '-c', 'cd "$0" && exec "$@"', $new, @apt, 'download', @packages);
	if (!run_quietly(@get) && ($updated++ || !run_quietly(@apt, 'update') || !run_quietly(@get))) {
		remove_tree($new);
		return undef;
	}
	for my $deb (glob "$new/*.deb") {
		run_quietly('dpkg', '-x', $deb, $new) or die "$deb cannot be unpacked\n";
		unlink $deb;
	}
	# Nothing in our folder is set-id, whoever may come by and try it.
	run_quietly('find', $new, '-type', 'f', '-perm', '/6000', '-exec', 'chmod', 'a-s', '{}', '+') or
	    die "$new: set-id bits stay\n";
	# Somebody else may have been faster: then his is as good.
	rename $new, $root or -d $root or die "$root: $!\n";
	remove_tree($new);
	return $root;
}

# Where a program from that folder finds the libraries that came with it; sudo
# has some of its own below libexec.
sub peer_libraries
{
	my $root = shift;

	return join ':', grep { -d } glob("$root/usr/lib/*-linux-gnu*"), glob("$root/usr/libexec/*");
}

# The names of those that are not on this machine either.
sub missing_libraries
{
	my ($path, @programs) = @_;
	my %missing;

	local $ENV{LD_LIBRARY_PATH} = $path;
	for my $program (@programs) {
		$missing{$_} = 1 for `ldd $program` =~ /(\S+) => not found/g;
	}
	return sort keys %missing;
}

# The packages of libraries that a package stands on, however deep, and that are
# not installed.
sub lacking_libraries
{
	my $package = shift;
	my @no = map { "--no-$_" } qw(pre-depends recommends suggests conflicts breaks replaces enhances);
	my %here = map { /^installed (\S+)/ ? ($1 => 1) : () } `dpkg-query -W -f '\${db:Status-Status} \${Package}\n'`;

	return grep { /^lib/ && !/-perl$|:/ && !$here{$_} } map { /^(\w\S*)$/ } `apt-cache depends --recurse @no $package`;
}

1;
