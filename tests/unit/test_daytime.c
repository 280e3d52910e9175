/* test_daytime.c - daytime says the time of any zone, as libc does, and refuses what cannot be a
 * line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "fake_transport.h"
#include "protocols/registry.h"
#include "protocols/zone.h"

/* The clock of the program under test. */
static time_t clock_now;

time_t
time(time_t *now)
{
	if (now != NULL)
		*now = clock_now;
	return clock_now;
}

/* The line that a connection gets, in steps of the socket of so many bytes. */
static const char *
line(struct factory *factory, size_t step)
{
	static char text[300];
	fake_set_first_room(step);
	struct transport *transport = fake_open(factory);
	fake_set_first_room(SIZE_MAX);
	while (transport_pending(transport) > 0)
		fake_drain(transport, step);
	size_t length;
	const uint8_t *sent = fake_sent(transport, &length);
	assert_in_range(length, 3, 202);
	memcpy(text, sent, length);
	text[length] = '\0';
	assert_true(fake_is_write_ended(transport));
	assert_int_equal(fake_reason(transport), REASON_DONE);
	fake_close(transport, REASON_PEER_CLOSED);
	return text;
}

static void
default_line(void **state)
{
	(void)state;
	static uint8_t reply[DATAGRAM_MAX];
	static const char expected[] = "Sun, 06 Sep 1987 09:08:07 +0000\r\n";
	struct factory *factory = fake_factory(&daytime_protocol, NULL);
	size_t length;
	clock_now = 557917687;
	for (size_t step = 1; step < 40; step++)
		assert_string_equal(line(factory, step), expected);
	assert_true(fake_datagram(factory, "", 0, daytime_protocol.reply_exempt, reply, &length));
	assert_int_equal(length, strlen(expected));
	assert_memory_equal(reply, expected, length);
	factory_unref(factory);
}

static void
formats(void **state)
{
	(void)state;
	struct factory *factory =
		fake_factory(&daytime_protocol, "format=%s|%%s|%Y-%m-%d %Z|%-d", NULL);
	clock_now = 1700000000;
	assert_string_equal(line(factory, SIZE_MAX), "1700000000|%s|2023-11-14 UTC|14\r\n");
	factory_unref(factory);
}

static void
bad_settings_are_refused(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "format=%Q", "format: \"%Q\" is not a conversion of strftime(3)" },
		{ "format=100%", "format: \"%\" is not a conversion of strftime(3)" },
		{ "format=%5s", "format: \"%5s\" is not a conversion of strftime(3)" },
		{ "format=a\tb", "format: gives a line with control characters" },
		{ "format=%H\r\nX", "format: gives a line with control characters" },
		{ "format=%n", "format: \"%n\" is not a conversion of strftime(3)" },
		{ "format=%300d", "format: gives a line of more than 200 characters" },
		{ "format=%9999999999999d", "format: gives a line of more than 200 characters" },
		{ "timezone=Mars/Olympus",
		  "timezone: \"Mars/Olympus\" is not a time zone of this system, such as UTC or "
		  "Europe/Berlin" },
		{ "timezone=../../../etc/passwd",
		  "timezone: \"../../../etc/passwd\" is not a time zone of "
						  "this system, such as UTC or Europe/Berlin" },
		{ "timezone=/etc/localtime",
		  "timezone: \"/etc/localtime\" is not a time zone of this "
					     "system, such as UTC or Europe/Berlin" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *wrong = fake_settings_check(&daytime_protocol, cases[i][0], NULL);
		if (wrong == NULL || strcmp(wrong, cases[i][1]) != 0)
			fail_msg("%s: %s", cases[i][0], wrong != NULL ? wrong : "(taken)");
	}
	assert_null(fake_settings_check(&daytime_protocol, NULL));
	assert_null(fake_settings_check(&daytime_protocol, "format=%EY %Od %^a %10j %e", NULL));
}

/* September is long and May is short: what fits today must fit on every day. */
static void
the_longest_day_counts(void **state)
{
	(void)state;
	char format[] = "format=%B%B%B%B%B%B%B%B%B%B%B%B%B%B%B%B%B%B%B%B%B%B%B";
	clock_now = 1778000000;	/* in May */
	assert_string_equal(fake_settings_check(&daytime_protocol, format, NULL),
			    "format: gives a line of more than 200 characters");
	format[sizeof format - 3] = '\0';
	assert_null(fake_settings_check(&daytime_protocol, format, NULL));
}

static void
zones_are_those_of_libc(void **state)
{
	(void)state;
	static const char *const names[] = { "UTC",
					     "Europe/Berlin",
					     "America/New_York",
					     "Asia/Kolkata",
					     "Australia/Lord_Howe",
					     "Africa/Casablanca",
					     "America/St_Johns",
					     "Pacific/Apia",
					     "Europe/Dublin",
					     "Asia/Gaza",
					     "Antarctica/Troll",
					     "America/Nuuk" };
	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) != 0)
		skip();	/* no zones on this system */
	srandom(1);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct zone *zone;
		assert_null(zone_load(names[i], &zone));
		setenv("TZ", names[i], 1);
		tzset();
		for (int round = 0; round < 20000; round++) {
			/* From 1902 to 2310. */
			time_t at = (time_t)(random() * 6.0) - 2145916800;
			struct tm expected, got;
			localtime_r(&at, &expected);
			zone_time(zone, at, &got);
			if (got.tm_gmtoff != expected.tm_gmtoff || got.tm_isdst != expected.tm_isdst
			    || got.tm_hour != expected.tm_hour || got.tm_yday != expected.tm_yday
			    || strcmp(got.tm_zone, expected.tm_zone) != 0)
				fail_msg("%s at %lld: %ld %s, not %ld %s", names[i], (long long)at,
					 got.tm_gmtoff, got.tm_zone, expected.tm_gmtoff,
					 expected.tm_zone);
		}
		zone_free(zone);
	}
	unsetenv("TZ");
	tzset();
}

static void
one_second_around_a_change(void **state)
{
	(void)state;
	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) != 0)
		skip();
	struct factory *factory = fake_factory(&daytime_protocol, "timezone=Europe/Berlin",
					       "format=%H:%M:%S %z %Z", NULL);
	clock_now = 1774745999;	/* 2026-03-29 */
	assert_string_equal(line(factory, SIZE_MAX), "01:59:59 +0100 CET\r\n");
	clock_now++;
	assert_string_equal(line(factory, SIZE_MAX), "03:00:00 +0200 CEST\r\n");
	clock_now = 4762544399;	/* 2120-12-01: by the rule behind the table */
	assert_string_equal(line(factory, SIZE_MAX) + 9, "+0100 CET\r\n");
	factory_unref(factory);
}

/* Whatever is in a zone file, reading it is an error or a zone. */
static void
damaged_zone_files(void **state)
{
	(void)state;
	static uint8_t bytes[64 * 1024];
	char directory[] = "/tmp/twined-zones-XXXXXX", path[64];
	FILE *file = fopen("/usr/share/zoneinfo/Europe/Berlin", "r");
	if (file == NULL)
		skip();
	size_t length = fread(bytes, 1, sizeof bytes, file);
	fclose(file);
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/X", directory);
	setenv("TZDIR", directory, 1);
	srandom(1);
	for (int round = 0; round < 2000; round++) {
		size_t at = (size_t)random() % (round % 2 ? length : 120);
		size_t keep = round % 4 ? length : (size_t)random() % length;
		uint8_t was = bytes[at];
		bytes[at] = (uint8_t)random();
		file = fopen(path, "w");
		assert_non_null(file);
		fwrite(bytes, 1, keep, file);
		fclose(file);
		bytes[at] = was;
		struct zone *zone;
		if (zone_load("X", &zone) == NULL) {
			struct tm local;
			zone_time(zone, 1700000000, &local);
			zone_time(zone, 5000000000, &local);
			zone_free(zone);
		}
	}
	unsetenv("TZDIR");
	unlink(path);
	rmdir(directory);
}

static enum probe_verdict
check(const char *reply, bool ended)
{
	const char *failure;
	return daytime_protocol.probe->check(NULL, NULL, 0, (const uint8_t *)reply, strlen(reply),
					     ended, &failure);
}

static void
probe_wants_one_line(void **state)
{
	(void)state;
	assert_int_equal(check("noon\r", false), PROBE_MORE);
	assert_int_equal(check("noon\r\n", true), PROBE_OK);
	assert_int_equal(check("noon\n", true), PROBE_FAILED);
	assert_int_equal(check("noon\r", true), PROBE_FAILED);
	assert_int_equal(check("", true), PROBE_FAILED);
	assert_int_equal(check("\r\n", true), PROBE_FAILED);
	assert_int_equal(check("a\r\nb\r\n", true), PROBE_FAILED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_line),
		cmocka_unit_test(formats),
		cmocka_unit_test(bad_settings_are_refused),
		cmocka_unit_test(the_longest_day_counts),
		cmocka_unit_test(zones_are_those_of_libc),
		cmocka_unit_test(one_second_around_a_change),
		cmocka_unit_test(damaged_zone_files),
		cmocka_unit_test(probe_wants_one_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
