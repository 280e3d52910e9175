/* outbox.c - what a reactor's connections do at the end of a turn: send short messages, close. */
#include "net/outbox.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/batch.h"
#include "net/transport_private.h"

enum { LETTERS = BATCH_MAX / 2, CLOSINGS = BATCH_MAX - LETTERS, BYTES = 64 * 1024 };

struct letter {
	struct transport *transport;	/* NULL: there is nothing left to send */
	uint32_t begin, length;
	int result;			/* of sending it in a batch */
};

struct closing {
	int fd;
	int result;
};

struct outbox {
	struct deferred turn;		/* first */
	struct reactor *reactor;
	struct batch *batch;	/* NULL: there is none, or not yet */
	bool batch_tried;
	bool queued;
	unsigned count, closing_count;
	uint32_t used;
	struct letter letters[LETTERS];
	struct closing closings[CLOSINGS];
	uint8_t bytes[BYTES];
};

static const uint8_t *
letter_bytes(const struct outbox *outbox, const struct letter *letter)
{
	return outbox->bytes + letter->begin;
}

static void
letter_send(struct outbox *outbox, struct letter *letter)
{
	struct transport *transport = letter->transport;

	letter->transport = NULL;
	transport->boxed = false;
	transport_send_or_keep(transport, letter_bytes(outbox, letter), letter->length);
}

/* Does everything in one system call, if that can be had. */
static void
outbox_go(struct outbox *outbox)
{
	if (!outbox->batch_tried)
		outbox->batch = batch_new();
	outbox->batch_tried = true;
	if (outbox->batch == NULL)
		return;
	for (unsigned i = 0; i < outbox->count; i++) {
		struct letter *letter = &outbox->letters[i];

		if (letter->transport != NULL)
			batch_send(outbox->batch, transport_fd(letter->transport),
				   letter_bytes(outbox, letter), letter->length, &letter->result);
	}
	for (unsigned i = 0; i < outbox->closing_count; i++)
		batch_close(outbox->batch, outbox->closings[i].fd, &outbox->closings[i].result);
	if (!batch_go(outbox->batch)) {
		batch_free(outbox->batch);
		outbox->batch = NULL;
	}
}

/* Lets the transports know what came of sending; failures last, for they may have others called. */
static void
outbox_settle(struct outbox *outbox)
{
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < outbox->count; i++) {
			struct letter *letter = &outbox->letters[i];
			struct transport *transport = letter->transport;

			if (transport == NULL || letter->result == BATCH_UNDONE
			    || (pass == 0 && letter->result < 0))
				continue;
			letter->transport = NULL;
			transport->boxed = false;
			transport_keep_rest(transport, letter_bytes(outbox, letter), letter->length,
					    letter->result);
		}
}

/* Sends and closes everything, what is written meanwhile as well. */
static void
outbox_empty(struct outbox *outbox)
{
	unsigned closing_count = outbox->closing_count;

	if (outbox->count + closing_count > 1)
		outbox_go(outbox);
	for (unsigned i = 0; i < closing_count; i++)
		if (outbox->closings[i].result == BATCH_UNDONE)
			close(outbox->closings[i].fd);
	outbox->closing_count = 0;
	outbox_settle(outbox);
	for (unsigned i = 0; i < outbox->count; i++)
		if (outbox->letters[i].transport != NULL)
			letter_send(outbox, &outbox->letters[i]);
	outbox->count = 0;
	outbox->used = 0;
}

static void
outbox_turn(struct deferred *deferred)
{
	struct outbox *outbox = (struct outbox *)deferred;

	outbox->queued = false;
	outbox_empty(outbox);
}

struct outbox *
outbox_new(struct reactor *reactor)
{
	struct outbox *outbox = malloc(sizeof *outbox);

	if (outbox == NULL)
		return NULL;
	/* Pages of the rest that are never used cost nothing. */
	memset(outbox, 0, offsetof(struct outbox, letters));
	outbox->turn.fn = outbox_turn;
	outbox->reactor = reactor;
	return outbox;
}

void
outbox_free(struct outbox *outbox)
{
	if (outbox == NULL)
		return;
	batch_free(outbox->batch);
	free(outbox);
}

void
outbox_thread_ended(struct outbox *outbox)
{
	batch_free(outbox->batch);
	outbox->batch = NULL;
	outbox->batch_tried = true;
}

static struct letter *
letter_of(struct outbox *outbox, const struct transport *transport)
{
	struct letter *letter = &outbox->letters[outbox->count];

	while ((--letter)->transport != transport)
		;
	return letter;
}

static void
outbox_queue(struct outbox *outbox)
{
	if (!outbox->queued)
		reactor_defer(outbox->reactor, &outbox->turn);
	outbox->queued = true;
}

bool
outbox_put(struct outbox *outbox, struct transport *transport, const void *bytes, size_t length)
{
	struct letter *last = &outbox->letters[outbox->count];

	if (length > OUTBOX_MESSAGE_MAX || length > BYTES - outbox->used)
		return false;
	if (transport->boxed) {
		/* It grows in its place, while nothing is behind it. */
		last--;
		if (last->transport != transport)
			return false;
	} else {
		if (outbox->count == LETTERS)
			return false;
		*last = (struct letter){
			.transport = transport,
			.begin = outbox->used,
			.result = BATCH_UNDONE,
		};
		outbox->count++;
		transport->boxed = true;
	}
	memcpy(outbox->bytes + outbox->used, bytes, length);
	outbox->used += (uint32_t)length;
	last->length += (uint32_t)length;
	outbox_queue(outbox);
	return true;
}

void
outbox_send(struct outbox *outbox, struct transport *transport)
{
	if (transport->boxed)
		letter_send(outbox, letter_of(outbox, transport));
}

void
outbox_forget(struct outbox *outbox, struct transport *transport)
{
	if (!transport->boxed)
		return;
	letter_of(outbox, transport)->transport = NULL;
	transport->boxed = false;
}

void
outbox_close(struct outbox *outbox, int fd)
{
	if (outbox->closing_count == CLOSINGS) {
		close(fd);
		return;
	}
	outbox->closings[outbox->closing_count].fd = fd;
	outbox->closings[outbox->closing_count++].result = BATCH_UNDONE;
	outbox_queue(outbox);
}
