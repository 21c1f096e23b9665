# SPDX-License-Identifier: MIT
#
# The names of the library: which it defines, who binds to them, what it imports.

load symbols

setup() {
	symbols_setup
}

# Every call that reads, writes, waits for, duplicates, closes or hands on a socket.
MUST='
read __read readv recv recvfrom recvmsg recvmmsg __read_chk __recv_chk __recvfrom_chk
write __write writev send __send sendto sendmsg sendmmsg
preadv2 preadv64v2 pwritev2 pwritev64v2 sendfile sendfile64 splice
dprintf vdprintf __dprintf_chk __vdprintf_chk syscall
poll __poll __poll_chk ppoll __ppoll_chk select __select pselect
epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
socket socketpair connect __connect accept accept4 shutdown getsockopt setsockopt
fcntl fcntl64 __fcntl ioctl close __close close_range closefrom dup dup2 __dup2 dup3
fclose fdopen _IO_fdopen freopen freopen64
fork __fork _Fork clone __clone posix_spawn posix_spawnp popen system
execve execv execvp execvpe execl execlp execle execveat fexecve dlopen dlmopen'

# Functions that allocate, lock, print, end the process or look at its environment: they may run
# the host's code or stand in a signal handler's way.
UNWANTED='malloc|calloc|realloc|reallocarray|free|cfree|posix_memalign|aligned_alloc|memalign'
UNWANTED+='|valloc|pvalloc|strdup|strndup|__strdup|.*printf(_chk)?|fopen(64)?|fwrite|fputs|fputc'
UNWANTED+='|puts|putc|putchar|perror|psignal|strerror|getenv|secure_getenv|setenv|putenv|unsetenv'
UNWANTED+='|clearenv|exit|abort|__assert_fail|atexit|on_exit|__tls_get_addr|pthread_create'
UNWANTED+='|pthread_mutex_.*|pthread_cond_.*|pthread_once|pthread_key_create|dlsym|dlopen|dlvsym'
UNWANTED+='|__stack_chk_fail|sigaction|signal|__.*_chk'

# object symbol: why it is good there
allowed() {
	sed 's/ *:.*//' <<-'END'
		real.o dlsym: the table of real calls, in the constructor or at the first call
		report.o snprintf: into a buffer of its own; glibc's takes no lock and allocates
		report.o vsnprintf: nothing for numbers and plain strings
		meet.o snprintf: the rendezvous name
		wait.o sigaction: asks for handlers, sets none
		pin.o pthread_key_create: once, in the constructor, before there are threads
	END
}

@test "symbols: the two ways to read calls.def agree" {
	names >a
	names_by_text >b
	diff a b
	[ "$(wc -l <a)" -gt 90 ]
}

@test "symbols: calls.def has every name that must be there" {
	names >have
	tr -s ' \n' '\n' <<<"$MUST" | grep . >want
	[ "$(wc -l <want)" -gt 85 ]
	beyond want have | none "not in calls.def"
}

@test "symbols: the library defines exactly the names of calls.def" {
	names >want
	nm -D --defined-only "$LIB" | awk '{ print $3 }' | LC_ALL=C sort >have
	diff want have
}

@test "symbols: each is a function, without a version, and not weak" {
	nm -D --defined-only "$LIB" | awk '$2 != "T"' | none "not a plain function"
	# a version node would keep references with glibc's version from binding
	nm -D --defined-only --with-symbol-versions "$LIB" | grep @ | none "has a version"
	readelf -dW "$LIB" | grep VERDEF | none "defines versions"
}

@test "symbols: libc has no other public name for one of these functions" {
	libc=$(ldd "$LIB" | awk '/libc\.so/ { print $3 }')
	names >ours
	# two names of one address are one function
	nm -D --defined-only --with-symbol-versions "$libc" |
		awk '$2 ~ /[TWi]/ && $3 !~ /@GLIBC_PRIVATE/ { sub(/@.*/, "", $3); print $1, $3 }' |
		LC_ALL=C sort -u >libc.list
	awk 'NR == FNR { ours[$1]; next } $2 in ours { at[$1] }
		{ all[$2] = $1 } END { for (n in all) if (all[n] in at) print n }' \
		ours libc.list >same
	[ "$(wc -l <same)" -gt 80 ]
	beyond same ours | none "the same function under a name that is not in calls.def"
}

# $1: names; the program and its object in the current directory
build_bound() {
	sed 's/.*/NAME(&)/' "$1" >names.inc
	cc -O1 -fPIC -fno-builtin -DOBJECT -shared -I. "$BATS_TEST_DIRNAME/bound.c" -o object.so
	cc -O1 -fPIE -pie -fno-builtin -I. "$BATS_TEST_DIRNAME/bound.c" -o bound
}

@test "symbols: a program, an opened object and dlsym find the library's" {
	libc_names >want
	build_bound want
	env LD_PRELOAD="$LIB" ./bound ./object.so >out
	[ "$(wc -l <out)" -eq $((3 * $(wc -l <want))) ]
	grep -v ' libshmfd\.so$' out | none "leads elsewhere"
}

@test "symbols: without the preload the same program finds libc's" {
	libc_names >want
	build_bound want
	./bound ./object.so >out
	[ "$(wc -l <out)" -eq $((3 * $(wc -l <want))) ]
	grep -v ' libc\.so\.6$' out | none "leads elsewhere"
}

# What the compiler and the start-up add.
BESIDE='_ITM_.*|__gmon_start__|__cxa_finalize|__libc_start_main|__stack_chk_fail'
BESIDE+='|environ|__environ|__fdelt_chk|memcpy|memset'

# Builds calls.c with the given flags and checks what its symbols are and where they lead.
check_calls() {
	local cc=$1 shape=$2 file=calls seen
	shift 2
	rm -f calls object.so bindings.*
	if [ "$shape" = object ]; then
		file=object.so
		"$cc" "$@" -fPIC -shared -DNO_MAIN "$BATS_TEST_DIRNAME/calls.c" -o object.so
		cat >open.c <<-'END'
			#include <dlfcn.h>
			int main(void) { return !dlopen("./object.so", RTLD_NOW | RTLD_LOCAL); }
		END
		"$cc" open.c -o calls
	else
		"$cc" "$@" "$BATS_TEST_DIRNAME/calls.c" -o calls
	fi
	# all that these calls turn into is ours
	nm -D --undefined-only "$file" | awk '{ sub(/@.*/, "", $2); print $2 }' |
		LC_ALL=C sort -u >needs
	grep -vxE "$BESIDE" needs >calls.list
	names >ours
	beyond calls.list ours | none "$cc $shape $*: a call that the library does not define"
	[ "$(wc -l <calls.list)" -gt 60 ]
	env LD_BIND_NOW=1 LD_DEBUG=bindings LD_DEBUG_OUTPUT="$PWD/bindings" LD_PRELOAD="$LIB" \
		./calls
	seen="s|.*file [^ ]*$file \[0\] to ([^ ]*) \[0\]: normal symbol .(\w+)'.*|\2 \1|p"
	cat bindings.* | sed -nE "$seen" |
		LC_ALL=C sort -u >bound
	awk '{ print $1 }' bound >bound.names
	beyond calls.list bound.names | none "$cc $shape $*: no binding seen"
	grep -v "/libshmfd\.so$" bound | awk '{ print $1 }' >elsewhere
	common elsewhere calls.list | none "$cc $shape $*: binds elsewhere"
}

# The program that was built has these names.
has() {
	local n
	for n in "$@"; do
		grep -qx "$n" calls.list || { echo "$n did not appear"; return 1; }
	done
}

CHECKED='__read_chk __recv_chk __recvfrom_chk __poll_chk __ppoll_chk'

@test "symbols: plain programs of gcc and clang bind to the library" {
	for cc in gcc clang; do
		check_calls "$cc" program -O2 -U_FORTIFY_SOURCE -fPIE -pie
		check_calls "$cc" program -O0 -U_FORTIFY_SOURCE -fno-pie -no-pie
		check_calls "$cc" program -O2 -U_FORTIFY_SOURCE -fno-plt
	done
	has read recv recvfrom poll dprintf
}

@test "symbols: fortified programs of each level bind to the library" {
	for level in 1 2 3; do
		check_calls gcc program -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$level
		has $CHECKED
		# gcc knows that level 1 asks nothing more of a format
		[ "$level" = 1 ] || has __dprintf_chk __vdprintf_chk
		check_calls clang program -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$level
	done
}

@test "symbols: programs with 64-bit names bind to the library" {
	check_calls gcc program -O2 -D_LARGEFILE64_SOURCE -D_FILE_OFFSET_BITS=64
	has fcntl64 sendfile64 preadv64v2 pwritev64v2 freopen64 aio_read64
	check_calls gcc program -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -D_FILE_OFFSET_BITS=64
	has $CHECKED __dprintf_chk
}

@test "symbols: objects opened with dlopen bind to the library" {
	check_calls gcc object -O2 -U_FORTIFY_SOURCE
	check_calls gcc object -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
	has $CHECKED __dprintf_chk
	check_calls clang object -O2 -U_FORTIFY_SOURCE -D_FILE_OFFSET_BITS=64
}

# ---- what the library itself calls ---------------------------------------------------

@test "symbols: the core calls none of them by name" {
	names | grep -vx syscall >ours
	set -- "$BUILD"/src/*.o
	[ $# -ge 12 ]
	for o in "$@"; do
		undefined "$o" >needs
		common needs ours | sed "s|^|${o##*/} |"
	done | none "the core goes through struct shmfd_sys"
}

@test "symbols: what the core does by syscall() is not ours" {
	sed -nE 's/^[[:space:]]*case (SYS_[a-z0-9_]+):.*/\1/p' "$ROOT/preload/syscall.c" |
		sort -u >ours
	[ "$(wc -l <ours)" -gt 30 ]
	grep -oE '\bsyscall\([^,)]*' "$ROOT"/src/*.c | sed 's/.*(//' | sort -u >used
	grep -vxE 'SYS_[a-z0-9_]+' used | none "a number that can not be read here"
	common used ours | none "would come back to our own wrapper"
}

@test "symbols: wrappers call real functions, not each other" {
	# syscall.c does nothing else: it gives calls by number to the wrappers
	names >ours
	for o in "$BUILD"/preload/*.o; do
		[ "${o##*/}" != syscall.o ] || continue
		undefined "$o" >needs
		common needs ours | sed "s|^|${o##*/} |"
	done | none "comes back to our own wrapper, or to that of another preload"
}

@test "symbols: nothing that allocates, locks, prints or ends the process" {
	allowed >good
	[ "$(wc -l <good)" -eq 6 ]
	for o in "$BUILD"/src/*.o "$BUILD"/preload/*.o; do
		undefined "$o" | grep -xE "$UNWANTED" | sed "s|^|${o##*/} |" || :
	done >found
	beyond found good | none "not on the list of what is allowed"
	# an entry that nothing needs any more would hide the next use
	beyond good found | none "allowed, but not used"
}

# ---- how it is linked ----------------------------------------------------------------

@test "symbols: no text relocation, bound at once, read-only after relocation" {
	readelf -dW "$LIB" >dynamic
	grep TEXTREL dynamic | none "text relocations"
	grep -qE '\(FLAGS\).*BIND_NOW' dynamic
	grep -qE '\(FLAGS_1\).*NOW' dynamic
	grep -qE '\(FLAGS_1\).*INITFIRST' dynamic
	grep -qE '\(FLAGS_1\).*NODELETE' dynamic
	grep -qE '\(SONAME\).*\[libshmfd\.so\]' dynamic
	grep -E '\((RPATH|RUNPATH)\)' dynamic | none "a path of one machine"
	readelf -lW "$LIB" | grep -q GNU_RELRO
}

@test "symbols: no stack and no page that can be written and executed" {
	readelf -lW "$LIB" >headers
	[ "$(awk '$1 == "GNU_STACK" { print $7 }' headers)" = RW ]
	awk '$1 == "LOAD" && /RWE/' headers | none "writable and executable"
	# readelf writes the flags as "R E", "RW ", "RWE"
	[ "$(grep -c LOAD headers)" -ge 2 ]
}

@test "symbols: it needs libc and the loader only" {
	readelf -dW "$LIB" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p' >needed
	grep -qx 'libc\.so\.6' needed
	grep -vxE 'libc\.so\.6|ld-linux.*' needed | none "another library"
}

@test "symbols: its thread-local storage is initial-exec and small" {
	readelf -rW "$LIB" >relocations
	grep -q TPOFF relocations
	grep -E 'DTPMOD|DTPOFF|TLSDESC' relocations | none "thread-local storage found by a call"
	readelf -dW "$LIB" | grep -q STATIC_TLS
	[ $(($(readelf -lW "$LIB" | awk '$1 == "TLS" { print $6 }'))) -le 384 ]
}

@test "symbols: its constructor runs before those of the program's libraries" {
	cat >ctor.c <<-'END'
		int ctor_ran;
		__attribute__((constructor)) static void ctor(void) { ctor_ran = 1; }
	END
	cc -fPIC -shared ctor.c -o libctor.so
	printf 'extern int ctor_ran;\nint main(void) { return !ctor_ran; }\n' >main.c
	cc main.c -o main -L. -lctor -Wl,-rpath,"$PWD"
	env LD_DEBUG=files LD_DEBUG_OUTPUT="$PWD/files" LD_PRELOAD="$LIB" ./main
	cat files.* | sed -nE 's|.*calling init: .*/([^/]+)$|\1|p' >order
	grep -qx libctor.so order
	[ "$(head -n 1 order)" = libshmfd.so ]
}
