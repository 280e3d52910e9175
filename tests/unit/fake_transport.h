/* fake_transport.h - connections, datagrams and settings in memory: protocols tested without a network. */
#ifndef TWINED_TESTS_FAKE_TRANSPORT_H
#define TWINED_TESTS_FAKE_TRANSPORT_H

#include "net/datagram.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/transport.h"

/*
 * Defines every function of transport.h and datagram.h, so that the library's are not linked, and
 * runs what protocols defer in fake_turn. A failure aborts the test program.
 */

/* A factory of a protocol with its default settings, but for "key=value" strings up to a NULL. */
struct factory *fake_factory(const struct protocol *protocol, ...);

/*
 * What the protocol's settings_check says of such settings; NULL: nothing. Valid until the next
 * call.
 */
const char *fake_settings_check(const struct protocol *protocol, ...);

/* A connection: the protocol hears of it at once. Its socket takes everything. */
struct transport *fake_open(struct factory *factory);

/* Connections opened from now on have sockets that take so many bytes. */
void fake_set_first_room(size_t room);

/* The peer sends; given to the protocol in a buffer of exactly this size. */
void fake_receive(struct transport *transport, const void *bytes, size_t length);

/* The peer ends its side. */
void fake_end_read(struct transport *transport);

/* From now on the socket takes so many bytes and then no more. */
void fake_set_room(struct transport *transport, size_t room);

/*
 * As fake_set_room, and the loop notices it: what is pending goes, drained is called if it is due.
 */
void fake_drain(struct transport *transport, size_t room);

/* Up to which byte what the socket takes arrives; SIZE_MAX: all. */
void fake_set_arriving(struct transport *transport, size_t bytes);

/* What transport_way_ms says: 0 at first. */
void fake_set_way(struct transport *transport, uint64_t ms);

/* The end of a turn of the loop. */
void fake_turn(void);

/* Time passes: deadlines that are reached fire, each at its time, and turns end. */
void fake_pass(uint64_t ms);

/* Time passes in which nothing runs. */
void fake_freeze(uint64_t ms);

/* The connection is gone: connection_lost is called, and the transport freed. */
void fake_close(struct transport *transport, enum reason reason);

/* What has come and is not read yet: transport_read_owed brings it, in one piece. */
void fake_set_owed(struct transport *transport, const char *text);

/* What the peer has received. */
const uint8_t *fake_sent(const struct transport *transport, size_t *length);
void fake_forget_sent(struct transport *transport);

/* How many calls of transport_write and transport_offer reached the socket. */
unsigned fake_sends(const struct transport *transport);

bool fake_wants_drained(const struct transport *transport);
bool fake_is_paused(const struct transport *transport);

/* What transport_set_idle_timeout set last; 0 at first. */
int64_t fake_idle_timeout(const struct transport *transport);

/*
 * Our side was ended (and all is sent), or the whole connection by transport_lose or
 * transport_abort.
 */
bool fake_is_write_ended(const struct transport *transport);
bool fake_is_lost(const struct transport *transport);
bool fake_is_aborted(const struct transport *transport);
enum reason fake_reason(const struct transport *transport);

/* A datagram; returns whether it was answered, and the answer in reply. */
bool fake_datagram(struct factory *factory, const void *bytes, size_t length, size_t reply_max,
		   uint8_t reply[static DATAGRAM_MAX], size_t *reply_length);

#endif
