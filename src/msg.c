/* SPDX-License-Identifier: MIT */

/* The host's messages: what the kernel would say of their memory, and parts of them. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>

#include "stream.h"

size_t shmfd_iov_total(const struct iovec *iov, size_t nr)
{
	size_t sum = 0;

	for (size_t i = 0; i < nr; i++)
		sum += iov[i].iov_len;
	return sum;
}

int shmfd_check_msg(const struct msghdr *m)
{
	bool missing = false;

	if (m->msg_iovlen && shmfd_is_bad_pointer(m->msg_iov, m->msg_iovlen * sizeof(*m->msg_iov)))
		return -EFAULT;
	for (size_t i = 0; i < m->msg_iovlen; i++) {
		if (m->msg_iov[i].iov_len > SSIZE_MAX)
			return -EINVAL;
	}
	for (size_t i = 0; i < m->msg_iovlen; i++) {
		const struct iovec *v = &m->msg_iov[i];

		if (!v->iov_len || !shmfd_is_bad_pointer(v->iov_base, v->iov_len))
			continue;
		if ((uintptr_t)v->iov_base >= SHMFD_PAGE)
			return -EFAULT;
		missing = true;
	}
	return missing;
}

size_t shmfd_iov_part(struct iovec *to, const struct msghdr *from, size_t skip, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < from->msg_iovlen && n < SHMFD_CLAMP_IOV && max; i++) {
		struct iovec v = from->msg_iov[i];

		if (skip >= v.iov_len) {
			skip -= v.iov_len;
			continue;
		}
		v.iov_base = (char *)v.iov_base + skip;
		v.iov_len -= skip;
		skip = 0;
		if (v.iov_len > max)
			v.iov_len = max;
		max -= v.iov_len;
		to[n++] = v;
	}
	return n;
}
