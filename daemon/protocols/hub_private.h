/* hub_private.h - a hub from within: for the files of hub.h only. */
#ifndef TWINED_PROTOCOLS_HUB_PRIVATE_H
#define TWINED_PROTOCOLS_HUB_PRIVATE_H

#include <stdatomic.h>

#include "net/reactor.h"
#include "protocols/hub.h"
#include "protocols/hub_ring.h"

/*
 *   bytes:   tail ............................................... head
 *            |line first  |line |line          |line   |line      |       lines: first ... next
 *                          ▲          ▲                            ▲
 *                       stuck here  stuck within a line         ready: has got everything
 *
 * A ready member is offered what comes, at the end of each turn. One whose socket takes no more
 * hangs on the line it stopped at, and costs nothing until its transport is drained or that line is
 * overwritten. In the latter case it keeps a copy of the rest of the line and has fallen: its next
 * line is the oldest there is then. So publishing takes time for the ready members only, and
 * everyone sees whole lines in one order. (One that has lines of its own in the ring looks through
 * all of it when it goes on or leaves: what it has missed does not include them.)
 */
struct hub {
	struct deferred flush;		/* first */
	struct deferred resume;
	bool flush_queued, resume_queued;
	bool resuming;			/* those who have waited publish now */
	struct reactor *reactor;	/* of its members; NULL before the first */
	atomic_uint refs;
	struct ring *ring;
	uint64_t flushed, flushed_line;	/* head and next when the ready members were last served */
	struct hub_member *all;		/* who receive */
	struct hub_member *ready;
	struct hub_policy *policies;	/* those with a filter and members */
	struct hub_section *sections;	/* that are open */
	unsigned members, leaving;
	uint32_t last_id;
	struct hub_counts counts;	/* members and slow are filled in by hub_count */

	/* hub_pace.c */
	struct hub_waiter *waiters, **waiters_end;
	uint64_t free_to;		/* no line before it is anybody's place who is waited for */
	size_t wanted;			/* the longest line that one of them may publish */
	struct deadline tick;		/* set while there are any */
	uint64_t ticked_ms;		/* while somebody waits: up to when that is accounted for */
	uint64_t uncharged_ms;		/* of waiting that has ended */

	/* hub_credit.c */
	uint64_t left_spent_until;	/* the credit of those who have left, where it is least */
	uint64_t still_ms;		/* of waiting, in which nobody has moved */
	uint64_t pause_ms;		/* for how long nobody had moved when somebody did, at most and lately */
	uint32_t turns;			/* at how many ticks one that was behind had got everything */
};

/* hub_member.c */

/*
 * Sends a member all it has not got, as far as its socket takes it, and puts it where it belongs.
 */
void member_send(struct hub_member *member);

/* Whether a member has got a part of its line, and the rest is still in the ring. */
bool member_is_within_line(const struct hub_member *member);

/* The line that a stuck member stopped at is to be overwritten. */
void member_fall(struct hub_member *member);

/* Counts what a fallen member has not got by now: how many lines since it was last asked. */
uint64_t member_count_dropped(struct hub_member *member);

/* Takes it out of the list that it is in. */
void member_unlink(struct hub_member *member);

/* Frees what it owns. */
void member_clear(struct hub_member *member);

/* hub_policy.c */

/*
 * A member of a policy joins, whose first line is this one: 0, or -1 without memory. Or it leaves.
 */
int policy_enter(struct hub *hub, struct hub_policy *policy, uint64_t first);
void policy_leave(struct hub *hub, struct hub_policy *policy);

/* Notes for each policy whether the newest line passes. */
void policies_judge(struct hub *hub, const struct hub_text *text);

/* The oldest line is given up. */
void policies_lose_line(struct hub *hub);

/*
 * Bits for another ring, and their taking the place of those there are, which takes them over: the
 * other ring has all the lines. NULL without memory.
 */
unsigned char **policies_verdicts(const struct hub *hub, const struct ring *ring);
void policies_resize(struct hub *hub, const struct ring *ring, unsigned char **verdicts);

/* Whether a line that is kept passes. */
bool policy_passes(const struct hub *hub, const struct hub_policy *policy, uint64_t number);

/* Of the lines that were given up so far, how many passed. */
uint64_t policy_gone(const struct hub *hub, const struct hub_policy *policy);

/* hub_credit.c */

/* Whether a member is waited for: if it is stuck, it is not to lose its place. */
bool credit_holds(const struct hub_member *member);

/* A member begins with the credit that is left to those who have left. */
void credit_inherit(struct hub_member *member);

/* It leaves. */
void credit_forget(struct hub_member *member);

/* A member that has caught up is waited for again, once it has credit. */
void credit_forgive(struct hub_member *member);

/* The socket of a member that was stuck takes more. */
void credit_member_moves(const struct hub_member *member);

/* Somebody waits, and nobody has for so long. */
void credit_begin(struct hub *hub, uint64_t break_ms);

/* Somebody has waited for so long since the last tick: looks who is charged for it. */
void credit_tick(struct hub *hub, uint64_t elapsed_ms);

/* hub_pace.c */

void pace_init(struct hub *hub);

/* A place has been left: goes on, if there is room now. */
void pace_moved(struct hub *hub);

/* A member is stuck at its line. */
void pace_stick(const struct hub_member *member);

/* Room to be made before those who wait go on. */
size_t pace_room_bytes(const struct hub *hub);
size_t pace_room_lines(const struct hub *hub);

/* Nobody waits any more when there is no member. */
void pace_end(struct hub *hub);

#endif
