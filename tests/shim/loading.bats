# SPDX-License-Identifier: MIT
#
# How the library gets into a program: beside other libraries, before and after
# them; programs it can not get into; what they do before it starts.  Every run
# is compared with a plain one, and SHMFD_STATS says which way the bytes went.

load run_modes

setup_file() {
	export BATS_TEST_TIMEOUT=120
}

setup() {
	LIB=$(run_modes_build)/libshmfd.so
	PROGS=$(run_modes_build)/tests/progs
	SRC=$RUN_MODES_ROOT/tests/progs
	DIR=$BATS_TEST_TMPDIR
	unset "${!SHMFD_@}" LD_PRELOAD
}

# meet NAME SERVER CLIENT [SERVER-ENV... -- CLIENT-ENV...]: two programs, each
# with its environment; leaves $DIR/NAME/transcript and $DIR/NAME/stats.
meet() {
	local dir=$DIR/$1 server=$2 client=$3 server_pid client_pid
	local server_status=0 client_status=0
	local -a env=()

	shift 3
	mkdir -p "$dir"
	chmod 777 "$dir"
	: >"$dir/stats"
	# an end of another user can open them, too
	mkfifo "$dir/addr.to-server" "$dir/addr.to-client"
	chmod 666 "$dir"/addr.to-*
	while (($#)) && [[ $1 != -- ]]; do
		env+=("$1")
		shift
	done
	start_end server "$server" "${FAMILY:-tcp4}" "$dir" SHMFD_STATS="$dir/stats" "${env[@]}"
	server_pid=$!
	start_end client "$client" "${FAMILY:-tcp4}" "$dir" SHMFD_STATS="$dir/stats" "${@:2}"
	client_pid=$!
	{ wait "$server_pid" || server_status=$?; } 2>/dev/null
	{ wait "$client_pid" || client_status=$?; } 2>/dev/null
	transcript "$dir" server "$server_status" client "$client_status"
}

# same NAME: the transcript of NAME is that of the plain run.
same() {
	diff -U 4 "$DIR/plain/transcript" "$DIR/$1/transcript"
}

# rings NAME: both ends moved bytes by ring.
rings() {
	[ "$(stats_sum "$DIR/$1/stats" promoted)" -ge 2 ]
	[ "$(stats_sum "$DIR/$1/stats" ring_rx_bytes)" -gt 0 ]
	[ "$(grep -c 'ring_tx_bytes=[1-9]' "$DIR/$1/stats")" -ge 2 ]
}

# alone NAME: one end was there, had streams, and moved nothing by ring.
alone() {
	[ "$(stats_sum "$DIR/$1/stats" streams)" -gt 0 ]
	[ "$(stats_sum "$DIR/$1/stats" ring_rx_bytes ring_tx_bytes)" -eq 0 ]
}

# beside PROG LIBRARY...: PROG with these preloaded, plain, then before and after
# ours at both ends, then at one end only.
beside() {
	local prog=$PROGS/$1 others=${*:2} plain n=0 order

	plain=LD_PRELOAD=${others// /:}
	meet plain "$prog" "$prog" "$plain" -- "$plain"
	for order in "$LIB:${others// /:}" "${others// /:}:$LIB"; do
		n=$((n + 1))
		meet "both$n" "$prog" "$prog" LD_PRELOAD="$order" SHMFD_AFTER=0 -- \
			LD_PRELOAD="$order" SHMFD_AFTER=0
		same "both$n"
		rings "both$n"
		meet "one$n" "$prog" "$prog" LD_PRELOAD="$order" -- "$plain"
		same "one$n"
		alone "one$n"
		rm -rf "$DIR/both$n" "$DIR/one$n"
	done
	rm -rf "$DIR/plain"
}

library() {
	local path

	path=$(find /usr/lib /usr/libexec -name "$1" 2>/dev/null | head -n 1)
	[ -n "$path" ] || { echo "$1 is not installed" >&2; return 1; }
	echo "$path"
}

# outside MESSAGE PROG: PROG can not be preloaded, says only MESSAGE of it, and
# meets a preloaded end on either side.
outside() {
	local message=$1 prog=$2 own=$PROGS/read_write

	meet plain "$prog" "$own" -- PLAIN=1
	meet server "$prog" "$own" LD_PRELOAD="$LIB" SHMFD_AFTER=0 -- \
		LD_PRELOAD="$LIB" SHMFD_AFTER=0
	if [ -n "$message" ]; then
		[ "$(grep -c '^server stderr: ' "$DIR/server/transcript")" -eq 1 ]
		grep -qxF "server stderr: $message" "$DIR/server/transcript"
		sed -i '/^server stderr: /d' "$DIR/server/transcript"
	fi
	same server
	alone server
	[ "$(wc -l <"$DIR/server/stats")" -eq 1 ]
}

@test "loading: jemalloc and tcmalloc, before and after the library" {
	local name other

	for name in libjemalloc.so.2 libtcmalloc_minimal.so.4; do
		other=$(library "$name")
		for prog in read_write threads_duplex stdio_stream fork_share; do
			beside "$prog" "$other"
		done
	done
}

@test "loading: eatmydata and stdbuf's library before and after the library" {
	local eat buf

	eat=$(library libeatmydata.so)
	buf=$(library libstdbuf.so)
	for prog in read_write stdio_stream exec_stdio; do
		beside "$prog" "$eat"
		beside "$prog" "$eat" "$buf"
	done
}

@test "loading: the commands eatmydata and stdbuf" {
	local own=$PROGS/read_write

	meet plain "$own" "$own" -- PLAIN=1
	printf '#!/bin/sh\nexec eatmydata -- "%s" "$@"\n' "$own" >"$DIR/eat"
	printf '#!/bin/sh\nexec stdbuf -oL -i0 "%s" "$@"\n' "$own" >"$DIR/buf"
	chmod +x "$DIR/eat" "$DIR/buf"
	meet both "$DIR/eat" "$DIR/buf" LD_PRELOAD="$LIB" SHMFD_AFTER=0 -- \
		LD_PRELOAD="$LIB" SHMFD_AFTER=0
	same both
	rings both
}

@test "loading: another library that wraps read and write, before and after" {
	cat >"$DIR/wrap.c" <<-'END'
		#define _GNU_SOURCE
		#include <dlfcn.h>
		#include <sys/socket.h>
		#include <unistd.h>
		#define WRAP(name, ret, params, args)				\
			ret name params						\
			{							\
				static ret (*next) params;			\
				if (!next)					\
					next = (ret (*) params)dlsym(RTLD_NEXT, #name); \
				return next args;				\
			}
		WRAP(read, ssize_t, (int fd, void *b, size_t n), (fd, b, n))
		WRAP(write, ssize_t, (int fd, const void *b, size_t n), (fd, b, n))
		WRAP(recv, ssize_t, (int fd, void *b, size_t n, int f), (fd, b, n, f))
		WRAP(socket, int, (int d, int t, int p), (d, t, p))
		WRAP(close, int, (int fd), (fd))
	END
	cc -shared -fPIC "$DIR/wrap.c" -o "$DIR/wrap.so"
	for prog in read_write half_close dup_family poll_mixed; do
		beside "$prog" "$DIR/wrap.so"
	done
}

# early_c: source whose function uses_streams() does I/O on streams of its own.
early_c() {
	cat <<-'END'
		#define ROUNDS 3	/* few: both ends are in one process, and may meet */
		#include <arpa/inet.h>
		#include <netinet/in.h>
		#include <stdlib.h>
		#include <sys/socket.h>
		#include <unistd.h>
		static void uses_streams(void)
		{
			struct sockaddr_in in = { .sin_family = AF_INET };
			socklen_t len = sizeof(in);
			int l = socket(AF_INET, SOCK_STREAM, 0);
			int b = socket(AF_INET, SOCK_STREAM, 0), a;
			char c;
			in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
			if (bind(l, (struct sockaddr *)&in, len) || listen(l, 1) ||
			    getsockname(l, (struct sockaddr *)&in, &len) ||
			    connect(b, (struct sockaddr *)&in, len))
				_exit(50);
			a = accept(l, 0, 0);
			for (int i = 0; i < ROUNDS; i++) {
				c = (char)i;
				if (write(a, &c, 1) != 1 || read(b, &c, 1) != 1 || c != (char)i ||
				    write(b, &c, 1) != 1 || read(a, &c, 1) != 1 || c != (char)i)
					_exit(51);
			}
			/* a is left in use for good, away from the program's numbers */
			if (dup2(a, 700) != 700 || dup2(b, 701) != 701)
				_exit(52);
			close(a);
			close(b);
			close(l);
		}
	END
}

@test "loading: constructors of other preloaded libraries use streams, before ours too" {
	{
		early_c
		echo '__attribute__((constructor)) static void early(void) { uses_streams(); }'
	} >"$DIR/early.c"
	cc -shared -fPIC "$DIR/early.c" -o "$DIR/early.so"
	cc -shared -fPIC "$DIR/early.c" -Wl,-z,initfirst -o "$DIR/first.so"
	for prog in read_write fork_share; do
		beside "$prog" "$DIR/early.so"
		beside "$prog" "$DIR/first.so"
	done
}

@test "loading: a program's preinit functions use streams before any constructor" {
	{
		early_c
		echo '__attribute__((section(".preinit_array"), used))'
		echo 'static void (*early)(void) = uses_streams;'
	} >"$DIR/early.c"
	cc -std=gnu11 -pthread "$SRC/read_write.c" "$SRC"/duo*.c "$DIR/early.c" -o "$DIR/early"
	meet plain "$DIR/early" "$DIR/early" -- PLAIN=1
	meet both "$DIR/early" "$DIR/early" LD_PRELOAD="$LIB" SHMFD_AFTER=0 -- \
		LD_PRELOAD="$LIB" SHMFD_AFTER=0
	same both
	rings both
}

@test "loading: dlopen finds libraries by the RUNPATH of who calls it" {
	mkdir "$DIR/there"
	cc -shared -fPIC -x c - -o "$DIR/there/libfoundit.so" <<<'int found = 7;'
	cc -x c - -o "$DIR/opens" -Wl,-rpath,"$DIR/there",--enable-new-dtags <<-'END'
		#include <dlfcn.h>
		int main(void)
		{
			void *library = dlopen("libfoundit.so", RTLD_NOW);
			int *found = library ? dlsym(library, "found") : 0;
			return found ? *found : 1;
		}
	END
	for pre in '' "$LIB"; do
		status=0
		env LD_PRELOAD="$pre" "$DIR/opens" || status=$?
		[ "$status" -eq 7 ]
	done
}

@test "loading: a static program is left alone, its peer works" {
	outside '' "$PROGS/read_write.static"
}

@test "loading: a 32-bit program is left alone, its peer works" {
	cc -m32 -std=gnu11 -D_FILE_OFFSET_BITS=64 -pthread "$SRC/read_write.c" "$SRC"/duo*.c \
		-o "$DIR/small"
	outside "ERROR: ld.so: object '$LIB' from LD_PRELOAD cannot be preloaded (wrong ELF \
class: ELFCLASS64): ignored." "$DIR/small"
}

@test "loading: a setuid program is left alone, its peer works" {
	[ "$(id -u)" -eq 0 ] || { echo "only root can make one"; return 1; }
	cp "$PROGS/read_write" "$DIR/setuid"
	chown nobody "$DIR/setuid"
	chmod 4755 "$DIR/setuid"
	# nobody comes as far as this
	local d=$DIR
	while [ "$d" != / ] && [ "$d" != /tmp ]; do
		chmod a+x "$d"
		d=$(dirname "$d")
	done
	outside '' "$DIR/setuid"
}

# built_by COMMAND PROG...: each compiled by it; plain and preloaded the same.
built_by() {
	local prog

	for prog in "${@:2}"; do
		$1 -std=gnu11 -O2 -pthread "$SRC/$prog.c" "$SRC"/duo*.c -o "$DIR/$prog"
		meet plain "$DIR/$prog" "$DIR/$prog" -- PLAIN=1
		meet both "$DIR/$prog" "$DIR/$prog" LD_PRELOAD="$LIB" SHMFD_AFTER=0 -- \
			LD_PRELOAD="$LIB" SHMFD_AFTER=0
		same both
		[ "$(stats_sum "$DIR/both/stats" ring_tx_bytes)" -gt 0 ]
		cp "$DIR/plain/transcript" "$DIR/$prog.plain"
		rm -rf "$DIR/plain" "$DIR/both"
	done
}

@test "loading: gcc and clang, _FORTIFY_SOURCE 1 to 3" {
	local level

	for level in 1 2 3; do
		built_by "clang -D_FORTIFY_SOURCE=$level" read_write
		built_by "gcc -D_FORTIFY_SOURCE=$level" read_write send_recv stdio_stream
		# of clang's, glibc's headers take no notice
		built_by "gcc -DLEVEL=$level" fortified
		nm -D "$DIR/fortified" | grep -q ' U __read_chk@'
		grep -qx 'server ended by signal 6' "$DIR/fortified.plain"
	done
}
