/* test_discard.c - discard never says anything, and lets the transport throw away what comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_transport.h"
#include "protocols/registry.h"

static void
says_nothing(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&discard_protocol, NULL);
	struct transport *transport = fake_open(factory);
	size_t length;
	fake_receive(transport, "hello\n", 6);
	fake_end_read(transport);
	fake_sent(transport, &length);
	assert_int_equal(length, 0);
	assert_true(fake_is_write_ended(transport));
	assert_false(fake_is_lost(transport));
	fake_close(transport, REASON_PEER_CLOSED);
	factory_unref(factory);
}

/* The transport reads with MSG_TRUNC only for a protocol that does not look at the bytes. */
static void
does_not_look_at_the_bytes(void **state)
{
	(void)state;
	assert_null(discard_protocol.data_received);
	assert_null(discard_protocol.read_ended);
}

static void
datagrams_are_not_answered(void **state)
{
	(void)state;
	static uint8_t reply[DATAGRAM_MAX];
	struct factory *factory = fake_factory(&discard_protocol, NULL);
	size_t length;
	assert_false(fake_datagram(factory, "hello", 5, DATAGRAM_MAX, reply, &length));
	assert_false(fake_datagram(factory, "", 0, DATAGRAM_MAX, reply, &length));
	factory_unref(factory);
}

static void
probe_wants_silence(void **state)
{
	(void)state;
	uint8_t request[PROBE_REQUEST_MAX];
	assert_true(discard_protocol.probe->request(NULL, request) > 0);
	assert_null(discard_protocol.probe->check);
	assert_true(discard_protocol.probe->half_close);
	assert_true(discard_protocol.probe->silence_is_ok);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_nothing),
		cmocka_unit_test(does_not_look_at_the_bytes),
		cmocka_unit_test(datagrams_are_not_answered),
		cmocka_unit_test(probe_wants_silence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
