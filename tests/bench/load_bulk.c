/* load_bulk.c - loads of bytes: streams that are written, read, or both at a time. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

enum { SOURCE_BUFFER = 512 * 1024 };

/*
 * Writes what fits, with at most so many chunks of an echo under way: more would measure the
 * caches. At the end of the time an echo is read to its last byte without a half-close, since some
 * of the servers lose what they owe when they see one.
 */
static void
write_bulk(struct connection *connection, bool is_echo)
{
	if (is_over(connection->written / 1000000, now())) {
		if (!is_echo)
			shutdown(connection->fd, SHUT_WR);
		connection->ended = true;
		return;
	}
	ssize_t n = send(connection->fd, pattern + connection->written % PATTERN, CHUNK,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		fail("send: %s", strerror(errno));
	connection->written += n > 0 ? (uint64_t)n : 0;
}

/* Reads what is there; false at the end of the stream. */
static bool
read_bulk(struct connection *connection, bool is_echo)
{
	ssize_t n = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n < 0)
		fail("recv: %s", strerror(errno));
	if (is_echo && !is_of_pattern(buffer, (size_t)n, connection->got))
		fail("the echo differs");
	connection->got += (uint64_t)n;
	return n > 0;
}

/* One turn of a connection; true when it is done. */
static bool
serve_bulk(struct connection *connection, uint32_t events, bool is_echo)
{
	bool open = true;

	if (events & EPOLLOUT)
		write_bulk(connection, is_echo);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		open = read_bulk(connection, is_echo);
	uint64_t under_way = connection->written - connection->got;
	if (connection->ended && (is_echo ? under_way == 0 : !open))
		return true;
	if (!open)
		fail("the server closed after %llu of %llu bytes",
		     (unsigned long long)connection->got, (unsigned long long)connection->written);
	bool may_write = !is_echo || under_way < (uint64_t)options.window * CHUNK;
	watch(connection, EPOLLIN | (may_write && !connection->ended ? EPOLLOUT : 0U));
	return false;
}

void
load_bulk(bool is_echo)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = open_connections(SOCK_STREAM);
	long open = options.connections;
	uint64_t bytes = 0;

	for (long i = 0; i < options.connections; i++)
		watch(&all[i], EPOLLIN | EPOLLOUT);
	start_clock();
	while (open > 0) {
		int n = wait_events(events, 1);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!serve_bulk(connection, events[i].events, is_echo))
				continue;
			bytes += connection->written;
			close(connection->fd);
			open--;
		}
	}
	report("bytes", bytes, now() - started, "connections", (uint64_t)options.connections);
}

void
load_source(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	uint64_t bytes = 0;

	start_clock();
	receive_buffer = SOURCE_BUFFER;
	struct connection *all = open_connections(SOCK_STREAM);
	while (!is_over(bytes / 1000000, now())) {
		int n = wait_events(events, 0.1);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			uint64_t before = connection->got;
			if (!read_bulk(connection, false))
				fail("the source has ended");
			bytes += connection->got - before;
		}
	}
	double elapsed = now() - started;
	for (long i = 0; i < options.connections; i++)
		close(all[i].fd);
	report("bytes", bytes, elapsed, "connections", (uint64_t)options.connections);
}
