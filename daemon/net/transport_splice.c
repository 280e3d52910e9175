/* transport_splice.c - a long stream goes from transport to transport through a pipe, uncopied. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/endpoint.h"
#include "net/pipe_pool.h"
#include "net/transport_private.h"

/*
 *           outlet          inlet
 *   from ────────▶  pipe  ────────▶ to        from is not read while something is in the pipe
 *
 * What is in a pipe counts as unsent of `to`, and goes before anything that is written to it. The
 * pipe goes back to the pool when it is empty and `from` has ended, gone, or come to send messages.
 */

enum {
	SMALL = 16 * 1024,	/* less is copied as fast, and leaves the pipe to others */
	SMALL_MAX = 4,		/* in a row */
	LONG_READS = 8,
	IDLE_MS = 1000,
	/*
	 * What one or two streams have copied is still in the cache when it is sent, and a pipe
	 * costs more than it saves: over loopback 10 % more for one connection with bulk both ways
	 * on each reactor, 10 to 16 % less for four.
	 */
	STREAMS_MIN = 4,
};

static struct pipe_pool *
pool_of(const struct transport *transport)
{
	return reactor_pipes(transport->endpoint->reactor);
}

bool
transport_is_long_stream(const struct transport *transport)
{
	return transport->full_reads == LONG_READS;
}

void
transport_count_full_read(struct transport *transport, bool full)
{
	bool was_long = transport_is_long_stream(transport);

	if (!full)
		transport->full_reads = 0;
	else if (!was_long)
		transport->full_reads++;
	if (was_long != transport_is_long_stream(transport))
		pool_of(transport)->streams += was_long ? -1u : 1u;
}

void
transport_leave_outlet(struct transport *from)
{
	struct pipe *pipe = transport_outlet(from);

	if (pipe == NULL)
		return;
	from->outlet = 0;
	transport_count_full_read(from, false);
	pipe->from = NULL;
	if (pipe->held > 0)
		return;
	pipe->to->inlet = 0;
	pipe_give(pipe);
}

void
transport_drop_inlet(struct transport *to)
{
	struct pipe *pipe = transport_inlet(to);

	if (pipe == NULL)
		return;
	to->inlet = 0;
	if (pipe->from != NULL) {
		pipe->from->outlet = 0;
		transport_count_full_read(pipe->from, false);
		transport_update_interest(pipe->from);
	}
	pipe_give(pipe);
}

bool
transport_push_inlet(struct transport *to)
{
	struct pipe *pipe = transport_inlet(to);

	while (pipe->held > 0) {
		ssize_t moved = splice(pipe->out, NULL, transport_fd(to), NULL, pipe->held,
				       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (moved < 0 && errno == EINTR)
			continue;
		if (moved < 0 && errno != EAGAIN) {
			transport_send_failed(to, errno);
			return false;
		}
		if (moved <= 0) {
			transport_note_sent(to, 0, pipe->held);
			return true;
		}
		transport_note_sent(to, (size_t)moved, (size_t)moved);
		pipe->held -= (size_t)moved;
	}
	if (pipe->from == NULL) {
		to->inlet = 0;
		pipe_give(pipe);
	} else if (pipe->small >= SMALL_MAX) {
		transport_leave_outlet(pipe->from);
	}
	return true;
}

/*
 * Before an urgent byte splice(2) says that there is nothing, or even that the stream has ended,
 * whatever is behind it: recv(2) skips it.
 */
static ssize_t
splice_none(const struct transport *from, ssize_t length)
{
	int error = errno, at_mark = 0;

	if ((length == 0 || error == EAGAIN)
	    && ioctl(transport_fd(from), SIOCATMARK, &at_mark) == 0 && at_mark) {
		errno = EINVAL;
		return -1;
	}
	errno = error;
	return length;
}

ssize_t
transport_splice_in(struct transport *from)
{
	struct pipe *pipe = transport_outlet(from);
	struct transport *to = pipe->to;
	ssize_t length;

	do
		length = splice(transport_fd(from), NULL, pipe->in, NULL, PIPE_SIZE,
				SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (length < 0 && errno == EINTR);
	if (length <= 0)
		return splice_none(from, length);
	pipe->held = (size_t)length;
	pipe->small = length < SMALL ? pipe->small + 1 : 0;
	transport_note_received(from, (size_t)length);
	/* That it is short says nothing: the pipe has room for so many pieces, however small. */
	transport_note_read(from, true);
	if (!transport_push_inlet(to) || transport_piped(to) == 0)
		return length;
	transport_note_progress(to);
	transport_update_deadline(to);
	transport_update_interest(to);
	transport_update_interest(from);
	return length;
}

/* Has a stream that has long been silent give up its pipe. */
static void
release_idle_pipe(struct pipe_pool *pool)
{
	for (unsigned i = 0; i < PIPES_MAX; i++) {
		struct transport *from = pool->pipes[i].taken ? pool->pipes[i].from : NULL;

		if (from != NULL && pool->pipes[i].held == 0
		    && reactor_now_ms() - from->active_ms >= IDLE_MS) {
			transport_leave_outlet(from);
			return;
		}
	}
}

void
transport_splice(struct transport *from, struct transport *to)
{
	struct pipe_pool *pool = pool_of(from);
	struct pipe *pipe;

	if (pool->streams < STREAMS_MIN || from->is_unix || to->is_unix || from->outlet != 0
	    || to->inlet != 0 || from->closed || from->read_side != READ_OPEN)
		return;
	transport_send_letter(to);
	if (!transport_can_write(to) || to->unsent != NULL)
		return;
	pipe = pipe_take(pool);
	if (pipe == NULL) {
		release_idle_pipe(pool);
		transport_count_full_read(from, false);		/* perhaps later */
		return;
	}
	pipe->from = from;
	pipe->to = to;
	from->outlet = to->inlet = pipe->number;
}
