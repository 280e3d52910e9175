/* port_refs.c - who needs a port: those bound to it, and those who only send from it. */
#include <pthread.h>
#include <stdlib.h>

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
