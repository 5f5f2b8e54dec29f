# Wire: an independent, strict reader of what a client and a server said.  It shares
# nothing with the program: it was written from the RFCs, which it names.
#
#	use Wire;
#	is(join("\n", wire_faults(slurp($path))), '', 'nothing on the wire is wrong');
#
# wire_faults(RECORDING, OPTIONS) reads a recording of the scripted smarthost (its
# file wire.N; smarthost.c says how it is written) and answers a list of the client's
# faults, "RULE: words (element N)", N counting what asks for a reply from 1.  RULE
# is the row of the conformance list that forbids it, where there is one.  Options:
#	depth => N      transactions under way at one time (pipeline-depth), 1
#	clear => 1      there is no TLS, and none was meant: a login in clear is none of ours
#	may_die => 1    somebody kills the client: it need not say QUIT
#
# What a recording can tell is what was sent before an answer was given, and never
# what had been read: so nothing is called a fault that may have been said in time.
# Where the server breaks a rule first (a reply that is none, one too many, 421, a
# close), the client owes it nothing but silence: it may hang up without QUIT.
package Wire;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(wire_faults wire_stats);

use constant {
	COMMAND_MAX => 512,             # RFC 5321 4.5.3.1.4, CRLF included
	AUTH_MAX => 12288,              # RFC 4954 4
	TEXT_LINE_MAX => 998,           # RFC 5321 4.5.3.1.6, without CRLF and stuffing
};

# -- grammar (RFC 5321 4.1.2, 4.1.3; RFC 6531 3.3 adds what is not ASCII)

my $utf8 = qr/(?:[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})/;
my $atext = qr/(?:[A-Za-z0-9!#\$%&'*+\-\/=?^_`{|}~]|$utf8)/;
my $dot_string = qr/$atext+(?:\.$atext+)*/;
my $quoted = qr/"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|$utf8|\\[\x20-\x7e])*"/;
my $label = qr/(?:[A-Za-z0-9]|$utf8)(?:(?:[A-Za-z0-9\-]|$utf8)*(?:[A-Za-z0-9]|$utf8))?/;
my $domain = qr/$label(?:\.$label)*/;
my $number = qr/(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)/;
my $ipv4 = qr/$number(?:\.$number){3}/;
my $literal = qr/\[(?:$ipv4|IPv6:[0-9A-Fa-f:.]+)\]/;
my $mailbox = qr/(?:$dot_string|$quoted)\@(?:$domain|$literal)/;
my $xtext = qr/(?:[!-*,-<>-~]|\+[0-9A-F]{2})*/;
my $base64 = qr{(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?};

# The parameters: who offers it, what it may say, how much longer the line may be.
my %mail_parameters = (
	SIZE => [ 'SIZE', qr/\d{1,20}/, 26 ],
	BODY => [ undef, qr/7BIT|8BITMIME|BINARYMIME/, 17 ],
	SMTPUTF8 => [ 'SMTPUTF8', undef, 10 ],
	RET => [ 'DSN', qr/FULL|HDRS/, 0 ],
	ENVID => [ 'DSN', qr/$xtext/, 125 ],
	AUTH => [ 'AUTH', qr/$xtext/, 500 ],
	REQUIRETLS => [ 'REQUIRETLS', undef, 11 ],
	HOLDFOR => [ 'FUTURERELEASE', qr/\d{1,9}/, 34 ],
	HOLDUNTIL => [ 'FUTURERELEASE', qr/\d{4}-\d\d-\d\dT[\d:]{8}(?:Z|[+-]\d\d:\d\d)/, 34 ],
	BY => [ 'DELIVERBY', qr/-?\d{1,9};[RN]T?/, 17 ],
	'MT-PRIORITY' => [ 'MT-PRIORITY', qr/-?\d/, 15 ],
);
my %rcpt_parameters = (
	NOTIFY => [ 'DSN', qr/NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}/, 28 ],
	ORCPT => [ 'DSN', qr/[A-Za-z0-9-]+;(?:$xtext|(?:$utf8|[!-*,-<>-~]|\+[0-9A-F]{2}|\\x\{[0-9A-F]+\})*)/, 500 ],
);

# The verbs: how each is read, and whether nothing may follow it in its group
# (RFC 2920 3.1, RFC 3207 4, RFC 4954 4).
my %verbs = (
	EHLO => [ \&ehlo, 1 ], HELO => [ \&ehlo, 1 ], STARTTLS => [ \&starttls, 1 ], AUTH => [ \&auth, 1 ],
	MAIL => [ \&mail, 0 ], RCPT => [ \&rcpt, 0 ], DATA => [ \&data, 1 ], BDAT => [ \&bdat, 0 ],
	RSET => [ \&rset, 0 ], NOOP => [ \&noop, 1 ], QUIT => [ \&quit, 1 ],
);

# -- the reading

sub wire_faults
{
	return @{ walk(@_)->{faults} };
}

# What went over the wire in all: a hash of counts (commands, auths, transactions,
# chunks, texts, most: transactions that were under way at one time).
sub wire_stats
{
	return walk(@_)->{count};
}

sub walk
{
	my ($recording, %options) = @_;
	my $w = {
		depth => $options{depth} // 1, clear => $options{clear} // 0, may_die => $options{may_die} // 0,
		faults => [], count => { commands => 0, transactions => 0, auths => 0, chunks => 0, texts => 0, most => 0 },
		heard => '',                    # of the client, not yet taken apart
		said => '',                     # of the server, likewise
		waiting => [ { verb => 'greeting' } ],          # what asks for a reply
		element => 0, offers => {}, secure => 0, mode => 'command',
	};

	while (length $recording) {
		if ($recording =~ s/\A([<>]) (\d+)\n//) {
			my ($way, $octets) = ($1, substr $recording, 0, $2, '');

			substr $recording, 0, 1, '';
			$way eq '>' ? hear($w, $octets) : answer($w, $octets);
		} elsif ($recording =~ s/\A(tls|end|lost|close)\n//) {
			event($w, $1);
		} else {
			# The smarthost was stopped in the middle of an entry, which is its own end.
			last;
		}
	}
	return $w;
}

sub fault
{
	my ($w, $rule, $words) = @_;

	push @{ $w->{faults} }, "$rule: $words (element $w->{element})";
}

sub shown
{
	return substr(shift, 0, 60) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
}

sub event
{
	my ($w, $what) = @_;

	if ($what eq 'tls') {
		@$w{qw(heard said mode)} = ('', '', 'command');
		@$w{qw(offers extended logged_in login_failed)} = ({});
		$w->{secure} = 1;
		$w->{fresh_tls} = 1;
		delete $w->{expects_tls};
	} elsif ($what eq 'close') {
		$w->{server_closed} = 1;
	} else {
		over($w, $what);
	}
}

# The client has gone.
sub over
{
	my ($w, $how) = @_;

	return if $w->{is_over}++;
	fault($w, 'S-11', 'the last line has no end: ' . shown($w->{heard}))
	    if length $w->{heard} && !$w->{excused} && !$w->{server_closed} && $w->{mode} ne 'text' && !$w->{stopped} && !$w->{may_die};
	return if $w->{excused} || $w->{server_closed} || $w->{expects_tls} || $w->{may_die};
	fault($w, 'S-28', 'the client closes without QUIT') if !$w->{quit} && $w->{greeted};
	fault($w, 'S-28', 'the client does not wait for the answer to QUIT')
	    if $w->{quit} && grep { $_->{verb} eq 'QUIT' } @{ $w->{waiting} };
}

# The server breaks off, or a rule: whatever else comes, the client may hang up.
sub excuse
{
	shift->{excused} = 1;
}

# From here on nobody can say which reply is whose: nothing more is judged.
sub lose_step
{
	my $w = shift;

	excuse($w);
	$w->{stopped} = 1;
}

# -- the client's words

sub hear
{
	my ($w, $octets) = @_;

	# A handshake that the other end does not understand is no word of ours.
	return lose_step($w) if $w->{expects_tls} || $octets =~ /\A\x16\x03[\x00-\x04]/;
	fault($w, 'S-01', 'spoke before the greeting') if !$w->{greeted} && !$w->{excused} && !$w->{spoke_early}++;
	return fault($w, 'S-28', 'spoke after QUIT: ' . shown($octets)) if $w->{quit} && !$w->{stopped};
	$w->{heard} .= $octets;
	consume($w);
}

# Takes apart what is here, as far as it can be understood without another reply.
sub consume
{
	my $w = shift;

	while (length $w->{heard}) {
		return if $w->{stopped};
		if ($w->{mode} eq 'text') {
			take_text($w) or return;
		} elsif ($w->{mode} eq 'chunk') {
			take_chunk($w) or return;
		} else {
			my $last = $w->{waiting}[-1];

			# Nothing may follow these until they are answered: here something does.
			if ($last && $last->{closes_group}) {
				$last->{followed}++ or fault($w, $last->{verb} eq 'BDAT' ? 'E-13' : $w->{offers}{PIPELINING} ? 'E-04' : 'E-09',
				    "something follows $last->{verb} before its answer: " . shown($w->{heard}));
				return;
			}
			$w->{heard} =~ s/\A([^\n]*\n)// or return too_long($w);
			take_line($w, $1);
		}
	}
}

sub too_long
{
	my $w = shift;

	return if length $w->{heard} <= AUTH_MAX + 2 || $w->{stopped};
	fault($w, 'L-05', 'a line without an end');
	$w->{stopped} = 1;
}

sub take_line
{
	my ($w, $line) = @_;

	$w->{element}++;
	$w->{count}{commands}++;
	fault($w, 'S-11', 'a command before the one before it was answered, and PIPELINING is not offered')
	    if @{ $w->{waiting} } && !$w->{offers}{PIPELINING} && $w->{greeted} && !$w->{excused};
	$line =~ s/\r\n\z// or $line =~ s/\n\z// && fault($w, 'L-01', 'a line that does not end with CRLF: ' . shown($line));
	fault($w, 'L-01', 'CR or LF in a command: ' . shown($line)) if $line =~ /[\r\n]/;
	return auth_response($w, $line) if $w->{mode} eq 'auth';
	fault($w, 'L-11', 'a control octet in a command: ' . shown($line)) if $line =~ /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/;

	my ($verb, $rest) = $line =~ /\A([A-Za-z]+)(.*)\z/s ? (uc $1, $2) : ('', '');
	my $how = $verbs{$verb};

	if (!$how) {
		fault($w, $w->{data_refused} ? 'S-23' : 'S-03', 'not a command: ' . shown($line));
		$w->{stopped} = $w->{data_refused};
		return wait_for($w, verb => 'unknown', closes_group => 1);
	}
	delete $w->{data_refused};
	fault($w, 'S-03', "$verb before EHLO")
	    if !$w->{helloed} && $verb !~ /\A(?:EHLO|HELO|NOOP|QUIT|RSET)\z/ && !$w->{rude}++;
	fault($w, 'X-09', "$verb is the first command in TLS") if $w->{fresh_tls} && $verb ne 'EHLO' && $verb ne 'QUIT';
	delete $w->{fresh_tls};
	# What belongs to a group may have been on its way when the server said so.
	fault($w, 'S-19', "$verb after the server said 421")
	    if $w->{closing} && $verb ne 'QUIT' && ($how->[1] || !$w->{offers}{PIPELINING});
	fault($w, 'L-11', 'octets over 127 outside SMTPUTF8: ' . shown($line))
	    if $line =~ /[\x80-\xff]/ && !($verb eq 'MAIL' || $verb eq 'RCPT');
	fault($w, 'E-12', "$verb after a chunk that was not the last")
	    if $w->{chunks_open} && $verb !~ /\A(?:BDAT|RSET|QUIT|NOOP)\z/;
	$how->[0]->($w, $rest, length($line) + 2, $verb);
}

sub wait_for
{
	my ($w, %element) = @_;
	my $e = { %element, number => $w->{element} };

	$e->{closes_group} //= $verbs{ $e->{verb} } ? $verbs{ $e->{verb} }[1] : 0;
	push @{ $w->{waiting} }, $e;
	return $e;
}

sub bare
{
	my ($w, $rest, $verb) = @_;

	fault($w, 'S-09', "$verb with something behind it: " . shown($rest)) if $rest ne '';
}

sub long
{
	my ($w, $length, $limit, $verb, $rule) = @_;

	fault($w, $rule // 'L-05', "$verb of $length octets, where $limit are allowed") if $length > $limit;
}

sub ehlo
{
	my ($w, $rest, $length, $verb) = @_;

	$rest =~ /\A (?:$domain|$literal)\z/ && $rest !~ /[\x80-\xff]/ or
	    fault($w, 'S-05', "$verb" . shown($rest) . ' names no host');
	long($w, $length, COMMAND_MAX, $verb);
	fault($w, 'S-04', 'HELO without an EHLO before it') if $verb eq 'HELO' && !$w->{ehlo_refused};
	fault($w, 'S-04', 'HELO inside TLS or after a login') if $verb eq 'HELO' && ($w->{secure} || $w->{logged_in});
	$w->{helloed} = 1;
	end_transaction($w);
	wait_for($w, verb => $verb);
}

sub starttls
{
	my ($w, $rest, $length) = @_;

	bare($w, $rest, 'STARTTLS');
	fault($w, 'X-10', 'STARTTLS inside TLS') if $w->{secure};
	fault($w, 'X-07', 'STARTTLS, which was not offered') if !$w->{offers}{STARTTLS};
	wait_for($w, verb => 'STARTTLS');
}

# RFC 4954 4.
sub auth
{
	my ($w, $rest, $length) = @_;
	my ($mechanism, $initial) = $rest =~ /\A ([A-Z0-9_-]{1,20})(?: (\S+))?\z/;

	$w->{count}{auths}++;
	defined $mechanism or fault($w, 'A-01', 'AUTH is misspelt: ' . shown($rest)), $mechanism = '';
	long($w, $length, COMMAND_MAX, 'AUTH', 'A-01');
	fault($w, 'A-01', 'an initial response that is not base64')
	    if defined $initial && $initial ne '=' && ($initial !~ /\A$base64\z/ || $initial eq '');
	fault($w, 'A-25', "AUTH $mechanism, which was not offered")
	    if !grep { uc eq $mechanism } split ' ', $w->{offers}{AUTH} // '';
	fault($w, 'A-07', 'AUTH after a login') if $w->{logged_in};
	fault($w, 'A-07', 'AUTH inside a transaction') if $w->{transaction};
	fault($w, 'A-10', 'AUTH again after 535 on this connection') if $w->{login_refused};
	fault($w, 'A-09', "AUTH $mechanism outside TLS") if !$w->{secure} && !$w->{clear};
	wait_for($w, verb => 'AUTH', mechanism => $mechanism);
}

sub auth_response
{
	my ($w, $line) = @_;

	$w->{mode} = 'command';
	fault($w, 'A-06', 'a response of ' . length($line) . ' octets') if length $line > AUTH_MAX;
	fault($w, 'A-03', 'a response that is not base64') if $line ne '*' && $line !~ /\A$base64\z/;
	wait_for($w, verb => 'AUTH', cancelled => $line eq '*', closes_group => 1);
}

# Parameters, each offered and well-formed; what they mean, and how much longer
# the line may be for them.
sub parameters
{
	my ($w, $verb, $text, $table) = @_;
	my (%got, $more);

	$more = 0;
	for my $offered (values %$table) {
		$more += $offered->[2] if !defined $offered->[0] || $w->{offers}{ $offered->[0] };
	}
	while (length $text) {
		my ($name, $value) = $text =~ s/\A ([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^= \0-\x1f\x7f]*(?:=[^= \0-\x1f\x7f]*)*))?//
		    ? (uc $1, $2) : ();

		if (!defined $name) {
			fault($w, 'S-08', "$verb is misspelt: " . shown($text));
			last;
		}
		my $rule = $table->{$name};
		if (!$rule) {
			fault($w, 'S-10', "$verb with $name, which nobody has heard of");
			next;
		}
		my $offer = $rule->[0] // (($value // '') eq 'BINARYMIME' ? 'BINARYMIME' : '8BITMIME');

		fault($w, 'S-10', "$verb with $name, but $offer was not offered") if !exists $w->{offers}{$offer};
		fault($w, 'S-08', "$verb with $name twice") if exists $got{$name};
		fault($w, 'S-08', "$verb with a $name that is none: " . shown($value // ''))
		    if defined $rule->[1] ? !defined $value || $value !~ /\A$rule->[1]\z/i : defined $value;
		$got{$name} = $value;
	}
	return (\%got, COMMAND_MAX + $more);
}

sub mail
{
	my ($w, $rest, $length) = @_;
	my ($path, $text) = $rest =~ /\A FROM:<((?:$quoted|[^>"])*)>(.*)\z/si;

	fault($w, 'S-27', 'MAIL while a transaction is open') if $w->{transaction} && !$w->{transaction}{refused};
	fault($w, 'A-11', 'MAIL after a login that failed') if $w->{count}{auths} && !$w->{logged_in};
	if (!defined $path) {
		fault($w, 'S-08', 'MAIL is misspelt: ' . shown($rest));
		($path, $text) = ('', '');
	}
	fault($w, 'L-16', 'the sender is no mailbox: ' . shown($path)) if $path ne '' && $path !~ /\A$mailbox\z/;
	my ($got, $limit) = parameters($w, 'MAIL', $text, \%mail_parameters);

	long($w, $length, $limit, 'MAIL');
	fault($w, 'E-16', 'MAIL has octets over 127 without SMTPUTF8') if $path =~ /[\x80-\xff]/ && !exists $got->{SMTPUTF8};
	fault($w, 'E-26', 'REQUIRETLS outside TLS') if exists $got->{REQUIRETLS} && !$w->{secure};
	fault($w, 'E-27', 'HOLDFOR and HOLDUNTIL at once') if exists $got->{HOLDFOR} && exists $got->{HOLDUNTIL};
	fault($w, 'A-13', 'AUTH= on MAIL, which says what nobody asked') if exists $got->{AUTH};
	$w->{mails}++;
	my $most = limit_of($w, 'MAILMAX');
	fault($w, 'E-30', "MAIL number $w->{mails}, where MAILMAX is $most") if $most && $w->{mails} > $most;
	$w->{count}{transactions}++;
	$w->{transaction} = { size => $got->{SIZE}, body => uc($got->{BODY} // ''), utf8 => exists $got->{SMTPUTF8},
		to => 0, refused_to => 0, octets => 0, domains => {} };
	wait_for($w, verb => 'MAIL', transaction => $w->{transaction});
	under_way($w);
}

# No more transactions than the depth allows, from MAIL to its last reply; the one
# whose text was ended may overlap with one that only begins (RFC 2920 3.1).
sub under_way
{
	my $w = shift;
	my $ended = grep { $_->{ends_text} } @{ $w->{waiting} };

	$w->{count}{most} = $ended if $ended > $w->{count}{most};
	fault($w, 'E-13', "$ended messages are in doubt at once, where $w->{depth} may be") if $ended > $w->{depth};
}

sub limit_of
{
	my ($w, $name) = @_;

	return ($w->{offers}{LIMITS} // '') =~ /(?:\A|\s)\Q$name\E=([1-9]\d{0,5})(?!\S)/i ? $1 : 0;
}

sub rcpt
{
	my ($w, $rest, $length) = @_;
	my $t = $w->{transaction};
	my ($path, $text) = $rest =~ /\A TO:<((?:$quoted|[^>"])*)>(.*)\z/si;

	if (!defined $path) {
		fault($w, 'S-08', 'RCPT is misspelt: ' . shown($rest));
		($path, $text) = ('postmaster', '');
	}
	fault($w, 'L-16', 'a recipient is no mailbox: ' . shown($path)) if $path !~ /\A(?:$mailbox|postmaster)\z/i;
	fault($w, 'L-14', 'a source route') if $path =~ /\A\@/;
	my ($got, $limit) = parameters($w, 'RCPT', $text, \%rcpt_parameters);

	long($w, $length, $limit, 'RCPT');
	my @notify = split /,/, uc($got->{NOTIFY} // '');
	my %once = map { $_ => 1 } @notify;
	fault($w, 'E-19', 'NOTIFY says a thing twice') if keys %once != @notify;
	if (!$t || $t->{ended}) {
		fault($w, 'S-27', 'RCPT outside a transaction') if !$w->{excused};
	} else {
		my $most = limit_of($w, 'RCPTMAX');

		fault($w, 'E-16', 'RCPT has octets over 127 without SMTPUTF8') if $rest =~ /[\x80-\xff]/ && !$t->{utf8};
		$t->{to}++;
		$t->{domains}{ lc(($path =~ /\@([^\@]*)\z/)[0] // '') } = 1;
		fault($w, 'E-30', "recipient number $t->{to}, where RCPTMAX is $most") if $most && $t->{to} > $most;
		$most = limit_of($w, 'RCPTDOMAINMAX');
		fault($w, 'E-30', keys(%{ $t->{domains} }) . " domains, where RCPTDOMAINMAX is $most")
		    if $most && keys %{ $t->{domains} } > $most;
		fault($w, 'S-27', 'RCPT after the text has begun') if $t->{chunked};
	}
	wait_for($w, verb => 'RCPT', transaction => $t);
}

# Are all recipients known to be refused?
sub nobody
{
	my $t = shift;

	return $t->{refused_to} == $t->{to};
}

sub data
{
	my ($w, $rest) = @_;
	my $t = $w->{transaction};

	bare($w, $rest, 'DATA');
	fault($w, 'S-27', 'DATA outside a transaction') if !$t || $t->{refused};
	fault($w, 'S-24', 'DATA though nobody is left to receive it') if $t && !$t->{refused} && nobody($t);
	fault($w, 'E-14', 'DATA for BINARYMIME') if $t && $t->{body} eq 'BINARYMIME';
	wait_for($w, verb => 'DATA', transaction => $t);
}

sub bdat
{
	my ($w, $rest, $length) = @_;
	my $t = $w->{transaction};
	my ($size, $last) = $rest =~ /\A (\d{1,20})( LAST)?\z/i;

	fault($w, 'E-10', 'BDAT, but CHUNKING was not offered') if !exists $w->{offers}{CHUNKING};
	if (!defined $size) {
		fault($w, 'E-10', 'BDAT is misspelt: ' . shown($rest));
		$w->{stopped} = 1;
		return;
	}
	fault($w, 'S-27', 'BDAT outside a transaction') if !$t || $t->{refused};
	fault($w, 'E-11', 'BDAT after a chunk was refused') if $t && $t->{chunk_refused};
	fault($w, 'S-24', 'BDAT though nobody is left to receive it')
	    if $t && !$t->{refused} && !$t->{chunked} && nobody($t);
	@$w{qw(mode left chunk_last)} = ('chunk', $size, defined $last);
	$w->{count}{chunks}++;
	$t->{chunked} = 1 if $t;
	take_chunk($w) if $size == 0;
}

sub take_chunk
{
	my $w = shift;
	my $octets = substr $w->{heard}, 0, $w->{left}, '';
	my $t = $w->{transaction};

	$w->{left} -= length $octets;
	text_octets($w, $octets) if $t;
	return 0 if $w->{left};
	$w->{mode} = 'command';
	my $last = $w->{chunk_last};

	wait_for($w, verb => 'BDAT', transaction => $t, ends_text => $last, last => $last,
	    closes_group => $last && $w->{depth} == 1);
	if ($last) {
		text_ends($w) if $t;
		under_way($w);
		end_transaction($w);
	}
	$w->{chunks_open} = !$last;
	return 1;
}

# The text behind 354, up to its dot; what of it is here.
sub take_text
{
	my $w = shift;
	my $t = $w->{transaction};

	while ($w->{heard} =~ /\G([^\n]*\n)/gc) {
		my $line = $1;

		if ($line eq ".\r\n") {
			substr $w->{heard}, 0, pos($w->{heard}), '';
			$w->{mode} = 'command';
			$w->{element}++;
			$w->{count}{texts}++;
			text_ends($w);
			wait_for($w, verb => 'dot', transaction => $t, ends_text => 1);
			under_way($w);
			end_transaction($w);
			return 1;
		}
		if ($line =~ /\A\./) {
			$line =~ /\A\.\./ or once($w, 'L-02', 'a line whose dot is not doubled: ' . shown($line));
			substr $line, 0, 1, '';
		}
		text_octets($w, $line);
	}
	substr $w->{heard}, 0, pos($w->{heard}) // 0, '';
	return 0;
}

sub once
{
	my ($w, $rule, $words) = @_;

	fault($w, $rule, $words) if !$w->{transaction}{told}{"$rule$words" =~ s/: .*//sr}++;
}

# Octets of a text as they are meant, without stuffing: lines are put together
# across chunks.
sub text_octets
{
	my ($w, $octets) = @_;
	my $t = $w->{transaction};

	$t->{octets} += length $octets;
	$t->{eight_bit} ||= $octets =~ /[\x80-\xff]/ ? 1 : 0;
	$octets = ($t->{tail} // '') . $octets;
	$t->{tail} = $octets =~ s/([^\n]*)\z// ? $1 : '';
	once($w, 'L-01', 'a bare LF in the text') if $octets =~ /(?<!\r)\n/;
	once($w, 'L-01', 'a bare CR in the text') if $octets =~ /\r(?!\n)/;
	once($w, 'L-11', 'a NUL in the text') if $octets =~ /\0/;
	once($w, 'L-04', 'a line of the text is too long')
	    if length $octets > TEXT_LINE_MAX && $octets =~ /[^\n]{1000}/ || length $t->{tail} > TEXT_LINE_MAX + 1;
	return if $t->{in_body};
	$t->{head} = ($t->{head} // '') . $octets;
	$t->{in_body} = 1 if $t->{head} =~ s/(?:\A|\r\n)\r\n.*\z//s;
	once($w, 'E-18', 'octets over 127 in the header without SMTPUTF8') if $t->{head} =~ /[\x80-\xff]/ && !$t->{utf8};
	once($w, 'E-18', 'a header that is not UTF-8') if $t->{utf8} && $t->{head} !~ /\A(?:[\x00-\x7f]|$utf8)*\z/;
}

sub text_ends
{
	my $w = shift;
	my $t = $w->{transaction} or return;

	fault($w, 'L-03', 'the text has no last line end') if length($t->{tail} // '');
	if (nobody($t) && $t->{to}) {
		fault($w, 'E-07', 'a text for nobody') if $t->{octets} && !$t->{chunked};
		return;
	}
	fault($w, 'E-01', "SIZE=$t->{size}, but $t->{octets} octets were sent")
	    if defined $t->{size} && $t->{size} != $t->{octets};
	return if !$t->{eight_bit};
	fault($w, 'E-15', 'octets over 127 in a text that was not declared') if $t->{body} !~ /8BITMIME|BINARYMIME/;
	fault($w, 'L-25', 'octets over 127 in a text without MIME-Version') if ($t->{head} // '') !~ /^MIME-Version:/im;
}

# Its text is sent, or it is given up: what follows begins afresh.
sub end_transaction
{
	my $w = shift;

	$w->{transaction}{ended} = 1 if $w->{transaction};
	delete @$w{qw(transaction chunks_open)};
}

sub rset
{
	my ($w, $rest) = @_;

	bare($w, $rest, 'RSET');
	end_transaction($w);
	wait_for($w, verb => 'RSET');
}

sub noop
{
	my ($w, $rest, $length) = @_;

	long($w, $length, COMMAND_MAX, 'NOOP');
	wait_for($w, verb => 'NOOP');
}

sub quit
{
	my ($w, $rest) = @_;

	bare($w, $rest, 'QUIT');
	wait_for($w, verb => 'QUIT');
	$w->{quit} = 1;
}

# -- the server's words

sub answer
{
	my ($w, $octets) = @_;

	$w->{said} .= $octets;
	while ($w->{said} =~ s/\A((?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\r?\n)//) {
		my @lines = split /\r?\n/, $1;
		my %codes = map { substr($_, 0, 3) => 1 } @lines;

		lose_step($w) if keys %codes != 1 || $lines[0] !~ /\A[2-5]/;
		reply($w, substr($lines[-1], 0, 3), \@lines);
		consume($w);
	}
	lose_step($w) if $w->{said} !~ /\A(?:\d{3}-[^\n]*\n)*(?:\d{0,3}|\d{3}[ -][^\n]*)\r?\z/;
	lose_step($w) if length $w->{said} > 65536;
}

sub reply
{
	my ($w, $code, $lines) = @_;
	my $e = shift @{ $w->{waiting} };
	my $what = $e ? $e->{verb} : '';
	my $t = $e ? $e->{transaction} : undef;

	return lose_step($w) if !$e;
	if ($code eq '421') {
		$w->{closing} = 1;
		excuse($w);
	}
	if ($what eq 'greeting') {
		$w->{greeted} = 1;
		excuse($w) if $code !~ /\A2/;
	} elsif ($what eq 'EHLO' || $what eq 'HELO') {
		hello_answered($w, $what, $code, $lines);
	} elsif ($what eq 'STARTTLS') {
		$w->{expects_tls} = 1 if $code eq '220';
	} elsif ($what eq 'AUTH') {
		auth_answered($w, $e, $code);
	} elsif ($what eq 'MAIL') {
		$t->{refused} = 1 if $code !~ /\A2/;
	} elsif ($what eq 'RCPT') {
		$t->{refused_to}++ if $t && $code !~ /\A2/;
	} elsif ($what eq 'DATA') {
		$w->{mode} = 'text' if $code eq '354' && $t;
		$w->{data_refused} = 1 if $code ne '354';
		excuse($w) if $code =~ /\A[23]/ && $code ne '354';
	} elsif ($what eq 'BDAT') {
		$t->{chunk_refused} = 1 if $t && $code !~ /\A2/;
	}
	excuse($w) if $code =~ /\A3/ && $what !~ /\A(?:DATA|AUTH)\z/;
}

sub hello_answered
{
	my ($w, $verb, $code, $lines) = @_;

	$w->{ehlo_refused} = 1 if $verb eq 'EHLO' && $code =~ /\A5/;
	return if $verb eq 'HELO' || $code !~ /\A2/;
	$w->{offers} = {};
	for (@$lines[1 .. $#$lines]) {
		my ($keyword, $rest) = /\A\d{3}[ -]([A-Za-z0-9][A-Za-z0-9-]*)(?:[ =](.*?))?\s*\z/ or next;

		$keyword = uc $keyword;
		$w->{offers}{$keyword} = join ' ', grep { length } $w->{offers}{$keyword}, $rest;
		$w->{offers}{PIPELINING} = 1 if $keyword eq 'PIPELINING';
		$w->{offers}{STARTTLS} = 1 if $keyword eq 'STARTTLS';
	}
}

sub auth_answered
{
	my ($w, $e, $code) = @_;

	if ($code eq '334') {
		$e->{cancelled} ? excuse($w) : ($w->{mode} = 'auth');
	} elsif ($code =~ /\A2/) {
		$w->{logged_in} = 1;
	} elsif ($code eq '535') {
		$w->{login_refused} = 1;
	}
}

1;
