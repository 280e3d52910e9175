/* test_balance.c - each balance gives every upstream its share, and source moves nobody without
 * need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "protocols/balance.h"

enum { MANY = 1000, CLIENTS = 10000 };

static struct candidate items[MANY];
static uint64_t keys[MANY];
static size_t count;

/* Upstreams of these weights, 0 ending them. */
static struct candidates
with_weights(const unsigned *weights)
{
	for (count = 0; weights[count] != 0; count++) {
		char text[40];

		snprintf(text, sizeof text, "tcp://10.0.0.%zu:80", count);
		items[count] = (struct candidate){ .share = weights[count] * BALANCE_SHARE };
		keys[count] = balance_key(text);
	}
	return (struct candidates){ .items = items, .keys = keys, .end = count };
}

static struct candidates
with_thousand(void)
{
	static unsigned weights[MANY + 1];

	for (size_t i = 0; i < MANY; i++)
		weights[i] = 1;
	return with_weights(weights);
}

static uint64_t
client(uint32_t number)
{
	union peer_address peer = { .in = { .sin_family = AF_INET,
					    .sin_port = htons((uint16_t)(number * 7)),
					    .sin_addr.s_addr = htonl(0x0a000000 + number) } };

	return balance_client(&peer);
}

static void
round_robin_gives_3_and_1_of_every_4(void **state)
{
	struct candidates among = with_weights((unsigned[]){ 3, 1, 0 });
	size_t picked[400];

	(void)state;
	for (size_t i = 0; i < 400; i++)
		picked[i] = balance_pick(BALANCE_ROUND_ROBIN, &among, 0);
	for (size_t i = 0; i + 4 <= 400; i++)
		assert_int_equal(picked[i] + picked[i + 1] + picked[i + 2] + picked[i + 3], 1);
}

static void
round_robin_gives_each_exactly_its_weight_in_each_turn(void **state)
{
	static const unsigned weights[] = { 5, 1, 1, 1000, 37, 2, 500, 0 };
	struct candidates among = with_weights(weights);
	unsigned total = 0;

	(void)state;
	for (size_t i = 0; i < count; i++)
		total += weights[i];
	for (int turn = 0; turn < 5; turn++) {
		unsigned got[8] = { 0 };

		for (unsigned i = 0; i < total; i++)
			got[balance_pick(BALANCE_ROUND_ROBIN, &among, 0)]++;
		assert_memory_equal(got, weights, count * sizeof got[0]);
	}
}

static void
round_robin_takes_equals_in_their_order(void **state)
{
	struct candidates among = with_thousand();

	(void)state;
	for (size_t i = 0; i < 3 * MANY; i++)
		assert_int_equal(balance_pick(BALANCE_ROUND_ROBIN, &among, 0), i % MANY);
}

static void
what_has_no_share_is_not_picked(void **state)
{
	(void)state;
	for (int balance = BALANCE_ROUND_ROBIN; balance <= BALANCE_SOURCE; balance++) {
		struct candidates among = with_weights((unsigned[]){ 2, 1, 7, 0 });

		items[0].share = items[2].share = 0;
		for (uint32_t i = 0; i < 100; i++)
			assert_int_equal(balance_pick((enum balance)balance, &among, client(i)), 1);
		items[1].share = 0;
		assert_true(balance_pick((enum balance)balance, &among, 0) == BALANCE_NONE);
		among.end = 0;
		assert_true(balance_pick((enum balance)balance, &among, 0) == BALANCE_NONE);
	}
}

static void
what_was_tried_is_not_picked_again(void **state)
{
	(void)state;
	for (int balance = BALANCE_ROUND_ROBIN; balance <= BALANCE_SOURCE; balance++) {
		struct candidates among = with_thousand();
		uint64_t tried[MANY / 64 + 1] = { 0 };

		among.tried = tried;
		for (size_t i = 0; i < MANY; i++) {
			size_t picked =
				balance_pick((enum balance)balance, &among, client((uint32_t)i));

			assert_in_range(picked, 0, MANY - 1);
			assert_false(tried[picked / 64] >> picked % 64 & 1);
			tried[picked / 64] |= (uint64_t)1 << picked % 64;
		}
		assert_true(balance_pick((enum balance)balance, &among, 0) == BALANCE_NONE);
	}
}

static void
only_the_range_is_looked_at(void **state)
{
	(void)state;
	for (int balance = BALANCE_ROUND_ROBIN; balance <= BALANCE_SOURCE; balance++) {
		struct candidates among = with_weights((unsigned[]){ 9, 1, 1, 9, 0 });

		among.first = 1;
		among.end = 3;
		for (uint32_t i = 0; i < 100; i++)
			assert_in_range(balance_pick((enum balance)balance, &among, client(i)), 1,
					2);
	}
}

/* What a heavy one was owed must not be paid out among light ones. */
static void
a_change_of_shares_leaves_no_debts(void **state)
{
	struct candidates among = with_weights((unsigned[]){ 1000, 1000, 1, 1, 0 });
	size_t before = BALANCE_NONE, run = 0, longest = 0;

	(void)state;
	/* A light one is owed nearly a turn of all before it is its own. */
	for (int i = 0; i < 999; i++)
		balance_pick(BALANCE_ROUND_ROBIN, &among, 0);
	items[0].share = items[1].share = 0;
	balance_settle(&among);
	for (int i = 0; i < 100; i++) {
		size_t picked = balance_pick(BALANCE_ROUND_ROBIN, &among, 0);

		run = picked == before ? run + 1 : 1;
		longest = run > longest ? run : longest;
		before = picked;
	}
	assert_in_range(longest, 1, 3);
}

static void
least_conn_evens_out_connections_by_weight(void **state)
{
	static const unsigned weights[] = { 4, 2, 1, 1, 0 };
	struct candidates among = with_weights(weights);
	uint64_t random = 1;

	(void)state;
	for (int i = 0; i < 8000; i++) {
		items[balance_pick(BALANCE_LEAST_CONN, &among, 0)].open++;
		/* Nobody has more for its weight than another would have with one more. */
		for (size_t j = 0; j < count; j++)
			for (size_t k = 0; k < count; k++)
				assert_true(items[j].open * weights[k]
					    <= items[k].open * weights[j] + weights[k]);
	}
	for (size_t j = 0; j < count; j++)
		assert_int_equal(items[j].open, 1000 * weights[j]);
	/* One that has lost its own gets all, until it is level. */
	items[2].open = 0;
	for (int i = 0; i < 900; i++) {
		size_t picked = balance_pick(BALANCE_LEAST_CONN, &among, balance_random(&random));

		assert_int_equal(picked, 2);
		items[picked].open++;
	}
}

static void
least_conn_takes_idle_ones_by_turns(void **state)
{
	struct candidates among = with_weights((unsigned[]){ 3, 1, 0 });
	unsigned got[2] = { 0 };

	(void)state;
	for (int i = 0; i < 400; i++)
		got[balance_pick(BALANCE_LEAST_CONN, &among, 0)]++;
	assert_int_equal(got[0], 300);
	assert_int_equal(got[1], 100);
}

/*
 * Fails beyond a chi-square that chance exceeds once in a million; the sequence is the same each
 * time.
 */
static void
assert_spread(const unsigned *got, const unsigned *weights, double limit)
{
	double total = 0, picks = 0, chi = 0;

	for (size_t i = 0; i < count; i++) {
		total += weights[i];
		picks += got[i];
	}
	for (size_t i = 0; i < count; i++) {
		double expected = picks * weights[i] / total;

		chi += (got[i] - expected) * (got[i] - expected) / expected;
	}
	if (chi > limit)
		fail_msg("chi-square %f over %f", chi, limit);
}

static void
random_gives_each_its_share(void **state)
{
	static const unsigned weights[] = { 1, 2, 3, 10, 84, 0 };
	struct candidates among = with_weights(weights);
	unsigned got[5] = { 0 };
	uint64_t random = 42;

	(void)state;
	for (int i = 0; i < 100000; i++)
		got[balance_pick(BALANCE_RANDOM, &among, balance_random(&random))]++;
	assert_spread(got, weights, 33.4);	/* 4 degrees of freedom */
}

static void
source_gives_each_its_share_of_the_clients(void **state)
{
	static const unsigned weights[] = { 1, 2, 3, 10, 84, 0 };
	static const unsigned far_apart[] = { 1, 1000, 0 };
	struct candidates among = with_weights(weights);
	unsigned got[5] = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 100000; i++)
		got[balance_pick(BALANCE_SOURCE, &among, client(i))]++;
	assert_spread(got, weights, 33.4);
	among = with_weights(far_apart);
	memset(got, 0, sizeof got);
	for (uint32_t i = 0; i < 1000000; i++)
		got[balance_pick(BALANCE_SOURCE, &among, client(i))]++;
	assert_spread(got, far_apart, 23.9);
}

static void
source_is_the_same_for_a_client_whatever_its_port(void **state)
{
	struct candidates among = with_thousand();
	union peer_address v4 = { .in.sin_family = AF_INET }, v6 = { .in6.sin6_family = AF_INET6 };

	(void)state;
	assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &v4.in.sin_addr), 1);
	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &v6.in6.sin6_addr), 1);
	size_t picked = balance_pick(BALANCE_SOURCE, &among, balance_client(&v4));
	for (uint16_t port = 1; port < 100; port++) {
		v4.in.sin_port = v6.in6.sin6_port = htons(port);
		assert_int_equal(balance_pick(BALANCE_SOURCE, &among, balance_client(&v4)), picked);
		assert_int_equal(balance_pick(BALANCE_SOURCE, &among, balance_client(&v6)), picked);
	}
	/* And every bit of an IPv6 address counts. */
	for (unsigned bit = 0; bit < 128; bit++) {
		union peer_address other = v6;

		other.in6.sin6_addr.s6_addr[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(balance_client(&other) != balance_client(&v6));
	}
}

static void
one_of_n_that_goes_moves_its_own_clients_only_and_they_spread(void **state)
{
	static const unsigned weights[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0 };
	static const unsigned of_the_rest[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 0 };
	static size_t before[CLIENTS];
	struct candidates among = with_weights(weights);
	unsigned moved = 0, got[10] = { 0 };

	(void)state;
	for (uint32_t i = 0; i < CLIENTS; i++)
		before[i] = balance_pick(BALANCE_SOURCE, &among, client(i));
	items[3].share = 0;
	for (uint32_t i = 0; i < CLIENTS; i++) {
		size_t picked = balance_pick(BALANCE_SOURCE, &among, client(i));

		if (before[i] != 3) {
			assert_int_equal(picked, before[i]);
			continue;
		}
		moved++;
		got[picked < 3 ? picked : picked - 1]++;
	}
	assert_in_range(moved, 850, 1150);
	count--;
	assert_spread(got, of_the_rest, 42.7);	/* 8 degrees of freedom */
	/* It comes back, and so do they. */
	items[3].share = BALANCE_SHARE;
	for (uint32_t i = 0; i < CLIENTS; i++)
		assert_int_equal(balance_pick(BALANCE_SOURCE, &among, client(i)), before[i]);
}

static void
a_share_that_grows_takes_clients_and_gives_none(void **state)
{
	static size_t before[CLIENTS];
	struct candidates among = with_weights((unsigned[]){ 1, 1, 1, 1, 0 });
	unsigned had = 0;

	(void)state;
	items[1].share = 1;
	for (uint32_t i = 0; i < CLIENTS; i++)
		before[i] = balance_pick(BALANCE_SOURCE, &among, client(i));
	for (unsigned share = 32; share <= BALANCE_SHARE; share += 32) {
		unsigned has = 0;

		items[1].share = share;
		for (uint32_t i = 0; i < CLIENTS; i++) {
			size_t picked = balance_pick(BALANCE_SOURCE, &among, client(i));

			assert_true(picked == before[i] || picked == 1);
			before[i] = picked;
			has += picked == 1;
		}
		assert_true(has > had);
		had = has;
	}
	assert_in_range(had, 2300, 2700);
}

static void
the_place_in_the_list_makes_no_difference_to_source(void **state)
{
	struct candidates among = with_thousand();
	size_t before[100];

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		before[i] = balance_pick(BALANCE_SOURCE, &among, client(i));
	for (size_t i = 0; i < MANY / 2; i++) {
		uint64_t key = keys[i];

		keys[i] = keys[MANY - 1 - i];
		keys[MANY - 1 - i] = key;
	}
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(balance_pick(BALANCE_SOURCE, &among, client(i)),
				 MANY - 1 - before[i]);
}

static void
a_thousand_upstreams_share_the_clients(void **state)
{
	struct candidates among = with_thousand();
	unsigned got[MANY] = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 100000; i++)
		got[balance_pick(BALANCE_SOURCE, &among, client(i))]++;
	for (size_t i = 0; i < MANY; i++)
		assert_in_range(got[i], 50, 160);
}

/*
 * A daemon that is updated, or another one on another machine, sends a client to where it has been.
 */
static void
source_is_the_same_in_every_version(void **state)
{
	struct candidates among = with_weights((unsigned[]){ 1, 2, 3, 4, 5, 6, 7, 8, 0 });
	char picked[65] = "";

	(void)state;
	for (uint32_t i = 0; i < 64; i++)
		picked[i] = (char)('0' + balance_pick(BALANCE_SOURCE, &among, client(i)));
	assert_string_equal(picked,
			    "5750364551164446776436016765271456236266773537174407274677522634");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_robin_gives_3_and_1_of_every_4),
		cmocka_unit_test(round_robin_gives_each_exactly_its_weight_in_each_turn),
		cmocka_unit_test(round_robin_takes_equals_in_their_order),
		cmocka_unit_test(what_has_no_share_is_not_picked),
		cmocka_unit_test(what_was_tried_is_not_picked_again),
		cmocka_unit_test(only_the_range_is_looked_at),
		cmocka_unit_test(a_change_of_shares_leaves_no_debts),
		cmocka_unit_test(least_conn_evens_out_connections_by_weight),
		cmocka_unit_test(least_conn_takes_idle_ones_by_turns),
		cmocka_unit_test(random_gives_each_its_share),
		cmocka_unit_test(source_gives_each_its_share_of_the_clients),
		cmocka_unit_test(source_is_the_same_for_a_client_whatever_its_port),
		cmocka_unit_test(one_of_n_that_goes_moves_its_own_clients_only_and_they_spread),
		cmocka_unit_test(a_share_that_grows_takes_clients_and_gives_none),
		cmocka_unit_test(the_place_in_the_list_makes_no_difference_to_source),
		cmocka_unit_test(a_thousand_upstreams_share_the_clients),
		cmocka_unit_test(source_is_the_same_in_every_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
