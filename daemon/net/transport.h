/* transport.h - one stream connection: reads for its protocol, writes what it is told, ends in order. */
#ifndef TWINED_NET_TRANSPORT_H
#define TWINED_NET_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "net/reason.h"

struct endpoint;
struct factory;
struct protocol;
struct reactor;
struct transport;
union peer_address;

/*
 *                 transport_end_write / transport_lose          peer's end of stream
 *   OPEN ──────────────────────────────▶ flush ─▶ shutdown(WR) ──────────────▶ CLOSED
 *    │ peer's end of stream: read_ended       (linger_timeout)                   ▲
 *    └─▶ half closed, we may still write ─▶ transport_end_write ─▶ flush ────────┤
 *   any state ── reset, time-out, transport_abort ───────────────────────────────┘
 *
 * From CLOSED, connection_lost(reason) comes once, at the end of the turn, and then the transport
 * is gone. Calls on a closed transport do nothing. All functions are for the transport's own
 * reactor.
 */

/*
 * Makes a transport of a connected stream socket, which it owns from here on (also on failure, when
 * it is reset), and calls connection_made. It runs the protocol given: for an accepted connection
 * the endpoint's own, else that of the client side of it (an upstream connection). peer may be
 * NULL. NULL with errno when there is no memory.
 */
struct transport *transport_new(struct endpoint *endpoint, const struct protocol *protocol, int fd,
				const union peer_address *peer);

/*
 * The same of a connection for which a PROXY header names both ends: local is what the peer has
 * dialled.
 */
struct transport *transport_new_carried(struct endpoint *endpoint, const struct protocol *protocol,
					int fd, const union peer_address *peer,
					const union peer_address *local);

/*
 * Sends what the socket takes and keeps a copy of the rest; a short message is sent at the end of
 * the turn (outbox.h), or before whatever comes after it. Without memory the transport is aborted.
 */
void transport_write(struct transport *transport, const void *bytes, size_t length);

/*
 * Has what one transport receives moved to another one of the same reactor, past data_received and
 * without a copy, and no faster than that takes it. It ends by itself when either ends, or when
 * only short pieces come; where it cannot be, nothing happens. Worth it for a long stream: when
 * many reads in a row have been full.
 */
void transport_splice(struct transport *from, struct transport *to);
bool transport_is_long_stream(const struct transport *transport);

/*
 * Sends now what the socket takes and keeps nothing: returns the number of bytes taken. When that
 * is not all, `drained` is called once the socket takes more. 0 while transport_write's rest is
 * unsent.
 */
size_t transport_offer(struct transport *transport, const struct iovec *pieces, int count);

/* Has `drained` called as soon as the socket takes more, in a later turn of the loop. */
void transport_want_drained(struct transport *transport);

/* Whether anything that is written can still go anywhere: our side is open, and not being ended. */
bool transport_can_write(const struct transport *transport);

/*
 * For how many ms the way to the peer alone may keep its system from acknowledging anything: two
 * round trips, and two retransmissions of what is on its way, by their time-out without its
 * doublings (else a peer that is gone were never late). (tcp(7), TCP_INFO)
 */
uint64_t transport_way_ms(const struct transport *transport);

/*
 * How many bytes of what was sent the peer's system has acknowledged; on a unix socket, about how
 * many are read.
 */
uint64_t transport_acknowledged(const struct transport *transport);

/*
 * Whether the peer's system has acknowledged all that was written; on a unix socket, whether the
 * peer has read it.
 */
bool transport_is_delivered(const struct transport *transport);

/* How many bytes are held since the socket did not take them. */
size_t transport_pending(const struct transport *transport);

/*
 * Reads all that has come, and hands it to the protocol even if that has paused it: for a peer that
 * would not be read later.
 */
void transport_read_all(struct transport *transport);

/* How many bytes have come and are not read yet; 0 of a closed one. */
size_t transport_unread(const struct transport *transport);

/*
 * Stops and goes on reading; not counted. A closed or ended read side stays so. Should a paused
 * peer reset the connection, or a unix peer close it, that is noticed (with epoll) unless something
 * is unread: that comes first. Its end of stream alone is noticed when it is read.
 */
void transport_pause(struct transport *transport);
void transport_resume(struct transport *transport);

/*
 * As transport_pause, for a peer that nobody is there for yet: its reset is noticed whatever is
 * unread.
 */
void transport_hold(struct transport *transport);

/* Whether it does not read, by one of these. */
bool transport_is_paused(const struct transport *transport);

/*
 * Half-closes once what is pending is sent: the peer sees our end of stream and may go on sending.
 */
void transport_end_write(struct transport *transport);

/*
 * Closes in order: sends what is pending, ends our side, reads and drops until the peer ends too or
 * linger_timeout. data_received is not called again. The first reason given is the one told.
 */
void transport_lose(struct transport *transport, enum reason reason);

/* Closes at once with a reset; what is pending is dropped. */
void transport_abort(struct transport *transport, enum reason reason);

/*
 * Passes a reset on: the peer is still sent what it is owed, and when its system has acknowledged
 * that, or after linger_timeout, it is reset.
 */
void transport_reset(struct transport *transport, enum reason reason);

/*
 * How long no byte may go either way, beginning now; 0 is off. Before that it is the endpoint's
 * idle_timeout.
 */
void transport_set_idle_timeout(struct transport *transport, int64_t ms);
int64_t transport_idle_timeout(const struct transport *transport);

/*
 * What has gone over another one counts as gone over this one, too: its idle time goes on from
 * there.
 */
void transport_share_activity(struct transport *transport, const struct transport *other);

/*
 * Whether no byte has gone either way for so long, one that the peer's system has acknowledged only
 * since then included: a slow reader lives on what was sent long ago.
 */
bool transport_is_silent(struct transport *transport, int64_t ms);

/*
 * For a graceful stop: what the peer has sent so far is still read and handled, unless the
 * transport is being lost, or paused, then the protocol's `stopping` is called, or transport_lose
 * when it has none.
 */
void transport_stop(struct transport *transport);

/*
 * Reads on, of what the peer had sent when transport_stop was called, although the transport is
 * paused: whether anything has been read.
 */
bool transport_read_owed(struct transport *transport);

/*
 * While the daemon stops: closes a transport that only waits for its peer's end of stream, if the
 * peer's system has acknowledged every byte and sends nothing either.
 */
void transport_close_delivered(struct transport *transport);

/* The protocol's own state: state_size bytes, zeroed before connection_made. */
void *transport_state(struct transport *transport);

/* The settings, as the protocol's option table filled them. */
const void *transport_settings(const struct transport *transport);

struct factory *transport_factory(const struct transport *transport);
struct endpoint *transport_endpoint(const struct transport *transport);
struct reactor *transport_reactor(const struct transport *transport);

/* The peer has half-closed: nothing will come any more. */
bool transport_peer_has_ended(const struct transport *transport);

/* It is being lost, or is closed: nothing that comes is handed on any more. */
bool transport_is_losing(const struct transport *transport);

/* Both sides have ended, or it was aborted: nothing can be sent or received any more. */
bool transport_is_closed(const struct transport *transport);

/* The next transport of its endpoint, NULL at the end; endpoint->transports is the first. */
struct transport *transport_next(const struct transport *transport);

/* Where it was accepted or is dialled for, as the log says it: "echo tcp://127.0.0.1:7007". */
const char *transport_place(const struct transport *transport);

/* The peer's address; family 0 when it is a unix peer. */
const union peer_address *transport_peer(const struct transport *transport);

/*
 * What the peer has dialled: of a PROXY header, or else our own address. Family 0: of a unix
 * socket.
 */
void transport_local(const struct transport *transport, union peer_address *local);

/* Of a unix peer, the process that has connected; 0: not known. */
pid_t transport_peer_process(const struct transport *transport);

/*
 * The peer's address as text, "tcp://192.0.2.1:1234" or "unix://", or what its endpoint calls it;
 * valid until the thread's next call.
 */
const char *transport_peer_text(const struct transport *transport);

#endif
