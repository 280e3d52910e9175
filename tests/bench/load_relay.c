/* load_relay.c - a load of lines: one publisher, readers that get them all, and some that never read. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

enum {
	BLOCK_LINES = 16384,	/* without a count, so many lines are sent again and again */
	STALLED_BUFFER = 4096,
};

/* What is sent, and how far everybody is with it. */
static struct lines {
	char *text;
	size_t length;
	bool is_checked; /* all of it is sent once, and everything that comes is looked at */
	uint64_t got;    /* by all readers */
} lines;

static void
make_lines(void)
{
	size_t count = options.count > 0 ? (size_t)options.count : BLOCK_LINES,
	       size = (size_t)options.bytes;

	lines.is_checked = options.count > 0;
	lines.length = count * size;
	lines.text = malloc(lines.length + 1);
	if (lines.text == NULL)
		fail("out of memory");
	for (size_t i = 0; i < count; i++)
		snprintf(lines.text + i * size, size + 1, "%0*zu\n", (int)size - 1, i);
}

static void
publish(struct connection *publisher)
{
	size_t at = publisher->written % lines.length, most = lines.length - at;

	if (lines.is_checked ? publisher->written == lines.length : now() >= end) {
		publisher->ended = true;
		watch(publisher, EPOLLIN);
		return;
	}
	ssize_t n = send(publisher->fd, lines.text + at, most < CHUNK ? most : CHUNK,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		fail("send: %s", strerror(errno));
	publisher->written += n > 0 ? (uint64_t)n : 0;
}

/* What is not looked at is not copied either: then it is the server that is measured. */
static void
read_lines(struct connection *reader)
{
	ssize_t n = recv(reader->fd, buffer, sizeof buffer,
			 MSG_DONTWAIT | (lines.is_checked ? 0 : MSG_TRUNC));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fail("recv: %s", n == 0 ? "end of stream" : strerror(errno));
	if (lines.is_checked
	    && (reader->got + (uint64_t)n > lines.length
		|| memcmp(buffer, lines.text + reader->got, (size_t)n) != 0))
		fail("a reader has got something else after %llu bytes",
		     (unsigned long long)reader->got);
	reader->got += (uint64_t)n;
	lines.got += (uint64_t)n;
}

/* Those who never read have joined before everybody else. */
static struct connection *
join_all(struct connection *publisher)
{
	struct connection *readers;

	receive_buffer = STALLED_BUFFER;
	for (long i = 0; i < options.stalled; i++)
		dial(SOCK_STREAM, true);
	receive_buffer = 0;
	readers = open_connections(SOCK_STREAM);
	publisher->fd = dial(SOCK_STREAM, true);
	return readers;
}

void
load_relay(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection publisher = {.fd = -1}, *readers = join_all(&publisher);
	uint64_t before = 0, total = 0;
	double since, until;

	make_lines();
	start_clock();
	since = started;
	end += options.warm;
	watch(&publisher, EPOLLOUT);
	while (!publisher.ended || (lines.is_checked && lines.got < total)) {
		int n = wait_events(events, 1);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			if (connection == &publisher)
				publish(connection);
			else
				read_lines(connection);
		}
		total = (uint64_t)options.connections * publisher.written;
		if (since == started && now() >= started + options.warm) {
			since = now();
			before = lines.got;
		}
	}
	until = now();
	for (long i = 0; lines.is_checked && i < options.connections; i++)
		if (readers[i].got != lines.length)
			fail("reader %ld has got %llu bytes", i,
			     (unsigned long long)readers[i].got);
	/* The rate is that of the time after the warming up, the count everything. */
	printf("count=%llu seconds=%.6f lines_per_s=%.1f\n",
	       (unsigned long long)(lines.got / (uint64_t)options.bytes), until - started,
	       (double)(lines.got - before) / (double)options.bytes / (until - since));
	free(readers);
	free(lines.text);
}

void
load_members(void)
{
	char byte;

	receive_buffer = STALLED_BUFFER;
	for (long i = 0; i < options.connections; i++)
		dial(SOCK_STREAM, true);
	printf("ready=1\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}
