/* hub_ring.c - the last lines of a hub: a ring of their bytes, and a ring of what is known of each. */
#include "protocols/hub_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ring *
ring_new(size_t size)
{
	struct ring *ring = calloc(1, sizeof *ring);
	if (ring == NULL)
		return NULL;
	ring->size = size;
	ring->line_mask = 1;
	while (ring->line_mask + 1 < size / RING_LINE_BYTES)
		ring->line_mask = ring->line_mask * 2 + 1;
	ring->first = ring->next = 1;
	ring->bytes = malloc(size);
	ring->lines = malloc((ring->line_mask + 1) * sizeof *ring->lines);
	if (ring->bytes == NULL || ring->lines == NULL) {
		ring_free(ring);
		errno = ENOMEM;
		return NULL;
	}
	return ring;
}

void
ring_free(struct ring *ring)
{
	if (ring == NULL)
		return;
	free(ring->bytes);
	free(ring->lines);
	free(ring);
}

int
ring_pieces(const struct ring *ring, uint64_t begin, uint64_t end, struct iovec pieces[static 2])
{
	size_t from = begin % ring->size, length = (size_t)(end - begin), first = ring->size - from;
	if (length == 0)
		return 0;
	if (first > length)
		first = length;
	pieces[0] = (struct iovec){ .iov_base = ring->bytes + from, .iov_len = first };
	pieces[1] = (struct iovec){ .iov_base = ring->bytes, .iov_len = length - first };
	return first < length ? 2 : 1;
}

void
ring_copy(const struct ring *ring, uint64_t begin, uint64_t end, uint8_t *to)
{
	struct iovec pieces[2];
	int count = ring_pieces(ring, begin, end, pieces);
	for (int i = 0; i < count; to += pieces[i++].iov_len)
		memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
}

/* Writes bytes behind the last. */
static void
ring_write(struct ring *ring, const uint8_t *from, size_t length)
{
	struct iovec to[2];
	int parts = ring_pieces(ring, ring->head, ring->head + length, to);
	for (int i = 0; i < parts; from += to[i++].iov_len)
		memcpy(to[i].iov_base, from, to[i].iov_len);
	ring->head += length;
}

struct line *
ring_add(struct ring *ring, const struct iovec *pieces, int count)
{
	struct line *line = ring_line(ring, ring->next++);
	for (int i = 0; i < count; i++)
		ring_write(ring, pieces[i].iov_base, pieces[i].iov_len);
	*line = (struct line){ .end = (uint32_t)ring->head };
	return line;
}

void
ring_drop(struct ring *ring)
{
	ring->tail = ring_begin(ring, ring->first + 1);
	ring->first++;
}

void
ring_take(struct ring *ring, const struct ring *from)
{
	struct iovec pieces[2];
	int count = ring_pieces(from, from->tail, from->head, pieces);
	ring->head = ring->tail = from->tail;
	for (int i = 0; i < count; i++)
		ring_write(ring, pieces[i].iov_base, pieces[i].iov_len);
	ring->first = from->first;
	ring->next = from->next;
	for (uint64_t number = from->first; number < from->next; number++)
		*ring_line(ring, number) = *ring_line(from, number);
}
