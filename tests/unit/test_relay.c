/* test_relay.c - the relay makes lines of whatever comes, and each policy does what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "fake_transport.h"
#include "protocols/line.h"
#include "protocols/registry.h"
#include "protocols/relay_private.h"
#include "protocols/template.h"

#define assert_got(transport, text) assert_got_at(transport, text, sizeof text - 1, __LINE__)

static void
assert_got_at(const struct transport *transport, const char *text, size_t text_length, int at)
{
	size_t length;
	const uint8_t *sent = fake_sent(transport, &length);
	if (length != text_length || (length > 0 && memcmp(sent, text, length) != 0))
		fail_msg("line %d: got \"%.*s\"", at, (int)length, (const char *)sent);
}

static void
receive(struct transport *transport, const char *text)
{
	fake_receive(transport, text, strlen(text));
}

static const char stream[] =
	"one\ntwo\r\n\n\r\nnul \0 and \xff\rcr\r\r\nlonger than ten\r\nten bytes.\r\n"
	"ten bytes.\neleven byte\n\r\n0123456789\r\r\ntail";
enum { STREAM_LENGTH = sizeof stream - 1 };
#define WHOLE_LINES "one\ntwo\n\n\nnul \0 and \xff\rcr\r\n"

/*
 * Feeds the stream in two cuts, or in bytes, and has the peer end; looks at what another member
 * gets.
 */
static void
assert_relayed(struct factory *factory, size_t first, size_t second, const char *expected,
	       size_t length)
{
	struct transport *sender = fake_open(factory), *receiver = fake_open(factory);
	size_t got_length;
	for (size_t i = 0; i < STREAM_LENGTH;) {
		size_t end = first == 0   ? i + 1
			     : i < first  ? first
			     : i < second ? second
					  : STREAM_LENGTH;
		fake_receive(sender, stream + i, end - i);
		i = end;
	}
	fake_end_read(sender);
	fake_turn();
	const uint8_t *got = fake_sent(receiver, &got_length);
	if (got_length != length || memcmp(got, expected, length) != 0)
		fail_msg("cut at %zu and %zu: got \"%.*s\"", first, second, (int)got_length,
			 (const char *)got);
	fake_sent(sender, &got_length);
	assert_int_equal(got_length, 0);
	fake_close(sender, REASON_PEER_CLOSED);
	fake_close(receiver, REASON_PEER_CLOSED);
}

static void
assert_relayed_whatever_the_cuts(struct factory *factory, const char *expected, size_t length)
{
	assert_relayed(factory, 0, 0, expected, length);
	for (size_t first = 1; first <= STREAM_LENGTH; first++)
		for (size_t second = first; second <= STREAM_LENGTH; second++)
			assert_relayed(factory, first, second, expected, length);
	factory_unref(factory);
}

static void
lines_whatever_the_cuts(void **state)
{
	(void)state;
	static const char expected[] = WHOLE_LINES "longer than ten\nten bytes.\nten bytes.\n"
						   "eleven byte\n\n0123456789\r\ntail\n";
	assert_relayed_whatever_the_cuts(fake_factory(&relay_protocol, NULL), expected,
					 sizeof expected - 1);
}

static void
long_lines_are_dropped(void **state)
{
	(void)state;
	static const char expected[] = "one\ntwo\n\n\nten bytes.\nten bytes.\n\ntail\n";
	assert_relayed_whatever_the_cuts(fake_factory(&relay_protocol, "max_line=10", NULL),
					 expected, sizeof expected - 1);
}

static void
long_lines_are_cut(void **state)
{
	(void)state;
	static const char expected[] =
		"one\ntwo\n\n\nnul \0 and \nlonger tha\nten bytes.\nten bytes.\n"
		"eleven byt\n\n0123456789\ntail\n";
	assert_relayed_whatever_the_cuts(
		fake_factory(&relay_protocol, "max_line=10", "on_long_line=cut", NULL), expected,
		sizeof expected - 1);
}

static void
long_lines_close(void **state)
{
	(void)state;
	struct factory *factory =
		fake_factory(&relay_protocol, "max_line=10", "on_long_line=close", NULL);
	for (int in_pieces = 0; in_pieces < 2; in_pieces++) {
		struct transport *sender = fake_open(factory), *receiver = fake_open(factory);
		receive(sender,
			in_pieces ? "short\nlonger th" : "short\nlonger than ten\nnot read\n");
		if (in_pieces)
			receive(sender, "an ten\n");
		fake_turn();
		assert_got(receiver, "short\n");
		assert_int_equal(fake_reason(sender), REASON_LINE_TOO_LONG);
		assert_false(fake_is_lost(receiver));
		fake_close(sender, REASON_LINE_TOO_LONG);
		fake_close(receiver, REASON_PEER_CLOSED);
	}
	factory_unref(factory);
}

/* A peer costs what it holds of one line, and only while it does. */
static void
partial_lines_are_bounded_and_freed(void **state)
{
	(void)state;
	struct line_reader reader = { 0 };
	struct line_text text;
	uint8_t bytes[3000];
	memset(bytes, 'x', sizeof bytes);
	const uint8_t *at = bytes;
	assert_int_equal(line_reader_next(&reader, 1000, &at, bytes + 300, &text), LINE_NONE);
	assert_non_null(reader.held);
	assert_int_equal(line_reader_next(&reader, 1000, &at, bytes + sizeof bytes, &text),
			 LINE_LONG);
	assert_int_equal(text.length, 1000);
	assert_in_range(reader.room, 1000, 1001);
	assert_int_equal(line_reader_next(&reader, 1000, &at, bytes + sizeof bytes, &text),
			 LINE_NONE);
	assert_null(reader.held);

	at = (const uint8_t *)"end\nnext\n";
	assert_int_equal(line_reader_next(&reader, 1000, &at, at + 9, &text), LINE_WHOLE);
	assert_memory_equal(text.bytes, "next", text.length);
	assert_null(reader.held);
}

static void
line_ends_are_as_asked(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, "line_end=crlf", "loopback=yes",
					       "greeting=welcome", "drop_notice=\"# {n} lost\"",
					       "buffer=20K", NULL);
	struct transport *a = fake_open(factory);
	receive(a, "one\ntwo\r\n");
	fake_turn();
	assert_got(a, "welcome\r\none\r\ntwo\r\n");
	fake_forget_sent(a);
	fake_set_room(a, 0);
	receive(a, "stalls\n");
	fake_turn();
	/* Datagrams do not wait. */
	static uint8_t reply[DATAGRAM_MAX];
	size_t length;
	for (int i = 0; i < 10000; i++)
		fake_datagram(factory, "x", 1, DATAGRAM_MAX, reply, &length);
	fake_drain(a, 15);
	assert_got(a, "# 8977 lost\r\nx\r");	/* the ring has 1,024 lines */
	fake_close(a, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
prefixes(void **state)
{
	(void)state;
	struct factory *factory =
		fake_factory(&relay_protocol, "prefix=\"{seq} {member} {peer}> \"", NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory);
	receive(a, "hi\n");
	receive(b, "ho\n");
	static uint8_t reply[DATAGRAM_MAX];
	size_t length;
	assert_false(fake_datagram(factory, "dgram", 5, DATAGRAM_MAX, reply, &length));
	fake_turn();
	assert_got(a, "2 2 tcp://192.0.2.1:1234> ho\n3 0 udp://192.0.2.2:5678> dgram\n");
	assert_got(b, "1 1 tcp://192.0.2.1:1234> hi\n3 0 udp://192.0.2.2:5678> dgram\n");
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
	factory_unref(factory);

	factory = fake_factory(&relay_protocol, "prefix={time}|", "loopback=yes", NULL);
	a = fake_open(factory);
	receive(a, "hi\n");
	fake_turn();
	const uint8_t *sent = fake_sent(a, &length);
	int year, month, day, hour, minute, second, end = 0;
	assert_int_equal(length, 24);
	/* What was sent has no NUL behind it, and white space in a format takes all there is. */
	sscanf((const char *)sent, "%4d-%2d-%2dT%2d:%2d:%2dZ|hi%n", &year, &month, &day, &hour,
	       &minute, &second, &end);
	assert_int_equal(end, 23);
	fake_close(a, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
templates(void **state)
{
	(void)state;
	static const struct template_word words[] = { { "a", "AAA" }, { "bc", "" }, { 0 } };
	static const char *const cases[][2] = {
		{ "{a}{bc}{a}", "AAAAAA" }, { "x{a", "x{a" },	    { "{A}{}{a b}", "{A}{}{a b}" },
		{ "\" {a} \"", " AAA " },   { "\"", "\"" },	    { "\"{a}", "\"AAA" },
		{ "{{a}}", "{AAA}" },	    { "\"\"", "" },
	};
	char text[40];
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t length = template_write(cases[i][0], words, text, sizeof text);
		assert_int_equal(length, strlen(cases[i][1]));
		assert_memory_equal(text, cases[i][1], length);
		assert_null(template_find_unknown(cases[i][0], words));
	}
	assert_true(template_is_open("\""));
	assert_true(template_is_open("\"a\" {a}"));
	assert_false(template_is_open("\"\""));
	assert_false(template_is_open("\"a\" and \"b\""));
	assert_false(template_is_open("a \""));
	assert_false(template_is_open(""));
	assert_int_equal(template_write("12{a}", words, text, 4), 2);
	assert_string_equal(template_find_unknown("{a}{b}{bc}", words), "{b}{bc}");
	assert_true(template_has("{a}", "a"));
	assert_false(template_has("{a}", "b"));
}

static void
roles(void **state)
{
	(void)state;
	struct factory *in = fake_factory(&relay_protocol, "role=in", NULL);
	struct transport *a = fake_open(in), *b = fake_open(in);
	receive(a, "hi\n");
	fake_turn();
	assert_got(b, "");
	fake_end_read(a);
	assert_true(fake_is_write_ended(a));	/* it has nothing more to do here */
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
	factory_unref(in);

	struct factory *out = fake_factory(&relay_protocol, "role=out", "loopback=yes", NULL);
	a = fake_open(out);
	receive(a, "hi\nho");
	fake_end_read(a);
	fake_turn();
	assert_got(a, "");
	assert_false(fake_is_write_ended(a));
	fake_close(a, REASON_PEER_CLOSED);
	factory_unref(out);
}

static void
who_has_ended_its_side_still_receives(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory);
	receive(a, "no end");
	fake_turn();
	assert_got(b, "");
	fake_end_read(a);
	receive(b, "answer\n");
	fake_turn();
	assert_got(b, "no end\n");
	assert_got(a, "answer\n");
	assert_false(fake_is_write_ended(a));
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
half_a_line_of_a_peer_that_was_cut_off_is_nobodys(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory);
	receive(a, "half a li");
	fake_close(a, REASON_PEER_RESET);
	fake_turn();
	assert_got(b, "");
	fake_close(b, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
history_and_greeting(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, "history=2", "greeting=welcome", NULL);
	struct transport *a = fake_open(factory);
	receive(a, "1\n2\n3\n");
	fake_set_first_room(3);
	struct transport *b = fake_open(factory);
	fake_set_first_room(SIZE_MAX);
	assert_got(b, "wel");
	fake_drain(b, SIZE_MAX);
	assert_got(b, "welcome\n2\n3\n");
	fake_turn();
	assert_got(a, "welcome\n");
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
datagrams_hold_several_lines(void **state)
{
	(void)state;
	static uint8_t reply[DATAGRAM_MAX];
	size_t length;
	struct factory *factory =
		fake_factory(&relay_protocol, "max_line=10", "on_long_line=cut", NULL);
	struct transport *a = fake_open(factory);
	assert_false(fake_datagram(factory, "", 0, DATAGRAM_MAX, reply, &length));
	assert_false(fake_datagram(factory, "1\r\n\ntwo", 7, DATAGRAM_MAX, reply, &length));
	assert_false(fake_datagram(factory, "3\n", 2, DATAGRAM_MAX, reply, &length));
	assert_false(fake_datagram(factory, "0123456789abc\n0123456789a", 25, DATAGRAM_MAX, reply,
				   &length));
	fake_turn();
	assert_got(a, "1\n\ntwo\n3\n0123456789\n0123456789\n");
	fake_close(a, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
a_stop_delivers_what_is_owed(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory);
	receive(b, "last wor");
	transport_stop(a);
	fake_turn();
	receive(b, "ds\n");
	transport_stop(b);
	fake_turn();
	assert_got(a, "last words\n");
	assert_int_equal(fake_reason(a), REASON_SHUTDOWN);
	assert_int_equal(fake_reason(b), REASON_SHUTDOWN);
	fake_close(a, REASON_SHUTDOWN);
	fake_close(b, REASON_SHUTDOWN);
	factory_unref(factory);
}

/* It is we who end, not its sender. */
static void
a_stop_makes_no_last_line_of_what_is_begun(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory), *c = fake_open(factory);
	receive(b, "whole\nhalf a li");
	receive(c, "sent before its end");
	transport_stop(b);
	transport_stop(c);
	receive(b, "ne\nand more");
	fake_end_read(b);
	fake_end_read(c);
	transport_stop(a);
	fake_turn();
	assert_got(a, "whole\nsent before its end\n");
	fake_close(a, REASON_SHUTDOWN);
	fake_close(b, REASON_SHUTDOWN);
	fake_close(c, REASON_SHUTDOWN);
	factory_unref(factory);
}

/* What has come of one that is not read counts, too. */
static void
a_stop_reads_on_where_a_sender_was_held_back(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, "line_rate=1", NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory);
	receive(b, "1\n2\n3");
	assert_true(fake_is_paused(b));
	fake_set_owed(b, "3\n4\n5\n6\nhalf");
	transport_stop(b);
	transport_stop(a);
	fake_turn();
	assert_got(a, "1\n2\n33\n4\n5\n6\n");
	assert_int_equal(fake_reason(a), REASON_SHUTDOWN);
	fake_close(a, REASON_SHUTDOWN);
	fake_close(b, REASON_SHUTDOWN);
	factory_unref(factory);
}

static void
an_ending_takes_what_has_come_and_delivers_what_is_owed(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory);
	receive(a, "owed\n");
	receive(b, "last words\nhalf");
	relay_protocol.ending(b, REASON_SILENCE_TIMEOUT);
	fake_turn();
	assert_got(a, "last words\n");
	assert_got(b, "owed\n");
	assert_int_equal(fake_reason(b), REASON_SILENCE_TIMEOUT);
	assert_false(fake_is_lost(a));
	fake_close(a, REASON_DONE);
	fake_close(b, REASON_SILENCE_TIMEOUT);
	factory_unref(factory);
}

/* Half a line of one that is being lost was not its last one. */
static void
an_ending_of_one_that_is_being_lost_takes_nothing(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory);
	receive(b, "half a li");
	transport_lose(b, REASON_IDLE_TIMEOUT);
	relay_protocol.ending(b, REASON_SILENCE_TIMEOUT);
	fake_turn();
	assert_got(a, "");
	fake_close(b, REASON_IDLE_TIMEOUT);
	fake_close(a, REASON_DONE);
	factory_unref(factory);
}

/* What it had sent before counts, and is not waited for at a stop. */
static void
a_stop_does_not_wait_for_the_rate_of_one_that_is_being_lost(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, "line_rate=1", NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory);
	receive(b, "1\n2\n3\n4\nhalf a li");
	transport_lose(b, REASON_IDLE_TIMEOUT);
	transport_stop(a);
	relay_protocol.stopping(b);
	fake_turn();
	assert_got(a, "1\n2\n3\n4\n");
	assert_int_equal(fake_reason(a), REASON_SHUTDOWN);
	fake_close(b, REASON_IDLE_TIMEOUT);
	fake_close(a, REASON_SHUTDOWN);
	factory_unref(factory);
}

static void
an_ending_of_one_that_gets_nothing_is_at_once(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, "role=in", NULL);
	struct transport *a = fake_open(factory);
	relay_protocol.ending(a, REASON_DONE);
	assert_true(fake_is_lost(a));
	fake_close(a, REASON_DONE);
	factory_unref(factory);
}

static void
connectors_read_and_write_by_role(void **state)
{
	(void)state;
	struct relay_settings settings = { .role = ROLE_BOTH };
	assert_int_equal(relay_protocol.ways(&settings), PROTOCOL_READS | PROTOCOL_WRITES);
	settings.role = ROLE_IN;
	assert_int_equal(relay_protocol.ways(&settings), PROTOCOL_READS);
	settings.role = ROLE_OUT;
	assert_int_equal(relay_protocol.ways(&settings), PROTOCOL_WRITES);
}

static void
bad_settings_are_refused(void **state)
{
	(void)state;
	assert_null(fake_settings_check(&relay_protocol, NULL));
	assert_string_equal(fake_settings_check(&relay_protocol, "buffer=18435", NULL),
			    "buffer: must have 18436 bytes at least: twice max_line + 2052");
	assert_null(fake_settings_check(&relay_protocol, "buffer=18436", NULL));
	assert_string_equal(fake_settings_check(&relay_protocol, "prefix=[{tme}] ", NULL),
			    "prefix: {tme} is none of the words it may have");
	assert_string_equal(fake_settings_check(&relay_protocol, "drop_notice={n} {seq}", NULL),
			    "drop_notice: {seq} is none of the words it may have");
}

static void
a_filter_holds_both_ways(void **state)
{
	(void)state;
	static uint8_t reply[DATAGRAM_MAX];
	size_t length;
	struct factory *factory = fake_factory(&relay_protocol, "filter=-no, +n, /^[0-9]/", "prefix={seq}:",
					       "loopback=yes", NULL);
	struct transport *a = fake_open(factory);
	receive(a, "yes\nnice\nno\n1\n");
	fake_datagram(factory, "nay\nwell\n2", 10, DATAGRAM_MAX, reply, &length);
	fake_turn();
	assert_got(a, "1:nice\n2:1\n3:nay\n4:2\n");	/* what is stopped has no number */
	fake_close(a, REASON_PEER_CLOSED);
	factory_unref(factory);
}

/* Else who joins would have them all judged at once. */
static void
lines_are_judged_as_they_come_where_there_is_history(void **state)
{
	static const char *const keys[] = { "history=9", "history_age=1000", NULL };
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct factory *factory = fake_factory(&relay_protocol, "filter=+n", keys[i], NULL);
		const struct relay *relay = factory_shared(factory);
		relay_protocol.factory_started(factory);
		assert_int_equal(relay->policy.verdicts != NULL, i < 2);
		struct transport *a = fake_open(factory);
		receive(a, "no\nyes\n");
		fake_close(a, REASON_PEER_CLOSED);
		assert_int_equal(relay->policy.verdicts != NULL, i < 2);
		relay_protocol.factory_stopped(factory);
		assert_null(relay->policy.verdicts);
		factory_unref(factory);
	}
}

static void
who_is_over_line_rate_is_not_read(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, "line_rate=4", NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory),
			 *reader = fake_open(factory);
	fake_pass(2000);
	receive(a, "1\n2\n3\n4\n5\n6\n7\nhalf");
	fake_turn();
	assert_got(reader, "1\n2\n3\n4\n");
	assert_true(fake_is_paused(a));
	receive(b, "b\n");				/* the rate is each member's own */
	fake_turn();
	assert_got(reader, "1\n2\n3\n4\nb\n");
	fake_pass(290);
	assert_got(reader, "1\n2\n3\n4\nb\n5\n");
	fake_pass(250);
	assert_true(fake_is_paused(a));
	fake_pass(250);
	assert_got(reader, "1\n2\n3\n4\nb\n5\n6\n7\n");
	fake_pass(250);
	assert_false(fake_is_paused(a));
	fake_pass(2000);
	receive(a, " and half\n");
	receive(a, "8\n9\n10\n11\n");
	assert_true(fake_is_paused(a));
	transport_stop(a);				/* then all that it has sent counts */
	fake_turn();
	assert_got(reader, "1\n2\n3\n4\nb\n5\n6\n7\nhalf and half\n8\n9\n10\n11\n");
	fake_close(a, REASON_SHUTDOWN);
	receive(b, "1\n2\n3\n4\n5\n6\n");
	assert_true(fake_is_paused(b));
	fake_close(b, REASON_PEER_RESET);
	fake_close(reader, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
a_last_line_without_an_end_waits_for_its_turn_too(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, "line_rate=2", NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory),
			 *reader = fake_open(factory);
	fake_pass(2000);
	receive(a, "1\n2\nlast");
	fake_end_read(a);
	receive(b, "3\n4\nat the stop");
	fake_end_read(b);
	transport_stop(b);
	fake_turn();
	assert_got(reader, "1\n2\n3\n4\nat the stop\n");
	fake_pass(450);
	assert_got(reader, "1\n2\n3\n4\nat the stop\n");
	fake_pass(100);
	assert_got(reader, "1\n2\n3\n4\nat the stop\nlast\n");
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_SHUTDOWN);
	fake_close(reader, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
a_last_line_without_an_end_waits_for_room(void **state)
{
	(void)state;
	enum { LINE = 4000, LINES = 4, LAST = 5000 };
	static char text[LAST];
	struct factory *factory = fake_factory(&relay_protocol, "buffer=20K", NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory), *reader;
	size_t length;
	fake_set_first_room(0);
	reader = fake_open(factory);
	fake_set_first_room(SIZE_MAX);
	memset(text, 'x', LAST);
	fake_receive(a, text, LAST);
	text[LINE - 1] = '\n';
	for (int i = 0; i < LINES; i++)
		fake_receive(b, text, LINE);
	fake_end_read(a);
	fake_turn();
	fake_drain(reader, SIZE_MAX);
	fake_pass(100);
	fake_sent(reader, &length);
	assert_int_equal(length, LINES * LINE + LAST + 1);
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
	fake_close(reader, REASON_PEER_CLOSED);
	factory_unref(factory);
}

/* What a connection that is cut has still to say is said before the hub ends. */
static void
a_cut_does_not_end_what_is_still_to_be_said(void **state)
{
	(void)state;
	enum { LINE = 4000, LINES = 9 };
	static char text[LINE];
	struct factory *factory = fake_factory(&relay_protocol, "buffer=20K", NULL);
	struct transport *a = fake_open(factory), *b = fake_open(factory), *reader;
	size_t length;
	fake_set_first_room(0);
	reader = fake_open(factory);
	fake_set_first_room(SIZE_MAX);
	memset(text, 'x', LINE);
	text[LINE - 1] = '\n';
	for (int i = 0; i < LINES; i++)
		fake_receive(a, text, LINE);
	assert_true(fake_is_paused(a));
	relay_protocol.ending(a, REASON_DONE);
	relay_protocol.cut(a);
	transport_stop(b);
	transport_stop(reader);
	fake_turn();
	assert_false(fake_is_lost(b));
	fake_close(a, REASON_DONE);
	fake_drain(reader, SIZE_MAX);
	fake_turn();
	fake_sent(b, &length);
	assert_int_equal(length, LINES * LINE);
	fake_close(b, REASON_SHUTDOWN);
	fake_close(reader, REASON_SHUTDOWN);
	factory_unref(factory);
}

static void
datagrams_over_line_rate_are_dropped(void **state)
{
	(void)state;
	static uint8_t reply[DATAGRAM_MAX];
	size_t length;
	struct factory *factory = fake_factory(&relay_protocol, "line_rate=3", NULL);
	struct transport *a = fake_open(factory);
	fake_pass(2000);
	fake_datagram(factory, "1\n2\n3\n4\n5", 9, DATAGRAM_MAX, reply, &length);
	fake_pass(340);
	fake_datagram(factory, "6\n7", 3, DATAGRAM_MAX, reply, &length);
	fake_turn();
	assert_got(a, "1\n2\n3\n6\n");
	fake_close(a, REASON_PEER_CLOSED);
	factory_unref(factory);
}

/*
 * However little room there is, and whatever else goes on, a publisher's lines are all there and in
 * order.
 */
static void
a_publisher_waits_for_its_reader(void **state)
{
	(void)state;
	enum { LINES = 5000 };
	static char text[LINES * 10 + 1];
	struct factory *factory = fake_factory(&relay_protocol, "buffer=20K", NULL);
	struct transport *a = fake_open(factory), *reader;
	size_t length, at = 0;
	int64_t idle_ms = fake_idle_timeout(a);
	fake_set_first_room(0);
	reader = fake_open(factory);
	fake_set_first_room(SIZE_MAX);
	for (int i = 0; i < LINES; i++)
		sprintf(text + (size_t)i * 10, "%9d\n", i);
	for (int turns = 0; turns < 10000; turns++) {
		if (!fake_is_paused(a) && at < LINES * 10) {
			size_t more = LINES * 10 - at < 7777 ? LINES * 10 - at : 7777;
			fake_receive(a, text + at, more);
			at += more;
		} else {
			fake_drain(reader, 500);
		}
		fake_pass(10);
	}
	const uint8_t *sent = fake_sent(reader, &length);
	assert_int_equal(length, LINES * 10);
	assert_memory_equal(sent, text, length);
	assert_false(fake_is_paused(a));
	assert_int_equal(fake_idle_timeout(a), idle_ms);
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(reader, REASON_PEER_CLOSED);
	factory_unref(factory);
}

/*
 * What had been read of a publisher that is reset is not lost, nor is what one had sent at a stop.
 */
static void
what_was_read_of_a_waiting_publisher_counts(void **state)
{
	(void)state;
	static char text[8001];
	for (int i = 0; i < 800; i++)
		sprintf(text + (size_t)i * 10, "%9d\n", i);
	for (int stops = 0; stops < 2; stops++) {
		struct factory *factory = fake_factory(&relay_protocol, "buffer=20K", NULL);
		struct transport *a = fake_open(factory), *reader;
		size_t length;
		fake_set_first_room(0);
		reader = fake_open(factory);
		fake_set_first_room(SIZE_MAX);
		for (int i = 0; i < 9 && !fake_is_paused(a); i++)
			receive(a, text);
		assert_true(fake_is_paused(a));
		if (stops)
			transport_stop(a);
		else
			fake_close(a, REASON_PEER_RESET);
		fake_drain(reader, SIZE_MAX);
		fake_turn();
		const uint8_t *sent = fake_sent(reader, &length);
		assert_true(length > 4000);
		assert_memory_equal(sent + length - 4000, text + 4000, 4000);
		if (stops)
			fake_close(a, REASON_SHUTDOWN);
		fake_close(reader, REASON_PEER_CLOSED);
		factory_unref(factory);
	}
}

/* As a connector hands on what it has read of its device. */
static void
what_comes_of_one_that_waits_follows_what_came_before(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, "line_rate=1", NULL);
	struct transport *a = fake_open(factory), *reader = fake_open(factory);
	receive(a, "1\n2\n3");
	assert_true(fake_is_paused(a));
	receive(a, "3\n4\nhalf");
	transport_stop(a);
	fake_turn();
	assert_got(reader, "1\n2\n33\n4\n");
	fake_close(a, REASON_SHUTDOWN);
	fake_close(reader, REASON_PEER_CLOSED);
	factory_unref(factory);
}

/* As one on a unix socket may: all that it had sent goes out at the pace that it would have had. */
static void
a_publisher_that_goes_leaves_an_orphan(void **state)
{
	(void)state;
	for (int stops = 0; stops < 2; stops++) {
		struct factory *factory = fake_factory(&relay_protocol, "line_rate=2", "prefix=\"{member} {peer} \"", NULL);
		struct transport *a, *b, *reader;
		relay_protocol.factory_started(factory);
		a = fake_open(factory);
		b = fake_open(factory);
		reader = fake_open(factory);
		fake_pass(2000);
		receive(a, "1\n2\n3\n4\nlast");
		receive(b, "1\n2\n3\nhalf");
		fake_turn();
		fake_forget_sent(reader);
		fake_close(a, REASON_PEER_CLOSED);
		fake_close(b, REASON_PEER_RESET);
		if (stops)
			relay_protocol.factory_stopped(factory);
		fake_pass(stops ? 0 : 600);
		if (!stops) {
			assert_got(reader, "2 tcp://192.0.2.1:1234 3\n1 tcp://192.0.2.1:1234 3\n");
			fake_pass(1500);
			assert_got(reader,
				   "2 tcp://192.0.2.1:1234 3\n1 tcp://192.0.2.1:1234 3\n"
				   "1 tcp://192.0.2.1:1234 4\n1 tcp://192.0.2.1:1234 last\n");
			relay_protocol.factory_stopped(factory);
		} else {
			assert_got(reader,
				   "2 tcp://192.0.2.1:1234 3\n1 tcp://192.0.2.1:1234 3\n"
				   "1 tcp://192.0.2.1:1234 4\n1 tcp://192.0.2.1:1234 last\n");
		}
		fake_close(reader, REASON_PEER_CLOSED);
		factory_unref(factory);
	}
}

static void
orphans_are_bounded(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, "line_rate=1", NULL);
	struct transport *reader;
	size_t length;
	relay_protocol.factory_started(factory);
	reader = fake_open(factory);
	fake_pass(1000);
	for (int i = 0; i < 100; i++) {
		struct transport *sender = fake_open(factory);
		receive(sender, "1\n2\n3\n");
		fake_close(sender, REASON_PEER_CLOSED);
	}
	fake_turn();
	fake_sent(reader, &length);
	assert_int_equal(length, 100 * 2);
	relay_protocol.factory_stopped(factory);
	fake_turn();
	fake_sent(reader, &length);
	assert_int_equal(length, 100 * 2 + 64 * 4);
	fake_close(reader, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
history_by_age_alone(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&relay_protocol, "history_age=10s", NULL);
	struct transport *a = fake_open(factory), *b;
	receive(a, "old\n");
	fake_pass(8000);
	receive(a, "1\n2\n3\n");
	fake_pass(4000);
	b = fake_open(factory);
	assert_got(b, "1\n2\n3\n");
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
	factory_unref(factory);
}

/* What the probe's two members would see of it. */
static enum probe_verdict
probe(struct factory *factory, bool ended)
{
	const struct probe *probe = relay_protocol.probe;
	uint8_t request[PROBE_REQUEST_MAX];
	struct transport *sender = fake_open(factory), *receiver = fake_open(factory);
	size_t request_length = probe->request(factory_settings(factory), request), length;
	const char *failure;
	receive(sender, "other\n");
	if (request_length > 0)
		fake_receive(sender, request, request_length);
	receive(sender, "other\n");
	fake_turn();
	const uint8_t *sent = fake_sent(receiver, &length);
	enum probe_verdict verdict = probe->check(factory_settings(factory), request,
						  request_length, sent, length, ended, &failure);
	size_t enough = 0;
	while (request_length > 0
	       && probe->check(factory_settings(factory), request, request_length, sent, enough,
			       false, &failure)
			  == PROBE_MORE)
		enough++;
	assert_true(request_length == 0 || sent[enough - 1] == '\n');	/* the line must be whole */
	fake_close(sender, REASON_PEER_CLOSED);
	fake_close(receiver, REASON_PEER_CLOSED);
	factory_unref(factory);
	return verdict;
}

static void
probe_wants_its_line(void **state)
{
	(void)state;
	const char *failure;
	assert_int_equal(probe(fake_factory(&relay_protocol, NULL), false), PROBE_OK);
	assert_int_equal(probe(fake_factory(&relay_protocol, "line_end=crlf", NULL), false),
			 PROBE_OK);
	assert_int_equal(probe(fake_factory(&relay_protocol, "prefix={seq}:", NULL), false),
			 PROBE_OK);
	assert_int_equal(probe(fake_factory(&relay_protocol, "role=in", NULL), false), PROBE_OK);
	assert_int_equal(probe(fake_factory(&relay_protocol, "role=out", NULL), false), PROBE_OK);
	assert_int_equal(probe(fake_factory(&relay_protocol, "filter=-twined", NULL), false),
			 PROBE_OK);
	assert_int_equal(
		probe(fake_factory(&relay_protocol, "filter=/^(other|twined)/", NULL), false),
		PROBE_OK);
	assert_int_equal(probe(fake_factory(&relay_protocol, "max_line=6", NULL), false), PROBE_OK);
	assert_int_equal(probe(fake_factory(&relay_protocol, "greeting=Hello", "history=9", NULL), false),
			 PROBE_OK);

	struct factory *factory = fake_factory(&relay_protocol, NULL);
	const uint8_t *request = (const uint8_t *)"mark\n", *reply = (const uint8_t *)"xmark\n";
	const void *settings = factory_settings(factory);
	assert_int_equal(
		relay_protocol.probe->check(settings, request, 5, reply, 6, true, &failure),
		PROBE_FAILED);
	assert_int_equal(relay_protocol.probe->check(settings, request, 5, NULL, 0, true, &failure),
			 PROBE_FAILED);
	reply = (const uint8_t *)"xmark\nmmark\nmark\n";
	assert_int_equal(
		relay_protocol.probe->check(settings, request, 5, reply, 12, false, &failure),
		PROBE_MORE);
	assert_int_equal(
		relay_protocol.probe->check(settings, request, 5, reply, 17, false, &failure),
		PROBE_OK);
	factory_unref(factory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_whatever_the_cuts),
		cmocka_unit_test(long_lines_are_dropped),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(long_lines_close),
		cmocka_unit_test(partial_lines_are_bounded_and_freed),
		cmocka_unit_test(line_ends_are_as_asked),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(templates),
		cmocka_unit_test(roles),
		cmocka_unit_test(who_has_ended_its_side_still_receives),
		cmocka_unit_test(half_a_line_of_a_peer_that_was_cut_off_is_nobodys),
		cmocka_unit_test(history_and_greeting),
		cmocka_unit_test(datagrams_hold_several_lines),
		cmocka_unit_test(a_stop_delivers_what_is_owed),
		cmocka_unit_test(a_stop_makes_no_last_line_of_what_is_begun),
		cmocka_unit_test(a_stop_reads_on_where_a_sender_was_held_back),
		cmocka_unit_test(an_ending_takes_what_has_come_and_delivers_what_is_owed),
		cmocka_unit_test(an_ending_of_one_that_is_being_lost_takes_nothing),
		cmocka_unit_test(a_stop_does_not_wait_for_the_rate_of_one_that_is_being_lost),
		cmocka_unit_test(an_ending_of_one_that_gets_nothing_is_at_once),
		cmocka_unit_test(connectors_read_and_write_by_role),
		cmocka_unit_test(a_filter_holds_both_ways),
		cmocka_unit_test(lines_are_judged_as_they_come_where_there_is_history),
		cmocka_unit_test(who_is_over_line_rate_is_not_read),
		cmocka_unit_test(a_last_line_without_an_end_waits_for_its_turn_too),
		cmocka_unit_test(a_last_line_without_an_end_waits_for_room),
		cmocka_unit_test(a_cut_does_not_end_what_is_still_to_be_said),
		cmocka_unit_test(datagrams_over_line_rate_are_dropped),
		cmocka_unit_test(a_publisher_waits_for_its_reader),
		cmocka_unit_test(what_was_read_of_a_waiting_publisher_counts),
		cmocka_unit_test(what_comes_of_one_that_waits_follows_what_came_before),
		cmocka_unit_test(a_publisher_that_goes_leaves_an_orphan),
		cmocka_unit_test(orphans_are_bounded),
		cmocka_unit_test(history_by_age_alone),
		cmocka_unit_test(bad_settings_are_refused),
		cmocka_unit_test(probe_wants_its_line),
	};
	log_set_level(LEVEL_WARNING);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
