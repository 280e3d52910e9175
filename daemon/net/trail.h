/* trail.h - what the connections of a connector leave at a path to each other. */
#ifndef TWINED_NET_TRAIL_H
#define TWINED_NET_TRAIL_H

#include <stdbool.h>

/*
 * One for each path of a connector and of its successors: one that was given up may write yet.
 * References are counted, all from any thread.
 */
struct trail;

/* One that nothing was left at. NULL with errno. */
struct trail *trail_new(void);
struct trail *trail_ref(struct trail *trail);
/* NULL is fine. */
void trail_unref(struct trail *trail);

/* Somebody writes there, and does no more. */
void trail_enter(struct trail *trail);
void trail_leave(struct trail *trail);
bool trail_is_written(const struct trail *trail);

/* Whether what was written stops inside a line. */
bool trail_is_inside(const struct trail *trail);
void trail_set_inside(struct trail *trail, bool inside);

/* Whether the begin of a line was read that nobody is to get: said once. */
bool trail_take_begun(struct trail *trail);
void trail_set_begun(struct trail *trail, bool begun);

#endif
