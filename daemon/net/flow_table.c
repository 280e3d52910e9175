/* flow_table.c - finds a client's flow, and knows which flow is to go when there are too many. */
#include "net/flow_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void
flow_table_init(struct flow_table *table, size_t most)
{
	*table =
		(struct flow_table){ .key = siphash_key_random(), .bucket_count = 1, .most = most };
	while (table->bucket_count < most)
		table->bucket_count *= 2;
}

void
flow_table_destroy(struct flow_table *table)
{
	assert(flow_table_count(table) == 0);
	free(table->buckets);
	table->buckets = NULL;
}

uint64_t
flow_table_hash(const struct flow_table *table, const void *name, size_t length)
{
	return siphash(&table->key, name, length);
}

/* Where the flow is, or where its chain ends. */
static struct flow_entry **
entry_place(const struct flow_table *table, uint64_t hash, const void *name, size_t length)
{
	struct flow_entry **at = &table->buckets[hash & (table->bucket_count - 1)];

	while (*at != NULL
	       && ((*at)->hash != hash || (*at)->name_length != length
		   || memcmp((*at)->name, name, length) != 0))
		at = &(*at)->chain;
	return at;
}

struct flow_entry *
flow_table_find(const struct flow_table *table, uint64_t hash, const void *name, size_t length)
{
	return table->buckets == NULL ? NULL : *entry_place(table, hash, name, length);
}

static struct flow_list *
list_of(struct flow_table *table, const struct flow_entry *entry)
{
	return entry->proven ? &table->proven : &table->fresh;
}

/* Puts an entry at the end of a list: it is the newest. */
static void
list_append(struct flow_list *list, struct flow_entry *entry)
{
	entry->next = NULL;
	entry->previous = list->last;
	if (list->last != NULL)
		list->last->next = entry;
	else
		list->first = entry;
	list->last = entry;
	list->count++;
}

static void
list_remove(struct flow_list *list, struct flow_entry *entry)
{
	if (entry->previous != NULL)
		entry->previous->next = entry->next;
	else
		list->first = entry->next;
	if (entry->next != NULL)
		entry->next->previous = entry->previous;
	else
		list->last = entry->previous;
	list->count--;
}

int
flow_table_add(struct flow_table *table, struct flow_entry *entry, uint64_t now_ms)
{
	assert(flow_table_count(table) < table->most);
	/* Pages of it that no flow falls into are never touched. */
	if (table->buckets == NULL)
		table->buckets = calloc(table->bucket_count, sizeof *table->buckets);
	if (table->buckets == NULL)
		return -1;
	entry->chain = NULL;
	entry->proven = false;
	entry->active_ms = now_ms;
	*entry_place(table, entry->hash, entry->name, entry->name_length) = entry;
	list_append(&table->fresh, entry);
	return 0;
}

void
flow_table_remove(struct flow_table *table, struct flow_entry *entry)
{
	struct flow_entry **at = entry_place(table, entry->hash, entry->name, entry->name_length);

	assert(*at == entry);
	*at = entry->chain;
	list_remove(list_of(table, entry), entry);
	if (flow_table_count(table) == 0) {
		free(table->buckets);
		table->buckets = NULL;
	}
}

void
flow_table_touch(struct flow_table *table, struct flow_entry *entry, uint64_t now_ms)
{
	struct flow_list *list = list_of(table, entry);

	if (entry->active_ms == now_ms)
		return;		/* as good as the newest: the others of that moment are no newer */
	entry->active_ms = now_ms;
	if (list->last == entry)
		return;
	list_remove(list, entry);
	list_append(list, entry);
}

void
flow_table_prove(struct flow_table *table, struct flow_entry *entry, uint64_t now_ms)
{
	list_remove(&table->fresh, entry);
	entry->proven = true;
	entry->active_ms = now_ms;
	list_append(&table->proven, entry);
}

/* The one of a list that has been silent for longest and is not held. */
static struct flow_entry *
first_not_held(const struct flow_list *list)
{
	struct flow_entry *entry = list->first;

	while (entry != NULL && entry->held)
		entry = entry->next;
	return entry;
}

struct flow_entry *
flow_table_victim(const struct flow_table *table)
{
	bool fresh_goes = table->fresh.count * 4 >= flow_table_count(table);
	struct flow_entry *victim = first_not_held(fresh_goes ? &table->fresh : &table->proven);

	return victim != NULL ? victim
			      : first_not_held(fresh_goes ? &table->proven : &table->fresh);
}

struct flow_entry *
flow_table_oldest(const struct flow_table *table)
{
	struct flow_entry *fresh = table->fresh.first, *proven = table->proven.first;

	if (fresh == NULL || (proven != NULL && proven->active_ms < fresh->active_ms))
		return proven;
	return fresh;
}
