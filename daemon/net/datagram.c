/* datagram.c - takes the datagrams of a bound socket in batches, answers as the rules allow. */
#include "net/datagram.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/datagram_port.h"
#include "net/datagram_private.h"
#include "net/factory.h"
#include "net/limits.h"
#include "net/listener.h"
#include "net/port.h"
#include "net/tally.h"

enum {
	RETRY_MS = 80,
	BURST_ROOM = 1 << 20,	/* bytes; the kernel's rmem_max bounds it too */
};

const void *
datagram_settings(const struct datagram *datagram)
{
	return factory_settings(datagram->port->endpoint.factory);
}

struct factory *
datagram_factory(const struct datagram *datagram)
{
	return datagram->port->endpoint.factory;
}

const union peer_address *
datagram_peer(const struct datagram *datagram)
{
	return &datagram->source.peer;
}

const char *
datagram_peer_text(const struct datagram *datagram)
{
	return datagram_source_text(&datagram->source);
}

size_t
datagram_reply_max(const struct datagram *datagram)
{
	const struct protocol *protocol = factory_protocol(datagram->port->endpoint.factory);

	if (reply_rules_amplify(&datagram->port->rules, &datagram->source))
		return DATAGRAM_MAX;
	return datagram->length > protocol->reply_exempt ? datagram->length
							 : protocol->reply_exempt;
}

/* Why an answer of that length may not go out; DROP_COUNT when it may. */
static enum datagram_drop
reply_drop(const struct datagram *datagram, size_t length)
{
	struct reply_rules *rules = &datagram->port->rules;
	enum datagram_drop drop = reply_rules_source(rules, &datagram->source);

	if (drop != DROP_COUNT)
		return drop;
	if (length > datagram_reply_max(datagram))
		return DROP_LONG;
	return reply_rules_take(rules, &datagram->source.peer, datagram->source.loopback)
		       ? DROP_COUNT
		       : DROP_RATE;
}

void
datagram_reply(struct datagram *datagram, const void *bytes, size_t length)
{
	struct datagram_port *port = datagram->port;
	struct datagram_batch *batch = datagram_batch_of(port->endpoint.reactor);
	struct msghdr *out, *in = &batch->in[datagram->slot].msg_hdr;
	void *slot = batch->in_pieces[datagram->slot].iov_base;
	enum datagram_drop drop;

	if (datagram->replied)
		return;
	datagram->replied = true;
	drop = reply_drop(datagram, length);
	if (drop != DROP_COUNT) {
		port->endpoint.counters->datagrams_dropped[drop]++;
		return;
	}
	if (bytes != slot && length > 0)
		memcpy(slot, bytes, length);
	out = &batch->out[batch->out_count].msg_hdr;
	out->msg_name = &datagram->source.from.u;
	out->msg_namelen = datagram->source.from.length;
	out->msg_iov->iov_base = slot;
	out->msg_iov->iov_len = length;
	out->msg_controllen = port->sends_source ? datagram_answer_control(in) : 0;
	out->msg_control = out->msg_controllen > 0 ? in->msg_control : NULL;
	batch->out_count++;
}

static void
datagrams_ready(evutil_socket_t fd, short what, void *arg)
{
	struct datagram_port *port = arg;
	struct datagram_batch *batch = datagram_batch_of(port->endpoint.reactor);
	struct counters *counters = port->endpoint.counters;
	const struct protocol *protocol = factory_protocol(port->endpoint.factory);
	int count = datagram_batch_receive(batch, port);

	(void)fd;
	(void)what;
	for (int i = 0; i < count; i++) {
		struct datagram *datagram = &batch->datagrams[i];

		datagram->port = port;
		datagram->replied = false;
		datagram->length = batch->in[i].msg_len;
		counters->datagrams_in++;
		counters->bytes_in += datagram->length;
		datagram_source_note(&datagram->source, port->endpoint.kind,
				     batch->in[i].msg_hdr.msg_namelen);
		if (batch->in[i].msg_hdr.msg_flags & MSG_TRUNC)
			counters->datagrams_dropped[DROP_TOO_LARGE]++;	/* never half of one */
		else if (!reply_rules_admit(&port->rules, &datagram->source))
			counters->datagrams_dropped[DROP_DENIED]++;
		else
			protocol->datagram_received(datagram, batch->in_pieces[i].iov_base,
						    datagram->length);
	}
	if (batch->pending != NULL)
		datagram_flows_flush(batch);
	if (batch->out_count > 0)
		datagram_batch_answer(batch, port);
}

/* Lets a burst wait that comes faster than it is read. Who passed the socket may have said more. */
static void
make_room(int fd)
{
	int room = 0, wanted = BURST_ROOM;
	socklen_t length = sizeof room;

	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, &length) == 0 && room < wanted)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
}

/* Begins to read; without memory for that, later. */
static void
open_call(void *arg)
{
	struct datagram_port *port = arg;
	struct reactor *reactor = port->endpoint.reactor;

	if (port->pauses > 0)
		return;
	port->opened = datagram_batch_make(reactor) == 0
		       && reactor_watch(reactor, &port->event, port->fd, EV_READ | EV_PERSIST,
					datagrams_ready, port)
				  == 0;
	if (!port->opened)
		reactor_set_deadline(reactor, &port->retry, reactor_now_ms() + RETRY_MS);
}

/* Nothing needs it any more. */
static void
port_gone(struct deferred *deferred)
{
	struct datagram_port *port =
		(struct datagram_port *)((char *)deferred - offsetof(struct datagram_port, gone));

	reply_rules_clear(&port->rules);
	limits_unref(port->limits);
	tally_unref(port->tally);
	port_release(port->socket);
	factory_unref(port->endpoint.factory);
	free(port);
}

struct datagram_port *
datagram_port_new(struct port *port, const struct listener_settings *settings,
		  struct factory *factory, struct limits *limits, struct tally *tally,
		  struct reactor *reactor)
{
	const char *listener = factory_name(factory);
	size_t size = strlen(listener) + 1 + strlen(port->text) + 1;
	struct datagram_port *new = calloc(1, sizeof *new + size);

	if (new == NULL)
		return NULL;
	snprintf(new->name, size, "%s %s", listener, port->text);
	new->endpoint = (struct endpoint){
		.reactor = reactor,
		.factory = factory_ref(factory),
		.name = new->name,
		.kind = port->kind,
		.counters = tally_counters(tally, reactor_index(reactor)),
	};
	new->rules.settings = settings;
	new->retry.fn = open_call;
	new->retry.arg = new;
	new->gone.fn = port_gone;
	new->limits = limits_ref(limits);
	new->tally = tally_ref(tally);
	new->socket = port_hold(port);
	new->fd = port->fd;
	new->sends_source = port->sends_source;
	return new;
}

void
datagram_port_open(struct datagram_port *port, struct own_addresses *own)
{
	reply_rules_set_own(&port->rules, own);
	if (port->endpoint.kind == ADDRESS_UDP)
		make_room(port->fd);
	reactor_call_wait(port->endpoint.reactor, open_call, port);
}

/* A new set for a port, taken over in its thread. */
struct own_change {
	struct datagram_port *port;
	struct own_addresses *own;
};

static void
set_own_call(void *arg)
{
	struct own_change *change = arg;

	reply_rules_set_own(&change->port->rules, change->own);
	change->port->own_changes++;
}

void
datagram_port_set_own(struct datagram_port *port, struct own_addresses *own)
{
	struct own_change change = { .port = port, .own = own };

	reactor_call_wait(port->endpoint.reactor, set_own_call, &change);
}

void
datagram_port_leave(struct datagram_port *port)
{
	port->flows--;
	if (port->closed && port->flows == 0)
		reactor_defer(port->endpoint.reactor, &port->gone);
}

/* Stops reading. */
static void
port_unwatch(struct datagram_port *port)
{
	if (port->opened)
		reactor_unwatch(&port->event);
	port->opened = false;
	reactor_unset_deadline(port->endpoint.reactor, &port->retry);
}

void
datagram_port_pause(struct datagram_port *port)
{
	if (port->pauses++ == 0)
		port_unwatch(port);
}

void
datagram_port_resume(struct datagram_port *port)
{
	if (--port->pauses == 0 && !port->closed)
		open_call(port);
}

static void
close_call(void *arg)
{
	struct datagram_port *port = arg;

	port_unwatch(port);
	port->closed = true;
	if (port->flows == 0)
		port_gone(&port->gone);
}

void
datagram_port_close(struct datagram_port *port)
{
	if (port != NULL)
		reactor_call_wait(port->endpoint.reactor, close_call, port);
}
