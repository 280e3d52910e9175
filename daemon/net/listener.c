/* listener.c - binds addresses to a factory, and opens an acceptor or a datagram port on each. */
#include "net/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/acceptor.h"
#include "net/datagram_port.h"
#include "net/factory.h"
#include "net/limits.h"
#include "net/port.h"
#include "net/tally.h"

/* What takes from a port: one of the two. */
struct intake {
	struct acceptor *acceptor;
	struct datagram_port *datagram_port;
};

struct listener {
	const struct listener_settings *settings;
	struct factory *factory;
	struct limits *limits;
	struct tally *tally;
	struct port_list ports;
	struct reactor *home;		/* the first of its reactors */
	struct intake *intakes;		/* one a port, while open */
	bool started;			/* its factory is */
};

struct listener *
listener_new(const struct listener_settings *settings, struct factory *factory,
	     const struct listener *predecessor, struct connection_budget *budget,
	     unsigned reactor_count)
{
	struct listener *listener = calloc(1, sizeof *listener);
	unsigned descriptors = settings->protocol->descriptors;

	if (descriptors == 0)
		descriptors = 1;
	if (listener == NULL) {
		factory_unref(factory);
		return NULL;
	}
	listener->settings = settings;
	listener->factory = factory;
	listener->limits = predecessor != NULL ? limits_ref(predecessor->limits)
					       : limits_new(settings, budget, descriptors);
	listener->tally =
		predecessor != NULL ? tally_ref(predecessor->tally) : tally_new(reactor_count);
	if (listener->limits == NULL || listener->tally == NULL) {
		listener_free(listener);
		errno = ENOMEM;
		return NULL;
	}
	return listener;
}

/* The next port of that key that no listener has claimed. */
static struct port *
port_find(const struct port_list *known, const char *key, size_t *from)
{
	for (; *from < known->count; (*from)++)
		/* A port that the system has picked is found by its number too. */
		if (!known->items[*from]->claimed && known->items[*from]->replaced_by == NULL
		    && (strcmp(known->items[*from]->key, key) == 0
			|| (!known->items[*from]->passed
			    && strcmp(known->items[*from]->text, key) == 0)))
			return known->items[(*from)++];
	return NULL;
}

/*
 * The port of that key that is on an interface (empty: on none), or else one that can be moved
 * there.
 */
static struct port *
port_find_on(const struct port_list *known, const char *key, const char *interface)
{
	struct port *port, *movable = NULL;
	size_t from = 0;

	while ((port = port_find(known, key, &from)) != NULL) {
		if (strcmp(port->interface, interface) == 0)
			return port;
		/* Two interfaces may have a socket each: then the other one may be wanted, too. */
		if (*port->interface == '\0' || *interface == '\0')
			movable = port;
	}
	return movable;
}

/* Takes over a reference to a port. 0, or -1 without memory. */
static int
listener_add_port(struct listener *listener, struct port *port)
{
	if (port_list_add(&listener->ports, port) < 0) {
		port_unref(port);
		return -1;
	}
	port->claimed = true;
	return 0;
}

/* All passed sockets of that name. NULL, or a sentence. */
static const char *
listener_claim(struct listener *listener, const struct port_list *known, const char *key)
{
	struct port *port;
	size_t from = 0, claimed = 0;

	while ((port = port_find(known, key, &from)) != NULL) {
		unsigned needs =
			address_is_datagram(port->kind) ? PROTOCOL_DATAGRAM : PROTOCOL_STREAM;

		if (!(listener_protocol(listener)->transports & needs))
			return "the protocol does not serve the kind of socket that was passed";
		if (needs == PROTOCOL_DATAGRAM && listener->settings->accept_proxy.count != 0)
			return "accept_proxy cannot hold for the datagram socket that was passed";
		if (listener_add_port(listener, port_ref(port)) < 0)
			return strerror(ENOMEM);
		claimed++;
	}
	return claimed > 0
		       ? NULL
		       : "no socket with this FileDescriptorName= was passed, or another listener "
			 "has it";
}

/* Binds one socket address, or takes it from the known. NULL, or a sentence. */
static const char *
listener_bind_one(struct listener *listener, const struct port_list *known,
		  const struct address *address, const struct sockaddr_any *found)
{
	char text[ADDRESS_TEXT_MAX], key[ADDRESS_TEXT_MAX + 64];
	bool any = address->host != NULL && strcmp(address->host, "*") == 0;
	bool any_port = address->service != NULL && found->u.in.sin_port == 0;
	struct port *port;
	const char *error;

	address_format(address->kind, &found->u.sa, found->length, text);
	/* A port number that the system picks is the listener's own, once it is picked. */
	snprintf(key, sizeof key, "%s%s%s%s", any_port ? listener_name(listener) : "",
		 any_port ? " " : "", text, any ? " any" : "");
	port = port_find_on(known, key, port_interface(address->kind, listener->settings));
	if (port != NULL) {
		error = port_may_apply(port, listener->settings);
		if (error != NULL)
			return error;
		return listener_add_port(listener, port_ref(port)) < 0 ? strerror(ENOMEM) : NULL;
	}
	error = port_open(address->kind, found, any, key, listener->settings, known, &port);
	if (error != NULL)
		return error;
	return listener_add_port(listener, port) < 0 ? strerror(ENOMEM) : NULL;
}

/* Binds all that an address stands for. NULL, or a sentence. */
static const char *
listener_bind_address(struct listener *listener, const struct port_list *known,
		      const struct address *address)
{
	struct sockaddr_any *found = NULL;
	const char *error;
	size_t count = 0;

	if (address->kind == ADDRESS_SYSTEMD)
		return listener_claim(listener, known, address->text);
	error = address_resolve(address, &found, &count);
	for (size_t i = 0; error == NULL && i < count; i++)
		error = listener_bind_one(listener, known, address, &found[i]);
	free(found);
	return error;
}

/* Where the first thing that a protocol finds wrong is written; empty: nothing yet. */
struct finding {
	char *text;
	size_t size;
};

static void
finding_keep(void *arg, const char *key, const char *sentence)
{
	const struct finding *finding = arg;

	(void)key;
	if (finding->text[0] == '\0')
		snprintf(finding->text, finding->size, "%s", sentence);
}

/*
 * Now that it is known for what passed sockets are, asks the protocol again: 0, or -1 and a
 * sentence.
 */
static int
listener_check_passed(const struct listener *listener, char *error, size_t size)
{
	const struct protocol *protocol = listener_protocol(listener);
	struct address_list bound = { .count = listener->ports.count };
	struct finding finding = { .text = error, .size = size };
	bool passed = false;

	bound.items = calloc(bound.count + 1, sizeof *bound.items);
	if (bound.items == NULL) {
		snprintf(error, size, "%s", strerror(ENOMEM));
		return -1;
	}
	for (size_t i = 0; i < bound.count; i++) {
		passed = passed || listener->ports.items[i]->passed;
		bound.items[i].kind = listener->ports.items[i]->kind;
		bound.items[i].text = listener->ports.items[i]->text;
	}
	error[0] = '\0';
	if (passed && protocol->settings_check != NULL)
		protocol->settings_check(factory_settings(listener->factory), &bound, finding_keep,
					 &finding);
	free(bound.items);
	return error[0] == '\0' ? 0 : -1;
}

int
listener_bind(struct listener *listener, const struct port_list *known, char *error, size_t size)
{
	const struct address_list *addresses = &listener->settings->listen;

	for (size_t i = 0; i < addresses->count; i++) {
		const char *sentence = listener_bind_address(listener, known, &addresses->items[i]);

		if (sentence != NULL) {
			snprintf(error, size, "%s: %s", addresses->items[i].text, sentence);
			return -1;
		}
	}
	return listener_check_passed(listener, error, size);
}

/* Makes what takes from a port: 0, or -1 with errno. */
static int
intake_make(struct listener *listener, struct intake *intake, struct port *port,
	    struct reactor *const *reactors, size_t reactor_count)
{
	if (address_is_datagram(port->kind))
		intake->datagram_port =
			datagram_port_new(port, listener->settings, listener->factory,
					  listener->limits, listener->tally, reactors[0]);
	else
		intake->acceptor = acceptor_new(port, listener->settings, listener->factory,
						listener->limits, listener->tally, reactors,
						reactor_count);
	return intake->datagram_port == NULL && intake->acceptor == NULL ? -1 : 0;
}

int
listener_prepare(struct listener *listener, struct reactor *const *reactors, size_t reactor_count)
{
	struct reactor **turn = calloc(reactor_count, sizeof *turn);
	size_t home = factory_home(listener->factory, reactor_count);
	int result = -1;

	listener->intakes = calloc(listener->ports.count, sizeof *listener->intakes);
	if (turn == NULL || listener->intakes == NULL) {
		errno = ENOMEM;
		goto out;
	}
	listener->home = reactors[home];
	for (size_t i = 0; i < reactor_count; i++)
		turn[i] = reactors[(home + i) % reactor_count];
	for (size_t i = 0; i < listener->ports.count; i++)
		if (intake_make(listener, &listener->intakes[i], listener->ports.items[i], turn,
				listener_protocol(listener)->one_reactor ? 1 : reactor_count)
		    < 0)
			goto out;
	result = 0;
out:
	free(turn);
	return result;
}

void
listener_open(struct listener *listener, struct own_addresses *own, struct resolver *resolver)
{
	limits_set(listener->limits, listener->settings);
	factory_start(listener->factory, listener->home, resolver);
	listener->started = true;
	for (size_t i = 0; i < listener->ports.count; i++) {
		struct port *port = listener->ports.items[i];
		const char *error = port_apply(port, listener->settings);

		if (error != NULL)
			log_warning("%s %s: %s", listener_name(listener), port->text, error);
		port_settle(port);
		if (listener->intakes[i].acceptor != NULL)
			acceptor_open(listener->intakes[i].acceptor);
		else
			datagram_port_open(listener->intakes[i].datagram_port, own);
	}
}

bool
listener_take_over(const struct listener *listener, struct port *port)
{
	for (size_t i = 0; i < listener->ports.count; i++) {
		if (listener->ports.items[i] != port->replaced_by)
			continue;
		if (listener->intakes[i].acceptor != NULL)
			acceptor_take_over(listener->intakes[i].acceptor, port);
		return true;
	}
	return false;
}

void
listener_close(struct listener *listener)
{
	for (size_t i = 0; listener->intakes != NULL && i < listener->ports.count; i++) {
		acceptor_close(listener->intakes[i].acceptor);
		datagram_port_close(listener->intakes[i].datagram_port);
	}
	free(listener->intakes);
	listener->intakes = NULL;
	if (listener->started)
		factory_stop(listener->factory);
	listener->started = false;
}

void
listener_free(struct listener *listener)
{
	if (listener == NULL)
		return;
	listener_close(listener);
	for (size_t i = 0; i < listener->ports.count; i++)
		port_unref(listener->ports.items[i]);
	free(listener->ports.items);
	limits_unref(listener->limits);
	tally_unref(listener->tally);
	factory_unref(listener->factory);
	free(listener);
}

void
listener_set_own(struct listener *listener, struct own_addresses *own)
{
	for (size_t i = 0; listener->intakes != NULL && i < listener->ports.count; i++)
		if (listener->intakes[i].datagram_port != NULL)
			datagram_port_set_own(listener->intakes[i].datagram_port, own);
}

const char *
listener_name(const struct listener *listener)
{
	return factory_name(listener->factory);
}

const struct protocol *
listener_protocol(const struct listener *listener)
{
	return factory_protocol(listener->factory);
}

struct factory *
listener_factory(const struct listener *listener)
{
	return listener->factory;
}

const struct port_list *
listener_ports(const struct listener *listener)
{
	return &listener->ports;
}

void
listener_report(const struct listener *listener, void (*line)(void *arg, const char *text),
		void *arg)
{
	const struct protocol *protocol = listener_protocol(listener);

	if (protocol->factory_report != NULL)
		protocol->factory_report(listener->factory, line, arg);
}

void
listener_count(const struct listener *listener, unsigned reactor, struct counters *sum)
{
	counters_add(sum, tally_counters(listener->tally, reactor));
}
