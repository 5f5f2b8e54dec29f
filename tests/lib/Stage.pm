# Stage: this machine with /usr/sbin/sendmail as the test wants it, seen by the
# test and its children alone.
#
#	use Stage;		# first of all: the test is started again in there
#	use Flow;
#	my $reason = stage_set(sendmail => "$B/sendmail", home => $HOME);
#
# stage_set returns '' or why this machine cannot do it: then nothing has
# changed, but for what stands in the namespace of the test.  On the stage
# /usr/sbin has nothing but sendmail; root's home is the one given; /etc is a
# copy that may be changed, without crontabs; /run and /var/spool are new.
package Stage;
use strict;
use warnings;
use Exporter ();
use File::Path 'make_path';

our @EXPORT = qw(stage_set);

my $MARK = 'SUBPOST_STAGE';     # set in the namespace
my $entered = delete $ENV{$MARK};

sub import
{
	if (!$entered && $> == 0 && system('unshare -m true 2>/dev/null') == 0) {
		$ENV{$MARK} = 1;
		exec 'unshare', '-m', $^X, $0, @ARGV or die "unshare: $!\n";
	}
	goto &Exporter::import;
}

sub stage_set
{
	my %o = @_;

	return 'only root can put ours at /usr/sbin/sendmail' if $> != 0;
	return 'no mount namespace can be had here' if !$entered;
	my $script = <<'END';
set -e
mount -t tmpfs -o mode=755 stage /run
mkdir /run/etc /run/sbin /run/spool /run/lock
cp -a /etc/. /run/etc
touch /run/etc/stage
mount --bind /run/etc /etc
mount --bind /run/sbin /usr/sbin
mount --bind /run/spool /var/spool
test -e /etc/stage      # whatever mount said: nothing of the real one is removed
rm -rf /etc/cron* /etc/anacrontab /etc/at.allow /etc/at.deny /etc/subpost
mkdir /etc/cron.d
ln -s "$1" /usr/sbin/sendmail
sed -i "s|^\(root:[^:]*:[^:]*:[^:]*:[^:]*\):[^:]*|\1:$2|" /etc/passwd
mkdir -p /var/spool/cron/crontabs /var/spool/cron/atjobs /var/spool/cron/atspool
chmod 1730 /var/spool/cron/crontabs
touch /var/spool/cron/atjobs/.SEQ
chown daemon:daemon /var/spool/cron/atjobs /var/spool/cron/atspool /var/spool/cron/atjobs/.SEQ
chmod 1770 /var/spool/cron/atjobs /var/spool/cron/atspool
END
	my $said = `sh -c '$script' stage '$o{sendmail}' '$o{home}' 2>&1`;

	return '' if $? == 0;
	return 'the stage cannot be set here: ' . join ' ', split /\n/, $said;
}

1;
