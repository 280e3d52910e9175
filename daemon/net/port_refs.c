/* port_refs.c - who needs a port: those bound to it, and those who only send from it. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/listener.h"
#include "net/port.h"

/* Of the counts of every port, and of the list of those that are held. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct port *held;

struct port *
port_ref(struct port *port)
{
	pthread_mutex_lock(&mutex);
	port->refs++;
	pthread_mutex_unlock(&mutex);
	return port;
}

void
port_unref(struct port *port)
{
	bool last;

	if (port == NULL)
		return;
	pthread_mutex_lock(&mutex);
	last = --port->refs == 0 && port->holds == 0;
	pthread_mutex_unlock(&mutex);
	if (last)
		port_close(port);
}

struct port *
port_hold(struct port *port)
{
	pthread_mutex_lock(&mutex);
	if (port->holds++ == 0) {
		port->next_held = held;
		held = port;
	}
	pthread_mutex_unlock(&mutex);
	return port;
}

/* Takes a port out of the list. */
static void
forget(const struct port *port)
{
	struct port **at = &held;

	while (*at != port)
		at = &(*at)->next_held;
	*at = port->next_held;
}

void
port_release(struct port *port)
{
	bool last;

	pthread_mutex_lock(&mutex);
	if (--port->holds == 0)
		forget(port);
	last = port->holds == 0 && port->refs == 0;
	pthread_mutex_unlock(&mutex);
	if (last)
		port_close(port);
}

int
port_list_add(struct port_list *list, struct port *port)
{
	struct port **items = realloc(list->items, (list->count + 1) * sizeof *items);

	if (items == NULL)
		return -1;
	list->items = items;
	list->items[list->count++] = port;
	return 0;
}

int
port_list_add_past(struct port_list *list)
{
	int result = 0;

	pthread_mutex_lock(&mutex);
	for (struct port *at = held; at != NULL && result == 0; at = at->next_held) {
		if (at->refs > 0)
			continue;
		result = port_list_add(list, at);
		if (result == 0) {
			at->refs++;
			at->past = true;
		}
	}
	pthread_mutex_unlock(&mutex);
	return result;
}

void
port_list_clear_known(struct port_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i]->past) {
			list->items[i]->past = false;
			port_unref(list->items[i]);
		}
	free(list->items);
	*list = (struct port_list){ 0 };
}

/* Puts a descriptor that is no socket in the place of the port's. */
static void
abandon(struct port *port)
{
	int nothing = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (nothing < 0)
		return;
	dup3(nothing, port->fd, O_CLOEXEC);
	close(nothing);
	/* It is not to be found any more. */
	port->key[0] = port->text[0] = '\0';
}

bool
port_list_abandon(const struct port_list *list, const struct sockaddr_any *address)
{
	bool any = false;

	for (size_t i = 0; i < list->count; i++) {
		struct port *port = list->items[i];

		/* The number is at the same place in both families. */
		if (!port->past || port->claimed || port->kind != ADDRESS_UDP
		    || port->bound.u.in.sin_port != address->u.in.sin_port)
			continue;
		abandon(port);
		any = true;
	}
	return any;
}
