/* datagram_flow_hold.c - datagrams that wait because the unix socket they go to is full. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/datagram_flow_private.h"
#include "net/datagram_run.h"
#include "net/tally.h"

/*
 * A unix socket holds few datagrams (net.unix.max_dgram_qlen, 10 at first) and who sends to it is
 * used to wait for it instead of losing any. A UDP socket that takes no more says that the network
 * does not, and what waits there would only be late.
 */
enum {
	HELD_BY_FLOW = 1 << 20,		/* bytes */
	HELD_BY_ALL = 8 << 20,
	RETRY_MS = 1,			/* a tick */
};

struct held {
	struct held *next;
	size_t length;
	uint8_t bytes[];
};

struct held_queue {
	struct held *first, **end;
	size_t size;			/* of all of it */
};

struct flow_hold {
	struct held_queue out, back;	/* to the upstream, to the client */
	struct deadline retry;		/* of back: nothing else tells when a client has room */
	bool port_paused;
};

static void hold_retry(void *arg);

/* The flow's, made if it has none; NULL without memory. */
static struct flow_hold *
hold_of(struct datagram_flow *flow)
{
	if (flow->hold == NULL)
		flow->hold = calloc(1, sizeof *flow->hold);
	if (flow->hold == NULL)
		return NULL;
	if (flow->hold->retry.fn == NULL) {
		flow->hold->out.end = &flow->hold->out.first;
		flow->hold->back.end = &flow->hold->back.first;
		flow->hold->retry.fn = hold_retry;
		flow->hold->retry.arg = flow;
	}
	return flow->hold;
}

/* Adds copies of the pieces, as far as there is room; the others are counted as dropped. */
static void
queue_add(struct datagram_flow *flow, struct held_queue *queue, const struct iovec *pieces,
	  unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		size_t size = sizeof(struct held) + pieces[i].iov_len;
		bool room = queue->size + size <= HELD_BY_FLOW
			    && flow->flows->held + size <= HELD_BY_ALL;
		struct held *held = room ? malloc(size) : NULL;

		if (held == NULL) {
			flow_count_drops(flow, DROP_SEND, count - i);
			return;
		}
		held->next = NULL;
		held->length = pieces[i].iov_len;
		memcpy(held->bytes, pieces[i].iov_base, held->length);
		*queue->end = held;
		queue->end = &held->next;
		queue->size += size;
		flow->flows->held += size;
	}
}

static void
queue_remove_first(struct datagram_flow *flow, struct held_queue *queue)
{
	struct held *first = queue->first;
	size_t size = sizeof *first + first->length;

	queue->first = first->next;
	if (queue->first == NULL)
		queue->end = &queue->first;
	queue->size -= size;
	flow->flows->held -= size;
	free(first);
}

static void
queue_drop(struct datagram_flow *flow, struct held_queue *queue)
{
	for (; queue->first != NULL; queue_remove_first(flow, queue))
		flow_count_drops(flow, DROP_SEND, 1);
}

/*
 * Sends what the socket takes, counted when it goes to the client: 0, EAGAIN when some has to wait
 * on, or the errno of a refusal.
 */
static int
queue_send(struct datagram_flow *flow, struct held_queue *queue, const struct datagram_way *way,
	   bool counted)
{
	struct counters *counters = flow->port->endpoint.counters;

	while (queue->first != NULL) {
		struct held *first = queue->first;
		struct iovec piece = { .iov_base = first->bytes, .iov_len = first->length };

		if (datagram_run_send(way, &piece, 1) == 1) {
			counters->datagrams_out += counted;
			counters->bytes_out += counted ? piece.iov_len : 0;
			if (!counted)
				flow_note_sent(flow);
		} else if (errno == EAGAIN || flow_is_refusal(errno)) {
			return errno;
		} else {
			flow_count_drops(flow, DROP_SEND, 1);
		}
		queue_remove_first(flow, queue);
	}
	return 0;
}

/* Frees the hold when it holds nothing. */
static void
hold_settle(struct datagram_flow *flow)
{
	struct flow_hold *hold = flow->hold;

	if (hold->out.first == NULL && hold->port_paused) {
		hold->port_paused = false;
		datagram_port_resume(flow->port);
	}
	if (hold->out.first != NULL || hold->back.first != NULL)
		return;
	reactor_unset_deadline(flow->port->endpoint.reactor, &hold->retry);
	flow->hold = NULL;
	free(hold);
}

void
flow_hold_out(struct datagram_flow *flow, const struct iovec *pieces, unsigned count)
{
	struct flow_hold *hold = hold_of(flow);

	if (hold == NULL) {
		flow_count_drops(flow, DROP_SEND, count);
		return;
	}
	queue_add(flow, &hold->out, pieces, count);
	/* Clients that would wait for the server itself wait for it here. */
	if (flow->flows->settings.waits && flow->port->endpoint.kind == ADDRESS_UNIXGRAM
	    && hold->out.first != NULL && !hold->port_paused) {
		hold->port_paused = true;
		datagram_port_pause(flow->port);
	}
	hold_settle(flow);
}

void
flow_hold_back(struct datagram_flow *flow, const struct iovec *pieces, unsigned count)
{
	struct flow_hold *hold = hold_of(flow);

	if (hold == NULL) {
		flow_count_drops(flow, DROP_SEND, count);
		return;
	}
	queue_add(flow, &hold->back, pieces, count);
	if (hold->back.first != NULL)
		reactor_set_deadline(flow->port->endpoint.reactor, &hold->retry,
				     reactor_now_ms() + RETRY_MS);
	hold_settle(flow);
}

bool
flow_holds_out(const struct datagram_flow *flow)
{
	return flow->hold != NULL && flow->hold->out.first != NULL;
}

bool
flow_holds_back(const struct datagram_flow *flow)
{
	return flow->hold != NULL && flow->hold->back.first != NULL;
}

int
flow_unhold_out(struct datagram_flow *flow, const struct datagram_way *way)
{
	int error = queue_send(flow, &flow->hold->out, way, false);

	hold_settle(flow);
	return error;
}

/* Tries again what goes back to the client. */
static void
hold_retry(void *arg)
{
	struct datagram_flow *flow = arg;
	const struct datagram_way way = flow_way_back(flow);
	int error = queue_send(flow, &flow->hold->back, &way, true);

	if (error == EAGAIN)
		reactor_set_deadline(flow->port->endpoint.reactor, &flow->hold->retry,
				     reactor_now_ms() + RETRY_MS);
	else
		queue_drop(flow, &flow->hold->back);	/* the client has gone */
	hold_settle(flow);
}

void
flow_hold_drop_out(struct datagram_flow *flow)
{
	if (flow->hold == NULL)
		return;
	queue_drop(flow, &flow->hold->out);
	hold_settle(flow);
}

void
flow_hold_drop(struct datagram_flow *flow)
{
	if (flow->hold == NULL)
		return;
	queue_drop(flow, &flow->hold->back);
	flow_hold_drop_out(flow);
}
