/* SPDX-License-Identifier: MIT */
/*
 * lack: preloaded behind the library under test, it refuses about one in CHAOS_LACK of
 * the system calls that the library makes for itself: the memory of a segment and the
 * hidden descriptors.  The program's own calls are never refused, so the kernel path
 * stays open and nothing may be seen to go wrong.
 *
 * What the library makes for itself is told by the address the call returns to and, for
 * the names that it wraps, by arguments that no program of these tests uses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Programs ask for lower ones. */
#define HIDDEN_FROM	1000

static uintptr_t from, to;	/* where the library lies */
static uint64_t state;
static uint32_t one_in;

static long result(long ret)
{
	if (ret >= 0 || ret < -4095)
		return ret;
	errno = (int)-ret;
	return -1;
}

static long raw6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result(ret);
}

static int find(struct dl_phdr_info *info, size_t size, void *unused)
{
	(void)size;
	(void)unused;
	if (!strstr(info->dlpi_name, "libshmfd"))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && p->p_flags & PF_X) {
			from = info->dlpi_addr + p->p_vaddr;
			to = from + p->p_memsz;
		}
	}
	return 1;
}

__attribute__((constructor)) static void begin(void)
{
	const char *lack = getenv("CHAOS_LACK"), *seed = getenv("CHAOS_SEED");

	if (!lack)
		return;
	dl_iterate_phdr(find, NULL);
	state = (seed ? strtoull(seed, NULL, 10) : 1) + (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
	one_in = (uint32_t)atoi(lack);
}

/* Is it the library's turn to be refused?  Sets errno then. */
static int refuse(const void *caller, int error)
{
	uint64_t drawn;

	if (!one_in || (uintptr_t)caller < from || (uintptr_t)caller >= to)
		return 0;
	drawn = __atomic_add_fetch(&state, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);
	drawn = (drawn ^ (drawn >> 31)) * 0xbf58476d1ce4e5b9u;
	if ((drawn >> 33) % one_in)
		return 0;
	errno = error;
	return 1;
}

int memfd_create(const char *name, unsigned int flags)
{
	if (refuse(__builtin_return_address(0), ENFILE))
		return -1;
	return (int)raw6(SYS_memfd_create, (long)name, flags, 0, 0, 0, 0);
}

int ftruncate(int fd, off_t len)
{
	if (refuse(__builtin_return_address(0), ENOMEM))
		return -1;
	return (int)raw6(SYS_ftruncate, fd, len, 0, 0, 0, 0);
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
	if (refuse(__builtin_return_address(0), ENOMEM))
		return MAP_FAILED;
	return (void *)raw6(SYS_mmap, (long)at, (long)len, prot, flags, fd, off);
}

int socket(int family, int type, int protocol)
{
	int hidden = family == AF_NETLINK || (type & 0xf) == SOCK_SEQPACKET;

	if (hidden && refuse(__builtin_return_address(0), EMFILE))
		return -1;
	return (int)raw6(SYS_socket, family, type, protocol, 0, 0, 0);
}

int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	if (cmd == F_DUPFD_CLOEXEC && arg >= HIDDEN_FROM &&
	    refuse(__builtin_return_address(0), EMFILE))
		return -1;
	return (int)raw6(SYS_fcntl, fd, cmd, arg, 0, 0, 0);
}
