/* connector_loop.c - follows connectors from hub to hub. */
#include "config/connector_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "config/address_reach.h"
#include "config/door.h"
#include "config/listener_check.h"
#include "config/route.h"
#include "config/sentence.h"
#include "config/value.h"
#include "net/commons.h"

/*
 * Where lines come to and go on from: a hub of ours; or what somebody else has at an address, which
 * may be one, and a file, which is read as it is written.
 */
struct place {
	char key[ADDRESS_IDENTITY_MAX];		/* what two that are the same have in common */
	const struct address *address;		/* of what is not ours; NULL: a hub */
	const struct section_config *dialler;	/* of that address */
};

struct loops {
	struct reading *reading;
	struct section_config *const *listeners;
	struct doors doors;
	struct place *places;
	size_t place_count;
	struct routes routes;
	size_t *reached;			/* of each listener: by which dial, the last one */
	size_t dials;
	const struct address *refused;		/* the last that was */
};

/* An address of a connector. */
struct dial {
	const struct section_config *connector;
	const struct placed *placed;		/* the connector's section */
	const struct address *address;
	size_t hub;				/* the connector's own */
	size_t number;
};

/* Whether two connectors say the same to whom they dial, on the same interface. */
static bool
diallers_are_alike(const struct section_config *a, const struct section_config *b)
{
	return value_equal(option_find(connector_options, "bind_device"), &a->common, &b->common)
	       && value_equal(option_find(connector_options, "preamble"), &a->common, &b->common);
}

static bool
places_are_same(const struct place *a, const struct place *b)
{
	if (strcmp(a->key, b->key) != 0)
		return false;
	if (a->address == NULL)
		return true;
	if (a->address->kind == ADDRESS_FILE)
		return strcmp(a->address->host, b->address->host) == 0;
	return diallers_are_alike(a->dialler, b->dialler)
	       && (address_reaches(a->address, b->address, NULL)
		   || address_reaches(b->address, a->address, NULL));
}

/* Numbers a place, which may have its number already: 0, or -1 without memory. */
static int
place_add(struct loops *loops, const struct place *place, size_t *number)
{
	struct place *places;

	for (*number = 0; *number < loops->place_count; ++*number)
		if (places_are_same(&loops->places[*number], place))
			return 0;
	places = array_grow(loops->places, loops->place_count, sizeof *places);
	if (places == NULL)
		return -1;
	loops->places = places;
	places[loops->place_count++] = *place;
	return 0;
}

static int
hub_add(struct loops *loops, const struct protocol *protocol, const void *settings,
	const char *section, size_t *number)
{
	struct place place = { 0 };

	snprintf(place.key, sizeof place.key, "%s %s", protocol->name,
		 shared_name(protocol, settings, section));
	return place_add(loops, &place, number);
}

/* A filter may be there to end a loop. */
static bool
is_selective(const struct protocol *protocol, const void *settings)
{
	return protocol->selects != NULL && protocol->selects(settings);
}

/* The ways that lines can go over what is dialled, between the connector and the other end. */
static unsigned
dial_ways(const struct dial *dial, unsigned other)
{
	unsigned own = dial->connector->protocol->ways(dial->connector->settings);

	/* What one end reads is what the other one writes. */
	return (other & PROTOCOL_WRITES ? own & PROTOCOL_READS : 0)
	       | (other & PROTOCOL_READS ? own & PROTOCOL_WRITES : 0);
}

/* Notes which ways lines can go between a connector's hub and another place. */
static int
dial_join(struct loops *loops, const struct dial *dial, size_t place, unsigned ways)
{
	struct step step = {
		.from = dial->hub,
		.to = place,
		.owner = dial->placed,
		.address = dial->address,
		.key = "connect",
	};

	if ((ways & PROTOCOL_WRITES) && routes_add(&loops->routes, &step) < 0)
		return -1;
	step.from = place;
	step.to = dial->hub;
	return ways & PROTOCOL_READS ? routes_add(&loops->routes, &step) : 0;
}

static int
dial_reach_listener(struct loops *loops, const struct dial *dial, const struct address *address,
		    const struct section_config *listener)
{
	const struct protocol *protocol = listener->protocol;
	size_t place;

	if (protocol != dial->connector->protocol
	    || is_selective(protocol, listener->settings))
		return 0;
	if (hub_add(loops, protocol, listener->settings, listener->name, &place) < 0)
		return -1;
	unsigned ways = dial_ways(dial, protocol->ways(listener->settings));
	if (place != dial->hub)
		return dial_join(loops, dial, place, ways);
	if (ways != 0)
		key_fault(&loops->reading->faults, dial->placed, "connect",
			  sentence_about(dial->address->text,
					 "%s [listener:%s], which has the same %s: every line "
					 "would come back",
					 address == dial->address ? "is" : "leads to",
					 listener->name, protocol->shares));
	return 0;
}

/* What is written to a device is not what is read there; one that is not plugged in is one, too. */
static bool
is_device(const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return strncmp(path, "/dev/", strlen("/dev/")) == 0;
	return !S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode);
}

static int
dial_reach_other(struct loops *loops, const struct dial *dial, const struct address *address)
{
	struct place place = { .key = "file", .address = address, .dialler = dial->connector };
	size_t number;

	if (address->kind == ADDRESS_FILE ? is_device(address->host)
					  : !address_reach_key(address, place.key))
		return 0;
	if (place_add(loops, &place, &number) < 0)
		return -1;
	return dial_join(loops, dial, number, dial_ways(dial, PROTOCOL_READS | PROTOCOL_WRITES));
}

/* Follows an address of a connector, and where that is a proxy of ours, its upstreams. */
static int
dial_follow(struct loops *loops, const struct dial *dial, const struct address *address)
{
	const struct door *door = doors_next(&loops->doors, address, NULL);
	bool is_datagram = address_is_datagram(address->kind);
	const char *key;

	if (door == NULL)
		return dial_reach_other(loops, dial, address);
	for (; door != NULL; door = doors_next(&loops->doors, address, door)) {
		const struct section_config *listener = loops->listeners[door->listener];
		const struct upstream_list *list = section_upstreams(listener, &key);

		if (loops->reached[door->listener] == dial->number)
			continue;
		loops->reached[door->listener] = dial->number;
		if (dial_reach_listener(loops, dial, address, listener) < 0)
			return -1;
		for (size_t i = 0; list != NULL && i < list->count; i++) {
			const struct address *upstream = &list->items[i].address;

			if (address_is_datagram(upstream->kind) != is_datagram)
				continue;
			if (dial_follow(loops, dial, upstream) < 0)
				return -1;
		}
	}
	return 0;
}

static int
connector_follow(struct loops *loops, const struct section_config *connector)
{
	const struct protocol *protocol = connector->protocol;
	const struct address_list *connect = &connector->common.connector.connect;
	struct dial dial = { .connector = connector };
	size_t faults = loops->reading->faults.count, steps = loops->routes.count;

	if (protocol->shares == NULL || is_selective(protocol, connector->settings))
		return 0;
	dial.placed = reading_find_named(loops->reading, "connector", connector->name);
	if (hub_add(loops, protocol, connector->settings, connector->name, &dial.hub) < 0)
		return -1;
	for (size_t i = 0; i < connect->count; i++) {
		dial.address = &connect->items[i];
		dial.number = ++loops->dials;
		if (dial_follow(loops, &dial, dial.address) < 0)
			return -1;
	}
	/* One that is refused already joins nothing. */
	if (loops->reading->faults.count > faults)
		loops->routes.count = steps;
	return 0;
}

static int
connectors_follow(struct loops *loops)
{
	const struct config *config = loops->reading->config;

	for (size_t i = 0; i < config->connector_count; i++)
		if (connector_follow(loops, config->connectors[i]) < 0)
			return -1;
	return 0;
}

/* Once for an address: mostly lines can go round the other way, too. */
static void
step_refuse(void *arg, const struct step *step, const char *way)
{
	struct loops *loops = arg;

	if (loops->refused == step->address)
		return;
	loops->refused = step->address;
	key_fault(&loops->reading->faults, step->owner, step->key,
		  sentence_about(step->address->text,
				 "makes a ring with %s: lines would go round for ever", way));
}

void
connector_loops_check(struct reading *reading)
{
	const struct config *config = reading->config;
	struct loops loops = { .reading = reading, .listeners = config->listeners };

	loops.reached = calloc(config->listener_count + 1, sizeof *loops.reached);
	if (loops.reached == NULL
	    || doors_make(&loops.doors, config->listeners, config->listener_count) < 0
	    || connectors_follow(&loops) < 0
	    || routes_find_back(&loops.routes, step_refuse, &loops) < 0)
		reading->faults.out_of_memory = true;
	doors_free(&loops.doors);
	routes_free(&loops.routes);
	free(loops.places);
	free(loops.reached);
}
