# SPDX-License-Identifier: MIT
# Sockets as Perl programs use them: buffered handles, fork, system, select, open with ">&".
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;

sub serve {
	my ($listener) = @_;
	my $pid = fork;
	return $pid if $pid;
	while (my $s = $listener->accept) {
		my $child = fork;
		if (!$child) {
			while (my $line = <$s>) {
				print $s $line;
			}
			exit 0;
		}
		close $s;
	}
	exit 0;
}

sub talk {
	my ($s) = @_;
	$s->autoflush(1);
	for my $i (1 .. 10) {
		print $s "line $i\n";
		IO::Select->new($s)->can_read(5) or die "no answer";
		my $line = <$s>;
		$line eq "line $i\n" or die "got $line";
	}
	system("true") == 0 or die "system";
	open(my $copy, ">&", $s) or die "dup: $!";
	syswrite($copy, "end\n");
	close $copy;
	<$s> eq "end\n" or die "no end";
	shutdown($s, 1);
	defined(<$s>) and die "more";
	close $s;
}

my $tcp = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 5) or die "listen: $!";
my $unix = IO::Socket::UNIX->new(Local => "perl.sock", Listen => 5) or die "listen: $!";
my @pids = map { serve($_) } ($tcp, $unix);
talk(IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $tcp->sockport) or die $!);
talk(IO::Socket::UNIX->new(Peer => "perl.sock") or die $!);
kill "TERM", @pids;
