#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fresh.sh - try this checkout on a Debian that has nothing: no make, no compiler, no git.
#
#   tests/fresh.sh [-w] [-d DIR] demo           sh bench/demo.sh
#   tests/fresh.sh [-w] [-d DIR] check          sh tests/check.sh
#   tests/fresh.sh [-w] [-d DIR] COMMAND ...    anything, run in the checkout
#
#   -w       the working tree as it is (without ignored files), not a clone of HEAD
#   -d DIR   where to put the system (must not exist); default: a new directory in $TMPDIR
#
# Makes a minimal system with debootstrap, from the mirror this machine's apt uses, and runs
# the command there by chroot, in mount and process namespaces of its own: whatever happens,
# no mount and no process outlives this script.  A process or a file in /tmp that the command
# left behind is reported and makes the exit status 1.  Needs root.  Not part of "make check".
set -eu

die()
{
	echo "fresh.sh: $*" >&2
	exit 1
}

# ---- inside the namespaces; $1 the system's folder, rest the command -------------------------

apt_lines()
{
	# shellcheck disable=SC2016 # apt-get's own placeholders
	apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' |
	awk '$1 == "Debian" && !seen[$0]++ { print $2, $3, $4, $5 }'
}

make_system()
{
	root=$1
	lines=$(apt_lines)
	[ -n "$lines" ] || die "this machine's apt knows no Debian mirror (apt-get update?)"
	suite=$(echo "$lines" | awk '$1 !~ /-/ { print $1; exit }')
	mirror=$(echo "$lines" | awk '$1 !~ /-/ { print $2; exit }')
	include=
	case $lines in
	*https://*) include=--include=ca-certificates ;;
	esac
	echo "fresh.sh: debootstrap $suite from $mirror into $root"
	debootstrap --variant=minbase $include "$suite" "$root" "$mirror" >"$root.log" 2>&1 || {
		tail -n 5 "$root.log" >&2
		die "debootstrap failed"
	}

	echo "$lines" | awk '{ print "deb", $2, $3, $4 }' >"$root/etc/apt/sources.list"
	# proxies and the like
	apt-config dump | grep -E '^Acquire::(http|https|Check|Retries)' \
		>"$root/etc/apt/apt.conf.d/90host" || :
	for file in /etc/resolv.conf /etc/hosts ${include:+/etc/ssl/certs/ca-certificates.crt}; do
		[ ! -e "$file" ] || cp -L "$file" "$root$file"
	done

	mount -t proc proc "$root/proc"
	mkdir -p "$root/dev/pts" "$root/dev/shm"
	mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
	mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
	mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
}

# what is still there although the command has ended; this shell is process 1 here
left_behind()
{
	root=$1
	for dir in "$root"/proc/[0-9]*; do
		pid=${dir##*/}
		[ "$pid" -ne 1 ] || continue
		# our own helpers are gone by now; a dead process that waits for us is no loss
		line=$(sed -n 's/^State:[[:space:]]*\([A-Z]\).*/\1/p' "$dir/status" 2>/dev/null) ||
			continue
		case $line in
		'' | Z | X) ;;
		*) echo "process $pid: $(tr '\0' ' ' <"$dir/cmdline" 2>/dev/null)" ;;
		esac
	done >"$root.left"
	for dir in tmp dev/shm; do
		find "$root/$dir" -mindepth 1 -printf "file /$dir/%P\n"
	done >>"$root.left"
	[ -s "$root.left" ]
}

inside()
{
	root=$1
	shift
	make_system "$root"
	mv "$root.src" "$root/usr/src/libshmfd"

	begun=$(date +%s)
	rc=0
	env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		${http_proxy:+"http_proxy=$http_proxy"} \
		${https_proxy:+"https_proxy=$https_proxy"} \
		${DEMO_ROUNDS:+"DEMO_ROUNDS=$DEMO_ROUNDS"} \
		${DEMO_SECONDS:+"DEMO_SECONDS=$DEMO_SECONDS"} \
		${LIB:+"LIB=$LIB"} ${V:+"V=$V"} ${CHECK_TIMEOUT:+"CHECK_TIMEOUT=$CHECK_TIMEOUT"} \
		chroot "$root" sh -c 'cd /usr/src/libshmfd && exec "$@"' sh "$@" || rc=$?
	echo "fresh.sh: exit status $rc after $(($(date +%s) - begun)) s, installing included"
	if left_behind "$root"; then
		echo "fresh.sh: left behind:" >&2
		sed 's/^/  /' "$root.left" >&2
		exit 1
	fi
	exit "$rc"
}

if [ "${1:-}" = --inside ]; then
	shift
	inside "$@"
fi

# ---- outside -------------------------------------------------------------------------------

tree=HEAD
where=
while getopts wd: option; do
	case $option in
	w) tree=working ;;
	d) where=$OPTARG ;;
	*) die "usage: fresh.sh [-w] [-d DIR] demo|check|COMMAND ..." ;;
	esac
done
shift $((OPTIND - 1))
case ${1:-} in
'') die "usage: fresh.sh [-w] [-d DIR] demo|check|COMMAND ..." ;;
demo) set -- sh bench/demo.sh ;;
check) set -- sh tests/check.sh ;;
esac

[ "$(id -u)" -eq 0 ] || die "must be root (mount, chroot)"
self=$(realpath "$0")
cd "$(dirname "$self")/.."
sh tests/deps.sh fresh

job=
base=
# shellcheck disable=SC2317 # called by the trap
clean_up()
{
	trap '' INT TERM HUP
	# the namespace's first process dies with unshare, and everything in it with that
	if [ -n "$job" ]; then
		kill "$job" 2>/dev/null || :
		wait "$job" || :
	fi
	[ -z "$base" ] || rm -rf --one-file-system "$base"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

if [ -n "$where" ]; then
	mkdir -p "$(dirname "$where")"
	mkdir "$where"
	base=$(realpath "$where")
else
	base=$(mktemp -d -t shmfd-fresh.XXXXXX)
fi
chmod 755 "$base"

mkdir "$base/root"
if [ "$tree" = HEAD ]; then
	git clone -q --no-hardlinks . "$base/root.src"
else
	mkdir "$base/root.src"
	git ls-files -z --cached --others --exclude-standard |
		tar --null -T - --ignore-failed-read -cf - | tar -C "$base/root.src" -xf -
fi

unshare --mount --pid --fork --kill-child --propagation private \
	sh "$self" --inside "$base/root" "$@" &
job=$!
rc=0
wait "$job" || rc=$?
job=
exit "$rc"
