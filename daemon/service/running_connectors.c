/* running_connectors.c - the connectors that run, and how they become those of another configuration. */
#include "service/running_connectors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/protocol.h"
#include "service/running_set.h"

static struct running_connector *
connector_find(const struct running_connectors *connectors, const char *name)
{
	for (size_t i = 0; i < connectors->count; i++)
		if (strcmp(connectors->items[i].config->name, name) == 0)
			return &connectors->items[i];
	return NULL;
}

/* Makes the connector of a section; predecessor may be NULL. NULL with errno. */
static struct connector *
connector_make(const struct running_place *place, struct section_config *config,
	       const struct running_connector *predecessor)
{
	struct factory *factory = running_factory(place, config);

	if (factory == NULL)
		return NULL;
	return connector_new(&config->common.connector, factory,
			     predecessor == NULL ? NULL : predecessor->connector,
			     (unsigned)place->reactor_count);
}

int
running_connectors_prepare(const struct running_connectors *now, const struct config *config,
			   const struct running_place *place, struct running_connectors *next,
			   struct config_errors *errors)
{
	next->items = calloc(config->connector_count + 1, sizeof *next->items);
	if (next->items == NULL)
		return -1;
	for (size_t i = 0; i < config->connector_count; i++) {
		struct section_config *wanted = config->connectors[i];
		const struct running_connector *old = connector_find(now, wanted->name);
		struct running_connector *new = &next->items[next->count];

		if (old != NULL && section_config_equal(old->config, wanted)) {
			*new = *old;
			next->count++;
			continue;
		}
		new->connector = connector_make(place, wanted, old);
		if (new->connector == NULL) {
			running_add_error(errors, wanted, strerror(errno));
			continue;
		}
		new->config = section_config_ref(wanted);
		next->count++;
	}
	return next->count == config->connector_count ? 0 : -1;
}

/* Whether a connector is in both. */
static bool
is_kept(const struct running_connectors *connectors, const struct running_connector *running)
{
	const struct running_connector *same = connector_find(connectors, running->config->name);

	return same != NULL && same->connector == running->connector;
}

static void
running_free(struct running_connector *running)
{
	connector_free(running->connector);
	section_config_unref(running->config);
}

static void
log_change(const struct running_connector *running, const char *what)
{
	log_notice("%s: connector for %s %s", running->config->name,
		   connector_protocol(running->connector)->name, what);
}

void
running_connectors_swap(struct running_connectors *now, const struct running_connectors *next,
			const struct running_place *place)
{
	for (size_t i = 0; i < now->count; i++) {
		if (is_kept(next, &now->items[i]))
			continue;
		connector_close(now->items[i].connector);
		if (connector_find(next, now->items[i].config->name) == NULL)
			log_change(&now->items[i], "closed");
	}
	for (size_t i = 0; i < next->count; i++) {
		if (is_kept(now, &next->items[i]))
			continue;
		log_change(&next->items[i], connector_find(now, next->items[i].config->name) == NULL
						    ? "begins"
						    : "changed");
		connector_open(next->items[i].connector, place->reactors, place->reactor_count,
			       place->resolver);
	}
	for (size_t i = 0; i < now->count; i++)
		if (!is_kept(next, &now->items[i]))
			running_free(&now->items[i]);
	free(now->items);
	*now = *next;
}

void
running_connectors_abandon(const struct running_connectors *now, struct running_connectors *next)
{
	for (size_t i = 0; i < next->count; i++)
		if (!is_kept(now, &next->items[i]))
			running_free(&next->items[i]);
	free(next->items);
}

void
running_connectors_free(struct running_connectors *connectors)
{
	for (size_t i = 0; i < connectors->count; i++) {
		connector_stop(connectors->items[i].connector);
		running_free(&connectors->items[i]);
	}
	free(connectors->items);
	*connectors = (struct running_connectors){ 0 };
}
