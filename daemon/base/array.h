/* array.h - an array that grows by doubling: its count alone says how much room it has. */
#ifndef TWINED_BASE_ARRAY_H
#define TWINED_BASE_ARRAY_H

#include <stddef.h>
#include <stdlib.h>

/*
 * Makes room for one item more in an array of count items, NULL at first, that has grown by this
 * function alone. NULL without memory: the items stay. What is returned takes their place otherwise.
 */
static inline void *
array_grow(void *items, size_t count, size_t item_size)
{
	if ((count & (count - 1)) != 0)
		return items;
	return reallocarray(items, count == 0 ? 1 : count * 2, item_size);
}

#endif
