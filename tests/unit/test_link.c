/* test_link.c - a connector's connection, over real sockets and devices. */
#include "net/link.h"

#include <errno.h>
#include <fcntl.h>
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
#include "net/connector.h"
#include "net/device.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "net/trail.h"
#include "net/transport.h"
#include "turns.h"

enum { BOTH = PROTOCOL_READS | PROTOCOL_WRITES, SECOND_MS = 1000 };

/* What the link has told its owner. */
static struct {
	unsigned up, failed, lost;
	enum reason reason;
	char why[100];			/* "": NULL */
} told;

/* What the protocol has seen, and what it is to do. */
static struct {
	struct transport *transport;	/* NULL: lost */
	unsigned made, ended, stopping, ending, cut, lost;
	enum reason reason;
	char text[512 * 1024];
	size_t length;
	const char *last_words;		/* said when it ends */
	bool stays;			/* when it ends, until it is told otherwise */
	bool pauses;			/* as soon as something comes */
} seen;

static struct connector_settings settings;
static struct factory *factory;
static struct tally *tally;
static struct trail *trail;
static struct link *ours;			/* NULL: there is none, or it is nobody's */
static struct file_place place;
static struct link_plan plan;
static int listening, peer;		/* the far end; -1: none */
static int send_cut;			/* what the next call sends at most; -1: all */

ssize_t
send(int fd, const void *bytes, size_t length, int flags)
{
	if (send_cut >= 0 && length > (size_t)send_cut)
		length = (size_t)send_cut;
	send_cut = -1;
	if (length == 0) {
		errno = EAGAIN;
		return -1;
	}
	return syscall(SYS_sendto, fd, bytes, length, flags, NULL, 0);
}

/* ---- A protocol */

static void
note_made(struct transport *transport)
{
	assert_int_equal(told.up, 0);
	seen.made++;
	seen.transport = transport;
	transport_write(transport, "hello\n", 6);
}

static void
note_bytes(struct transport *transport, const uint8_t *bytes, size_t length)
{
	assert_true(length < sizeof seen.text - seen.length);
	memcpy(seen.text + seen.length, bytes, length);
	seen.length += length;
	if (seen.pauses)
		transport_pause(transport);
}

static void
note_ended(struct transport *transport)
{
	(void)transport;
	seen.ended++;
}

static void
note_stopping(struct transport *transport)
{
	seen.stopping++;
	transport_lose(transport, REASON_SHUTDOWN);
}

static void
note_ending(struct transport *transport, enum reason reason)
{
	seen.ending++;
	seen.reason = reason;
	if (seen.last_words != NULL)
		transport_write(transport, seen.last_words, strlen(seen.last_words));
	if (!seen.stays)
		transport_lose(transport, reason);
}

static void
note_cut(struct transport *transport)
{
	(void)transport;
	seen.cut++;
}

static void
note_connection_lost(struct transport *transport, enum reason reason)
{
	(void)transport;
	seen.transport = NULL;
	seen.lost++;
	seen.reason = reason;
}

static const struct protocol talking = {
	.name = "talking",
	.connection_made = note_made,
	.data_received = note_bytes,
	.read_ended = note_ended,
	.stopping = note_stopping,
	.ending = note_ending,
	.cut = note_cut,
	.connection_lost = note_connection_lost,
};

/* ---- An owner */

static void
note_up(void *arg)
{
	assert_ptr_equal(arg, &told);
	assert_non_null(ours);
	told.up++;
}

static void
note_failed(void *arg, const char *why)
{
	assert_ptr_equal(arg, &told);
	assert_null(ours);
	told.failed++;
	snprintf(told.why, sizeof told.why, "%s", why);
}

static void
note_lost(void *arg, enum reason reason, const char *why)
{
	assert_ptr_equal(arg, &told);
	assert_null(ours);
	told.lost++;
	told.reason = reason;
	snprintf(told.why, sizeof told.why, "%s", why != NULL ? why : "");
}

static void
release_nothing(void *owner)
{
	(void)owner;
}

static int
setup(void **state)
{
	memset(&told, 0, sizeof told);
	memset(&seen, 0, sizeof seen);
	place = (struct file_place){ 0 };
	settings = (struct connector_settings){
		.connect_timeout_ms = 1000,
		.write_timeout_ms = 30000,
		.linger_timeout_ms = 5000,
	};
	send_cut = peer = listening = -1;
	ours = NULL;
	if (far_ends_setup(state) != 0)
		return -1;
	reactor = reactor_new(0, REACTOR_AUTO);
	factory = factory_new(&talking, "up", &settings, NULL, NULL, release_nothing);
	tally = tally_new(1);
	trail = trail_new();
	plan = (struct link_plan){
		.settings = &settings,
		.factory = factory,
		.tally = tally,
		.reactor = reactor,
		.name = "up unix://@far",
		.kind = ADDRESS_UNIX,
		.address = "unix://@far",
		.place = &place,
		.trail = trail,
		.up = note_up,
		.failed = note_failed,
		.lost = note_lost,
		.arg = &told,
	};
	return reactor == NULL || factory == NULL || tally == NULL ? -1 : 0;
}

/* Whatever is left of a test must end by itself. */
static int
teardown(void **state)
{
	link_end(ours, REASON_DONE);
	if (peer >= 0)
		close(peer);
	if (listening >= 0)
		close(listening);
	TURN_UNTIL(*reactor_endpoints(reactor) == NULL);
	assert_int_equal(seen.lost, seen.made);
	assert_int_equal(tally_counters(tally, 0)->open, 0);
	assert_int_equal(tally_counters(tally, 0)->accepted, seen.made);
	reactor_free(reactor);
	factory_unref(factory);
	tally_unref(tally);
	trail_unref(trail);
	return far_ends_teardown(state);
}

/* ---- Both ends */

static struct sockaddr_any
far_address(void)
{
	struct sockaddr_any address = { .u.un = { .sun_family = AF_UNIX } };

	snprintf(address.u.un.sun_path, sizeof address.u.un.sun_path, "%s", far_path("far"));
	address.length = sizeof address.u.un;
	return address;
}

static void
far_listen(int backlog)
{
	struct sockaddr_any address = far_address();

	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listening, &address.u.sa, address.length), 0);
	assert_int_equal(listen(listening, backlog), 0);
}

static void
dial(void)
{
	struct sockaddr_any *addresses = malloc(sizeof *addresses);

	assert_non_null(addresses);
	*addresses = far_address();
	link_dial(&plan, &ours, addresses, 1);
}

static void
connect_link(void)
{
	far_listen(1);
	dial();
	TURN_UNTIL(told.up == 1);
	peer = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(peer >= 0);
}

static void
open_link(const char *path, unsigned ways)
{
	const char *why = NULL;
	struct device *device = device_open(path, ways, 0, &place, &why);

	if (device == NULL)
		fail_msg("%s: %s", path, why);
	link_open(&plan, &ours, device);
	assert_int_equal(told.up, 1);
	assert_non_null(ours);
}

static void
say(const char *text)
{
	size_t before = seen.length;

	assert_int_equal(write(peer, text, strlen(text)), strlen(text));
	TURN_UNTIL(seen.length == before + strlen(text));
}

static void
assert_told_lost(enum reason reason, const char *why)
{
	TURN_UNTIL(told.lost > 0);
	assert_int_equal(told.lost, 1);
	assert_string_equal(reason_word(told.reason), reason_word(reason));
	assert_string_equal(told.why, why);
}

/* Turns until nothing is left of the link. */
static void
assert_gone(void)
{
	TURN_UNTIL(*reactor_endpoints(reactor) == NULL);
	assert_null(ours);
}

/* ---- The tests */

static void
it_is_up_when_it_is_connected(void **state)
{
	(void)state;
	connect_link();
	assert_int_equal(seen.made, 1);
	assert_comes(peer, "hello\n");
	say("word");
	assert_memory_equal(seen.text, "word", 4);
	assert_int_equal(told.failed + told.lost, 0);
}

static void
the_preamble_comes_first_and_whole_wherever_it_is_cut(void **state)
{
	static const char text[] = "USER me\r\n\0\1\2\3";

	(void)state;
	settings.preamble = (struct byte_text){ (uint8_t *)text, sizeof text - 1 };
	far_listen(1);
	for (int cut = 0; cut < (int)sizeof text + 5; cut++) {
		char got[64];
		size_t length = 0;

		memset(&told, 0, sizeof told);
		dial();
		send_cut = cut;
		TURN_UNTIL(told.up == 1);
		peer = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		TURN_UNTIL((length += far_read(peer, got + length, sizeof got - length))
			   == sizeof text - 1 + 6);
		assert_memory_equal(got, text, sizeof text - 1);
		assert_memory_equal(got + sizeof text - 1, "hello\n", 6);
		assert_int_equal(send_cut, -1);
		link_end(ours, REASON_DONE);
		close(peer);
		peer = -1;
		assert_gone();
	}
}

static void
a_long_preamble_comes_first_and_whole(void **state)
{
	static uint8_t text[300 * 1024], got[sizeof text + 6];
	size_t length = 0;

	(void)state;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)(i * i % 251);
	settings.preamble = (struct byte_text){ text, sizeof text };
	connect_link();
	TURN_UNTIL((length += far_read(peer, (char *)got + length, sizeof got - length)) == sizeof got);
	assert_memory_equal(got, text, sizeof text);
	assert_memory_equal(got + sizeof text, "hello\n", 6);
}

static void
a_refusal_is_a_failure_within_the_call(void **state)
{
	(void)state;
	dial();
	assert_int_equal(told.failed, 1);
	assert_string_equal(told.why, "No such file or directory");
	assert_null(ours);
	assert_null(*reactor_endpoints(reactor));
}

static void
an_address_that_does_not_answer_is_a_failure_in_time(void **state)
{
	struct sockaddr_any address = far_address();
	int filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	far_listen(0);
	assert_int_equal(connect(filler, &address.u.sa, address.length), 0);
	dial();
	pass_ms(900);
	turn();
	turn();
	assert_int_equal(told.failed, 0);
	pass_ms(200);
	TURN_UNTIL(told.failed == 1);
	assert_string_equal(told.why, "Connection timed out");
	assert_int_equal(told.up, 0);
	close(filler);
}

static void
addresses_of_another_family_than_bind_are_told(void **state)
{
	struct sockaddr_any *addresses = calloc(1, sizeof *addresses);

	(void)state;
	settings.bind.in6.sin6_family = AF_INET6;
	addresses->u.in.sin_family = AF_INET;
	addresses->length = sizeof addresses->u.in;
	link_dial(&plan, &ours, addresses, 1);
	assert_int_equal(told.failed, 1);
	assert_string_equal(told.why, "no address is of the family of bind");
}

static void
a_peer_that_ends_its_side_is_a_loss_and_gets_what_it_is_owed(void **state)
{
	(void)state;
	connect_link();
	assert_comes(peer, "hello\n");
	seen.last_words = "owed\n";
	shutdown(peer, SHUT_WR);
	assert_told_lost(REASON_PEER_CLOSED, "");
	assert_int_equal(seen.ended, 1);
	assert_int_equal(seen.ending, 1);
	assert_comes(peer, "owed\n");
	assert_gone();
	assert_int_equal(seen.reason, REASON_PEER_CLOSED);
	assert_int_equal(told.lost, 1);
}

static void
a_reset_is_a_loss(void **state)
{
	char byte;

	(void)state;
	connect_link();
	TURN_UNTIL(recv(peer, &byte, 1, MSG_PEEK) == 1);
	close(peer);		/* that is unread */
	peer = -1;
	assert_told_lost(REASON_PEER_RESET, "");
	assert_gone();
	assert_int_equal(seen.ending, 0);
}

static void
silence_is_a_loss_and_only_lines_break_it(void **state)
{
	(void)state;
	settings.silence_timeout_ms = 100 * SECOND_MS;
	connect_link();
	for (int i = 0; i < 3; i++) {
		pass_ms(90 * SECOND_MS);
		say("line\n");
	}
	pass_ms(90 * SECOND_MS);
	say("bytes, but no line");
	assert_int_equal(told.lost, 0);
	pass_ms(11 * SECOND_MS);
	assert_told_lost(REASON_SILENCE_TIMEOUT, "");
	assert_int_equal(seen.ending, 1);
	close(peer);
	peer = -1;
	assert_gone();
	assert_int_equal(told.lost, 1);
}

static void
while_we_do_not_listen_there_is_no_silence(void **state)
{
	(void)state;
	settings.silence_timeout_ms = 100 * SECOND_MS;
	connect_link();
	transport_pause(seen.transport);
	for (int i = 0; i < 3; i++) {
		pass_ms(101 * SECOND_MS);
		turn();
		turn();
	}
	assert_int_equal(told.lost, 0);
	transport_resume(seen.transport);
	pass_ms(101 * SECOND_MS);
	assert_told_lost(REASON_SILENCE_TIMEOUT, "");
}

static void
no_byte_for_idle_timeout_is_a_loss(void **state)
{
	(void)state;
	settings.idle_timeout_ms = 1000;
	connect_link();
	assert_comes(peer, "hello\n");
	pass_ms(1100);
	TURN_UNTIL(seen.transport == NULL || transport_is_losing(seen.transport));
	close(peer);
	peer = -1;
	assert_told_lost(REASON_IDLE_TIMEOUT, "");
}

static void
one_that_is_given_up_ends_in_order_and_nobody_is_told(void **state)
{
	(void)state;
	connect_link();
	seen.last_words = "owed\n";
	link_end(ours, REASON_DONE);
	assert_null(ours);
	assert_int_equal(seen.ending, 1);
	assert_int_equal(seen.reason, REASON_DONE);
	assert_comes(peer, "hello\nowed\n");
	close(peer);
	peer = -1;
	assert_gone();
	assert_int_equal(told.lost + told.failed, 0);
}

static void
what_had_come_before_it_was_given_up_is_still_handled(void **state)
{
	(void)state;
	connect_link();
	assert_int_equal(write(peer, "last\n", 5), 5);
	link_end(ours, REASON_DONE);
	assert_int_equal(seen.ending, 0);
	TURN_UNTIL(seen.ending == 1);
	assert_int_equal(seen.length, 5);
	assert_memory_equal(seen.text, "last\n", 5);
}

static void
it_is_ending_until_all_has_been_said(void **state)
{
	(void)state;
	connect_link();
	assert_false(link_is_ending(reactor, "up"));
	seen.stays = true;
	link_end(ours, REASON_DONE);
	assert_true(link_is_ending(reactor, "up"));
	assert_false(link_is_ending(reactor, "down"));
	shutdown(peer, SHUT_WR);		/* that is no second end, and nobody's loss */
	TURN_UNTIL(seen.ended == 1);
	assert_int_equal(seen.ending, 1);
	assert_int_equal(seen.reason, REASON_DONE);
	assert_true(link_is_ending(reactor, "up"));
	transport_lose(seen.transport, REASON_DONE);
	assert_false(link_is_ending(reactor, "up"));
	assert_gone();
	assert_int_equal(told.lost, 0);
}

static void
one_that_only_waits_for_its_peer_is_not_ending(void **state)
{
	(void)state;
	connect_link();
	link_end(ours, REASON_DONE);
	assert_comes(peer, "hello\n");
	assert_int_equal(seen.lost, 0);
	assert_false(link_is_ending(reactor, "up"));
}

static void
one_that_dials_is_given_up_at_once(void **state)
{
	struct sockaddr_any address = far_address();
	int filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	far_listen(0);
	assert_int_equal(connect(filler, &address.u.sa, address.length), 0);
	for (int i = 0; i < 2; i++) {
		size_t before = descriptor_count();

		dial();
		assert_int_equal(descriptor_count(), before + 1);
		if (i == 0)
			link_end(ours, REASON_DONE);
		else
			link_forsake(ours);
		assert_null(ours);
		assert_null(*reactor_endpoints(reactor));
		assert_int_equal(descriptor_count(), before);
	}
	assert_int_equal(told.failed + told.lost, 0);
	close(filler);
}

static void
one_that_is_forsaken_goes_on_until_all_stop(void **state)
{
	(void)state;
	connect_link();
	link_forsake(ours);
	assert_null(ours);
	say("word\n");
	assert_comes(peer, "hello\n");
	assert_false(link_is_ending(reactor, "up"));
	endpoints_stop(reactor);
	assert_int_equal(seen.stopping, 1);
	assert_int_equal(seen.ending, 0);
	close(peer);
	peer = -1;
	assert_gone();
	assert_int_equal(seen.reason, REASON_SHUTDOWN);
	assert_int_equal(told.lost, 0);
}

/* It is not the pump that is spoken of. */
static void
a_device_is_called_by_its_address(void **state)
{
	(void)state;
	plan.address = "file:///the/log";
	open_link(far_append("log", "one\n"), PROTOCOL_READS);
	assert_string_equal(transport_peer_text(seen.transport), "file:///the/log");
}

static void
one_that_was_dialled_is_called_by_its_peers_address(void **state)
{
	(void)state;
	connect_link();
	assert_string_equal(transport_peer_text(seen.transport), "unix://");
}

static void
the_loss_of_a_device_says_why(void **state)
{
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	open_link(path, BOTH);
	assert_comes(far, "hello\n");
	close(far);
	TURN_UNTIL(told.lost == 1);
	assert_true(strcmp(told.why, "Input/output error") == 0
		    || strcmp(told.why, "end of file") == 0);
	assert_gone();
	assert_int_equal(seen.ended, 1);
}

static void
what_is_owed_to_a_device_is_written(void **state)
{
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	seen.last_words = "owed\n";
	open_link(path, BOTH);
	link_end(ours, REASON_DONE);
	assert_comes(far, "hello\nowed\n");
	assert_gone();
	close(far);
}

/* Else its successor would write in the midst of what is on its way. */
static void
a_device_is_ending_until_it_has_taken_all(void **state)
{
	const char *path = far_fifo("fifo");
	int far = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int other = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	(void)state;
	far_fill(other);
	close(other);
	open_link(path, PROTOCOL_WRITES);
	turn();
	link_end(ours, REASON_DONE);
	for (int i = 0; i < 5; i++)
		turn();
	assert_int_equal(seen.ending, 1);
	assert_true(link_is_ending(reactor, "up"));
	link_cut_device(reactor, "up", "file:///another");
	link_cut_device(reactor, "down", plan.address);
	assert_int_equal(seen.cut, 0);
	link_cut_device(reactor, "up", plan.address);
	assert_int_equal(seen.cut, 1);
	far_take(far);
	assert_comes(far, "hello\n");
	assert_gone();
	assert_false(link_is_ending(reactor, "up"));
	close(far);
}

/* Its begin is lost, unless the device has gone: then it was a line. */
static void
the_rest_of_a_line_that_was_begun_is_left_out(void **state)
{
	(void)state;
	for (int cut = 0; cut < 2; cut++) {
		const char *path = far_fifo(cut ? "cut" : "whole");
		const char *begun = cut ? "one\ntw" : "one\n";
		int far = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

		seen.length = told.up = 0;
		open_link(path, PROTOCOL_READS);
		assert_int_equal(write(far, begun, strlen(begun)), strlen(begun));
		TURN_UNTIL(seen.length == strlen(begun));
		link_end(ours, REASON_DONE);
		assert_gone();
		seen.length = told.up = 0;
		open_link(path, PROTOCOL_READS);
		assert_int_equal(write(far, "o\nthree\n", 8), 8);
		TURN_UNTIL(seen.length > 0);
		assert_int_equal(seen.length, cut ? 6 : 8);
		assert_memory_equal(seen.text, cut ? "three\n" : "o\nthree\n", seen.length);
		link_end(ours, REASON_DONE);
		assert_gone();
		close(far);
	}
}

/* Nor is it by the next but one, or where the next could not be had. */
static void
it_is_left_out_however_long_it_takes(void **state)
{
	const char *path = far_fifo("fifo"), *why;
	int far = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	(void)state;
	open_link(path, PROTOCOL_READS);
	assert_int_equal(write(far, "begi", 4), 4);
	TURN_UNTIL(seen.length == 4);
	link_end(ours, REASON_DONE);
	assert_gone();
	seen.length = told.up = 0;
	open_link(path, PROTOCOL_READS);
	assert_int_equal(write(far, "nn", 2), 2);
	for (int i = 0; i < 5; i++)
		turn();
	assert_int_equal(seen.length, 0);
	link_end(ours, REASON_DONE);
	assert_gone();
	struct device *device = device_open(path, PROTOCOL_READS, 0, &place, &why);
	far_leave_descriptors(1);
	link_open(&plan, &ours, device);
	far_leave_descriptors(-1);
	assert_int_equal(told.failed, 1);
	told.up = 0;
	open_link(path, PROTOCOL_READS);
	assert_int_equal(write(far, "ing\nnext\n", 9), 9);
	TURN_UNTIL(seen.length > 0);
	assert_int_equal(seen.length, 5);
	assert_memory_equal(seen.text, "next\n", 5);
	close(far);
}

/* What was begun there is no part of what comes when it is plugged in again. */
static void
a_port_that_was_unplugged_inside_a_line_begins_anew(void **state)
{
	static char much[100000];
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	memset(much, 'x', sizeof much);
	open_link(path, BOTH);
	assert_int_equal(write(far, "begi", 4), 4);
	TURN_UNTIL(seen.length == 4);
	transport_write(seen.transport, much, sizeof much);	/* the end comes as a reset */
	for (int i = 0; i < 20; i++)
		turn();
	close(far);
	TURN_UNTIL(told.lost == 1);
	assert_gone();
	far = far_terminal(&path);
	seen.length = told.up = 0;
	open_link(path, BOTH);
	assert_int_equal(write(far, "whole\n", 6), 6);
	TURN_UNTIL(seen.length == 6);
	link_end(ours, REASON_DONE);
	assert_comes(far, "hello\n");
	assert_gone();
	close(far);
}

/* They cannot be read again. */
static void
lines_of_a_file_that_was_moved_away_are_handed_on_at_the_end(void **state)
{
	(void)state;
	const char *path = far_append("log", "old1\n");
	seen.pauses = true;
	open_link(path, PROTOCOL_READS);
	TURN_UNTIL(seen.length == 5);		/* it is paused now */
	far_append("log", "old2\nold3\n");
	for (int i = 0; i < 2; i++) {
		pass_ms(150);
		turn();
		turn();
		if (i == 0) {
			rename(path, far_path("log.1"));
			far_append("log", "new1\n");
		}
	}
	link_end(ours, REASON_DONE);
	assert_gone();
	told.up = 0;
	seen.pauses = false;
	far_append("log", "new2\n");
	open_link(far_path("log"), PROTOCOL_READS);
	TURN_UNTIL(seen.length >= 25);
	assert_int_equal(seen.length, 25);
	assert_memory_equal(seen.text, "old1\nold2\nold3\nnew1\nnew2\n", 25);
}

static void
a_file_is_read_on_from_where_the_link_has_ended(void **state)
{
	(void)state;
	open_link(far_append("log", "one\n"), PROTOCOL_READS);
	TURN_UNTIL(seen.length == 4);
	link_end(ours, REASON_DONE);
	assert_int_equal(place.offset, 4);
	assert_gone();
	far_append("log", "two\n");
	told.up = 0;
	open_link(far_path("log"), PROTOCOL_READS);
	TURN_UNTIL(seen.length == 8);
	assert_memory_equal(seen.text, "one\ntwo\n", 8);
}

static size_t
whole_lines(void)
{
	const char *end = memrchr(seen.text, '\n', seen.length);

	return end == NULL ? 0 : (size_t)(end - seen.text) + 1;
}

/* Whenever that is: what its protocol has not come to, and the begin of a line, are read again. */
static void
a_file_is_read_on_from_the_last_line_that_came_whole(void **state)
{
	static char text[480 * 1000 + 1];
	enum { LENGTH = sizeof text - 1, LINE = 12 };

	(void)state;
	for (int i = 0; i < LENGTH / LINE; i++)
		snprintf(text + (size_t)i * LINE, LINE + 1, "line %06d\n", i);
	far_append("log", text);
	for (int round = 0; round < 6; round++) {
		told.up = 0;
		seen.pauses = round % 2 == 0;
		open_link(far_path("log"), PROTOCOL_READS);
		pass_ms(100);
		for (int i = 0; i < round / 2; i++)
			turn();
		link_end(ours, REASON_DONE);
		assert_gone();
		assert_int_equal(place.offset, whole_lines());
		seen.length = whole_lines();
	}
	assert_in_range(seen.length, 1, LENGTH - 1);
	told.up = 0;
	seen.pauses = false;
	open_link(far_path("log"), PROTOCOL_READS);
	TURN_UNTIL(seen.length >= LENGTH);
	assert_int_equal(seen.length, LENGTH);
	assert_memory_equal(seen.text, text, LENGTH);
}

/* Wherever the link is halted: the end that a begun line is given is no byte of the file. */
static void
a_file_that_was_replaced_inside_a_line_is_read_on_from_its_last_line(void **state)
{
	enum { BEGUN = sizeof "older\nbeg" - 1, NEW = BEGUN + sizeof "\nnew\n" - 1 };
	unsigned places[3] = { 0 };

	(void)state;
	for (int round = 0; round < 3 * 8; round++) {
		const char *path = far_append("log", "older\nbeg");

		seen.length = 0;
		told.up = 0;
		open_link(path, PROTOCOL_READS);
		TURN_UNTIL(seen.length == BEGUN);
		rename(path, far_path("log.1"));
		far_append("log", "new\nhalf");
		for (int i = 0; i < round / 3; i++) {
			send_cut = round % 3;
			pass_ms(50);
			turn();
		}
		link_end(ours, REASON_DONE);
		assert_gone();
		assert_memory_equal(seen.text, "older\nbeg\nnew\nhalf", seen.length);
		if (place.offset == 6)
			assert_int_equal(seen.length, BEGUN);
		else
			assert_int_equal(place.offset, seen.length >= NEW ? 4 : 0);
		places[place.offset / 3]++;	/* 0, 4 or 6 */
		unlink(path);
		place = (struct file_place){ 0 };
	}
	for (int i = 0; i < 3; i++)
		assert_true(places[i] > 0);
}

static void
a_place_in_a_file_is_kept_while_something_else_is_open(void **state)
{
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	open_link(far_append("log", "one\n"), PROTOCOL_READS);
	TURN_UNTIL(seen.length == 4);
	link_end(ours, REASON_DONE);
	assert_gone();
	told.up = 0;
	open_link(path, BOTH);
	link_end(ours, REASON_DONE);
	assert_gone();
	assert_int_equal(place.offset, 4);
	close(far);
}

static void
a_device_without_descriptors_is_a_failure(void **state)
{
	const char *path = far_fifo("fifo"), *why;
	struct device *device = device_open(path, PROTOCOL_READS, 0, &place, &why);

	(void)state;
	far_leave_descriptors(1);
	link_open(&plan, &ours, device);
	far_leave_descriptors(-1);
	assert_int_equal(told.failed, 1);
	assert_string_equal(told.why, "Too many open files");
	assert_null(ours);
	assert_null(*reactor_endpoints(reactor));
}

#define WITH_REACTOR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_REACTOR(it_is_up_when_it_is_connected),
		WITH_REACTOR(the_preamble_comes_first_and_whole_wherever_it_is_cut),
		WITH_REACTOR(a_long_preamble_comes_first_and_whole),
		WITH_REACTOR(a_refusal_is_a_failure_within_the_call),
		WITH_REACTOR(an_address_that_does_not_answer_is_a_failure_in_time),
		WITH_REACTOR(addresses_of_another_family_than_bind_are_told),
		WITH_REACTOR(a_peer_that_ends_its_side_is_a_loss_and_gets_what_it_is_owed),
		WITH_REACTOR(a_reset_is_a_loss),
		WITH_REACTOR(silence_is_a_loss_and_only_lines_break_it),
		WITH_REACTOR(while_we_do_not_listen_there_is_no_silence),
		WITH_REACTOR(no_byte_for_idle_timeout_is_a_loss),
		WITH_REACTOR(one_that_is_given_up_ends_in_order_and_nobody_is_told),
		WITH_REACTOR(what_had_come_before_it_was_given_up_is_still_handled),
		WITH_REACTOR(it_is_ending_until_all_has_been_said),
		WITH_REACTOR(one_that_only_waits_for_its_peer_is_not_ending),
		WITH_REACTOR(one_that_dials_is_given_up_at_once),
		WITH_REACTOR(one_that_is_forsaken_goes_on_until_all_stop),
		WITH_REACTOR(a_device_is_called_by_its_address),
		WITH_REACTOR(one_that_was_dialled_is_called_by_its_peers_address),
		WITH_REACTOR(the_loss_of_a_device_says_why),
		WITH_REACTOR(what_is_owed_to_a_device_is_written),
		WITH_REACTOR(a_device_is_ending_until_it_has_taken_all),
		WITH_REACTOR(the_rest_of_a_line_that_was_begun_is_left_out),
		WITH_REACTOR(it_is_left_out_however_long_it_takes),
		WITH_REACTOR(a_port_that_was_unplugged_inside_a_line_begins_anew),
		WITH_REACTOR(lines_of_a_file_that_was_moved_away_are_handed_on_at_the_end),
		WITH_REACTOR(a_file_is_read_on_from_where_the_link_has_ended),
		WITH_REACTOR(a_file_is_read_on_from_the_last_line_that_came_whole),
		WITH_REACTOR(a_file_that_was_replaced_inside_a_line_is_read_on_from_its_last_line),
		WITH_REACTOR(a_place_in_a_file_is_kept_while_something_else_is_open),
		WITH_REACTOR(a_device_without_descriptors_is_a_failure),
	};

	signal(SIGPIPE, SIG_IGN);
	hold_time();
	log_set_level(LEVEL_ERROR);
	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
