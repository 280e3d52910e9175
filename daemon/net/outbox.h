/* outbox.h - what a reactor's connections do at the end of a turn: send short messages, close. */
#ifndef TWINED_NET_OUTBOX_H
#define TWINED_NET_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "net/reactor.h"

struct transport;

/*
 * Whoever is sent something may be woken at once, on this very CPU, before the sender goes on. A
 * turn that sends as it reads is so cut in pieces, and each piece wakes somebody else; one that
 * first reads all there is and then sends, in one system call (batch.h), takes a third less time
 * for the same messages. A closing wakes the peer, too. A transport has one letter at most: what it
 * writes meanwhile goes into that. A letter is a copy; to copy a short message costs nothing.
 */
struct outbox;

/* A longer message is sent where it is written, and so read into the same cache again. */
enum { OUTBOX_MESSAGE_MAX = 4096 };

/* NULL without memory. It lives as long as the reactor. */
struct outbox *outbox_new(struct reactor *reactor);
void outbox_free(struct outbox *outbox);

/*
 * The reactor's thread has ended: what is left is done by another one, which may not use the batch.
 */
void outbox_thread_ended(struct outbox *outbox);

/*
 * Takes a message that is to be sent at the end of this turn, behind what the transport has in the
 * outbox already. False when it does not; then outbox_send, and the caller sends it himself.
 */
bool outbox_put(struct outbox *outbox, struct transport *transport, const void *bytes,
		size_t length);

/* Sends now what there is of a transport, and forgets it without sending. */
void outbox_send(struct outbox *outbox, struct transport *transport);
void outbox_forget(struct outbox *outbox, struct transport *transport);

/* Closes a descriptor at the end of this turn. */
void outbox_close(struct outbox *outbox, int fd);

#endif
