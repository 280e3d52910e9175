/* wheel.h - a timer wheel: many coarse deadlines that are set often and reached seldom. */
#ifndef TWINED_NET_WHEEL_H
#define TWINED_NET_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 *   slot:   0    1    2   ...  now  ...  WHEEL_SLOTS-1      one slot is WHEEL_TICK_MS
 *           |    |    |         |             |
 *          list list list      list          list           of struct wheel_timer
 *
 * A deadline further off than the wheel is long waits in the last slot and is looked at again
 * there.
 */
enum { WHEEL_TICK_MS = 32, WHEEL_SLOTS = 1024 };

struct wheel_link {
	struct wheel_link *next, *prev;		/* next NULL: not set */
};

/* Embedded in what has a deadline. All zero: not set. */
struct wheel_timer {
	struct wheel_link link;			/* first: a link is its timer */
	uint64_t deadline_ms;
};

struct wheel {
	struct wheel_link slots[WHEEL_SLOTS];
	uint64_t tick;				/* everything before this tick has been fired */
	unsigned set;				/* how many timers are set */
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);

static inline bool
wheel_timer_is_set(const struct wheel_timer *timer)
{
	return timer->link.next != NULL;
}

/* Sets (or moves) a timer; it fires at the deadline or up to one tick later, never before. */
void wheel_set(struct wheel *wheel, struct wheel_timer *timer, uint64_t deadline_ms);

/* Unsets a timer; one that is not set stays so. */
void wheel_unset(struct wheel *wheel, struct wheel_timer *timer);

/* Takes one timer out whose deadline has come, NULL when there is none (yet). */
struct wheel_timer *wheel_due(struct wheel *wheel, uint64_t now_ms);

/*
 * How long until wheel_due is worth asking, in ms; -1 when no timer is set. Never later than
 * needed.
 */
int64_t wheel_wait_ms(const struct wheel *wheel, uint64_t now_ms);

#endif
