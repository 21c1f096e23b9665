#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fetch.sh libuv|libevent DIR - the test program of a library, from Debian's source package.
#
# Fetches the source with an apt configuration of its own (the machine's may know no deb-src)
# from the mirrors this machine uses, unpacks it in DIR with Debian's patches and no other
# change, and compiles the test program: DIR/uv_run_tests, against the installed libuv.so.1, or
# DIR/regress, with its own libevent.  Nothing outside DIR is written; root is not needed.
set -eu

die()
{
	echo "fetch.sh: $*" >&2
	exit 1
}

[ $# -eq 2 ] || die "usage: fetch.sh libuv|libevent DIR"
name=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
log=$dir/log
exec 3>&1 >"$log" 2>&1
trap '[ $? -eq 0 ] || { echo "fetch.sh: $name failed, see $log"; tail -n 5 "$log"; } >&3' EXIT

apt_private()
{
	apt-get -q -o Dir::Etc::sourcelist="$new/apt/sources.list" -o Dir::Etc::sourceparts=- \
		-o Dir::State::lists="$new/apt/lists" -o Dir::Cache="$new/apt/cache" \
		-o APT::Sandbox::User= -o Acquire::Retries=3 -o Acquire::Languages=none "$@"
}

unpack()
{
	new=$dir/new
	rm -rf "$new" "$dir/source"
	mkdir -p "$new/apt/lists/partial" "$new/apt/cache/archives/partial"
	signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
	# shellcheck disable=SC2016 # apt-get's own placeholders
	apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI) $(COMPONENT)' \
		'Created-By: Packages' |
	awk -v signed="$signed" '$1 == "Debian" && $4 == "main" && !seen[$0]++ {
		print "deb-src", signed, $3, $2, $4
	}' >"$new/apt/sources.list"
	[ -s "$new/apt/sources.list" ] || die "this machine's apt knows no Debian mirror"
	apt_private update
	(cd "$new" && apt_private source "$1")
	mv "$new/$1"-*/ "$dir/source"
	rm -rf "$new"
}

libuv()
{
	cd "$dir/source"
	# as its build files do it for a shared library
	set -- test/test-*.c test/runner.c test/runner-unix.c test/run-tests.c \
		test/echo-server.c test/blackhole-server.c
	gcc -w -O1 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -D_LARGEFILE_SOURCE -DUSING_UV_SHARED=1 \
		-Iinclude -Isrc -Itest "$@" -o "$dir/uv_run_tests.new" -l:libuv.so.1 -lpthread -ldl
	mv "$dir/uv_run_tests.new" "$dir/uv_run_tests"
}

libevent()
{
	cd "$dir/source"
	./configure --disable-shared --disable-samples --disable-dependency-tracking
	# unpacking gives files times that ask for automake; "all" makes headers first
	set -- ACLOCAL=: AUTOMAKE=: AUTOCONF=: AUTOHEADER=:
	make -j2 "$@" all
	make -j2 "$@" test/regress
	mv test/regress "$dir/regress"
}

case $name in
libuv)
	unpack libuv1
	libuv ;;
libevent)
	unpack libevent
	libevent ;;
*) die "unknown suite '$name'" ;;
esac
