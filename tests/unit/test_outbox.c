/* test_outbox.c - short messages of many connections in one turn: with batches, without, and with broken ones. */
#include "net/outbox.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/batch.h"
#include "net/tally.h"
#include "net/transport.h"
#include "turns.h"

enum { MANY = 300 };

/* A batch of the tests' own, by plain calls; without bytes, a close. */
static enum { NO_BATCHES, BATCHES, BREAKS_DOWN } batches;

struct batch {
	struct {
		int fd;
		const void *bytes;
		size_t length;
		int *result;
	} calls[BATCH_MAX];
	unsigned count;
};

static unsigned batch_count, largest_batch;

struct batch *
batch_new(void)
{
	return batches == NO_BATCHES ? NULL : calloc(1, sizeof(struct batch));
}

void
batch_free(struct batch *batch)
{
	free(batch);
}

static void
batch_add(struct batch *batch, int fd, const void *bytes, size_t length, int *result)
{
	assert_in_range(batch->count, 0, BATCH_MAX - 1);
	batch->calls[batch->count].fd = fd;
	batch->calls[batch->count].bytes = bytes;
	batch->calls[batch->count].length = length;
	batch->calls[batch->count++].result = result;
	*result = BATCH_UNDONE;
}

void
batch_send(struct batch *batch, int fd, const void *bytes, size_t length, int *result)
{
	batch_add(batch, fd, bytes, length, result);
}

void
batch_close(struct batch *batch, int fd, int *result)
{
	batch_add(batch, fd, NULL, 0, result);
}

bool
batch_go(struct batch *batch)
{
	unsigned most = batches == BREAKS_DOWN ? batch->count / 2 : batch->count;

	batch_count++;
	if (batch->count > largest_batch)
		largest_batch = batch->count;
	for (unsigned i = 0; i < most; i++) {
		ssize_t done = batch->calls[i].bytes == NULL
				       ? close(batch->calls[i].fd)
				       : send(batch->calls[i].fd, batch->calls[i].bytes,
					      batch->calls[i].length, MSG_NOSIGNAL | MSG_DONTWAIT);

		*batch->calls[i].result = done < 0 ? -errno : (int)done;
	}
	batch->count = 0;
	return batches != BREAKS_DOWN;
}

static struct transport *transports[MANY];
static int peers[MANY];
static enum reason reasons[MANY];
static unsigned drained;

static unsigned
number_of(const struct transport *transport)
{
	for (unsigned i = 0; i < MANY; i++)
		if (transports[i] == transport)
			return i;
	return MANY;
}

static void
note_lost(struct transport *transport, enum reason reason)
{
	unsigned number = number_of(transport);

	assert_in_range(number, 0, MANY - 1);
	reasons[number] = reason;
	transports[number] = NULL;
}

static void
note_drained(struct transport *transport)
{
	(void)transport;
	drained++;
}

static const struct protocol counting = {
	.name = "counting",
	.own_flow_control = true,
	.drained = note_drained,
	.connection_lost = note_lost,
};

static struct factory *factory;
static struct counters counters;
static struct endpoint endpoint;

static void
release_nothing(void *owner)
{
	(void)owner;
}

static int
begin(void **state)
{
	batches = (uintptr_t)*state;
	batch_count = largest_batch = drained = 0;
	memset(&counters, 0, sizeof counters);
	reactor = reactor_new(0, REACTOR_AUTO);
	assert_non_null(reactor);
	factory = factory_new(&counting, "test", NULL, NULL, NULL, release_nothing);
	endpoint = (struct endpoint){
		.reactor = reactor, .factory = factory, .name = "test", .counters = &counters
	};
	endpoint_enter(&endpoint);
	for (unsigned i = 0; i < MANY; i++) {
		int fds[2];

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
		peers[i] = fds[1];
		reasons[i] = REASON_COUNT;
		transports[i] = transport_new(&endpoint, &counting, fds[0], NULL);
		assert_non_null(transports[i]);
	}
	return 0;
}

static int
end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		if (transports[i] != NULL)
			transport_abort(transports[i], REASON_DONE);
		if (peers[i] >= 0)
			close(peers[i]);
	}
	turn();
	assert_null(endpoint.transports);
	endpoint_leave(&endpoint);
	reactor_free(reactor);
	factory_unref(factory);
	return 0;
}

/* What a peer has got up to now, as text. */
static const char *
received(unsigned number)
{
	static char text[8192];
	ssize_t length = recv(peers[number], text, sizeof text - 1, 0);

	text[length > 0 ? length : 0] = '\0';
	return text;
}

static void
write_text(unsigned number, const char *text)
{
	transport_write(transports[number], text, strlen(text));
}

static void
messages_leave_at_the_end_of_the_turn(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		write_text(i, "one");
		assert_string_equal(received(i), "");
		assert_int_equal(transport_pending(transports[i]), 0);
	}
	turn();
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(received(i), "one");
	assert_int_equal(batch_count, batches != NO_BATCHES);
	write_text(0, "two");
	turn();
	assert_string_equal(received(0), "two");
	assert_int_equal(batch_count, batches != NO_BATCHES);	/* one alone needs none */
	assert_int_equal(counters.bytes_out, 4 * 3);
}

static void
what_is_written_in_pieces_keeps_its_order(void **state)
{
	char large[OUTBOX_MESSAGE_MAX + 2];

	(void)state;
	write_text(0, "a");
	write_text(0, "b");
	write_text(1, "x");
	write_text(0, "c");		/* nothing can be added to ab, which goes now */
	assert_string_equal(received(0), "abc");
	write_text(0, "d");
	turn();
	assert_string_equal(received(0), "d");
	assert_string_equal(received(1), "x");

	memset(large, 'L', sizeof large - 1);
	large[sizeof large - 1] = '\0';
	write_text(2, "before ");
	write_text(2, large);
	assert_memory_equal(received(2), "before LLL", 10);
	write_text(3, "before the end");
	transport_end_write(transports[3]);
	assert_string_equal(received(3), "before the end");
	write_text(4, "before the loss");
	transport_lose(transports[4], REASON_DONE);
	assert_string_equal(received(4), "before the loss");
	write_text(5, "before an offer");
	transport_offer(transports[5], &(struct iovec){ " that", 5 }, 1);
	assert_string_equal(received(5), "before an offer that");
	turn();
}

static void
more_than_it_holds_leaves_at_once(void **state)
{
	char message[1000];

	(void)state;
	memset(message, 'm', sizeof message);
	for (unsigned i = 0; i < MANY; i++)
		transport_write(transports[i], message, sizeof message);
	turn();
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(strlen(received(i)), sizeof message);
	for (unsigned i = 0; i < MANY; i++)
		write_text(i, "short");
	turn();
	for (unsigned i = 0; i < MANY; i++)
		assert_string_equal(received(i), "short");
	assert_int_equal(counters.bytes_out, MANY * (sizeof message + 5));
	if (batches == BATCHES)
		assert_in_range(largest_batch, 100, BATCH_MAX);
}

static void
who_is_aborted_or_has_gone_harms_nobody(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++)
		write_text(i, "text");
	transport_abort(transports[3], REASON_DENIED);
	close(peers[5]);
	peers[5] = -1;
	turn();
	turn();
	assert_int_equal(reasons[3], REASON_DENIED);
	assert_int_equal(reasons[5], REASON_PEER_RESET);
	for (unsigned i = 0; i < 10; i++)
		if (i != 3 && i != 5)
			assert_string_equal(received(i), "text");
}

static void
once_its_thread_has_ended_there_are_no_batches(void **state)
{
	(void)state;
	write_text(0, "before");
	write_text(1, "before");
	turn();
	batch_count = 0;
	outbox_thread_ended(reactor_outbox(reactor));
	for (unsigned i = 0; i < 2; i++)
		write_text(i, " after");
	turn();
	for (unsigned i = 0; i < 2; i++)
		assert_string_equal(received(i), "before after");
	assert_int_equal(batch_count, 0);
}

/* More than it holds, with messages of those who close and of others. */
static void
closings_are_seen_at_the_end_of_the_turn(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		if (i < 100)
			write_text(i, i % 2 == 0 ? "never sent" : "sent");
		if (i % 2 == 0 || i >= 100)
			transport_abort(transports[i], REASON_DENIED);
	}
	turn();
	for (unsigned i = 0; i < MANY; i++) {
		if (i % 2 == 0 || i >= 100) {
			assert_int_equal(recv(peers[i], &(char){ 0 }, 1, 0), 0);
			assert_int_equal(reasons[i], REASON_DENIED);
		} else {
			assert_string_equal(received(i), "sent");
		}
	}
}

/* What a full socket refuses of a letter comes later, and before what is written after it. */
static void
what_a_socket_refuses_is_kept_in_order(void **state)
{
	static char filler[64 * 1024], buffer[sizeof filler];
	const struct iovec piece = { .iov_base = filler, .iov_len = sizeof filler };
	size_t sent = 0, got = 0;
	ssize_t length;

	(void)state;
	memset(filler, 'f', sizeof filler);
	while (drained == 0 && sent % sizeof filler == 0)
		sent += transport_offer(transports[0], &piece, 1);
	for (unsigned i = 0; i < 2; i++)
		write_text(i, "first");
	turn();
	assert_in_range(transport_pending(transports[0]), 1, 5);
	assert_string_equal(received(1), "first");
	write_text(0, "second");
	assert_in_range(transport_pending(transports[0]), 7, 11);
	while (got < sent + 11) {
		length = recv(peers[0], buffer, sizeof buffer, 0);
		for (ssize_t i = 0; i < length; i++, got++)
			assert_int_equal(buffer[i], got < sent ? 'f' : "firstsecond"[got - sent]);
		turn();
	}
	assert_int_equal(transport_pending(transports[0]), 0);
	assert_int_equal(reasons[0], REASON_COUNT);
}

#define EACH(test, name, how) { #test name, test, begin, end, (void *)(uintptr_t)(how) }
#define EVERY_WAY(test)                                                                       \
	EACH(test, "_one_by_one", NO_BATCHES), EACH(test, "_in_batches", BATCHES),            \
		EACH(test, "_in_batches_that_break_down", BREAKS_DOWN)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		EVERY_WAY(messages_leave_at_the_end_of_the_turn),
		EVERY_WAY(what_is_written_in_pieces_keeps_its_order),
		EVERY_WAY(more_than_it_holds_leaves_at_once),
		EVERY_WAY(who_is_aborted_or_has_gone_harms_nobody),
		EVERY_WAY(once_its_thread_has_ended_there_are_no_batches),
		EVERY_WAY(closings_are_seen_at_the_end_of_the_turn),
		EVERY_WAY(what_a_socket_refuses_is_kept_in_order),
	};

	log_set_level(LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
