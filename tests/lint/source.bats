# SPDX-License-Identifier: MIT
#
# The text of the sources: form, layers, labels of memory order, tables of shared memory.
# The last tests give each check a tree with one defect, which it must find.

setup() {
	ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
	PYTHONDONTWRITEBYTECODE=1
	export PYTHONDONTWRITEBYTECODE
}

source_check() {
	python3 "$BATS_TEST_DIRNAME/source.py" "$1" "${2:-$ROOT}"
}

layout_check() {
	python3 "$BATS_TEST_DIRNAME/layout.py" "$1"
}

@test "source: files are of a size to be read" {
	source_check size
}

@test "source: functions are of a size to be read" {
	source_check functions
}

@test "source: no line is wider than 100 columns" {
	source_check columns
}

@test "source: every file has its licence on top" {
	source_check spdx
}

@test "source: comments of C are /* */" {
	source_check comments
}

@test "source: nothing names a path of one machine or a paper outside the project" {
	source_check foreign
}

@test "source: atomics come from src/atomic.h" {
	source_check stdatomic
}

@test "source: preload builds on src, src on include, and ring and wait know no sockets" {
	source_check layers
}

@test "source: labels of memory order stand on both sides and are explained" {
	source_check labels
}

@test "layout: the tables in layout.h are what gcc and clang make of the structs" {
	CC=gcc layout_check "$ROOT/include/shmfd/layout.h"
	CC=clang layout_check "$ROOT/include/shmfd/layout.h"
}

@test "bench: arithmetic, reading of programs' output, and a row for every target" {
	python3 "$BATS_TEST_DIRNAME/bench.py"
}

# ---- the checks themselves ------------------------------------------------------------

# A small tree without a defect; a test then adds one.
good_tree() {
	tree=$BATS_TEST_TMPDIR/tree
	mkdir -p "$tree/src" "$tree/preload" "$tree/include/shmfd"
	printf '/* SPDX-License-Identifier: MIT */\n#include <stdatomic.h>\n' >"$tree/src/atomic.h"
	cat >"$tree/src/one.h" <<-'END'
		/* SPDX-License-Identifier: MIT */
		/*
		 *   [A] store_release x  --->  [A] load_acquire x
		 */
	END
	cat >"$tree/src/one.c" <<-'END'
		/* SPDX-License-Identifier: MIT */
		#include "one.h"
		void put(void)
		{
			store_release(&x, 1); /* [one.A] */
		}
		int get(void)
		{
			return load_acquire(&x); /* [one.A] */
		}
	END
	printf '/* SPDX-License-Identifier: MIT */\n' >"$tree/src/stream.h"
	printf '/* SPDX-License-Identifier: MIT */\n#include "../src/one.h"\n' \
		>"$tree/preload/call.c"
}

# Check $1 must find what matches $2 in the tree, after it found nothing without it.
finds() {
	run source_check "$1" "$tree"
	[ "$status" -eq 1 ] || { echo "$1 did not find: $2"; return 1; }
	[[ $output =~ $2 ]] || { echo "$1 found something else: $output"; return 1; }
}

lines() {
	printf '/* SPDX-License-Identifier: MIT */\n'
	yes ';' | head -n "$(($1 - 1))"
}

@test "lint: a tree without a defect passes each check" {
	good_tree
	for check in size functions columns spdx comments foreign stdatomic layers labels; do
		source_check "$check" "$tree"
	done
}

@test "lint: a folder without sources is not a pass" {
	mkdir "$BATS_TEST_TMPDIR/empty"
	run source_check size "$BATS_TEST_TMPDIR/empty"
	[ "$status" -eq 2 ]
	run source_check no-such-check
	[ "$status" -ne 0 ]
}

@test "lint: files that are too long are found, at the limit they are not" {
	good_tree
	lines 800 >"$tree/src/long.c"
	lines 250 >"$tree/preload/long.c"
	source_check size "$tree"
	lines 801 >"$tree/src/long.c"
	finds size 'src/long.c:801'
	lines 1 >"$tree/src/long.c"
	lines 251 >"$tree/preload/long.c"
	finds size 'preload/long.c:251'
}

@test "lint: functions that are too long are found, at the limit they are not" {
	good_tree
	{ lines 3; printf 'int f(int a)\n{\n'; yes '	;' | head -n 68; printf '}\n'; } \
		>"$tree/src/f.c"
	source_check functions "$tree"
	sed -i '$i\	;' "$tree/src/f.c"
	finds functions 'src/f.c:5: f\(\) has 71 lines'
}

@test "lint: wide lines are found, tabs count" {
	good_tree
	printf '/* SPDX-License-Identifier: MIT */\n\t%092d\n' 0 >"$tree/src/wide.c"
	source_check columns "$tree"
	printf '\t%093d\n' 0 >>"$tree/src/wide.c"
	finds columns 'src/wide.c:3: 101 columns'
}

@test "lint: a missing licence, a // comment and a foreign path are found" {
	good_tree
	# the last path is put together, or it would stand here
	printf 'int x; // y\nconst char *p = "http://z";\nconst char *q = "/%s/x";\n' wo''rk \
		>"$tree/src/bad.c"
	finds spdx 'src/bad.c:1'
	finds comments 'src/bad.c:1:'
	[[ $output != *bad.c:2* ]]
	finds foreign 'src/bad.c:3'
	printf '# see %s.md\n' DESI''GN >"$tree/Makefile"
	finds foreign 'Makefile:1'
}

@test "lint: <stdatomic.h> elsewhere and includes against the layers are found" {
	good_tree
	printf '#include <stdatomic.h>\n' >>"$tree/src/one.c"
	finds stdatomic 'src/one.c'
	touch "$tree/preload/shim.h"
	printf '#include "../preload/shim.h"\n' >"$tree/src/two.h"
	finds layers 'src/two.h:1: includes preload/shim.h'
	rm "$tree/src/two.h"
	# not directly
	printf '#include "stream.h"\n' >"$tree/src/lock.h"
	printf '#include "lock.h"\n' >"$tree/src/ring.c"
	finds layers 'src/ring.c:1: includes src/stream.h'
	rm "$tree/src/ring.c"
	printf '#include "one.h"\n' >"$tree/include/shmfd/a.h"
	finds layers 'include/shmfd/a.h:1: includes'
}

@test "lint: labels on one side, alone or unexplained are found" {
	good_tree
	sed -i 's|load_acquire(&x); /\* \[one.A\] \*/|load_acquire(\&x);|' "$tree/src/one.c"
	finds labels '\[one.A\] stands at 1 atomic'
	good_tree
	sed -i 's/load_acquire(&x);/store_release(\&x, 2);/' "$tree/src/one.c"
	finds labels '\[one.A\] is on the store side only'
	good_tree
	sed -i 's/\[A\]/[B]/g' "$tree/src/one.h"
	finds labels '\[one.A\] is not explained'
}

# A header whose table says what $1 (a sed command) makes of it.
header_with() {
	cat >"$BATS_TEST_TMPDIR/layout.h" <<-'END'
		#include <stddef.h>
		#include <stdint.h>
		/* A thing.  16 bytes.
		 *   off size field  meaning
		 *     0    8 pos    a position
		 *     8    4 flags  bits
		 */
		struct thing {
			uint64_t pos;
			uint32_t flags;
			uint32_t pad0;
		};
		/* Small.  8 bytes. */
		struct small {
			uint32_t a;
			uint32_t b;
		};
	END
	sed -i "$1" "$BATS_TEST_TMPDIR/layout.h"
	run layout_check "$BATS_TEST_TMPDIR/layout.h"
}

@test "lint: tables that disagree with the compiler are found" {
	header_with ''
	[ "$status" -eq 0 ] && [ "$output" = "2 structs, 1 tables, 2 rows agree" ]
	header_with 's/     8    4 flags/    12    4 flags/'
	[ "$status" -eq 1 ] && [[ $output == *"says offset 12"* ]]
	header_with 's/     8    4 flags/     8    8 flags/'
	[ "$status" -eq 1 ] && [[ $output == *"says 8 bytes"* ]]
	header_with '/    4 flags/d'
	[ "$status" -eq 1 ] && [[ $output == *"flags: not in the table"* ]]
	header_with 's/  16 bytes/  24 bytes/'
	[ "$status" -eq 1 ] && [[ $output == *"says 24 bytes"* ]]
	header_with 's/  8 bytes\.//'
	[ "$status" -eq 1 ] && [[ $output == *"small: neither"* ]]
	header_with '/pad0/d'
	[ "$status" -eq 1 ] && [[ $output == *"a hole at its end, from byte 12"* ]]
	header_with 's/   8    4 flags/   8    4 flegs/'
	[ "$status" -eq 1 ] && [[ $output == *"does not have"* ]]
}
