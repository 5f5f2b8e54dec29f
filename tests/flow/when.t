# When a message may go, and until when: held for a later moment, returned when it is
# late, before or behind others.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Flow;
use JSON::PP;
use POSIX 'strftime';

my $TEXT = "Subject: hello\n\nbody\n";
my %DOWN = (port => 1, tls => 'none');

sub head_of { my $id = shift; return ((slurp(spool() . "/queue/$id") // '') =~ /\A.*?\n(.*?\n)\n/s)[0] // '' }
sub row { my $id = shift; return (grep { $_->{id} eq $id } @{ decode_json(subpost('queue', '--json')->{out}) })[0] // {} }
sub stamp { return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime shift) }

sub queue
{
	my ($args, $text) = @_;
	my %before = map { $_ => 1 } queue_ids();
	my $r = sendmail($args, $text // $TEXT);

	return "$r->{status} $r->{err}" if $r->{status} != 0;
	return (grep { !$before{$_} } queue_ids())[0] // 'gone';
}

my $sh = smarthost(script => 'ehlo /2 reply "250-localhost" reply "250-AUTH PLAIN LOGIN" ' .
    'reply "250 FUTURERELEASE 86400 2030-01-01T00:00:00Z"');

# -- held

ini();
{
	my $before = time;
	my $id = queue([ '-O', 'holdfor=4', 'a@x.example' ]);
	my ($until) = head_of($id) =~ /^hold-until (\d+)$/m;

	cmp_ok($until // 0, '>=', $before + 4, 'E-27: a message may be for a later moment, which stands in its envelope');
	is(row($id)->{next}, $until, 'the list says when it goes');
	is(row($id)->{reason}, 'its sender wants it sent then', 'and why not now');
	like(subpost('show', $id)->{out}, qr/^hold-until @{[ stamp($until) ]}$/m, 'and show does');
	is(queue([ 'b@x.example' ]) =~ /^\d+ / ? 1 : 0, 0, '(another one)');
	ok($sh->wait_messages(2, 30), 'it goes by itself');
	my @m = $sh->messages;

	is($m[1]{to}[0] =~ s/ .*//r, '<a@x.example>', 'those without such a wish went before it');
	cmp_ok((stat $sh->dir . "/messages/$m[1]{number}.env")[9], '>=', $until, 'and it not before its time');
	unlike($sh->dialogue, qr/HOLD/, 'the smarthost is not asked to hold it, whatever it offers');
	wait_empty();
}
{
	my $id = queue([ '-O', 'holduntil=' . stamp(time + 3600), 'a@x.example' ]);

	is(subpost('retry')->{status}, 0, '(everything shall be tried now)');
	is(queue([ 'c@x.example' ]) =~ /^\d+ / ? 1 : 0, 0, '(and is)');
	$sh->wait_messages(3);
	is(row($id)->{state}, 'waiting', 'what is held for later stays, whatever is tried');
	is(subpost('delete', $id)->{status}, 0, 'and can be taken back');
}
{
	my $id = queue([ '-O', 'holduntil=2001-01-01T00:00:00Z', 'd@x.example' ]);

	ok($sh->wait_messages(4), 'a moment that has passed is now');
	like(queue([ '-O', 'holdfor=366d', '-O', 'holduntil=2099-01-01T00:00:00+01:00', 'a@x.example' ]),
	    qr/^65 .*over 366 days from now/, 'one that is too far away is refused');
	my $r = sendmail([ '-bs' ], "MAIL FROM:<a\@x.example> HOLDFOR=3600\r\nRCPT TO:<b\@x.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n");

	($id) = $r->{out} =~ /queued as (\w+)/;
	like(head_of($id), qr/^hold-until \d+$/m, 'by HOLDFOR too');
	subpost('delete', $id);
}
wait_no_runner();

# -- returned

ini(smarthost => { %DOWN }, queue => { retry => '1h' });
{
	my $id = queue([ '-f', 'me@x.example', '-O', 'deliverby=2,trace', 'a@x.example' ]);

	like(head_of($id), qr/^by 2;RT$/m, 'E-28: a message may have to be there soon');
	# An account that is down is looked at now and then only; a person is quicker.
	ok(wait_for(sub { subpost('retry'); -e spool() . "/failed/$id" }, 30, 'it to be given up'), 'what is late is returned, by an account that is down too');
	like(subpost('show', $id)->{out}, qr/failed: .*2 seconds/, 'with the reason');
	is(row($id)->{to}[0]{status}, '5.4.7', 'E-28: and the status of late mail');
	my ($report) = queue_ids();

	like(slurp(spool() . "/queue/$report"), qr/^to me\@x\.example\n.*not delivered within the 2 seconds/ms, 'which its sender is told');
	subpost('delete', $report);
	$id = queue([ '-f', 'me@x.example', '-O', 'deliverby=2', 'a@x.example' ]);
	my $told = queue([ '-O', 'deliverby=1,notify', 'a@x.example' ]);
	like(head_of($told), qr/^by 1;N$/m, 'one of which its sender is only to be told');
	ok(wait_for(sub { subpost('retry'); -e spool() . "/failed/$id" }, 30, 'the next to be given up'), '(while another one becomes late)');
	is(row($told)->{state}, 'waiting', 'is kept');
}

# -- before and behind others

for my $row ([ 'by an option', [ '-O', 'mt-priority=-3' ], '', -3 ], [ 'by its header', [], "MT-Priority: 4\n", 4 ],
    [ 'and a comment there says nothing', [], "MT-Priority: 4 (urgent)\n", 4 ],
    [ 'the option counts more', [ '-Omt-priority=2' ], "MT-Priority: 4\n", 2 ],
    [ 'what is no number is none', [], "MT-Priority: high\n", 0 ]) {
	my ($what, $args, $field, $wants) = @$row;
	my $id = queue([ @$args, 'a@x.example' ], $field . $TEXT);
	my ($got) = head_of($id) =~ /^priority (-?\d+)$/m;

	is($got // 0, $wants, "E-29: a message has a priority: $what");
	is(row($id)->{wishes}{priority} // 0, $wants, 'which is listed');
	subpost('delete', $id);
}
{
	my $n = () = $sh->messages;

	subpost('delete', $_) for queue_ids();
	queue([ @{ $_->[1] }, "$_->[0]\@x.example" ])
	    for [ 'a', [] ], [ 'b', [ '-O', 'mt-priority=-5' ] ], [ 'c', [] ], [ 'd', [ '-O', 'mt-priority=5' ] ], [ 'e', [] ];
	ini(smarthost => { connections => 1 });
	is(subpost('retry')->{status}, 0, '(and all may go)');
	$sh->wait_messages($n + 5, 30);
	is(join('', map { substr $_->{to}[0], 1, 1 } ($sh->messages)[ $n .. $n + 4 ]), 'daceb', 'E-29: the queue is in that order');
	wait_no_runner();
	# One that was not there when they came reads it where it lies.
	ini(smarthost => { %DOWN });
	queue([ @{ $_->[1] }, "$_->[0]\@x.example" ]) for [ 'f', [ '-O', 'mt-priority=-5' ] ], [ 'g', [] ];
	kill 'KILL', runner_pid();
	wait_no_runner();
	ini(smarthost => { connections => 1 });
	subpost('retry');
	$sh->wait_messages($n + 7, 30);
	is(join('', map { substr $_->{to}[0], 1, 1 } ($sh->messages)[ $n + 5, $n + 6 ]), 'gf', 'by a runner that has just been started too');
}
done_testing;
