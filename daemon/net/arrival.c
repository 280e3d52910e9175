/* arrival.c - a connection that still owes its PROXY header: reads that, and nothing behind it. */
#include "net/arrival.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/endpoint.h"
#include "net/proxy_header.h"
#include "net/reactor.h"
#include "net/tally.h"

enum { PEEK_SIZE = 2048 };

struct arrival {
	struct event event;
	struct deadline timeout;
	struct endpoint *endpoint;
	struct arrival *next, **link;		/* in endpoint->arrivals */
	arrival_ended_fn *ended;
	struct deferred gone;
	union peer_address peer;
	bool over;
	struct proxy_header header;
};

static enum reason
reason_of(int error)
{
	return error == ECONNRESET			? REASON_PEER_RESET
	       : error == ENOMEM || error == ENOBUFS	? REASON_NO_RESOURCES
							: REASON_ERROR;
}

/* Takes bytes off the socket that are there: 0, or -1 with errno. */
static int
consume(int fd, uint8_t *buffer, size_t length)
{
	ssize_t consumed;

	for (; length > 0; length -= (size_t)consumed) {
		do
			consumed = recv(fd, buffer, length, 0);
		while (consumed < 0 && errno == EINTR);
		if (consumed <= 0)
			return -1;
	}
	return 0;
}

/*
 * Reads of a header what has come. What of it has been looked at is taken off the socket, so that
 * no byte wakes us twice; what is behind it stays there. BAD: *refusal and header->wrong say why.
 */
static enum proxy_header_state
receive(int fd, struct proxy_header *header, uint8_t *buffer, enum reason *refusal)
{
	enum proxy_header_state state;
	ssize_t length;
	size_t taken;

	do
		length = recv(fd, buffer, PEEK_SIZE, MSG_PEEK);
	while (length < 0 && errno == EINTR);
	if (length < 0 && errno == EAGAIN)
		return PROXY_HEADER_MORE;
	if (length < 0) {
		*refusal = reason_of(errno);
		return PROXY_HEADER_BAD;
	}
	if (length == 0) {
		*refusal = header->taken == 0 ? REASON_PEER_CLOSED : REASON_BAD_PROXY_HEADER;
		header->wrong = header->taken == 0 ? NULL : "it ends too early";
		return PROXY_HEADER_BAD;
	}
	state = proxy_header_read(header, buffer, (size_t)length, &taken);
	if (state == PROXY_HEADER_BAD) {
		*refusal = REASON_BAD_PROXY_HEADER;
	} else if (consume(fd, buffer, taken) < 0) {
		*refusal = reason_of(errno);
		return PROXY_HEADER_BAD;
	}
	return state;
}

/* The end of the turn. */
static void
gone_deferred(struct deferred *deferred)
{
	struct arrival *arrival =
		(struct arrival *)((char *)deferred - offsetof(struct arrival, gone));
	struct endpoint *endpoint = arrival->endpoint;

	*arrival->link = arrival->next;
	if (arrival->next != NULL)
		arrival->next->link = arrival->link;
	free(arrival);
	if (endpoint->arrivals == NULL && endpoint->transports == NULL
	    && endpoint->all_gone != NULL)
		endpoint->all_gone(endpoint);
}

static void
arrival_end(struct arrival *arrival, enum reason refusal)
{
	struct reactor *reactor = arrival->endpoint->reactor;
	int fd = event_get_fd(&arrival->event);

	arrival->over = true;
	/* It counts once more, as what it becomes. */
	arrival->endpoint->counters->accepted--;
	arrival->endpoint->counters->open--;
	reactor_unwatch(&arrival->event);
	reactor_unset_deadline(reactor, &arrival->timeout);
	reactor_defer(reactor, &arrival->gone);
	arrival->ended(arrival->endpoint, fd, &arrival->peer, refusal, &arrival->header);
}

static void
arrival_ready(evutil_socket_t fd, short what, void *arg)
{
	struct arrival *arrival = arg;
	enum reason refusal = REASON_COUNT;

	(void)what;
	if (receive(fd, &arrival->header, reactor_scratch(arrival->endpoint->reactor), &refusal)
	    != PROXY_HEADER_MORE)
		arrival_end(arrival, refusal);
}

static void
arrival_timed_out(void *arg)
{
	struct arrival *arrival = arg;

	arrival->header.wrong =
		arrival->header.taken == 0 ? "none has come" : "a part of it has come";
	arrival_end(arrival, REASON_PROXY_HEADER_TIMEOUT);
}

/* Waits for the rest of a header: 0, or -1 with ENOMEM. */
static int
arrival_wait(struct endpoint *endpoint, int fd, const union peer_address *peer,
	     const struct proxy_header *header, arrival_ended_fn *ended)
{
	struct arrival *arrival = calloc(1, sizeof *arrival);

	if (arrival == NULL)
		return -1;
	if (reactor_watch(endpoint->reactor, &arrival->event, fd, EV_READ | EV_PERSIST,
			  arrival_ready, arrival)
	    != 0) {
		free(arrival);
		errno = ENOMEM;
		return -1;
	}
	arrival->endpoint = endpoint;
	arrival->peer = *peer;
	arrival->header = *header;
	arrival->ended = ended;
	arrival->gone.fn = gone_deferred;
	arrival->timeout.fn = arrival_timed_out;
	arrival->timeout.arg = arrival;
	reactor_set_deadline(endpoint->reactor, &arrival->timeout,
			     reactor_now_ms() + ARRIVAL_TIMEOUT_MS);
	arrival->next = endpoint->arrivals;
	arrival->link = &endpoint->arrivals;
	if (arrival->next != NULL)
		arrival->next->link = &arrival->next;
	endpoint->arrivals = arrival;
	endpoint->counters->accepted++;
	endpoint->counters->open++;
	return 0;
}

void
arrival_begin(struct endpoint *endpoint, int fd, const union peer_address *peer,
	      arrival_ended_fn *ended)
{
	uint8_t *buffer = reactor_scratch(endpoint->reactor);
	struct proxy_header header = { 0 };
	enum reason refusal = REASON_COUNT;

	if (receive(fd, &header, buffer, &refusal) == PROXY_HEADER_MORE) {
		if (arrival_wait(endpoint, fd, peer, &header, ended) == 0)
			return;
		refusal = REASON_NO_RESOURCES;
	}
	ended(endpoint, fd, peer, refusal, &header);
}

void
arrivals_stop(struct endpoint *endpoint)
{
	/* The list stays as it is: what is over goes at the end of the turn. */
	for (struct arrival *at = endpoint->arrivals; at != NULL; at = at->next) {
		if (!at->over)
			arrival_ready(event_get_fd(&at->event), EV_READ, at);
		if (!at->over)
			arrival_end(at, REASON_SHUTDOWN);
	}
}
