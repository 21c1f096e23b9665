/* SPDX-License-Identifier: MIT */
/*
 * Description: fdopen, fprintf, fgets, getline, dprintf, fclose on a used stream,
 * mixed with write; libc's own calls meet the same bytes.
 */
#include "duo.h"

static void server(int fd)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	FILE *in, *out;

	duo_warmup(fd);
	in = fdopen(fd, "r");
	out = fdopen(dup(fd), "w");
	if (!in || !out)
		die("fdopen");
	while ((n = getline(&line, &cap, in)) > 0) {
		say("line %zd '%.*s'", n, n > 40 ? 40 : (int)n - 1, line);
		fprintf(out, "%zd:", n);
		if (n % 2)
			fflush(out);
		fputs(line, out);
		fflush(out);
	}
	say("eof %d error %d", feof(in), ferror(in));
	free(line);
	fprintf(out, "goodbye\n");
	say_result("fclose", fclose(out));
	say_result("fclose", fclose(in));
	fd = duo_another_warm();
	say_result("dprintf", dprintf(fd, "number %d and '%s'\n", 42, "text"));
	duo_write_all(fd, "by write\n", 9);
	out = fdopen(fd, "w");
	fprintf(out, "by stdio\n");
	fflush(out);
	duo_write_all(fd, "by write\n", 9);
	fprintf(out, "left to fclose\n");
	fclose(out);
	say_result("write after fclose", write(fd, "x", 1));
	fd = duo_another_warm();
	out = fdopen(fd, "w");
	fprintf(out, "left to exit\n");
	duo_post();
}

static void receive(int fd)
{
	char buf[1000];
	size_t got = duo_read_all(fd, buf, sizeof(buf));

	say("read %zu '%.*s'", got, (int)got, buf);
	close(fd);
}

static void client(int fd)
{
	static char text[10000];

	duo_warmup(fd);
	for (size_t i = 1; i < 20; i++) {
		size_t got = 0, len = i * i * 20;
		char head[20];
		int extra;

		memset(text, 'a' + (int)i, len);
		text[len - 1] = '\n';
		duo_write_all(fd, text, len);
		extra = snprintf(head, sizeof(head), "%zu:", len);
		got = duo_read_all(fd, text, len + (size_t)extra);
		say("answer %zu '%.*s' sum %016llx", got, extra, text,
		    (unsigned long long)duo_sum(text, got));
	}
	shutdown(fd, SHUT_WR);
	receive(fd);
	receive(duo_another_warm());
	fd = duo_another_warm();
	duo_await();
	receive(fd);
}

DUO_PROGRAM(.description = "stdio on streams", .server = server, .client = client)
