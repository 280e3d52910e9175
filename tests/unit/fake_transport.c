/* fake_transport.c - connections, datagrams and settings in memory: protocols tested without a network. */
#include "fake_transport.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/address.h"
#include "net/reactor.h"
#include "net/wheel.h"

struct fake_bytes {
	uint8_t *bytes;
	size_t length, room;
};

struct transport {
	struct factory *factory;
	struct fake_bytes sent, pending;
	size_t room, arriving;
	uint64_t way_ms;
	unsigned sends;
	bool want_drained, paused, read_ended, write_ended, lost, aborted;
	enum reason reason;
	int64_t idle_timeout_ms;
	union peer_address peer;
	const char *owed;
	_Alignas(max_align_t) unsigned char state[];
};

struct datagram {
	struct factory *factory;
	size_t reply_max;
	uint8_t *reply;
	size_t *reply_length;
	bool replied;
};

static size_t first_room = SIZE_MAX;
static struct deferred *deferred_first;
static uint64_t clock_ms = 1000000;
static struct wheel_link *deadline_first;

static void
must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "fake_transport: %s\n", what);
	abort();
}

static void
bytes_add(struct fake_bytes *to, const void *bytes, size_t length)
{
	if (to->length + length > to->room) {
		to->room = (to->length + length) * 2;
		to->bytes = realloc(to->bytes, to->room);
		must(to->bytes != NULL, "out of memory");
	}
	if (length > 0)
		memcpy(to->bytes + to->length, bytes, length);
	to->length += length;
}

static size_t
socket_take(struct transport *transport, const void *bytes, size_t length)
{
	size_t taken = length < transport->room ? length : transport->room;
	bytes_add(&transport->sent, bytes, taken);
	if (transport->room != SIZE_MAX)
		transport->room -= taken;
	return taken;
}

bool
transport_can_write(const struct transport *transport)
{
	return !transport->write_ended && !transport->lost;
}

bool
transport_is_losing(const struct transport *transport)
{
	return transport->lost || transport->aborted;
}

uint64_t
transport_way_ms(const struct transport *transport)
{
	return transport->way_ms;
}

uint64_t
transport_acknowledged(const struct transport *transport)
{
	size_t sent = transport->sent.length;
	return sent < transport->arriving ? sent : transport->arriving;
}

bool
transport_is_delivered(const struct transport *transport)
{
	return transport->sent.length <= transport->arriving && transport->pending.length == 0;
}

void
transport_write(struct transport *transport, const void *bytes, size_t length)
{
	size_t taken = 0;
	if (!transport_can_write(transport) || length == 0)
		return;
	if (transport->pending.length == 0) {
		transport->sends++;
		taken = socket_take(transport, bytes, length);
	}
	bytes_add(&transport->pending, (const uint8_t *)bytes + taken, length - taken);
}

size_t
transport_offer(struct transport *transport, const struct iovec *pieces, int count)
{
	size_t offered = 0, taken = 0;
	must(count >= 0 && count <= 1024, "an offer of more than IOV_MAX pieces");
	if (!transport_can_write(transport) || transport->pending.length != 0)
		return 0;
	transport->sends++;
	for (int i = 0; i < count; i++) {
		offered += pieces[i].iov_len;
		taken += socket_take(transport, pieces[i].iov_base, pieces[i].iov_len);
	}
	if (taken < offered)
		transport->want_drained = true;
	return taken;
}

void
transport_want_drained(struct transport *transport)
{
	if (transport_can_write(transport))
		transport->want_drained = true;
}

size_t
transport_pending(const struct transport *transport)
{
	return transport->pending.length;
}

void
transport_pause(struct transport *transport)
{
	transport->paused = true;
}

void
transport_resume(struct transport *transport)
{
	transport->paused = false;
}

void
transport_hold(struct transport *transport)
{
	transport->paused = true;
}

void
transport_end_write(struct transport *transport)
{
	transport->write_ended = true;
	transport->want_drained = false;
}

void
transport_lose(struct transport *transport, enum reason reason)
{
	if (transport->lost)
		return;
	transport->lost = true;
	transport->reason = reason;
	transport->want_drained = false;
}

void
transport_abort(struct transport *transport, enum reason reason)
{
	if (transport->aborted)
		return;
	transport_lose(transport, reason);
	transport->aborted = true;
	transport->pending.length = 0;
}

void
transport_set_idle_timeout(struct transport *transport, int64_t ms)
{
	transport->idle_timeout_ms = ms;
}

bool
transport_is_silent(struct transport *transport, int64_t ms)
{
	(void)transport;
	(void)ms;
	return true;
}

bool
transport_peer_has_ended(const struct transport *transport)
{
	return transport->read_ended;
}

int64_t
transport_idle_timeout(const struct transport *transport)
{
	return transport->idle_timeout_ms;
}

int64_t
fake_idle_timeout(const struct transport *transport)
{
	return transport->idle_timeout_ms;
}

bool
transport_read_owed(struct transport *transport)
{
	const char *owed = transport->owed;
	transport->owed = NULL;
	if (owed != NULL && !transport_is_losing(transport))
		fake_receive(transport, owed, strlen(owed));
	return owed != NULL;
}

void
transport_stop(struct transport *transport)
{
	if (transport->lost)
		return;
	if (factory_protocol(transport->factory)->stopping != NULL)
		factory_protocol(transport->factory)->stopping(transport);
	else
		transport_lose(transport, REASON_SHUTDOWN);
}

void
transport_reset(struct transport *transport, enum reason reason)
{
	transport_abort(transport, reason);
}

void
transport_close_delivered(struct transport *transport)
{
	(void)transport;
}

void *
transport_state(struct transport *transport)
{
	return transport->state;
}

const void *
transport_settings(const struct transport *transport)
{
	return factory_settings(transport->factory);
}

struct factory *
transport_factory(const struct transport *transport)
{
	return transport->factory;
}

struct endpoint *
transport_endpoint(const struct transport *transport)
{
	(void)transport;
	must(false, "there are no endpoints here");
	return NULL;
}

/* A name for it only: fake_turn runs what is deferred. */
struct reactor *
transport_reactor(const struct transport *transport)
{
	(void)transport;
	static char reactor;
	return (struct reactor *)(void *)&reactor;
}

bool
transport_is_closed(const struct transport *transport)
{
	return transport->aborted;
}

struct transport *
transport_next(const struct transport *transport)
{
	(void)transport;
	return NULL;
}

const char *
transport_place(const struct transport *transport)
{
	(void)transport;
	return "test tcp://127.0.0.1:7007";
}

const union peer_address *
transport_peer(const struct transport *transport)
{
	return &transport->peer;
}

void
transport_local(const struct transport *transport, union peer_address *local)
{
	(void)transport;
	*local = (union peer_address){ 0 };
}

pid_t
transport_peer_process(const struct transport *transport)
{
	(void)transport;
	return 0;
}

const char *
transport_peer_text(const struct transport *transport)
{
	(void)transport;
	return "tcp://192.0.2.1:1234";
}

struct transport *
transport_new(struct endpoint *endpoint, const struct protocol *protocol, int fd,
	      const union peer_address *peer)
{
	(void)endpoint;
	(void)protocol;
	(void)fd;
	(void)peer;
	must(false, "there are no sockets here: fake_open");
	return NULL;
}

struct transport *
transport_new_carried(struct endpoint *endpoint, const struct protocol *protocol, int fd,
		      const union peer_address *peer, const union peer_address *local)
{
	(void)local;
	return transport_new(endpoint, protocol, fd, peer);
}

/* Weak: a test that also links the reactor defers to that one. */
__attribute__((weak)) void
reactor_defer(struct reactor *reactor, struct deferred *deferred)
{
	(void)reactor;
	struct deferred **end = &deferred_first;
	while (*end != NULL) {
		must(*end != deferred, "deferred twice");
		end = &(*end)->next;
	}
	deferred->next = NULL;
	*end = deferred;
}

__attribute__((weak)) void
reactor_call_wait(struct reactor *reactor, void (*fn)(void *arg), void *arg)
{
	(void)reactor;
	fn(arg);
}

/*
 * The clock and the deadlines, weak likewise. They are a list in no order, by prev; next says that
 * one is set.
 */
__attribute__((weak)) uint64_t
reactor_now_ms(void)
{
	return clock_ms;
}

__attribute__((weak)) void
reactor_unset_deadline(struct reactor *reactor, struct deadline *deadline)
{
	struct wheel_link **at = &deadline_first, *link = &deadline->timer.link;
	(void)reactor;
	if (link->next == NULL)
		return;
	while (*at != link)
		at = &(*at)->prev;
	*at = link->prev;
	*link = (struct wheel_link){ 0 };
}

__attribute__((weak)) void
reactor_set_deadline(struct reactor *reactor, struct deadline *deadline, uint64_t at_ms)
{
	reactor_unset_deadline(reactor, deadline);
	/* The wheel comes by at every tick only. */
	deadline->timer.deadline_ms = (at_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS * WHEEL_TICK_MS;
	deadline->timer.link.next = &deadline->timer.link;
	deadline->timer.link.prev = deadline_first;
	deadline_first = &deadline->timer.link;
}

/* The deadline that is reached first, if that is by now. */
static struct deadline *
deadline_due(uint64_t now_ms)
{
	struct deadline *due = NULL;
	for (struct wheel_link *link = deadline_first; link != NULL; link = link->prev) {
		struct deadline *deadline = (struct deadline *)link;
		if (deadline->timer.deadline_ms <= now_ms
		    && (due == NULL || deadline->timer.deadline_ms < due->timer.deadline_ms))
			due = deadline;
	}
	return due;
}

void
fake_pass(uint64_t ms)
{
	uint64_t end_ms = clock_ms + ms;
	struct deadline *due;
	fake_turn();
	while ((due = deadline_due(end_ms)) != NULL) {
		if (due->timer.deadline_ms > clock_ms)
			clock_ms = due->timer.deadline_ms;
		reactor_unset_deadline(NULL, due);
		due->fn(due->arg);
		fake_turn();
	}
	clock_ms = end_ms;
}

void
fake_freeze(uint64_t ms)
{
	clock_ms += ms;
}

void
fake_turn(void)
{
	while (deferred_first != NULL) {
		struct deferred *deferred = deferred_first;
		deferred_first = deferred->next;
		deferred->next = NULL;
		deferred->fn(deferred);
	}
}

void
fake_set_first_room(size_t room)
{
	first_room = room;
}

struct transport *
fake_open(struct factory *factory)
{
	const struct protocol *protocol = factory_protocol(factory);
	struct transport *transport = calloc(1, sizeof *transport + protocol->state_size);
	must(transport != NULL, "out of memory");
	transport->factory = factory_ref(factory);
	transport->room = first_room;
	transport->arriving = SIZE_MAX;
	if (protocol->connection_made != NULL)
		protocol->connection_made(transport);
	return transport;
}

void
fake_set_owed(struct transport *transport, const char *text)
{
	transport->owed = text;
}

void
fake_receive(struct transport *transport, const void *bytes, size_t length)
{
	const struct protocol *protocol = factory_protocol(transport->factory);
	must(length > 0 && !transport->read_ended, "nothing can be received");
	if (transport->lost || protocol->data_received == NULL)
		return;
	uint8_t *exact = malloc(length);
	must(exact != NULL, "out of memory");
	memcpy(exact, bytes, length);
	protocol->data_received(transport, exact, length);
	free(exact);
}

void
fake_end_read(struct transport *transport)
{
	const struct protocol *protocol = factory_protocol(transport->factory);
	must(!transport->read_ended, "the peer has ended its side already");
	transport->read_ended = true;
	if (!transport->lost && protocol->read_ended != NULL)
		protocol->read_ended(transport);
	else
		transport_end_write(transport);
}

void
fake_set_room(struct transport *transport, size_t room)
{
	transport->room = room;
}

void
fake_set_arriving(struct transport *transport, size_t bytes)
{
	transport->arriving = bytes;
}

void
fake_set_way(struct transport *transport, uint64_t ms)
{
	transport->way_ms = ms;
}

void
fake_drain(struct transport *transport, size_t room)
{
	const struct protocol *protocol = factory_protocol(transport->factory);
	bool waited = transport->pending.length > 0 || transport->want_drained;
	transport->room = room;
	if (transport->aborted || !waited || room == 0)
		return;
	size_t taken = socket_take(transport, transport->pending.bytes, transport->pending.length);
	if (taken < transport->pending.length) {
		memmove(transport->pending.bytes, transport->pending.bytes + taken,
			transport->pending.length - taken);
		transport->pending.length -= taken;
		return;
	}
	transport->pending.length = 0;
	transport->want_drained = false;
	if (transport_can_write(transport) && protocol->drained != NULL)
		protocol->drained(transport);
}

void
fake_close(struct transport *transport, enum reason reason)
{
	const struct protocol *protocol = factory_protocol(transport->factory);
	if (!transport->lost) {
		transport->lost = transport->aborted = true;
		transport->reason = reason;
	}
	if (protocol->connection_lost != NULL)
		protocol->connection_lost(transport, transport->reason);
	factory_unref(transport->factory);
	free(transport->sent.bytes);
	free(transport->pending.bytes);
	free(transport);
}

const uint8_t *
fake_sent(const struct transport *transport, size_t *length)
{
	*length = transport->sent.length;
	return transport->sent.bytes;
}

void
fake_forget_sent(struct transport *transport)
{
	transport->sent.length = 0;
}

unsigned
fake_sends(const struct transport *transport)
{
	return transport->sends;
}

bool
fake_wants_drained(const struct transport *transport)
{
	return transport->want_drained;
}

bool
transport_is_paused(const struct transport *transport)
{
	return transport->paused;
}

bool
fake_is_paused(const struct transport *transport)
{
	return transport->paused;
}

bool
fake_is_write_ended(const struct transport *transport)
{
	return (transport->write_ended || transport->lost) && transport->pending.length == 0;
}

bool
fake_is_lost(const struct transport *transport)
{
	return transport->lost;
}

bool
fake_is_aborted(const struct transport *transport)
{
	return transport->aborted;
}

enum reason
fake_reason(const struct transport *transport)
{
	must(transport->lost, "it has no reason yet");
	return transport->reason;
}

void
datagram_reply(struct datagram *datagram, const void *bytes, size_t length)
{
	must(!datagram->replied, "a second answer to one datagram");
	must(length <= DATAGRAM_MAX, "an answer longer than a datagram");
	datagram->replied = length <= datagram->reply_max;
	if (!datagram->replied)
		return;
	if (length > 0)
		memcpy(datagram->reply, bytes, length);
	*datagram->reply_length = length;
}

size_t
datagram_reply_max(const struct datagram *datagram)
{
	return datagram->reply_max;
}

const void *
datagram_settings(const struct datagram *datagram)
{
	return factory_settings(datagram->factory);
}

struct factory *
datagram_factory(const struct datagram *datagram)
{
	return datagram->factory;
}

const union peer_address *
datagram_peer(const struct datagram *datagram)
{
	static const union peer_address peer = { .in = { .sin_family = AF_INET } };
	(void)datagram;
	return &peer;
}

const char *
datagram_peer_text(const struct datagram *datagram)
{
	(void)datagram;
	return "udp://192.0.2.2:5678";
}

bool
fake_datagram(struct factory *factory, const void *bytes, size_t length, size_t reply_max,
	      uint8_t reply[static DATAGRAM_MAX], size_t *reply_length)
{
	struct datagram datagram = {
		.factory = factory,
		.reply_max = reply_max,
		.reply = reply,
		.reply_length = reply_length,
	};
	uint8_t *exact = malloc(length + 1);
	must(exact != NULL, "out of memory");
	memcpy(exact + 1, bytes, length);	/* so that reading beyond the end is seen */
	*reply_length = 0;
	factory_protocol(factory)->datagram_received(&datagram, exact + 1, length);
	free(exact);
	return datagram.replied;
}

/* Sets one option from text; as much of the syntax of values as tests need. */
static void
setting_parse(const struct option *row, void *settings, const char *text)
{
	char *field = (char *)settings + row->offset;
	int64_t number = -1;
	if (row->type == OPTION_STRING) {
		*(char **)field = strcmp(text, "none") == 0 ? NULL : strdup(text);
		return;
	}
	if (row->type == OPTION_FILE) {
		struct file_text *file = (struct file_text *)field;
		*file = (struct file_text){ strdup("test"), strdup(text), strlen(text) };
		return;
	}
	if (row->type == OPTION_CHOICE) {
		for (int i = 0; row->choices[i] != NULL; i++)
			if (strcmp(row->choices[i], text) == 0)
				number = i;
	} else if (row->type == OPTION_BOOL) {
		number = strcmp(text, "yes") == 0 ? 1 : strcmp(text, "no") == 0 ? 0 : -1;
	} else if ((row->flags & OPTION_MAY_NONE) && strcmp(text, "none") == 0) {
		number = 0;
	} else {
		char *end;
		number = strtoll(text, &end, 10);
		number *= *end == 'K' ? 1024 : *end == 'M' ? 1024 * 1024 : 1;
		if (row->type == OPTION_DURATION)
			number *= strcmp(end, "s") == 0 ? 1000 : 1;
		must(number >= row->min && number <= row->max, row->help);
	}
	must(number >= 0, row->name);
	if (row->type == OPTION_RATE)
		*(struct rate *)field = (struct rate){ .count = number, .period_ms = 1000 };	/* N/s */
	else
		memcpy(field, &number, sizeof number);
}

static void
settings_free(const struct protocol *protocol, void *settings)
{
	for (const struct option *row = protocol->options; row != NULL && row->name != NULL;
	     row++) {
		char *field = (char *)settings + row->offset;
		if (row->type == OPTION_STRING)
			free(*(char **)field);
		if (row->type == OPTION_FILE) {
			free(((struct file_text *)field)->path);
			free(((struct file_text *)field)->bytes);
		}
	}
	free(settings);
}

static void *
settings_new(const struct protocol *protocol, va_list values)
{
	void *settings = calloc(1, protocol->settings_size + 1);
	const char *value;
	must(settings != NULL, "out of memory");
	for (const struct option *row = protocol->options; row != NULL && row->name != NULL; row++)
		if (row->fallback != NULL)
			setting_parse(row, settings, row->fallback);
	while ((value = va_arg(values, const char *)) != NULL) {
		const struct option *row = protocol->options;
		size_t length = strcspn(value, "=");
		while (row != NULL && row->name != NULL
		       && !(strncmp(row->name, value, length) == 0 && row->name[length] == '\0'))
			row++;
		must(row != NULL && row->name != NULL, value);
		if (row->type == OPTION_STRING)
			free(*(char **)((char *)settings + row->offset));
		setting_parse(row, settings, value + length + 1);
	}
	return settings;
}

/* What a factory of ours owns. */
struct fake_owner {
	const struct protocol *protocol;
	void *settings;
};

static void
owner_release(void *void_owner)
{
	struct fake_owner *owner = void_owner;
	settings_free(owner->protocol, owner->settings);
	free(owner);
}

static void
sentence_fail(void *arg, const char *key, const char *wrong)
{
	(void)arg;
	(void)key;
	must(false, wrong);
}

struct factory *
fake_factory(const struct protocol *protocol, ...)
{
	struct fake_owner *owner = malloc(sizeof *owner);
	must(owner != NULL, "out of memory");
	va_list values;
	va_start(values, protocol);
	*owner = (struct fake_owner){ .protocol = protocol,
				      .settings = settings_new(protocol, values) };
	va_end(values);
	if (protocol->settings_check != NULL)
		protocol->settings_check(owner->settings, &(struct address_list){ 0 },
					 sentence_fail, NULL);
	struct factory *factory =
		factory_new(protocol, protocol->name, owner->settings, NULL, owner, owner_release);
	must(factory != NULL, "factory_new");
	return factory;
}

/* Keeps the first error: "key: sentence". */
static void
sentence_keep(void *arg, const char *key, const char *wrong)
{
	char *sentence = arg;
	if (sentence[0] == '\0')
		snprintf(sentence, 400, "%s%s%s", key != NULL ? key : "", key != NULL ? ": " : "",
			 wrong);
}

const char *
fake_settings_check(const struct protocol *protocol, ...)
{
	va_list values;
	va_start(values, protocol);
	void *settings = settings_new(protocol, values);
	va_end(values);
	static char sentence[400];
	sentence[0] = '\0';
	protocol->settings_check(settings, &(struct address_list){ 0 }, sentence_keep, sentence);
	settings_free(protocol, settings);
	return sentence[0] != '\0' ? sentence : NULL;
}
