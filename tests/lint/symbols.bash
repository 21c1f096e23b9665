# SPDX-License-Identifier: MIT
#
# What the checks of symbols share.  BUILD is the build directory (absolute).

# The library and its objects, where make put them.
symbols_setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	BUILD=${BUILD:-$ROOT/build}
	LIB=$BUILD/libshmfd.so
	[ -f "$LIB" ] || { echo "no $LIB: run make" >&2; return 1; }
	cd "$BATS_TEST_TMPDIR"
}

# Every name that the library promises to define, from preload/calls.def.
names() {
	printf '#define CALL(name) name\n#define ALIAS(name, of) name\n#include "calls.def"\n' |
		cc -E -P -I"$ROOT/preload" - | tr -s ' ' '\n' | grep . | LC_ALL=C sort -u
}

# What names() reads, read in another way: the two must agree.
names_by_text() {
	grep -E '^(CALL|ALIAS)' "$ROOT/preload/calls.def" | grep -oE '(CALL|ALIAS)\([A-Za-z_0-9]+' |
		sed 's/.*(//' | LC_ALL=C sort -u
}

# Undefined symbols of object files, without versions.
undefined() {
	nm -u "$@" | awk '$1 == "U" || $1 == "w" { sub(/@.*/, "", $2); print $2 }' |
		LC_ALL=C sort -u
}

# The lines of the first list that are in the second.
common() {
	LC_ALL=C comm -12 <(LC_ALL=C sort -u "$1") <(LC_ALL=C sort -u "$2")
}

# The lines of the first list that are not in the second.
beyond() {
	LC_ALL=C comm -23 <(LC_ALL=C sort -u "$1") <(LC_ALL=C sort -u "$2")
}

# Fails, and shows them, if there are lines.  $1: what they mean.
none() {
	local lines
	lines=$(cat)
	[ -z "$lines" ] || { printf '%s:\n%s\n' "$1" "$lines"; return 1; }
}
