/* trail.h - whether what a connector has written to a path, or read of it, stops inside a line. */
#ifndef TWINED_NET_TRAIL_H
#define TWINED_NET_TRAIL_H

#include <stdbool.h>

/*
 * One for all connections of a connector and its successors: one that was given up may write yet.
 * References are counted, all from any thread.
 */
struct trail;

/* One that stops behind a line. NULL with errno. */
struct trail *trail_new(void);
struct trail *trail_ref(struct trail *trail);
/* NULL is fine. */
void trail_unref(struct trail *trail);

bool trail_is_inside(const struct trail *trail);
void trail_set_inside(struct trail *trail, bool inside);

/* Whether the begin of a line was read that nobody is to get: said once. */
bool trail_take_begun(struct trail *trail);
void trail_set_begun(struct trail *trail, bool begun);

#endif
