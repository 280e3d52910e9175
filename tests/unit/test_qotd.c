/* test_qotd.c - qotd sends one of its quotations, whole and with CR LF, and refuses bad ones by
 * number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "fake_transport.h"
#include "protocols/registry.h"

/* The one quotation that a connection gets. */
static const char *
quotation(struct factory *factory)
{
	static char text[600];
	struct transport *transport = fake_open(factory);
	size_t length;
	const uint8_t *sent = fake_sent(transport, &length);
	assert_in_range(length, 1, 512);
	memcpy(text, sent, length);
	text[length] = '\0';
	fake_receive(transport, "thrown away", 11);
	assert_true(fake_is_write_ended(transport));
	assert_int_equal(fake_reason(transport), REASON_DONE);
	fake_close(transport, REASON_PEER_CLOSED);
	return text;
}

static void
one_quotation_from_the_configuration(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&qotd_protocol, "quote=Less is more.", NULL);
	assert_string_equal(quotation(factory), "Less is more.\r\n");
	factory_unref(factory);
}

static void
owed_bytes_are_sent_before_the_end(void **state)
{
	(void)state;
	struct factory *factory = fake_factory(&qotd_protocol, "quote=Less is more.", NULL);
	fake_set_first_room(4);
	struct transport *transport = fake_open(factory);
	fake_set_first_room(SIZE_MAX);
	assert_false(fake_is_write_ended(transport));
	fake_drain(transport, SIZE_MAX);
	assert_true(fake_is_write_ended(transport));
	fake_close(transport, REASON_PEER_CLOSED);
	factory_unref(factory);
}

static void
every_quotation_of_a_file_comes(void **state)
{
	(void)state;
	static const char *const all[] = { "one\r\n", "two\r\n\r\nlines % %%\r\n",
					   "\t-- three\r\n" };
	unsigned seen = 0;
	struct factory *factory = fake_factory(
		&qotd_protocol, "file=one\n%\n\ntwo\r\n\r\nlines % %%\n\n%\r\n\t-- three", NULL);
	for (int i = 0; i < 200; i++) {
		const char *text = quotation(factory);
		unsigned which = 0;
		while (which < 3 && strcmp(text, all[which]) != 0)
			which++;
		if (which == 3)
			fail_msg("got \"%s\"", text);
		seen |= 1u << which;
	}
	assert_int_equal(seen, 7);	/* one is missing in 200 by a chance of 10^-35 */
	factory_unref(factory);
}

static void
datagrams_get_one_that_fits(void **state)
{
	(void)state;
	static uint8_t reply[DATAGRAM_MAX];
	struct factory *factory =
		fake_factory(&qotd_protocol, "file=much longer\n%\nshort\n%\n", NULL);
	size_t length;
	for (int i = 0; i < 50; i++) {
		assert_true(fake_datagram(factory, "0123456789", 10, 10, reply, &length));
		assert_int_equal(length, 7);
		assert_memory_equal(reply, "short\r\n", 7);
	}
	assert_false(fake_datagram(factory, "", 0, 0, reply, &length));
	factory_unref(factory);
}

static void
exactly_one_source(void **state)
{
	(void)state;
	assert_string_equal(fake_settings_check(&qotd_protocol, NULL), "needs quote or file");
	assert_string_equal(fake_settings_check(&qotd_protocol, "quote=a", "file=b", NULL),
			    "quote and file exclude each other");
	assert_null(fake_settings_check(&qotd_protocol, "quote=a", NULL));
	assert_null(fake_settings_check(&qotd_protocol, "file=b", NULL));
}

static void
bad_quotations_are_named(void **state)
{
	(void)state;
	char file[700] = "file=good\n%\n";
	assert_string_equal(fake_settings_check(&qotd_protocol, "file=", NULL),
			    "file: quotation 1 is empty");
	assert_string_equal(fake_settings_check(&qotd_protocol, "file=%\nb", NULL),
			    "file: quotation 1 is empty");
	assert_string_equal(fake_settings_check(&qotd_protocol, "file=a\n%\n \n\t\n%\nb", NULL),
			    "file: quotation 2 is empty");
	assert_string_equal(fake_settings_check(&qotd_protocol, "quote=  ", NULL),
			    "quote: is empty");

	size_t begin = strlen(file);
	memset(file + begin, 'x', 510);
	assert_null(fake_settings_check(&qotd_protocol, file, NULL));
	file[begin + 510] = 'x';
	assert_string_equal(
		fake_settings_check(&qotd_protocol, file, NULL),
		"file: quotation 2 is 513 characters long with its line ends, more than 512");
	memset(file + begin, '\0', sizeof file - begin);
	for (int i = 0; i < 170; i++)
		memcpy(file + begin + 2 * i, "x\n", 2);
	assert_null(fake_settings_check(&qotd_protocol, file, NULL));	/* 510 with CR LF */
	memcpy(file + begin + 340, "x\n", 2);
	assert_string_equal(
		fake_settings_check(&qotd_protocol, file, NULL),
		"file: quotation 2 is 513 characters long with its line ends, more than 512");
}

static void
probe_wants_1_to_512_bytes(void **state)
{
	(void)state;
	const struct probe *probe = qotd_protocol.probe;
	uint8_t reply[513] = { 0 };
	const char *failure;
	assert_int_equal(probe->check(NULL, NULL, 0, reply, 5, false, &failure), PROBE_MORE);
	assert_int_equal(probe->check(NULL, NULL, 0, reply, 0, true, &failure), PROBE_FAILED);
	assert_int_equal(probe->check(NULL, NULL, 0, reply, 1, true, &failure), PROBE_OK);
	assert_int_equal(probe->check(NULL, NULL, 0, reply, 512, true, &failure), PROBE_OK);
	assert_int_equal(probe->check(NULL, NULL, 0, reply, 513, false, &failure), PROBE_FAILED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_quotation_from_the_configuration),
		cmocka_unit_test(owed_bytes_are_sent_before_the_end),
		cmocka_unit_test(every_quotation_of_a_file_comes),
		cmocka_unit_test(datagrams_get_one_that_fits),
		cmocka_unit_test(exactly_one_source),
		cmocka_unit_test(bad_quotations_are_named),
		cmocka_unit_test(probe_wants_1_to_512_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
