/* test_dialling.c - the race for an address that answers, over real sockets on loopback. */
#include "net/dialling.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/option.h"
#include "net/endpoint.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/socket_options.h"
#include "net/tally.h"
#include "net/transport.h"
#include "turns.h"

enum { PLACES_MAX = 16, FILLERS_MAX = 4, SLACK_MS = 5000 };

/* Where to dial: what a test has set up there, in the order of the dial. */
static struct place {
	struct sockaddr_any address;
	int listening;			/* -1: nobody listens */
	int fillers[FILLERS_MAX];	/* what fills the backlog of a black hole */
	size_t filler_count;
} places[PLACES_MAX];
static struct sockaddr_any addresses[PLACES_MAX];
static size_t place_count;

/* The addresses that were dialled, by their place, in their order; the second call counts not. */
static size_t dialled[PLACES_MAX];
static size_t dialled_count;
static unsigned bind_count;		/* sockets that were bound, those of the places included */

static struct {
	unsigned connected, failed;
	struct transport *transport;
	size_t index;
	int error;
	uint64_t at_ms;
} told;

static struct counters counters;
static struct endpoint endpoint;
static struct dialling *dialling;
static uint64_t began_ms;
static size_t descriptors_before;
static struct rlimit limit;

/* Notes what is dialled, and does it. */
int
connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t length)
{
	const struct sockaddr *address = to.__sockaddr__;

	for (size_t i = 0; i < place_count; i++)
		if (addresses[i].length == length && memcmp(&addresses[i].u, address, length) == 0
		    && (dialled_count == 0 || dialled[dialled_count - 1] != i))
			dialled[dialled_count++] = i;
	return (int)syscall(SYS_connect, fd, address, length);
}

/* Counts, and does it. */
int
bind(int fd, __CONST_SOCKADDR_ARG to, socklen_t length)
{
	bind_count++;
	return (int)syscall(SYS_bind, fd, to.__sockaddr__, length);
}

static struct sockaddr_any
ip(const char *host, in_port_t port)
{
	struct sockaddr_any address = { .length = sizeof address.u.in };

	if (inet_pton(AF_INET, host, &address.u.in.sin_addr) == 1) {
		address.u.in.sin_family = AF_INET;
	} else {
		address.length = sizeof address.u.in6;
		address.u.in6.sin6_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, host, &address.u.in6.sin6_addr), 1);
	}
	address.u.in.sin_port = htons(port);
	return address;
}

/* A socket bound to a port that nobody is given meanwhile. */
static int
bound(struct sockaddr_any *address)
{
	int fd = socket(address->u.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &address->u.sa, address->length), 0);
	assert_int_equal(getsockname(fd, &address->u.sa, &address->length), 0);
	return fd;
}

static struct place *
place_add(const struct sockaddr_any *address, int listening)
{
	struct place *place = &places[place_count];

	*place = (struct place){ .address = *address, .listening = listening };
	addresses[place_count++] = *address;
	return place;
}

/* Somebody who listens. */
static struct place *
server(const char *host)
{
	struct sockaddr_any address = ip(host, 0);
	int fd = bound(&address);

	assert_int_equal(listen(fd, 16), 0);
	return place_add(&address, fd);
}

/* Nobody who listens: the port is bound, so that nobody else gets it. */
static void
refusal(const char *host)
{
	struct sockaddr_any address = ip(host, 0);

	place_add(&address, bound(&address));
	addresses[place_count - 1] = address;
}

/* Fills the backlog of a place, so that who comes then waits. */
static void
fill(struct place *place)
{
	for (;;) {
		struct sockaddr_any peer = { .length = sizeof peer.u };
		int fd = socket(place->address.u.sa.sa_family,
				SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		assert_true(fd >= 0 && place->filler_count < FILLERS_MAX);
		place->fillers[place->filler_count++] = fd;
		/* Past our connect(): this is no dial. */
		if (syscall(SYS_connect, fd, &place->address.u, place->address.length) == 0)
			continue;
		if (errno == EAGAIN)
			return;
		assert_int_equal(errno, EINPROGRESS);
		if (getpeername(fd, &peer.u.sa, &peer.length) != 0)
			return;
	}
}

static struct place *
black_hole(const char *host)
{
	struct sockaddr_any address = ip(host, 0);
	struct place *place = place_add(&address, bound(&address));

	place->address = address;
	addresses[place_count - 1] = address;
	assert_int_equal(listen(place->listening, 0), 0);
	fill(place);
	return place;
}

static struct place *
unix_place(const char *name)
{
	struct sockaddr_any address = { .u.un = { .sun_family = AF_UNIX } };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.u.un.sun_path + 1, sizeof address.u.un.sun_path - 1, "twined-%ld-%s",
		 (long)getpid(), name);
	address.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1
				     + strlen(address.u.un.sun_path + 1));
	assert_int_equal(bind(fd, &address.u.sa, address.length), 0);
	return place_add(&address, fd);
}

static void
place_clear(struct place *place)
{
	for (size_t i = 0; i < place->filler_count; i++)
		close(place->fillers[i]);
	place->filler_count = 0;
	if (place->listening >= 0)
		close(place->listening);
	place->listening = -1;
}

static void
note_connected(void *arg, struct transport *transport, size_t index)
{
	assert_ptr_equal(arg, &told);
	assert_non_null(transport);
	told.connected++;
	told.transport = transport;
	told.index = index;
	told.at_ms = reactor_now_ms();
	dialling = NULL;
}

static void
note_failed(void *arg, int error)
{
	assert_ptr_equal(arg, &told);
	told.failed++;
	told.error = error;
	told.at_ms = reactor_now_ms();
	dialling = NULL;
}

static const struct protocol quiet = { .name = "quiet" };

static void
dial_from(size_t first, int64_t timeout_ms, const union peer_address *source)
{
	struct dial dial = {
		.addresses = addresses,
		.count = place_count,
		.first = first,
		.timeout_ms = timeout_ms,
		.source = source,
		.connected = note_connected,
		.failed = note_failed,
		.arg = &told,
	};
	struct dialling *made;

	descriptors_before = descriptor_count();
	began_ms = reactor_now_ms();
	made = dialling_begin(&endpoint, &quiet, &dial);
	if (told.connected + told.failed > 0)
		assert_null(made);
	else
		assert_non_null(made);
	dialling = made;
}

static void
dial(int64_t timeout_ms)
{
	dial_from(0, timeout_ms, NULL);
}

static void
assert_dialled(size_t count, ...)
{
	va_list list;

	assert_int_equal(dialled_count, count);
	va_start(list, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(dialled[i], va_arg(list, int));
	va_end(list);
}

/* The race is over, and nothing is left of the others. */
static void
assert_connected(size_t index)
{
	assert_int_equal(told.connected, 1);
	assert_int_equal(told.failed, 0);
	assert_int_equal(told.index, index);
	assert_int_equal(descriptor_count(), descriptors_before + 1);
}

static void
assert_failed(int error)
{
	assert_int_equal(told.failed, 1);
	assert_int_equal(told.connected, 0);
	assert_int_equal(told.error, error);
	assert_int_equal(descriptor_count(), descriptors_before);
}

static void
assert_took(uint64_t ms)
{
	/* The clock is coarse, and a deadline comes up to a tick and a turn late. */
	assert_in_range(told.at_ms - began_ms, ms > 10 ? ms - 10 : 0, ms + SLACK_MS);
}

static int
setup(void **state)
{
	(void)state;
	memset(&told, 0, sizeof told);
	memset(&counters, 0, sizeof counters);
	place_count = dialled_count = 0;
	dialling = NULL;
	reactor = reactor_new(0, REACTOR_AUTO);
	endpoint = (struct endpoint){ .reactor = reactor, .name = "test", .counters = &counters };
	if (reactor == NULL || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	endpoint_enter(&endpoint);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	setrlimit(RLIMIT_NOFILE, &limit);
	dialling_cancel(dialling);
	if (endpoint.transports != NULL)
		transport_abort(endpoint.transports, REASON_DONE);
	turn();
	turn();
	for (size_t i = 0; i < place_count; i++)
		place_clear(&places[i]);
	endpoint_leave(&endpoint);
	reactor_free(reactor);
	return endpoint.transports == NULL ? 0 : -1;
}

static void
who_answers_at_once_is_connected_within_the_call(void **state)
{
	(void)state;
	server("127.0.0.1");
	server("127.0.0.2");
	dial(1000);
	assert_connected(0);
	assert_dialled(1, 0);
	assert_memory_equal(transport_peer(told.transport), &addresses[0].u,
			    sizeof(struct sockaddr_in));
}

static void
a_refusal_goes_on_at_once(void **state)
{
	(void)state;
	refusal("::1");
	refusal("127.0.0.1");
	server("::1");
	server("127.0.0.2");
	dial(1000);
	assert_connected(2);
	assert_dialled(3, 0, 1, 2);
}

static void
families_take_turns_beginning_with_that_of_the_first(void **state)
{
	(void)state;
	refusal("::1");			/* 0 */
	refusal("::1");
	refusal("::1");
	refusal("127.0.0.1");		/* 3 */
	refusal("127.0.0.2");
	dial(1000);
	assert_failed(ECONNREFUSED);
	assert_dialled(5, 0, 3, 1, 4, 2);
}

static void
it_goes_round_from_the_first(void **state)
{
	(void)state;
	refusal("::1");
	refusal("::1");
	refusal("127.0.0.1");
	refusal("127.0.0.2");
	refusal("127.0.0.3");
	dial_from(3, 1000, NULL);
	assert_failed(ECONNREFUSED);
	assert_dialled(5, 3, 0, 4, 1, 2);
}

static void
a_black_hole_costs_a_quarter_of_a_second(void **state)
{
	(void)state;
	black_hole("::1");
	server("127.0.0.1");
	dial(5000);
	TURN_UNTIL(told.connected == 1);
	assert_connected(1);
	assert_took(DIALLING_DELAY_MS);
}

static void
a_refusal_leaves_the_time_of_the_others(void **state)
{
	(void)state;
	black_hole("::1");
	refusal("127.0.0.1");
	server("::1");
	dial(5000);
	TURN_UNTIL(told.connected == 1);
	assert_connected(2);
	assert_dialled(3, 0, 1, 2);
	assert_took(DIALLING_DELAY_MS);	/* the refusal costs none */
}

static void
the_first_to_connect_wins_be_it_the_first_dialled(void **state)
{
	struct place *slow = black_hole("127.0.0.1");

	(void)state;
	black_hole("127.0.0.2");
	dial(5000);
	TURN_UNTIL(dialled_count == 2);
	close(accept(slow->listening, NULL, NULL));	/* its SYN is sent again after a second */
	close(accept(slow->listening, NULL, NULL));
	TURN_UNTIL(told.connected == 1);
	assert_connected(0);
}

static void
each_attempt_has_the_whole_time(void **state)
{
	(void)state;
	black_hole("127.0.0.1");
	black_hole("127.0.0.2");
	dial(400);
	TURN_UNTIL(told.failed == 1);
	assert_failed(ETIMEDOUT);
	assert_dialled(2, 0, 1);
	assert_took(DIALLING_DELAY_MS + 400);
}

static void
an_attempt_that_times_out_makes_room_for_the_next(void **state)
{
	(void)state;
	black_hole("127.0.0.1");
	server("127.0.0.2");
	/* On a busy machine it may take longer once, but not each time. */
	for (unsigned i = 0; i < 10; i++) {
		memset(&told, 0, sizeof told);
		dial(100);
		TURN_UNTIL(told.connected == 1);
		assert_connected(1);
		transport_abort(told.transport, REASON_DONE);
		if (told.at_ms - began_ms < DIALLING_DELAY_MS)
			return;
	}
	fail_msg("it took the whole delay");
}

static void
a_refusal_tells_more_than_a_time_out(void **state)
{
	(void)state;
	black_hole("127.0.0.1");
	refusal("127.0.0.2");
	for (size_t first = 0; first < 2; first++) {	/* whichever comes first */
		memset(&told, 0, sizeof told);
		dial_from(first, 100, NULL);
		TURN_UNTIL(told.failed == 1);
		assert_failed(ECONNREFUSED);
	}
}

static void
a_time_out_tells_more_than_no_route(void **state)
{
	struct sockaddr_any broadcast = ip("255.255.255.255", 9);

	(void)state;
	black_hole("127.0.0.1");
	place_add(&broadcast, -1);
	dial_from(1, 100, NULL);
	TURN_UNTIL(told.failed == 1);
	assert_dialled(2, 1, 0);
	assert_failed(ETIMEDOUT);
}

static void
no_route_is_told_when_there_is_nothing_else(void **state)
{
	struct sockaddr_any broadcast = ip("255.255.255.255", 9);

	(void)state;
	place_add(&broadcast, -1);
	dial(100);
	assert_failed(ENETUNREACH);
}

/* The server goes while we wait: the next SYN is refused. */
static void
a_refusal_that_comes_late_goes_on_at_once(void **state)
{
	struct place *hole = black_hole("127.0.0.1");

	(void)state;
	dial(5000);
	server("127.0.0.2");		/* after the dial's count: never dialled */
	TURN_UNTIL(dialled_count == 1);
	descriptors_before = descriptor_count() - 2 - hole->filler_count;
	place_clear(hole);
	TURN_UNTIL(told.failed == 1);
	assert_failed(ECONNREFUSED);
}

static void
no_more_than_so_many_are_under_way(void **state)
{
	int64_t timeout_ms = (DIALLING_ATTEMPTS + 2) * DIALLING_DELAY_MS;

	(void)state;
	for (unsigned i = 0; i < DIALLING_ATTEMPTS + 2; i++)
		black_hole("127.0.0.1");
	dial(timeout_ms);
	TURN_UNTIL(dialled_count > DIALLING_ATTEMPTS);	/* not before the first is given up */
	assert_true(reactor_now_ms() - began_ms >= (uint64_t)timeout_ms - 10);
	assert_int_equal(descriptor_count(), descriptors_before + DIALLING_ATTEMPTS);
	dialling_cancel(dialling);
	dialling = NULL;
	assert_int_equal(descriptor_count(), descriptors_before);
}

static void
a_cancelled_dial_tells_nothing_and_leaves_nothing(void **state)
{
	(void)state;
	dialling_cancel(NULL);
	black_hole("127.0.0.1");
	black_hole("::1");
	black_hole("127.0.0.2");
	for (size_t under_way = 1; under_way <= 3; under_way++) {
		dialled_count = 0;
		dial(5000);
		TURN_UNTIL(dialled_count == under_way);
		dialling_cancel(dialling);
		dialling = NULL;
		assert_int_equal(descriptor_count(), descriptors_before);
	}
	for (unsigned i = 0; i < 10; i++)
		turn();
	assert_int_equal(told.connected + told.failed, 0);
}

/* Leaves as many descriptors as given. */
static void
leave_descriptors(unsigned count)
{
	struct rlimit few = limit;
	int next = dup(0);

	assert_true(next >= 0);
	close(next);		/* the lowest that is free, and all above it are */
	few.rlim_cur = (rlim_t)next + count;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
}

static void
without_a_descriptor_the_dial_fails_at_once(void **state)
{
	(void)state;
	refusal("127.0.0.1");
	server("127.0.0.2");
	descriptors_before = descriptor_count();
	leave_descriptors(0);
	dialling = dialling_begin(&endpoint, &quiet,
				  &(const struct dial){ .addresses = addresses,
							 .count = place_count,
							 .connected = note_connected,
							 .failed = note_failed,
							 .arg = &told });
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_null(dialling);
	assert_failed(EMFILE);
	assert_dialled(0);
}

static void
a_descriptor_that_comes_free_is_used_for_the_next(void **state)
{
	(void)state;
	black_hole("127.0.0.1");
	server("127.0.0.2");
	dial(600);
	leave_descriptors(0);
	TURN_UNTIL(told.connected == 1);	/* with that of the first, once it is given up */
	assert_took(600);
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_connected(1);
}

static void
it_dials_from_the_source(void **state)
{
	union peer_address source = { .in = ip("127.0.0.9", 0).u.in };
	struct sockaddr_any seen = { .length = sizeof seen.u };
	struct place *place;
	int fd;

	(void)state;
	server("::1");
	place = server("127.0.0.1");
	bind_count = 0;
	dial_from(0, 1000, &source);
	assert_connected(1);
	assert_int_equal(bind_count, 1);
	assert_dialled(1, 1);			/* IPv4 only */
	fd = accept(place->listening, &seen.u.sa, &seen.length);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(seen.u.in.sin_addr.s_addr, source.in.sin_addr.s_addr);
}

static void
a_source_of_the_other_family_only_is_an_error(void **state)
{
	union peer_address source = { .in6 = ip("::1", 0).u.in6 };

	(void)state;
	server("127.0.0.1");
	dial_from(0, 1000, &source);
	assert_failed(EAFNOSUPPORT);
}

static void
a_source_that_is_not_ours_is_an_error(void **state)
{
	union peer_address source = { .in = ip("192.0.2.1", 0).u.in };

	(void)state;
	server("127.0.0.1");
	dial_from(0, 1000, &source);
	assert_failed(EADDRNOTAVAIL);
}

static void
a_unix_socket_needs_no_source(void **state)
{
	union peer_address source = { .in6 = ip("::1", 0).u.in6 };

	(void)state;
	assert_int_equal(listen(unix_place("source")->listening, 16), 0);
	dial_from(0, 1000, &source);
	assert_connected(0);
}

/* As it happens by chance where nobody listens at a port that the system may give to a client. */
static void
a_socket_that_meets_itself_is_refused(void **state)
{
	static const char *const hosts[] = { "127.0.0.1", "::1" };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct sockaddr_any address = ip(hosts[i], 0);
		union peer_address source;
		int fd;

		place_count = 0;
		memset(&told, 0, sizeof told);
		close(bound(&address));
		memcpy(&source, &address.u, sizeof source);
		place_add(&address, -1);
		dial_from(0, 1000, &source);
		assert_failed(ECONNREFUSED);
		fd = bound(&address);		/* its server can have the port at once */
		assert_int_equal(listen(fd, 1), 0);
		close(fd);
	}
}

static void
a_unix_server_whose_backlog_is_full_is_waited_for(void **state)
{
	struct place *place = unix_place("full");

	(void)state;
	assert_int_equal(listen(place->listening, 0), 0);
	fill(place);
	dial(5000);
	for (unsigned i = 0; i < 10; i++)
		turn();
	assert_int_equal(told.connected + told.failed, 0);
	close(accept(place->listening, NULL, NULL));
	descriptors_before = descriptor_count() - 1;
	TURN_UNTIL(told.connected == 1);
	assert_connected(0);
}

static void
a_unix_server_that_never_accepts_is_given_up(void **state)
{
	struct place *place = unix_place("never");

	(void)state;
	assert_int_equal(listen(place->listening, 0), 0);
	fill(place);
	dial(200);
	TURN_UNTIL(told.failed == 1);
	assert_failed(ETIMEDOUT);
	assert_took(200);
}

static void
a_unix_socket_that_nobody_has_is_refused(void **state)
{
	(void)state;
	unix_place("nobody");
	dial(1000);
	assert_failed(ECONNREFUSED);
}

static void
the_sockets_options_are_set(void **state)
{
	static const struct socket_options options = {
		.tcp_user_timeout_ms = 1234,
		.dscp = OPTION_AUTO,
	};

	(void)state;
	server("127.0.0.1");
	endpoint.socket = &options;
	dial(1000);
	assert_connected(0);
	for (int fd = 0; fd < 1000; fd++) {
		unsigned ms = 0;
		socklen_t length = sizeof ms;

		if (getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &length) == 0 && ms == 1234)
			return;
	}
	fail_msg("no socket has the option");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_answers_at_once_is_connected_within_the_call),
		TEST(a_refusal_goes_on_at_once),
		TEST(families_take_turns_beginning_with_that_of_the_first),
		TEST(it_goes_round_from_the_first),
		TEST(a_black_hole_costs_a_quarter_of_a_second),
		TEST(a_refusal_leaves_the_time_of_the_others),
		TEST(the_first_to_connect_wins_be_it_the_first_dialled),
		TEST(each_attempt_has_the_whole_time),
		TEST(an_attempt_that_times_out_makes_room_for_the_next),
		TEST(a_refusal_tells_more_than_a_time_out),
		TEST(a_time_out_tells_more_than_no_route),
		TEST(no_route_is_told_when_there_is_nothing_else),
		TEST(a_refusal_that_comes_late_goes_on_at_once),
		TEST(no_more_than_so_many_are_under_way),
		TEST(a_cancelled_dial_tells_nothing_and_leaves_nothing),
		TEST(without_a_descriptor_the_dial_fails_at_once),
		TEST(a_descriptor_that_comes_free_is_used_for_the_next),
		TEST(it_dials_from_the_source),
		TEST(a_source_of_the_other_family_only_is_an_error),
		TEST(a_source_that_is_not_ours_is_an_error),
		TEST(a_unix_socket_needs_no_source),
		TEST(a_socket_that_meets_itself_is_refused),
		TEST(a_unix_server_whose_backlog_is_full_is_waited_for),
		TEST(a_unix_server_that_never_accepts_is_given_up),
		TEST(a_unix_socket_that_nobody_has_is_refused),
		TEST(the_sockets_options_are_set),
	};

	log_set_level(LEVEL_ERROR);
	return cmocka_run_group_tests_name("dialling", tests, NULL, NULL);
}
