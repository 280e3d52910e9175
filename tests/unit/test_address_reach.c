/* test_address_reach.c - which dialled addresses lead to which that are listened on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <ifaddrs.h>

#include <cmocka.h>

#include "config/address_reach.h"

static bool
reaches_on(const char *dialled, const char *bound, const char *interface)
{
	char dialled_key[ADDRESS_IDENTITY_MAX], bound_key[ADDRESS_IDENTITY_MAX];
	struct address a, b;

	if (address_parse(dialled, &a) != NULL || address_parse(bound, &b) != NULL)
		fail_msg("%s, %s", dialled, bound);
	bool reaches = address_reach_key(&a, dialled_key) && address_reach_key(&b, bound_key)
		       && strcmp(dialled_key, bound_key) == 0 && address_reaches(&a, &b, interface);
	address_clear(&a);
	address_clear(&b);
	return reaches;
}

struct pair {
	const char *dialled, *bound;
};

static const struct pair reaching[] = {
	{ "tcp://127.0.0.1:80", "tcp://127.0.0.1:80" },
	{ "tcp://127.0.0.1:http", "tcp://127.0.0.1:080" },
	{ "udp://127.0.0.1:53", "udp://*:53" },
	{ "tcp://127.9.9.9:80", "tcp://0.0.0.0:80" },
	{ "tcp://127.9.9.9:80", "tcp://*:80" },
	{ "tcp://[::1]:80", "tcp://*:80" },
	{ "tcp://[::1]:80", "tcp://[::]:80" },
	{ "tcp://[::ffff:127.0.0.1]:80", "tcp://127.0.0.1:80" },
	{ "tcp://[::ffff:127.0.0.1]:80", "tcp://*:80" },
	{ "tcp://0.0.0.0:80", "tcp://127.0.0.1:80" },
	{ "tcp://0.0.0.0:80", "tcp://0.0.0.0:80" },
	{ "tcp://[::]:80", "tcp://[::1]:80" },
	{ "tcp://localhost:80", "tcp://127.0.0.1:80" },
	{ "tcp://LocalHost.:80", "tcp://[::1]:80" },
	{ "tcp://a.localhost:80", "tcp://*:80" },
	{ "tcp://127.0.0.1:80", "tcp://localhost:80" },
	{ "tcp://web.example.org:80", "tcp://WEB.example.org:80" },
	{ "tcp://192.0.2.77:80", "tcp://192.0.2.77:80" },
	{ "tcp://[fe80::1%lo]:80", "tcp://[fe80::1%lo]:80" },
	{ "unix:///run/x", "unix:///run//./x" },
	{ "unix://@x", "unix://@x" },
	{ "unixgram:///run/x", "unixgram:///run/x" },
};

static const struct pair apart[] = {
	{ "tcp://127.0.0.1:80", "tcp://127.0.0.1:81" },
	{ "tcp://127.0.0.1:80", "udp://127.0.0.1:80" },
	{ "tcp://127.0.0.1:80", "tcp://127.0.0.2:80" },
	{ "tcp://127.0.0.1:80", "tcp://[::]:80" },
	{ "tcp://[::1]:80", "tcp://0.0.0.0:80" },
	{ "tcp://0.0.0.0:80", "tcp://127.0.0.2:80" },
	{ "tcp://0.0.0.0:80", "tcp://[::1]:80" },
	{ "tcp://localhost:80", "tcp://127.0.0.2:80" },
	{ "tcp://notlocalhost:80", "tcp://127.0.0.1:80" },
	{ "tcp://127.0.0.2:80", "tcp://localhost:80" },
	{ "tcp://web.example.org:80", "tcp://*:80" },
	{ "tcp://192.0.2.77:80", "tcp://web.example.org:80" },
	{ "tcp://198.51.100.77:80", "tcp://*:80" },
	{ "tcp://[2001:db8::77]:80", "tcp://*:80" },
	{ "tcp://127.0.0.1:80", "tcp://127.0.0.1:0" },
	{ "tcp://127.0.0.1:80", "systemd:web" },
	{ "unix:///run/x", "unixgram:///run/x" },
	{ "unix:///run/x", "unix://@/run/x" },
	{ "unix://@a//b", "unix://@a/b" },
	{ "unix:///run/../x", "unix:///x" },
};

static void
test_what_leads_where(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof reaching / sizeof reaching[0]; i++)
		if (!reaches_on(reaching[i].dialled, reaching[i].bound, NULL))
			fail_msg("%s does not reach %s", reaching[i].dialled, reaching[i].bound);
	for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++)
		if (reaches_on(apart[i].dialled, apart[i].bound, NULL))
			fail_msg("%s reaches %s", apart[i].dialled, apart[i].bound);
}

static void
test_what_is_bound_to_an_interface_is_not_reached_through_loopback(void **state)
{
	(void)state;
	assert_false(reaches_on("tcp://127.0.0.1:80", "tcp://*:80", "eth0"));
	assert_false(reaches_on("tcp://localhost:80", "tcp://*:80", "eth0"));
	assert_true(reaches_on("tcp://localhost:80", "tcp://*:80", "lo"));
	assert_true(reaches_on("tcp://192.0.2.77:80", "tcp://192.0.2.77:80", "eth0"));
}

static void
test_every_address_of_this_machine_leads_to_a_listener_on_all(void **state)
{
	struct ifaddrs *all;

	(void)state;
	assert_int_equal(getifaddrs(&all), 0);
	for (const struct ifaddrs *one = all; one != NULL; one = one->ifa_next) {
		char host[INET6_ADDRSTRLEN], text[80];
		int family = one->ifa_addr != NULL ? one->ifa_addr->sa_family : AF_UNSPEC;

		if (family == AF_INET) {
			const struct sockaddr_in *in = (const void *)one->ifa_addr;
			snprintf(text, sizeof text, "tcp://%s:80",
				 inet_ntop(AF_INET, &in->sin_addr, host, sizeof host));
		} else if (family == AF_INET6) {
			const struct sockaddr_in6 *in6 = (const void *)one->ifa_addr;
			/* Those take an interface, and one that is not ready yet is nobody's. */
			if (!IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr))
				continue;
			snprintf(text, sizeof text, "tcp://[%s]:80",
				 inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host));
		} else {
			continue;
		}
		if (!reaches_on(text, "tcp://*:80", NULL))
			fail_msg("%s is not known to be this machine's", text);
	}
	freeifaddrs(all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_leads_where),
		cmocka_unit_test(
			test_what_is_bound_to_an_interface_is_not_reached_through_loopback),
		cmocka_unit_test(test_every_address_of_this_machine_leads_to_a_listener_on_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
