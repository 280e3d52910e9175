/* test_health.c - an upstream goes down, is tried and comes up, by failures, by checks and by
 * the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "protocols/health.h"

enum { TIMEOUT_MS = 10000, WHOLE = 768 };

static const struct health_rules passive = { .max_fails = 3, .fail_timeout_ms = TIMEOUT_MS };
static const struct health_rules careless = { .max_fails = 0, .fail_timeout_ms = TIMEOUT_MS };
static const struct health_rules checked = { .max_fails = 3, .fail_timeout_ms = TIMEOUT_MS,
					     .checked = true };
static const struct health_rules silent = { .max_fails = 1, .fail_timeout_ms = TIMEOUT_MS,
					    .silent = true };

static struct health health;
static uint64_t now;
static uint32_t failures;

static int
begin(void **state)
{
	(void)state;
	health = (struct health){ .epoch = 1 };
	now = 123456789;
	failures = 0;
	return 0;
}

static enum health_news
failed(const struct health_rules *rules)
{
	return health_failed(&health, rules, health.epoch, now, &failures);
}

static enum health_news
pass(const struct health_rules *rules, uint64_t ms)
{
	now += ms;
	return health_pass_time(&health, rules, now);
}

static uint32_t
share(const struct health_rules *rules)
{
	return health_share(&health, rules, WHOLE, now);
}

/* Takes it down by failures. */
static void
bring_down(const struct health_rules *rules)
{
	for (uint32_t i = 1; i < rules->max_fails; i++)
		assert_int_equal(failed(rules), HEALTH_NO_NEWS);
	assert_int_equal(failed(rules), HEALTH_WENT_DOWN);
	assert_int_equal(share(rules), 0);
}

static void
it_begins_up_with_its_whole_share(void **state)
{
	(void)state;
	assert_int_equal(pass(&passive, 1), HEALTH_NO_NEWS);
	assert_int_equal(share(&passive), WHOLE);
	assert_true(health_next_ms(&health, &passive, now) == UINT64_MAX);
	assert_int_equal(health_served(&health, &passive, now), HEALTH_NO_NEWS);
	assert_int_equal(share(&passive), WHOLE);
	assert_false(health_begin(&health));
}

static void
so_many_failures_within_the_time_take_it_down(void **state)
{
	(void)state;
	bring_down(&passive);
	assert_int_equal(failures, 3);
	/* Those that come late change nothing. */
	now += 5000;
	assert_int_equal(failed(&passive), HEALTH_NO_NEWS);
	assert_true(health_next_ms(&health, &passive, now) == now + 5000);
}

static void
failures_further_apart_than_the_time_do_not(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(failed(&passive), HEALTH_NO_NEWS);
		now += TIMEOUT_MS / 2;
	}
}

/*
 * Whatever the phase of the clock: seven eighths of the time are within it, and more than all is
 * not.
 */
static void
the_time_is_a_sliding_one(void **state)
{
	for (uint64_t phase = 0; phase < TIMEOUT_MS; phase += 77) {
		begin(state);
		now += phase;
		failed(&passive);
		now += TIMEOUT_MS / 2;
		failed(&passive);
		now += TIMEOUT_MS * 3 / 8;
		assert_int_equal(failed(&passive), HEALTH_WENT_DOWN);
		begin(state);
		now += phase;
		failed(&passive);
		now += TIMEOUT_MS / 2;
		failed(&passive);
		now += TIMEOUT_MS / 2 + 1;
		assert_int_equal(failed(&passive), HEALTH_NO_NEWS);
		assert_int_equal(failures, 2);
	}
}

static void
a_success_clears_failures(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(failed(&passive), HEALTH_NO_NEWS);
		assert_int_equal(failed(&passive), HEALTH_NO_NEWS);
		assert_int_equal(health_served(&health, &passive, now), HEALTH_NO_NEWS);
	}
}

static void
without_max_fails_it_is_never_down(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(failed(&careless), HEALTH_NO_NEWS);
	assert_int_equal(share(&careless), WHOLE);
}

static void
after_the_time_one_connection_tries_it(void **state)
{
	(void)state;
	bring_down(&passive);
	assert_int_equal(pass(&passive, TIMEOUT_MS - 1), HEALTH_NO_NEWS);
	assert_int_equal(share(&passive), 0);
	assert_int_equal(pass(&passive, 1), HEALTH_NO_NEWS);
	assert_int_equal(health.state, HEALTH_TRIAL);
	assert_int_equal(share(&passive), WHOLE);
	assert_true(health_begin(&health));
	assert_int_equal(share(&passive), 0);
	assert_false(health_begin(&health));
	/* However long it takes. */
	pass(&passive, 100 * TIMEOUT_MS);
	assert_int_equal(share(&passive), 0);
	assert_int_equal(health_served(&health, &passive, now), HEALTH_CAME_UP);
	assert_int_not_equal(share(&passive), 0);
}

static void
one_failure_of_a_trial_leaves_it_down_for_the_time_again(void **state)
{
	(void)state;
	bring_down(&passive);
	for (int i = 0; i < 3; i++) {
		pass(&passive, TIMEOUT_MS);
		assert_true(health_begin(&health));
		assert_int_equal(failed(&passive), HEALTH_NO_NEWS);
		assert_int_equal(health.state, HEALTH_DOWN);
		assert_int_equal(share(&passive), 0);
		pass(&passive, TIMEOUT_MS - 1);
		assert_int_equal(share(&passive), 0);
		now++;
	}
}

static void
a_trial_that_shows_nothing_leaves_it_to_the_next(void **state)
{
	uint32_t epoch;

	(void)state;
	bring_down(&passive);
	pass(&passive, TIMEOUT_MS);
	epoch = health.epoch;
	assert_true(health_begin(&health));
	health_forget_trial(&health, epoch);
	assert_int_equal(share(&passive), WHOLE);
	assert_true(health_begin(&health));
	/* The connection of an older trial does not end this one. */
	health_forget_trial(&health, epoch - 1);
	assert_int_equal(share(&passive), 0);
}

static void
what_began_before_it_went_down_or_came_up_is_not_counted(void **state)
{
	uint32_t first = health.epoch, before;

	(void)state;
	bring_down(&passive);
	before = health.epoch;
	pass(&passive, TIMEOUT_MS);
	assert_int_equal(health_failed(&health, &passive, before, now, &failures), HEALTH_NO_NEWS);
	assert_int_equal(health.state, HEALTH_TRIAL);
	assert_int_equal(health_served(&health, &passive, now), HEALTH_CAME_UP);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(health_failed(&health, &passive, first, now, &failures),
				 HEALTH_NO_NEWS);
		assert_int_equal(health_failed(&health, &passive, before, now, &failures),
				 HEALTH_NO_NEWS);
	}
	/* But a connection whose beginning nobody has kept is. */
	assert_int_equal(health_failed(&health, &passive, 0, now, &failures), HEALTH_NO_NEWS);
	assert_int_equal(failures, 1);
}

static void
a_connection_that_is_served_brings_it_up_even_while_it_is_down(void **state)
{
	(void)state;
	bring_down(&passive);
	assert_int_equal(health_served(&health, &passive, now), HEALTH_CAME_UP);
}

static void
its_share_grows_to_the_whole_during_the_time(void **state)
{
	uint32_t before = 0;

	(void)state;
	bring_down(&passive);
	health_served(&health, &passive, now);
	assert_int_equal(share(&passive), 1);
	for (int i = 1; i < 100; i++) {
		assert_int_equal(pass(&passive, TIMEOUT_MS / 100), HEALTH_NO_NEWS);
		assert_in_range(share(&passive), WHOLE * i / 100 - 1, WHOLE * i / 100 + 1);
		assert_true(share(&passive) > before);
		/* And it says when to look again, well before it has grown much. */
		assert_in_range(health_next_ms(&health, &passive, now), now + 1,
				now + TIMEOUT_MS / 100);
		before = share(&passive);
	}
	pass(&passive, TIMEOUT_MS / 100);
	assert_int_equal(share(&passive), WHOLE);
	assert_true(health_next_ms(&health, &passive, now) == UINT64_MAX);
}

static void
one_that_goes_down_while_it_grows_grows_anew(void **state)
{
	(void)state;
	bring_down(&passive);
	health_served(&health, &passive, now);
	pass(&passive, TIMEOUT_MS / 2);
	bring_down(&passive);
	pass(&passive, TIMEOUT_MS);
	health_begin(&health);
	assert_int_equal(health_served(&health, &passive, now), HEALTH_CAME_UP);
	assert_int_equal(share(&passive), 1);
}

static void
the_first_check_that_fails_takes_it_down(void **state)
{
	(void)state;
	assert_int_equal(health_checked(&health, &checked, false, now, &failures),
			 HEALTH_WENT_DOWN);
	assert_int_equal(failures, 1);
	assert_int_equal(health_checked(&health, &checked, false, now, &failures), HEALTH_NO_NEWS);
	assert_int_equal(health_checked(&health, &checked, true, now, &failures), HEALTH_CAME_UP);
}

static void
later_so_many_in_a_row_do(void **state)
{
	(void)state;
	assert_int_equal(health_checked(&health, &checked, true, now, &failures), HEALTH_NO_NEWS);
	assert_int_equal(share(&checked), WHOLE);
	for (int i = 0; i < 10; i++) {
		now += TIMEOUT_MS;
		assert_int_equal(health_checked(&health, &checked, false, now, &failures),
				 HEALTH_NO_NEWS);
		assert_int_equal(health_checked(&health, &checked, false, now, &failures),
				 HEALTH_NO_NEWS);
		assert_int_equal(health_checked(&health, &checked, true, now, &failures),
				 HEALTH_NO_NEWS);
	}
	for (int i = 0; i < 2; i++) {
		now += TIMEOUT_MS;
		assert_int_equal(health_checked(&health, &checked, false, now, &failures),
				 HEALTH_NO_NEWS);
		/* Served connections are not checks. */
		assert_int_equal(health_served(&health, &checked, now), HEALTH_NO_NEWS);
	}
	assert_int_equal(health_checked(&health, &checked, false, now, &failures),
			 HEALTH_WENT_DOWN);
	assert_int_equal(failures, 3);
}

static void
without_max_fails_one_check_does(void **state)
{
	struct health_rules rules = { .fail_timeout_ms = TIMEOUT_MS, .checked = true };

	(void)state;
	health_checked(&health, &rules, true, now, &failures);
	for (int i = 0; i < 10; i++)
		assert_int_equal(failed(&rules), HEALTH_NO_NEWS);
	assert_int_equal(health_checked(&health, &rules, false, now, &failures), HEALTH_WENT_DOWN);
}

static void
what_is_checked_comes_up_by_a_check_only(void **state)
{
	(void)state;
	health_checked(&health, &checked, true, now, &failures);
	bring_down(&checked);
	assert_int_equal(pass(&checked, 100 * TIMEOUT_MS), HEALTH_NO_NEWS);
	assert_int_equal(health.state, HEALTH_DOWN);
	assert_true(health_next_ms(&health, &checked, now) == UINT64_MAX);
	assert_int_equal(health_served(&health, &checked, now), HEALTH_NO_NEWS);
	assert_int_equal(share(&checked), 0);
	assert_int_equal(health_checked(&health, &checked, true, now, &failures), HEALTH_CAME_UP);
	assert_int_equal(share(&checked), 1);
	/* It is given all its failures again. */
	bring_down(&checked);
}

static void
one_that_leads_elsewhere_is_tried_at_once(void **state)
{
	(void)state;
	bring_down(&passive);
	health_renew(&health, now);
	pass(&passive, 0);
	assert_int_equal(health.state, HEALTH_TRIAL);
	health_served(&health, &passive, now);
	failed(&passive);
	failed(&passive);
	health_renew(&health, now);
	assert_int_equal(health.state, HEALTH_UP);
	bring_down(&passive);
}

static void
one_that_is_checked_no_more_comes_up_without(void **state)
{
	(void)state;
	health_checked(&health, &checked, false, now, &failures);
	health_renew(&health, now);
	pass(&passive, 0);
	assert_true(health_begin(&health));
	assert_int_equal(health_served(&health, &passive, now), HEALTH_CAME_UP);
}

static void
a_trial_of_one_that_never_answers_ends_well_if_nothing_fails(void **state)
{
	(void)state;
	bring_down(&silent);
	pass(&silent, TIMEOUT_MS);
	/* Nobody tries it: that shows nothing. */
	assert_int_equal(pass(&silent, 100 * TIMEOUT_MS), HEALTH_NO_NEWS);
	assert_true(health_begin(&health));
	/* Nor when nothing can be sent to it, nor what was sent before it was on trial. */
	health_sent(&health, &silent, health.epoch - 1, now);
	assert_true(health_next_ms(&health, &silent, now) == UINT64_MAX);
	assert_int_equal(pass(&silent, 100 * TIMEOUT_MS), HEALTH_NO_NEWS);
	health_sent(&health, &silent, health.epoch, now);
	assert_true(health_next_ms(&health, &silent, now) == now + TIMEOUT_MS);
	assert_int_equal(pass(&silent, TIMEOUT_MS / 2), HEALTH_NO_NEWS);
	/* A second flow, when the first has ended, does not begin it anew. */
	health_forget_trial(&health, health.epoch);
	assert_true(health_begin(&health));
	health_sent(&health, &silent, health.epoch, now);
	assert_int_equal(pass(&silent, TIMEOUT_MS / 2 - 1), HEALTH_NO_NEWS);
	assert_int_equal(share(&silent), 0);
	assert_int_equal(pass(&silent, 1), HEALTH_CAME_UP);
	assert_int_equal(share(&silent), 1);
}

static void
a_refusal_ends_it_badly(void **state)
{
	(void)state;
	bring_down(&silent);
	pass(&silent, TIMEOUT_MS);
	assert_true(health_begin(&health));
	health_sent(&health, &silent, health.epoch, now);
	now += TIMEOUT_MS - 1;
	assert_int_equal(failed(&silent), HEALTH_NO_NEWS);
	assert_int_equal(pass(&silent, 1), HEALTH_NO_NEWS);
	assert_int_equal(health.state, HEALTH_DOWN);
}

static void
a_time_of_one_millisecond_works(void **state)
{
	struct health_rules rules = { .max_fails = 2, .fail_timeout_ms = 1 };

	(void)state;
	bring_down(&rules);
	pass(&rules, 1);
	assert_true(health_begin(&health));
	assert_int_equal(health_served(&health, &rules, now), HEALTH_CAME_UP);
	pass(&rules, 1);
	assert_int_equal(share(&rules), WHOLE);
	failed(&rules);
	now++;
	assert_int_equal(failed(&rules), HEALTH_NO_NEWS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(it_begins_up_with_its_whole_share, begin),
		cmocka_unit_test_setup(so_many_failures_within_the_time_take_it_down, begin),
		cmocka_unit_test_setup(failures_further_apart_than_the_time_do_not, begin),
		cmocka_unit_test_setup(the_time_is_a_sliding_one, begin),
		cmocka_unit_test_setup(a_success_clears_failures, begin),
		cmocka_unit_test_setup(without_max_fails_it_is_never_down, begin),
		cmocka_unit_test_setup(after_the_time_one_connection_tries_it, begin),
		cmocka_unit_test_setup(one_failure_of_a_trial_leaves_it_down_for_the_time_again,
				       begin),
		cmocka_unit_test_setup(a_trial_that_shows_nothing_leaves_it_to_the_next, begin),
		cmocka_unit_test_setup(what_began_before_it_went_down_or_came_up_is_not_counted,
				       begin),
		cmocka_unit_test_setup(
			a_connection_that_is_served_brings_it_up_even_while_it_is_down, begin),
		cmocka_unit_test_setup(its_share_grows_to_the_whole_during_the_time, begin),
		cmocka_unit_test_setup(one_that_goes_down_while_it_grows_grows_anew, begin),
		cmocka_unit_test_setup(the_first_check_that_fails_takes_it_down, begin),
		cmocka_unit_test_setup(later_so_many_in_a_row_do, begin),
		cmocka_unit_test_setup(without_max_fails_one_check_does, begin),
		cmocka_unit_test_setup(what_is_checked_comes_up_by_a_check_only, begin),
		cmocka_unit_test_setup(one_that_leads_elsewhere_is_tried_at_once, begin),
		cmocka_unit_test_setup(one_that_is_checked_no_more_comes_up_without, begin),
		cmocka_unit_test_setup(a_trial_of_one_that_never_answers_ends_well_if_nothing_fails,
				       begin),
		cmocka_unit_test_setup(a_refusal_ends_it_badly, begin),
		cmocka_unit_test_setup(a_time_of_one_millisecond_works, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
