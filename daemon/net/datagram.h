/* datagram.h - one received datagram, and the answer to it. */
#ifndef TWINED_NET_DATAGRAM_H
#define TWINED_NET_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

struct datagram;
struct factory;
union peer_address;

/*
 * The longest payload: 65,507 over IPv4, 65,527 over IPv6; unix datagrams are taken up to this too.
 */
enum { DATAGRAM_MAX = 65527 };

/*
 * Answers the sender, at most once a datagram. Whether an answer may go out is decided here, for
 * every protocol: never to a port below 1024, to one of our own addresses or to a multicast,
 * broadcast or unspecified one; not over udp_reply_rate; not longer than datagram_reply_max. What
 * may not go out is counted and dropped. bytes may be the received bytes; anything else is copied.
 */
void datagram_reply(struct datagram *datagram, const void *bytes, size_t length);

/* The longest answer that the amplification rule allows for this datagram. */
size_t datagram_reply_max(const struct datagram *datagram);

const void *datagram_settings(const struct datagram *datagram);
struct factory *datagram_factory(const struct datagram *datagram);

/* The sender's address; family 0 when it is a unix peer. */
const union peer_address *datagram_peer(const struct datagram *datagram);

/* The sender's address as text; valid until the thread's next call. */
const char *datagram_peer_text(const struct datagram *datagram);

#endif
