/* factory.c - a protocol with its settings, and what its connections share; counted references. */
#include "net/factory.h"

#include <stdatomic.h>
#include <stdlib.h>

struct factory {
	atomic_uint refs;
	const struct protocol *protocol;
	const char *name;
	const void *settings;
	void *shared;
	void *owner;			/* of name and settings */
	void (*release)(void *owner);
};

struct factory *
factory_new(const struct protocol *protocol, const char *name, const void *settings, void *owner,
	    void (*release)(void *owner))
{
	struct factory *factory = calloc(1, sizeof *factory);

	if (factory != NULL) {
		atomic_init(&factory->refs, 1);
		factory->protocol = protocol;
		factory->name = name;
		factory->settings = settings;
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
	if (factory == NULL || atomic_fetch_sub_explicit(&factory->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (factory->protocol->factory_lost != NULL)
		factory->protocol->factory_lost(factory);
	factory->release(factory->owner);
	free(factory);
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
