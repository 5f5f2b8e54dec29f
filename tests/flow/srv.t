# Names: servers found by DNS, who is believed to be them, and addresses of both kinds.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Names;
use Flow;
use Witness;
use Socket qw(AF_INET6 SOCK_STREAM SOL_SOCKET SO_REUSEADDR IPPROTO_IPV6 pack_sockaddr_in6 inet_pton);

my $reason = names_set();
plan(skip_all => $reason) if $reason ne '';
time_limit(240);

my $s;

# A server with a certificate for those names, and an ini that asks DNS about example.com.
sub begin
{
	my ($args, %keys) = @_;

	start_anew($s ? $s : ());
	$s = smarthost(args => $args);
	write_ini(%keys);
}

sub write_ini
{
	ini(-smarthost => $s, smarthost => { host => 'srv:example.com', port => undef, tls => undef, 'tls-name' => undef, @_ });
}

sub record
{
	my ($target, $port, $priority) = @_;

	return join ' ', $priority // 10, 1, $port // $s->port, $target;
}

sub goes
{
	my ($what, $mode) = @_;
	my $r = sendmail([ 'bob@example.org' ], "Subject: $what\n\nbody\n");

	return ok($r->{status} == 0 && $s->wait_messages(1) && wait_empty() && ($s->messages)[0]{tls} eq 'yes', $what) ||
	    diag(subpost('queue')->{out});
}

# It waits, and says why.
sub waits
{
	my ($what, $why) = @_;
	my $row;

	sendmail([ 'bob@example.org' ], "Subject: $what\n\nbody\n");
	log_has(qr/ down /, 30);
	wait_for(sub { !couriers() }, 30, 'the courier to leave');
	$row = (rows())[0] // {};
	is(join(' ', map { $row->{$_} // '' } qw(state tries)), 'waiting 0', "$what: the message waits, without blame");
	like($row->{reason} // '', $why, '  and the list says why');
	is(scalar(queue_ids()), 1, '  nothing bounces');
	unlike(join('', map { slurp($_) // '' } glob $s->dir . '/raw.*'), qr/AUTH|MAIL/, '  and nobody is told anything');
}

my ($SECURE, $OPEN) = ('_submissions._tcp.example.com SRV', '_submission._tcp.example.com SRV');

# -- who is found, and believed

begin([ '--implicit', '--name', 'mail.example.com' ]);
names($SECURE => record('mail.example.com'), 'mail.example.com A' => '127.0.0.1');
goes('X-05: a server that _submissions._tcp names is spoken to in TLS from the first octet');
is(($s->dialogue =~ /^-- sni \d+ (.*)$/m)[0], 'mail.example.com', 'X-16: it is asked for by its own name, which is within the domain');
is(join(' ', map { lc } sort grep { / SRV$/ } asked()), lc "$OPEN $SECURE", 'both records are asked for, once');

begin([ '--implicit', '--name', 'example.com' ]);
names($SECURE => record('mail.example.com'), 'mail.example.com A' => '127.0.0.1');
goes('X-13: a certificate for the domain itself will do');

begin([ '--implicit', '--name', 'smtp.provider.example', '--name', 'example.com' ]);
names($SECURE => record('smtp.provider.example'), 'smtp.provider.example A' => '127.0.0.1');
goes('X-13: a server outside the domain is believed if it has a certificate for the domain');
is(($s->dialogue =~ /^-- sni \d+ (.*)$/m)[0], 'example.com', 'X-16: for which it is asked');

begin([ '--implicit', '--name', 'smtp.provider.example' ]);
names($SECURE => record('smtp.provider.example'), 'smtp.provider.example A' => '127.0.0.1');
waits('D9: a server outside the domain with a good certificate of its own', qr/is for smtp\.provider\.example and not for example\.com/);
write_ini('tls-name' => 'smtp.provider.example');
subpost('retry', 'all');
ok($s->wait_messages(1) && wait_empty(), 'X-05: tls-name is the word of a person, and settles it');

begin([ '--implicit', '--name', 'other.example.com' ]);
names($SECURE => record('mail.example.com'), 'mail.example.com A' => '127.0.0.1');
waits('X-13: one within the domain with a certificate for a third name',
    qr/is for other\.example\.com and not for mail\.example\.com or example\.com/);

begin([ '--implicit', '--name', 'evilexample.com' ]);
names($SECURE => record('evilexample.com'), 'evilexample.com A' => '127.0.0.1');
waits('D9: a name that only ends like the domain is outside it', qr/is for evilexample\.com and not for example\.com/);

begin([ '--name', 'smtp.example.com' ]);
write_ini(host => 'mail.example.com:' . $s->port);
names('mail.example.com CNAME' => 'smtp.example.com', 'smtp.example.com A' => '127.0.0.1');
waits('D9: behind an alias the name that is configured counts', qr/is for smtp\.example\.com and not for mail\.example\.com/);

# -- in which order

begin([ '--name', 'mail.example.com' ]);
names($OPEN => record('mail.example.com'), 'mail.example.com A' => '127.0.0.1');
goes('X-05: where only _submission._tcp is there, STARTTLS is spoken');

begin([ '--name', 'mail.example.com' ]);
names($SECURE => '0 0 0 .', $OPEN => record('mail.example.com'), 'mail.example.com A' => '127.0.0.1');
goes('X-05: "." says that there is none of that kind');

begin([ '--implicit', '--name', 'b.example.com' ]);
names($SECURE => [ record('c.example.com', 3, 30), record('a.example.com', 1, 10), record('b.example.com', undef, 20) ],
    map { ("$_.example.com A" => '127.0.0.1') } 'a' .. 'c');
goes('the next server is called when the first cannot be reached');
is(join(' ', map { /^(.)\.example\.com A$/ ? $1 : () } asked()), 'a b', 'in the order of their priorities');

begin([ '--name', 'mail.example.com' ]);
names($SECURE => record('mail.example.com', 1), $OPEN => record('mail.example.com'), 'mail.example.com A' => '127.0.0.1');
goes('STARTTLS, when nobody answers where TLS begins at once');

begin([ '--implicit', '--name', 'mail.example.com' ]);
names($SECURE => [ record('a.example.com', 1, 1), record('b.example.com', 1, 2) ],
    'a.example.com A' => '127.0.0.1', 'b.example.com A' => '127.0.0.2');
waits('servers that cannot be reached', qr/cannot reach b\.example\.com:1: 127\.0\.0\.2: Connection refused.*the last of 2 servers that DNS names for example\.com/);

# -- DNS that does not help

for my $case (
    [ 'a domain that names none', [], qr/example\.com names no server for submission in DNS/ ],
    [ '"." for both', [ $SECURE => '0 0 0 .', $OPEN => '0 0 0 .' ], qr/names no server for submission/ ],
    [ 'a name server with trouble', [ $SECURE => '!servfail', $OPEN => '!servfail' ], qr/cannot ask for the servers of example\.com: .*network and name servers/ ],
    [ 'a name server that says nothing', [ $SECURE => '!silence', $OPEN => '!silence' ], qr/cannot ask for the servers of example\.com/ ],
    [ 'an answer of garbage', [ $SECURE => '!garbage', $OPEN => '!garbage' ], qr/cannot ask for the servers of example\.com/ ],
    [ 'half an answer', [ $SECURE => '!cut', $OPEN => '!cut' ], qr/cannot ask for the servers of example\.com/ ],
    [ 'trouble with one kind and none of the other', [ $SECURE => '!servfail' ], qr/cannot ask for the servers of example\.com/ ],
    [ 'very many that do not exist', [ $SECURE => '!flood' ], qr/cannot resolve a\.example\.com.*the last of 16 servers/ ],
    [ 'a server that has no address', [ $SECURE => '1 1 465 mail.example.com', 'mail.example.com AAAA' => '!servfail', 'mail.example.com A' => '!servfail' ],
        qr/cannot resolve mail\.example\.com/ ],
) {
	my ($what, $table, $why) = @$case;

	begin([ '--implicit', '--name', 'mail.example.com' ]);
	names(@$table);
	waits($what, $why);
	names($SECURE => record('mail.example.com'), 'mail.example.com A' => '127.0.0.1');
	subpost('retry', 'all');
	ok($s->wait_messages(1) && wait_empty(), '  and when DNS is mended it goes');
}

begin([], host => 'mail.example.com:587');
names('mail.example.com A' => '!servfail', 'mail.example.com AAAA' => '!servfail');
waits('a host whose name server has trouble', qr/cannot resolve mail\.example\.com: .*name servers/);
begin([], host => 'mail.example.com:587');
names();
waits('a host that does not exist', qr/cannot resolve mail\.example\.com: .*check host in the configuration/);

# -- addresses of both kinds

# Takes ::1 and that port, and swallows whoever comes.
sub dig_hole
{
	my $port = shift;
	my @all;

	socket my $l, AF_INET6, SOCK_STREAM, 0 or die "socket: $!";
	setsockopt $l, IPPROTO_IPV6, 26, 1 or die "IPV6_V6ONLY: $!";
	bind $l, pack_sockaddr_in6($port, inet_pton(AF_INET6, '::1')) or die "bind: $!";
	listen $l, 0;
	for (1 .. 8) {
		socket my $c, AF_INET6, SOCK_STREAM | 0x800, 0 or die "socket: $!";
		connect $c, pack_sockaddr_in6($port, inet_pton(AF_INET6, '::1'));
		push @all, $c;
	}
	return [ $l, @all ];
}

my @BOTH = ('mail.example.com A' => '127.0.0.1', 'mail.example.com AAAA' => '::1');

begin([ '--name', 'mail.example.com' ]);
write_ini(host => 'mail.example.com:' . $s->port);
names(@BOTH);
goes('where IPv6 is refused, IPv4 is tried at once');

begin([ '--name', 'mail.example.com' ]);
write_ini(host => 'mail.example.com:' . $s->port);
{
	my $hole = dig_hole($s->port);

	names(@BOTH);
	goes('where IPv6 is swallowed, IPv4 is tried a moment later, and the message goes');
	write_ini(host => 'mail.example.com:' . $s->port, family => 'ipv4');
	like(subpost('check')->{out}, qr/^ok       connected to 127\.0\.0\.1 port \d+ /m, 'family = ipv4 does not even ask');
}
{
	my $six = smarthost(args => [ '-6', '-p', $s->port, '--name', 'mail.example.com' ]);

	for my $row ([ 'ipv4', '127.0.0.1' ], [ 'ipv6', '::1' ]) {
		ini(-smarthost => $row->[0] eq 'ipv6' ? $six : $s, smarthost => { host => 'mail.example.com:' . $s->port,
		    port => undef, tls => undef, 'tls-name' => undef, family => $row->[0] });
		like(subpost('check')->{out}, qr/^ok       connected to \Q$row->[1]\E port \d+ .*^ok       logged in/ms,
		    "family = $row->[0] takes the address of that kind");
	}
	ini(-smarthost => $six, identity => { hostname => undef, domain => 'example.net' }, smarthost => { host => '::1', port => $s->port, tls => 'starttls',
	    'tls-name' => 'mail.example.com' });
	for my $row ([ 'S-05', 'localhost' ], [ 'S-05', 'ip-10-0-0-1' ], [ 'S-05', 'a_b.example.com' ], [ 'S-05', 'x' ], [ 'S-05', '10.0.0.1' ]) {
		my ($id, $name) = @$row;
		my $r = run([ 'unshare', '-u', 'sh', '-c', "echo $name > /proc/sys/kernel/hostname && exec $B/subpost check" ]);

		is($r->{status}, 0, "with $name as the machine's name an account works");
		is((reverse $six->dialogue =~ /^C: EHLO (.*)$/mg)[0], '[IPv6:::1]', "$id, S-06: EHLO gives an address literal, not that");
	}
	run([ 'unshare', '-u', 'sh', '-c', "hostname client7.example.net && exec $B/subpost check" ]);
	is((reverse $six->dialogue =~ /^C: EHLO (.*)$/mg)[0], 'client7.example.net', 'S-05: the machine\'s name where it is one');
	ini(-smarthost => $s, identity => { hostname => undef, domain => 'example.net' }, smarthost => { 'tls-name' => 'mail.example.com' });
	run([ 'unshare', '-u', 'sh', '-c', "hostname localhost && exec $B/subpost check" ]);
	is((reverse $s->dialogue =~ /^C: EHLO (.*)$/mg)[0], '[127.0.0.1]', 'S-05: and for IPv4 its literal');
	ini(-smarthost => $s, identity => { hostname => undef, domain => 'example.net' }, smarthost => { 'tls-name' => 'mail.example.com', source => '127.0.0.9' });
	run([ 'unshare', '-u', 'sh', '-c', "hostname localhost && exec $B/subpost check" ]);
	is((reverse $s->dialogue =~ /^C: EHLO (.*)$/mg)[0], '[127.0.0.9]', 'source is the address that we call from, and its literal is the one that we give');
	ini(-smarthost => $s, smarthost => { 'tls-name' => 'mail.example.com', source => '192.0.2.1' });
	my $r = subpost('check');
	like("$r->{status} $r->{err}", qr/\A75 subpost: cannot reach 127\.0\.0\.1:\d+: .*is source an address of this machine\?/, 'one that this machine does not have is told as that');
}

done_testing;
