/* test_upstreams.c - clients are given upstreams that serve, each its share, and learn the truth
 * if none does. */
#include <errno.h>
#include <pthread.h>
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
two(void)
{
	add("tcp://10.0.0.1:1", 1, false);
	add("tcp://10.0.0.2:2", 1, false);
	make(false);
}

static void
weights_count(void **state)
{
	int got[4] = { 0 };

	(void)state;
	add("tcp://10.0.0.1:1", 3, false);
	add("tcp://10.0.0.2:2", 1, false);
	add("tcp://10.0.0.3:3", 0, false);
	make(false);
	for (int i = 0; i < 400; i++)
		got[serve()]++;
	assert_int_equal(got[1], 300);
	assert_int_equal(got[2], 100);
	assert_string_equal(report(), "tcp://10.0.0.1:1 up 0 300 0\ntcp://10.0.0.2:2 up 0 100 0\n"
				      "tcp://10.0.0.3:3 drained 0 0 0\n");
	assert_logged("");
}

static void
a_client_tries_each_once_and_may_begin_anew(void **state)
{
	struct choice choice = { 0 };

	(void)state;
	add("tcp://10.0.0.1:1", 1, false);
	add("tcp://10.0.0.2:2", 1, true);
	add("tcp://10.0.0.3:3", 1, false);
	make(false);
	for (int round = 0; round < 2; round++) {
		int first = pick_for(&choice, 1);

		choice_refused(&choice, ETIMEDOUT);
		assert_int_equal(first + pick_for(&choice, 1), 4);
		choice_refused(&choice, ECONNREFUSED);
		assert_int_equal(pick_for(&choice, 1), 2);
		assert_string_equal(upstream_text(choice.upstream), "tcp://10.0.0.2:2");
		choice_refused(&choice, ECONNREFUSED);
		assert_int_equal(pick_for(&choice, 1), 0);
		assert_null(choice.upstream);
		assert_null(choice.places);
		choice_forget(&choice);
	}
	choice_end(&choice);
	assert_string_equal(report(),
			    "tcp://10.0.0.1:1 up 0 0 2\ntcp://10.0.0.2:2 up backup 0 0 2\n"
			    "tcp://10.0.0.3:3 up 0 0 2\n");
}

static void
connections_are_counted_until_they_end(void **state)
{
	struct choice choices[4] = { 0 }, left;

	(void)state;
	two();
	for (int i = 0; i < 4; i++)
		pick_for(&choices[i], 1);
	assert_string_equal(report(), "tcp://10.0.0.1:1 up 2 0 0\ntcp://10.0.0.2:2 up 2 0 0\n");
	choice_connected(&choices[0]);
	/* What is left of a choice that is connected. */
	assert_null(choices[0].places);
	assert_null(choices[0].tried);
	left = (struct choice){ .upstream = choices[0].upstream };
	choice_refused(&choices[2], ECONNRESET);
	choice_end(&choices[1]);
	assert_string_equal(report(), "tcp://10.0.0.1:1 up 1 1 1\ntcp://10.0.0.2:2 up 1 0 0\n");
	choice_end(&left);
	choice_end(&choices[2]);
	choice_end(&choices[3]);
	assert_string_equal(report(), "tcp://10.0.0.1:1 up 0 1 1\ntcp://10.0.0.2:2 up 0 0 0\n");
}

static void
failures_take_one_down_and_a_trial_brings_it_back(void **state)
{
	struct choice trial = { 0 }, other = { 0 };
	int got[3] = { 0 };

	(void)state;
	two();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(refuse(ECONNREFUSED), 1);
		assert_int_equal(serve(), 2);
	}
	assert_logged(
		"warning: web: upstream tcp://10.0.0.1:1: down after 3 failures: Connection "
		"refused\n");
	assert_string_equal(report(), "tcp://10.0.0.1:1 down 0 0 3\ntcp://10.0.0.2:2 up 0 3 0\n");
	advance(9999);
	for (int i = 0; i < 10; i++)
		assert_int_equal(serve(), 2);
	advance(1);
	/* One at a time. */
	while (pick_for(&trial, 1) != 1)
		choice_end(&trial);
	for (int i = 0; i < 10; i++)
		assert_int_equal(serve(), 2);
	assert_string_equal(report(), "tcp://10.0.0.1:1 down 1 0 3\ntcp://10.0.0.2:2 up 0 23 0\n");
	choice_refused(&trial, ECONNREFUSED);
	choice_end(&trial);
	advance(9999);
	for (int i = 0; i < 10; i++)
		assert_int_equal(serve(), 2);
	advance(1);
	/* A client that gives up shows nothing: the next one tries. */
	while (pick_for(&trial, 1) != 1)
		choice_end(&trial);
	choice_end(&trial);
	while (pick_for(&other, 1) != 1)
		choice_end(&other);
	assert_logged("");
	choice_connected(&other);
	assert_logged("notice: web: upstream tcp://10.0.0.1:1: up\n");
	choice_end(&other);
	/* Its share grows. */
	for (int i = 0; i < 256; i++)
		got[serve()]++;
	assert_in_range(got[1], 0, 3);
	advance(5000);
	got[1] = 0;
	for (int i = 0; i < 300; i++)
		got[serve()]++;
	assert_in_range(got[1], 95, 105);
	advance(5000);
	got[1] = 0;
	for (int i = 0; i < 300; i++)
		got[serve()]++;
	assert_in_range(got[1], 149, 151);
}

static void
what_we_lack_ourselves_is_nobodys_failure(void **state)
{
	static const int ours[] = { EMFILE, ENFILE, ENOMEM, ENOBUFS, EADDRNOTAVAIL };

	(void)state;
	two();
	for (int i = 0; i < 100; i++)
		refuse(ours[i % 5]);
	assert_logged("");
	assert_string_equal(report(), "tcp://10.0.0.1:1 up 0 0 50\ntcp://10.0.0.2:2 up 0 0 50\n");
}

static void
backups_serve_while_no_other_does(void **state)
{
	(void)state;
	add("tcp://10.0.0.1:1", 1, true);
	add("tcp://10.0.0.2:2", 1, false);
	add("tcp://10.0.0.3:3", 1, true);
	add("tcp://10.0.0.4:4", 1, false);
	make(false);
	for (int i = 0; i < 10; i++)
		assert_int_equal(serve() % 2, 0);
	take_down(2);
	for (int i = 0; i < 10; i++)
		assert_int_equal(serve(), 4);
	take_down(4);
	for (int i = 0; i < 10; i++)
		assert_int_equal(serve(), i % 2 == 0 ? 1 : 3);
	/* The time comes when the others are tried, one connection each; then the backups go on. */
	advance(10000);
	struct choice choices[4] = { 0 };
	for (int i = 0; i < 4; i++)
		assert_int_equal(pick_for(&choices[i], 1) % 2, i < 2 ? 0 : 1);
	for (int i = 0; i < 4; i++)
		choice_end(&choices[i]);
}

static void
when_all_are_down_all_are_tried_and_backups_last(void **state)
{
	(void)state;
	add("tcp://10.0.0.1:1", 1, true);
	add("tcp://10.0.0.2:2", 1, false);
	add("tcp://10.0.0.3:3", 1, false);
	make(false);
	take_down(2);
	take_down(3);
	take_down(1);
	for (int i = 0; i < 10; i++) {
		struct choice choice = { 0 };
		int first = pick_for(&choice, 1);

		assert_in_range(first, 2, 3);
		choice_refused(&choice, ECONNREFUSED);
		assert_int_equal(pick_for(&choice, 1), 5 - first);
		choice_refused(&choice, ECONNREFUSED);
		assert_int_equal(pick_for(&choice, 1), 1);
		choice_refused(&choice, ECONNREFUSED);
		assert_int_equal(pick_for(&choice, 1), 0);
		choice_end(&choice);
	}
	assert_logged("");
	/* Whoever serves is up again at once, and alone. */
	assert_int_equal(serve() & 2, 2);
	assert_non_null(strstr(log_text, ": up\n"));
	int up = log_text[strlen("notice: web: upstream tcp://10.0.0.1:")] - '0';
	for (int i = 0; i < 10; i++)
		assert_int_equal(serve(), up);
}

/* However the trial of one that is tried anyway goes on, the next is possible. */
static void
a_trial_while_all_are_down_is_no_trap(void **state)
{
	struct choice first = { 0 }, second = { 0 };

	(void)state;
	add("tcp://10.0.0.1:1", 1, false);
	make(false);
	take_down(1);
	advance(10000);
	assert_int_equal(pick_for(&first, 1), 1);
	assert_int_equal(pick_for(&second, 1), 1);
	choice_refused(&second, ECONNREFUSED);
	choice_end(&second);
	advance(10000);
	assert_int_equal(pick_for(&second, 1), 1);
	choice_end(&first);
	choice_connected(&second);
	assert_logged("notice: web: upstream tcp://10.0.0.1:1: up\n");
	choice_end(&second);
}

/* What heavy ones were owed when they went is not paid out among light ones. */
static void
those_that_are_left_go_on_by_turns(void **state)
{
	(void)state;
	add("tcp://10.0.0.1:1", 1000, false);
	add("tcp://10.0.0.2:2", 1, false);
	add("tcp://10.0.0.3:3", 1, false);
	make(false);
	for (int i = 0; i < 490; i++)
		serve();
	take_down(1);
	for (int i = 0, before = 0, again = 0; i < 100; i++) {
		int picked = serve();

		again = picked == before ? again + 1 : 0;
		before = picked;
		assert_in_range(again, 0, 2);
	}
}

static void
source_moves_only_the_clients_of_one_that_goes_down(void **state)
{
	static int before[1000];
	unsigned moved = 0;

	(void)state;
	settings.balance = BALANCE_SOURCE;
	for (int i = 1; i <= 8; i++) {
		char text[40];

		snprintf(text, sizeof text, "tcp://10.0.0.%d:%d", i, i);
		add(text, 1, false);
	}
	make(false);
	for (uint32_t i = 0; i < 1000; i++) {
		struct choice choice = { 0 };

		before[i] = pick_for(&choice, i);
		choice_end(&choice);
	}
	take_down(5);
	for (uint32_t i = 0; i < 1000; i++) {
		struct choice choice = { 0 };
		int picked = pick_for(&choice, i);

		assert_true(before[i] == 5 ? picked != 5 : picked == before[i]);
		moved += before[i] == 5;
		choice_end(&choice);
	}
	assert_in_range(moved, 80, 170);
}

static void
source_gives_unix_clients_turns(void **state)
{
	union peer_address nobody = { 0 };

	(void)state;
	settings.balance = BALANCE_SOURCE;
	two();
	for (int i = 0; i < 10; i++) {
		struct choice choice = { 0 };

		assert_int_equal(upstreams_pick(group, &nobody, &choice), PICK_OK);
		assert_string_equal(upstream_text(choice.upstream),
				    i % 2 == 0 ? "tcp://10.0.0.1:1" : "tcp://10.0.0.2:2");
		choice_end(&choice);
	}
}

static void
what_stands_there_twice_has_two_parts_of_the_clients(void **state)
{
	(void)state;
	settings.balance = BALANCE_SOURCE;
	add("tcp://10.0.0.1:1", 1, false);
	add("tcp://10.0.0.1:1", 1, false);
	add("tcp://10.0.0.1:1", 1, false);
	make(false);
	struct choice choices[300] = { 0 };
	for (uint32_t i = 0; i < 300; i++)
		pick_for(&choices[i], i);
	for (int i = 0; i < 3; i++) {
		unsigned open = 0;

		for (int j = 0; j < 300; j++)
			open += choices[j].upstream == choices[i * 99].upstream;
		assert_in_range(open, 60, 140);
	}
	for (int i = 0; i < 300; i++)
		choice_end(&choices[i]);
}

static void
least_conn_counts_what_is_open(void **state)
{
	struct choice choices[9] = { 0 };

	(void)state;
	settings.balance = BALANCE_LEAST_CONN;
	add("tcp://10.0.0.1:1", 2, false);
	add("tcp://10.0.0.2:2", 1, false);
	make(false);
	for (int i = 0; i < 9; i++) {
		pick_for(&choices[i], 1);
		choice_connected(&choices[i]);
	}
	assert_string_equal(report(), "tcp://10.0.0.1:1 up 6 6 0\ntcp://10.0.0.2:2 up 3 3 0\n");
	for (int i = 0; i < 9; i++)
		if (strcmp(upstream_text(choices[i].upstream), "tcp://10.0.0.1:1") == 0)
			choice_end(&choices[i]);
	for (int i = 0; i < 6; i++) {
		struct choice choice = { 0 };

		assert_int_equal(pick_for(&choice, 1), 1);
		choices[i].upstream == NULL ? (void)(choices[i] = choice) : choice_end(&choice);
	}
	for (int i = 0; i < 9; i++)
		choice_end(&choices[i]);
}

static void
a_group_of_the_other_kind_is_empty(void **state)
{
	struct choice choice = { 0 };

	(void)state;
	add("tcp://10.0.0.1:1", 1, false);
	add("unix:///run/x2", 1, false);
	make(true);
	assert_int_equal(upstreams_pick(group, client(1), &choice), PICK_NONE);
	assert_string_equal(report(), "");
	choice_end(&choice);
	upstreams_start(group, a_factory());
	upstreams_stop(group);
}

static void
a_thousand_are_as_good_as_one(void **state)
{
	static struct choice choices[1000];
	struct choice choice = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++) {
		char text[40];

		snprintf(text, sizeof text, "tcp://10.0.%d.%d:80", i / 250, i % 250);
		add(text, 1, i >= 900);
	}
	make(false);
	memset(choices, 0, sizeof choices);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(upstreams_pick(group, client(1), &choices[i]), PICK_OK);
	for (int i = 0; i < 1000; i++) {
		char text[40];

		snprintf(text, sizeof text, "tcp://10.0.%d.%d:80", i % 900 / 250, i % 900 % 250);
		assert_string_equal(upstream_text(choices[i].upstream), text);
		choice_end(&choices[i]);
	}
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(upstreams_pick(group, client(1), &choice), PICK_OK);
		choice_refused(&choice, EHOSTUNREACH);
	}
	assert_int_equal(upstreams_pick(group, client(1), &choice), PICK_NONE);
	choice_end(&choice);
}

enum { THREADS = 4, PICKS = 20000 };

static void *
pick_and_end(void *arg)
{
	uint32_t random = 1 + (uint32_t)(uintptr_t)arg;
	union peer_address peer = { .in.sin_family = AF_INET };

	for (int i = 0; i < PICKS; i++) {
		struct choice choice = { 0 };

		random = random * 1664525 + 1013904223;
		peer.in.sin_addr.s_addr = random;
		for (uint32_t tries = random >> 30;
		     upstreams_pick(group, &peer, &choice) == PICK_OK && tries > 0; tries--)
			choice_refused(&choice, random >> 20 & 1 ? ECONNREFUSED : EMFILE);
		if (choice.upstream != NULL && random >> 21 & 1)
			choice_connected(&choice);
		choice_end(&choice);
	}
	return NULL;
}

static void
expect_none_open(void *arg, const struct upstream_report *one)
{
	(void)arg;
	assert_int_equal(one->open, 0);
	assert_true(one->connected > 0);
}

static void
many_threads_pick_while_names_and_the_time_change(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	settings.fail_timeout_ms = 20;
	settings.resolve_interval_ms = 100;
	add("tcp://one:1", 3, false);
	add("tcp://10.0.0.2:2", 1, false);
	add("tcp://10.0.0.3:3", 1, true);
	for (int balance = BALANCE_ROUND_ROBIN; balance <= BALANCE_SOURCE; balance++) {
		settings.balance = balance;
		start(false);
		answer("10.0.0.1", NULL);
		for (uintptr_t i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, pick_and_end, (void *)i),
					 0);
		for (int i = 0; i < 200; i++) {
			advance(10);
			report();
			if (is_looking_up())
				answer(i % 2 == 0 ? "10.0.0.4 10.0.0.5" : "10.0.0.6", NULL);
		}
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		upstreams_report(group, expect_none_open, NULL);
		upstreams_stop(group);
		upstreams_free(group);
		group = NULL;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		group_test(weights_count),
		group_test(a_client_tries_each_once_and_may_begin_anew),
		group_test(connections_are_counted_until_they_end),
		group_test(failures_take_one_down_and_a_trial_brings_it_back),
		group_test(what_we_lack_ourselves_is_nobodys_failure),
		group_test(backups_serve_while_no_other_does),
		group_test(when_all_are_down_all_are_tried_and_backups_last),
		group_test(a_trial_while_all_are_down_is_no_trap),
		group_test(those_that_are_left_go_on_by_turns),
		group_test(source_moves_only_the_clients_of_one_that_goes_down),
		group_test(source_gives_unix_clients_turns),
		group_test(what_stands_there_twice_has_two_parts_of_the_clients),
		group_test(least_conn_counts_what_is_open),
		group_test(a_group_of_the_other_kind_is_empty),
		group_test(a_thousand_are_as_good_as_one),
		group_test(many_threads_pick_while_names_and_the_time_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
