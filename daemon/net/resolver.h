/* resolver.h - looks names up in threads of its own: no event loop waits for a name server. */
#ifndef TWINED_NET_RESOLVER_H
#define TWINED_NET_RESOLVER_H

#include <stddef.h>

#include "net/address.h"

struct lookup;
struct reactor;
struct resolver;

/* So many names are asked for at a time, each by a thread with at most so many descriptors. */
enum { RESOLVER_THREADS = 8, RESOLVER_DESCRIPTORS = 3 };

/* Starts no thread before the first look-up. NULL with errno. */
struct resolver *resolver_new(void);

/*
 * Frees it, never waiting; NULL is fine. Look-ups must have been answered or cancelled; a thread
 * that still waits for a name server is left behind and frees what it uses.
 */
void resolver_free(struct resolver *resolver);

/*
 * Is told every socket address there is, which it frees, or error, the tail of a sentence that
 * lives as long as this call.
 */
typedef void lookup_done_fn(void *arg, const char *error, struct sockaddr_any *found, size_t count);

/*
 * Looks an address up (address_resolve of address.h), and calls done once, in the reactor's thread,
 * never within this call. All look-ups of a name that wait at the same time ask once for it, also
 * when their ports differ. The address is copied. In the reactor's thread. NULL with ENOMEM.
 */
struct lookup *resolver_look_up(struct resolver *resolver, struct reactor *reactor,
				const struct address *address, lookup_done_fn *done, void *arg);

/* In the reactor's thread, before done: it will not be called. NULL is fine. */
void lookup_cancel(struct lookup *lookup);

#endif
