/* test_upstream_names.c - names of upstreams are looked up, again and again, and the last good
 * answer stays. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "fake_house.h"
#include "upstreams_group.h"

static void
addresses_are_there_at_once_without_a_look_up(void **state)
{
	struct choice choice = { 0 };

	(void)state;
	add("tcp://10.0.0.1:3", 1, false);
	add("tcp://[::1]:1", 1, false);
	add("unix:///run/x2", 1, false);
	start(false);
	assert_int_equal(lookups_made, 0);
	assert_int_equal(upstreams_pick(group, client(1), &choice), PICK_OK);
	assert_int_equal(choice.places->count, 1);
	assert_int_equal(choice.places->items[0].u.in.sin_port, htons(3));
	choice_end(&choice);
	assert_int_equal(serve(), 1);
	assert_int_equal(serve(), 2);
	upstreams_stop(group);
	assert_int_equal(serve(), 3);
}

static void
a_name_is_unresolved_until_the_first_answer(void **state)
{
	(void)state;
	add("tcp://one:1", 1, false);
	start(false);
	assert_int_equal(serve(), 9);
	assert_string_equal(report(), "tcp://one:1 unresolved 0 0 0\n");
	answer("10.0.0.1", NULL);
	assert_logged("info: web: upstream tcp://one:1: leads to tcp://10.0.0.1:80\n");
	assert_int_equal(serve(), 1);
	upstreams_stop(group);
}

static void
one_that_is_not_known_is_not_available_and_asked_for_again(void **state)
{
	static const uint64_t waits[] = { 1000, 2000, 4000, 8000, 16000, 30000, 30000 };

	(void)state;
	add("tcp://one:1", 1, false);
	start(false);
	answer(NULL, "Name or service not known");
	assert_logged("warning: web: upstream tcp://one:1: Name or service not known\n");
	for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
		assert_int_equal(serve(), 0);
		advance(waits[i] * 9 / 10 - 1);
		assert_false(is_looking_up());
		advance(waits[i] / 10 + 2);
		assert_int_equal(serve(), 0);
		answer(NULL, "Name or service not known");
	}
	assert_logged("");
	advance(30000);
	answer("10.0.0.1", NULL);
	assert_logged("notice: web: upstream tcp://one:1: its name is known again\n"
		      "info: web: upstream tcp://one:1: leads to tcp://10.0.0.1:80\n");
	assert_int_equal(serve(), 1);
	upstreams_stop(group);
}

static void
names_are_looked_up_again_and_the_last_answer_stays(void **state)
{
	(void)state;
	add("tcp://one:1", 1, false);
	start(false);
	answer("10.0.0.1 10.0.0.2", NULL);
	log_text[0] = '\0';
	for (int i = 0; i < 5; i++) {
		advance(26999);
		assert_false(is_looking_up());
		advance(3001);
		answer(i % 2 == 0 ? "10.0.0.2 10.0.0.1" : "10.0.0.1 10.0.0.2 10.0.0.1", NULL);
	}
	assert_logged("");
	for (int i = 0; i < 3; i++) {
		advance(30000);
		answer(NULL, "Temporary failure in name resolution");
		assert_int_equal(serve(), 1);
	}
	assert_logged("warning: web: upstream tcp://one:1: Temporary failure in name resolution; "
		      "the last answer stays\n");
	advance(30000);
	answer("10.0.0.2 10.0.0.1", NULL);
	assert_logged("notice: web: upstream tcp://one:1: its name is known again\n");
	advance(30000);
	answer("10.0.0.3", NULL);
	assert_logged("info: web: upstream tcp://one:1: leads to tcp://10.0.0.3:80\n");
	upstreams_stop(group);
}

static void
a_client_keeps_the_places_it_was_given(void **state)
{
	struct choice choice = { 0 };

	(void)state;
	add("tcp://one:1", 1, false);
	start(false);
	answer("10.0.0.1", NULL);
	assert_int_equal(pick_for(&choice, 1), 1);
	advance(30000);
	answer("10.0.0.2", NULL);
	assert_int_equal(choice.places->items[0].u.in.sin_addr.s_addr, htonl(0x0a000001));
	upstreams_stop(group);
	choice_end(&choice);
}

static void
clients_begin_with_each_place_of_the_preferred_family_in_turn(void **state)
{
	static const char *const first[] = { "2001:db8::1", "2001:db8::2", "2001:db8::3" };

	(void)state;
	add("tcp://one:1", 1, false);
	start(false);
	answer("2001:db8::1 10.0.0.1 2001:db8::2 10.0.0.2 2001:db8::3", NULL);
	for (int i = 0; i < 9; i++) {
		struct choice choice = { 0 };
		struct sockaddr_any expected = place(first[i % 3]);

		assert_int_equal(pick_for(&choice, 1), 1);
		assert_int_equal(choice.places->count, 5);
		assert_memory_equal(&choice.places->items[choice.first].u, &expected.u,
				    expected.length);
		choice_end(&choice);
	}
	upstreams_stop(group);
}

static void
only_places_that_can_be_dialled_from_bind_are_used(void **state)
{
	struct choice choice = { 0 };

	(void)state;
	settings.bind.in = (struct sockaddr_in){ .sin_family = AF_INET };
	add("tcp://one:1", 1, false);
	start(false);
	answer("2001:db8::1 10.0.0.1 2001:db8::2", NULL);
	assert_int_equal(pick_for(&choice, 1), 1);
	assert_int_equal(choice.places->count, 1);
	assert_int_equal(choice.first, 0);
	choice_end(&choice);
	log_text[0] = '\0';
	advance(30000);
	answer("2001:db8::1", NULL);
	assert_logged("warning: web: upstream tcp://one:1: has no address of the family of bind; "
		      "the last answer stays\n");
	upstreams_stop(group);
}

static void
without_an_interval_an_answer_is_final(void **state)
{
	(void)state;
	settings.resolve_interval_ms = 0;
	add("tcp://one:1", 1, false);
	start(false);
	answer(NULL, "Name or service not known");
	advance(1000);
	answer("10.0.0.1", NULL);
	advance(24 * 3600 * 1000);
	assert_int_equal(lookups_made, 2);
	upstreams_stop(group);
}

static void
one_that_is_down_is_tried_at_once_where_it_leads_now(void **state)
{
	(void)state;
	add("tcp://one:1", 1, false);
	add("tcp://10.0.0.2:2", 1, false);
	start(false);
	answer("10.0.0.1", NULL);
	advance(25000);
	take_down(1);
	assert_int_equal(serve() + serve(), 4);
	advance(5000);
	answer("10.0.0.3", NULL);
	log_text[0] = '\0';
	assert_int_equal(serve() + serve(), 3);
	assert_logged("notice: web: upstream tcp://one:1: up\n");
	upstreams_stop(group);
}

static void
a_long_answer_is_cut_in_the_log(void **state)
{
	char hosts[300 * 12] = "", *at = hosts;

	(void)state;
	for (int i = 0; i < 300; i++)
		at += sprintf(at, "%s10.0.%d.%d", i == 0 ? "" : " ", i / 250, i % 250);
	add("tcp://one:1", 1, false);
	start(false);
	answer(hosts, NULL);
	assert_non_null(strstr(log_text, "tcp://10.0.0.7:80 and 248 more\n"));
	upstreams_stop(group);
}

static void
a_stop_ends_look_ups_and_nobody_waits_for_them(void **state)
{
	(void)state;
	add("tcp://one:1", 1, false);
	add("tcp://two:2", 0, false);
	start(false);
	assert_int_equal(lookups_made, 1);
	assert_int_equal(serve(), 9);
	upstreams_stop(group);
	assert_false(is_looking_up());
	assert_int_equal(serve(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		group_test(addresses_are_there_at_once_without_a_look_up),
		group_test(a_name_is_unresolved_until_the_first_answer),
		group_test(one_that_is_not_known_is_not_available_and_asked_for_again),
		group_test(names_are_looked_up_again_and_the_last_answer_stays),
		group_test(a_client_keeps_the_places_it_was_given),
		group_test(clients_begin_with_each_place_of_the_preferred_family_in_turn),
		group_test(only_places_that_can_be_dialled_from_bind_are_used),
		group_test(without_an_interval_an_answer_is_final),
		group_test(one_that_is_down_is_tried_at_once_where_it_leads_now),
		group_test(a_long_answer_is_cut_in_the_log),
		group_test(a_stop_ends_look_ups_and_nobody_waits_for_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
