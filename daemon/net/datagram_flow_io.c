/* datagram_flow_io.c - datagrams of flows: out to where they are connected, and back to clients. */
#include <errno.h>
#include <string.h>

#include "net/datagram_flow_private.h"
#include "net/datagram_run.h"
#include "net/tally.h"

/* Upstreams that refuse; the flow's next datagram finds out about others. */
enum { TRIES_A_BATCH = 4 };

void
flow_count_drops(const struct datagram_flow *flow, enum datagram_drop drop, unsigned count)
{
	flow->port->endpoint.counters->datagrams_dropped[drop] += count;
}

void
flow_queue(struct datagram_flow *flow)
{
	struct datagram_batch *batch = datagram_batch_of(flow->port->endpoint.reactor);

	flow->entry.held = true;
	flow->next_pending = NULL;
	if (batch->pending != NULL)
		batch->last_pending->next_pending = flow;
	else
		batch->pending = flow;
	batch->last_pending = flow;
}

bool
flow_is_refusal(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ECONNRESET:
	case ENOTCONN:
	case EPIPE:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENETUNREACH:
	case ENETDOWN:
	case EPERM:		/* a packet filter */
	case EACCES:
	case ENOPROTOOPT:
	case EPROTO:
		return true;
	default:
		return false;
	}
}

/* Adds a datagram to what is to be sent; its bytes stay where they are. */
static void
add_piece(struct datagram_batch *batch, void *bytes, size_t length)
{
	batch->out_pieces[batch->out_count++] =
		(struct iovec){ .iov_base = bytes, .iov_len = length };
}

/* Leaves one of what is to be sent out. */
static void
leave_out(struct datagram_batch *batch, unsigned index)
{
	batch->out_count--;
	for (unsigned i = index; i < batch->out_count; i++)
		batch->out_pieces[i] = batch->out_pieces[i + 1];
}

/*
 * Sends the batch from done on; what cannot be sent is counted and left out. 0, or the errno that
 * says that there is no way to where the flow is connected, or EAGAIN of a socket that is worth
 * waiting for.
 */
static int
send_pieces(struct datagram_flow *flow, struct datagram_batch *batch,
	    const struct datagram_way *way, bool waits, unsigned *done)
{
	for (bool again = true;;) {
		unsigned sent =
			datagram_run_send(way, batch->out_pieces + *done, batch->out_count - *done);

		*done += sent;
		if (*done == batch->out_count)
			return 0;
		if ((way->name == NULL && flow_is_refusal(errno)) || (waits && errno == EAGAIN))
			return errno;
		/* What is said may have come of an earlier datagram, such as a path's MTU. */
		if (sent == 0 && !again) {
			flow_count_drops(flow, errno == EMSGSIZE ? DROP_TOO_LARGE : DROP_SEND, 1);
			leave_out(batch, *done);
		}
		again = sent > 0 || !again;
	}
}

/* Waits for what comes and, with EV_WRITE, for room. */
static void
flow_watch(struct datagram_flow *flow, short what)
{
	int fd = flow_fd(flow);

	reactor_unwatch(&flow->event);
	if (reactor_watch(flow->port->endpoint.reactor, &flow->event, fd,
			  what | EV_READ | EV_PERSIST, flow_ready, flow)
	    != 0)
		flow_refused(flow, ENOMEM);
}

static struct datagram_way
way_out(struct datagram_flow *flow)
{
	return (struct datagram_way){ .fd = flow_fd(flow), .segment_max = &flow->segment_max };
}

struct datagram_way
flow_way_back(struct datagram_flow *flow)
{
	return (struct datagram_way){
		.fd = flow->port->fd,
		.name = flow_client_name(flow),
		.name_length = flow_client_length(flow),
		.control = flow_control(flow),
		.control_length = flow->control_length,
		.segment_max = &flow->answer_segment_max,
	};
}

/* Sends the batch to where the flow is connected: 0, or an errno when there is no way. */
static int
flow_send(struct datagram_flow *flow, struct datagram_batch *batch)
{
	const struct datagram_way way = way_out(flow);
	unsigned done = 0;
	int error;
	socklen_t length = sizeof error;

	if (flow_holds_out(flow)) {
		flow_hold_out(flow, batch->out_pieces, batch->out_count);
		return 0;
	}
	error = send_pieces(flow, batch, &way, flow->to_unix, &done);
	if (error == EAGAIN) {
		flow_hold_out(flow, batch->out_pieces + done, batch->out_count - done);
		if (flow_holds_out(flow))
			flow_watch(flow, EV_WRITE);
		if (done > 0 && flow->connected)
			flow_note_sent(flow);
		return 0;
	}
	/* What is on this machine has refused by now: the datagrams can go elsewhere. */
	if (error == 0 && flow->just_connected)
		getsockopt(way.fd, SOL_SOCKET, SO_ERROR, &error, &length);
	flow->just_connected = false;
	if (flow_is_refusal(error))
		return error;
	if (done > 0)
		flow_note_sent(flow);
	return 0;
}

/* Sends what the flow has to send; what is refused goes to where it is connected next. */
static void
flow_flush(struct datagram_flow *flow, struct datagram_batch *batch)
{
	batch->out_count = 0;
	for (struct datagram *at = flow->first; at != NULL; at = at->next)
		add_piece(batch, batch->in_pieces[at->slot].iov_base, at->length);
	flow->first = NULL;
	for (unsigned tries = 0;; tries++) {
		int error;

		if (!flow->connected && tries < TRIES_A_BATCH) {
			flow->unsent = DROP_NO_UPSTREAM;
			flow->flows->calls->wanted(flow);
		}
		if (!flow->connected)
			break;
		error = flow_send(flow, batch);
		if (error == 0)
			return;
		flow_refused(flow, error);
	}
	flow_count_drops(flow, flow->unsent, batch->out_count);
}

void
datagram_flows_flush(struct datagram_batch *batch)
{
	while (batch->pending != NULL) {
		struct datagram_flow *flow = batch->pending;

		flow_flush(flow, batch);
		batch->pending = flow->next_pending;
		flow->entry.held = false;
	}
	batch->out_count = 0;
}

/* Why an answer of that length may not go to the client; DROP_COUNT when it may. */
static enum datagram_drop
answer_drop(struct datagram_flow *flow, size_t length)
{
	struct reply_rules *rules = &flow->port->rules;

	if (flow->own_changes != flow->port->own_changes) {
		struct datagram_source source = flow_source(flow);

		flow->barred = (uint8_t)reply_rules_source(rules, &source);
		flow->own_changes = flow->port->own_changes;
	}
	if (flow->barred != DROP_COUNT)
		return (enum datagram_drop)flow->barred;
	if (!flow->amplify && length > flow->received - flow->answered_bytes)
		return DROP_LONG;
	return reply_rules_take(rules, &flow->client, flow->loopback) ? DROP_COUNT : DROP_RATE;
}

/* Sends what may go to the client. */
static void
flow_answer(struct datagram_flow *flow, struct datagram_batch *batch)
{
	struct counters *counters = flow->port->endpoint.counters;
	const struct datagram_way way = flow_way_back(flow);
	unsigned done = 0;

	if (!flow_holds_back(flow))
		send_pieces(flow, batch, &way, flow->port->endpoint.kind == ADDRESS_UNIXGRAM,
			    &done);
	if (done < batch->out_count)
		flow_hold_back(flow, batch->out_pieces + done, batch->out_count - done);
	counters->datagrams_out += done;
	for (unsigned i = 0; i < done; i++)
		counters->bytes_out += batch->out_pieces[i].iov_len;
	batch->out_count = 0;
}

bool
flow_receive(struct datagram_flow *flow)
{
	struct datagram_batch *batch = datagram_batch_of(flow->port->endpoint.reactor);
	int count = recvmmsg(flow_fd(flow), batch->replies, DATAGRAM_BATCH, MSG_DONTWAIT, NULL);

	if (count < 0) {
		if (flow_is_refusal(errno))
			flow_refused(flow, errno);
		return false;
	}
	if (!flow->answered) {
		flow->answered = true;
		flow->flows->calls->answered(flow);
	}
	batch->out_count = 0;
	for (int i = 0; i < count; i++) {
		const struct mmsghdr *message = &batch->replies[i];
		enum datagram_drop drop = message->msg_hdr.msg_flags & MSG_TRUNC
						  ? DROP_TOO_LARGE	/* never half of one */
						  : answer_drop(flow, message->msg_len);

		if (drop != DROP_COUNT) {
			flow_count_drops(flow, drop, 1);
			continue;
		}
		flow->answered_bytes += message->msg_len;
		add_piece(batch, batch->in_pieces[i].iov_base, message->msg_len);
	}
	if (batch->out_count > 0) {
		flow_table_touch(&flow->flows->table, &flow->entry, reactor_now_ms());
		flow_answer(flow, batch);
	}
	return count == DATAGRAM_BATCH;
}

void
flow_ready(evutil_socket_t fd, short what, void *arg)
{
	struct datagram_flow *flow = arg;
	int error = 0;

	(void)fd;
	if (what & EV_WRITE && flow_holds_out(flow)) {
		const struct datagram_way way = way_out(flow);

		error = flow_unhold_out(flow, &way);
		if (flow_is_refusal(error))
			flow_refused(flow, error);
		else if (error == 0)
			flow_watch(flow, 0);
	}
	if (what & EV_READ && flow->connected)
		flow_receive(flow);
}
