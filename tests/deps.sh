#!/bin/sh
# SPDX-License-Identifier: MIT
#
# deps.sh - install the Debian packages that a part of this project needs.
#
#   tests/deps.sh build|check|suites|bypass|demo|bench|fresh ...
#
# Says nothing and changes nothing when all is there.  Otherwise one line, then apt-get, as
# root or with sudo.  A package counts as present when its probe does: a command on PATH or
# a file, so a machine with other packages of the same tools is left alone.
#
# Installing redis, nginx, PostgreSQL or memcached would start them as services.  Nobody asked
# for that: policy-rc.d forbids it while apt-get works, and is put back afterwards.
set -eu

# package=probe; a probe with a slash is a file (a pattern may be used), else a command.
build='
	make=make
	gcc=gcc
	libc6-dev=/usr/include/stdio.h
	libev-dev=/usr/include/ev.h'
check='
	bats=bats
	parallel=parallel
	clang=clang
	clang-format=clang-format
	shellcheck=shellcheck
	spin=spin
	libcmocka-dev=/usr/include/cmocka.h
	liburing-dev=/usr/include/liburing.h
	libaio-dev=/usr/include/libaio.h
	git=git
	python3=/usr/bin/python3
	procps=ps
	iproute2=ss
	curl=curl
	jq=jq
	socat=socat
	gcc-multilib=/usr/lib/gcc/x86_64-linux-gnu/*/32/libgcc.a
	libjemalloc2=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2
	libtcmalloc-minimal4=/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4
	eatmydata=eatmydata
	strace=strace
	iperf3=iperf3
	memcached=memcached
	redis-tools=redis-cli
	redis-server=redis-server
	nginx=nginx
	wrk=wrk
	postgresql=/usr/lib/postgresql/*/bin/initdb'
suites='
	python3=/usr/bin/python3
	libpython3.11-testsuite=/usr/lib/python3.11/test/test_socket.py
	dpkg-dev=dpkg-source
	iproute2=ss
	libuv1=/usr/lib/x86_64-linux-gnu/libuv.so.1
	libssl-dev=/usr/include/openssl/ssl.h
	zlib1g-dev=/usr/include/zlib.h
	openssl=openssl
	python3-twisted=/usr/lib/python3/dist-packages/twisted/trial/__main__.py'
bypass='
	perl=perl
	ruby=ruby
	haproxy=haproxy
	openssh-server=sshd
	openssh-client=ssh-keygen
	rsync=rsync
	openssl=openssl
	busybox=busybox
	netcat-openbsd=nc
	dbus-bin=dbus-send
	dbus-daemon=dbus-daemon'
demo='
	redis-tools=redis-benchmark
	redis-server=redis-server
	nginx=nginx
	wrk=wrk'
bench='
	iproute2=ip
	redis-tools=redis-benchmark
	redis-server=redis-server
	nginx=nginx
	wrk=wrk
	postgresql=/usr/lib/postgresql/*/bin/initdb
	memcached=memcached
	gnuplot-nox=gnuplot
	python3=/usr/bin/python3
	python3-uvloop=/usr/lib/python3/dist-packages/uvloop
	nodejs=node
	default-jdk-headless=javac'
fresh='
	debootstrap=debootstrap
	git=git'

policy=/usr/sbin/policy-rc.d
saved=$policy.libshmfd-saved

# Debian keeps daemons in sbin, which a plain user's PATH lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

die()
{
	echo "deps.sh: $*" >&2
	exit 1
}

present()
{
	case $1 in
	*/*)
		# unquoted: the probe may be a pattern
		for f in $1; do
			[ -e "$f" ] && return 0
		done
		return 1 ;;
	*)
		command -v "$1" >/dev/null 2>&1 ;;
	esac
}

# the packages of the given lists whose probe fails, each once
missing()
{
	out=
	for item in "$@"; do
		present "${item#*=}" && continue
		case " $out " in
		*" ${item%%=*} "*) ;;
		*) out="$out ${item%%=*}" ;;
		esac
	done
	echo "${out# }"
}

policy_put_back()
{
	rm -f "$policy"
	if [ -e "$saved" ]; then
		mv -f "$saved" "$policy"
	fi
}

# 101 is the answer "starting is not allowed" of policy-rc.d's interface.
policy_forbid()
{
	if [ -e "$saved" ]; then	# an earlier run was killed half-way
		mv -f "$saved" "$policy"
	fi
	if [ -e "$policy" ]; then
		rc=0
		"$policy" redis-server start >/dev/null 2>&1 || rc=$?
		[ "$rc" -eq 101 ] && return
		mv "$policy" "$saved"
	fi
	trap 'policy_put_back; rm -f "$log"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}

apt()
{
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
		-o Acquire::Retries=3 "$@" >>"$log" 2>&1 </dev/null
}

# runs as root: $@ are package names
install_as_root()
{
	command -v apt-get >/dev/null 2>&1 || die "no apt-get here; please install: $*"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	policy_forbid
	updated=no
	for list in /var/lib/apt/lists/*_Packages*; do
		[ -e "$list" ] && updated=old
	done
	for try in 1 2 3; do
		if [ "$updated" = no ] || [ "$try" -eq 2 ]; then
			apt update && updated=yes
		fi
		apt install --no-install-recommends "$@" && return
		sleep "$try"
	done
	reason=$(grep '^E:' "$log" | tail -n 1) || reason="see apt-get install $*"
	die "apt-get could not install $*: $reason"
}

if [ "${1:-}" = --as-root ]; then
	shift
	install_as_root "$@"
	exit 0
fi

[ $# -gt 0 ] || die "usage: deps.sh build|check|suites|bypass|demo|bench|fresh ..."
items=
for part in "$@"; do
	case $part in
	build) items="$items $build" ;;
	check) items="$items $build $check" ;;
	suites) items="$items $build $suites" ;;
	bypass) items="$items $build $bypass" ;;
	demo) items="$items $build $demo" ;;
	bench) items="$items $build $bench" ;;
	fresh) items="$items $fresh" ;;
	*) die "unknown part '$part': build, check, suites, bypass, demo, bench or fresh" ;;
	esac
done

set -f	# the probes are split here, and matched against files only in present()
# shellcheck disable=SC2086
set -- $items
set +f
want=$(missing "$@")
[ -n "$want" ] || exit 0

echo "deps.sh: installing $want"
if [ "$(id -u)" -eq 0 ]; then
	run=
elif command -v sudo >/dev/null 2>&1; then
	run=sudo
else
	die "must be root, or have sudo, to install: $want"
fi
# shellcheck disable=SC2086 # want and run are lists of words
$run sh "$0" --as-root $want || exit 1

# apt-get said yes; the probes have the last word
set -f
# shellcheck disable=SC2086
set -- $items
set +f
want=$(missing "$@")
[ -z "$want" ] || die "installed, but still not found: $want"
