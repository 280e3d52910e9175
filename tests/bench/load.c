/* A client that loads an echo, discard or chargen service, and prints what it saw on one line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

enum {
	OPENING_AT_ONCE = 128,
	STRAGGLER_MS = 300,
};

static void
send_message(struct connection *connection, uint64_t number)
{
	size_t differing = sizeof connection->message;

	if ((size_t)options.bytes < differing)
		differing = (size_t)options.bytes;
	memcpy(connection->message, pattern + number % PATTERN, differing);
	memcpy(buffer, connection->message, differing);
	connection->got = 0;
	connection->since = now();
	if (send(connection->fd, buffer, (size_t)options.bytes, MSG_NOSIGNAL) != options.bytes)
		fail("send: %s", strerror(errno));
}

/* True when the whole message is back. */
static bool
receive_message(struct connection *connection)
{
	static char reply[MAX_MESSAGE];
	size_t differing = sizeof connection->message;
	ssize_t n =
		recv(connection->fd, reply, (size_t)options.bytes - connection->got, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		fail("recv: %s", n == 0 ? "end of stream" : strerror(errno));
	for (size_t i = connection->got; i < differing && i < connection->got + (size_t)n; i++)
		if (reply[i - connection->got] != connection->message[i])
			fail("the echo differs");
	connection->got += (uint64_t)n;
	return connection->got == (uint64_t)options.bytes;
}

static void
load_echo(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = open_connections(SOCK_STREAM);
	uint64_t sent = 0, done = 0;

	start_clock();
	for (long i = 0; i < options.connections; i++)
		send_message(&all[i], sent++);
	while (done < sent) {
		int n = wait_events(events, 1);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!receive_message(connection))
				continue;
			double at = now();
			record_latency(at - connection->since);
			done++;
			if (!is_over(sent, at))
				send_message(connection, sent++);
		}
	}
	report("messages", done, now() - started, "bytes", done * (uint64_t)options.bytes);
}

static void
redial(struct connection *connection)
{
	*connection = (struct connection){.since = now()};
	connection->fd = dial(SOCK_STREAM, false);
	watch(connection, EPOLLOUT);
}

static void
load_connect(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = calloc((size_t)options.connections, sizeof *all);
	uint64_t opened = 0, done = 0;
	double last = 0;

	if (all == NULL)
		fail("out of memory");
	start_clock();
	for (long i = 0; i < options.connections; i++, opened++)
		redial(&all[i]);
	/* A server that leaves a connection lying is not waited for: the number is reported. */
	while (done < opened && (now() < end + STRAGGLER_MS / 1e3 || options.count > 0)) {
		int n = wait_events(events, STRAGGLER_MS / 1e3);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			double since = connection->since;
			if (!connection->sent) {
				send_message(connection, done);
				connection->since = since;
				connection->sent = true;
				watch(connection, EPOLLIN);
			} else if (receive_message(connection)) {
				last = now();
				record_latency(last - since);
				close(connection->fd);
				done++;
				if (!is_over(opened, last)) {
					redial(connection);
					opened++;
				}
			}
		}
	}
	if (done == 0)
		fail("no connection was served");
	report("connections", done, last - started, "left_lying", opened - done);
}

static void
load_idle(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = calloc((size_t)options.connections, sizeof *all);
	long opened = 0, done = 0;
	char byte;

	if (all == NULL)
		fail("out of memory");
	options.bytes = 1;
	start_clock();
	while (done < options.connections) {
		while (opened < options.connections && opened < done + OPENING_AT_ONCE)
			redial(&all[opened++]);
		int n = wait_events(events, 1);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!connection->sent) {
				send_message(connection, (uint64_t)opened);
				connection->sent = true;
				watch(connection, EPOLLIN);
			} else if (receive_message(connection)) {
				epoll_ctl(epoll, EPOLL_CTL_DEL, connection->fd, NULL);
				done++;
			}
		}
	}
	report("connections", (uint64_t)done, now() - started, "ready", 1);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

int
main(int argc, char **argv)
{
	bool valid = argc >= 3 && (options.port = atol(argv[2])) > 0 && options.port < 65536;

	for (int i = 3; i < argc && valid; i++)
		valid = set_option(argv[i]);
	if (!valid) {
		fprintf(stderr,
			"usage: load echo|connect|paced|bulk|sink|source|udp|idle PORT "
			"[connections=N] [bytes=N] [seconds=S] [count=N] [window=N] [rate=N] [host=A]\n");
		return 2;
	}
	prepare();
	if (strcmp(argv[1], "echo") == 0)
		load_echo();
	else if (strcmp(argv[1], "connect") == 0)
		load_connect();
	else if (strcmp(argv[1], "bulk") == 0 || strcmp(argv[1], "sink") == 0)
		load_bulk(argv[1][0] == 'b');
	else if (strcmp(argv[1], "source") == 0)
		load_source();
	else if (strcmp(argv[1], "paced") == 0)
		load_paced();
	else if (strcmp(argv[1], "udp") == 0)
		load_udp();
	else if (strcmp(argv[1], "idle") == 0)
		load_idle();
	else
		fail("unknown mode \"%s\"", argv[1]);
	return 0;
}
