/* deadline.h - a moment at which a reactor calls back: what a protocol, too, may have of a
 * reactor. */
#ifndef TWINED_NET_DEADLINE_H
#define TWINED_NET_DEADLINE_H

#include <stdint.h>

#include "net/wheel.h"

struct reactor;

/* Milliseconds of the monotonic clock (coarse, a few ms). Any thread. */
uint64_t reactor_now_ms(void);

/* A deadline with a callback, embedded in its owner. All zero but fn and arg: not set. */
struct deadline {
	struct wheel_timer timer;	/* first */
	void (*fn)(void *arg);
	void *arg;
};

/*
 * Fires once, at the time or up to a tick (32 ms) and a turn later; setting one that is set moves
 * it. Both in the reactor's thread.
 */
void reactor_set_deadline(struct reactor *reactor, struct deadline *deadline, uint64_t at_ms);

/* One that is not set stays so. */
void reactor_unset_deadline(struct reactor *reactor, struct deadline *deadline);

#endif
