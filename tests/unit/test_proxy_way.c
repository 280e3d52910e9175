/* test_proxy_way.c - a client's way to an upstream, in a world of one client. */
#include "protocols/proxy_way.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "way_world.h"

static void
one_that_answers_at_once_is_all_there_is_to_it(void **state)
{
	(void)state;
	world_begin(3, AT_ONCE);
	world_come();
	assert_arrived(1);
}

static void
a_client_is_held_while_one_is_dialled(void **state)
{
	(void)state;
	world_begin(1, 0);
	world_come();
	assert_true(world.client.held);
	assert_int_equal(world.client.idle_timeout_ms, 0);
	assert_null(world.deadline);
	world_answer(0);
	assert_arrived(1);
}

static void
those_that_refuse_are_passed_over(void **state)
{
	(void)state;
	world_begin(4, ECONNREFUSED | AT_ONCE);
	world.upstreams[1].answer = ETIMEDOUT;
	world.upstreams[3].answer = 0;
	world_come();
	assert_int_equal(world.picks, 2);
	world_answer(ETIMEDOUT);
	assert_int_equal(world.picks, 4);
	world_answer(0);
	assert_arrived(4);
}

static void
a_client_is_reset_when_each_has_been_tried_once(void **state)
{
	(void)state;
	world_begin(3, ECONNREFUSED | AT_ONCE);
	world_come();
	assert_int_equal(world.picks, 3);
	assert_refused(REASON_UPSTREAM_REFUSED);
	world_begin(2, ETIMEDOUT);
	world_come();
	world_answer(ETIMEDOUT);
	world_answer(ETIMEDOUT);
	assert_refused(REASON_CONNECT_TIMEOUT);
	world_begin(0, 0);
	world_come();
	assert_refused(REASON_UPSTREAM_REFUSED);
	world_begin(1, EADDRNOTAVAIL | AT_ONCE);
	world_come();
	assert_refused(REASON_NO_RESOURCES);
}

static void
very_many_that_refuse_at_once_take_no_room(void **state)
{
	(void)state;
	world_begin(UPSTREAMS_MOST, ECONNREFUSED | AT_ONCE);
	world_come();
	assert_int_equal(world.picks, UPSTREAMS_MOST);
	assert_refused(REASON_UPSTREAM_REFUSED);
}

static void
what_we_are_short_of_is_no_upstreams_failure(void **state)
{
	static const int shortages[] = { EMFILE | AT_ONCE, ENOMEM | AT_ONCE, NO_TRANSPORT };

	(void)state;
	for (size_t i = 0; i < sizeof shortages / sizeof shortages[0]; i++) {
		world_begin(3, shortages[i]);
		world_come();
		assert_int_equal(world.picks, 1);
		assert_refused(REASON_NO_RESOURCES);
		/* It passes. */
		world_begin(3, shortages[i]);
		world.settings.wait_for_upstream_ms = 60000;
		world_come();
		world_pass();
		assert_int_equal(world.picks, 2);
		world.upstreams[0].answer = AT_ONCE;
		world_pass();
		assert_arrived(3);
	}
}

static void
pauses_grow_and_differ_up_to_the_limit(void **state)
{
	uint64_t most_ms = 100, shortest_ms = UINT64_MAX, longest_ms = 0;

	(void)state;
	world_begin(2, ECONNREFUSED | AT_ONCE);
	world.settings.wait_for_upstream_ms = 600000;
	world_come();
	assert_true(world.client.held);
	while (world.client.aborts == 0) {
		uint64_t passed_ms = world_pause();

		assert_true(passed_ms >= 1 && passed_ms <= most_ms);
		most_ms = most_ms < 2500 ? most_ms * 2 : 5000;
		if (most_ms < 5000 || world.now_ms == 1000 + 600000)
			continue;
		shortest_ms = passed_ms < shortest_ms ? passed_ms : shortest_ms;
		longest_ms = passed_ms > longest_ms ? passed_ms : longest_ms;
	}
	/* Some 240 pauses of up to 5 s: that none is near one of the ends happens once in e^24. */
	assert_true(shortest_ms < 500 && longest_ms > 4500);
	assert_int_equal(world.now_ms, 1000 + 600000);
	assert_int_equal(world.upstreams[0].dialled, world.upstreams[1].dialled);
	assert_true(world.picks / 2 > 180 && world.picks / 2 < 320);
	assert_refused(REASON_UPSTREAM_REFUSED);
}

static void
one_that_comes_up_meanwhile_is_found(void **state)
{
	(void)state;
	world_begin(2, ECONNREFUSED | AT_ONCE);
	world.settings.wait_for_upstream_ms = 60000;
	world_come();
	world_pause();
	world_pause();
	world.upstreams[1].answer = 0;
	world_pause();
	world_answer(0);
	assert_arrived(8);
}

static void
what_others_have_found_out_shortens_a_pause(void **state)
{
	unsigned picks;

	(void)state;
	world_begin(1, ECONNREFUSED | AT_ONCE);
	world.settings.wait_for_upstream_ms = 600000;
	world_come();
	/* Up to a look after which the pause goes on for another one. */
	do {
		picks = world.picks;
		world_pass();
	} while (world.picks != picks || world.deadline_ms != world.now_ms + 250);
	world.upstreams[0].answer = AT_ONCE;
	world.changes++;
	world.picks = 0;
	world_pass();
	assert_arrived(1);
}

static void
the_limit_cuts_no_attempt_but_repeated_ones(void **state)
{
	(void)state;
	world_begin(2, ETIMEDOUT);
	world.settings.wait_for_upstream_ms = 6000;
	world_come();
	assert_null(world.deadline);
	world.now_ms += 5000;
	world_answer(ETIMEDOUT);
	assert_null(world.deadline);
	world.now_ms += 500;
	world_answer(ECONNREFUSED);
	world_pass();
	assert_non_null(world.dialling);
	assert_int_equal(world.deadline_ms, 1000 + 6000);
	world_pass();
	assert_refused(REASON_UPSTREAM_REFUSED);
	/* However short the limit, each is tried once. */
	world_begin(2, ETIMEDOUT);
	world.settings.wait_for_upstream_ms = 100;
	world_come();
	world.now_ms += 5000;
	world_answer(ETIMEDOUT);
	world.now_ms += 5000;
	world_answer(0);
	assert_arrived(2);
}

static void
a_name_that_is_looked_up_has_as_long_as_an_address(void **state)
{
	(void)state;
	world_begin(2, ECONNREFUSED | AT_ONCE);
	world.upstreams[1].unresolved = true;
	world_come();
	assert_true(world.client.held);
	while (world.client.aborts == 0)
		world_pass();
	assert_int_equal(world.now_ms, 1000 + 5000);
	assert_int_equal(world.upstreams[0].dialled, 1);
	assert_refused(REASON_UPSTREAM_REFUSED);
	/* Known at last, it has its whole time. */
	world_begin(1, 0);
	world.upstreams[0].unresolved = true;
	world_come();
	world_pass();
	world.upstreams[0].unresolved = false;
	world_pass();
	assert_non_null(world.dialling);
	assert_null(world.deadline);
	world_answer(0);
	assert_arrived(1);
	/* Not known at all. */
	world_begin(1, 0);
	world.upstreams[0].unresolved = true;
	world_come();
	world_pass();
	world.count = 0;
	world_pass();
	assert_refused(REASON_UPSTREAM_REFUSED);
	/* Without connect_timeout it ends as the look-up does. */
	world_begin(1, 0);
	world.settings.connect_timeout_ms = 0;
	world.upstreams[0].unresolved = true;
	world_come();
	for (unsigned i = 0; i < 100; i++)
		world_pass();
	assert_int_equal(world.client.aborts, 0);
	world_go();
}

static void
while_a_name_is_looked_up_the_others_are_tried_again(void **state)
{
	(void)state;
	world_begin(2, ECONNREFUSED | AT_ONCE);
	world.settings.wait_for_upstream_ms = 1000;
	world.upstreams[1].unresolved = true;
	world_come();
	world_pass();
	world.upstreams[0].answer = AT_ONCE;
	world_pass();
	assert_arrived(3);
}

static void
a_stop_ends_the_waiting_and_no_first_attempt(void **state)
{
	(void)state;
	world_begin(1, ECONNREFUSED | AT_ONCE);
	world.settings.wait_for_upstream_ms = 60000;
	world_come();
	way_stop(world.way);
	assert_refused(REASON_SHUTDOWN);
	/* A repeated attempt is a kind of waiting. */
	world_begin(1, ETIMEDOUT);
	world.settings.wait_for_upstream_ms = 60000;
	world_come();
	world_answer(ETIMEDOUT);
	world_pass();
	way_stop(world.way);
	assert_refused(REASON_SHUTDOWN);
	world_begin(2, 0);
	world_come();
	way_stop(world.way);
	world_answer(ECONNREFUSED);
	world_answer(0);
	assert_arrived(2);
	world_begin(1, 0);
	world.settings.wait_for_upstream_ms = 60000;
	world_come();
	way_stop(world.way);
	world_answer(ECONNREFUSED);
	assert_refused(REASON_UPSTREAM_REFUSED);
}

static void
a_client_that_is_closed_already_has_no_other_dialled(void **state)
{
	(void)state;
	world_begin(3, 0);
	world_come();
	world.client.closed = true;
	world_answer(ECONNREFUSED);
	assert_int_equal(world.picks, 1);
	world_go();
}

/* Whatever happens, in whatever order: what is picked is given back once, and nothing is left. */
static void
random_lives_leave_nothing_behind(void **state)
{
	static const int answers[] = {
		0,		AT_ONCE,
		ECONNREFUSED,	ECONNREFUSED | AT_ONCE,
		EACCES,		EACCES | AT_ONCE,
		EMFILE,		EMFILE | AT_ONCE,
		ETIMEDOUT,	NO_TRANSPORT,
		ENOENT,
	};
	unsigned arrivals = 0, resets = 0;

	(void)state;
	srand(7);
	for (unsigned life = 0; life < 20000; life++) {
		world_begin((size_t)rand() % 5, 0);
		for (size_t i = 0; i < world.count; i++) {
			world.upstreams[i].answer =
				answers[(size_t)rand() % (sizeof answers / sizeof answers[0])];
			world.upstreams[i].unresolved = rand() % 4 == 0;
		}
		world.settings.wait_for_upstream_ms = rand() % 2 * (1 + rand() % 20000);
		world.settings.connect_timeout_ms = rand() % 2 * (1 + rand() % 5000);
		world_come();
		for (unsigned step = rand() % 40u; step > 0 && world.way != NULL; step--) {
			assert_true(world.client.aborts == 0 || world.open == 0);
			switch (rand() % 8) {
			case 0:
				way_stop(world.way);
				break;
			case 1:
				for (size_t i = 0; i < world.count; i++)
					world.upstreams[i].unresolved = false;
				break;
			case 2:
			case 3:
				world.now_ms += (uint64_t)rand() % 1000;
				break;
			case 4:
			case 5:
				if (world.dialling != NULL && world.dialled->answer < AT_ONCE)
					world_answer(world.dialled->answer);
				break;
			default:
				if (world.deadline != NULL)
					world_pass();
			}
			/* There is always something that it goes on by. */
			assert_true(world.way == NULL || world.client.closed
				    || world.dialling != NULL || world.deadline != NULL);
		}
		arrivals += world.arrivals;
		resets += world.client.aborts;
		world_go();
	}
	assert_true(arrivals > 1000 && resets > 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_answers_at_once_is_all_there_is_to_it),
		cmocka_unit_test(a_client_is_held_while_one_is_dialled),
		cmocka_unit_test(those_that_refuse_are_passed_over),
		cmocka_unit_test(a_client_is_reset_when_each_has_been_tried_once),
		cmocka_unit_test(very_many_that_refuse_at_once_take_no_room),
		cmocka_unit_test(what_we_are_short_of_is_no_upstreams_failure),
		cmocka_unit_test(pauses_grow_and_differ_up_to_the_limit),
		cmocka_unit_test(one_that_comes_up_meanwhile_is_found),
		cmocka_unit_test(what_others_have_found_out_shortens_a_pause),
		cmocka_unit_test(the_limit_cuts_no_attempt_but_repeated_ones),
		cmocka_unit_test(a_name_that_is_looked_up_has_as_long_as_an_address),
		cmocka_unit_test(while_a_name_is_looked_up_the_others_are_tried_again),
		cmocka_unit_test(a_stop_ends_the_waiting_and_no_first_attempt),
		cmocka_unit_test(a_client_that_is_closed_already_has_no_other_dialled),
		cmocka_unit_test(random_lives_leave_nothing_behind),
	};

	log_set_level(LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
