/* send_batch.h - sends on many sockets in one system call, by io_uring(7), where the system has it. */
#ifndef TWINED_NET_SEND_BATCH_H
#define TWINED_NET_SEND_BATCH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct send_batch;

enum {
	SEND_BATCH_MAX = 256,
	SEND_BATCH_UNSENT = INT_MIN,	/* a result: it was not tried */
};

/*
 * For the thread that calls it, from then on. NULL when there is none: built without liburing, an old
 * kernel, forbidden (seccomp, kernel.io_uring_disabled), or no memory.
 */
struct send_batch *send_batch_new(void);
void send_batch_free(struct send_batch *batch);

/*
 * Adds a send to a batch, SEND_BATCH_MAX at most. *result, which is set by send_batch_go, is what send(2)
 * returns, or the negative error; the bytes must stay until then.
 */
void send_batch_add(struct send_batch *batch, int fd, const void *bytes, size_t length, int *result);

/*
 * Sends without waiting, in the order of adding, and empties the batch. False when it has broken down: some
 * results may be SEND_BATCH_UNSENT, and it is of no more use than to be freed.
 */
bool send_batch_go(struct send_batch *batch);

#endif
