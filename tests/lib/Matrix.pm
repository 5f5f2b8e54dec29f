# Matrix: every fault at every stage of a delivery, and what must come of each.
#
# The table says, a letter a cell, what a queue that meets the fault once does:
#
#	w	waits: the account is left alone, after one connection; nothing bounces
#	l	the message that met it comes later; nothing bounces.  The one before it may be in
#		doubt and come twice, where answers are out of step (an answer too many, or one
#		that does not belong), or where chunks are proven by the next answer only
#	L	likewise, and as many as were in doubt may arrive twice (one, or pipeline-depth)
#	d	nothing is to be noticed: all arrive, and nothing is said
#	r	that recipient bounces, all others arrive
#	b	that message bounces, all others arrive
#	x	b, or l: the server's last words, or a word out of place
#	0-9	there is no such cell, for the reason of that number
#
# In the end, with a server in good health, everybody who has not bounced has got every
# message, once but for L.  A cell is run by tests/lib/cell, in a process of its own.
package Matrix;
use strict;
use warnings;
use Exporter 'import';

our @EXPORT_OK = qw(modes cell_of cells sample why_none promise_of);

my @stages = qw(connect greeting ehlo starttls handshake ehlo2 auth mail rcpt data body end next quit);
my @modes = (
	# name        queue CHUNKING depth connections, from and to which stage
	[ 'one',        1,  0, 1, 1,  'connect', 'quit' ],
	[ 'many',       50, 0, 1, 1,  'connect', 'quit' ],
	[ 'wide',       50, 0, 1, 20, 'connect', 'auth' ],
	[ 'chunks',     1,  1, 1, 1,  'mail', 'quit' ],
	[ 'manychunks', 50, 1, 1, 1,  'mail', 'quit' ],
	[ 'deep',       50, 1, 8, 1,  'mail', 'quit' ],
);

my %reasons = (
	0 => 'nothing is said before the greeting: the greeting has this cell',
	1 => 'the kernel takes the call: nobody can hang before the greeting',
	2 => 'no TLS yet',
	3 => 'without TLS the end of TCP is the end: fin has this cell',
	4 => 'a certificate is shown in the handshake only',
	5 => 'the client is asked for nothing here, so nothing can be a second answer: 2yz has this cell',
	6 => 'nothing follows a message that is alone',
	8 => 'text is no answer of TLS: garbage has this cell',
	9 => 'a small text is one chunk, its last: end has this cell',
);

# connect, greeting, EHLO, STARTTLS, handshake, EHLO inside TLS, AUTH, MAIL, RCPT, DATA or
# the first BDAT, midst of the text, its end, MAIL of the next message, QUIT
my %table = (
	#                 c g e s h 2 a m r D b . n q
	fin      => [ qw( w w w w w w w l l l l L l d ) ],
	reset    => [ qw( w w w w w w w l l l l L l d ) ],
	hang     => [ qw( 1 w w w w w w l l l l L l d ) ],
	trickle  => [ qw( 0 w w w w w w l l l l L l d ) ],
	421      => [ qw( 0 w w w 8 w w l l l l l l d ) ],
	'4yz'    => [ qw( 0 w w w 8 w w l l l l l l d ) ],
	'5yz'    => [ qw( 0 w w w 8 w w b r b x b b d ) ],
	'2yz'    => [ qw( 0 d d d 8 d d d d l l d d d ) ],
	'3yz'    => [ qw( 0 w w w 8 w w l l l l L l d ) ],
	garbage  => [ qw( 0 w w w w w w l l l l L l d ) ],
	half     => [ qw( 0 w w w w w w l l l l L l d ) ],
	endless  => [ qw( 0 w w w w w w l l l l L l d ) ],
	extra    => [ qw( 0 w w w 8 w w l l l 5 l l d ) ],
	alert    => [ qw( 2 2 2 2 w w w l l l l L l d ) ],
	cut      => [ qw( 3 3 3 3 3 w w l l l l L l d ) ],
	cert     => [ qw( 4 4 4 4 w 4 4 4 4 4 4 4 4 4 ) ],
);
my @faults = qw(fin reset hang trickle 421 4yz 5yz 2yz 3yz garbage half endless extra alert cut cert);

sub modes { return @modes }

# Its letter.
sub cell_of
{
	my ($stage, $fault, $mode) = @_;
	my ($place) = grep { $stages[$_] eq $stage } 0 .. $#stages;
	my ($m) = grep { $_->[0] eq $mode } @modes;

	return '6' if $stage eq 'next' && $m->[1] == 1;
	# Where a window is out of step, nothing in it is proven, and all of it comes again.
	return 'L' if $fault eq 'extra' && $m->[3] > 1 && $stage =~ /\A(?:mail|rcpt|end|next)\z/;
	return '9' if $stage eq 'data' && $m->[1] > 1 && $m->[2];
	return $table{$fault}[$place];
}

sub why_none
{
	return $reasons{ +shift };
}

my %words = (w => 'the account waits, after one connection', l => 'it comes later', L => 'it comes later, perhaps twice',
    d => 'nothing is noticed', r => 'that recipient bounces', b => 'that message bounces', x => 'it bounces, or comes later');

# What it shows, with the row that asks for it.
sub promise_of
{
	my ($stage, $fault, $mode, $letter) = @_;
	my $row = $fault eq 'extra' ? 'C3' : $fault eq 'endless' ? 'C2' : $fault eq '421' ? 'S-19' :
	    $fault eq 'garbage' ? 'S-14' : $stage eq 'data' && $fault =~ /^[23]yz/ ? 'S-23' : $fault eq '2yz' ? 'S-13' :
	    $stage eq 'end' && $letter eq 'L' ? 'S-29' : $letter eq 'w' && $fault =~ /yz/ ? 'S-02' :
	    $fault =~ /yz/ ? 'S-21' : $fault eq 'cert' ? 'D3' : $fault eq 'cut' ? 'D6' : $fault eq 'trickle' ? 'T-03' : 'S-18';

	return "$row: $stage $fault $mode: $words{$letter}";
}

# All there are, as [ stage, fault, mode, letter ].
sub cells
{
	my @all;

	for my $m (@modes) {
		my $begun = 0;

		for my $stage (@stages) {
			$begun ||= $stage eq $m->[5];
			push @all, map { [ $stage, $_, $m->[0], cell_of($stage, $_, $m->[0]) ] } @faults if $begun;
			last if $stage eq $m->[6];
		}
	}
	return @all;
}

# A choice that touches each stage and each fault, and what is dearest to us: that
# nothing is lost at a text's end.
sub sample
{
	my @names = (
		'connect reset wide', 'greeting 421 many', 'ehlo garbage one', 'starttls extra one',
		'handshake cert many', 'handshake half one', 'ehlo2 endless one', 'auth 5yz wide', 'auth hang one',
		'mail alert many', 'mail 5yz many', 'rcpt 5yz many', 'rcpt extra one', 'data 2yz one', 'data extra many',
		'body 4yz one', 'body trickle one', 'body fin chunks', 'end fin many', 'end 3yz one', 'end cut one',
		'end extra many', 'end reset deep', 'next reset many', 'next fin deep', 'quit extra one',
	);
	my %all = map { join(' ', @$_[0 .. 2]) => $_ } cells();

	return map { $all{$_} // die "no cell $_\n" } @names;
}

1;
