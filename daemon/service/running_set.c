/* running_set.c - the listeners that run, and how they become those of another configuration. */
#include "service/running_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/datagram_port.h"
#include "net/factory.h"
#include "net/port.h"

void
running_add_error(struct config_errors *errors, const struct section_config *section,
		  const char *sentence)
{
	config_errors_add(errors, "%s: [%s:%s] %s", section->place, section_word(section->type),
			  section->name, sentence);
}

static void
release_config(void *config)
{
	section_config_unref(config);
}

struct factory *
running_factory(const struct running_place *place, struct section_config *section)
{
	return factory_new(section->protocol, section->name, section->settings, place->commons,
			   section_config_ref(section), release_config);
}

static struct running *
running_find(const struct running_set *set, const char *name)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, set->items[middle].config->name);

		if (order == 0)
			return &set->items[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* Makes and binds the listener of a section; predecessor may be NULL. NULL: errors says why. */
static struct listener *
listener_make(const struct running_place *place, struct section_config *config,
	      const struct running *predecessor, const struct port_list *known,
	      struct config_errors *errors)
{
	char error[512];
	struct factory *factory = running_factory(place, config);
	struct listener *listener = NULL;

	if (factory != NULL)
		listener = listener_new(&config->common.listener, factory,
					predecessor == NULL ? NULL : predecessor->listener,
					place->budget, (unsigned)place->reactor_count);
	if (listener == NULL) {
		running_add_error(errors, config, strerror(errno));
		return NULL;
	}
	if (listener_bind(listener, known, error, sizeof error) < 0) {
		char sentence[sizeof error + 16];

		snprintf(sentence, sizeof sentence, "listen: %s", error);
		running_add_error(errors, config, sentence);
		listener_free(listener);
		return NULL;
	}
	if (listener_prepare(listener, place->reactors, place->reactor_count) < 0) {
		running_add_error(errors, config, strerror(errno));
		listener_free(listener);
		return NULL;
	}
	return listener;
}

/* Appends the ports of a list to another; not their references. 0, or -1 without memory. */
static int
port_list_append(struct port_list *list, const struct port_list *more)
{
	struct port **items;

	if (more->count == 0)
		return 0;
	items = realloc(list->items, (list->count + more->count) * sizeof *items);
	if (items == NULL)
		return -1;
	memcpy(items + list->count, more->items, more->count * sizeof *items);
	list->items = items;
	list->count += more->count;
	return 0;
}

/* Every port there is: passed, of a listener that runs, or still held by flows of one that ran. */
static int
known_ports(const struct running_set *now, const struct running_place *place,
	    struct port_list *known)
{
	*known = (struct port_list){ 0 };
	if (port_list_append(known, place->passed) < 0)
		return -1;
	for (size_t i = 0; i < now->count; i++)
		if (port_list_append(known, listener_ports(now->items[i].listener)) < 0)
			return -1;
	return port_list_add_past(known);
}

/* The set of own datagram addresses of a set of listeners; NULL with errno. */
static struct own_addresses *
own_addresses_of(const struct running_set *set)
{
	struct port_list all = { 0 }, datagram = { 0 };
	struct own_addresses *own = NULL;

	for (size_t i = 0; i < set->count; i++)
		if (port_list_append(&all, listener_ports(set->items[i].listener)) < 0)
			goto out;
	for (size_t i = 0; i < all.count; i++)
		if (address_is_datagram(all.items[i]->kind))
			all.items[datagram.count++] = all.items[i];
	own = own_addresses_new((const struct port *const *)all.items, datagram.count);
out:
	free(all.items);
	return own;
}

/* Whether a section is as it runs already. */
static bool
is_unchanged(const struct running_set *now, const struct section_config *wanted)
{
	const struct running *old = running_find(now, wanted->name);

	return old != NULL && section_config_equal(old->config, wanted);
}

/* Marks the ports of the listeners that stay; the others are there to be claimed. */
static void
claim_unchanged(const struct running_set *now, const struct config *config,
		const struct port_list *known)
{
	for (size_t i = 0; i < known->count; i++)
		known->items[i]->claimed = false;
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct port_list *ports;

		if (!is_unchanged(now, config->listeners[i]))
			continue;
		ports = listener_ports(running_find(now, config->listeners[i]->name)->listener);
		for (size_t j = 0; j < ports->count; j++)
			ports->items[j]->claimed = true;
	}
}

/*
 * The set that is to run: what is unchanged as it is, the rest new and bound. known is for
 * port_list_clear_known in any case. -1: errors says why.
 */
static int
prepare(const struct running_set *now, const struct config *config,
	const struct running_place *place, struct running_set *next, struct port_list *known,
	struct config_errors *errors)
{
	next->items = calloc(config->listener_count + 1, sizeof *next->items);
	if (next->items == NULL || known_ports(now, place, known) < 0)
		return -1;
	claim_unchanged(now, config, known);
	for (size_t i = 0; i < config->listener_count; i++) {
		struct section_config *wanted = config->listeners[i];
		struct running *old = running_find(now, wanted->name);
		struct running *new = &next->items[next->count];

		if (is_unchanged(now, wanted)) {
			*new = *old;
			next->count++;
			continue;
		}
		/* Counters and limits go on only where they mean the same. */
		if (old != NULL && old->config->protocol != wanted->protocol)
			old = NULL;
		new->listener = listener_make(place, wanted, old, known, errors);
		if (new->listener == NULL)
			continue;
		new->config = section_config_ref(wanted);
		next->count++;
	}
	return next->count == config->listener_count ? 0 : -1;
}

/* Whether a listener is in both sets. */
static bool
is_kept(const struct running_set *set, const struct running *running)
{
	const struct running *same = running_find(set, running->config->name);

	return same != NULL && same->listener == running->listener;
}

static void
log_change(const struct running *running, const char *what)
{
	const struct port_list *ports = listener_ports(running->listener);

	for (size_t i = 0; i < ports->count; i++)
		log_notice("%s %s: %s %s", running->config->name, ports->items[i]->text,
			   listener_protocol(running->listener)->name, what);
}

/* What waits at the ports that have been replaced goes to the listeners of those in their place. */
static void
take_over(const struct running_set *next, const struct port_list *known)
{
	for (size_t i = 0; i < known->count; i++)
		for (size_t j = 0; known->items[i]->replaced_by != NULL && j < next->count; j++)
			if (listener_take_over(next->items[j].listener, known->items[i]))
				break;
}

/* Puts the new set in the place of the old one, and clears the known ports. */
static void
swap(struct running_set *old, const struct running_set *next, struct port_list *known,
     struct own_addresses *own, const struct running_place *place)
{
	for (size_t i = 0; i < old->count; i++) {
		if (is_kept(next, &old->items[i])) {
			listener_set_own(old->items[i].listener, own);
			continue;
		}
		listener_close(old->items[i].listener);
		if (running_find(next, old->items[i].config->name) == NULL)
			log_change(&old->items[i], "closed");
	}
	port_list_give_up(known);
	for (size_t i = 0; i < next->count; i++) {
		if (is_kept(old, &next->items[i]))
			continue;
		listener_open(next->items[i].listener, own, place->resolver);
		log_change(&next->items[i], running_find(old, next->items[i].config->name) == NULL
						    ? "listening"
						    : "changed");
	}
	take_over(next, known);
	port_list_clear_known(known);
	for (size_t i = 0; i < old->count; i++) {
		if (is_kept(next, &old->items[i]))
			continue;
		listener_free(old->items[i].listener);
		section_config_unref(old->items[i].config);
	}
	free(old->items);
	old->items = next->items;
	old->count = next->count;
	running_connectors_swap(&old->connectors, &next->connectors, place);
}

/* Frees what was prepared and is not running. */
static void
abandon(const struct running_set *now, struct running_set *next)
{
	for (size_t i = 0; i < next->count; i++) {
		if (is_kept(now, &next->items[i]))
			continue;
		listener_free(next->items[i].listener);
		section_config_unref(next->items[i].config);
	}
	free(next->items);
}

int
running_set_apply(struct running_set *now, const struct config *config,
		  const struct running_place *place, struct config_errors *errors)
{
	struct running_set next = { 0 };
	struct port_list known = { 0 };
	struct own_addresses *own = NULL;

	if (prepare(now, config, place, &next, &known, errors) == 0
	    && running_connectors_prepare(&now->connectors, config, place, &next.connectors, errors)
		       == 0)
		own = own_addresses_of(&next);
	if (own == NULL) {
		port_list_clear_known(&known);
		running_connectors_abandon(&now->connectors, &next.connectors);
		abandon(now, &next);
		return -1;
	}
	swap(now, &next, &known, own, place);
	own_addresses_unref(own);
	return 0;
}

void
running_set_free(struct running_set *set)
{
	running_connectors_free(&set->connectors);
	for (size_t i = 0; i < set->count; i++) {
		listener_free(set->items[i].listener);
		section_config_unref(set->items[i].config);
	}
	free(set->items);
	*set = (struct running_set){ 0 };
}
