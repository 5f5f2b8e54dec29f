# Names: a network of the test's own, with a name server that says what the test wants.
#
#	use Names;		# first of all: the test is started again in there
#	use Flow;
#	my $reason = names_set();	# '' or why this machine cannot do it
#	names('mail.example.com A' => '127.0.0.1',
#	    '_submissions._tcp.example.com SRV' => [ '10 5 465 mail.example.com' ]);
#
# The network has a loopback and nothing else.  Types are A, AAAA, CNAME and SRV; a name
# without any does not exist.  In place of records: !servfail, !silence (no answer at
# all), !garbage, !cut (half an answer), !flood (as many records as fit).
# asked() is what was asked for, "NAME TYPE" each.
package Names;
use strict;
use warnings;
use Exporter ();
use Socket qw(AF_INET AF_INET6 SOCK_DGRAM inet_pton pack_sockaddr_in inet_aton);

our @EXPORT = qw(names_set names asked);

my $MARK = 'SUBPOST_NAMES';     # set in the namespaces
my $entered = delete $ENV{$MARK};
my %TYPES = (A => 1, CNAME => 5, AAAA => 28, SRV => 33);
my %NUMBERS = reverse %TYPES;
my $dir;

sub import
{
	if (!$entered && $> == 0 && system('unshare -n -m true 2>/dev/null') == 0) {
		$ENV{$MARK} = 1;
		exec 'unshare', '-n', '-m', $^X, $0, @ARGV or die "unshare: $!\n";
	}
	goto &Exporter::import;
}

my $ETC = <<'END';
set -e
mount -t tmpfs -o mode=755 names /run
mkdir /run/etc
cp -a /etc/. /run/etc
rm -f /run/etc/resolv.conf /run/etc/nsswitch.conf /run/etc/hosts
printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' > /run/etc/resolv.conf
printf 'passwd: files\ngroup: files\nhosts: files dns\n' > /run/etc/nsswitch.conf
printf '127.0.0.1 localhost\n::1 localhost\n' > /run/etc/hosts
mount --bind /run/etc /etc
END

sub names_set
{
	return 'only root can have a network of its own' if $> != 0;
	return 'no network namespace can be had here' if !$entered;
	open my $sh, '-|', 'sh', '-c', "exec 2>&1\n$ETC" or return "sh: $!";
	my $said = join ' ', map { chomp; $_ } <$sh>;
	return "the stage cannot be set here: $said" if !close $sh;
	socket my $s, AF_INET, SOCK_DGRAM, 0 or return "socket: $!";
	my $flags = pack 'a16sx14', 'lo', 1 | 0x40;     # IFF_UP, IFF_RUNNING
	ioctl $s, 0x8914, $flags or return "loopback: $!";      # SIOCSIFFLAGS
	bind $s, pack_sockaddr_in(53, inet_aton('127.0.0.1')) or return "port 53: $!";
	$dir = "$Flow::T/names";
	mkdir $dir;
	names();
	my $parent = $$;
	my $pid = fork // return "fork: $!";
	if ($pid == 0) {
		$SIG{$_} = 'DEFAULT' for qw(ALRM INT TERM HUP);
		require POSIX;
		serve($s, $parent);
		POSIX::_exit(0);
	}
	return '';
}

# What there is from now on, and nothing else.
sub names
{
	my @table = @_;
	my $text = '';

	while (my ($key, $values) = splice @table, 0, 2) {
		$text .= lc($key) . "\t$_\n" for ref $values ? @$values : $values;
	}
	Flow::spew("$dir/table.new", $text);
	rename "$dir/table.new", "$dir/table" or die "$dir/table: $!";
	Flow::spew("$dir/asked", '');
}

sub asked
{
	return split /\n/, Flow::slurp("$dir/asked");
}

sub labels
{
	return join('', map { pack 'C/a', $_ } split /\./, shift) . "\0";
}

sub data
{
	my ($type, $value) = @_;

	return inet_pton(AF_INET, $value) if $type eq 'A';
	return inet_pton(AF_INET6, $value) if $type eq 'AAAA';
	return labels($value) if $type eq 'CNAME';
	my ($priority, $weight, $port, $target) = split / /, $value;
	return pack('nnn', $priority, $weight, $port) . labels($target eq '.' ? '' : $target);
}

# The answer to a question; undef is none.
sub answer
{
	my ($query, $name, $type, $question) = @_;
	my %have;

	for (split /\n/, Flow::slurp("$dir/table")) {
		my ($key, $value) = split /\t/;
		my ($n, $t) = split / /, $key;

		push @{ $have{$n}{ uc $t } }, $value;
	}
	my @records;
	my $at = $name;
	while (my $alias = $type ne 'CNAME' && $have{$at}{CNAME}) {
		push @records, labels($at) . pack('nnNn/a', 5, 1, 1, labels($alias->[0]));
		$at = $alias->[0];
	}
	my @values = @{ $have{$at}{$type} // [] };
	my $fault = @values && $values[0] =~ /^!(.*)/ ? $1 : '';
	return undef if $fault eq 'silence';
	@values = ('1 1 25 a.example.com') x 25 if $fault eq 'flood';
	@values = () if $fault =~ /^(?:servfail|garbage|cut)$/;
	push @records, labels($at) . pack('nnNn/a', $TYPES{$type}, 1, 1, data($type, $_)) for @values;
	my $code = $fault eq 'servfail' ? 2 : %{ $have{$at} // {} } || @records ? 0 : 3;
	my $reply = substr($query, 0, 2) . pack('nnnnn', 0x8180 | $code, 1, scalar(@records), 0, 0) . $question . join('', @records);
	return substr($reply, 0, 2) . pack('nnnnn', 0x8180, 1, 9, 0, 0) . $question . "\xc0\xff" x 40 if $fault eq 'garbage';
	return substr($reply, 0, 2) . pack('nnnnn', 0x8180, 1, 2, 0, 0) . $question . "\xc0\x0c\0!\0" if $fault eq 'cut';
	return $reply;
}

# Until the test has ended.
sub serve
{
	my ($s, $parent) = @_;

	while (getppid() == $parent) {
		my $in = '';

		vec($in, fileno $s, 1) = 1;
		next if !select $in, undef, undef, 1;
		my $from = recv $s, my $query, 4096, 0 or next;
		my ($name, $at) = ('', 12);
		while ((my $len = ord substr $query, $at, 1) > 0) {
			$name .= ($name eq '' ? '' : '.') . lc substr $query, $at + 1, $len;
			$at += $len + 1;
		}
		my $type = $NUMBERS{ unpack 'n', substr $query, $at + 1, 2 } // 'other';
		open my $fh, '>>', "$dir/asked";
		print $fh "$name $type\n";
		close $fh;
		my $reply = answer($query, $name, $type, substr $query, 12, $at + 5 - 12);
		send $s, $reply, 0, $from if defined $reply;
	}
}

1;
