/* test_datagram_dial.c - a datagram is sent, and its answers or the refusal come back, over real
 * sockets. */
#include "net/datagram_dial.h"

#include <errno.h>
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

#include "net/reactor.h"

static struct reactor *reactor;
static struct datagram_dial *dial;
static char got[64];
static int error;

/* A server's socket; *address is where to find it. */
static int
server_new(int family, struct sockaddr_any *address)
{
	int server = socket(family, SOCK_DGRAM, 0);

	*address = (struct sockaddr_any){ .length = sizeof address->u };
	address->u.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		address->u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(
		bind(server, &address->u.sa,
		     family == AF_INET ? sizeof address->u.in : sizeof address->u.sa.sa_family),
		0);
	assert_int_equal(getsockname(server, &address->u.sa, &address->length), 0);
	return server;
}

static void
received(void *arg, const uint8_t *bytes, size_t length)
{
	snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s|", (int)length,
		 (const char *)bytes);
	/* The last word: whoever is told may end it. */
	if (length == 3 && memcmp(bytes, "end", 3) == 0) {
		datagram_dial_free(dial);
		reactor_stop(arg);
	}
}

static void
failed(void *arg, int failure)
{
	error = failure;
	datagram_dial_free(dial);
	reactor_stop(arg);
}

static const struct datagram_dial_calls calls = { .received = received, .failed = failed };

static void
ask(const struct sockaddr_any *to, const union peer_address *source)
{
	dial = datagram_dial_new(reactor, to, source, "hello", 5, &calls, reactor);
}

static int
begin(void **state)
{
	(void)state;
	reactor = reactor_new(0, REACTOR_AUTO);
	got[0] = '\0';
	error = 0;
	return reactor == NULL;
}

static int
end(void **state)
{
	(void)state;
	reactor_free(reactor);
	return 0;
}

static void
answers_come_back(void **state)
{
	static const int families[] = { AF_INET, AF_UNIX };

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct sockaddr_any address, client = { .length = sizeof client.u };
		int server = server_new(families[i], &address);
		char bytes[16];

		got[0] = '\0';
		ask(&address, NULL);
		assert_non_null(dial);
		assert_int_equal(
			recvfrom(server, bytes, sizeof bytes, 0, &client.u.sa, &client.length), 5);
		assert_memory_equal(bytes, "hello", 5);
		for (int j = 0; j < 3; j++)
			assert_true(sendto(server,
					   j == 0   ? "one"
					   : j == 1 ? ""
						    : "end",
					   j == 1 ? 0 : 3, 0, &client.u.sa, client.length)
				    >= 0);
		reactor_run(reactor);
		assert_string_equal(got, "one||end|");
		close(server);
	}
}

static void
only_the_server_is_heard(void **state)
{
	struct sockaddr_any address, other_address, client = { .length = sizeof client.u };
	int server = server_new(AF_INET, &address), other = server_new(AF_INET, &other_address);
	char bytes[16];

	(void)state;
	ask(&address, NULL);
	recvfrom(server, bytes, sizeof bytes, 0, &client.u.sa, &client.length);
	sendto(other, "bad", 3, 0, &client.u.sa, client.length);
	sendto(server, "end", 3, 0, &client.u.sa, client.length);
	reactor_run(reactor);
	assert_string_equal(got, "end|");
	close(server);
	close(other);
}

static void
a_source_is_bound(void **state)
{
	union peer_address source = { .in.sin_family = AF_INET };
	struct sockaddr_any address, client = { .length = sizeof client.u };
	int server = server_new(AF_INET, &address);
	char bytes[16];

	(void)state;
	source.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 41);
	ask(&address, &source);
	recvfrom(server, bytes, sizeof bytes, 0, &client.u.sa, &client.length);
	assert_int_equal(client.u.in.sin_addr.s_addr, source.in.sin_addr.s_addr);
	datagram_dial_free(dial);
	close(server);
	/* One that is not ours. */
	source.in.sin_addr.s_addr = htonl(0xc0000201);
	ask(&address, &source);
	assert_null(dial);
	assert_int_equal(errno, EADDRNOTAVAIL);
}

static void
a_refusal_is_told(void **state)
{
	struct sockaddr_any address;

	(void)state;
	close(server_new(AF_INET, &address));
	ask(&address, NULL);
	if (dial != NULL)
		reactor_run(reactor);
	else
		error = errno;
	assert_int_equal(error, ECONNREFUSED);
	close(server_new(AF_UNIX, &address));
	ask(&address, NULL);
	assert_null(dial);
	assert_int_equal(errno, ECONNREFUSED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_come_back, begin, end),
		cmocka_unit_test_setup_teardown(only_the_server_is_heard, begin, end),
		cmocka_unit_test_setup_teardown(a_source_is_bound, begin, end),
		cmocka_unit_test_setup_teardown(a_refusal_is_told, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
