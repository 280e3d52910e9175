/* test_connector.c - a connector dials, waits, fails over and begins anew; time passes by hand. */
#include "net/connector.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "far_ends.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/resolver.h"
#include "net/transport.h"
#include "turns.h"

enum { MOST = 4, DIALS_MOST = 64 };

/* Servers on unix sockets: a, b, c. */
static struct far {
	int listening, peer;		/* -1: none */
} fars[MOST];

/* The last part of each path that was dialled, in order: "aab". */
static char dialled[DIALS_MOST];

/* What the protocol has seen, and what it is to do. */
static struct {
	struct transport *transport;
	unsigned made, lost, started, stopped;
	char text[256];
	size_t length;
	bool stays;			/* when it ends, until it is told otherwise */
} seen;

static unsigned ways;
static struct connector_settings settings;
static struct address items[MOST];
static struct reactor *reactors[2];
static struct resolver *resolver;
static struct connector *connector, *successor;

/* Notes what is dialled, and does it. */
int
connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t length)
{
	const struct sockaddr_un *name = (const struct sockaddr_un *)to.__sockaddr__;
	int result = (int)syscall(SYS_connect, fd, name, length);

	if (name->sun_family == AF_UNIX && (result == 0 || errno != EAGAIN)) {
		assert_true(strlen(dialled) < sizeof dialled - 1);
		strncat(dialled, strrchr(name->sun_path, '/') + 1, 1);
	}
	return result;
}

/* Nobody has a name. */
int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
	    struct addrinfo **found)
{
	(void)host;
	(void)service;
	(void)hints;
	*found = NULL;
	return EAI_NONAME;
}

/* ---- A protocol */

static unsigned
its_ways(const void *of)
{
	(void)of;
	return ways;
}

static void
note_started(struct factory *factory)
{
	(void)factory;
	seen.started++;
}

static void
note_stopped(struct factory *factory)
{
	(void)factory;
	seen.stopped++;
}

static void
note_made(struct transport *transport)
{
	seen.made++;
	seen.transport = transport;
}

static void
note_bytes(struct transport *transport, const uint8_t *bytes, size_t length)
{
	(void)transport;
	assert_true(length < sizeof seen.text - seen.length);
	memcpy(seen.text + seen.length, bytes, length);
	seen.length += length;
}

static void
note_ending(struct transport *transport, enum reason reason)
{
	if (!seen.stays)
		transport_lose(transport, reason);
}

static void
note_lost(struct transport *transport, enum reason reason)
{
	(void)reason;
	if (seen.transport == transport)
		seen.transport = NULL;
	seen.lost++;
}

static const struct protocol plain = {
	.name = "plain",
	.ways = its_ways,
	.factory_started = note_started,
	.factory_stopped = note_stopped,
	.connection_made = note_made,
	.data_received = note_bytes,
	.ending = note_ending,
	.connection_lost = note_lost,
};

static void
release_nothing(void *owner)
{
	(void)owner;
}

/* ---- Both ends */

static struct connector *
connector_named(const char *name, const struct connector *predecessor)
{
	struct factory *factory = factory_new(&plain, name, &settings, NULL, NULL, release_nothing);
	struct connector *made;

	assert_non_null(factory);
	made = connector_new(&settings, factory, predecessor, 2);
	assert_non_null(made);
	return made;
}

/* Adds an address: "a" to "c" are unix sockets, "nowhere" has no name, others are paths. */
static void
add_address(const char *name)
{
	char text[200];
	const char *path = far_path(name);

	if (strcmp(name, "nowhere") == 0)
		snprintf(text, sizeof text, "tcp://nowhere:1");
	else
		snprintf(text, sizeof text, "%s://%s",
			 name[1] == '\0'                    ? "unix"
			 : strcmp(name, "datagrams") == 0 ? "unixgram"
							  : "file",
			 path);
	assert_true(settings.connect.count < MOST);
	assert_null(address_parse(text, &items[settings.connect.count++]));
}

static int
bound(const char *name, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", far_path(name));
	unlink(address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

static struct far *
far_of(const char *name)
{
	return &fars[*name - 'a'];
}

/* Somebody listens at "a" to "c" from now on. */
static void
far_open(const char *name)
{
	far_of(name)->listening = bound(name, SOCK_STREAM);
	assert_int_equal(listen(far_of(name)->listening, 8), 0);
}

static void
far_hang_up(const char *name)
{
	close(far_of(name)->peer);
	far_of(name)->peer = -1;
}

static void
far_close(const char *name)
{
	close(far_of(name)->listening);
	far_of(name)->listening = -1;
	unlink(far_path(name));
}

static struct connector_state
look_at(struct connector *which)
{
	struct connector_state state;

	connector_look(which, &state);
	return state;
}

static bool
is_connected(void)
{
	return look_at(connector).connected;
}

/* How long it waits yet; 0: it does not. */
static double
pause_s(void)
{
	struct connector_state state = look_at(connector);
	double pause = 0;

	if (strncmp(state.text, "not connected, ", 15) == 0)
		assert_int_equal(sscanf(strstr(state.text, " in "), " in %lf s", &pause), 1);
	return pause;
}

/* Turns until it waits; the wait must be within those bounds, of which it may have passed a bit. */
static void
assert_pauses(double least_s, double most_s)
{
	double pause;

	TURN_UNTIL((pause = pause_s()) > 0);
	if (pause < least_s - 0.3 || pause > most_s)
		fail_msg("it pauses for %.1f s", pause);
}

/* The pause is over. */
static void
pass_pause(void)
{
	TURN_UNTIL(pause_s() > 0);
	pass_ms((uint64_t)(pause_s() * 1000) + 200);
	TURN_UNTIL(pause_s() == 0);
}

static void
assert_connects(const char *name)
{
	struct far *far = far_of(name);

	TURN_UNTIL(is_connected());
	TURN_UNTIL((far->peer = accept4(far->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC))
		   >= 0);
}

static void
open_connector(void)
{
	connector = connector_named("up", NULL);
	connector_open(connector, reactors, 1, resolver);
}

static int
setup(void **state)
{
	memset(&seen, 0, sizeof seen);
	memset(dialled, 0, sizeof dialled);
	ways = PROTOCOL_READS | PROTOCOL_WRITES;
	settings = (struct connector_settings){
		.connect = { .items = items },
		.protocol = &plain,
		.connect_timeout_ms = 1000,
		.reconnect_min_ms = 1000,
		.reconnect_max_ms = 60000,
		.write_timeout_ms = 30000,
		.linger_timeout_ms = 5000,
	};
	for (size_t i = 0; i < MOST; i++)
		fars[i] = (struct far){ -1, -1 };
	connector = successor = NULL;
	if (far_ends_setup(state) != 0)
		return -1;
	reactor = reactors[0] = reactor_new(0, REACTOR_AUTO);
	reactors[1] = reactor_new(1, REACTOR_AUTO);
	resolver = resolver_new();
	return reactors[0] == NULL || reactors[1] == NULL || resolver == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	connector_free(connector);
	connector_free(successor);
	seen.stays = false;
	if (seen.transport != NULL)
		transport_lose(seen.transport, REASON_DONE);
	for (size_t i = 0; i < MOST; i++) {
		if (fars[i].peer >= 0)
			close(fars[i].peer);
		if (fars[i].listening >= 0)
			close(fars[i].listening);
	}
	for (unsigned i = 0; i < 2; i++) {
		reactor = reactors[i];
		TURN_UNTIL(*reactor_endpoints(reactor) == NULL);
		turn();
		reactor_free(reactor);
	}
	resolver_free(resolver);
	assert_int_equal(seen.lost, seen.made);
	assert_int_equal(seen.stopped, seen.started);
	for (size_t i = 0; i < settings.connect.count; i++)
		address_clear(&items[i]);
	return far_ends_teardown(state);
}

/* ---- The tests */

static void
the_first_address_that_answers_is_taken(void **state)
{
	(void)state;
	add_address("a");
	add_address("b");
	add_address("c");
	far_open("c");
	open_connector();
	assert_connects("c");
	assert_string_equal(dialled, "abc");
	assert_int_equal(seen.made, 1);
}

static void
when_all_have_failed_it_waits_and_begins_with_the_first(void **state)
{
	(void)state;
	add_address("a");
	add_address("b");
	open_connector();
	assert_pauses(1, 1.5);
	assert_string_equal(dialled, "ab");
	far_open("a");
	far_open("b");
	pass_pause();
	assert_connects("a");
	assert_string_equal(dialled, "aba");
}

static void
waits_double_up_to_the_longest(void **state)
{
	(void)state;
	settings.reconnect_max_ms = 8000;
	add_address("a");
	open_connector();
	for (double least = 1; least < 8; least *= 2) {
		assert_pauses(least, least * 1.5);
		pass_pause();
	}
	for (int i = 0; i < 5; i++) {
		assert_pauses(6, 8);
		pass_pause();
	}
}

static void
it_does_not_dial_before_its_time(void **state)
{
	(void)state;
	add_address("a");
	open_connector();
	assert_pauses(1, 1.5);
	pass_ms(800);
	for (int i = 0; i < 5; i++)
		turn();
	assert_string_equal(dialled, "a");
}

static void
a_name_that_nobody_has_is_a_failure(void **state)
{
	(void)state;
	add_address("nowhere");
	add_address("a");
	far_open("a");
	open_connector();
	assert_connects("a");
}

/* There is somebody at each of two addresses; it is connected to the first. */
static void
connect_to_first_of_two(void)
{
	add_address("a");
	add_address("b");
	far_open("a");
	far_open("b");
	open_connector();
	assert_connects("a");
}

static void
one_that_is_lost_soon_has_failed(void **state)
{
	(void)state;
	connect_to_first_of_two();
	pass_ms(9000);
	far_hang_up("a");
	assert_connects("b");
	far_hang_up("b");
	assert_pauses(1, 1.5);
	pass_pause();
	assert_connects("a");
	assert_string_equal(dialled, "aba");
}

/* Else those who are connected and lost again and again would never wait. */
static void
short_connections_do_not_make_the_wait_a_short_one_again(void **state)
{
	(void)state;
	add_address("a");
	far_open("a");
	open_connector();
	for (double least = 1; least < 8; least *= 2) {
		assert_connects("a");
		far_hang_up("a");
		assert_pauses(least, least * 1.5);
		pass_pause();
	}
	assert_connects("a");
}

static void
after_one_that_has_lasted_the_first_is_next_after_the_shortest_wait(void **state)
{
	(void)state;
	add_address("a");
	add_address("b");
	open_connector();
	for (int i = 0; i < 4; i++)
		pass_pause();
	TURN_UNTIL(pause_s() > 0);
	far_open("b");
	pass_pause();
	assert_connects("b");
	far_open("a");
	pass_ms(10000);
	dialled[0] = '\0';
	far_hang_up("b");
	assert_pauses(1, 1.5);
	pass_pause();
	assert_connects("a");
	assert_string_equal(dialled, "a");
}

static void
after_silence_the_next_is_dialled_at_once(void **state)
{
	(void)state;
	settings.silence_timeout_ms = 20000;
	connect_to_first_of_two();
	pass_ms(20100);
	assert_connects("b");
	assert_string_equal(dialled, "ab");
}

static void
after_silence_a_single_one_is_dialled_after_the_shortest_wait(void **state)
{
	(void)state;
	settings.silence_timeout_ms = 20000;
	add_address("a");
	far_open("a");
	open_connector();
	for (int i = 0; i < 3; i++) {
		assert_connects("a");
		pass_ms(20100);
		assert_pauses(1, 1.5);
		far_hang_up("a");
		pass_pause();
	}
}

/* A connection of the first of two addresses is given up for its silence, and has not ended yet. */
static struct transport *
silent_but_there(void)
{
	struct transport *first;

	settings.silence_timeout_ms = 1000;
	connect_to_first_of_two();
	first = seen.transport;
	seen.stays = true;
	pass_ms(1100);
	TURN_UNTIL(!is_connected());
	return first;
}

/* Side by side, lines would come twice. */
static void
what_ends_yet_is_waited_for(void **state)
{
	struct transport *before = silent_but_there();

	(void)state;
	for (int i = 0; i < 3; i++) {
		pass_ms(100);
		turn();
		turn();
	}
	assert_string_equal(dialled, "a");
	transport_lose(before, REASON_DONE);
	assert_connects("b");
}

static void
what_never_ends_is_not_waited_for_longer_than_two_seconds(void **state)
{
	struct transport *before = silent_but_there();

	(void)state;
	pass_ms(1900);
	turn();
	turn();
	assert_string_equal(dialled, "a");
	pass_ms(200);
	assert_connects("b");
	transport_lose(before, REASON_DONE);
}

static void
it_is_closed_in_every_state(void **state)
{
	enum { LOOKING_UP, WAITING, DIALLING, CONNECTED, STATES };
	struct sockaddr_un full = { .sun_family = AF_UNIX };
	int filler;

	(void)state;
	add_address("a");
	for (int stop = 0; stop < 2; stop++)
		for (int at = LOOKING_UP; at < STATES; at++) {
			size_t before;

			filler = -1;
			if (at == DIALLING) {
				far_of("a")->listening = bound("a", SOCK_STREAM);
				assert_int_equal(listen(far_of("a")->listening, 0), 0);
				snprintf(full.sun_path, sizeof full.sun_path, "%s", far_path("a"));
				filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
				assert_int_equal(
					connect(filler, (struct sockaddr *)&full, sizeof full), 0);
			}
			if (at == CONNECTED)
				far_open("a");
			before = descriptor_count();
			open_connector();
			if (at == WAITING)
				assert_pauses(1, 1.5);
			if (at == DIALLING)
				TURN_UNTIL(descriptor_count() > before);
			if (at == CONNECTED)
				TURN_UNTIL(is_connected());
			if (stop)
				connector_stop(connector);
			else
				connector_close(connector);
			connector_free(connector);
			connector = NULL;
			if (at == CONNECTED && stop)
				transport_lose(seen.transport, REASON_DONE);
			if (at >= DIALLING)
				far_close("a");
			if (filler >= 0)
				close(filler);
			TURN_UNTIL(*reactor_endpoints(reactor) == NULL);
			pass_ms(10000);
			turn();
			turn();
		}
	assert_int_equal(seen.made, 2);
}

static void
a_connection_goes_on_after_a_stop(void **state)
{
	(void)state;
	add_address("a");
	far_open("a");
	open_connector();
	assert_connects("a");
	connector_stop(connector);
	connector_free(connector);
	connector = NULL;
	assert_int_equal(send(far_of("a")->peer, "word", 4, 0), 4);
	TURN_UNTIL(seen.length == 4);
	assert_int_equal(seen.lost, 0);
}

static void
its_state_is_told(void **state)
{
	char expected[300];
	const char *path = far_path("a");

	(void)state;
	add_address("a");
	open_connector();
	snprintf(expected, sizeof expected, "dialling unix://%s", path);
	assert_string_equal(look_at(connector).text, expected);
	assert_pauses(1, 1.5);
	pass_ms(2000);
	TURN_UNTIL(strcmp(look_at(connector).text, expected) == 0);
	assert_false(is_connected());
	TURN_UNTIL(pause_s() > 0);
	far_open("a");
	pass_pause();
	assert_connects("a");
	pass_ms(5000);
	snprintf(expected, sizeof expected, "connected to unix://%s for 5.", path);
	assert_memory_equal(look_at(connector).text, expected, strlen(expected));
	assert_int_equal(look_at(connector).counters.accepted, 1);
	assert_int_equal(look_at(connector).counters.open, 1);
	far_hang_up("a");
	assert_pauses(4, 6);
	snprintf(expected, sizeof expected, "not connected, unix://%s in ", path);
	assert_memory_equal(look_at(connector).text, expected, strlen(expected));
	assert_int_equal(look_at(connector).counters.open, 0);
	assert_int_equal(look_at(connector).counters.closed[REASON_PEER_CLOSED], 1);
}

/* ---- Devices */

static void
a_file_that_is_not_there_is_tried_again(void **state)
{
	(void)state;
	ways = PROTOCOL_READS;
	add_address("log");
	open_connector();
	assert_pauses(1, 1.5);
	far_append("log", "line\n");
	pass_pause();
	TURN_UNTIL(seen.length == 5);
	assert_true(is_connected());
	assert_memory_equal(seen.text, "line\n", 5);
}

static void
it_fails_over_from_a_socket_to_a_file(void **state)
{
	(void)state;
	ways = PROTOCOL_WRITES;
	add_address("a");
	add_address("spool");
	open_connector();
	TURN_UNTIL(is_connected());
	assert_string_equal(dialled, "a");
	transport_write(seen.transport, "kept\n", 5);
	connector_close(connector);
	TURN_UNTIL(seen.lost == 1);
	assert_file("spool", "kept\n");
}

static void
lines_go_as_datagrams_as_long_as_somebody_is_there(void **state)
{
	char line[16];
	int receiver;

	(void)state;
	ways = PROTOCOL_WRITES;
	add_address("datagrams");
	open_connector();
	assert_pauses(1, 1.5);
	receiver = bound("datagrams", SOCK_DGRAM);
	pass_pause();
	TURN_UNTIL(is_connected());
	transport_write(seen.transport, "one\ntwo\n", 8);
	TURN_UNTIL(recv(receiver, line, sizeof line, 0) == 4);
	TURN_UNTIL(recv(receiver, line, sizeof line, 0) == 4);
	close(receiver);
	transport_write(seen.transport, "lost\n", 5);
	TURN_UNTIL(!is_connected());
	assert_pauses(2, 3);
}

/* ---- Successors */

static void
open_successor(void)
{
	successor = connector_named("up", connector);
	connector_close(connector);
	connector_open(successor, reactors, 1, resolver);
}

static void
a_successor_waits_for_what_its_predecessor_ends_yet(void **state)
{
	(void)state;
	ways = PROTOCOL_WRITES;
	add_address("spool");			/* which is opened at once */
	open_connector();
	assert_int_equal(seen.made, 1);
	seen.stays = true;
	open_successor();
	for (int i = 0; i < 5; i++) {
		assert_int_equal(seen.made, 1);
		pass_ms(100);
		turn();
	}
	transport_lose(seen.transport, REASON_DONE);
	TURN_UNTIL(seen.made == 2);
	assert_int_equal(seen.lost, 1);
}

static void
a_successor_reads_a_file_on(void **state)
{
	(void)state;
	ways = PROTOCOL_READS;
	add_address("log");
	far_append("log", "one\n");
	open_connector();
	TURN_UNTIL(seen.length == 4);
	far_append("log", "two\n");
	open_successor();
	TURN_UNTIL(seen.length == 8);
	pass_ms(500);
	for (int i = 0; i < 5; i++)
		turn();
	assert_int_equal(seen.length, 8);
	assert_memory_equal(seen.text, "one\ntwo\n", 8);
}

/* Also when it was not written yet when the successor was opened. */
static void
a_successor_ends_the_line_that_its_predecessor_has_begun(void **state)
{
	int far = open(far_fifo("fifo"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	(void)state;
	ways = PROTOCOL_WRITES;
	add_address("fifo");
	open_connector();
	assert_int_equal(seen.made, 1);
	transport_write(seen.transport, "begun", 5);
	open_successor();
	TURN_UNTIL(seen.made == 2);
	transport_write(seen.transport, "line\n", 5);
	assert_comes(far, "begun\nline\n");
	close(far);
}

static void
a_successor_counts_on(void **state)
{
	(void)state;
	add_address("a");
	far_open("a");
	open_connector();
	assert_connects("a");
	open_successor();
	TURN_UNTIL(look_at(successor).connected);
	assert_int_equal(look_at(successor).counters.accepted, 2);
}

/* A name that lives on that one of two reactors. */
static const char *
name_of_home(size_t home)
{
	static char name[] = "n0";
	size_t found;

	for (name[1] = '0';; name[1]++) {
		struct factory *factory =
			factory_new(&plain, name, &settings, NULL, NULL, release_nothing);

		found = factory_home(factory, 2);
		factory_unref(factory);
		if (found == home)
			return name;
		assert_true(name[1] < '9');
	}
}

/* As one has that is given another hub. */
static void
a_successor_on_another_reactor_counts_on(void **state)
{
	(void)state;
	add_address("a");
	far_open("a");
	connector = connector_named(name_of_home(0), NULL);
	connector_open(connector, reactors, 2, resolver);
	assert_connects("a");
	successor = connector_named(name_of_home(1), connector);
	connector_close(connector);
	connector_open(successor, reactors, 2, resolver);
	reactor = reactors[1];
	TURN_UNTIL(look_at(successor).connected);
	assert_int_equal(look_at(successor).counters.accepted, 2);
	assert_int_equal(look_at(successor).counters.open, 2);
	reactor = reactors[0];
	far_hang_up("a");
	TURN_UNTIL(look_at(successor).counters.open == 1);
}

#define WITH_REACTOR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_REACTOR(the_first_address_that_answers_is_taken),
		WITH_REACTOR(when_all_have_failed_it_waits_and_begins_with_the_first),
		WITH_REACTOR(waits_double_up_to_the_longest),
		WITH_REACTOR(it_does_not_dial_before_its_time),
		WITH_REACTOR(a_name_that_nobody_has_is_a_failure),
		WITH_REACTOR(one_that_is_lost_soon_has_failed),
		WITH_REACTOR(short_connections_do_not_make_the_wait_a_short_one_again),
		WITH_REACTOR(after_one_that_has_lasted_the_first_is_next_after_the_shortest_wait),
		WITH_REACTOR(after_silence_the_next_is_dialled_at_once),
		WITH_REACTOR(after_silence_a_single_one_is_dialled_after_the_shortest_wait),
		WITH_REACTOR(what_ends_yet_is_waited_for),
		WITH_REACTOR(what_never_ends_is_not_waited_for_longer_than_two_seconds),
		WITH_REACTOR(it_is_closed_in_every_state),
		WITH_REACTOR(a_connection_goes_on_after_a_stop),
		WITH_REACTOR(its_state_is_told),
		WITH_REACTOR(a_file_that_is_not_there_is_tried_again),
		WITH_REACTOR(it_fails_over_from_a_socket_to_a_file),
		WITH_REACTOR(lines_go_as_datagrams_as_long_as_somebody_is_there),
		WITH_REACTOR(a_successor_waits_for_what_its_predecessor_ends_yet),
		WITH_REACTOR(a_successor_reads_a_file_on),
		WITH_REACTOR(a_successor_ends_the_line_that_its_predecessor_has_begun),
		WITH_REACTOR(a_successor_counts_on),
		WITH_REACTOR(a_successor_on_another_reactor_counts_on),
	};

	signal(SIGPIPE, SIG_IGN);
	hold_time();
	log_set_level(LEVEL_ERROR);
	return cmocka_run_group_tests_name("connector", tests, NULL, NULL);
}
