/* datagram_flow.h - what one client sends and is answered, over a socket of its own. */
#ifndef TWINED_NET_DATAGRAM_FLOW_H
#define TWINED_NET_DATAGRAM_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/address.h"

struct datagram;
struct datagram_flow;
struct datagram_flows;
struct factory;

/*
 * A client is its source address, the port of ours that it has sent to, and the address of ours:
 * from there it is answered, within the rules for answers of datagram.h. What it sends goes to the
 * flow's socket, which is connected and never used for another client; what still comes to it when
 * the flow has ended is dropped.
 *
 *   first datagram ──▶ wanted ──▶ CONNECTED ──▶ sent ──▶ answered
 *                        ▲            │
 *                        └─ the next ─┤ refused
 *                                     └─▶ lost: silent for timeout_ms, evicted, or the daemon stops
 *
 * All of it happens in the thread of the factory's reactor.
 */
struct flow_calls {
	size_t state_size;	/* of what the protocol keeps with a flow; zeroed */
	/*
	 * The flow has no socket and something to send: calls datagram_flow_connect, with one
	 * address after another, until it succeeds. What was to be sent is dropped if none does;
	 * the next datagram asks again.
	 */
	void (*wanted)(struct datagram_flow *flow);
	/* The first datagram has gone out since it was connected, and was not refused at once. */
	void (*sent)(struct datagram_flow *flow);
	/* The first datagram has come back since then. */
	void (*answered)(struct datagram_flow *flow);
	/* The socket has failed with this errno, ECONNREFUSED when nobody is there, and is gone. */
	void (*refused)(struct datagram_flow *flow, int error);
	/* Once, the last call. */
	void (*lost)(struct datagram_flow *flow);
};

struct flow_settings {
	size_t most;			/* flows, at least 1 */
	uint64_t timeout_ms;		/* a flow ends without a datagram either way for so long */
	const union peer_address *source;	/* to send from; NULL or family 0: any */
	/*
	 * While an upstream's unix socket is full, clients on unix sockets wait, as they would for
	 * the server itself: right where all go to one server. Otherwise what is beyond some room
	 * for it is dropped.
	 */
	bool waits;
};

/* The flows of one factory, none yet, which settings->source outlives. NULL with errno. */
struct datagram_flows *datagram_flows_new(const struct flow_calls *calls,
					  const struct flow_settings *settings);

/* When the factory is lost: it has no flow then. */
void datagram_flows_free(struct datagram_flows *flows);

/*
 * Sends a received datagram on in its client's flow, which is made if there is none. It goes out at
 * the end of the batch, after those of the same flow that came before it.
 */
void datagram_flow_carry(struct datagram_flows *flows, struct datagram *datagram);

/*
 * For `wanted`: connects the flow. 0, or -1 with errno, which is EMFILE when there is no room for
 * one more socket: no other address will do either.
 */
int datagram_flow_connect(struct datagram_flow *flow, const struct sockaddr_any *to);

/* The protocol's own: state_size bytes. */
void *datagram_flow_state(struct datagram_flow *flow);

struct factory *datagram_flow_factory(const struct datagram_flow *flow);

/* The client's address; family 0 for a unix client. */
const union peer_address *datagram_flow_client(const struct datagram_flow *flow);

/*
 * Where it comes from, "dns udp://127.0.0.1:53", for the log, if what concerns this flow is to be
 * logged; else NULL. At level info not more than so many flows a second are.
 */
const char *datagram_flow_log_name(const struct datagram_flow *flow);

#endif
