/* dialling.h - dials addresses until one answers (RFC 8305), and makes a transport of it. */
#ifndef TWINED_NET_DIALLING_H
#define TWINED_NET_DIALLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/address.h"

struct dialling;
struct endpoint;
struct protocol;
struct transport;

/*
 * After DIALLING_DELAY_MS without an answer, or as soon as an attempt fails, the next address is
 * tried as well; at most DIALLING_ATTEMPTS at a time. Each takes a descriptor.
 */
enum { DIALLING_DELAY_MS = 250, DIALLING_ATTEMPTS = 8 };

/* What to dial, and whom to tell. The addresses live until a callback or the cancelling. */
struct dial {
	const struct sockaddr_any *addresses;
	size_t count;			/* at least 1 */
	/*
	 * Begins with this one and goes on round the list, by turns with an address of its family
	 * and one of another.
	 */
	size_t first;
	int64_t timeout_ms;		/* for each attempt; 0: what the system waits */
	/*
	 * To dial IP addresses from, lives as long as addresses; those of the other family are left
	 * out. NULL or family 0: any.
	 */
	const union peer_address *source;
	const char *interface;		/* to dial IP addresses over; NULL: any */
	bool quiet;			/* failures, as of a check, are told at level debug only */
	/*
	 * The transport is made, its protocol's connection_made has been called, index says which
	 * address it was. It may be NULL: no memory.
	 */
	void (*connected)(void *arg, struct transport *transport, size_t index);
	/*
	 * Every address failed. Of all errors the one that tells most: a peer's refusal, else that
	 * nobody answered (ETIMEDOUT, EHOSTUNREACH), else that no way leads there from here.
	 * EAFNOSUPPORT: none is of the source's family. EMFILE and its like: we could not try.
	 */
	void (*failed)(void *arg, int error);
	void *arg;
};

/*
 * Dials; on the endpoint's reactor. Returns a dialling that is gone once a callback has been
 * called; NULL when that has happened already, within this call.
 */
struct dialling *dialling_begin(struct endpoint *endpoint, const struct protocol *protocol,
				const struct dial *dial);

/* Gives up; neither callback is called. NULL is fine. */
void dialling_cancel(struct dialling *dialling);

#endif
