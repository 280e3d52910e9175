/* load_udp.c - a load of datagrams: so many under way on each socket, the next when one comes back. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "client.h"

static void
send_datagram(struct connection *connection, uint64_t *sent)
{
	double at = now();

	memcpy(buffer, &at, sizeof at);
	memcpy(buffer + sizeof at, sent, sizeof *sent);
	if (send(connection->fd, buffer, (size_t)options.bytes, MSG_DONTWAIT) == options.bytes)
		connection->written++;
	(*sent)++;
	connection->since = at;
}

static bool
receive_datagram(struct connection *connection, uint64_t sent)
{
	static char reply[MAX_MESSAGE];
	double at;
	uint64_t number;
	ssize_t n = recv(connection->fd, reply, sizeof reply, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		fail("recv: %s", strerror(errno));
	memcpy(&at, reply, sizeof at);
	memcpy(&number, reply + sizeof at, sizeof number);
	if (n != options.bytes || number >= sent)
		fail("the echo differs");
	record_latency(now() - at);
	connection->got++;
	return true;
}

void
load_udp(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = open_connections(SOCK_DGRAM);
	uint64_t sent = 0, done = 0, lost = 0;

	if (options.bytes < 16)
		fail("bytes=16 at least");
	start_clock();
	for (double at = started; !is_over(done, at); at = now()) {
		/* A socket that has heard nothing for a while has lost its window: begin again. */
		for (long i = 0; i < options.connections; i++)
			if (all[i].written == all[i].got || at - all[i].since > 0.05) {
				lost += all[i].written - all[i].got;
				all[i].written = all[i].got;
				for (long w = 0; w < options.window; w++)
					send_datagram(&all[i], &sent);
			}
		int n = wait_events(events, 0.01);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			for (long w = 0; w < options.window && receive_datagram(connection, sent);
			     w++) {
				done++;
				send_datagram(connection, &sent);
			}
		}
	}
	report("datagrams", done, now() - started, "lost", lost);
}
