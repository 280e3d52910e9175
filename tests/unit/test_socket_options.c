/* test_socket_options.c - what sockets are told, what accepted ones inherit, what is taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/option.h"
#include "net/socket_options.h"

static const struct socket_options all = {
	.keepalive = 1,
	.keepalive_idle_ms = 99001,
	.keepalive_interval_ms = 7000,
	.keepalive_count = 4,
	.tcp_user_timeout_ms = 12345,
	.notsent_lowat = 65536,
	.dscp = 46,
};

static const struct socket_options none = { .dscp = OPTION_AUTO };

static int
socket_new(int family, int type)
{
	int fd = socket(family, type, 0);

	assert_true(fd >= 0);
	return fd;
}

static int
option(int fd, int level, int id)
{
	int value = -1;
	socklen_t length = sizeof value;

	assert_int_equal(getsockopt(fd, level, id, &value, &length), 0);
	return value;
}

static void
assert_has_all(int fd)
{
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 100);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 4);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 65536);
	assert_int_equal(option(fd, IPPROTO_IP, IP_TOS), 46 << 2);
}

/* Whether all but keep-alive and no delay is as on a socket that nobody has touched. */
static void
assert_has_none(int fd)
{
	static const struct {
		int level, id;
	} options[] = {
		{ IPPROTO_TCP, TCP_KEEPIDLE },	   { IPPROTO_TCP, TCP_KEEPINTVL },
		{ IPPROTO_TCP, TCP_KEEPCNT },	   { IPPROTO_TCP, TCP_USER_TIMEOUT },
		{ IPPROTO_IP, IP_TOS },
	};
	int fresh = socket_new(AF_INET, SOCK_STREAM);

	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
		assert_int_equal(option(fd, options[i].level, options[i].id),
				 option(fresh, options[i].level, options[i].id));
	close(fresh);
}

static struct sockaddr_in
ipv4(const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(80) };

	assert_int_equal(inet_pton(AF_INET, text, &in.sin_addr), 1);
	return in;
}

static void
test_a_dialled_socket_has_what_the_keys_say(void **state)
{
	struct sockaddr_in peer = ipv4("192.0.2.1");
	int fd = socket_new(AF_INET, SOCK_STREAM);

	(void)state;
	assert_null(socket_options_set(fd, &all, (struct sockaddr *)&peer));
	assert_has_all(fd);
	close(fd);
	fd = socket_new(AF_INET, SOCK_STREAM);
	assert_null(socket_options_set(fd, &none, (struct sockaddr *)&peer));
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_has_none(fd);
	close(fd);
}

static void
test_without_keepalive_its_numbers_are_not_set(void **state)
{
	struct sockaddr_in peer = ipv4("192.0.2.1");
	struct socket_options options = { .keepalive_idle_ms = 5000, .dscp = OPTION_AUTO };
	int fd = socket_new(AF_INET, SOCK_STREAM);

	(void)state;
	assert_null(socket_options_set(fd, &options, (struct sockaddr *)&peer));
	assert_has_none(fd);
	close(fd);
}

static void
test_a_peer_on_loopback_is_sent_no_keepalive(void **state)
{
	struct sockaddr_in peer = ipv4("127.0.0.1");
	int fd = socket_new(AF_INET, SOCK_STREAM);

	(void)state;
	assert_null(socket_options_set(fd, &all, (struct sockaddr *)&peer));
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 65536);
	assert_int_equal(option(fd, IPPROTO_IP, IP_TOS), 46 << 2);
	close(fd);
}

static void
test_an_ipv6_socket_has_its_own_dscp_and_that_of_ipv4(void **state)
{
	struct sockaddr_in6 peer = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
	int fd = socket_new(AF_INET6, SOCK_STREAM), udp = socket_new(AF_INET6, SOCK_DGRAM);

	(void)state;
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &peer.sin6_addr), 1);
	assert_null(socket_options_set(fd, &all, (struct sockaddr *)&peer));
	assert_has_all(fd);
	assert_int_equal(option(fd, IPPROTO_IPV6, IPV6_TCLASS), 46 << 2);
	assert_null(socket_options_set_udp(udp, &all, AF_INET6));
	assert_int_equal(option(udp, IPPROTO_IPV6, IPV6_TCLASS), 46 << 2);
	assert_int_equal(option(udp, IPPROTO_IP, IP_TOS), 46 << 2);
	close(fd);
	close(udp);
}

static void
test_a_udp_socket_has_the_dscp_only(void **state)
{
	int fd = socket_new(AF_INET, SOCK_DGRAM);

	(void)state;
	assert_null(socket_options_set_udp(fd, &all, AF_INET));
	assert_int_equal(option(fd, IPPROTO_IP, IP_TOS), 46 << 2);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	close(fd);
}

static void
test_a_unix_socket_has_nothing(void **state)
{
	struct socket_history history = { 0 };
	int fd = socket_new(AF_UNIX, SOCK_STREAM);

	(void)state;
	assert_null(socket_options_apply(fd, ADDRESS_UNIX, AF_UNIX, &all, &history));
	assert_null(socket_options_set_udp(fd, &all, AF_UNIX));
	assert_int_equal(history.told, 0);
	close(fd);
}

/* A listening socket on loopback, and a connection to it. */
static int
accepted_from(int listening)
{
	struct sockaddr_in address;
	socklen_t length = sizeof address;
	int client = socket_new(AF_INET, SOCK_STREAM), fd;

	assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, length), 0);
	fd = accept(listening, NULL, NULL);
	assert_true(fd >= 0);
	close(client);
	return fd;
}

static int
listening_new(void)
{
	struct sockaddr_in address = ipv4("127.0.0.1");
	int fd = socket_new(AF_INET, SOCK_STREAM);

	address.sin_port = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
test_accepted_sockets_inherit_it_and_what_is_taken_back(void **state)
{
	struct socket_history history = { 0 };
	struct socket_options kept = { .keepalive = 1, .dscp = 0 };
	int listening = listening_new(), fd;

	(void)state;
	assert_null(socket_options_apply(listening, ADDRESS_TCP, AF_INET, &all, &history));
	fd = accepted_from(listening);
	assert_has_all(fd);
	close(fd);
	assert_null(socket_options_apply(listening, ADDRESS_TCP, AF_INET, &kept, &history));
	fd = accepted_from(listening);
	assert_has_none(fd);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	close(fd);
	assert_null(socket_options_apply(listening, ADDRESS_TCP, AF_INET, &none, &history));
	fd = accepted_from(listening);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	close(fd);
	assert_null(socket_options_apply(listening, ADDRESS_TCP, AF_INET, &all, &history));
	fd = accepted_from(listening);
	assert_has_all(fd);
	close(fd);
	close(listening);
}

/* A passed socket has what the unit of the socket says. */
static void
test_what_was_never_told_stays_and_what_was_before_comes_back(void **state)
{
	struct socket_history history = { 0 };
	int fd = listening_new(), idle = 333, tos = 32;

	(void)state;
	assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos), 0);
	assert_null(socket_options_apply(fd, ADDRESS_TCP, AF_INET, &none, &history));
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 333);
	assert_int_equal(option(fd, IPPROTO_IP, IP_TOS), 32);
	assert_null(socket_options_apply(fd, ADDRESS_TCP, AF_INET, &all, &history));
	assert_null(socket_options_apply(fd, ADDRESS_TCP, AF_INET, &all, &history));
	assert_has_all(fd);
	assert_null(socket_options_apply(fd, ADDRESS_TCP, AF_INET, &none, &history));
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 333);
	assert_int_equal(option(fd, IPPROTO_IP, IP_TOS), 32);
	close(fd);
}

static void
test_a_failure_names_the_key_and_holds_up_nothing_else(void **state)
{
	struct sockaddr_in peer = ipv4("192.0.2.1");
	struct socket_options options = all;
	int fd = socket_new(AF_INET, SOCK_STREAM);

	(void)state;
	options.keepalive_count = 128;
	assert_string_equal(socket_options_set(fd, &options, (struct sockaddr *)&peer),
			    "keepalive_count: Invalid argument");
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
	assert_int_equal(option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 65536);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_dialled_socket_has_what_the_keys_say),
		cmocka_unit_test(test_without_keepalive_its_numbers_are_not_set),
		cmocka_unit_test(test_a_peer_on_loopback_is_sent_no_keepalive),
		cmocka_unit_test(test_an_ipv6_socket_has_its_own_dscp_and_that_of_ipv4),
		cmocka_unit_test(test_a_udp_socket_has_the_dscp_only),
		cmocka_unit_test(test_a_unix_socket_has_nothing),
		cmocka_unit_test(test_accepted_sockets_inherit_it_and_what_is_taken_back),
		cmocka_unit_test(test_what_was_never_told_stays_and_what_was_before_comes_back),
		cmocka_unit_test(test_a_failure_names_the_key_and_holds_up_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
