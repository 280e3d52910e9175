/* fake_house.c - what upstreams live in, in memory: a clock, a log, look-ups, dials that a test
 * answers. */
#include "fake_house.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/log.h"
#include "net/deadline.h"
#include "net/dialling.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/resolver.h"
#include "net/transport.h"

_Atomic uint64_t now;
/* linked by timer.link.prev; link.next set while they are */
static struct deadline *deadlines;

uint64_t
reactor_now_ms(void)
{
	return now;
}

void
reactor_unset_deadline(struct reactor *reactor, struct deadline *deadline)
{
	(void)reactor;
	if (!wheel_timer_is_set(&deadline->timer))
		return;
	for (struct deadline **at = &deadlines; *at != NULL;
	     at = (struct deadline **)&(*at)->timer.link.prev)
		if (*at == deadline) {
			*at = (struct deadline *)deadline->timer.link.prev;
			break;
		}
	deadline->timer.link.next = deadline->timer.link.prev = NULL;
}

void
reactor_set_deadline(struct reactor *reactor, struct deadline *deadline, uint64_t at_ms)
{
	reactor_unset_deadline(reactor, deadline);
	deadline->timer.deadline_ms = at_ms;
	deadline->timer.link.next = &deadline->timer.link;
	deadline->timer.link.prev = (struct wheel_link *)deadlines;
	deadlines = deadline;
}

void
advance(uint64_t ms)
{
	uint64_t until = now + ms;

	for (;;) {
		struct deadline *next = NULL;

		for (struct deadline *at = deadlines; at != NULL;
		     at = (struct deadline *)at->timer.link.prev)
			if (at->timer.deadline_ms <= until
			    && (next == NULL || at->timer.deadline_ms <= next->timer.deadline_ms))
				next = at;
		if (next == NULL)
			break;
		if (next->timer.deadline_ms > now)
			now = next->timer.deadline_ms;
		reactor_unset_deadline(NULL, next);
		next->fn(next->arg);
	}
	now = until;
}

static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
char log_text[16384];

void
log_line(enum log_level level, const char *format, ...)
{
	static const char *const names[] = { "error", "warning", "notice", "info", "debug" };
	va_list arguments;
	size_t used;

	pthread_mutex_lock(&log_mutex);
	used = strlen(log_text);
	if (used < sizeof log_text / 2) {
		used += (size_t)snprintf(log_text + used, sizeof log_text - used,
					 "%s: ", names[level]);
		va_start(arguments, format);
		used += (size_t)vsnprintf(log_text + used, sizeof log_text - used, format,
					  arguments);
		va_end(arguments);
		snprintf(log_text + used, sizeof log_text - used, "\n");
	}
	pthread_mutex_unlock(&log_mutex);
}

bool
log_enabled(enum log_level level)
{
	(void)level;
	return true;
}

static int the_reactor, the_resolver, the_factory;

struct factory *
a_factory(void)
{
	return (struct factory *)(void *)&the_factory;
}

struct reactor *
factory_reactor(const struct factory *factory)
{
	assert_ptr_equal(factory, &the_factory);
	return (struct reactor *)(void *)&the_reactor;
}

struct resolver *
factory_resolver(const struct factory *factory)
{
	assert_ptr_equal(factory, &the_factory);
	return (struct resolver *)(void *)&the_resolver;
}

struct lookup {
	struct lookup *next;
	const struct address *address;
	void (*done)(void *arg, const char *error, struct sockaddr_any *found, size_t count);
	void *arg;
};

static struct lookup *lookups;
unsigned lookups_made;

bool
is_looking_up(void)
{
	return lookups != NULL;
}

struct lookup *
resolver_look_up(struct resolver *resolver, struct reactor *reactor, const struct address *address,
		 void (*done)(void *arg, const char *error, struct sockaddr_any *found,
			      size_t count),
		 void *arg)
{
	struct lookup *lookup = malloc(sizeof *lookup);

	assert_ptr_equal(resolver, &the_resolver);
	assert_ptr_equal(reactor, &the_reactor);
	*lookup = (struct lookup){ lookups, address, done, arg };
	lookups = lookup;
	lookups_made++;
	return lookup;
}

void
lookup_cancel(struct lookup *lookup)
{
	if (lookup == NULL)
		return;
	for (struct lookup **at = &lookups; *at != NULL; at = &(*at)->next)
		if (*at == lookup) {
			*at = lookup->next;
			break;
		}
	free(lookup);
}

struct sockaddr_any
place(const char *host)
{
	struct sockaddr_any address = { 0 };

	if (strchr(host, ':') != NULL) {
		address.length = sizeof address.u.in6;
		address.u.in6.sin6_family = AF_INET6;
		address.u.in6.sin6_port = htons(80);
		assert_int_equal(inet_pton(AF_INET6, host, &address.u.in6.sin6_addr), 1);
	} else {
		address.length = sizeof address.u.in;
		address.u.in.sin_family = AF_INET;
		address.u.in.sin_port = htons(80);
		assert_int_equal(inet_pton(AF_INET, host, &address.u.in.sin_addr), 1);
	}
	return address;
}

void
answer(const char *hosts, const char *error)
{
	struct lookup *lookup = lookups;
	struct sockaddr_any *found = NULL;
	size_t count = 0;

	assert_non_null(lookup);
	assert_null(lookup->next);
	if (hosts != NULL) {
		char *words = strdup(hosts), *rest = words, *word;

		found = calloc(strlen(hosts), sizeof *found);
		while ((word = strsep(&rest, " ")) != NULL)
			found[count++] = place(word);
		free(words);
	}
	lookups = NULL;
	lookup->done(lookup->arg, error, found, count);
	free(lookup);
}

struct dialling {
	struct dialling *next;
	struct endpoint *endpoint;
	const struct protocol *protocol;
	struct dial dial;
};

static struct dialling *diallings;
unsigned dials_made;
int dial_error;

bool
is_dialling(void)
{
	return diallings != NULL;
}

struct dialling *
dialling_begin(struct endpoint *endpoint, const struct protocol *protocol, const struct dial *dial)
{
	struct dialling *dialling;

	dials_made++;
	if (dial_error != 0) {
		dial->failed(dial->arg, dial_error);
		return NULL;
	}
	dialling = malloc(sizeof *dialling);
	*dialling = (struct dialling){ diallings, endpoint, protocol, *dial };
	diallings = dialling;
	return dialling;
}

void
dialling_cancel(struct dialling *dialling)
{
	if (dialling == NULL)
		return;
	for (struct dialling **at = &diallings; *at != NULL; at = &(*at)->next)
		if (*at == dialling) {
			*at = dialling->next;
			break;
		}
	free(dialling);
}

struct transport *
transport_next(const struct transport *transport)
{
	return transport->next;
}

void *
transport_state(struct transport *transport)
{
	return transport->state;
}

void
transport_write(struct transport *transport, const void *bytes, size_t length)
{
	memcpy(transport->written + transport->written_length, bytes, length);
	transport->written_length += length;
}

void
transport_lose(struct transport *transport, enum reason reason)
{
	(void)reason;
	transport->lost = true;
}

void
transport_abort(struct transport *transport, enum reason reason)
{
	(void)reason;
	transport->aborted = true;
}

struct transport *
connect_dial(void)
{
	struct dialling *dialling = diallings;
	struct transport *transport = calloc(1, sizeof *transport);

	assert_non_null(dialling);
	assert_null(dialling->next);
	diallings = NULL;
	transport->endpoint = dialling->endpoint;
	transport->protocol = dialling->protocol;
	transport->next = dialling->endpoint->transports;
	dialling->endpoint->transports = transport;
	assert_true(dialling->protocol->state_size <= sizeof transport->state);
	dialling->dial.connected(dialling->dial.arg, transport, 0);
	free(dialling);
	return transport;
}

void
refuse_dial(int error)
{
	struct dialling *dialling = diallings;

	assert_non_null(dialling);
	diallings = dialling->next;
	dialling->dial.failed(dialling->dial.arg, error);
	free(dialling);
}

void
end_transport(struct transport *transport, enum reason reason)
{
	struct endpoint *endpoint = transport->endpoint;
	struct transport **at = &endpoint->transports;

	transport->protocol->connection_lost(transport, reason);
	while (*at != transport)
		at = &(*at)->next;
	*at = transport->next;
	free(transport);
	if (endpoint->transports == NULL)
		endpoint->all_gone(endpoint);
}

struct datagram_dial *datagram_dial;
unsigned datagrams_sent;
int datagram_error;

struct datagram_dial *
datagram_dial_new(struct reactor *reactor, const struct sockaddr_any *to,
		  const union peer_address *source, const void *bytes, size_t length,
		  const struct datagram_dial_calls *calls, void *arg)
{
	struct datagram_dial *dial;

	(void)to;
	assert_ptr_equal(reactor, &the_reactor);
	assert_int_equal(source->sa.sa_family, AF_UNSPEC);
	assert_null(datagram_dial);
	datagrams_sent++;
	if (datagram_error != 0) {
		errno = datagram_error;
		return NULL;
	}
	dial = calloc(1, sizeof *dial);
	dial->calls = calls;
	dial->arg = arg;
	assert_true(length < sizeof dial->sent);
	memcpy(dial->sent, bytes, length);
	datagram_dial = dial;
	return dial;
}

void
datagram_dial_free(struct datagram_dial *dial)
{
	if (dial != NULL)
		datagram_dial = NULL;
	free(dial);
}

void
house_begin(void)
{
	now = 1000000;
	deadlines = NULL;
	log_text[0] = '\0';
	lookups_made = dials_made = datagrams_sent = 0;
	dial_error = datagram_error = 0;
}

void
house_end(void)
{
	assert_null(deadlines);
	assert_null(lookups);
	assert_null(diallings);
	assert_null(datagram_dial);
}
