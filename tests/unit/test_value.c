/* test_value.c - what each type of option takes and refuses, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include "config/expand.h"
#include "config/number.h"
#include "config/sentence.h"
#include "config/suggestion.h"
#include "config/value.h"
#include "net/address.h"
#include "net/protocol.h"

static const char *const choices[] = { "wait", "reset", NULL };

union setting {
	int64_t number;
	struct rate rate;
	char *string;
	struct file_text file;
	struct address_list addresses;
	struct prefix_list prefixes;
	struct upstream_list upstreams;
	struct exchange exchange;
	union peer_address ip;
	const struct protocol *protocol;
};

enum { BOTH = OPTION_MAY_AUTO | OPTION_MAY_NONE };

static struct option
row(enum option_type type, unsigned flags, int64_t min, int64_t max)
{
	return (struct option){ .name = "x",
				.type = type,
				.flags = flags,
				.min = min,
				.max = max,
				.choices = choices,
				.help = "" };
}

/* Sets a value that must be taken; its setting is the caller's to clear. */
static union setting
taken(const struct option *option, const char *text)
{
	union setting setting = { 0 };
	const char *wrong = value_set(option, &setting, text, NULL);

	if (wrong != NULL)
		fail_msg("%s", wrong);
	return setting;
}

static void
assert_number(enum option_type type, const char *text, int64_t wanted)
{
	struct option option = row(type, BOTH, 0, INT64_MAX);
	assert_int_equal(taken(&option, text).number, wanted);
}

/* A value that must be refused with this sentence, the field staying as it was. */
static void
assert_refused(struct option option, const char *text, const char *wanted)
{
	union setting setting, before;

	memset(&setting, 0, sizeof setting);
	setting.number = 4711;
	before = setting;
	if (option.type == OPTION_STRING || option.type >= OPTION_FILE)
		memset(&setting, 0, sizeof setting), before = setting;
	const char *wrong = value_set(&option, &setting, text, NULL);
	assert_non_null(wrong);
	assert_string_equal(wrong, wanted);
	assert_memory_equal(&setting, &before, sizeof setting);
}

static void
test_numbers(void **state)
{
	(void)state;
	assert_number(OPTION_NUMBER, "0", 0);
	assert_number(OPTION_NUMBER, "007", 7);
	assert_number(OPTION_NUMBER, "9223372036854775807", INT64_MAX);
	assert_number(OPTION_NUMBER, "auto", OPTION_AUTO);
	assert_number(OPTION_NUMBER, "none", 0);
	assert_number(OPTION_DURATION, "250ms", 250);
	assert_number(OPTION_DURATION, "5s", 5000);
	assert_number(OPTION_DURATION, "2m", 120000);
	assert_number(OPTION_DURATION, "1h", 3600000);
	assert_number(OPTION_DURATION, "1d", 86400000);
	assert_number(OPTION_DURATION, "0", 0);
	assert_number(OPTION_DURATION, "0s", 0);
	assert_number(OPTION_SIZE, "512", 512);
	assert_number(OPTION_SIZE, "64K", 65536);
	assert_number(OPTION_SIZE, "1M", 1048576);
	assert_number(OPTION_SIZE, "2G", INT64_C(2147483648));
	assert_number(OPTION_MODE, "0660", 0660);
	assert_number(OPTION_MODE, "660", 0660);
	assert_number(OPTION_BOOL, "yes", 1);
	assert_number(OPTION_BOOL, "true", 1);
	assert_number(OPTION_BOOL, "on", 1);
	assert_number(OPTION_BOOL, "no", 0);
	assert_number(OPTION_BOOL, "false", 0);
	assert_number(OPTION_BOOL, "off", 0);
	assert_number(OPTION_BOOL, "auto", OPTION_AUTO);
	assert_number(OPTION_CHOICE, "reset", 1);
	assert_number(OPTION_USER, "0", 0);
	assert_number(OPTION_USER, "root", 0);
	assert_number(OPTION_GROUP, "4294967294", 4294967294);
}

static void
test_number_refusals(void **state)
{
	static const char not_duration[] = "\" is not a duration such as 250ms, 5s, 2m, 1h";
	static const char *const durations[] = { "",     "5",    "5 s",  "s",  "5S", "1.5s",
						 "1h1m", "5sec", "0x5s", "00", "+5s" };
	struct option duration = row(OPTION_DURATION, OPTION_MAY_NONE, 1000, 60000);

	(void)state;
	for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
		char wanted[80];
		snprintf(wanted, sizeof wanted, "\"%s%s", durations[i], not_duration);
		assert_refused(duration, durations[i], wanted);
	}
	assert_refused(duration, "999ms", "\"999ms\" is out of range: 1s to 1m, or none");
	assert_refused(duration, "61s", "\"61s\" is out of range: 1s to 1m, or none");
	assert_refused(duration, "-1s", "\"-1s\" is out of range: 1s to 1m, or none");
	assert_refused(duration, "18446744073709551617ms",
		       "\"18446744073709551617ms\" is out of range: 1s to 1m, or none");
	assert_refused(duration, "9223372036854775807d",
		       "\"9223372036854775807d\" is out of range: 1s to 1m, or none");
	assert_refused(duration, "auto", "\"auto\" is not a duration such as 250ms, 5s, 2m, 1h");
	duration.flags = 0;
	assert_refused(duration, "0", "\"0\" is out of range: 1s to 1m");
	assert_refused(row(OPTION_NUMBER, 0, 1, 10), "11", "\"11\" is out of range: 1 to 10");
	assert_refused(row(OPTION_NUMBER, BOTH, 1, 10), "x",
		       "\"x\" is not a number such as 100, auto or none");
	assert_refused(row(OPTION_NUMBER, OPTION_MAY_NONE, 1, 10), "0",
		       "\"0\" is out of range: 1 to 10, or none");
	assert_refused(row(OPTION_SIZE, 0, 1024, 1 << 20), "1", "\"1\" is out of range: 1K to 1M");
	assert_refused(row(OPTION_SIZE, 0, 1024, 1 << 20), "1025K",
		       "\"1025K\" is out of range: 1K to 1M");
	assert_refused(row(OPTION_SIZE, 0, 0, 9), "1KB",
		       "\"1KB\" is not a size such as 512, 64K, 1M, 2G");
	assert_refused(row(OPTION_MODE, 0, 0, 0777), "888",
		       "\"888\" is not a mode of permission bits such as 0660");
	assert_refused(row(OPTION_MODE, 0, 0, 0777), "01000",
		       "\"01000\" is out of range: 0 to 0777");
	assert_refused(row(OPTION_BOOL, 0, 0, 0), "Yes",
		       "\"Yes\" is not yes, no, true, false, on or off");
	assert_refused(row(OPTION_CHOICE, 0, 0, 0), "", "\"\" is not one of wait, reset");
	assert_refused(row(OPTION_USER, 0, 0, 0), "4294967295",
		       "\"4294967295\" is not a user of this system");
}

static void
test_rates(void **state)
{
	struct option option = row(OPTION_RATE, BOTH, 1, 1000);
	union setting setting = taken(&option, "100/s");

	(void)state;
	assert_int_equal(setting.rate.count, 100);
	assert_int_equal(setting.rate.period_ms, 1000);
	setting = taken(&option, "5/m");
	assert_int_equal(setting.rate.period_ms, 60000);
	assert_int_equal(taken(&option, "auto").rate.count, OPTION_AUTO);
	assert_int_equal(taken(&option, "none").rate.count, 0);
	assert_refused(option, "0/s", "\"0/s\" is out of range: 1 to 1000, auto or none");
	assert_refused(option, "1001/s", "\"1001/s\" is out of range: 1 to 1000, auto or none");
	assert_refused(option, "5", "\"5\" is not a rate such as 100/s, 5/m, auto or none");
	assert_refused(option, "5/", "\"5/\" is not a rate such as 100/s, 5/m, auto or none");
	assert_refused(option, "5/ms", "\"5/ms\" is not a rate such as 100/s, 5/m, auto or none");
}

static void
test_strings(void **state)
{
	struct option option = row(OPTION_STRING, OPTION_MAY_NONE, 1, 5);
	union setting setting = taken(&option, "first");

	(void)state;
	assert_string_equal(setting.string, "first");
	assert_null(value_set(&option, &setting, "two", NULL));
	assert_string_equal(setting.string, "two");
	assert_string_equal(value_set(&option, &setting, "longer", NULL),
			    "\"longer\" has 6 bytes: 1 to 5 are allowed");
	assert_string_equal(setting.string, "two");
	assert_null(value_set(&option, &setting, "none", NULL));
	assert_null(setting.string);
	assert_refused(option, "", "\"\" is empty");
}

static void
test_files(void **state)
{
	struct option option = row(OPTION_FILE, OPTION_MAY_NONE, 0, 0);
	char directory[] = "/tmp/twined-value-XXXXXX", path[64];
	union setting a = { 0 }, b = { 0 };

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/f", directory);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fwrite("a\0b", 1, 3, file);
	fclose(file);
	assert_null(value_set(&option, &a, "f", directory));
	assert_null(value_set(&option, &b, path, "/nowhere"));
	assert_string_equal(a.file.path, path);
	assert_int_equal(a.file.length, 3);
	assert_memory_equal(a.file.bytes, "a\0b", 4);
	assert_true(value_equal(&option, &a, &b));
	file = fopen(path, "a");
	fputs("c", file);
	fclose(file);
	assert_null(value_set(&option, &b, path, NULL));
	assert_false(value_equal(&option, &a, &b));
	unlink(path);
	assert_string_equal(value_set(&option, &a, "f", directory),
			    "\"f\" cannot be read: No such file or directory");
	assert_int_equal(a.file.length, 3);
	assert_string_equal(value_set(&option, &a, ".", directory),
			    "\".\" is a directory, not a file");
	assert_null(value_set(&option, &a, "none", NULL));
	assert_null(a.file.bytes);
	value_clear(&option, &b);
	rmdir(directory);
}

static void
test_address_lists(void **state)
{
	struct option listen = row(OPTION_LISTEN, 0, 0, 0), dial = row(OPTION_CONNECT, 0, 0, 0);
	union setting setting = taken(&listen, "tcp://*:0 ,\tudp://[::1]:7,systemd:x, tcp://*:0");

	(void)state;
	assert_int_equal(setting.addresses.count, 4);
	assert_string_equal(setting.addresses.items[1].host, "::1");
	value_clear(&listen, &setting);
	assert_null(setting.addresses.items);
	assert_refused(listen, "", "\"\" is empty");
	assert_refused(listen, " ", "\" \" has an empty item: a comma too many");
	assert_refused(listen, "tcp://a:1,", "\"tcp://a:1,\" has an empty item: a comma too many");
	assert_refused(listen, "tcp://a:1, tcp://A:01", "\"tcp://A:01\" stands in the list twice");
	assert_refused(listen, "tcp://a:1, tcp://b", "\"tcp://b\" has no port");
	assert_refused(dial, "tcp://a:1, tcp://*:1",
		       "\"tcp://*:1\" has the host *, which only listen takes");
	assert_refused(dial, "tcp://a:00", "\"tcp://a:00\" has port 0, which only listen takes");
	assert_refused(dial, "systemd:x",
		       "\"systemd:x\" is a passed socket, which only listen takes");
}

static void
test_prefix_lists(void **state)
{
	struct option option = row(OPTION_PREFIXES, OPTION_MAY_NONE, 0, 0);
	union setting all = taken(&option, "all"), some = taken(&option, "10.0.0.0/8, unix");
	union peer_address unix_peer = { .sa.sa_family = AF_UNSPEC };

	(void)state;
	assert_int_equal(some.prefixes.count, 2);
	assert_true(prefix_list_has(&all.prefixes, &unix_peer));
	assert_false(value_equal(&option, &all, &some));
	assert_null(value_set(&option, &some, "all", NULL));
	assert_true(value_equal(&option, &all, &some));
	assert_null(value_set(&option, &some, "none", NULL));
	assert_int_equal(some.prefixes.count, 0);
	value_clear(&option, &all);
	assert_refused(
		option, "10.1.0.0/8",
		"\"10.1.0.0/8\" has bits set behind its length, did you mean \"10.0.0.0/8\"?");
}

static void
test_upstreams(void **state)
{
	struct option option = row(OPTION_UPSTREAMS, 0, 0, 0);
	union setting a = taken(&option, "tcp://10.0.0.5:80 weight=3,unix:///x\tbackup  weight=0 ,"
					 "tcp://b:http"),
		      b = taken(&option, "tcp://10.0.0.5:80 weight=03, unix:///x weight=0 backup, "
					 "tcp://b:http"),
		      c = taken(&option, "tcp://10.0.0.5:80 weight=3, unix:///x weight=0, "
					 "tcp://b:http"),
		      d = taken(&option, "tcp://10.0.0.5:80 weight=3");

	(void)state;
	assert_int_equal(a.upstreams.count, 3);
	assert_string_equal(a.upstreams.items[0].address.host, "10.0.0.5");
	assert_string_equal(a.upstreams.items[0].address.text, "tcp://10.0.0.5:80");
	assert_int_equal(a.upstreams.items[0].weight, 3);
	assert_false(a.upstreams.items[0].backup);
	assert_int_equal(a.upstreams.items[1].address.kind, ADDRESS_UNIX);
	assert_int_equal(a.upstreams.items[1].weight, 0);
	assert_true(a.upstreams.items[1].backup);
	assert_int_equal(a.upstreams.items[2].weight, 1);
	assert_true(value_equal(&option, &a, &b));
	assert_false(value_equal(&option, &a, &c));
	assert_false(value_equal(&option, &c, &d));
	assert_non_null(value_set(&option, &a, "tcp://10.0.0.5:80, tcp://10.0.0.5:80", NULL));
	assert_int_equal(a.upstreams.count, 3);
	value_clear(&option, &a);
	assert_null(a.upstreams.items);
	value_clear(&option, &b);
	value_clear(&option, &c);
	value_clear(&option, &d);
	assert_refused(option, "", "\"\" is empty");
	assert_refused(option, "tcp://a:1 weight=1001",
		       "\"tcp://a:1 weight=1001\" has the weight \"1001\": expected 0 to 1000");
	assert_refused(option, "tcp://a:1 \x1b\xff",
		       "\"tcp://a:1 \\x1b\\xff\" has \"\\x1b\\xff\" behind its address: "
		       "expected weight=N or backup");
	assert_refused(option, "tcp://b:1, tcp://a:1, tcp://c:1, tcp://a:01, tcp://c:01",
		       "\"tcp://a:01\" stands in the list twice");
}

static void
test_very_many_upstreams(void **state)
{
	enum { COUNT = 20000 };
	struct option option = row(OPTION_UPSTREAMS, 0, 0, 0);
	char *text, *last;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	(void)state;
	for (int i = 0; i < COUNT; i++)
		fprintf(out, "%stcp://10.%d.%d.%d:80 "
			     "weight=2", i > 0 ? ", " : "", i >> 14, i >> 7 & 127,
			i & 127);
	fclose(out);
	union setting setting = taken(&option, text);
	assert_int_equal(setting.upstreams.count, COUNT);
	value_clear(&option, &setting);
	last = strrchr(text, ',');
	memcpy(last, ", tcp://10.0.0.0:80", sizeof ", tcp://10.0.0.0:80");
	assert_refused(option, text, "\"tcp://10.0.0.0:80\" stands in the list twice");
	free(text);
}

static void
assert_exchange(const char *text, const char *send, size_t send_length, const char *expect,
		size_t expect_length)
{
	struct option option = row(OPTION_EXCHANGE, OPTION_MAY_NONE, 0, 0);
	union setting setting = taken(&option, text);

	assert_int_equal(setting.exchange.kind, EXCHANGE_BYTES);
	assert_int_equal(setting.exchange.send_length, send_length);
	assert_memory_equal(setting.exchange.send, send, send_length);
	assert_int_equal(setting.exchange.expect_length, expect_length);
	assert_memory_equal(setting.exchange.expect, expect, expect_length);
	value_clear(&option, &setting);
	assert_null(setting.exchange.send);
}

static void
test_exchanges(void **state)
{
	static const char octal[] = ": before a digit, write \\x00";
	struct option option = row(OPTION_EXCHANGE, OPTION_MAY_NONE, 0, 0);
	union setting a = taken(&option, "connect"), b = taken(&option, "\"PING\\n\" \"+\"");
	char text[1200], wanted[200];

	(void)state;
	assert_int_equal(a.exchange.kind, EXCHANGE_CONNECT);
	assert_false(value_equal(&option, &a, &b));
	assert_null(value_set(&option, &a, "\"\\x50ING\\x0a\"\t \"\\x2B\"", NULL));
	assert_true(value_equal(&option, &a, &b));
	assert_null(value_set(&option, &a, "none", NULL));
	assert_int_equal(a.exchange.kind, EXCHANGE_NONE);
	value_clear(&option, &b);
	assert_exchange("\"\\r\\n\\t\\\\\\\"\\0\\xfFa\" \" \"", "\r\n\t\\\"\0\xff"
			"a", 8, " ", 1);
	assert_exchange("\"\" \"SSH-\"", "", 0, "SSH-", 4);
	assert_refused(option, "\"a\" \"\"", "the second text is empty: something must be "
					     "expected");
	assert_refused(option, "\"a\"", "a second text is missing, which says what to expect");
	snprintf(wanted, sizeof wanted, "\"\\07\" is not one of \\r \\n"
					" \\t \\\\ \\\" \\0 \\xNN%s", octal);
	assert_refused(option, "\"\\07\" \"a\"", wanted);
	memset(text, 'x', sizeof text);
	text[0] = '"';
	strcpy(text + 1001, "\" \"y\"");
	union setting longest = taken(&option, text);
	assert_int_equal(longest.exchange.send_length, 1000);
	value_clear(&option, &longest);
	strcpy(text + 1001, "x\" \"y\"");
	assert_refused(option, text, "a text has more than 1000 bytes");
}

static void
test_ip_addresses(void **state)
{
	struct option option = row(OPTION_IP, OPTION_MAY_NONE, 0, 0);
	union setting a = taken(&option, "10.0.0.1"), b = taken(&option, "::ffff:10.0.0.1"),
		      c = taken(&option, "[2001:db8::1]"), d = taken(&option, "2001:DB8:0::1");
	char text[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(a.ip.sa.sa_family, AF_INET);
	assert_int_equal(a.ip.in.sin_addr.s_addr, htonl(0x0a000001));
	assert_int_equal(a.ip.in.sin_port, 0);
	assert_true(value_equal(&option, &a, &b));
	assert_string_equal(inet_ntop(AF_INET6, &c.ip.in6.sin6_addr, text, sizeof text),
			    "2001:db8::1");
	assert_true(value_equal(&option, &c, &d));
	assert_false(value_equal(&option, &a, &c));
	assert_null(value_set(&option, &c, "fe80::1%lo", NULL));
	assert_int_equal(c.ip.in6.sin6_scope_id, 1);
	assert_null(value_set(&option, &c, "none", NULL));
	assert_int_equal(c.ip.sa.sa_family, AF_UNSPEC);
	assert_refused(option, "::ffff:0.0.0.0", "\"::ffff:0.0.0.0\" is no address that can be "
						 "sent from");
}

static void
test_dscps(void **state)
{
	static const struct {
		const char *text;
		int64_t dscp;
	} cases[] = {
		{ "0", 0 },	{ "63", 63 },  { "default", 0 }, { "le", 1 },	 { "ef",
		  46 },	 { "va", 44 },
		{ "cs0", 0 },	{ "cs7", 56 }, { "af11", 10 },	 { "af23", 22 }, { "af43", 38 },
		  { "auto", -1 },
	};
	struct option option = row(OPTION_DSCP, OPTION_MAY_AUTO, 0, 0);
	union setting a = taken(&option, "ef"), b = taken(&option, "46");

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(taken(&option, cases[i].text).number, cases[i].dscp);
	assert_true(value_equal(&option, &a, &b));
	value_clear(&option, &a);
	assert_int_equal(a.number, OPTION_AUTO);
	assert_refused(option, "64", "\"64\" is out of range: 0 to 63, or auto");
	assert_refused(option, "af10", "\"af10\" is not a DSCP such as 46, ef, af41, cs5, or auto");
}

static void
test_protocols(void **state)
{
	struct option option = row(OPTION_PROTOCOL, 0, 0, 0);

	(void)state;
	assert_string_equal(taken(&option, "echo").protocol->name, "echo");
	assert_refused(option, "ehco", "\"ehco\" is not a protocol, did you mean \"echo\"?");
	assert_refused(option, "gopher", "\"gopher\" is not a protocol: twined -l lists them");
}

static void
test_equality_is_of_values(void **state)
{
	struct option duration = row(OPTION_DURATION, 0, 0, INT64_MAX),
		      user = row(OPTION_USER, 0, 0, 0);
	union setting a = taken(&duration, "5m"), b = taken(&duration, "300s");

	(void)state;
	assert_true(value_equal(&duration, &a, &b));
	value_clear(&user, &a);
	assert_int_equal(a.number, OPTION_AUTO);
}

static void
test_quotes_what_can_be_printed(void **state)
{
	char quoted[QUOTED_MAX], text[200];

	(void)state;
	assert_string_equal(text_quote("a\x1b\xff\xc3\xa4\xc2\x9b", quoted),
			    "\"a\\x1b\\xff\xc3\xa4\\xc2\\x9b\"");
	memset(text, 'x', sizeof text);
	text[199] = '\0';
	text_quote(text, quoted);
	assert_int_equal(strlen(quoted), 85);
	assert_string_equal(quoted + 81, "...\"");
	memset(text, 0xff, 199);
	text_quote(text, quoted);
	assert_string_equal(quoted + strlen(quoted) - 8, "\\xff...\"");
}

static void
test_describes(void **state)
{
	static const struct {
		enum option_type type;
		unsigned flags;
		int64_t min, max;
		const char *wanted;
	} cases[] = {
		{ OPTION_NUMBER, OPTION_MAY_AUTO, 1, 256, "number, 1 to 256, or auto" },
		{ OPTION_DURATION, OPTION_MAY_NONE, 1, 86400000, "duration, 1ms to 1d, or none" },
		{ OPTION_DURATION, 0, 0, 90000, "duration, 0 to 90s" },
		{ OPTION_SIZE, 0, 64, 1 << 20, "size, 64 to 1M" },
		{ OPTION_MODE, 0, 0, 0777, "permission bits, 0 to 0777" },
		{ OPTION_CHOICE, 0, 0, 0, "one of wait, reset" },
		{ OPTION_STRING, OPTION_MAY_NONE, 1, 100, "text, 1 to 100 bytes, or none" },
		{ OPTION_BOOL, OPTION_MAY_AUTO, 0, 0, "yes or no, or auto" },
		{ OPTION_RATE, BOTH, 1, 10, "rate such as 100/s or 5/m, 1 to 10, auto or none" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct option option =
			row(cases[i].type, cases[i].flags, cases[i].min, cases[i].max);
		char buffer[200];
		assert_string_equal(value_describe(&option, buffer, sizeof buffer),
				    cases[i].wanted);
	}
}

static void
test_suggests(void **state)
{
	struct suggestion suggestion = suggestion_new("lisen");
	char buffer[80];

	(void)state;
	assert_int_equal(edit_distance("abc", "abc", 9), 0);
	assert_int_equal(edit_distance("abc", "acb", 9), 1);
	assert_int_equal(edit_distance("ABC", "abd", 9), 1);
	assert_int_equal(edit_distance("", "abc", 9), 3);
	assert_int_equal(edit_distance("kitten", "sitting", 9), 3);
	assert_int_equal(edit_distance("kitten", "sitting", 2), 2);
	suggestion_offer(&suggestion, "backlog");
	assert_string_equal(suggestion_format(&suggestion, buffer, sizeof buffer), "");
	suggestion_offer(&suggestion, "linger");
	suggestion_offer(&suggestion, "listen");
	suggestion_offer(&suggestion, "lisp");
	assert_string_equal(suggestion_format(&suggestion, buffer, sizeof buffer),
			    ", did you mean \"listen\"?");
}

static void
assert_expanded(const char *text, const char *wanted)
{
	char *expanded;
	const char *wrong = expand(text, &expanded);

	if (wrong != NULL)
		fail_msg("%s: %s", text, wrong);
	assert_string_equal(expanded, wanted);
	free(expanded);
}

static void
test_expands(void **state)
{
	static const char *const malformed[] = {
		"$",      "a$",      "$A",     "${",    "${}",   "${A",      "${A-b}",
		"${A:b}", "${A:+b}", "${A:-b", "${1A}", "${A }", "${A:-$$}", "${UNSET_FOR_TEST}",
		"$(ls)",
	};

	(void)state;
	setenv("SET_FOR_TEST", "v$$${X}", 1);
	setenv("EMPTY_FOR_TEST", "", 1);
	unsetenv("UNSET_FOR_TEST");
	assert_expanded("", "");
	assert_expanded("plain", "plain");
	assert_expanded("$$", "$");
	assert_expanded("$${A}", "${A}");
	assert_expanded("a${SET_FOR_TEST}b", "av$$${X}b");
	assert_expanded("${EMPTY_FOR_TEST}", "");
	assert_expanded("${EMPTY_FOR_TEST:-d}", "d");
	assert_expanded("${UNSET_FOR_TEST:-}", "");
	assert_expanded("${UNSET_FOR_TEST:-a:-b{}", "a:-b{");
	for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
		char *expanded;
		if (expand(malformed[i], &expanded) == NULL)
			fail_msg("%s was taken", malformed[i]);
		assert_null(expanded);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_number_refusals),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_address_lists),
		cmocka_unit_test(test_prefix_lists),
		cmocka_unit_test(test_upstreams),
		cmocka_unit_test(test_very_many_upstreams),
		cmocka_unit_test(test_exchanges),
		cmocka_unit_test(test_ip_addresses),
		cmocka_unit_test(test_dscps),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_equality_is_of_values),
		cmocka_unit_test(test_quotes_what_can_be_printed),
		cmocka_unit_test(test_describes),
		cmocka_unit_test(test_suggests),
		cmocka_unit_test(test_expands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
