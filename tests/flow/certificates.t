# Which certificates are believed: a small zoo of them, each tried by `subpost check`,
# which is the courier's own way.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use Witness;
use MIME::Base64 'decode_base64';

time_limit(240);

my $s;

# A server with that certificate, asked for by that name; what check says.
sub try
{
	my ($kind, $name, %keys) = @_;
	my @args = ref $kind ? @$kind : ('--cert', $kind);

	$s->stop if $s;
	$s = smarthost(args => \@args);
	ini(smarthost => { 'tls-name' => $name, %keys });
	return subpost('check');
}

sub raw
{
	return join '', map { slurp($_) // '' } glob $s->dir . '/raw.*';
}

sub believed
{
	my ($r, $what) = @_;

	return like("$r->{status} $r->{err}$r->{out}", qr/\A0 .*^ok       encrypted .*^ok       logged in/ms, $what);
}

# It is not: 75, in a line that says why, and nothing was said.
sub refused
{
	my ($r, $reason, $what) = @_;

	return like("$r->{status} $r->{err}", qr/\A75 subpost: [^\n]*$reason[^\n]*\n\z/, $what) &&
	    unlike(raw(), qr/AUTH|MAIL/, '  and nothing was said to it');
}

# promise, kind, name asked for, reason (none: believed)
my @ZOO = (
	[ 'X-03, D3: a good one is believed', 'good', 'localhost' ],
	[ 'X-13: the name that is configured counts, not the address that is called', 'good', 'mail.example.com',
	    qr/is for localhost, 127\.0\.0\.1 and not for mail\.example\.com; .*tls-name/ ],
	[ 'D3: a wrong name is refused, and the right ones are told', 'wrong-name', 'localhost',
	    qr/is for wrong\.example\.org and not for localhost/ ],
	[ 'D3, D10: one that has expired is refused, with its date and our clock', 'expired', 'localhost',
	    qr/expired on 20\d\d-\S+ \(this machine's clock says 20\d\d-\S+\)/ ],
	[ 'D3, D10: one that is not valid yet, likewise', 'not-yet', 'localhost',
	    qr/not valid before 20\d\d-\S+ \(this machine's clock says 20\d\d-\S+\).*check this machine's clock/ ],
	[ 'D3: a self-signed one is refused', 'self-signed', 'localhost', qr/is self-signed and not in \S+ca\.pem/ ],
	[ 'D3: one of an unknown CA is refused, and the CA is named', 'unknown-ca', 'localhost',
	    qr/was issued by CN=smarthost test stranger, which is not in \S+ca\.pem \(.*tls-ca-file/ ],
	[ 'X-13: a name in the CN alone is none', 'no-san', 'localhost', qr/only in its CN: localhost/ ],
	[ 'X-15: an address in the subjectAltName is believed', 'ip-san', '127.0.0.1' ],
	[ 'X-15: another address is not', 'ip-san', '127.0.0.2', qr/is for 127\.0\.0\.1 and not for 127\.0\.0\.2/ ],
	[ 'X-15: an address is not a name', 'ip-san', 'localhost', qr/is for 127\.0\.0\.1 and not for localhost/ ],
	[ 'X-15: an address in the CN is none', 'ip-in-cn', '127.0.0.1', qr/only in its CN: 127\.0\.0\.1/ ],
	[ 'D4: a NUL does not end a name', 'nul-in-name', 'localhost', qr/not for localhost/ ],
	[ 'X-14, D5: a wildcard stands for one label', 'wildcard', 'a.example.com' ],
	[ 'X-14, D5: not for two', 'wildcard', 'a.b.example.com', qr/is for \*\.example\.com and not for a\.b\.example\.com/ ],
	[ 'X-14, D5: and not for none', 'wildcard', 'example.com', qr/not for example\.com/ ],
	[ 'X-14, D5: nor for a part of one', 'wildcard-part', 'foo.example.com', qr/not for foo\.example\.com/ ],
	[ 'X-14, D5: a wildcard alone is for nobody', 'wildcard-all', 'localhost', qr/not for localhost/ ],
	[ 'X-14, D5: two of them are none', 'wildcard-two', 'a.b.example.com', qr/not for a\.b\.example\.com/ ],
	[ 'X-14, D5: none takes in all of a top-level domain', 'wildcard-tld', 'example.com', qr/not for example\.com/ ],
	[ 'X-14, D5: and none an address', 'wildcard-all', '127.0.0.1', qr/certificate of 127\.0\.0\.1/ ],
	[ 'D3: a weak key is refused', 'weak-key', 'localhost', qr/too weak \(its key: RSA, 1024 bits/ ],
	[ 'D3: a weak signature is refused', 'sha1-signature', 'localhost', qr/too weak .*SHA1/ ],
	[ 'D3: one for clients is refused', 'wrong-purpose', 'localhost', qr/was not issued for servers/ ],
	[ 'D3: demands that we do not know are not passed over', 'critical', 'localhost', qr/not understood here/ ],
	[ 'D3: who is no CA cannot issue', 'ca-false-issuer', 'localhost', qr/may not sign others/ ],
	[ 'D3: nor a CA outside its names', 'name-constraint', 'localhost', qr/is not what its issuer may issue/ ],
	[ 'D3: a chain over an intermediate is believed', 'intermediate', 'localhost' ],
	[ 'D3: without the intermediate it is not', 'missing-intermediate', 'localhost',
	    qr/was issued by CN=smarthost test intermediate CA, which is not in/ ],
	[ 'D3: certificates in a wrong order are believed', 'wrong-order', 'localhost' ],
	[ 'D3: certificates too many are no matter', 'extra-certs', 'localhost' ],
);

for my $row (@ZOO) {
	my ($promise, $kind, $name, $reason) = @$row;
	my $r = try($kind, $name);

	$reason ? refused($r, $reason, $promise) : believed($r, $promise);
}

# -- who is asked for

for my $row ([ 'localhost', 'localhost' ], [ 'mail.example.com', 'mail.example.com' ], [ '127.0.0.1', undef ]) {
	my ($name, $sni) = @$row;

	try([ '--name', $name, '--name', 'localhost' ], $name);
	is(($s->dialogue =~ /^-- sni \d+ (.*)$/m)[0], $sni, "X-16: SNI for $name is " . ($sni // 'not sent, for an address is no name'));
}

# -- pins

{
	my $first = try('self-signed', 'localhost')->{err};

	chomp(my $pin = $s->file('pin'));
	like($first, qr/\(its key is \Q$pin\E\).*put that into tls-pin/, 'of what nobody has signed the key is printed, to be confirmed and copied');
	my $hex = 'sha256:' . unpack 'H*', decode_base64($pin =~ s/^sha256://r);
	my $other = 'sha256:' . 'ab' x 32;

	for my $row ([ 'self-signed', $pin ], [ 'of nobody whom we know, and in hexadecimal', $hex ],
	    [ 'one of a list', "$other $pin" ]) {
		ini(smarthost => { 'tls-pin' => $row->[1], 'tls-ca-file' => undef, 'tls-name' => 'any.example.com' });
		my $r = subpost('check');
		like("$r->{status} $r->{err}$r->{out}", qr/\A0 .*the key is one of tls-pin .*^ok       logged in/ms,
		    "a pinned key suffices ($row->[0]): neither chain nor name counts");
	}
	ini(smarthost => { 'tls-pin' => $pin, 'tls-ca-file' => '/nonexistent', 'tls-name' => undef });
	is(subpost('check')->{status}, 0, 'and no trust store is opened for it');
	try('self-signed', 'localhost', 'tls-pin' => $other);
	chomp($pin = $s->file('pin'));
	my $r = subpost('check');
	refused($r, qr/the public key of localhost is \Q$pin\E, which tls-pin does not name/,
	    'D3: a pin that fits no key: the key that was shown is printed, to copy');
	try('good', 'localhost', 'tls-pin' => $other);
	refused(subpost('check'), qr/which tls-pin does not name/, 'and no chain, however good, makes up for it');
	for my $kind ('expired', 'weak-key', 'wrong-name') {
		try($kind, 'localhost');
		chomp(my $own = $s->file('pin'));
		ini(smarthost => { 'tls-pin' => $own, 'tls-ca-file' => undef });
		is(subpost('check')->{status}, 0, "a pinned key with a certificate that is '$kind' suffices");
	}
	for my $bad ('sha256:abcd', "sha1:$hex", 'pinned', $hex . '00') {
		ini(smarthost => { 'tls-pin' => $bad });
		like(subpost('check')->{err}, qr/:\d+: tls-pin must be sha256: and /, "tls-pin = $bad is an error of the file");
	}
}

# -- the last days

{
	my $r = try('ends-soon', 'localhost');

	believed($r, 'a certificate in its last days is believed');
	like($r->{out}, qr/^note     the certificate of localhost ends on 20\d\d-\S+, in (?:9|10) days; the provider should renew it/m,
	    'and check warns of it');
	is(sendmail([ 'bob@example.org' ], "Subject: x\n\nbody\n")->{status}, 0, 'mail goes');
	ok($s->wait_messages(1) && log_has(qr/the certificate of localhost ends on 20\d\d-\S+, in (?:9|10) days/),
	    'and the log has the warning, too');
	$r = try('good', 'localhost');
	unlike($r->{out}, qr/^note/m, 'two months before its end nobody is warned');
	like($r->{out}, qr/^ok       encrypted with TLS 1\.3, \S+, certificate good for localhost until 20\d\d-/m,
	    'but check shows the date');
}

# -- our own

{
	my @keys;
	my $own = "$HOME/own";

	try([ '--client-cert' ], 'localhost');
	isnt(subpost('check')->{status}, 0, 'a server that wants to see our certificate, and we have none: refused');
	@keys = ('tls-cert-file' => "$own.pem", 'tls-key-file' => "$own.key");
	spew("$own.pem", $s->file('client.pem'), 0644);
	spew("$own.key", $s->file('client.key'), 0600);
	for my $version ('1.2', '1.3') {
		try([ '--client-cert', '--priority', "NORMAL:-VERS-ALL:+VERS-TLS$version" ], 'localhost');
		spew("$own.pem", $s->file('client.pem'), 0644);
		spew("$own.key", $s->file('client.key'), 0600);
		ini(smarthost => { @keys });
		believed(subpost('check'), "tls-cert-file and tls-key-file: it is shown (TLS $version)");
		like($s->dialogue, qr/^-- client \d+ CN=user\@example\.net$/m, 'and the server knows who we are');
	}
	my $good = slurp("$own.key");
	my $other = smarthost();
	my $another = $other->file('client.key');
	$other->stop;
	for my $row (
	    [ 'others may read', sub { chmod 0644, "$own.key" }, qr/tls-key-file \S+own\.key \(.*mode 0644\) is open to others; run: chmod 0600/ ],
	    [ 'is not there', sub { unlink "$own.key" }, qr/tls-key-file \S+ is not there; write the private key into it/ ],
	    [ 'is a directory', sub { unlink "$own.key"; mkdir "$own.key" }, qr/is not a regular file; name a file that holds the private key/ ],
	    [ 'is another one', sub { spew("$own.key", $another, 0600) },
	        qr/is not the key of the certificate in tls-cert-file/ ],
	    [ 'is none', sub { spew("$own.key", "no key\n", 0600) }, qr/cannot be used: .*PEM/ ],
	) {
		my ($what, $spoil, $reason) = @$row;

		rmdir "$own.key";
		spew("$own.key", $good, 0600);
		$spoil->();
		ini(-smarthost => $s, smarthost => { @keys });
		my $before = connections($s);
		like(subpost('check')->{err}, $reason, "a key file that $what is told as that");
		is(connections($s), $before, '  and nobody is called');
	}
	spew("$own.key", $good, 0600);
	unlink "$own.pem";
	like(subpost('check')->{err}, qr/cannot read tls-cert-file \S+own\.pem: No such file/, 'so is a certificate that is not there');
}

done_testing;
