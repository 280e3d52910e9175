/* hub.h - lines that members send each other: each line stored once, each member a place among them. */
#ifndef TWINED_PROTOCOLS_HUB_H
#define TWINED_PROTOCOLS_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/reason.h"

struct filter;
struct hub;
struct reactor;
struct ring;
struct transport;

/* A member that has fallen off the ring goes on at the oldest line kept, or is closed. */
enum on_slow { ON_SLOW_DROP, ON_SLOW_CLOSE };

/* What a section's members have in common; lives as long as they do. */
struct hub_policy {
	bool receives;			/* else it only publishes */
	bool loopback;			/* it gets its own lines too */
	bool crlf;			/* what ends the lines that it gets; they are stored with LF */
	enum on_slow on_slow;
	const struct filter *filter;	/* of the lines that it gets, by their text; NULL: all */
	/*
	 * Writes what a member is told after n lines were dropped, with a line end; its length. May
	 * be NULL.
	 */
	size_t (*drop_notice)(const struct hub_policy *policy, uint64_t n, char *to, size_t size);

	/* What follows is the hub's, and all zero to begin with. */
	struct hub_policy *next;	/* with a filter, and with members that receive, or kept */
	unsigned members;		/* and one more while it is kept */
	bool kept;
	unsigned char *verdicts;	/* a bit for each entry of the ring of lines */
	uint64_t judged;		/* the first line that has its bit */
	uint64_t gone;			/* of those that would have passed, how many were given up */
};

/* Longer than any notice of dropped lines. */
enum { HUB_NOTICE_MAX = 512 };

enum hub_place { HUB_OUT, HUB_READY, HUB_STUCK, HUB_FALLEN, HUB_SILENT };

/* Embedded in the state of a connection. The hub's, but for what is said to be readable. */
struct hub_member {
	struct hub *hub;		/* NULL: it has not joined, or has left */
	struct transport *transport;
	struct hub_policy *policy;
	struct hub_member *next, **link;	/* in hub->ready, or among those stuck at a line */
	struct hub_member *next_receiver, **receiver_link;	/* in hub->all */
	struct hub_rest *rest;		/* of a line that has been overwritten since; or NULL */
	uint64_t line;			/* the number of the line whose bytes come next */
	uint64_t at;			/* the place of the next byte, counted from the hub's first */
	uint64_t own;			/* how many lines from there on are its own */
	uint64_t gone;			/* fallen: what its policy had lost by then */
	uint64_t spent_until;		/* hub_credit.c: its credit */
	uint64_t acknowledged;		/* likewise: by its system at the last tick; at first UINT64_MAX */
	uint64_t still_ms;		/* likewise: for how long that has not grown, of waiting */
	uint64_t moved_ms;		/* likewise: for how long it had not, if it has by the last tick, again */
	uint32_t moved_at;		/* likewise: at which of the hub's turns it has last */
	uint64_t dropped;		/* readable: lines it did not get because it was slow */
	uint32_t id;			/* readable: its number, from 1 */
	uint8_t place;			/* enum hub_place */
	bool cr_sent;			/* the byte before the next one was the CR of a line's end */
	bool slow;			/* nobody waits for it, if it is behind */
	bool waited;			/* as a publisher, since the last tick */
	bool behind;			/* hub_credit.c: it was at a tick, and has not had everything since */
	bool leaving;
	bool ending;			/* when it has got what is before this line, for this reason */
	uint8_t end_reason;		/* enum reason */
	uint64_t end_line;
};

/* From when on a member is to get lines that were there before it. */
struct hub_history {
	uint64_t lines;			/* at most so many */
	int64_t age_ms;			/* at most so old; 0: of any age */
};

/* A section that is open, embedded in what it is; the first of them speaks for the hub. */
struct hub_section {
	struct hub_section *next;
};

/* What is published; text has no line end. */
struct hub_text {
	struct hub_member *sender;		/* or NULL */
	const struct hub_policy *policy;	/* whose filter has let it pass; or NULL */
	const void *prefix, *text;
	size_t prefix_length, length;
};

struct hub_counts {
	unsigned members, slow;			/* slow: behind, and nobody waits for it */
	uint64_t lines, bytes;			/* published */
	uint64_t dropped;			/* that members did not get because they were slow */
	uint64_t over_rate;			/* counted by whoever publishes datagrams */
};

/*
 * Makes a hub with a ring of size bytes, for lines of at most half of that. NULL with errno. It
 * lives on the reactor of its first member, where all others must be, and where all calls but ref,
 * unref and hub_size are made.
 */
struct hub *hub_new(size_t size);
struct hub *hub_ref(struct hub *hub);
void hub_unref(struct hub *hub);

/* The size of its ring; also for the control thread while that alone changes it. */
size_t hub_size(const struct hub *hub);

/*
 * Moves the hub to another ring, which it takes over, with as many of the last lines as fit.
 * Members stay where they are; those whose place is given up have fallen behind. False without
 * memory: it keeps the one it has.
 */
bool hub_resize(struct hub *hub, struct ring *ring);

/* A section opens and closes. */
void hub_open(struct hub *hub, struct hub_section *section, struct reactor *reactor);
void hub_close(struct hub *hub, struct hub_section *section);
bool hub_speaks(const struct hub *hub, const struct hub_section *section);

/*
 * Between these a policy's filter judges each line as it comes, also while there is no member: else
 * all that is history is judged when one joins, at once, which takes seconds where the ring has 1
 * GiB. So it is still for the lines that were there before, and without memory.
 */
void hub_keep_verdicts(struct hub *hub, struct hub_policy *policy);
void hub_drop_verdicts(struct hub *hub, struct hub_policy *policy);

struct hub_counts hub_count(const struct hub *hub);
void hub_count_over_rate(struct hub *hub);

/*
 * Makes a member of a connection, and sends it history. Without memory the connection is aborted.
 */
void hub_join(struct hub *hub, struct hub_member *member, struct transport *transport,
	      struct hub_policy *policy, const struct hub_history *history);

/* Ends a membership; from connection_lost at the latest. */
void hub_leave(struct hub_member *member);

/* The daemon stops: when every member has said so, each is closed after it has got all there is. */
void hub_member_stop(struct hub_member *member);

/* It is closed, alone, when it has got all there is by now. */
void hub_member_end(struct hub_member *member, enum reason reason);

/* The same, but the line that it is within is its last, if any; it may still have to say something. */
void hub_member_cut(struct hub_member *member, enum reason reason);

/* Goes on sending to it: what the protocol's drained does. */
void hub_member_drained(struct hub_member *member);

/*
 * Stores a line and sends it to every member that can take it, at the end of the turn. Whoever's
 * place it takes falls behind: hub_has_room says whether that is all right. False: it is longer
 * than the ring takes.
 */
bool hub_publish(struct hub *hub, const struct hub_text *text);

/* The number that the next line will have, from 1. */
uint64_t hub_next_line(const struct hub *hub);

/*
 * Who waits until there is room, embedded in its owner; all zero but the last three to begin with.
 */
struct hub_waiter {
	struct hub_waiter *next, **link;	/* link NULL: it does not wait */
	struct hub_member *member;		/* that publishes; NULL: it has left */
	size_t length;				/* of the longest line that it may publish, with all */
	void (*go_on)(struct hub_waiter *waiter);
};

/*
 * Whether a line of up to so many bytes can be stored without taking the place of a member that is
 * waited for: of one that is behind and has not used up its credit.
 */
bool hub_has_room(struct hub *hub, size_t length);

/* Has go_on called, out of every other callback, when there is room again. */
void hub_wait(struct hub *hub, struct hub_waiter *waiter);

/* No longer waits, if it does. */
void hub_unwait(struct hub *hub, struct hub_waiter *waiter);

#endif
