/* batch.h - what is to be done with many sockets, in one system call, where there is io_uring(7). */
#ifndef TWINED_NET_BATCH_H
#define TWINED_NET_BATCH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct batch;

enum {
	BATCH_MAX = 256,
	BATCH_UNDONE = INT_MIN,	/* a result: it was not tried */
};

/*
 * For the thread that calls it, from then on. NULL when there is none: built without liburing, an
 * old kernel, forbidden (seccomp, kernel.io_uring_disabled), or no memory.
 */
struct batch *batch_new(void);
void batch_free(struct batch *batch);

/*
 * Adds send(2), without waiting, or close(2) to a batch, BATCH_MAX in all at most. *result, which
 * is set by batch_go, is what the call returns, or the negative error; the bytes must stay until
 * then.
 */
void batch_send(struct batch *batch, int fd, const void *bytes, size_t length, int *result);
void batch_close(struct batch *batch, int fd, int *result);

/*
 * Does all that, in the order of adding, and empties the batch. False when it has broken down: some
 * results may be BATCH_UNDONE, and it is of no more use than to be freed.
 */
bool batch_go(struct batch *batch);

#endif
