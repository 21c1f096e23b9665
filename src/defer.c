/* SPDX-License-Identifier: MIT */

/* See defer.h. */
#define _GNU_SOURCE
#include "defer.h"

#include <string.h>
#include <sys/mman.h>

#include "stream.h"
#include "sys.h"

/* In a mapping of its own: a handler must not ask malloc. */
struct kept {
	struct kept *next;
	struct shmfd_stream *s;
	int fd;
	size_t len;
	char bytes[];
};

/* What handlers kept, the last first; @running: it is being sent, below on this stack. */
static __thread struct {
	struct kept *_Atomic last;
	volatile bool running;
} mine __attribute__((tls_model("initial-exec")));

ssize_t shmfd_defer_send(struct shmfd_stream *s, int fd, const struct msghdr *msg,
			 size_t total)
{
	struct kept *k, *next = NULL;

	if (!total)
		return 0;
	k = mmap(NULL, sizeof(*k) + total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		 -1, 0);
	if (k == MAP_FAILED)
		return -EINTR;
	k->s = shmfd_stream_get_at(shmfd_stream_index(s));
	if (!k->s) {
		munmap(k, sizeof(*k) + total);
		return -EBADF;
	}
	k->fd = fd;
	for (size_t i = 0; i < msg->msg_iovlen && k->len < total; i++) {
		size_t n = msg->msg_iov[i].iov_len;

		n = n < total - k->len ? n : total - k->len;
		if (n)
			memcpy(k->bytes + k->len, msg->msg_iov[i].iov_base, n);
		k->len += n;
	}
	do	/* a handler in this handler may be here as well */
		k->next = next;
	while (!cas_acquire(&mine.last, &next, k));
	shmfd_holds.deferred = true;
	return (ssize_t)total;
}

static void send_kept(const struct kept *k)
{
	size_t done = 0;

	while (done < k->len) {
		struct iovec part = { (char *)(uintptr_t)k->bytes + done, k->len - done };
		struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
		ssize_t n = shmfd_send(k->s, k->fd, &m, MSG_NOSIGNAL);

		if (n == SHMFD_PASS) {
			n = shmfd_sys.sendmsg(shmfd_stream_fd(k->s, k->fd), &m, MSG_NOSIGNAL);
			n = n < 0 ? -errno : n;
		}
		if (n > 0)
			done += (size_t)n;
		else if (n != -EINTR && n != -ERESTARTSYS)
			return;
	}
}

void shmfd_defer_run(void)
{
	struct kept *list, *k, *first = NULL;
	int saved = errno;

	if (mine.running)	/* what came since follows there */
		return;
	mine.running = true;
	for (;;) {
		shmfd_holds.deferred = false;	/* before the look: a handler after it is seen */
		list = xchg_seq_cst(&mine.last, NULL);
		if (!list)
			break;
		for (first = NULL; list; list = k) {
			k = list->next;
			list->next = first;
			first = list;
		}
		for (; first; first = k) {
			k = first->next;
			send_kept(first);
			shmfd_stream_put(first->s);
			munmap(first, sizeof(*first) + first->len);
		}
	}
	mine.running = false;
	errno = saved;
}

void shmfd_defer_fork_child(void)
{
	store_relaxed(&mine.last, NULL);
	mine.running = false;
	shmfd_holds.deferred = false;
}
