/* hub_ring.h - the last lines of a hub: a ring of their bytes, and a ring of what is known of each. */
#ifndef TWINED_PROTOCOLS_HUB_RING_H
#define TWINED_PROTOCOLS_HUB_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct hub_member;

/*
 * Bytes and lines are counted from the hub's first; the rings hold the last of them.
 *
 *   bytes:   tail ............................................... head
 *            |line first  |line |line          |line   |line      |       lines: first ... next
 *             prefix text LF
 */
struct line {
	struct hub_member *stuck;	/* those whose next byte is of this line */
	uint32_t end;			/* of its bytes; the lower half of the count */
	uint32_t sender;		/* the id of a member, 0: none */
	uint32_t time;			/* when it came, in units of RING_TIME_MS */
	uint16_t prefix;		/* bytes before its text */
};

enum {
	RING_LINE_BYTES = 32,	/* as many bytes for each entry in the ring of lines */
	RING_TIME_MS = 64,
};

struct ring {
	uint8_t *bytes;
	size_t size;
	uint64_t tail, head;
	struct line *lines;
	size_t line_mask;		/* there is room for one more; a power of two */
	uint64_t first, next;
};

/*
 * For size bytes, the first line having number 1. NULL with errno. What is not written to costs no
 * memory.
 */
struct ring *ring_new(size_t size);
void ring_free(struct ring *ring);

/* The longest line that fits, with its prefix and end. */
static inline size_t
ring_longest(const struct ring *ring)
{
	return ring->size / 2;
}

static inline struct line *
ring_line(const struct ring *ring, uint64_t number)
{
	return &ring->lines[number & ring->line_mask];
}

/* Where a line begins; next: where the next one would. */
static inline uint64_t
ring_begin(const struct ring *ring, uint64_t number)
{
	if (number == ring->first)
		return ring->tail;
	return ring->head - (uint32_t)((uint32_t)ring->head - ring_line(ring, number - 1)->end);
}

/*
 * Whether so many bytes and lines could be added without giving up a line after those before
 * `number`.
 */
static inline bool
ring_fits(const struct ring *ring, uint64_t number, size_t bytes, size_t lines)
{
	return ring->head - ring_begin(ring, number) + bytes <= ring->size
	       && ring->next - number + lines <= ring->line_mask + 1;
}

/* The bytes from begin to end in one piece, or in two around the edge; none: 0. */
int
ring_pieces(const struct ring *ring, uint64_t begin, uint64_t end, struct iovec pieces[static 2]);

/* Copies the bytes from begin to end. */
void ring_copy(const struct ring *ring, uint64_t begin, uint64_t end, uint8_t *to);

/*
 * Adds a line, for which there is room, of some pieces; its entry is still to be filled in but for
 * `end`.
 */
struct line *ring_add(struct ring *ring, const struct iovec *pieces, int count);

/* Gives the oldest line up. */
void ring_drop(struct ring *ring);

/* Takes all lines of another ring, which must fit, under their numbers, and who is stuck there. */
void ring_take(struct ring *ring, const struct ring *from);

#endif
