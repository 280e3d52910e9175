/* endpoint.h - what all connections of one listener (or connector) on one reactor have in
 * common. */
#ifndef TWINED_NET_ENDPOINT_H
#define TWINED_NET_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/address.h"

struct arrival;
struct counters;
struct factory;
struct reactor;
struct socket_options;
struct transport;

struct endpoint {
	struct endpoint *next, **link;	/* among those of its reactor */
	struct reactor *reactor;
	struct factory *factory;
	const char *name;		/* for the log: "echo tcp://127.0.0.1:7007" */
	enum address_kind kind;
	bool dialled;			/* its transports are a connector's, which tells of them */
	const char *peer_text;		/* what its peers are called; NULL: their address */
	bool pumped;			/* what the other end of its transports has read may be on its way yet */
	int64_t idle_timeout_ms, write_timeout_ms, linger_timeout_ms;	/* 0: off */
	/* for sockets that are dialled; NULL: the system's */
	const struct socket_options *socket;
	struct counters *counters;
	/* all of them, those accepted and those dialled on behalf of them */
	struct transport *transports;
	struct arrival *arrivals;	/* accepted ones that still owe their PROXY header */
	/* An accepted transport has gone (after its connection_lost); may be NULL. */
	void (*transport_gone)(struct endpoint *endpoint, const struct transport *transport);
	/* The daemon stops: ends what is neither; may be NULL. It may leave the list in it. */
	void (*stop)(struct endpoint *endpoint);
	/* The last transport or arrival has gone; may be NULL. The endpoint may be freed in it. */
	void (*all_gone)(struct endpoint *endpoint);
};

/* Enters an endpoint into its reactor's list, and takes it out; in the reactor's thread. */
void endpoint_enter(struct endpoint *endpoint);
void endpoint_leave(struct endpoint *endpoint);

/*
 * For all connections of a reactor, in its thread: lets them stop in order (transport_stop), closes
 * those that have all been delivered, resets them with REASON_SHUTDOWN, or counts them.
 */
void endpoints_stop(struct reactor *reactor);
void endpoints_close_delivered(struct reactor *reactor);
void endpoints_abort(struct reactor *reactor);
size_t endpoints_count(struct reactor *reactor);

#endif
