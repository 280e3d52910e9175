/* test_echo.c - echo gives back every byte, in order, also what the socket did not take at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_transport.h"
#include "protocols/registry.h"

static const char text[] = "hello\r\n\0world\xff";
enum { TEXT_LENGTH = sizeof text - 1 };

static void
assert_sent(const struct transport *transport, const void *bytes, size_t length)
{
	size_t sent_length;
	const uint8_t *sent = fake_sent(transport, &sent_length);
	assert_int_equal(sent_length, length);
	if (length > 0)
		assert_memory_equal(sent, bytes, length);
}

static void
echoes_whatever_the_pieces(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&echo_protocol, NULL);
	for (size_t cut = 0; cut <= TEXT_LENGTH; cut++) {
		struct transport *transport = fake_open(factory);
		if (cut > 0)
			fake_receive(transport, text, cut);
		if (cut < TEXT_LENGTH)
			fake_receive(transport, text + cut, TEXT_LENGTH - cut);
		assert_sent(transport, text, TEXT_LENGTH);
		fake_close(transport, REASON_PEER_CLOSED);
	}
	struct transport *transport = fake_open(factory);
	for (size_t i = 0; i < TEXT_LENGTH; i++)
		fake_receive(transport, text + i, 1);
	assert_sent(transport, text, TEXT_LENGTH);
	fake_close(transport, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
owed_bytes_come_after_the_half_close(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&echo_protocol, NULL);
	struct transport *transport = fake_open(factory);
	fake_set_room(transport, 3);
	fake_receive(transport, text, TEXT_LENGTH);
	fake_end_read(transport);
	assert_sent(transport, text, 3);
	assert_false(fake_is_write_ended(transport));
	fake_drain(transport, SIZE_MAX);
	assert_sent(transport, text, TEXT_LENGTH);
	assert_true(fake_is_write_ended(transport));
	assert_false(fake_is_lost(transport));
	fake_close(transport, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
datagrams_come_back_whole(void **state)
{
	(void)state;
	static uint8_t request[DATAGRAM_MAX], reply[DATAGRAM_MAX];
	struct factory *factory = fake_factory(&echo_protocol, NULL);
	static const size_t lengths[] = { 0, 1, 2048, 2049, 65507, DATAGRAM_MAX };
	for (size_t i = 0; i < sizeof request; i++)
		request[i] = (uint8_t)(i * 31 >> 3);
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		size_t length;
		assert_true(
			fake_datagram(factory, request, lengths[i], lengths[i], reply, &length));
		assert_int_equal(length, lengths[i]);
		assert_memory_equal(reply, request, length);
	}
	factory_unref(factory);
}

static void
probe_wants_exactly_its_bytes(void **state)
{
	(void)state;
	const struct probe *probe = echo_protocol.probe;
	uint8_t request[PROBE_REQUEST_MAX], reply[PROBE_REQUEST_MAX + 1] = { 0 };
	const char *failure;
	size_t length = probe->request(NULL, request);
	assert_int_equal(length, 16);
	assert_true(probe->half_close);
	memcpy(reply, request, length);
	for (size_t i = 0; i < length; i++) {
		assert_int_equal(probe->check(NULL, request, length, reply, i, false, &failure),
				 PROBE_MORE);
		assert_int_equal(probe->check(NULL, request, length, reply, i, true, &failure),
				 PROBE_FAILED);
	}
	assert_int_equal(probe->check(NULL, request, length, reply, length, true, &failure),
			 PROBE_OK);
	assert_int_equal(probe->check(NULL, request, length, reply, length + 1, false, &failure),
			 PROBE_FAILED);
	reply[7] ^= 1;
	assert_int_equal(probe->check(NULL, request, length, reply, 8, false, &failure),
			 PROBE_FAILED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echoes_whatever_the_pieces),
		cmocka_unit_test(owed_bytes_come_after_the_half_close),
		cmocka_unit_test(datagrams_come_back_whole),
		cmocka_unit_test(probe_wants_exactly_its_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
