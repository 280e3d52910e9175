/* factory.c - a protocol with its settings, and what its connections share; counted references. */
#include "net/factory.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "net/commons.h"
#include "net/reactor.h"

struct factory {
	atomic_uint refs;
	const struct protocol *protocol;
	const char *name;
	const void *settings;
	struct commons *commons;
	void *shared;
	struct reactor *reactor;	/* NULL: not started */
	struct resolver *resolver;
	void *owner;			/* of name and settings */
	void (*release)(void *owner);
};

struct factory *
factory_new(const struct protocol *protocol, const char *name, const void *settings,
	    struct commons *commons, void *owner, void (*release)(void *owner))
{
	struct factory *factory = calloc(1, sizeof *factory);

	if (factory != NULL) {
		atomic_init(&factory->refs, 1);
		factory->protocol = protocol;
		factory->name = name;
		factory->settings = settings;
		factory->commons = commons;
		factory->owner = owner;
		factory->release = release;
		if (protocol->factory_made == NULL || protocol->factory_made(factory) == 0)
			return factory;
	}
	release(owner);
	free(factory);
	return NULL;
}

struct factory *
factory_ref(struct factory *factory)
{
	atomic_fetch_add_explicit(&factory->refs, 1, memory_order_relaxed);
	return factory;
}

void
factory_unref(struct factory *factory)
{
	if (factory == NULL
	    || atomic_fetch_sub_explicit(&factory->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (factory->protocol->factory_lost != NULL)
		factory->protocol->factory_lost(factory);
	factory->release(factory->owner);
	free(factory);
}

static void
started_call(void *arg)
{
	struct factory *factory = arg;

	factory->protocol->factory_started(factory);
}

static void
stopped_call(void *arg)
{
	struct factory *factory = arg;

	factory->protocol->factory_stopped(factory);
}

void
factory_start(struct factory *factory, struct reactor *reactor, struct resolver *resolver)
{
	factory->reactor = reactor;
	factory->resolver = resolver;
	if (factory->protocol->factory_started != NULL)
		reactor_call_wait(reactor, started_call, factory);
}

void
factory_stop(struct factory *factory)
{
	if (factory->protocol->factory_stopped != NULL)
		reactor_call_wait(factory->reactor, stopped_call, factory);
}

size_t
factory_home(const struct factory *factory, size_t reactor_count)
{
	const char *name = shared_name(factory->protocol, factory->settings, factory->name);
	uint32_t hash = 2166136261;

	for (const char *at = name; *at != '\0'; at++)
		hash = (hash ^ (uint8_t)*at) * 16777619;
	return hash % reactor_count;
}

struct reactor *
factory_reactor(const struct factory *factory)
{
	return factory->reactor;
}

struct resolver *
factory_resolver(const struct factory *factory)
{
	return factory->resolver;
}

struct commons *
factory_commons(const struct factory *factory)
{
	return factory->commons;
}

const struct protocol *
factory_protocol(const struct factory *factory)
{
	return factory->protocol;
}

const char *
factory_name(const struct factory *factory)
{
	return factory->name;
}

const void *
factory_settings(const struct factory *factory)
{
	return factory->settings;
}

void *
factory_shared(const struct factory *factory)
{
	return factory->shared;
}

void
factory_set_shared(struct factory *factory, void *shared)
{
	factory->shared = shared;
}
