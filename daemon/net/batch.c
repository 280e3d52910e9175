/* batch.c - what is to be done with many sockets, in one system call, where there is io_uring(7). */
#include "net/batch.h"

#include "config.h"

#ifdef HAVE_LIBURING

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

struct batch {
	struct io_uring ring;
	unsigned count;
};

/* Whether the kernel does all that is asked of a ring. (Linux 5.6) */
static bool
ring_serves(struct io_uring *ring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool serves = probe != NULL && io_uring_opcode_supported(probe, IORING_OP_SEND)
		      && io_uring_opcode_supported(probe, IORING_OP_CLOSE);

	io_uring_free_probe(probe);
	return serves;
}

struct batch *
batch_new(void)
{
	struct batch *batch = calloc(1, sizeof *batch);
	int result;

	if (batch == NULL)
		return NULL;
	/* Nothing of ours is interrupted to be told that something is done: we look. (Linux 6.0) */
	result = io_uring_queue_init(BATCH_MAX, &batch->ring,
				     IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER);
	if (result == -EINVAL)
		result = io_uring_queue_init(BATCH_MAX, &batch->ring, 0);
	if (result == 0 && ring_serves(&batch->ring))
		return batch;
	if (result == 0)
		io_uring_queue_exit(&batch->ring);
	log_debug("io_uring: %s: system calls are made one by one",
		  strerror(result == 0 ? ENOSYS : -result));
	free(batch);
	return NULL;
}

void
batch_free(struct batch *batch)
{
	if (batch == NULL)
		return;
	io_uring_queue_exit(&batch->ring);
	free(batch);
}

/* The next entry, whose result goes there. */
static struct io_uring_sqe *
batch_entry(struct batch *batch, int *result)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&batch->ring);

	*result = BATCH_UNDONE;
	batch->count++;
	return entry;
}

void
batch_send(struct batch *batch, int fd, const void *bytes, size_t length, int *result)
{
	struct io_uring_sqe *entry = batch_entry(batch, result);

	/* MSG_DONTWAIT: what the socket does not take at once is not left with the kernel. */
	io_uring_prep_send(entry, fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	io_uring_sqe_set_data(entry, result);
}

void
batch_close(struct batch *batch, int fd, int *result)
{
	struct io_uring_sqe *entry = batch_entry(batch, result);

	io_uring_prep_close(entry, fd);
	io_uring_sqe_set_data(entry, result);
}

/* Takes the results that have come; returns how many. */
static unsigned
batch_reap(struct batch *batch)
{
	struct io_uring_cqe *entry;
	unsigned head, count = 0;

	io_uring_for_each_cqe(&batch->ring, head, entry) {
		*(int *)io_uring_cqe_get_data(entry) = entry->res;
		count++;
	}
	io_uring_cq_advance(&batch->ring, count);
	return count;
}

bool
batch_go(struct batch *batch)
{
	int result = 0;

	while (batch->count > 0 && (result >= 0 || result == -EINTR)) {
		result = io_uring_submit_and_wait(&batch->ring, batch->count);
		batch->count -= batch_reap(batch);
	}
	if (batch->count > 0)
		log_error("io_uring: %s: system calls are made one by one from now on",
			  strerror(-result));
	return batch->count == 0;
}

#else

struct batch *
batch_new(void)
{
	return NULL;
}

void
batch_free(struct batch *batch)
{
}

void
batch_send(struct batch *batch, int fd, const void *bytes, size_t length, int *result)
{
}

void
batch_close(struct batch *batch, int fd, int *result)
{
}

bool
batch_go(struct batch *batch)
{
	return false;
}

#endif
