/* hub.h - lines that members send each other: each line stored once, each member a place among them. */
#ifndef TWINED_PROTOCOLS_HUB_H
#define TWINED_PROTOCOLS_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct hub;
struct transport;

/* A member that has fallen off the ring goes on at the oldest line kept, or is closed. */
enum on_slow { ON_SLOW_DROP, ON_SLOW_CLOSE };

/* What a listener's members have in common; lives as long as they do. */
struct hub_policy {
	bool receives;		/* else it only publishes */
	bool loopback;		/* it gets its own lines too */
	enum on_slow on_slow;
	/* Writes what a member is told after n lines were dropped, with a line end; its length. May be NULL. */
	size_t (*drop_notice)(const struct hub_policy *policy, uint64_t n, char *to, size_t size);
};

/* Longer than any notice of dropped lines. */
enum { HUB_NOTICE_MAX = 512 };

enum hub_place { HUB_OUT, HUB_READY, HUB_STUCK, HUB_FALLEN, HUB_SILENT };

/* Embedded in the state of a connection. The hub's, but for what is said to be readable. */
struct hub_member {
	struct hub *hub;		/* NULL: it has not joined, or has left */
	struct transport *transport;
	const struct hub_policy *policy;
	struct hub_member *next, **link;	/* in hub->ready, or among those stuck at a line */
	uint64_t line;			/* the number of the line whose bytes come next */
	uint64_t at;			/* the place of the next byte, counted from the hub's first */
	uint64_t own;			/* how many lines from there on are its own */
	uint64_t dropped;		/* readable: lines it did not get because it was slow */
	uint32_t id;			/* readable: its number, from 1 */
	uint8_t place;			/* enum hub_place */
	bool leaving;
};


/*
 * Makes a hub with a ring of size bytes, for lines of at most half of that. NULL with errno. It lives on
 * the reactor of its first member, where all others must be, and where all calls but ref and unref are made.
 */
struct hub *hub_new(size_t size);
struct hub *hub_ref(struct hub *hub);
void hub_unref(struct hub *hub);

/* Makes a member of a connection, and sends it the last so many lines. */
void hub_join(struct hub *hub, struct hub_member *member, struct transport *transport,
	      const struct hub_policy *policy, uint64_t history);

/* Ends a membership; from connection_lost at the latest. */
void hub_leave(struct hub_member *member);

/* The daemon stops: when every member has said so, each is closed after it has got all there is. */
void hub_member_stop(struct hub_member *member);

/* Goes on sending to it: what the protocol's drained does. */
void hub_member_drained(struct hub_member *member);

/*
 * Stores a line, given in pieces and with its line end, and sends it to every member that can take it,
 * at the end of the turn. sender may be NULL.
 */
void hub_publish(struct hub *hub, struct hub_member *sender, const struct iovec *pieces, int count);

/* The number that the next line will have, from 1. */
uint64_t hub_next_line(const struct hub *hub);

#endif
