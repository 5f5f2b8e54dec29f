# Peer: other people's programs as Debian packs them, unpacked but not installed:
# no daemon of theirs is started on this machine, and packages that exclude one
# another stand side by side.  They are kept in BUILD/peers, a folder each.
package Peer;
use strict;
use warnings;
use Exporter 'import';
use File::Path qw(make_path remove_tree);
use IO::Socket::INET;

our @EXPORT = qw(unpack_peer peer_libraries missing_libraries lacking_libraries run_quietly);
our @EXPORT_OK = qw(peer_certificate free_port greets cannot slurp spew);
our %EXPORT_TAGS = (tools => [ @EXPORT, @EXPORT_OK ]);

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

# -- what the tools that start one need

# Ends it: this machine cannot do it, and why.
sub cannot
{
	print "@_\n";
	exit 77;
}

sub spew
{
	my ($path, $text) = @_;
	open my $f, '>', $path or die "$path: $!\n";
	print $f $text;
	close $f or die "$path: $!\n";
}

sub slurp
{
	my ($path) = @_;
	open my $f, '<', $path or return '';
	local $/;
	return <$f> // '';
}

# DIR/ca.pem, server.pem and server.key, for localhost and 127.0.0.1.
sub peer_certificate
{
	my ($dir) = @_;
	# A configuration of our own: the machine's may add what it likes.
	spew("$dir/openssl.cnf", <<'END');
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
END
	my @make = ('openssl', 'req', '-x509', '-config', "$dir/openssl.cnf", '-nodes', '-days', 30,
	    '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256');
	run_quietly(@make, '-subj', '/CN=Throw-away CA', '-extensions', 'ca',
	    '-keyout', "$dir/ca.key", '-out', "$dir/ca.pem") &&
	run_quietly(@make, '-subj', '/CN=localhost', '-extensions', 'server', '-CA', "$dir/ca.pem",
	    '-CAkey', "$dir/ca.key", '-keyout', "$dir/server.key", '-out', "$dir/server.pem")
	    or die "openssl could not make a certificate\n";
}

sub free_port
{
	my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1, Proto => 'tcp')
	    or die "no free port on 127.0.0.1: $!\n";
	return $s->sockport;
}

# Plain SMTP greets at once, implicit TLS waits for the client: for that one
# an accepted connection has to do.
sub greets
{
	my ($port, $wait_for_text) = @_;
	my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp', Timeout => 2)
	    or return 0;
	return 1 if !$wait_for_text;
	my $bits = '';
	vec($bits, fileno $s, 1) = 1;
	my $said = '';
	return select($bits, undef, undef, 5) && sysread($s, $said, 512) && $said =~ /^220 /;
}

1;
