/* test_backoff.c - the waits before something is tried again. */
#include "net/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SEEDS = 1000, DAY_MS = 24 * 60 * 60 * 1000 };

static void
every_wait_is_within_the_bounds(void **state)
{
	static const struct {
		uint64_t min_ms, max_ms;
	} bounds[] = { { 1, 1 }, { 1, 2 }, { 1, 3 }, { 1, DAY_MS }, { 1000, 60000 }, { 5000, 5000 },
		       { DAY_MS, DAY_MS } };
	struct backoff backoff;

	(void)state;
	for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
		for (uint64_t seed = 0; seed < SEEDS; seed++) {
			backoff_init(&backoff, bounds[i].min_ms, bounds[i].max_ms, seed);
			for (int tries = 0; tries < 100; tries++)
				assert_in_range(backoff_next(&backoff), bounds[i].min_ms,
						bounds[i].max_ms);
		}
}

static void
waits_double_until_the_longest(void **state)
{
	struct backoff backoff;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		backoff_init(&backoff, 1000, 60000, seed);
		for (uint64_t base = 1000; base * 3 / 2 <= 60000; base *= 2)
			assert_in_range(backoff_next(&backoff), base, base * 3 / 2);
		backoff_next(&backoff);
		for (int tries = 0; tries < 100; tries++)
			assert_in_range(backoff_next(&backoff), 45000, 60000);
	}
}

static void
after_a_reset_the_first_wait_is_short_again(void **state)
{
	struct backoff backoff;

	(void)state;
	backoff_init(&backoff, 1000, 60000, 7);
	for (int tries = 0; tries < 10; tries++)
		backoff_next(&backoff);
	backoff_reset(&backoff);
	assert_in_range(backoff_next(&backoff), 1000, 1500);
	assert_in_range(backoff_next(&backoff), 2000, 3000);
}

static void
waits_of_many_are_spread(void **state)
{
	size_t early = 0, late = 0;
	struct backoff backoff;

	(void)state;
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		backoff_init(&backoff, 1000, 60000, seed);
		uint64_t wait_ms = backoff_next(&backoff);
		early += wait_ms < 1125;
		late += wait_ms > 1375;
	}
	assert_in_range(early, SEEDS / 8, SEEDS / 2);
	assert_in_range(late, SEEDS / 8, SEEDS / 2);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_wait_is_within_the_bounds),
		cmocka_unit_test(waits_double_until_the_longest),
		cmocka_unit_test(after_a_reset_the_first_wait_is_short_again),
		cmocka_unit_test(waits_of_many_are_spread),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
