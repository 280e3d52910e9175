/* test_flow_table.c - which flow is found, is the oldest, and goes: against a plain model. */
#include "net/flow_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CLIENTS = 300, MOST = 64, STEPS = 300000 };

/* What the table should know of a client. */
struct client {
	struct flow_entry entry;
	uint32_t name[4];
	bool there;
	bool proven;
	uint64_t active_ms;
	uint64_t order;		/* among those of one moment */
};

static void
name_entry(const struct flow_table *table, struct flow_entry *entry, const void *name,
	   size_t length)
{
	*entry = (struct flow_entry){ .name = name, .name_length = (uint8_t)length };
	entry->hash = flow_table_hash(table, name, length);
}

static struct flow_entry *
find(const struct flow_table *table, const void *name, size_t length)
{
	return flow_table_find(table, flow_table_hash(table, name, length), name, length);
}

/* The client of a list that has been silent for longest: NULL for none. */
static struct client *
model_oldest(struct client *clients, bool proven)
{
	struct client *oldest = NULL;

	for (size_t i = 0; i < CLIENTS; i++)
		if (clients[i].there && clients[i].proven == proven
		    && (oldest == NULL || clients[i].active_ms < oldest->active_ms
			|| (clients[i].active_ms == oldest->active_ms
			    && clients[i].order < oldest->order)))
			oldest = &clients[i];
	return oldest;
}

static size_t
model_count(const struct client *clients, bool proven)
{
	size_t count = 0;

	for (size_t i = 0; i < CLIENTS; i++)
		count += clients[i].there && clients[i].proven == proven;
	return count;
}

/* Compares what the table says with what the model says. */
static void
compare(const struct flow_table *table, struct client *clients)
{
	size_t fresh = model_count(clients, false), proven = model_count(clients, true);
	struct client *victim = model_oldest(clients, fresh * 4 < fresh + proven);
	struct flow_entry *oldest = flow_table_oldest(table);

	assert_int_equal(flow_table_count(table), fresh + proven);
	assert_ptr_equal(flow_table_victim(table), victim == NULL ? NULL : &victim->entry);
	for (size_t i = 0; i < CLIENTS; i++) {
		assert_ptr_equal(find(table, clients[i].name, sizeof clients[i].name),
				 clients[i].there ? &clients[i].entry : NULL);
		if (clients[i].there)
			assert_true(oldest->active_ms <= clients[i].active_ms);
	}
}

/* One random step; returns whether the client's flow is a newer one now. */
static void
step(struct flow_table *table, struct client *client, uint64_t now_ms, uint64_t *order)
{
	bool newest = true;

	if (!client->there) {
		if (flow_table_count(table) == table->most) {
			struct client *victim = (struct client *)flow_table_victim(table);

			flow_table_remove(table, &victim->entry);
			victim->there = false;
		}
		name_entry(table, &client->entry, client->name, sizeof client->name);
		assert_int_equal(flow_table_add(table, &client->entry, now_ms), 0);
		client->there = true;
		client->proven = false;
	} else if (rand() % 8 == 0) {
		flow_table_remove(table, &client->entry);
		client->there = newest = false;
	} else if (!client->proven && rand() % 2 == 0) {
		flow_table_prove(table, &client->entry, now_ms);
		client->proven = true;
	} else {
		newest = client->active_ms != now_ms;
		flow_table_touch(table, &client->entry, now_ms);
	}
	if (newest)
		client->order = ++*order;
	client->active_ms = now_ms;
}

static void
it_does_what_a_plain_model_does(void **state)
{
	static struct client clients[CLIENTS];
	struct flow_table table;
	uint64_t now_ms = 1000, order = 0;

	(void)state;
	srand(3);
	flow_table_init(&table, MOST);
	for (uint32_t i = 0; i < CLIENTS; i++)
		clients[i].name[i % 4] = i;
	for (unsigned i = 0; i < STEPS; i++) {
		now_ms += rand() % 3 == 0;
		step(&table, &clients[rand() % CLIENTS], now_ms, &order);
		if (i % 100 == 0)
			compare(&table, clients);
	}
	for (size_t i = 0; i < CLIENTS; i++)
		if (clients[i].there)
			flow_table_remove(&table, &clients[i].entry);
	assert_null(table.buckets);	/* what is empty takes no memory */
	flow_table_destroy(&table);
}

/* Adds a flow of a number, over another one if need be, that has carried so many datagrams. */
static void
enter(struct flow_table *table, struct flow_entry *entries, uint32_t *names, uint32_t number,
      unsigned datagrams)
{
	if (flow_table_count(table) == table->most)
		flow_table_remove(table, flow_table_victim(table));
	names[number] = number;
	name_entry(table, &entries[number], &names[number], sizeof names[number]);
	assert_int_equal(flow_table_add(table, &entries[number], number), 0);
	if (datagrams > 1)
		flow_table_prove(table, &entries[number], number);
}

static bool
is_there(const struct flow_table *table, uint32_t number)
{
	return find(table, &number, sizeof number) != NULL;
}

enum { FLOOD = 5000 };

static void
a_flood_of_single_datagrams_drives_out_no_proven_flow(void **state)
{
	static struct flow_entry entries[FLOOD];
	static uint32_t names[FLOOD];
	struct flow_table table;

	(void)state;
	flow_table_init(&table, 100);
	for (uint32_t i = 0; i < 75; i++)
		enter(&table, entries, names, i, 2);
	for (uint32_t i = 75; i < FLOOD; i++)
		enter(&table, entries, names, i, 1);
	for (uint32_t i = 0; i < 75; i++)
		assert_true(is_there(&table, i));
	while (flow_table_oldest(&table) != NULL)
		flow_table_remove(&table, flow_table_oldest(&table));
	flow_table_destroy(&table);
}

static void
a_flood_of_pairs_leaves_new_clients_a_quarter_of_the_places(void **state)
{
	static struct flow_entry entries[FLOOD];
	static uint32_t names[FLOOD];
	struct flow_table table;

	(void)state;
	flow_table_init(&table, 100);
	for (uint32_t i = 0; i < 1000; i++)
		enter(&table, entries, names, i, 2);
	for (uint32_t i = 1000; i < FLOOD; i++) {
		enter(&table, entries, names, i, 1);
		/* A new one stays while 24 others come. */
		assert_true(is_there(&table, i < 1024 ? 1000 : i - 24));
	}
	while (flow_table_oldest(&table) != NULL)
		flow_table_remove(&table, flow_table_oldest(&table));
	flow_table_destroy(&table);
}

static void
what_is_held_does_not_go(void **state)
{
	static struct flow_entry entries[3];
	static uint32_t names[3];
	struct flow_table table;

	(void)state;
	flow_table_init(&table, 3);
	for (uint32_t i = 0; i < 3; i++) {
		enter(&table, entries, names, i, i == 2 ? 2 : 1);
		entries[i].held = i != 1;
	}
	assert_ptr_equal(flow_table_victim(&table), &entries[1]);
	flow_table_remove(&table, &entries[1]);
	assert_null(flow_table_victim(&table));
	entries[2].held = false;
	assert_ptr_equal(flow_table_victim(&table), &entries[2]);
	flow_table_remove(&table, &entries[0]);
	flow_table_remove(&table, &entries[2]);
	flow_table_destroy(&table);
}

static void
names_are_told_apart_by_length_too(void **state)
{
	static const char name[] = "a\0\0";
	struct flow_entry entries[3];
	struct flow_table table;

	(void)state;
	flow_table_init(&table, 3);
	for (size_t i = 0; i < 3; i++) {
		name_entry(&table, &entries[i], name, i + 1);
		assert_int_equal(flow_table_add(&table, &entries[i], 1), 0);
	}
	for (size_t i = 0; i < 3; i++)
		assert_ptr_equal(find(&table, name, i + 1), &entries[i]);
	assert_null(find(&table, "b", 1));
	for (size_t i = 0; i < 3; i++)
		flow_table_remove(&table, &entries[i]);
	flow_table_destroy(&table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_does_what_a_plain_model_does),
		cmocka_unit_test(a_flood_of_single_datagrams_drives_out_no_proven_flow),
		cmocka_unit_test(a_flood_of_pairs_leaves_new_clients_a_quarter_of_the_places),
		cmocka_unit_test(what_is_held_does_not_go),
		cmocka_unit_test(names_are_told_apart_by_length_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
