/* test_time.c - time counts from 1900, in four bytes, the highest first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "fake_transport.h"
#include "protocols/registry.h"

/* The clock of the program under test. */
static time_t clock_now;

time_t
time(time_t *now)
{
	if (now != NULL)
		*now = clock_now;
	return clock_now;
}

/* The first four are the examples of RFC 868. */
static const struct {
	time_t now;
	uint8_t bytes[4];
} cases[] = {
	{ 0, { 0x83, 0xaa, 0x7e, 0x80 } },		/* 2,208,988,800: 1970-01-01 */
	{ 189302400, { 0x8e, 0xf3, 0x05, 0x00 } },	/* 2,398,291,200: 1976-01-01 */
	{ 315532800, { 0x96, 0x79, 0x24, 0x80 } },	/* 2,524,521,600: 1980-01-01 */
	{ 420595200, { 0x9c, 0xbc, 0x44, 0x80 } },	/* 2,629,584,000: 1983-05-01 */
	{ 2085978495, { 0xff, 0xff, 0xff, 0xff } },	/* the last second in four bytes, in 2036 */
	{ 2085978496, { 0, 0, 0, 0 } },			/* and modulo 2^32 from there */
};
enum { CASES = sizeof cases / sizeof *cases };

static void
streams_get_the_time_and_the_end(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&time_protocol, NULL);
	for (int i = 0; i < CASES; i++) {
		size_t length;
		clock_now = cases[i].now;
		fake_set_first_room((size_t)i % 5);	/* also when the socket takes it in parts */
		struct transport *transport = fake_open(factory);
		fake_receive(transport, "x", 1);
		fake_drain(transport, SIZE_MAX);
		const uint8_t *sent = fake_sent(transport, &length);
		assert_int_equal(length, 4);
		assert_memory_equal(sent, cases[i].bytes, 4);
		assert_true(fake_is_write_ended(transport));
		assert_int_equal(fake_reason(transport), REASON_DONE);
		fake_close(transport, REASON_PEER_CLOSED);
	}
	fake_set_first_room(SIZE_MAX);
	factory_unref(factory);
}

static void
datagrams_get_the_time(void **state)
{
	(void)state;
	static uint8_t reply[DATAGRAM_MAX];
	struct factory *factory = fake_factory(&time_protocol, NULL);
	size_t length;
	clock_now = cases[1].now;
	assert_true(fake_datagram(factory, "", 0, time_protocol.reply_exempt, reply, &length));
	assert_int_equal(length, 4);
	assert_memory_equal(reply, cases[1].bytes, 4);
	factory_unref(factory);
}

static enum probe_verdict
check(const void *reply, size_t length, bool ended)
{
	const char *failure;
	return time_protocol.probe->check(NULL, NULL, 0, reply, length, ended, &failure);
}

static void
probe_compares_with_its_clock(void **state)
{
	(void)state;
	clock_now = cases[0].now;
	assert_int_equal(check(cases[0].bytes, 3, false), PROBE_MORE);
	assert_int_equal(check(cases[0].bytes, 3, true), PROBE_FAILED);
	assert_int_equal(check(cases[0].bytes, 4, true), PROBE_OK);
	assert_int_equal(check("\x83\xaa\x7e\x80\0", 5, true), PROBE_FAILED);
	assert_int_equal(check("\x83\xaa\x7e\x85", 4, true), PROBE_OK);
	assert_int_equal(check("\x83\xaa\x7e\x86", 4, true), PROBE_FAILED);
	assert_int_equal(check("\x83\xaa\x7e\x7a", 4, true), PROBE_FAILED);
	assert_int_equal(check("\0\0\0\0", 4, true), PROBE_FAILED);	/* 70 years off */
	clock_now = cases[5].now;
	assert_int_equal(check("\xff\xff\xff\xff", 4, true), PROBE_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_get_the_time_and_the_end),
		cmocka_unit_test(datagrams_get_the_time),
		cmocka_unit_test(probe_compares_with_its_clock),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
