/* flow_table.h - finds a client's flow, and knows which flow is to go when there are too many. */
#ifndef TWINED_NET_FLOW_TABLE_H
#define TWINED_NET_FLOW_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"

/*
 *   buckets   each a chain of flows
 *   fresh     those that have carried one datagram of their client       longest silent ... newest
 *   proven    those that have carried more                                longest silent ... newest
 *
 * Whoever forges the sources of his datagrams has a flow made by each. So a fresh flow goes before
 * any proven one, as long as the fresh ones are a quarter of all or more. Beyond that the proven
 * one goes that has been silent for longest: else whoever forges two datagrams of each source would
 * have all places but one, in which every new client would be driven out by the next before it is
 * answered. Answers prove nothing: an upstream answers a forged datagram as any other.
 */
struct flow_list {
	struct flow_entry *first, *last;
	size_t count;
};

struct flow_table {
	struct siphash_key key;
	struct flow_entry **buckets;	/* NULL while there is no flow */
	size_t bucket_count;		/* a power of two */
	size_t most;			/* flows, at least 1 */
	struct flow_list fresh, proven;
};

/* Embedded in a flow; in one table. */
struct flow_entry {
	struct flow_entry *chain;	/* the next one of its bucket */
	struct flow_entry *next, *previous;	/* of its list */
	uint64_t active_ms;		/* when a datagram last went either way */
	uint64_t hash;
	bool proven;
	bool held;			/* must not go now; there are few of them */
	uint8_t name_length;
	const void *name;		/* what it is found by; lives as long as the flow */
};

/* Of at most so many flows. Takes no memory before the first flow. */
void flow_table_init(struct flow_table *table, size_t most);

/* The table must be empty. */
void flow_table_destroy(struct flow_table *table);

/* How many flows there are. */
static inline size_t
flow_table_count(const struct flow_table *table)
{
	return table->fresh.count + table->proven.count;
}

uint64_t flow_table_hash(const struct flow_table *table, const void *name, size_t length);

/* The flow of that name, whose hash is given; NULL when there is none. */
struct flow_entry *flow_table_find(const struct flow_table *table, uint64_t hash, const void *name,
				   size_t length);

/*
 * Adds a flow, which is not there yet, as a fresh one; its hash and its name are filled in. now_ms
 * never goes back. The table must not be full. 0, or -1 without memory.
 */
int flow_table_add(struct flow_table *table, struct flow_entry *entry, uint64_t now_ms);

/* Takes a flow out. */
void flow_table_remove(struct flow_table *table, struct flow_entry *entry);

/* A datagram went to or from a client. */
void flow_table_touch(struct flow_table *table, struct flow_entry *entry, uint64_t now_ms);

/* A fresh flow has carried another datagram of its client. */
void flow_table_prove(struct flow_table *table, struct flow_entry *entry, uint64_t now_ms);

/* Which flow is to go for a new one, of those that are not held; NULL when there is none. */
struct flow_entry *flow_table_victim(const struct flow_table *table);

/* The flow that has been silent for longest; NULL when there is none. */
struct flow_entry *flow_table_oldest(const struct flow_table *table);

#endif
