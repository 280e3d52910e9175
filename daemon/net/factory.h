/* factory.h - a protocol with its settings, and what its connections share; counted references. */
#ifndef TWINED_NET_FACTORY_H
#define TWINED_NET_FACTORY_H

#include "net/protocol.h"

struct commons;
struct factory;
struct reactor;
struct resolver;

/*
 * Makes a factory with one reference. name and settings (of protocol->settings_size bytes) belong
 * to owner, and live until release(owner) is called: when the factory ends, or when this fails.
 * commons, which may be NULL, has what it shares with others, and outlives it. NULL with errno.
 */
struct factory *factory_new(const struct protocol *protocol, const char *name, const void *settings,
			    struct commons *commons, void *owner, void (*release)(void *owner));

/* From any thread. */
struct factory *factory_ref(struct factory *factory);
void factory_unref(struct factory *factory);

/*
 * Starts and stops what it does besides its connections: factory_started and factory_stopped are
 * called on the reactor, which lives on. For the control thread.
 */
void factory_start(struct factory *factory, struct reactor *reactor, struct resolver *resolver);
void factory_stop(struct factory *factory);

/*
 * On which of so many reactors it lives: those of many sections are spread evenly, those that share
 * something are on one.
 */
size_t factory_home(const struct factory *factory, size_t reactor_count);

/* From the start on: where it lives, and who looks names up for it. */
struct reactor *factory_reactor(const struct factory *factory);
struct resolver *factory_resolver(const struct factory *factory);

struct commons *factory_commons(const struct factory *factory);

const struct protocol *factory_protocol(const struct factory *factory);

/* The name of the listener: "echo". */
const char *factory_name(const struct factory *factory);

const void *factory_settings(const struct factory *factory);

/* What the protocol's connections share; factory_made sets it, factory_lost frees it. */
void *factory_shared(const struct factory *factory);
void factory_set_shared(struct factory *factory, void *shared);

#endif
