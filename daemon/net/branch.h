/* branch.h - what an acceptor has on one reactor: makes transports of the connections it is
 * given. */
#ifndef TWINED_NET_BRANCH_H
#define TWINED_NET_BRANCH_H

#include "net/address.h"
#include "net/endpoint.h"
#include "net/reason.h"

struct factory;
struct limits;
struct listener_settings;
struct port;
struct reactor;
struct tally;

struct branch {
	struct endpoint endpoint;	/* first */
	const struct listener_settings *settings;
	struct limits *limits;
	struct tally *tally;
	/* a place of the limits is free again; NULL: nobody waits */
	void (*place_left)(void *arg);
	void *place_left_arg;
	bool closed;
	char name[];			/* "echo tcp://127.0.0.1:7007" */
};

/*
 * It takes references to factory, limits and tally; the settings live as long as the factory. NULL
 * without memory.
 */
struct branch *branch_new(const struct port *port, const struct listener_settings *settings,
			  struct factory *factory, struct limits *limits, struct tally *tally,
			  struct reactor *reactor);

/*
 * The rest is for the reactor's thread.
 *
 * Gives the branch up. Its connections go on, by the settings that they began with; it is freed
 * when the last has gone.
 */
void branch_close(struct branch *branch);

/*
 * Whether an accepted connection may go on: REASON_COUNT, or why not. Where no PROXY header is to
 * come, the peer is counted then.
 */
enum reason branch_admit(struct branch *branch, const union peer_address *peer);

/* Takes over a connection that was admitted, and its place. */
void branch_take(struct branch *branch, int fd, const union peer_address *peer);

/*
 * Turns a connection away before it has become one: closes it. why, which may be NULL, says more.
 */
void branch_refuse(struct branch *branch, int fd, const union peer_address *peer,
		   enum reason reason, const char *why);

#endif
