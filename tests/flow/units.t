# What a machine is given to run the service: units, account, directories and a profile,
# as they are once installed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Cwd 'abs_path';

my $ROOT = abs_path("$FindBin::Bin/../..");
my $D = "$T/installed";

# The programs as they were built, in a copy of the tree, so that nothing is made anew.
my @make = ('make', '-s', '-C', $ROOT, '-o', 'all', "B=$B", "DESTDIR=$D", 'PREFIX=/opt/sub post', 'SYSCONFDIR=/opt/etc');
@make = map { s/sub post/subpost/r } @make;
my $r = run([ @make, 'install' ]);
is("$r->{status}$r->{err}", '0', 'all is installed');

ok(-d "$D/opt/etc/subpost", 'the password has a directory to be put into');
my $system = "$D/opt/subpost/lib/systemd/system";
my %text = map { $_ => slurp("$D/opt/$_") // '' } qw(subpost/lib/systemd/system/subpost.service
    subpost/lib/systemd/system/subpost.socket subpost/lib/sysusers.d/subpost.conf
    subpost/lib/tmpfiles.d/subpost.conf etc/apparmor.d/subpost);
my $service = $text{'subpost/lib/systemd/system/subpost.service'};
my $socket = $text{'subpost/lib/systemd/system/subpost.socket'};

is(join(' ', grep { $text{$_} eq '' } sort keys %text), '', 'every file is there');
is(join(' ', grep { $text{$_} =~ /\@\w+dir\@/ } sort keys %text), '', 'and names the places where things are');
like($service, qr{^ExecStart=/opt/subpost/sbin/subpostd --service$}m, 'the unit starts the program that was installed');
like($text{'etc/apparmor.d/subpost'}, qr{^\s*/opt/subpost/libexec/subpost/subpost-courier mrix,$}m, 'and so does the profile');

# The value of a key; of one that is there several times all of them.
sub value
{
	my ($text, $key) = @_;

	return join ' | ', $text =~ /^\Q$key\E=(.*)$/mg;
}

for (
	[ $service, 'User', qr/^subpost$/, 'it has an account of its own' ],
	[ $service, 'Type', qr/^notify$/, 'and says when it is ready' ],
	[ $service, 'PrivateUsers', qr/^$/, 'callers keep their uids: there is no user namespace' ],
	[ $service, 'DynamicUser', qr/^$/, 'and the account is always the same' ],
	[ $service, 'PrivateMounts', qr/^yes$/, 'its mounts are its own' ],
	[ $service, 'KillMode', qr/^mixed$/, 'on a stop the service alone is asked to leave' ],
	[ $service, 'TimeoutStopSec', qr/^(?:1[1-9]|[2-9]\d)min$/, 'and has longer than a final dot may take' ],
	[ $service, 'StateDirectory', qr/^subpost$/, 'its queue is in /var/lib' ],
	[ $service, 'StateDirectoryMode', qr/^0700$/, 'for nobody else' ],
	[ $service, 'RuntimeDirectory', qr/^$/, 'a stop does not take the directory of the socket away' ],
	[ $service, 'Restart', qr/^on-failure$/, 'when it dies it is started again' ],
	[ $service, 'WatchdogSec', qr/^$/, 'and nothing wakes it to see whether it lives' ],
	[ $socket, 'ListenStream', qr{^/run/subpost/socket$}, 'the socket is where everybody looks' ],
	[ $socket, 'SocketMode', qr/^0666$/, 'everybody may call' ],
	[ $socket, 'RemoveOnStop', qr/^(?:no)?$/, 'and it stays' ],
) {
	my ($text, $key, $want, $promise) = @$_;

	like(value($text, $key), $want, "$key: $promise");
}
{
	my %families = map { $_ => 1 } split ' ', value($service, 'RestrictAddressFamilies');

	is(join(' ', grep { !$families{$_} } qw(AF_UNIX AF_INET AF_INET6 AF_NETLINK)), '', 'it may talk to callers and smarthosts');
	like($text{'subpost/lib/tmpfiles.d/subpost.conf'}, qr{^d /run/subpost 0755 root root -$}m, 'the directory of the socket is made at boot');
	like($text{'subpost/lib/sysusers.d/subpost.conf'}, qr{^u subpost - }m, 'and the account');
}

# -- what their own programs say

sub has { return run([ 'sh', '-c', 'command -v "$1"', 'sh', shift ])->{status} == 0 }

SKIP: {
	skip 'systemd-analyze is not here', 3 if !has('systemd-analyze');
	my @units = map { "$system/subpost.$_" } qw(service socket);

	# It looks whether the program is there, and at the account not at all.
	s{^ExecStart=\K(?=/)}{$D}m, spew($units[0], $_) for $service;
	# By its words, because its status counts what is wrong in other units too.
	$r = run([ 'systemd-analyze', 'verify', '--man=no', @units ]);
	is(join("\n", grep { /subpost/ } split /\n/, $r->{err}), '', 'systemd-analyze verify finds nothing');
	$r = run([ 'systemd-analyze', 'security', '--offline=true', $units[0] ]);
	my ($score) = $r->{out} =~ /Overall exposure level for subpost\.service: ([\d.]+)/;

	ok(defined $score, 'systemd-analyze security has a score for it') or diag("$r->{out}$r->{err}");
	diag('exposure of subpost.service: ' . ($score // 'unknown'));
	cmp_ok($score // 10, '<=', 1.5, 'of at most 1.5');
}
SKIP: {
	skip 'apparmor_parser is not here', 1 if !has('apparmor_parser');
	$r = run([ 'apparmor_parser', '-QTK', "$D/opt/etc/apparmor.d/subpost" ]);
	is($r->{status}, 0, 'apparmor_parser takes the profile') or diag($r->{err});
}
SKIP: {
	skip 'systemd-sysusers and systemd-tmpfiles are not here, or we are not root', 2
	    if $> != 0 || !has('systemd-sysusers') || !has('systemd-tmpfiles');
	my $root = "$T/root";

	spew("$root/etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0644);
	spew("$root/etc/group", "root:x:0:\n", 0644);
	$r = run([ 'systemd-sysusers', "--root=$root", "$D/opt/subpost/lib/sysusers.d/subpost.conf" ]);
	my ($uid) = slurp("$root/etc/passwd") =~ m{^subpost:[^:]*:(\d+):\d+:[^:]*:/var/lib/subpost:}m;
	ok($uid, 'systemd-sysusers makes the account') or diag($r->{err});
	$r = run([ 'systemd-tmpfiles', '--create', "--root=$root", "$D/opt/subpost/lib/tmpfiles.d/subpost.conf" ]);
	is(join(' ', map { sprintf '%o:%d', $_->[2] & 07777, $_->[4] } [ stat "$root/run/subpost" ], [ stat "$root/var/lib/subpost" ]),
	    '755:0 700:' . ($uid // '?'), 'systemd-tmpfiles makes the directories') or diag($r->{err});
}

$r = run([ @make, 'uninstall' ]);
is($r->{status}, 0, 'and uninstalled');
is(join(' ', grep { -f || -l } map { s/\n//r } `find \Q$D\E`), '', 'nothing is left');
ok(!-e "$D/opt/etc/subpost" && !-e "$D/opt/subpost/libexec" && !-e "$D/opt/subpost/lib/systemd", 'nor what is empty then');

done_testing;
