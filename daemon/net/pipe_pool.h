/* pipe_pool.h - the pipes of a reactor, through which long streams go uncopied. */
#ifndef TWINED_NET_PIPE_POOL_H
#define TWINED_NET_PIPE_POOL_H

#include <stdbool.h>
#include <stddef.h>

struct transport;

/*
 * As many bytes as a pipe holds, and as many pipes as a reactor has. What is in them is the
 * kernel's memory; an ordinary user may have 64 MiB of that (pipe(7): pipe-user-pages-soft).
 */
enum { PIPE_SIZE = 512 * 1024, PIPES_MAX = 8 };

struct pipe {
	bool taken;
	unsigned char number;		/* in its pool, from 1, once it has been taken */
	int in, out;			/* its ends: to write to, to read from; 0: not made yet */
	size_t held;			/* bytes that are in it */
	unsigned small;			/* pieces in a row that were hardly worth a pipe */
	struct transport *from, *to;	/* NULL: has gone */
};

struct pipe_pool {
	struct pipe pipes[PIPES_MAX];
	unsigned streams;	/* how many long streams there are, through pipes or not */
};

/* All zero to begin with. Closes the pipes, which nobody has any more. */
void pipe_pool_clear(struct pipe_pool *pool);

/* Takes an empty pipe; NULL when all are taken, or none can be made. */
struct pipe *pipe_take(struct pipe_pool *pool);

/* The pipe of a number; NULL for 0. */
static inline struct pipe *
pipe_find(struct pipe_pool *pool, unsigned number)
{
	return number == 0 ? NULL : &pool->pipes[number - 1];
}

/* Gives a pipe back, whatever is in it. */
void pipe_give(struct pipe *pipe);

#endif
