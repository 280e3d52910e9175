/* test_upstream_check.c - checks take upstreams down and bring them back, whatever is answered. */
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
#include "net/dialling.h"
#include "net/protocol.h"
#include "upstreams_group.h"

static void
with_check(const char *send, const char *expect)
{
	settings.check = (struct exchange){
		.kind = EXCHANGE_BYTES,
		.send = (uint8_t *)send,
		.expect = (uint8_t *)expect,
		.send_length = strlen(send),
		.expect_length = strlen(expect),
	};
}

static void
receive(struct transport *transport, const char *text)
{
	transport->protocol->data_received(transport, (const uint8_t *)text, strlen(text));
}

/* Lets the next check begin, and refuses it. */
static void
fail_check(void)
{
	while (!is_dialling())
		advance(10);
	refuse_dial(ECONNREFUSED);
}

static void
the_first_check_comes_at_once_and_may_take_one_down(void **state)
{
	(void)state;
	settings.check.kind = EXCHANGE_CONNECT;
	add("tcp://10.0.0.1:1", 1, false);
	start(false);
	assert_int_equal(serve(), 1);
	advance(0);
	refuse_dial(ECONNREFUSED);
	assert_logged(
		"warning: web: upstream tcp://10.0.0.1:1: down after 1 failure: Connection "
		"refused\n");
	fail_check();
	fail_check();
	/* Clients may find it, for there is no other; but a check says that it serves. */
	assert_int_equal(serve(), 1);
	assert_logged("");
	while (!is_dialling())
		advance(10);
	struct transport *transport = connect_dial();
	assert_logged("notice: web: upstream tcp://10.0.0.1:1: up\n");
	assert_true(transport->lost);
	assert_int_equal(transport->written_length, 0);
	end_transport(transport, REASON_PEER_CLOSED);
	assert_string_equal(report(), "tcp://10.0.0.1:1 up 0 2 3\n");
	fail_check();
	fail_check();
	assert_logged("");
	fail_check();
	assert_logged(
		"warning: web: upstream tcp://10.0.0.1:1: down after 3 failures: Connection "
		"refused\n");
	upstreams_stop(group);
}

static void
an_answer_may_come_in_pieces_and_be_longer(void **state)
{
	(void)state;
	with_check("PING\r\n", "+PONG");
	add("tcp://10.0.0.1:1", 1, false);
	start(false);
	for (int i = 0; i < 5; i++) {
		struct transport *transport;

		advance(i == 0 ? 0 : 5250);
		transport = connect_dial();
		assert_string_equal(transport->written, "PING\r\n");
		for (const char *at = "+PON"; *at != '\0'; at++)
			receive(transport, (char[]){ *at, '\0' });
		assert_false(transport->lost);
		receive(transport, "G\r\nmore");
		assert_true(transport->lost);
		receive(transport, "and more");
		end_transport(transport, REASON_PEER_CLOSED);
	}
	assert_string_equal(report(), "tcp://10.0.0.1:1 up 0 0 0\n");
	assert_logged("");
	upstreams_stop(group);
}

static void
another_answer_fails(void **state)
{
	static const char *const answers[] = {
		"-LOADING Redis is loading the dataset in memory, wait\r\n", "+PO", NULL
	};
	struct transport *transport;

	(void)state;
	with_check("PING\r\n", "+PONG");
	settings.max_fails = 1;
	add("tcp://10.0.0.1:1", 1, false);
	start(false);
	advance(0);
	transport = connect_dial();
	receive(transport, answers[0]);
	assert_logged("warning: web: upstream tcp://10.0.0.1:1: down after 1 failure: "
		      "the answer begins \"-LOADING Redis is loading the dataset in\"\n");
	assert_true(transport->aborted);
	end_transport(transport, REASON_DONE);
	advance(5250);
	transport = connect_dial();
	receive(transport, "+PONG");
	end_transport(transport, REASON_DONE);
	assert_logged("notice: web: upstream tcp://10.0.0.1:1: up\n");
	advance(5250);
	transport = connect_dial();
	receive(transport, answers[1]);
	receive(transport, "LAND");
	assert_logged("warning: web: upstream tcp://10.0.0.1:1: down after 1 failure: "
		      "the answer begins \"+POLAND\"\n");
	end_transport(transport, REASON_DONE);
	upstreams_stop(group);
}

static void
an_end_a_reset_and_silence_fail(void **state)
{
	struct transport *transport;

	(void)state;
	with_check("", "220 ");
	settings.max_fails = 1;
	add("tcp://10.0.0.1:1", 1, false);
	start(false);
	advance(0);
	transport = connect_dial();
	assert_int_equal(transport->written_length, 0);
	receive(transport, "22");
	transport->protocol->read_ended(transport);
	assert_true(transport->aborted);
	end_transport(transport, REASON_DONE);
	assert_logged("warning: web: upstream tcp://10.0.0.1:1: down after 1 failure: "
		      "the connection ended without the answer\n");
	for (int i = 0; i < 2; i++) {
		advance(5250);
		transport = connect_dial();
		receive(transport, "220 hello");
		end_transport(transport, REASON_PEER_CLOSED);
		assert_logged("notice: web: upstream tcp://10.0.0.1:1: up\n");
		advance(5250);
		transport = connect_dial();
		if (i == 0)
			end_transport(transport, REASON_PEER_RESET);
		advance(5000);
		assert_logged(
			i == 0 ? "warning: web: upstream tcp://10.0.0.1:1: down after 1 failure: "
				 "Connection reset by peer\n"
			       : "warning: web: upstream tcp://10.0.0.1:1: down after 1 failure: "
				 "Connection timed out\n");
		if (i == 1) {
			assert_true(transport->aborted);
			end_transport(transport, REASON_DONE);
		}
		refuse_dial(ECONNREFUSED);
	}
	upstreams_stop(group);
}

static void
a_check_that_hangs_takes_as_long_as_a_client_would_wait(void **state)
{
	(void)state;
	settings.check.kind = EXCHANGE_CONNECT;
	settings.connect_timeout_ms = 700;
	add("tcp://10.0.0.1:1", 1, false);
	start(false);
	advance(699);
	assert_true(is_dialling());
	assert_logged("");
	advance(1);
	assert_false(is_dialling());
	assert_logged(
		"warning: web: upstream tcp://10.0.0.1:1: down after 1 failure: Connection timed "
		"out\n");
	upstreams_stop(group);
}

static void
who_is_busy_for_a_moment_has_half_a_second(void **state)
{
	(void)state;
	settings.check.kind = EXCHANGE_CONNECT;
	settings.check_interval_ms = 10;
	add("tcp://10.0.0.1:1", 1, false);
	start(false);
	advance(499);
	assert_int_equal(dials_made, 1);
	assert_logged("");
	advance(1);
	assert_logged("warning: web: upstream tcp://10.0.0.1:1: down after 1 failure: "
		      "Connection timed out\n");
	upstreams_stop(group);
}

static void
what_we_lack_fails_no_check(void **state)
{
	(void)state;
	settings.check.kind = EXCHANGE_CONNECT;
	settings.max_fails = 1;
	add("tcp://10.0.0.1:1", 1, false);
	start(false);
	dial_error = EMFILE;
	advance(100000);
	assert_in_range(dials_made, 18, 22);
	assert_logged("");
	dial_error = ECONNREFUSED;
	advance(6000);
	assert_logged(
		"warning: web: upstream tcp://10.0.0.1:1: down after 1 failure: Connection "
		"refused\n");
	upstreams_stop(group);
}

static void
who_refuses_the_header_does_not_pass_by_accepting(void **state)
{
	static const char *const words[] = { "the connection ended at its PROXY header",
					     "Connection reset by peer" };

	(void)state;
	settings.check.kind = EXCHANGE_CONNECT;
	settings.send_proxy = SEND_PROXY_V1;
	settings.max_fails = 1;
	add("tcp://10.0.0.1:1", 1, false);
	start(false);
	advance(0);
	for (int i = 0; i < 2; i++) {
		struct transport *transport = connect_dial();
		char line[200];

		assert_string_equal(transport->written, "PROXY UNKNOWN\r\n");
		advance(199);
		if (i == 0) {
			transport->protocol->read_ended(transport);
			assert_true(transport->aborted);
			end_transport(transport, REASON_DONE);
		} else {
			end_transport(transport, REASON_PEER_RESET);
		}
		snprintf(line, sizeof line,
			 "warning: web: upstream tcp://10.0.0.1:1: down after 1 failure: %s\n",
			 words[i]);
		assert_logged(line);
		/* Who says something, or nothing for a while, has nothing against it. */
		advance(5250);
		transport = connect_dial();
		assert_logged("");
		if (i == 0)
			receive(transport, "220 hello");
		else
			advance(200);
		assert_logged("notice: web: upstream tcp://10.0.0.1:1: up\n");
		assert_true(transport->lost);
		end_transport(transport, REASON_PEER_CLOSED);
		advance(5250);
	}
	refuse_dial(ECONNREFUSED);
	upstreams_stop(group);
}

static void
checks_begin_with_a_header_that_names_nobody(void **state)
{
	struct transport *transport;

	(void)state;
	with_check("PING\n", "+");
	settings.send_proxy = SEND_PROXY_V1;
	add("tcp://10.0.0.1:1", 1, false);
	start(false);
	advance(0);
	transport = connect_dial();
	assert_string_equal(transport->written, "PROXY UNKNOWN\r\nPING\n");
	receive(transport, "+");
	end_transport(transport, REASON_DONE);
	settings.send_proxy = SEND_PROXY_V2;
	advance(5250);
	transport = connect_dial();
	assert_memory_equal(transport->written, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0PING\n", 21);
	assert_int_equal(transport->written_length, 21);
	upstreams_stop(group);
	assert_true(transport->aborted);
	end_transport(transport, REASON_SHUTDOWN);
}

static void
checks_are_spread_over_the_interval(void **state)
{
	unsigned before;

	(void)state;
	settings.check.kind = EXCHANGE_CONNECT;
	for (int i = 0; i < 100; i++) {
		char text[40];

		snprintf(text, sizeof text, "tcp://10.0.0.%d:80", i + 1);
		add(text, i == 7 ? 0 : 1, false);
	}
	start(false);
	dial_error = ETIMEDOUT;
	advance(50);
	assert_in_range(dials_made, 20, 60);
	advance(150);
	assert_in_range(dials_made, 99, 105);
	/* From then on about two a hundredth of the time, never many. */
	before = dials_made;
	for (int i = 0; i < 300; i++) {
		advance(50);
		assert_in_range(dials_made - before, 0, 6);
		before = dials_made;
	}
	assert_in_range(dials_made, 370, 420);
	upstreams_stop(group);
}

static void
an_upstream_without_places_is_checked_as_soon_as_it_has_some(void **state)
{
	(void)state;
	settings.check.kind = EXCHANGE_CONNECT;
	add("tcp://one:1", 1, false);
	start(false);
	advance(20000);
	assert_int_equal(dials_made, 0);
	answer("10.0.0.1", NULL);
	advance(0);
	assert_int_equal(dials_made, 1);
	refuse_dial(ECONNREFUSED);
	advance(30000);
	is_dialling() ? refuse_dial(ECONNREFUSED) : (void)0;
	/* And again when it leads elsewhere. */
	dials_made = 0;
	answer("10.0.0.2", NULL);
	advance(0);
	assert_int_equal(dials_made, 1);
	end_transport(connect_dial(), REASON_DONE);
	assert_non_null(strstr(log_text, "notice: web: upstream tcp://one:1: up\n"));
	upstreams_stop(group);
}

static void
a_stop_ends_checks_and_what_is_down_may_be_tried(void **state)
{
	struct transport *transport;

	(void)state;
	with_check("PING\r\n", "+PONG");
	add("tcp://10.0.0.1:1", 1, false);
	add("tcp://10.0.0.2:2", 1, false);
	start(false);
	advance(0);
	refuse_dial(ECONNREFUSED);
	advance(50);
	transport = connect_dial();
	receive(transport, "+PONG");
	assert_int_equal(serve() + serve(), 4);
	upstreams_stop(group);
	/* It outlives the group, with what it is of. */
	assert_true(transport->aborted);
	assert_int_equal(serve() + serve(), 3);
	upstreams_free(group);
	group = NULL;
	end_transport(transport, REASON_SHUTDOWN);
}

static void
datagram_upstreams_are_asked_with_a_datagram(void **state)
{
	(void)state;
	with_check("ping", "pong");
	add("udp://10.0.0.1:1", 1, false);
	start(true);
	advance(0);
	assert_string_equal(datagram_dial->sent, "ping");
	datagram_dial->calls->received(datagram_dial->arg, (const uint8_t *)"pong!", 5);
	assert_null(datagram_dial);
	assert_logged("");
	for (int i = 0; i < 3; i++) {
		advance(5250);
		assert_non_null(datagram_dial);
		if (i == 0)
			datagram_dial->calls->received(datagram_dial->arg, (const uint8_t *)"pon",
						       3);
		if (i == 0)
			assert_null(datagram_dial);
		else if (i == 1)
			datagram_dial->calls->failed(datagram_dial->arg, ECONNREFUSED);
		else
			advance(5000);
	}
	assert_logged(
		"warning: web: upstream udp://10.0.0.1:1: down after 3 failures: Connection timed "
		"out\n");
	assert_string_equal(report(), "udp://10.0.0.1:1 down 0 0 3\n");
	upstreams_stop(group);
}

static void
each_place_of_a_datagram_upstream_is_asked(void **state)
{
	(void)state;
	with_check("ping", "pong");
	add("udp://one:1", 1, false);
	start(true);
	answer("10.0.0.1 10.0.0.2 10.0.0.3", NULL);
	log_text[0] = '\0';
	advance(0);
	datagram_dial->calls->failed(datagram_dial->arg, ECONNREFUSED);
	datagram_dial->calls->failed(datagram_dial->arg, ECONNREFUSED);
	assert_logged("");
	datagram_dial->calls->failed(datagram_dial->arg, EHOSTUNREACH);
	assert_logged(
		"warning: web: upstream udp://one:1: down after 1 failure: No route to host\n");
	assert_int_equal(datagrams_sent, 3);
	datagram_error = ENETUNREACH;
	advance(5250);
	assert_int_equal(datagrams_sent, 6);
	upstreams_stop(group);
}

static void
that_a_datagram_upstream_accepts_cannot_be_checked(void **state)
{
	(void)state;
	settings.check.kind = EXCHANGE_CONNECT;
	settings.max_fails = 1;
	add("udp://10.0.0.1:1", 1, false);
	add("udp://10.0.0.2:2", 1, false);
	start(true);
	advance(100000);
	assert_int_equal(datagrams_sent, 0);
	/* So it comes back by being tried; or if nothing fails, where nothing is ever answered. */
	take_down(1);
	assert_int_equal(serve() + serve(), 4);
	advance(10000);
	struct choice flow = { 0 };
	while (pick_for(&flow, 1) != 1)
		choice_end(&flow);
	struct choice another = { 0 };
	advance(10000);		/* nothing could be sent to it */
	pick_for(&another, 1);
	choice_end(&another);
	choice_sent(&flow);
	advance(9999);
	pick_for(&another, 1);
	choice_end(&another);
	assert_logged("");
	advance(1);
	pick_for(&another, 1);
	assert_logged("notice: web: upstream udp://10.0.0.1:1: up\n");
	choice_end(&another);
	choice_end(&flow);
	upstreams_stop(group);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		group_test(the_first_check_comes_at_once_and_may_take_one_down),
		group_test(an_answer_may_come_in_pieces_and_be_longer),
		group_test(another_answer_fails),
		group_test(an_end_a_reset_and_silence_fail),
		group_test(a_check_that_hangs_takes_as_long_as_a_client_would_wait),
		group_test(who_is_busy_for_a_moment_has_half_a_second),
		group_test(what_we_lack_fails_no_check),
		group_test(who_refuses_the_header_does_not_pass_by_accepting),
		group_test(checks_begin_with_a_header_that_names_nobody),
		group_test(checks_are_spread_over_the_interval),
		group_test(an_upstream_without_places_is_checked_as_soon_as_it_has_some),
		group_test(a_stop_ends_checks_and_what_is_down_may_be_tried),
		group_test(datagram_upstreams_are_asked_with_a_datagram),
		group_test(each_place_of_a_datagram_upstream_is_asked),
		group_test(that_a_datagram_upstream_accepts_cannot_be_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
