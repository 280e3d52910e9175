/* datagram_flow_private.h - a flow from within: for datagram_flow*.c only. */
#ifndef TWINED_NET_DATAGRAM_FLOW_PRIVATE_H
#define TWINED_NET_DATAGRAM_FLOW_PRIVATE_H

#include "net/datagram_flow.h"
#include "net/datagram_private.h"
#include "net/datagram_run.h"
#include "net/flow_table.h"
#include "net/network.h"
#include "net/reason.h"

struct datagram_flows {
	struct endpoint endpoint;	/* has no transports; entered while there are flows */
	struct flow_table table;
	const struct flow_calls *calls;
	struct flow_settings settings;
	struct deadline sweep;		/* set while there are flows */
	size_t held;			/* bytes of memory, by all */
	struct bucket log_lines;
	uint64_t unlogged;		/* flows opened since the last one that was logged */
};

/*
 * What a flow is found by: bytes that are equal for equal clients, aligned as the parts are.
 *
 *   struct datagram_port * | control: the address of ours, DATAGRAM_CONTROL at most | sockaddr
 */
enum { FLOW_NAME_MAX = sizeof(void *) + DATAGRAM_CONTROL + sizeof(struct sockaddr_un) };

_Static_assert((int)FLOW_NAME_MAX <= UINT8_MAX, "struct flow_entry has its length");

struct datagram_flow {
	struct flow_entry entry;	/* first */
	struct event event;		/* the socket, while connected */
	struct datagram_flows *flows;
	struct datagram_port *port;	/* which lives on for it */
	struct datagram *first, *last;	/* to be sent at the end of the batch */
	struct datagram_flow *next_pending;
	struct flow_hold *hold;		/* what waits for room; NULL: nothing */
	uint64_t opened_ms;
	uint64_t received, answered_bytes;	/* from and to the client */
	union peer_address client;
	uint16_t segment_max, answer_segment_max;	/* of datagram_run.h */
	uint32_t own_changes;		/* of the port, when barred was found out */
	uint8_t control_length;
	/* enum datagram_drop: why it is not answered, or DROP_COUNT */
	uint8_t barred;
	uint8_t unsent;			/* enum datagram_drop: why it could not be connected */
	bool loopback, amplify;
	bool connected;
	bool to_unix;			/* it is to a unix socket */
	bool just_connected;		/* nothing has been sent since */
	bool sent, answered;		/* since it was connected */
	bool logged;
	_Alignas(uint64_t) uint8_t state[];	/* the protocol's, then the name */
};

static inline int
flow_fd(const struct datagram_flow *flow)
{
	return event_get_fd(&flow->event);
}

/* The parts of its name. */
static inline void *
flow_control(const struct datagram_flow *flow)
{
	return (uint8_t *)flow->entry.name + sizeof(void *);
}

static inline void *
flow_client_name(const struct datagram_flow *flow)
{
	return (uint8_t *)flow_control(flow) + flow->control_length;
}

static inline socklen_t
flow_client_length(const struct datagram_flow *flow)
{
	return (socklen_t)(flow->entry.name_length - sizeof(void *) - flow->control_length);
}

/* Its client as the source of a datagram. */
struct datagram_source flow_source(const struct datagram_flow *flow);

/* Has what the flow has to send sent at the end of the batch; until then it is held. */
void flow_queue(struct datagram_flow *flow);

/* Ends up to so many flows for another one: how many. */
unsigned flows_evict(struct datagram_flows *flows, unsigned count);

/* Something has gone out: tells the protocol, if it is the first. */
void flow_note_sent(struct datagram_flow *flow);

/* Takes the flow's socket away and tells the protocol why. */
void flow_refused(struct datagram_flow *flow, int error);

/* Whether an error of the socket says that there is no way to where it is connected. */
bool flow_is_refusal(int error);

/* Receives what has come to the flow's socket and answers the client: whether there may be more. */
bool flow_receive(struct datagram_flow *flow);

/* The callback of its event. */
void flow_ready(evutil_socket_t fd, short what, void *arg);

/* How answers go to the client. */
struct datagram_way flow_way_back(struct datagram_flow *flow);

void flow_count_drops(const struct datagram_flow *flow, enum datagram_drop drop, unsigned count);

/*
 * Datagrams that wait (datagram_flow_hold.c), to the upstream and back to the client. What is held
 * is copied; what there is no room for is counted as dropped.
 */
void flow_hold_out(struct datagram_flow *flow, const struct iovec *pieces, unsigned count);
void flow_hold_back(struct datagram_flow *flow, const struct iovec *pieces, unsigned count);
bool flow_holds_out(const struct datagram_flow *flow);
bool flow_holds_back(const struct datagram_flow *flow);

/* Sends the upstream what it takes now: 0 when that is all, EAGAIN, or a refusal's errno. */
int flow_unhold_out(struct datagram_flow *flow, const struct datagram_way *way);

/* Drops what waits for the upstream; and what waits for the client, too. */
void flow_hold_drop_out(struct datagram_flow *flow);
void flow_hold_drop(struct datagram_flow *flow);

#endif
