/* datagram.c - takes the datagrams of a bound socket in batches, and decides which answers go out. */
#include "net/datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/datagram_port.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/listener.h"
#include "net/port.h"
#include "net/reactor.h"
#include "net/reply_rate.h"
#include "net/tally.h"

enum {
	BATCH = 32,
	RETRY_MS = 80,
	SLOT_SIZE = REACTOR_SCRATCH_SIZE / BATCH,	/* 64 KiB */
	CONTROL_SIZE = CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct in6_pktinfo)),
};

_Static_assert((int)SLOT_SIZE >= (int)DATAGRAM_MAX, "a slot holds the largest datagram");

/* What "auto" means for udp_reply_rate off loopback. */
static const struct rate auto_rate = { .count = 1000, .period_ms = 1000 };

struct datagram_port {
	struct endpoint endpoint;	/* has no transports */
	const struct listener_settings *settings;
	struct own_addresses *own;
	struct reply_rate *rate;	/* made with the first answer it is about */
	struct tally *tally;
	struct event event;
	struct deadline retry;
	int fd;
	bool sends_source;
	bool opened;
	char name[];
};

struct datagram {
	struct datagram_port *port;
	struct sockaddr_any from;
	union peer_address peer;	/* from, with IPv4 as such; family 0 for a unix peer */
	bool loopback;			/* or unix */
	bool replied;
	unsigned slot;
	size_t length;
};

/* A turn's datagrams and replies; one a reactor, shared by its ports. */
struct datagram_batch {
	struct mmsghdr in[BATCH], out[BATCH];
	struct iovec in_pieces[BATCH], out_pieces[BATCH];
	struct datagram datagrams[BATCH];
	_Alignas(struct cmsghdr) char control[BATCH][CONTROL_SIZE];
	unsigned replies;
};

static struct datagram_batch *
batch_of(struct reactor *reactor)
{
	return reactor_attachment(reactor);
}

/* Makes the reactor's batch, if it has none yet: 0, or -1 with errno. */
static int
batch_make(struct reactor *reactor)
{
	struct datagram_batch *batch;

	if (batch_of(reactor) != NULL)
		return 0;
	batch = calloc(1, sizeof *batch);
	if (batch == NULL)
		return -1;
	for (unsigned i = 0; i < BATCH; i++) {
		batch->in_pieces[i].iov_base = reactor_scratch(reactor) + i * SLOT_SIZE;
		batch->in_pieces[i].iov_len = SLOT_SIZE;
		batch->datagrams[i].slot = i;
		batch->in[i].msg_hdr = (struct msghdr){
			.msg_name = &batch->datagrams[i].from.u,
			.msg_iov = &batch->in_pieces[i],
			.msg_iovlen = 1,
		};
		batch->out[i].msg_hdr = (struct msghdr){ .msg_iov = &batch->out_pieces[i], .msg_iovlen = 1 };
	}
	reactor_attach(reactor, batch, free);
	return 0;
}

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

const char *
datagram_peer_text(const struct datagram *datagram)
{
	static _Thread_local char text[ADDRESS_TEXT_MAX];

	if (datagram->peer.sa.sa_family == AF_UNSPEC)
		return address_format(ADDRESS_UNIXGRAM, &datagram->from.u.sa, datagram->from.length, text);
	return address_format(ADDRESS_UDP, &datagram->peer.sa, sizeof datagram->peer, text);
}

size_t
datagram_reply_max(const struct datagram *datagram)
{
	const struct protocol *protocol = factory_protocol(datagram->port->endpoint.factory);
	int64_t amplify = datagram->port->settings->udp_amplify;

	if (amplify == 1 || (amplify == OPTION_AUTO && datagram->loopback))
		return DATAGRAM_MAX;
	return datagram->length > protocol->reply_exempt ? datagram->length : protocol->reply_exempt;
}

/* Whether nobody can rightly have sent from there. */
static bool
is_impossible_source(const union peer_address *peer)
{
	if (peer->sa.sa_family == AF_INET) {
		uint32_t address = ntohl(peer->in.sin_addr.s_addr);

		return address >> 28 == 0xe || address >> 24 == 0 || address == INADDR_BROADCAST;
	}
	return IN6_IS_ADDR_MULTICAST(&peer->in6.sin6_addr)
	       || IN6_IS_ADDR_UNSPECIFIED(&peer->in6.sin6_addr);
}

/* Whether the rate has an answer left for the sender. */
static bool
rate_allows(struct datagram_port *port, const struct datagram *datagram)
{
	const struct rate *rate = &port->settings->udp_reply_rate;

	if (datagram->peer.sa.sa_family == AF_UNSPEC || rate->count == 0
	    || (rate->count == OPTION_AUTO && datagram->loopback))
		return true;
	if (port->rate == NULL)
		port->rate = reply_rate_new(rate->count == OPTION_AUTO ? &auto_rate : rate);
	return port->rate != NULL && reply_rate_take(port->rate, &datagram->peer, reactor_now_ms());
}

/* Why an answer of that length may not go out; DROP_COUNT when it may. */
static enum datagram_drop
reply_drop(const struct datagram *datagram, size_t length)
{
	const union peer_address *peer = &datagram->peer;
	struct datagram_port *port = datagram->port;

	if (peer->sa.sa_family == AF_UNSPEC) {
		if (datagram->from.length <= sizeof(sa_family_t))
			return DROP_SOURCE;	/* a unix socket without a name cannot be answered */
	} else {
		if (is_impossible_source(peer))
			return DROP_SOURCE;
		if (ntohs(peer->in.sin_port) < 1024)	/* at the same place in sockaddr_in6 */
			return DROP_PORT;
	}
	if (own_addresses_have(port->own, &datagram->from))
		return DROP_OWN;
	if (length > datagram_reply_max(datagram))
		return DROP_LONG;
	return rate_allows(port, datagram) ? DROP_COUNT : DROP_RATE;
}

/*
 * The control message that came with a datagram says which of our addresses it was sent to; the same
 * message makes the reply come from there (ip(7), ipv6(7)).
 */
static size_t
reply_source(struct msghdr *received)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(received);

	for (; control != NULL; control = CMSG_NXTHDR(received, control)) {
		void *data = CMSG_DATA(control);

		if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO)
			((struct in_pktinfo *)data)->ipi_ifindex = 0;
		else if (control->cmsg_level != IPPROTO_IPV6 || control->cmsg_type != IPV6_PKTINFO)
			continue;
		else if (IN6_IS_ADDR_MULTICAST(&((struct in6_pktinfo *)data)->ipi6_addr))
			return 0;
		else if (!IN6_IS_ADDR_LINKLOCAL(&((struct in6_pktinfo *)data)->ipi6_addr))
			((struct in6_pktinfo *)data)->ipi6_ifindex = 0;
		memmove(received->msg_control, control, control->cmsg_len);
		return CMSG_ALIGN(control->cmsg_len);
	}
	return 0;
}

void
datagram_reply(struct datagram *datagram, const void *bytes, size_t length)
{
	struct datagram_port *port = datagram->port;
	struct datagram_batch *batch = batch_of(port->endpoint.reactor);
	enum datagram_drop drop = reply_drop(datagram, length);
	struct iovec *slot = &batch->in_pieces[datagram->slot];
	struct msghdr *out, *in = &batch->in[datagram->slot].msg_hdr;

	if (datagram->replied)
		return;
	datagram->replied = true;
	if (drop != DROP_COUNT) {
		port->endpoint.counters->datagrams_dropped[drop]++;
		return;
	}
	if (bytes != slot->iov_base && length > 0)
		memcpy(slot->iov_base, bytes, length);
	out = &batch->out[batch->replies].msg_hdr;
	out->msg_name = in->msg_name;
	out->msg_namelen = datagram->from.length;
	out->msg_iov->iov_base = slot->iov_base;
	out->msg_iov->iov_len = length;
	out->msg_controllen = port->sends_source ? reply_source(in) : 0;
	out->msg_control = out->msg_controllen > 0 ? in->msg_control : NULL;
	batch->replies++;
}

/* Sends the batch's replies; one that the system does not take does not hold up the others. */
static void
batch_send(struct datagram_port *port, struct datagram_batch *batch)
{
	struct counters *counters = port->endpoint.counters;

	for (unsigned done = 0; done < batch->replies;) {
		int sent = sendmmsg(port->fd, &batch->out[done], batch->replies - done, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0) {
			counters->datagrams_dropped[DROP_SEND]++;
			done++;
			continue;
		}
		for (int i = 0; i < sent; i++)
			counters->bytes_out += batch->out[done + (unsigned)i].msg_len;
		counters->datagrams_out += (unsigned)sent;
		done += (unsigned)sent;
	}
	batch->replies = 0;
}

/* Fills in where a received datagram came from. */
static void
datagram_note_source(struct datagram *datagram, struct datagram_port *port, const struct msghdr *message)
{
	datagram->port = port;
	datagram->replied = false;
	datagram->from.length = message->msg_namelen;
	datagram->peer.sa.sa_family = AF_UNSPEC;
	datagram->loopback = true;
	if (port->endpoint.kind == ADDRESS_UDP) {
		memcpy(&datagram->peer, &datagram->from.u, sizeof datagram->peer);
		address_unmap(&datagram->peer);
		datagram->loopback = address_is_loopback(&datagram->peer.sa);
	}
}

static bool
port_allows(const struct datagram_port *port, const union peer_address *peer)
{
	const struct listener_settings *settings = port->settings;

	return (settings->deny.count == 0 || !prefix_list_has(&settings->deny, peer))
	       && (settings->allow.count == 0 || prefix_list_has(&settings->allow, peer));
}

static void
datagrams_ready(evutil_socket_t fd, short what, void *arg)
{
	struct datagram_port *port = arg;
	struct datagram_batch *batch = batch_of(port->endpoint.reactor);
	struct counters *counters = port->endpoint.counters;
	const struct protocol *protocol = factory_protocol(port->endpoint.factory);
	int count;

	(void)what;
	for (unsigned i = 0; i < BATCH; i++) {
		struct msghdr *message = &batch->in[i].msg_hdr;

		message->msg_namelen = sizeof batch->datagrams[i].from.u;
		message->msg_control = port->sends_source ? batch->control[i] : NULL;
		message->msg_controllen = port->sends_source ? CONTROL_SIZE : 0;
	}
	count = recvmmsg(fd, batch->in, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++) {
		struct datagram *datagram = &batch->datagrams[i];

		datagram->length = batch->in[i].msg_len;
		counters->datagrams_in++;
		counters->bytes_in += datagram->length;
		datagram_note_source(datagram, port, &batch->in[i].msg_hdr);
		if (batch->in[i].msg_hdr.msg_flags & MSG_TRUNC)
			counters->datagrams_dropped[DROP_LONG]++;	/* never half of one */
		else if (!port_allows(port, &datagram->peer))
			counters->datagrams_dropped[DROP_DENIED]++;
		else
			protocol->datagram_received(datagram, batch->in_pieces[i].iov_base,
						    datagram->length);
	}
	if (batch->replies > 0)
		batch_send(port, batch);
}

/* Begins to read; without memory for that, later. */
static void
open_call(void *arg)
{
	struct datagram_port *port = arg;
	struct reactor *reactor = port->endpoint.reactor;

	port->opened = batch_make(reactor) == 0
		       && reactor_watch(reactor, &port->event, port->fd, EV_READ | EV_PERSIST,
					datagrams_ready, port)
				  == 0;
	if (!port->opened)
		reactor_set_deadline(reactor, &port->retry, reactor_now_ms() + RETRY_MS);
}

struct datagram_port *
datagram_port_new(const struct port *port, const struct listener_settings *settings,
		  struct factory *factory, struct tally *tally, struct reactor *reactor)
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
	new->settings = settings;
	new->retry.fn = open_call;
	new->retry.arg = new;
	new->tally = tally_ref(tally);
	new->fd = port->fd;
	new->sends_source = port->sends_source;
	return new;
}

void
datagram_port_open(struct datagram_port *port, struct own_addresses *own)
{
	port->own = own_addresses_ref(own);
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

	own_addresses_unref(change->port->own);
	change->port->own = own_addresses_ref(change->own);
}

void
datagram_port_set_own(struct datagram_port *port, struct own_addresses *own)
{
	struct own_change change = { .port = port, .own = own };

	reactor_call_wait(port->endpoint.reactor, set_own_call, &change);
}

static void
close_call(void *arg)
{
	struct datagram_port *port = arg;

	if (port->opened)
		reactor_unwatch(&port->event);
	reactor_unset_deadline(port->endpoint.reactor, &port->retry);
}

void
datagram_port_close(struct datagram_port *port)
{
	if (port == NULL)
		return;
	reactor_call_wait(port->endpoint.reactor, close_call, port);
	reply_rate_free(port->rate);
	own_addresses_unref(port->own);
	tally_unref(port->tally);
	factory_unref(port->endpoint.factory);
	free(port);
}
