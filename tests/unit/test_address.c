/* test_address.c - addresses and prefixes: parsed, looked up, printed, compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "config/address_identity.h"
#include "net/address.h"

static void
assert_parsed(const char *text, enum address_kind kind, const char *host, const char *service)
{
	struct address address;
	const char *wrong = address_parse(text, &address);

	if (wrong != NULL)
		fail_msg("%s %s", text, wrong);
	assert_int_equal(address.kind, kind);
	assert_string_equal(address.text, text);
	assert_string_equal(address.host, host);
	if (service == NULL)
		assert_null(address.service);
	else
		assert_string_equal(address.service, service);
	address_clear(&address);
	assert_null(address.text);
}

static void
test_parses(void **state)
{
	(void)state;
	assert_parsed("tcp://127.0.0.1:80", ADDRESS_TCP, "127.0.0.1", "80");
	assert_parsed("udp://[::1]:0", ADDRESS_UDP, "::1", "0");
	assert_parsed("tcp://[fe80::1%lo]:65535", ADDRESS_TCP, "fe80::1%lo", "65535");
	assert_parsed("tcp://*:7", ADDRESS_TCP, "*", "7");
	assert_parsed("tcp://a-b.example_1.org.:80", ADDRESS_TCP, "a-b.example_1.org.", "80");
	assert_parsed("tcp://1a.2b:80", ADDRESS_TCP, "1a.2b", "80");
	assert_parsed("unix:///run/x", ADDRESS_UNIX, "/run/x", NULL);
	assert_parsed("unix://@x/y:z", ADDRESS_UNIX, "@x/y:z", NULL);
	assert_parsed("unixgram:///run/x", ADDRESS_UNIXGRAM, "/run/x", NULL);
	assert_parsed("systemd:web", ADDRESS_SYSTEMD, "web", NULL);
}

static void
test_refuses(void **state)
{
	static const char *const texts[] = {
		"",
		"tcp",
		"tcp:",
		"tcp://",
		"tcp://a",
		"tcp://:1",
		"tcp://a:",
		"tcp://a:65536",
		"tcp://a:-1",
		"tcp://a: 1",
		"tcp://a:+1",
		"tcp://a:nosuchservice",
		"tcp://::1:1",
		"tcp://[::1]",
		"tcp://[::1:1",
		"tcp://[]:1",
		"tcp://[::1]1",
		"tcp://[1.2.3.4]:1",
		"tcp://[::1%]:1",
		"tcp://[fe80::1%]:1",
		"tcp://[fe80::1%0123456789abcdef]:1",
		"tcp://1.2.3:1",
		"tcp://1.2.3.256:1",
		"tcp://1.2.3.4.5:1",
		"tcp://0x7f.0.0.1:1",
		"tcp://0x7f:1",
		"tcp://a..b:1",
		"tcp://.a:1",
		"tcp://-a:1",
		"tcp://a-:1",
		"tcp://a/b:1",
		"tcp://\xc3\xa4:1",
		"tcp://a b:1",
		"tcp://*a:1",
		"TCP://a:1",
		"unix://",
		"unix://x",
		"unix:///",
		"unix:///x/",
		"unix:/x",
		"unix://@",
		"systemd:",
		"systemd:a:b",
		"systemd:/a",
		"sctp://a:1",
		"tcp://a:1\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct address address;
		if (address_parse(texts[i], &address) == NULL)
			fail_msg("%s was taken", texts[i]);
		assert_null(address.text);
		assert_null(address.host);
	}
}

static void
test_bounds_names(void **state)
{
	char text[512] = "unix:///";
	struct address address;

	(void)state;
	memset(text + 8, 'x', 106);
	text[8 + 106] = '\0';
	assert_null(address_parse(text, &address));
	address_clear(&address);
	strcat(text, "x");
	assert_non_null(address_parse(text, &address));
	text[7] = '@';
	assert_null(address_parse(text, &address));
	address_clear(&address);
	strcat(text, "x");
	assert_non_null(address_parse(text, &address));
	strcpy(text, "tcp://");
	for (int i = 0; i < 63; i++)
		strcat(text, "a.aa");
	strcat(text, ":1");
	assert_null(address_parse(text, &address));
	address_clear(&address);
	strcpy(text + strlen(text) - 2, "aa:1");
	assert_non_null(address_parse(text, &address));
}

/* The text of everything an address stands for. */
static void
assert_resolved(const char *text, const char *wanted)
{
	struct address address;
	struct sockaddr_any *found;
	size_t count;
	char printed[ADDRESS_TEXT_MAX];

	assert_null(address_parse(text, &address));
	assert_null(address_resolve(&address, &found, &count));
	assert_int_equal(count, 1);
	assert_string_equal(address_format(address.kind, &found->u.sa, found->length, printed),
			    wanted);
	free(found);
	address_clear(&address);
}

static void
test_resolves_and_formats(void **state)
{
	(void)state;
	assert_resolved("tcp://127.0.0.1:80", "tcp://127.0.0.1:80");
	assert_resolved("udp://[0:0::1]:0", "udp://[::1]:0");
	assert_resolved("tcp://*:7", "tcp://[::]:7");
	assert_resolved("tcp://[fe80::1%lo]:7", "tcp://[fe80::1%lo]:7");
	assert_resolved("unix:///run/x", "unix:///run/x");
	assert_resolved("unixgram://@x", "unixgram://@x");
}

static void
test_resolves_the_longest_names(void **state)
{
	char text[200] = "unix:///";

	(void)state;
	memset(text + 8, 'x', 106);
	assert_resolved(text, text);
	text[7] = '@';
	text[8 + 106] = 'x';
	assert_resolved(text, text);
}

static void
test_does_not_look_up_what_has_no_address(void **state)
{
	struct address address;
	struct sockaddr_any *found;
	size_t count;

	(void)state;
	assert_null(address_parse("systemd:x", &address));
	assert_non_null(address_resolve(&address, &found, &count));
	assert_null(found);
	address_clear(&address);
}

static void
test_formats_odd_unix_addresses(void **state)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char printed[ADDRESS_TEXT_MAX];

	(void)state;
	assert_string_equal(
		address_format(ADDRESS_UNIX, (void *)&un, sizeof un.sun_family, printed),
		"unix://");
	memset(un.sun_path, 0xff, sizeof un.sun_path);
	address_format(ADDRESS_UNIXGRAM, (void *)&un, sizeof un, printed);
	assert_int_equal(strlen(printed), strlen("unixgram://") + 4 * sizeof un.sun_path);
	un.sun_path[0] = '\0';
	un.sun_path[1] = '\0';
	address_format(ADDRESS_UNIX, (void *)&un, offsetof(struct sockaddr_un, sun_path) + 3,
		       printed);
	assert_string_equal(printed, "unix://@\\x00\\xff");
}

static union peer_address
peer_of(const char *text)
{
	union peer_address peer = { .sa.sa_family = AF_UNSPEC };

	if (strchr(text, ':') != NULL) {
		peer.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = 7 };
		assert_int_equal(inet_pton(AF_INET6, text, &peer.in6.sin6_addr), 1);
	} else if (strcmp(text, "unix") != 0) {
		peer.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = 7 };
		assert_int_equal(inet_pton(AF_INET, text, &peer.in.sin_addr), 1);
	}
	return peer;
}

static bool
prefix_holds(const char *prefix_text, const char *peer_text)
{
	struct prefix prefix;
	struct prefix_list list = { .items = &prefix, .count = 1 };
	union peer_address peer = peer_of(peer_text);

	assert_null(prefix_parse(prefix_text, &prefix));
	return prefix_list_has(&list, &peer);
}

static void
test_prefixes(void **state)
{
	(void)state;
	assert_true(prefix_holds("10.0.0.0/8", "10.255.1.2"));
	assert_false(prefix_holds("10.0.0.0/8", "11.0.0.0"));
	assert_true(prefix_holds("10.0.0.0/7", "11.0.0.0"));
	assert_true(prefix_holds("0.0.0.0/0", "255.1.2.3"));
	assert_false(prefix_holds("0.0.0.0/0", "::1"));
	assert_false(prefix_holds("0.0.0.0/0", "unix"));
	assert_true(prefix_holds("10.0.0.1", "10.0.0.1"));
	assert_false(prefix_holds("10.0.0.1", "10.0.0.0"));
	assert_true(prefix_holds("fe80::/10", "febf::1"));
	assert_false(prefix_holds("fe80::/10", "fec0::1"));
	assert_true(prefix_holds("::1", "::1"));
	assert_true(prefix_holds("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(prefix_holds("2001:db8::/33", "2001:db8:8000::1"));
	assert_true(prefix_holds("unix", "unix"));
	assert_false(prefix_holds("unix", "127.0.0.1"));
	assert_false(prefix_holds("::/0", "unix"));
}

static void
test_refuses_prefixes(void **state)
{
	static const char *const texts[] = {
		"",
		"/",
		"/8",
		"10/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/08",
		"10.0.0.0/-1",
		"10.0.0.0/8/8",
		"10.0.0.1/8",
		"::1/127",
		"::/129",
		"::1%lo",
		"Unix",
		"localhost",
		"10.0.0.0 /8",
		"::ffff:1.2.3.4",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	};

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct prefix prefix;
		if (prefix_parse(texts[i], &prefix) == NULL)
			fail_msg("%s was taken", texts[i]);
	}
}

static void
test_unmaps_and_knows_loopback(void **state)
{
	union peer_address peer = peer_of("::ffff:127.1.2.3"), other = peer_of("2001:db8::1");
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)state;
	assert_true(address_is_loopback(&peer.sa));
	address_unmap(&peer);
	assert_int_equal(peer.sa.sa_family, AF_INET);
	assert_int_equal(peer.in.sin_port, 7);
	assert_true(address_is_loopback(&peer.sa));
	address_unmap(&other);
	assert_int_equal(other.sa.sa_family, AF_INET6);
	assert_false(address_is_loopback(&other.sa));
	peer = peer_of("::1");
	assert_true(address_is_loopback(&peer.sa));
	peer = peer_of("128.0.0.1");
	assert_false(address_is_loopback(&peer.sa));
	assert_true(address_is_loopback((void *)&un));
}

static bool
same_identity(const char *a, const char *b)
{
	char a_text[ADDRESS_IDENTITY_MAX], b_text[ADDRESS_IDENTITY_MAX];
	struct address x, y;

	assert_null(address_parse(a, &x));
	assert_null(address_parse(b, &y));
	const char *a_identity = address_identity(&x, a_text),
		   *b_identity = address_identity(&y, b_text);
	bool same = a_identity != NULL && b_identity != NULL && strcmp(a_identity, b_identity) == 0;
	address_clear(&x);
	address_clear(&y);
	return same;
}

static void
test_identities(void **state)
{
	(void)state;
	assert_true(same_identity("tcp://127.0.0.1:80", "tcp://127.0.0.1:080"));
	assert_true(same_identity("tcp://[::1]:80", "tcp://[0::0:1]:80"));
	assert_true(same_identity("tcp://A.b:80", "tcp://a.B:80"));
	assert_true(same_identity("unix:///x", "unixgram:///x"));
	assert_false(same_identity("unix://@x", "unixgram://@x"));
	assert_false(same_identity("tcp://127.0.0.1:80", "udp://127.0.0.1:80"));
	assert_false(same_identity("tcp://127.0.0.1:0", "tcp://127.0.0.1:0"));
	assert_false(same_identity("unix:///x", "unix:///X"));
	assert_true(same_identity("systemd:x", "systemd:x"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parses),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_bounds_names),
		cmocka_unit_test(test_resolves_and_formats),
		cmocka_unit_test(test_resolves_the_longest_names),
		cmocka_unit_test(test_does_not_look_up_what_has_no_address),
		cmocka_unit_test(test_formats_odd_unix_addresses),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_refuses_prefixes),
		cmocka_unit_test(test_unmaps_and_knows_loopback),
		cmocka_unit_test(test_identities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
