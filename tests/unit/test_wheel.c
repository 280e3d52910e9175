/* test_wheel.c - deadlines fire in time, once, never early, however far off and however often
 * moved. */
#include "net/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void
fires_at_the_deadline_or_a_tick_later(void **state)
{
	(void)state;
	for (uint64_t start = 1000; start < 1000 + 2 * WHEEL_TICK_MS; start++) {
		struct wheel wheel;
		struct wheel_timer timer = { 0 };
		uint64_t deadline = start + 100, now = start;

		wheel_init(&wheel, start);
		wheel_set(&wheel, &timer, deadline);
		while (wheel_due(&wheel, now) == NULL)
			now++;
		assert_in_range(now, deadline, deadline + WHEEL_TICK_MS);
		assert_false(wheel_timer_is_set(&timer));
	}
}

static void
far_deadlines_go_round_the_wheel(void **state)
{
	struct wheel wheel;
	struct wheel_timer timer = { 0 };
	uint64_t day = 24 * 3600 * 1000, now = 5, waits = 0;

	(void)state;
	wheel_init(&wheel, now);
	wheel_set(&wheel, &timer, day);
	while (wheel_due(&wheel, now) == NULL) {
		int64_t wait = wheel_wait_ms(&wheel, now);

		assert_in_range(wait, 0, WHEEL_TICK_MS * WHEEL_SLOTS);
		now += wait > 0 ? (uint64_t)wait : 1;
		waits++;
	}
	assert_in_range(now, day, day + WHEEL_TICK_MS);
	assert_in_range(waits, 1, 3 * day / (WHEEL_TICK_MS * WHEEL_SLOTS));
}

static void
one_in_the_past_is_due_at_once(void **state)
{
	struct wheel wheel;
	struct wheel_timer timer = { 0 };

	(void)state;
	wheel_init(&wheel, 100000);
	wheel_set(&wheel, &timer, 1);
	assert_int_equal(wheel_wait_ms(&wheel, 100000), 0);
	assert_ptr_equal(wheel_due(&wheel, 100000), &timer);
}

static void
unset_twice_is_unset(void **state)
{
	struct wheel wheel;
	struct wheel_timer timer = { 0 };

	(void)state;
	wheel_init(&wheel, 0);
	wheel_set(&wheel, &timer, 10);
	wheel_unset(&wheel, &timer);
	wheel_unset(&wheel, &timer);
	assert_null(wheel_due(&wheel, 1000000));
	assert_int_equal(wheel_wait_ms(&wheel, 1000000), -1);
}

enum { TIMERS = 300, STEPS = 200000 };

/* Against the obvious model: an array of deadlines. */
static void
agrees_with_a_list_of_deadlines(void **state)
{
	static struct wheel wheel;
	static struct wheel_timer timers[TIMERS];
	static uint64_t deadlines[TIMERS];	/* 0: not set */
	uint64_t now = 77;

	(void)state;
	srand(1);
	wheel_init(&wheel, now);
	for (unsigned step = 0; step < STEPS; step++) {
		unsigned i = (unsigned)rand() % TIMERS;
		struct wheel_timer *due;

		switch (rand() % 4) {
		case 0:
			deadlines[i] = 0;
			wheel_unset(&wheel, &timers[i]);
			break;
		case 1:
		case 2:
			deadlines[i] = now + (uint64_t)(rand() % (rand() % 2 ? 500 : 100000)) + 1;
			wheel_set(&wheel, &timers[i], deadlines[i]);
			break;
		default:
			now += (uint64_t)(rand() % 300);
			while ((due = wheel_due(&wheel, now)) != NULL) {
				i = (unsigned)(due - timers);
				assert_in_range(deadlines[i], 1, now);
				deadlines[i] = 0;
			}
			for (i = 0; i < TIMERS; i++)
				assert_true(deadlines[i] == 0
					    || deadlines[i] + WHEEL_TICK_MS > now);
			break;
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_at_the_deadline_or_a_tick_later),
		cmocka_unit_test(far_deadlines_go_round_the_wheel),
		cmocka_unit_test(one_in_the_past_is_due_at_once),
		cmocka_unit_test(unset_twice_is_unset),
		cmocka_unit_test(agrees_with_a_list_of_deadlines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
