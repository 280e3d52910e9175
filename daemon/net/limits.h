/* limits.h - how many connections a listener may have, from whom, how fast; shared by its
 * reactors. */
#ifndef TWINED_NET_LIMITS_H
#define TWINED_NET_LIMITS_H

#include <stdint.h>

#include "net/address.h"
#include "net/reason.h"

struct limits;
struct listener_settings;

/*
 * The whole daemon's connections, and the descriptors that they and flows of datagrams may take (a
 * proxied connection has two). All functions here are for any thread. 0 is no limit.
 */
struct connection_budget;
struct connection_budget *connection_budget_new(void);
void connection_budget_set(struct connection_budget *budget, int64_t most, int64_t descriptors);

/* How many connections, and flows of datagrams, there are. */
int64_t connection_budget_taken(const struct connection_budget *budget);
int64_t connection_budget_flows(const struct connection_budget *budget);
void connection_budget_free(struct connection_budget *budget);

/*
 * Makes the limits of one listener, with one reference. The budget outlives them; the settings are
 * only read here and by limits_set. descriptors: how many a connection takes. NULL with errno.
 */
struct limits *limits_new(const struct listener_settings *settings,
			  struct connection_budget *budget, unsigned descriptors);
struct limits *limits_ref(struct limits *limits);
void limits_unref(struct limits *limits);

/* New settings of the same listener; what is open stays counted. */
void limits_set(struct limits *limits, const struct listener_settings *settings);

/* Takes a place for a connection that is about to be accepted: 0, or -1 when all are taken. */
int limits_take_place(struct limits *limits);
void limits_leave_place(struct limits *limits);

/*
 * Takes a descriptor for a flow of datagrams (datagram_flow.h): 0, or -1 when flows have as many as
 * they may, and one has to go first. All flows together get half of the descriptors and leave the
 * rest to connections; the last quarter of that half is divided evenly among the listeners that
 * have flows, so that a flood of one takes nobody's share. A few each listener gets even when
 * connections have taken everything.
 */
int limits_take_flow(struct limits *limits);
void limits_leave_flow(struct limits *limits);

/* Takes one accept of accept_rate: 0, or how many ms to wait for the next. */
int64_t limits_take_accept(struct limits *limits, uint64_t now_ms);
void limits_return_accept(struct limits *limits);

/*
 * Counts one more of a peer's network (a /32 or a /64): 0, or -1 when it has
 * max_connections_per_ip.
 */
int limits_count_peer(struct limits *limits, const union peer_address *peer);
void limits_uncount_peer(struct limits *limits, const union peer_address *peer);

#endif
