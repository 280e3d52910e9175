/* door.c - sorts the addresses of listeners by what leads to them. */
#include "config/door.h"

#include <stdlib.h>
#include <string.h>

#include "config/address_reach.h"

static int
door_compare(const void *a, const void *b)
{
	return strcmp(((const struct door *)a)->key, ((const struct door *)b)->key);
}

int
doors_make(struct doors *doors, struct section_config *const *listeners, size_t count)
{
	size_t most = 0;

	for (size_t i = 0; i < count; i++)
		most += listeners[i]->common.listener.listen.count;
	doors->items = calloc(most + 1, sizeof *doors->items);
	if (doors->items == NULL)
		return -1;
	for (size_t i = 0; i < count; i++) {
		const struct listener_settings *settings = &listeners[i]->common.listener;

		for (size_t k = 0; k < settings->listen.count; k++) {
			struct door *door = &doors->items[doors->count];

			if (!address_reach_key(&settings->listen.items[k], door->key))
				continue;
			door->address = &settings->listen.items[k];
			door->interface = settings->socket.bind_device;
			door->listener = i;
			doors->count++;
		}
	}
	qsort(doors->items, doors->count, sizeof *doors->items, door_compare);
	return 0;
}

void
doors_free(struct doors *doors)
{
	free(doors->items);
	*doors = (struct doors){ 0 };
}

/* The first door of that key, or what would stand behind it. */
static const struct door *
door_find(const struct doors *doors, const char *key)
{
	size_t low = 0, high = doors->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(doors->items[middle].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return &doors->items[low];
}

const struct door *
doors_next(const struct doors *doors, const struct address *dialled, const struct door *before)
{
	const struct door *door, *end = &doors->items[doors->count];
	char key[ADDRESS_IDENTITY_MAX];

	if (!address_reach_key(dialled, key))
		return NULL;
	door = before != NULL ? before + 1 : door_find(doors, key);
	for (; door < end && strcmp(door->key, key) == 0; door++)
		if (address_reaches(dialled, door->address, door->interface))
			return door;
	return NULL;
}
