/* SPDX-License-Identifier: MIT */
/*
 * Description: one descriptor is written to by write, sendfile, dprintf, stdio, aio, and
 * splice of what vmsplice, tee and write put into a pipe, in turn; and read so: by read,
 * splice and aio. The order of bytes holds at each change.
 */
#include "duo.h"

#include <aio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#define PART   1000
#define PARTS  6	/* of one stream, each way */
#define ROUNDS 4

enum how { BY_WRITE, BY_SENDFILE, BY_DPRINTF, BY_VMSPLICE, BY_TEE, BY_AIO, BY_STDIO, HOWS };

/* Some ways refer to these bytes until they are read: each part has its own. */
static char outs[PARTS][PART + 1], *out, in[PART];
static int file, pipe_in[2], pipe_out[2], pipe_tee[2];

/* Letters only, for the sake of dprintf. */
static void text(uint32_t seed)
{
	duo_pattern(out, PART, seed);
	for (int i = 0; i < PART; i++)
		out[i] = (char)('a' + ((unsigned char)out[i] % 26));
	out[PART] = '\0';
}

static void await_aio(struct aiocb *cb)
{
	const struct aiocb *const list[] = {cb};

	while (aio_error(cb) == EINPROGRESS)
		aio_suspend(list, 1, NULL);
	if (aio_error(cb) || aio_return(cb) != PART)
		die("aio");
}

static void splice_all(int from, int to)
{
	size_t left = PART;

	while (left > 0) {
		ssize_t n = splice(from, NULL, to, NULL, left, 0);

		if (n <= 0)
			die("splice %zd", n);
		left -= (size_t)n;
	}
}

static void by_pipe(int fd, bool tees)
{
	struct iovec v = {.iov_base = out, .iov_len = PART};

	if (vmsplice(tees ? pipe_tee[1] : pipe_out[1], &v, 1, 0) != PART)
		die("vmsplice");
	if (tees) {
		if (tee(pipe_tee[0], pipe_out[1], PART, 0) != PART)
			die("tee");
		duo_read_all(pipe_tee[0], in, PART);
	}
	splice_all(pipe_out[0], fd);
}

static void send_part(int fd, enum how how)
{
	struct aiocb cb = {.aio_fildes = fd, .aio_buf = out, .aio_nbytes = PART};
	struct aiocb *list[] = {&cb};
	off_t at = out - outs[0];
	FILE *f;

	switch (how) {
	case BY_WRITE:
		duo_write_all(fd, out, PART);
		break;
	case BY_SENDFILE:
		if (pwrite(file, out, PART, at) != PART || sendfile(fd, file, &at, PART) != PART)
			die("sendfile");
		break;
	case BY_DPRINTF:
		if (dprintf(fd, "%s", out) != PART)
			die("dprintf");
		break;
	case BY_VMSPLICE:
	case BY_TEE:
		by_pipe(fd, how == BY_TEE);
		break;
	case BY_AIO:
		cb.aio_lio_opcode = LIO_WRITE;
		if (lio_listio(LIO_WAIT, list, 1, NULL))
			die("lio_listio");
		await_aio(&cb);
		break;
	default:
		f = fdopen(dup(fd), "w");
		if (!f || fputs(out, f) < 0 || fclose(f))
			die("stdio");
	}
}

static void receive_part(int fd, unsigned int how)
{
	struct aiocb cb = {.aio_fildes = fd, .aio_buf = in, .aio_nbytes = PART};

	switch (how % 3) {
	case 0:
		duo_read_all(fd, in, PART);
		break;
	case 1:
		splice_all(fd, pipe_in[1]);
		duo_read_all(pipe_in[0], in, PART);
		break;
	default:
		/* all of it is there */
		duo_await_bytes(fd, PART);
		if (aio_read(&cb))
			die("aio_read");
		await_aio(&cb);
	}
}

/* Both ends send and receive; what is first, and what second, differs by round. */
static void run(int first)
{
	bool server = duo_is_server();

	close(first);
	file = memfd_create("part", MFD_CLOEXEC);
	if (file < 0 || pipe(pipe_in) || pipe(pipe_out) || pipe(pipe_tee))
		die("pipe");
	for (unsigned int round = 0; round < ROUNDS * HOWS; round++) {
		int fd = round % 2 ? duo_another_warm() : duo_another();
		uint64_t sum = 0;

		for (unsigned int i = 0; i < PARTS; i++) {
			enum how how = (enum how)((round / ROUNDS + i * (round % ROUNDS)) % HOWS);

			out = outs[i];
			text(round * 100 + i * 2 + server);
			if (server)
				send_part(fd, how);
			receive_part(fd, round % ROUNDS ? i + round : 0);
			if (!server)
				send_part(fd, how);
			sum = sum * 31 + duo_sum(in, PART);
		}
		say("round %u: sum %016llx", round, (unsigned long long)sum);
		close(fd);
	}
}

DUO_PROGRAM(.description = "all ways to send, mixed", .server = run, .client = run)
