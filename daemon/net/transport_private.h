/* transport_private.h - a transport from within: for the files of transport.h only. */
#ifndef TWINED_NET_TRANSPORT_PRIVATE_H
#define TWINED_NET_TRANSPORT_PRIVATE_H

#include <stddef.h>

#include "net/address.h"
#include "net/endpoint.h"
#include "net/pipe_pool.h"
#include "net/reactor.h"
#include "net/transport.h"

struct evbuffer;
struct pipe;
struct protocol;

/*
 * The two sides of a connection end one after the other, in either order:
 *
 *   reading   READ_OPEN ── peer's end of stream ──▶ READ_ENDED
 *                 └─ transport_lose ──▶ READ_DROPPING ─────▲      what still comes is thrown away
 *   writing   WRITE_OPEN ── end_write, lose ──▶ WRITE_ENDING ── all sent ──▶ WRITE_ENDED
 *
 * With READ_ENDED and WRITE_ENDED the connection is closed.
 */
enum read_side { READ_OPEN, READ_DROPPING, READ_ENDED };
enum write_side { WRITE_OPEN, WRITE_ENDING, WRITE_ENDED };

/*
 * With edges (epoll) a socket is registered once, or twice, and an event says that something has
 * changed. What is known of the bytes that it holds for us:
 *
 *   edge ──▶ UNREAD_SOME ── a short read ──▶ UNREAD_HARDLY ── LOOK_MS later, a look ──▶ UNREAD_NONE
 *              │    ▲
 *              └────┘ a full read: goes on in the next turn
 *
 * A read can be short although there is more: before urgent data, or after a descriptor that a unix
 * peer has passed.
 */
enum unread { UNREAD_NONE, UNREAD_HARDLY, UNREAD_SOME };

struct transport {
	struct event event;		/* the socket; its flags are what we wait for */
	struct deadline deadline;	/* not later than the first time-out; looked at anew when it comes */
	struct endpoint *endpoint;
	const struct protocol *protocol;
	struct evbuffer *unsent;	/* what the socket refused; NULL when there is nothing */
	struct transport *next, **link;	/* in endpoint->transports */
	int64_t idle_timeout_ms;	/* 0: off */
	uint64_t made_ms;
	uint64_t active_ms;		/* when a byte last went either way */
	uint64_t progress_ms;		/* when output last moved, or came to wait */
	uint64_t acknowledged;		/* of what was sent, at progress_ms or later */
	uint64_t received, sent;
	uint64_t stop_at;		/* while stopping: what was received by then is all */
	struct deferred turn;		/* to be lost, when closed, or to go on */
	union peer_address peer;
	unsigned interest : 8;		/* EV_READ, EV_WRITE, EV_ET as registered */
	unsigned read_side : 2;
	unsigned write_side : 2;
	unsigned paused : 1;
	unsigned held : 1;		/* paused, and what is unread is nobody's */
	unsigned unread : 2;		/* with edges */
	unsigned full : 1;		/* the socket has refused bytes: with edges, it will tell of room */
	unsigned end_seen : 1;		/* with edges: the peer's end of stream is behind what is unread */
	unsigned looking : 1;		/* with edges: the socket is looked at when the deadline comes */
	unsigned queued : 1;		/* `turn` is */
	unsigned full_reads : 4;	/* in a row, as far as that counts */
	unsigned inlet : 4;		/* the number of a pipe: what is in it is sent next; 0: none */
	unsigned outlet : 4;		/* likewise: what is received goes into it; 0: to data_received */
	unsigned boxed : 1;		/* there is a letter of it in the outbox */
	unsigned reset_seen : 1;	/* by sending; what had come before is still to be read */
	unsigned want_drained : 1;
	unsigned stopping : 1;		/* after stop_at bytes the connection is given up */
	unsigned is_unix : 1;
	unsigned accepted : 1;		/* it counts for its endpoint */
	unsigned closed : 1;
	unsigned losing : 1;		/* reason is set, and is the one to be told */
	unsigned resetting : 1;		/* to be reset once the peer has all that is unsent */
	unsigned carried : 1;		/* behind the state, what the peer has dialled */
	unsigned reason : 8;
	_Alignas(uint64_t) unsigned char state[];	/* the protocol's: pointers and integers */
};

static inline int
transport_fd(const struct transport *transport)
{
	return event_get_fd(&transport->event);
}

_Static_assert(PIPES_MAX < 16, "the number of a pipe has four bits");

static inline struct pipe *
transport_inlet(const struct transport *transport)
{
	return pipe_find(reactor_pipes(transport->endpoint->reactor), transport->inlet);
}

static inline struct pipe *
transport_outlet(const struct transport *transport)
{
	return pipe_find(reactor_pipes(transport->endpoint->reactor), transport->outlet);
}

/* How many bytes are in the inlet. */
static inline size_t
transport_piped(const struct transport *transport)
{
	return transport->inlet == 0 ? 0 : transport_inlet(transport)->held;
}

/* Whether there are bytes that the socket has not taken yet. */
static inline bool
transport_has_unsent(const struct transport *transport)
{
	return transport->unsent != NULL || transport_piped(transport) > 0;
}

/* Whether there is output that the socket does not take yet, or somebody who waits to write. */
static inline bool
transport_output_waits(const struct transport *transport)
{
	return transport_has_unsent(transport) || transport->want_drained;
}

/* transport_end.c */

/* Gives the descriptor up; connection_lost follows at the end of the turn. */
void transport_close(struct transport *transport, enum reason reason);

/* Closes after an error (errno) of the socket. */
void transport_fail(struct transport *transport, int error);

/* Ends the connection, or our side of it, as far as that can be done now. */
void transport_settle(struct transport *transport);

/* All that had come by the time of transport_stop has been handled. */
void transport_stopped(struct transport *transport);

/* transport_timeout.c */

/* Makes sure that the deadline is not later than the first time-out. */
void transport_update_deadline(struct transport *transport);

/* What the deadline calls. */
void transport_deadline_reached(void *transport);

/* Output comes to wait, or has moved: write_timeout begins anew. */
void transport_note_progress(struct transport *transport);

/* transport_watch.c */

/* Registers the socket: 0, or -1 with ENOMEM. */
int transport_watch(struct transport *transport, int fd);

/* Waits for exactly what can be used now. */
void transport_update_interest(struct transport *transport);

/* The deadline has come: looks at the socket, if that has been put off until now. */
void transport_look(struct transport *transport);

/* Something has been read: as much as was asked for, or less. */
void transport_note_read(struct transport *transport, bool full);

/* The end of the stream has been read. */
void transport_note_end(struct transport *transport);

/* Has `turn` called at the end of a turn. */
void transport_queue(struct transport *transport);

/* The end of a turn: sends and reads what there was no edge for. */
void transport_go_on(struct transport *transport);

/* transport_io.c */

/* Reads once, and hands on what came. */
void transport_read(struct transport *transport);

/* Sends what the socket takes of some bytes and keeps the rest; its letter must have been sent. */
void transport_send_or_keep(struct transport *transport, const void *bytes, size_t length);

/* The same once it is known what send(2) has returned, or the negative error. */
void transport_keep_rest(struct transport *transport, const void *bytes, size_t length, int result);

/* Sends what has been put off to the end of the turn, before something that comes after it. */
void transport_send_letter(struct transport *transport);

/* Takes down what has been sent of what was offered, and what has been received. */
void transport_note_sent(struct transport *transport, size_t sent, size_t offered);
void transport_note_received(struct transport *transport, size_t length);

/* Sending has failed (errno). */
void transport_send_failed(struct transport *transport, int error);

/* Sends more of what waits. */
void transport_flush(struct transport *transport);

/* transport_splice.c */

/* Reads once into the outlet, and from there sends on: as recv(2). */
ssize_t transport_splice_in(struct transport *from);

/* Sends what is in the inlet, as far as that goes; false when the socket has failed. */
bool transport_push_inlet(struct transport *to);

/* Whether a read was as long as it could be: many in a row are a long stream. */
void transport_count_full_read(struct transport *transport, bool full);

/* From now on what is received goes to data_received again. */
void transport_leave_outlet(struct transport *from);

/* What is in the inlet is lost. */
void transport_drop_inlet(struct transport *to);

#endif
