/* resolver.h - looks names up in threads of its own, so that no event loop waits for a name server. */
#ifndef TWINED_NET_RESOLVER_H
#define TWINED_NET_RESOLVER_H

#include <stddef.h>

#include "net/address.h"

struct lookup;
struct reactor;
struct resolver;

/* At most so many names are asked for at a time; each takes a thread, and up to RESOLVER_DESCRIPTORS. */
enum { RESOLVER_THREADS = 8, RESOLVER_DESCRIPTORS = 3 };

/* Starts no thread before the first look-up. NULL with errno. */
struct resolver *resolver_new(void);

/*
 * Frees it, never waiting; NULL is fine. Look-ups must have been answered or cancelled; a thread that still
 * waits for a name server is left behind and frees what it uses.
 */
void resolver_free(struct resolver *resolver);

/*
 * Looks an address up (address_resolve of address.h), and calls done once, in the reactor's thread, never
 * within this call: with every socket address there is, which done frees, or with error, the tail of a
 * sentence that lives as long as that call. One name is asked for once for all look-ups of it that wait, also when their
 * ports differ. The address is copied. In the reactor's thread. NULL with ENOMEM.
 */
struct lookup *resolver_look_up(struct resolver *resolver, struct reactor *reactor,
				const struct address *address,
				void (*done)(void *arg, const char *error, struct sockaddr_any *found,
					     size_t count),
				void *arg);

/* In the reactor's thread, before done: it will not be called. NULL is fine. */
void lookup_cancel(struct lookup *lookup);

#endif
