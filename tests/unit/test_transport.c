/* test_transport.c - a transport over a socket pair: every byte, every order of endings, every time-out. */
#include "net/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "turns.h"

/* What the protocol under test has seen. */
static struct {
	unsigned made, lost, ended, drained, stopped;
	enum reason reason;
	size_t received;
} seen;

static void
note_made(struct transport *transport)
{
	(void)transport;
	seen.made++;
}

static void
note_lost(struct transport *transport, enum reason reason)
{
	assert_true(transport_is_closed(transport));
	transport_write(transport, "late", 4);		/* does nothing, harms nothing */
	transport_lose(transport, REASON_DONE);
	transport_abort(transport, REASON_ERROR);
	seen.lost++;
	seen.reason = reason;
}

static void
echo_bytes(struct transport *transport, const uint8_t *bytes, size_t length)
{
	seen.received += length;
	transport_write(transport, bytes, length);
}

static void
count_bytes(struct transport *transport, const uint8_t *bytes, size_t length)
{
	(void)transport;
	(void)bytes;
	seen.received += length;
}

static void
note_drained(struct transport *transport)
{
	(void)transport;
	seen.drained++;
}

static void
note_ended(struct transport *transport)
{
	(void)transport;
	seen.ended++;
}

static const struct protocol echoing = {
	.name = "echoing",
	.connection_made = note_made,
	.data_received = echo_bytes,
	.drained = note_drained,
	.connection_lost = note_lost,
};

/* Counts, and leaves its own side open when the peer ends. */
static const struct protocol counting = {
	.name = "counting",
	.connection_made = note_made,
	.data_received = count_bytes,
	.drained = note_drained,
	.read_ended = note_ended,
	.connection_lost = note_lost,
};

static void
note_stopping(struct transport *transport)
{
	(void)transport;
	seen.stopped++;
}

static const struct protocol stopping = {
	.name = "stopping",
	.connection_made = note_made,
	.data_received = count_bytes,
	.stopping = note_stopping,
	.connection_lost = note_lost,
};

static const struct protocol dropping = {
	.name = "dropping",
	.connection_made = note_made,
	.connection_lost = note_lost,
};

static enum reactor_backend backend = REACTOR_AUTO;
static struct factory *factory;
static struct counters counters;
static struct endpoint endpoint;
static struct transport *transport;
static int own;				/* its socket */
static int peer;			/* the other end of the pair, non-blocking */

static void
release_nothing(void *owner)
{
	(void)owner;
}

/* Writes a short message, and lets the turn end that sends it. */
static void
write_message(const char *text)
{
	transport_write(transport, text, strlen(text));
	turn();
}

/* Begins with a connected pair: the transport's socket, and its peer's. */
static void
begin_with(const struct protocol *protocol, const int fds[2])
{
	memset(&seen, 0, sizeof seen);
	memset(&counters, 0, sizeof counters);
	own = fds[0];
	peer = fds[1];
	reactor = reactor_new(0, backend);
	assert_non_null(reactor);
	factory = factory_new(protocol, "test", NULL, NULL, NULL, release_nothing);
	endpoint = (struct endpoint){ .reactor = reactor,
				      .factory = factory,
				      .name = "test",
				      .counters = &counters };
	endpoint_enter(&endpoint);
	transport = transport_new(&endpoint, protocol, fds[0], NULL);
	assert_non_null(transport);
	assert_int_equal(seen.made, 1);
}

static void
begin(const struct protocol *protocol)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	begin_with(protocol, fds);
}

static void
begin_tcp(const struct protocol *protocol)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fds[2];

	assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&address, sizeof address), 0);
	fds[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_in_range(fds[0], 0, 1000);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	close(listening);
	begin_with(protocol, fds);
}

static void
finish(enum reason reason)
{
	TURN_UNTIL(seen.lost > 0);
	turn();
	assert_int_equal(seen.lost, 1);
	assert_int_equal(seen.reason, reason);
	assert_int_equal(counters.open, 0);
	assert_int_equal(counters.closed[reason], 1);
	assert_null(endpoint.transports);
	endpoint_leave(&endpoint);
	reactor_free(reactor);
	factory_unref(factory);
	if (peer >= 0)
		close(peer);
}

/* Sends from the peer what goes at once. */
static size_t
peer_send(const void *bytes, size_t length)
{
	ssize_t sent = send(peer, bytes, length, MSG_NOSIGNAL);

	if (sent < 0) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	return (size_t)sent;
}

/* Reads at the peer: the length, 0 at the end of stream, -1 when there is nothing now. */
static ssize_t
peer_receive(void *bytes, size_t length)
{
	ssize_t received = recv(peer, bytes, length, 0);

	if (received < 0 && errno != EAGAIN)
		return 0;
	return received;
}

/* Reads at the peer until the end of stream; returns how many bytes came, which must be those. */
static size_t
peer_receive_all(const uint8_t *expected, size_t size)
{
	size_t total = 0;
	uint8_t buffer[5000];
	uint64_t until_ms = reactor_now_ms() + 10000;

	for (;;) {
		ssize_t length = peer_receive(buffer, sizeof buffer);

		if (length == 0)
			return total;
		if (length < 0) {
			assert_true(reactor_now_ms() < until_ms);
			turn();
			continue;
		}
		assert_in_range(total + (size_t)length, 1, size);
		assert_memory_equal(buffer, expected + total, (size_t)length);
		total += (size_t)length;
	}
}

static uint8_t *
pattern(size_t length)
{
	uint8_t *bytes = malloc(length);

	assert_non_null(bytes);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)(i * 31 + i / 251);
	return bytes;
}

static void
bytes_come_back_whole_cut_at_every_point(void **state)
{
	static const char text[] = "every byte, in order";
	size_t length = sizeof text - 1;

	(void)state;
	for (size_t cut = 0; cut <= length; cut++) {
		begin(&echoing);
		assert_int_equal(peer_send(text, cut), cut);
		turn();
		assert_int_equal(peer_send(text + cut, length - cut), length - cut);
		shutdown(peer, SHUT_WR);
		assert_int_equal(peer_receive_all((const uint8_t *)text, length), length);
		assert_int_equal(counters.bytes_in, length);
		assert_int_equal(counters.bytes_out, length);
		finish(REASON_PEER_CLOSED);
	}
}

static void
bytes_come_back_one_by_one(void **state)
{
	uint8_t *bytes = pattern(300);

	(void)state;
	begin(&echoing);
	for (size_t i = 0; i < 300; i++) {
		uint8_t byte = 0;

		peer_send(bytes + i, 1);
		TURN_UNTIL(peer_receive(&byte, 1) == 1);
		assert_int_equal(byte, bytes[i]);
	}
	shutdown(peer, SHUT_WR);
	finish(REASON_PEER_CLOSED);
	free(bytes);
}

/* The peer fills both directions before it reads: what is owed at the half-close is delivered. */
static void
a_half_close_loses_nothing_that_is_owed(void **state)
{
	size_t size = 4 << 20, sent = 0;
	uint8_t *bytes = pattern(size);
	unsigned stuck = 0;

	(void)state;
	begin(&echoing);
	while (stuck < 20) {
		size_t more = peer_send(bytes + sent, size - sent);

		sent += more;
		stuck = more > 0 ? 0 : stuck + 1;
		turn();
	}
	assert_in_range(sent, 1, size - 1);		/* it stopped reading, as its peer did */
	assert_in_range(transport_pending(transport), 1, 64 * 1024);
	shutdown(peer, SHUT_WR);
	assert_int_equal(peer_receive_all(bytes, sent), sent);
	finish(REASON_PEER_CLOSED);
	free(bytes);
}

static void
lose_delivers_and_waits_for_the_peers_end(void **state)
{
	size_t size = 1 << 20;
	uint8_t *bytes = pattern(size);
	uint8_t *received = malloc(size);

	(void)state;
	begin(&counting);
	peer_send("not read any more", 17);
	transport_write(transport, bytes, size);
	transport_lose(transport, REASON_DONE);
	transport_write(transport, "dropped", 7);
	assert_int_equal(peer_receive_all(bytes, size), size);
	for (unsigned i = 0; i < 10; i++)
		turn();
	assert_int_equal(seen.lost, 0);
	assert_int_equal(seen.received, 0);
	shutdown(peer, SHUT_WR);
	finish(REASON_DONE);
	free(bytes);
	free(received);
}

static void
the_peer_may_end_first_and_still_be_written_to(void **state)
{
	char buffer[10];

	(void)state;
	begin(&counting);
	shutdown(peer, SHUT_WR);
	TURN_UNTIL(seen.ended == 1);
	assert_int_equal(peer_receive(buffer, sizeof buffer), -1);
	write_message("late");
	assert_int_equal(peer_receive(buffer, sizeof buffer), 4);
	transport_end_write(transport);
	finish(REASON_PEER_CLOSED);
}

static void
a_peer_that_goes_after_its_end_is_noticed(void **state)
{
	(void)state;
	begin(&counting);
	shutdown(peer, SHUT_WR);
	TURN_UNTIL(seen.ended == 1);
	for (unsigned i = 0; i < 10; i++)
		turn();
	assert_int_equal(seen.lost, 0);
	close(peer);
	peer = -1;
	finish(REASON_PEER_CLOSED);
}

static void
a_loss_after_our_end_is_over_within_the_linger_timeout(void **state)
{
	(void)state;
	begin(&counting);
	transport_end_write(transport);
	turn();
	endpoint.linger_timeout_ms = 100;
	transport_lose(transport, REASON_SHUTDOWN);
	finish(REASON_SHUTDOWN);
}

static void
a_reset_is_passed_on_after_what_is_owed(void **state)
{
	size_t size = 1 << 20, received = 0;
	uint8_t *bytes = pattern(size), buffer[65536];

	(void)state;
	begin(&counting);
	endpoint.linger_timeout_ms = 10000;
	transport_write(transport, bytes, size);
	transport_reset(transport, REASON_UPSTREAM_RESET);
	while (received < size) {
		ssize_t length = peer_receive(buffer, sizeof buffer);

		assert_int_equal(seen.lost, 0);
		if (length > 0) {
			assert_memory_equal(buffer, bytes + received, (size_t)length);
			received += (size_t)length;
		}
		turn();
	}
	finish(REASON_UPSTREAM_RESET);
	free(bytes);
}

static void
a_reset_with_nothing_owed_is_at_once(void **state)
{
	(void)state;
	begin(&counting);
	transport_reset(transport, REASON_UPSTREAM_RESET);
	assert_true(transport_is_closed(transport));
	finish(REASON_UPSTREAM_RESET);
}

static void
we_may_end_first_and_still_receive(void **state)
{
	char byte;

	(void)state;
	begin(&counting);
	transport_end_write(transport);
	assert_int_equal(peer_receive(&byte, 1), 0);
	assert_int_equal(peer_send("12345", 5), 5);
	TURN_UNTIL(seen.received == 5);
	shutdown(peer, SHUT_WR);
	finish(REASON_PEER_CLOSED);
}

static void
a_closed_peer_is_a_reset_when_it_is_written_to(void **state)
{
	(void)state;
	begin(&counting);
	close(peer);
	peer = -1;
	transport_write(transport, "nobody", 6);
	finish(REASON_PEER_RESET);
}

/* An early answer, and then a reset: what we were sending is void, what we were sent is not. */
static void
what_a_peer_has_sent_before_its_reset_is_read_although_sending_fails(void **state)
{
	uint8_t *bytes = pattern(4 << 20);

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin_tcp(&counting);
		if (i == 0)
			transport_write(transport, bytes, 4 << 20);	/* waits in part */
		else
			write_message("unread");
		peer_send("early answer", 12);
		close(peer);
		peer = -1;
		if (i == 1) {
			struct pollfd reset = { .fd = own };

			while (!(reset.revents & POLLERR))
				poll(&reset, 1, 1);
			transport_write(transport, bytes, 8192);	/* so much is sent at once */
		}
		transport_write(transport, "and more", 8);
		finish(REASON_PEER_RESET);
		assert_int_equal(seen.received, 12);
	}
	free(bytes);
}

static void
abort_tells_its_reason_once(void **state)
{
	(void)state;
	begin(&counting);
	transport_abort(transport, REASON_TOO_SLOW);
	transport_abort(transport, REASON_ERROR);
	assert_int_equal(seen.lost, 0);			/* never from within a call */
	finish(REASON_TOO_SLOW);
}

static void
a_paused_transport_reads_nothing_unless_it_is_told(void **state)
{
	(void)state;
	begin(&counting);
	transport_pause(transport);
	peer_send("abc", 3);
	for (unsigned i = 0; i < 5; i++)
		turn();
	assert_int_equal(seen.received, 0);
	transport_read_all(transport);
	assert_int_equal(seen.received, 3);
	peer_send("def", 3);
	turn();
	assert_int_equal(seen.received, 3);
	transport_resume(transport);
	TURN_UNTIL(seen.received == 6);
	shutdown(peer, SHUT_WR);
	TURN_UNTIL(seen.ended == 1);
	transport_lose(transport, REASON_DONE);
	finish(REASON_DONE);
}

static void
an_offer_keeps_nothing_and_asks_again(void **state)
{
	size_t size = 8 << 20, taken = 0, received = 0;
	uint8_t *bytes = pattern(size), buffer[65536];

	(void)state;
	begin(&counting);
	while (taken < size) {
		struct iovec pieces[2] = {
			{ .iov_base = bytes + taken, .iov_len = (size - taken) / 2 },
			{ .iov_base = bytes + taken + (size - taken) / 2,
			  .iov_len = size - taken - (size - taken) / 2 },
		};
		unsigned drained = seen.drained;
		ssize_t length;

		taken += transport_offer(transport, pieces, 2);
		assert_int_equal(transport_pending(transport), 0);
		if (taken == size)
			break;
		while ((length = peer_receive(buffer, sizeof buffer)) > 0) {
			assert_memory_equal(buffer, bytes + received, (size_t)length);
			received += (size_t)length;
		}
		assert_int_equal(received, taken);
		TURN_UNTIL(seen.drained > drained);
	}
	transport_lose(transport, REASON_DONE);
	received += peer_receive_all(bytes + received, size - received);
	assert_int_equal(received, size);
	shutdown(peer, SHUT_WR);
	finish(REASON_DONE);
	free(bytes);
}

/* As who sends for ever does it: a turn each, whether the socket is full or not. */
static void
drained_is_called_whenever_it_is_asked_for(void **state)
{
	char buffer[10];

	(void)state;
	begin(&counting);
	for (unsigned i = 1; i <= 10; i++) {
		transport_want_drained(transport);
		assert_int_equal(seen.drained, i - 1);
		TURN_UNTIL(seen.drained == i);
		write_message("x");
	}
	assert_int_equal(peer_receive(buffer, sizeof buffer), 10);
	transport_abort(transport, REASON_DONE);
	finish(REASON_DONE);
}

static void
a_protocol_without_data_received_drops_all(void **state)
{
	uint8_t *bytes = pattern(1 << 20);
	size_t sent = 0;

	(void)state;
	begin(&dropping);
	while (sent < 1 << 20) {
		sent += peer_send(bytes, (1 << 20) - sent);
		turn();
	}
	shutdown(peer, SHUT_WR);
	TURN_UNTIL(seen.lost == 1);
	assert_int_equal(counters.bytes_in, sent);
	finish(REASON_PEER_CLOSED);
	free(bytes);
}

static void
silence_ends_with_the_idle_timeout(void **state)
{
	char byte;

	(void)state;
	begin(&counting);
	transport_abort(transport, REASON_DONE);
	finish(REASON_DONE);
	begin(&counting);
	transport_set_idle_timeout(transport, 150);
	endpoint.linger_timeout_ms = 100;
	transport_write(transport, "x", 1);
	transport_pause(transport);
	transport_want_drained(transport);
	TURN_UNTIL(seen.drained == 1);
	transport_want_drained(transport);
	transport_resume(transport);
	TURN_UNTIL(peer_receive(&byte, 1) == 0);
	finish(REASON_IDLE_TIMEOUT);
}

/* It begins anew with the call, may become longer, and may be taken off. */
static void
the_idle_timeout_of_one_connection_can_be_set(void **state)
{
	uint64_t set_ms;

	(void)state;
	begin(&counting);
	endpoint.linger_timeout_ms = 50;
	transport_set_idle_timeout(transport, 100);
	transport_set_idle_timeout(transport, 0);
	set_ms = reactor_now_ms();
	TURN_UNTIL(reactor_now_ms() - set_ms > 300);
	assert_int_equal(seen.lost, 0);
	transport_set_idle_timeout(transport, 100);
	transport_set_idle_timeout(transport, 400);
	set_ms = reactor_now_ms();
	TURN_UNTIL(seen.lost == 1);
	assert_true(reactor_now_ms() - set_ms >= 400);
	finish(REASON_IDLE_TIMEOUT);
}

static void
a_peer_that_reads_slowly_what_was_sent_long_ago_is_not_silent(void **state)
{
	enum { PIECES = 5, PIECE = 30000 };
	static uint8_t piece[PIECE];
	uint64_t at_ms;

	(void)state;
	begin(&counting);
	endpoint.linger_timeout_ms = 50;
	transport_set_idle_timeout(transport, 200);
	for (unsigned i = 0; i < PIECES; i++)
		transport_write(transport, piece, PIECE);
	assert_int_equal(transport_pending(transport), 0);
	for (unsigned i = 0; i < PIECES; i++) {
		at_ms = reactor_now_ms();
		TURN_UNTIL(reactor_now_ms() - at_ms > 150);
		assert_int_equal(seen.lost, 0);
		assert_int_equal(peer_receive(piece, PIECE), PIECE);
	}
	assert_false(transport_is_silent(transport, 200));
	finish(REASON_IDLE_TIMEOUT);
}

static void
lose_when_silent(struct transport *silent)
{
	transport_abort(silent, REASON_TOO_SLOW);
}

static void
a_protocol_may_say_what_silence_means(void **state)
{
	static const struct protocol impatient = {
		.name = "impatient",
		.connection_made = note_made,
		.silent = lose_when_silent,
		.connection_lost = note_lost,
	};

	(void)state;
	begin(&impatient);
	transport_set_idle_timeout(transport, 50);
	assert_int_equal(transport_idle_timeout(transport), 50);
	finish(REASON_TOO_SLOW);
}

static void
a_held_peer_that_resets_is_noticed(void **state)
{
	(void)state;
	begin(&counting);
	write_message("unread");
	peer_send("unread too", 10);
	transport_hold(transport);
	close(peer);			/* with something unread: a reset */
	peer = -1;
	finish(REASON_PEER_RESET);
	assert_int_equal(seen.received, 0);
}

static void
a_paused_peer_that_closes_with_nothing_unread_is_noticed(void **state)
{
	(void)state;
	begin(&counting);
	transport_pause(transport);
	close(peer);
	peer = -1;
	finish(REASON_PEER_CLOSED);
}

static void
what_a_paused_peer_has_sent_before_it_closed_is_kept(void **state)
{
	uint64_t held_ms;

	(void)state;
	begin(&counting);
	transport_pause(transport);
	peer_send("unread", 6);
	held_ms = reactor_now_ms();
	TURN_UNTIL(reactor_now_ms() - held_ms > 200);
	close(peer);
	peer = -1;
	held_ms = reactor_now_ms();
	TURN_UNTIL(reactor_now_ms() - held_ms > 200);
	assert_int_equal(seen.lost, 0);
	transport_resume(transport);
	TURN_UNTIL(seen.received == 6);
	TURN_UNTIL(seen.ended == 1);
	transport_abort(transport, REASON_DONE);
	finish(REASON_DONE);
}

/* The socket has told of the reset once, when it was written to. */
static void
a_reset_that_was_seen_is_one_although_nothing_is_read_any_more(void **state)
{
	(void)state;
	begin(&counting);
	transport_pause(transport);
	peer_send("half", 4);
	close(peer);
	peer = -1;
	transport_write(transport, "lost", 4);
	assert_int_equal(seen.lost, 0);
	transport_read_all(transport);
	assert_int_equal(seen.received, 4);
	TURN_UNTIL(seen.lost == 1);
	finish(REASON_PEER_RESET);
}

/* What has come by then, and no more. */
static void
a_stop_of_a_paused_transport_leaves_what_is_owed_to_be_read(void **state)
{
	(void)state;
	begin(&stopping);
	transport_pause(transport);
	peer_send("abc", 3);
	turn();
	assert_false(transport_read_owed(transport));
	transport_stop(transport);
	assert_int_equal(seen.stopped, 1);
	peer_send("later", 5);
	assert_true(transport_read_owed(transport));
	assert_in_range(seen.received, 3, 8);
	assert_false(transport_read_owed(transport));
	transport_abort(transport, REASON_DONE);
	finish(REASON_DONE);
}

/* The edge tells of all that is there, and a read ends before what follows the descriptor. */
static void
what_follows_a_passed_descriptor_is_read(void **state)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec piece = { .iov_base = "with a descriptor", .iov_len = 17 };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof control };

	(void)state;
	begin(&counting);
	memcpy(CMSG_DATA(&control.header), &(int){ STDERR_FILENO }, sizeof(int));
	assert_int_equal(sendmsg(peer, &message, MSG_NOSIGNAL), 17);
	assert_int_equal(peer_send(" and more", 9), 9);
	TURN_UNTIL(seen.received == 17 + 9);
	shutdown(peer, SHUT_WR);
	TURN_UNTIL(seen.ended == 1);
	transport_abort(transport, REASON_DONE);
	finish(REASON_DONE);
}

static void
what_follows_urgent_data_is_read(void **state)
{
	int there = 0;

	(void)state;
	begin_tcp(&counting);
	assert_int_equal(peer_send("before", 6), 6);
	assert_int_equal(send(peer, "!", 1, MSG_OOB), 1);
	assert_int_equal(peer_send("after", 5), 5);
	while (there < 6)		/* of what comes before the urgent byte, all is there once that is */
		assert_int_equal(ioctl(own, SIOCINQ, &there), 0);
	TURN_UNTIL(seen.received == 6 + 5);
	transport_abort(transport, REASON_DONE);
	finish(REASON_DONE);
}

static void
the_last_bytes_and_the_end_come_together(void **state)
{
	static const struct protocol *const both[] = { &counting, &dropping };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin(both[i]);
		peer_send("the last", 8);
		shutdown(peer, SHUT_WR);
		if (i == 0) {
			TURN_UNTIL(seen.ended == 1);
			assert_int_equal(seen.received, 8);
			transport_end_write(transport);
		}
		finish(REASON_PEER_CLOSED);
		assert_int_equal(counters.bytes_in, 8);
	}
}

static void
a_paused_peers_half_close_is_no_loss(void **state)
{
	uint64_t paused_ms;
	char buffer[10];

	(void)state;
	begin_tcp(&counting);
	transport_pause(transport);
	peer_send("unread", 6);
	shutdown(peer, SHUT_WR);
	paused_ms = reactor_now_ms();
	TURN_UNTIL(reactor_now_ms() - paused_ms > 300);
	assert_int_equal(seen.lost + seen.ended, 0);
	transport_write(transport, "still there", 5);
	TURN_UNTIL(peer_receive(buffer, sizeof buffer) == 5);
	transport_resume(transport);
	TURN_UNTIL(seen.ended == 1);
	assert_int_equal(seen.received, 6);
	transport_end_write(transport);
	finish(REASON_PEER_CLOSED);
}

/* Has the peer send what is read and what is not, end its side, and reset the connection. */
static void
reset_by_peer(bool held, bool reads, bool unread, bool ends)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	begin_tcp(&counting);
	if (reads) {
		peer_send("read", 4);
		TURN_UNTIL(seen.received == 4);
	}
	if (held)
		transport_hold(transport);
	else
		transport_pause(transport);
	if (unread)
		peer_send("unread", 6);
	if (ends)
		shutdown(peer, SHUT_WR);
	turn();
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(peer);
	peer = -1;
}

static void
a_peer_that_resets_a_paused_transport_is_noticed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		uint64_t begun_ms = reactor_now_ms();
		bool held = (i & 4) != 0;

		reset_by_peer(held, i & 1, held, i & 2);
		TURN_UNTIL(seen.lost > 0);
		assert_in_range(reactor_now_ms() - begun_ms, 0, 1000);
		finish(REASON_PEER_RESET);
	}
}

static void
what_a_paused_peer_has_sent_before_its_reset_comes_first(void **state)
{
	uint64_t reset_ms;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		reset_by_peer(false, i & 1, true, i & 2);
		reset_ms = reactor_now_ms();
		TURN_UNTIL(reactor_now_ms() - reset_ms > 250);
		assert_int_equal(seen.lost, 0);
		transport_resume(transport);
		finish(REASON_PEER_RESET);
		assert_int_equal(seen.received, (i & 1 ? 4 : 0) + 6);
	}
}

static void
a_stop_does_not_wait_for_what_a_paused_transport_does_not_read(void **state)
{
	(void)state;
	begin(&echoing);
	peer_send("unread", 6);
	transport_pause(transport);
	transport_stop(transport);
	close(peer);
	peer = -1;
	finish(REASON_SHUTDOWN);
	assert_int_equal(seen.received, 0);
}

static void
a_peer_that_does_not_take_ends_with_the_write_timeout(void **state)
{
	uint8_t *bytes = pattern(4 << 20);

	(void)state;
	begin(&counting);
	endpoint.write_timeout_ms = 150;
	transport_write(transport, bytes, 4 << 20);
	finish(REASON_WRITE_TIMEOUT);
	free(bytes);
}

static const struct tcp_info *path;		/* what is said of it; NULL: what is so */

int
getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	if (path == NULL || level != IPPROTO_TCP || name != TCP_INFO)
		return (int)syscall(SYS_getsockopt, fd, level, name, value, length);
	memcpy(value, path, *length);
	return 0;
}

static uint64_t
way_ms_on(const struct tcp_info *said)
{
	path = said;
	uint64_t ms = transport_way_ms(transport);
	path = NULL;
	return ms;
}

static void
the_way_to_a_peer_is_two_round_trips(void **state)
{
	static const struct tcp_info far_away = { .tcpi_min_rtt = 100000 },
				     not_known = { .tcpi_min_rtt = UINT32_MAX };

	(void)state;
	begin(&counting);
	assert_int_equal(way_ms_on(&far_away), 200);
	assert_int_equal(way_ms_on(&not_known), 0);
	transport_abort(transport, REASON_DONE);
	finish(REASON_DONE);
}

/* It has not stopped reading: something has been lost, and is sent again. */
static void
the_way_to_a_peer_is_two_retransmissions_more_where_one_is_due(void **state)
{
	static const struct tcp_info
		lossy = { .tcpi_unacked = 3, .tcpi_rto = 200000 },
		once_more = { .tcpi_unacked = 3, .tcpi_rto = 400000, .tcpi_backoff = 1 },
		gone = { .tcpi_unacked = 3, .tcpi_rto = 100000000, .tcpi_backoff = 14 },
		does_not_read = { .tcpi_unacked = 0, .tcpi_rto = 200000 };

	(void)state;
	begin(&counting);
	assert_int_equal(way_ms_on(&lossy), 400);
	assert_int_equal(way_ms_on(&once_more), 400);
	assert_int_equal(way_ms_on(&gone), 12);
	assert_int_equal(way_ms_on(&does_not_read), 0);
	transport_abort(transport, REASON_DONE);
	finish(REASON_DONE);
}

static void
a_peer_that_does_not_end_is_waited_for_within_the_linger_timeout(void **state)
{
	(void)state;
	begin(&counting);
	endpoint.linger_timeout_ms = 150;
	transport_lose(transport, REASON_DONE);
	finish(REASON_LINGER_TIMEOUT);
}

static void
a_stop_handles_what_has_come_and_then_ends(void **state)
{
	static const char text[] = "on its way when we stop";
	size_t length = sizeof text - 1;

	(void)state;
	begin(&echoing);
	peer_send(text, length);
	transport_stop(transport);
	assert_int_equal(peer_receive_all((const uint8_t *)text, length), length);
	/* The peer does not end: it has been told all, and is let go once it is quiet. */
	TURN_UNTIL(seen.lost > 0 || (transport_close_delivered(transport), false));
	finish(REASON_SHUTDOWN);
}

static int
use_levels(void **state)
{
	(void)state;
	backend = REACTOR_POLL;
	return 0;
}

static int
use_best(void **state)
{
	(void)state;
	backend = REACTOR_AUTO;
	return 0;
}

/* With edges, where the system has them, and without. */
#define BOTH_WAYS(test) { #test, test, NULL, NULL, NULL }, { #test "_by_levels", test, use_levels, use_best, NULL }

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(bytes_come_back_whole_cut_at_every_point),
		BOTH_WAYS(bytes_come_back_one_by_one),
		BOTH_WAYS(a_half_close_loses_nothing_that_is_owed),
		BOTH_WAYS(lose_delivers_and_waits_for_the_peers_end),
		BOTH_WAYS(the_peer_may_end_first_and_still_be_written_to),
		BOTH_WAYS(a_loss_after_our_end_is_over_within_the_linger_timeout),
		BOTH_WAYS(a_reset_is_passed_on_after_what_is_owed),
		BOTH_WAYS(a_reset_with_nothing_owed_is_at_once),
		BOTH_WAYS(we_may_end_first_and_still_receive),
		BOTH_WAYS(a_closed_peer_is_a_reset_when_it_is_written_to),
		BOTH_WAYS(what_a_peer_has_sent_before_its_reset_is_read_although_sending_fails),
		BOTH_WAYS(abort_tells_its_reason_once),
		BOTH_WAYS(a_paused_transport_reads_nothing_unless_it_is_told),
		BOTH_WAYS(an_offer_keeps_nothing_and_asks_again),
		BOTH_WAYS(drained_is_called_whenever_it_is_asked_for),
		BOTH_WAYS(a_protocol_without_data_received_drops_all),
		BOTH_WAYS(silence_ends_with_the_idle_timeout),
		BOTH_WAYS(the_idle_timeout_of_one_connection_can_be_set),
		BOTH_WAYS(a_peer_that_reads_slowly_what_was_sent_long_ago_is_not_silent),
		BOTH_WAYS(a_protocol_may_say_what_silence_means),
		BOTH_WAYS(what_a_paused_peer_has_sent_before_it_closed_is_kept),
		BOTH_WAYS(a_stop_of_a_paused_transport_leaves_what_is_owed_to_be_read),
		BOTH_WAYS(what_follows_a_passed_descriptor_is_read),
		BOTH_WAYS(what_follows_urgent_data_is_read),
		BOTH_WAYS(the_last_bytes_and_the_end_come_together),
		BOTH_WAYS(a_paused_peers_half_close_is_no_loss),
		BOTH_WAYS(a_stop_does_not_wait_for_what_a_paused_transport_does_not_read),
		BOTH_WAYS(a_peer_that_does_not_take_ends_with_the_write_timeout),
		BOTH_WAYS(the_way_to_a_peer_is_two_round_trips),
		BOTH_WAYS(the_way_to_a_peer_is_two_retransmissions_more_where_one_is_due),
		BOTH_WAYS(a_peer_that_does_not_end_is_waited_for_within_the_linger_timeout),
		BOTH_WAYS(a_stop_handles_what_has_come_and_then_ends),
		/* Those who are gone and were not read from are noticed by edges only. */
		cmocka_unit_test(a_peer_that_goes_after_its_end_is_noticed),
		cmocka_unit_test(a_held_peer_that_resets_is_noticed),
		cmocka_unit_test(a_paused_peer_that_closes_with_nothing_unread_is_noticed),
		cmocka_unit_test(a_peer_that_resets_a_paused_transport_is_noticed),
		cmocka_unit_test(what_a_paused_peer_has_sent_before_its_reset_comes_first),
		cmocka_unit_test(a_reset_that_was_seen_is_one_although_nothing_is_read_any_more),
	};

	log_set_level(LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
