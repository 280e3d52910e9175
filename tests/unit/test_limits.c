/* test_limits.c - places, networks and rates: as many as are allowed, and not one more. */
#include "net/limits.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/listener.h"
#include "net/network.h"
#include "net/reply_rate.h"

static union peer_address
peer(const char *text)
{
	union peer_address address = { 0 };

	if (inet_pton(AF_INET, text, &address.in.sin_addr) == 1)
		address.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &address.in6.sin6_addr) == 1)
		address.sa.sa_family = AF_INET6;
	else
		fail();
	return address;
}

static void
a_bucket_gives_its_burst_and_then_its_rate(void **state)
{
	struct rate rate = { .count = 5, .period_ms = 1000 };
	struct bucket bucket;
	uint64_t now = 123456;
	unsigned taken = 0;

	(void)state;
	bucket_fill(&bucket, &rate, now);
	for (unsigned i = 0; i < 100; i++)
		taken += bucket_take(&bucket, &rate, now) == 0;
	assert_int_equal(taken, 5);
	assert_int_equal(bucket_take(&bucket, &rate, now), 200);
	assert_int_equal(bucket_take(&bucket, &rate, now + 199), 1);
	assert_int_equal(bucket_take(&bucket, &rate, now + 200), 0);
	now += 200;
	for (taken = 0; now < 123456 + 60200; now++)
		taken += bucket_take(&bucket, &rate, now) == 0;
	assert_in_range(taken, 5 * 60 - 1, 5 * 60);
}

static void
slow_rates_are_not_rounded_away(void **state)
{
	struct rate rate = { .count = 7, .period_ms = 60000 };
	struct bucket bucket;
	uint64_t now = 1;
	unsigned taken = 0;

	(void)state;
	bucket_fill(&bucket, &rate, now);
	for (; now < 600001; now++)
		taken += bucket_take(&bucket, &rate, now) == 0;
	assert_in_range(taken, 7 + 69, 7 + 70);
}

static void
what_is_returned_can_be_taken_again(void **state)
{
	struct rate rate = { .count = 1, .period_ms = 1000 };
	struct bucket bucket;

	(void)state;
	bucket_fill(&bucket, &rate, 10);
	assert_int_equal(bucket_take(&bucket, &rate, 10), 0);
	bucket_return(&bucket, &rate);
	assert_int_equal(bucket_take(&bucket, &rate, 10), 0);
	assert_int_not_equal(bucket_take(&bucket, &rate, 10), 0);
}

static void
networks_are_hosts_in_ipv4_and_64_bits_in_ipv6(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "2001:db8::1", "2001:db8::ffff:1:2", true },
		{ "2001:db8::1", "2001:db8:0:1::1", false },
		{ "::1", "0.0.0.1", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		union peer_address a = peer(cases[i].a), b = peer(cases[i].b);
		struct network na = network_of(&a), nb = network_of(&b);

		assert_int_equal(network_equal(&na, &nb), cases[i].same);
		if (cases[i].same)
			assert_int_equal(network_hash(&na), network_hash(&nb));
	}
}

static void
places_are_the_listeners_the_daemons_and_the_descriptors(void **state)
{
	struct listener_settings settings = { .max_connections = 3 };
	struct connection_budget *budget = connection_budget_new();
	struct limits *one = limits_new(&settings, budget, 1);
	struct limits *two = limits_new(&settings, budget, 2);

	(void)state;
	connection_budget_set(budget, 0, 5);
	assert_int_equal(limits_take_place(one), 0);
	assert_int_equal(limits_take_place(one), 0);
	assert_int_equal(limits_take_place(one), 0);
	assert_int_equal(limits_take_place(one), -1);	/* its max_connections */
	assert_int_equal(limits_take_place(two), 0);
	assert_int_equal(limits_take_place(two), -1);	/* 5 descriptors are taken */
	limits_leave_place(one);
	assert_int_equal(limits_take_place(two), -1);
	limits_leave_place(one);
	assert_int_equal(limits_take_place(two), 0);
	connection_budget_set(budget, 3, 5);
	limits_leave_place(two);
	assert_int_equal(limits_take_place(one), 0);
	assert_int_equal(limits_take_place(one), -1);	/* 3 connections in the whole daemon */
	limits_unref(one);
	limits_unref(two);
	connection_budget_free(budget);
}

static void
a_network_has_so_many_connections(void **state)
{
	struct listener_settings settings = { .max_connections_per_ip = 2 };
	struct connection_budget *budget = connection_budget_new();
	struct limits *limits = limits_new(&settings, budget, 1);
	union peer_address a = peer("2001:db8::1"), near = peer("2001:db8::2"),
			   b = peer("192.0.2.1");

	(void)state;
	assert_int_equal(limits_count_peer(limits, &a), 0);
	assert_int_equal(limits_count_peer(limits, &near), 0);
	assert_int_equal(limits_count_peer(limits, &a), -1);
	assert_int_equal(limits_count_peer(limits, &b), 0);
	limits_uncount_peer(limits, &near);
	assert_int_equal(limits_count_peer(limits, &a), 0);
	limits_unref(limits);
	connection_budget_free(budget);
}

/* Takes flows until there are no more, or so many: how many. */
static int64_t
take_flows(struct limits *limits, int64_t most)
{
	int64_t taken = 0;

	while (taken < most && limits_take_flow(limits) == 0)
		taken++;
	return taken;
}

static void
leave_flows(struct limits *limits, int64_t count)
{
	for (; count > 0; count--)
		limits_leave_flow(limits);
}

static void
flows_get_half_of_the_descriptors_and_each_listener_a_share(void **state)
{
	struct listener_settings settings = { 0 };
	struct connection_budget *budget = connection_budget_new();
	struct limits *flood = limits_new(&settings, budget, 1);
	struct limits *other = limits_new(&settings, budget, 1);
	int64_t connections = 0;

	(void)state;
	connection_budget_set(budget, 0, 800);
	/*
	 * Of the half that flows get, the last quarter is divided: 400 - 100, and then the share of
	 * one.
	 */
	assert_int_equal(take_flows(flood, 1000), 300);
	assert_int_equal(take_flows(other, 1000), 50);
	assert_int_equal(connection_budget_flows(budget), 350);
	while (connections < 1000 && limits_take_place(flood) == 0)
		connections++;
	assert_int_equal(connections, 450);
	assert_int_equal(connection_budget_taken(budget), 450);
	leave_flows(flood, 300);
	leave_flows(other, 50);
	assert_int_equal(connection_budget_flows(budget), 0);
	for (; connections > 0; connections--)
		limits_leave_place(flood);
	limits_unref(flood);
	limits_unref(other);
	connection_budget_free(budget);
}

static void
a_few_flows_there_may_be_whatever_connections_have_taken(void **state)
{
	struct listener_settings settings = { 0 };
	struct connection_budget *budget = connection_budget_new();
	struct limits *limits = limits_new(&settings, budget, 1);

	(void)state;
	connection_budget_set(budget, 0, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(limits_take_place(limits), 0);
	assert_int_equal(limits_take_place(limits), -1);
	assert_int_equal(take_flows(limits, 100), 8);
	leave_flows(limits, 8);
	for (int i = 0; i < 100; i++)
		limits_leave_place(limits);
	limits_unref(limits);
	connection_budget_free(budget);
}

static void
made_up_sources_give_nobody_a_fresh_burst(void **state)
{
	struct rate rate = { .count = 10, .period_ms = 1000 };
	struct reply_rate *table = reply_rate_new(&rate);
	union peer_address victim = peer("192.0.2.1"), other = { .in = { .sin_family = AF_INET } };
	unsigned taken = 0;

	(void)state;
	/* In between two datagrams of the victim a crowd pushes its bucket out of the table. */
	for (unsigned round = 0; round < 40; round++) {
		taken += reply_rate_take(table, &victim, 5000);
		for (uint32_t i = 0; i < 20000; i++) {
			other.in.sin_addr.s_addr = htonl(0x0a000000 + round * 20000 + i);
			reply_rate_take(table, &other, 5000);
		}
	}
	assert_in_range(taken, 1, 20);
	reply_rate_free(table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_gives_its_burst_and_then_its_rate),
		cmocka_unit_test(slow_rates_are_not_rounded_away),
		cmocka_unit_test(what_is_returned_can_be_taken_again),
		cmocka_unit_test(networks_are_hosts_in_ipv4_and_64_bits_in_ipv6),
		cmocka_unit_test(places_are_the_listeners_the_daemons_and_the_descriptors),
		cmocka_unit_test(a_network_has_so_many_connections),
		cmocka_unit_test(flows_get_half_of_the_descriptors_and_each_listener_a_share),
		cmocka_unit_test(a_few_flows_there_may_be_whatever_connections_have_taken),
		cmocka_unit_test(made_up_sources_give_nobody_a_fresh_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
