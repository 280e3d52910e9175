/* load_paced.c - a load whose messages leave when they are due, however slow the answers are. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "client.h"

/*
 * An open loop: message k is sent at its time on connection k modulo their number, whether the one
 * before it has been answered or not, and its latency counts from when it was due. So a server that
 * stalls pays for every message that the stall has held up, where a client that waits for answers
 * would have sent fewer (and a faster one is not punished by the load that it allows).
 */
struct schedule {
	double *due; /* of every message */
	uint64_t size;
	uint64_t sent;
	uint64_t done;
	uint32_t random;
};

/* Gaps between messages are even from 0 to twice their mean: no two servers meet a better beat. */
static double
next_gap(struct schedule *schedule)
{
	schedule->random = schedule->random * 1664525U + 1013904223U;
	return 2.0 * (schedule->random >> 8) / (double)(1 << 24) / (double)options.rate;
}

static void
send_due(struct schedule *schedule, struct connection *all, double *next)
{
	for (; *next <= now() && *next < end; *next += next_gap(schedule)) {
		struct connection *connection =
			&all[schedule->sent % (uint64_t)options.connections];

		if (schedule->sent == schedule->size)
			fail("more messages than the rate allows");
		schedule->due[schedule->sent++] = *next;
		if (send(connection->fd, pattern + connection->written % PATTERN,
			 (size_t)options.bytes, MSG_NOSIGNAL | MSG_DONTWAIT) != options.bytes)
			fail("send: %s", strerror(errno));
		connection->written += (uint64_t)options.bytes;
	}
}

static void
receive_answers(struct schedule *schedule, struct connection *connection, uint64_t index)
{
	ssize_t n = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
	uint64_t each = (uint64_t)options.bytes, first = connection->got / each;
	double at = now();

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		fail("recv: %s", n == 0 ? "end of stream" : strerror(errno));
	if (!is_of_pattern(buffer, (size_t)n, connection->got))
		fail("the echo differs");
	connection->got += (uint64_t)n;
	for (uint64_t i = first; i < connection->got / each; i++, schedule->done++)
		record_latency(at - schedule->due[i * (uint64_t)options.connections + index]);
}

void
load_paced(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = open_connections(SOCK_STREAM);
	struct schedule schedule = {
		.size = (uint64_t)((double)options.rate * options.seconds * 2) + 1000, .random = 1
	};

	schedule.due = calloc(schedule.size, sizeof *schedule.due);
	if (schedule.due == NULL)
		fail("out of memory");
	prctl(PR_SET_TIMERSLACK, 1UL);
	start_clock();
	for (double next = started; next < end || schedule.done < schedule.sent;) {
		send_due(&schedule, all, &next);
		double left = next < end ? next - now() : 1;
		int n = wait_events(events, left > 0 ? left : 0);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			receive_answers(&schedule, connection, (uint64_t)(connection - all));
		}
	}
	report("messages", schedule.done, now() - started, "rate", (uint64_t)options.rate);
}
