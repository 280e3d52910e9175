/* pipe_pool.c - the pipes of a reactor, through which long streams go uncopied. */
#include "net/pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

static void
pipe_close(struct pipe *pipe)
{
	if (pipe->in == 0)
		return;
	close(pipe->in);
	close(pipe->out);
	pipe->in = pipe->out = 0;
}

void
pipe_pool_clear(struct pipe_pool *pool)
{
	for (unsigned i = 0; i < PIPES_MAX; i++)
		pipe_close(&pool->pipes[i]);
}

/* 0, or -1 when there can be none, or only a small one. */
static int
pipe_open(struct pipe *pipe)
{
	int fds[2];

	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
		return -1;
	pipe->out = fds[0];
	pipe->in = fds[1];
	if (fcntl(pipe->in, F_SETPIPE_SZ, PIPE_SIZE) >= PIPE_SIZE)
		return 0;
	pipe_close(pipe);
	return -1;
}

struct pipe *
pipe_take(struct pipe_pool *pool)
{
	struct pipe *found = NULL;

	for (unsigned i = 0; i < PIPES_MAX; i++) {
		struct pipe *pipe = &pool->pipes[i];

		if (!pipe->taken && (found == NULL || pipe->in != 0))
			found = pipe;
	}
	if (found == NULL || (found->in == 0 && pipe_open(found) < 0))
		return NULL;
	found->taken = true;
	found->number = (unsigned char)(found - pool->pipes + 1);
	found->held = 0;
	found->small = 0;
	return found;
}

void
pipe_give(struct pipe *pipe)
{
	if (pipe->held > 0)
		pipe_close(pipe);
	pipe->held = 0;
	pipe->taken = false;
}
