/* test_chargen.c - chargen sends the pattern of RFC 864 without a gap, however little a socket
 * takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_transport.h"
#include "protocols/registry.h"

/* From the text of RFC 864. */
static const char first_line[] =
	" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n";
static const char second_line[] =
	"!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n";
/* Character ~ is the last: the line that begins with it goes on with a blank. */
static const char last_line[] =
	"~ !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdef\r\n";

static uint8_t
expected(size_t at)
{
	size_t line = at / 74 % 95, column = at % 74;
	return column == 72 ? '\r' : column == 73 ? '\n' : (uint8_t)(' ' + (line + column) % 95);
}

static void
assert_pattern(const struct transport *transport)
{
	size_t length;
	const uint8_t *sent = fake_sent(transport, &length);
	for (size_t i = 0; i < length; i++)
		if (sent[i] != expected(i))
			fail_msg("byte %zu is %02x", i, sent[i]);
}

static void
lines_are_those_of_the_rfc(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&chargen_protocol, NULL);
	struct transport *transport = fake_open(factory);
	size_t length;
	const uint8_t *sent = fake_sent(transport, &length);
	assert_in_range(length, 64 * 1024, 256 * 1024);
	assert_memory_equal(sent, first_line, 74);
	assert_memory_equal(sent + 74, second_line, 74);
	assert_memory_equal(sent + 94 * 74, last_line, 74);
	assert_memory_equal(sent + 95 * 74, first_line, 74);
	assert_pattern(transport);
	fake_close(transport, REASON_PEER_RESET);
	factory_unref(factory);
}

static void
goes_on_where_the_socket_stopped(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&chargen_protocol, NULL);
	struct transport *transport = fake_open(factory);
	size_t length, before = 0;
	srandom(1);
	for (int i = 0; i < 300; i++) {
		assert_true(fake_wants_drained(transport));	/* also when all was taken */
		fake_drain(transport, i < 200 ? (size_t)random() % 9000 : SIZE_MAX);
		fake_sent(transport, &length);
		assert_in_range(length - before, 0, 256 * 1024);
		before = length;
	}
	assert_pattern(transport);
	assert_int_equal(transport_pending(transport), 0);
	fake_close(transport, REASON_PEER_RESET);

	fake_set_first_room(0);
	transport = fake_open(factory);
	fake_set_first_room(SIZE_MAX);
	for (int i = 0; i < 8000; i++)
		fake_drain(transport, 1);
	fake_sent(transport, &length);
	assert_int_equal(length, 8000);
	assert_pattern(transport);
	fake_close(transport, REASON_PEER_RESET);
	factory_unref(factory);
}

static void
goes_on_after_the_half_close(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&chargen_protocol, NULL);
	struct transport *transport = fake_open(factory);
	size_t before, after;
	fake_receive(transport, "thrown away", 11);
	fake_end_read(transport);
	assert_false(fake_is_write_ended(transport));
	fake_sent(transport, &before);
	fake_drain(transport, 1000);
	fake_sent(transport, &after);
	assert_int_equal(after, before + 1000);
	transport_stop(transport);
	assert_true(fake_is_lost(transport));
	assert_int_equal(fake_reason(transport), REASON_SHUTDOWN);
	fake_close(transport, REASON_SHUTDOWN);
	factory_unref(factory);
}

static void
datagrams_get_whole_lines_as_far_as_may_be(void **state)
{
	(void)state;
	static uint8_t reply[DATAGRAM_MAX];
	struct factory *factory = fake_factory(&chargen_protocol, NULL);
	static const size_t cases[][2] = { { 0, 0 },	 { 1, 1 },     { 73, 73 },   { 74, 74 },
					   { 75, 74 },	 { 148, 148 }, { 511, 444 }, { 512, 444 },
					   { 513, 444 }, { DATAGRAM_MAX, 444 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t length;
		assert_true(fake_datagram(factory, "?", 1, cases[i][0], reply, &length));
		assert_int_equal(length, cases[i][1]);
		for (size_t at = 0; at < length; at++)
			assert_int_equal(reply[at], expected(at));
	}
	factory_unref(factory);
}

static void
probe_wants_the_first_line(void **state)
{
	(void)state;
	const struct probe *probe = chargen_protocol.probe;
	uint8_t request[PROBE_REQUEST_MAX], reply[100];
	const char *failure;
	size_t length = probe->request(NULL, request);
	assert_true(length >= 74);	/* so that a datagram of one line may be answered to it */
	memcpy(reply, first_line, 74);
	assert_int_equal(probe->check(NULL, request, length, reply, 0, false, &failure),
			 PROBE_MORE);
	assert_int_equal(probe->check(NULL, request, length, reply, 73, false, &failure),
			 PROBE_MORE);
	assert_int_equal(probe->check(NULL, request, length, reply, 73, true, &failure),
			 PROBE_FAILED);
	assert_int_equal(probe->check(NULL, request, length, reply, 74, true, &failure), PROBE_OK);
	assert_int_equal(probe->check(NULL, request, length, reply, 90, false, &failure), PROBE_OK);
	reply[0] = '!';
	assert_int_equal(probe->check(NULL, request, length, reply, 74, false, &failure),
			 PROBE_FAILED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_those_of_the_rfc),
		cmocka_unit_test(goes_on_where_the_socket_stopped),
		cmocka_unit_test(goes_on_after_the_half_close),
		cmocka_unit_test(datagrams_get_whole_lines_as_far_as_may_be),
		cmocka_unit_test(probe_wants_the_first_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
