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

# The names of preload/calls.def.  $1: what becomes of a name that is not libc's.
expand() {
	printf '%s\n' '#define CALL(name) name' '#define ALIAS(name, of) name' \
		"#define OTHER(name) $1" '#include "calls.def"' |
		cc -E -P -I"$ROOT/preload" - | tr -s ' ' '\n' | grep . | LC_ALL=C sort -u
}

# Every name that the library promises to define.
names() { expand name; }
libc_names() { expand ''; }

# What names() reads, read in another way: the two must agree.
names_by_text() {
	grep -E '^(CALL|ALIAS|OTHER)' "$ROOT/preload/calls.def" |
		grep -oE '(CALL|ALIAS|OTHER)\([A-Za-z_0-9]+' | sed 's/.*(//' | LC_ALL=C sort -u
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
