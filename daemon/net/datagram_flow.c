/* datagram_flow.c - how flows begin and end, how many there are, and when one has to go. */
#include "net/datagram_flow.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/datagram_flow_private.h"
#include "net/factory.h"
#include "net/limits.h"
#include "net/listener.h"
#include "net/tally.h"

enum {
	SWEEP_AT_ONCE = 512,	/* more would hold up others; the rest ends a tick later */
	STOP_BATCHES = 64,	/* that are still delivered of one flow */
};

/* Flows that are logged at level info: a flood of made-up sources must not become one of lines. */
static const struct rate log_rate = { .count = 100, .period_ms = 1000 };

static void flows_sweep(void *arg);
static void flows_stop(struct endpoint *endpoint);

struct datagram_flows *
datagram_flows_new(const struct flow_calls *calls, const struct flow_settings *settings)
{
	struct datagram_flows *flows = calloc(1, sizeof *flows);

	if (flows == NULL)
		return NULL;
	flows->calls = calls;
	flows->settings = *settings;
	flows->endpoint.stop = flows_stop;
	flows->sweep.fn = flows_sweep;
	flows->sweep.arg = flows;
	flow_table_init(&flows->table, settings->most);
	return flows;
}

void
datagram_flows_free(struct datagram_flows *flows)
{
	if (flows == NULL)
		return;
	flow_table_destroy(&flows->table);
	free(flows);
}

void *
datagram_flow_state(struct datagram_flow *flow)
{
	return flow->state;
}

struct factory *
datagram_flow_factory(const struct datagram_flow *flow)
{
	return flow->port->endpoint.factory;
}

const union peer_address *
datagram_flow_client(const struct datagram_flow *flow)
{
	return &flow->client;
}

const char *
datagram_flow_log_name(const struct datagram_flow *flow)
{
	return flow->logged || log_enabled(LEVEL_DEBUG) ? flow->port->name : NULL;
}

struct datagram_source
flow_source(const struct datagram_flow *flow)
{
	struct datagram_source source = { .peer = flow->client, .loopback = flow->loopback };

	source.from.length = flow_client_length(flow);
	memcpy(&source.from.u, flow_client_name(flow), source.from.length);
	return source;
}

static void
flow_log_open(struct datagram_flow *flow, uint64_t now_ms)
{
	struct datagram_flows *flows = flow->flows;
	struct datagram_source source;

	if (!log_enabled(LEVEL_INFO))
		return;
	flow->logged =
		log_enabled(LEVEL_DEBUG) || bucket_take(&flows->log_lines, &log_rate, now_ms) == 0;
	if (!flow->logged) {
		flows->unlogged++;
		return;
	}
	if (flows->unlogged > 0)
		log_info("%s: %" PRIu64 " flows opened and not logged", flow->port->name,
			 flows->unlogged);
	flows->unlogged = 0;
	source = flow_source(flow);
	log_info("%s: %s: open", flow->port->name, datagram_source_text(&source));
}

static void
flow_log_closed(const struct datagram_flow *flow, enum reason reason)
{
	struct datagram_source source;
	uint64_t lasted_ms;

	if (!flow->logged)
		return;
	source = flow_source(flow);
	lasted_ms = reactor_now_ms() - flow->opened_ms;
	log_info("%s: %s: closed: %s, %" PRIu64 " bytes in, %" PRIu64 " out, %" PRIu64 ".%03u s",
		 flow->port->name, datagram_source_text(&source), reason_word(reason),
		 flow->received, flow->answered_bytes, lasted_ms / 1000,
		 (unsigned)(lasted_ms % 1000));
}

/* Closes its socket: nobody else gets it, and what still comes to it is dropped by the system. */
static void
flow_disconnect(struct datagram_flow *flow)
{
	int fd = flow_fd(flow);

	if (!flow->connected)
		return;
	flow_hold_drop_out(flow);
	flow->connected = false;
	reactor_unwatch(&flow->event);
	close(fd);
	limits_leave_flow(flow->port->limits);
}

void
flow_refused(struct datagram_flow *flow, int error)
{
	flow_disconnect(flow);
	flow->flows->calls->refused(flow, error);
}

void
flow_note_sent(struct datagram_flow *flow)
{
	if (flow->sent)
		return;
	flow->sent = true;
	flow->flows->calls->sent(flow);
}

static void
flow_end(struct datagram_flow *flow, enum reason reason)
{
	struct datagram_flows *flows = flow->flows;
	struct datagram_port *port = flow->port;
	struct counters *counters = port->endpoint.counters;

	flow_disconnect(flow);
	flow_hold_drop(flow);
	flow_table_remove(&flows->table, &flow->entry);
	flows->calls->lost(flow);
	counters->flows_open--;
	counters->closed[reason]++;
	flow_log_closed(flow, reason);
	free(flow);
	if (flow_table_count(&flows->table) == 0) {
		reactor_unset_deadline(flows->endpoint.reactor, &flows->sweep);
		endpoint_leave(&flows->endpoint);
	}
	datagram_port_leave(port);
}

unsigned
flows_evict(struct datagram_flows *flows, unsigned count)
{
	unsigned evicted = 0;

	while (evicted < count) {
		struct flow_entry *victim = flow_table_victim(&flows->table);

		if (victim == NULL)
			break;
		flow_end((struct datagram_flow *)victim, REASON_EVICTED);
		evicted++;
	}
	return evicted;
}

/* Ends those that have been silent for too long. */
static void
flows_sweep(void *arg)
{
	struct datagram_flows *flows = arg;
	struct reactor *reactor = flows->endpoint.reactor;
	uint64_t now_ms = reactor_now_ms(), at_ms = 0;

	for (unsigned i = 0; i < SWEEP_AT_ONCE; i++) {
		struct flow_entry *oldest = flow_table_oldest(&flows->table);

		if (oldest == NULL)
			return;
		at_ms = oldest->active_ms + flows->settings.timeout_ms;
		if (at_ms > now_ms)
			break;
		flow_end((struct datagram_flow *)oldest, REASON_SESSION_TIMEOUT);
	}
	if (flow_table_oldest(&flows->table) != NULL)
		reactor_set_deadline(reactor, &flows->sweep, at_ms);
}

/* The daemon stops: what has come by now is delivered. */
static void
flows_stop(struct endpoint *endpoint)
{
	struct datagram_flows *flows = (struct datagram_flows *)endpoint;
	size_t left = flow_table_count(&flows->table);

	for (; left > 0; left--) {
		struct datagram_flow *flow =
			(struct datagram_flow *)flow_table_oldest(&flows->table);

		for (unsigned i = 0; i < STOP_BATCHES && flow->connected && flow_receive(flow); i++)
			;
		flow_end(flow, REASON_SHUTDOWN);
	}
}

/* Puts the name of a datagram's flow together; returns its length. */
static size_t
name_make(uint8_t name[static FLOW_NAME_MAX], const struct datagram *datagram,
	  size_t *control_length)
{
	struct datagram_port *port = datagram->port;
	size_t used = sizeof port;

	memcpy(name, &port, sizeof port);
	*control_length = 0;
	if (port->sends_source) {
		struct msghdr *in =
			&datagram_batch_of(port->endpoint.reactor)->in[datagram->slot].msg_hdr;

		*control_length = datagram_answer_control(in);
		memcpy(name + used, in->msg_control, *control_length);
		used += *control_length;
	}
	memcpy(name + used, &datagram->source.from.u, datagram->source.from.length);
	return used + datagram->source.from.length;
}

/* Makes a flow and its place in the table; NULL when there is no memory. */
static struct datagram_flow *
flow_new(struct datagram_flows *flows, const struct datagram *datagram, const uint8_t *name,
	 size_t length, size_t control_length)
{
	size_t state_size = (flows->calls->state_size + 7) / 8 * 8;
	struct datagram_flow *flow = calloc(1, sizeof *flow + state_size + length);

	if (flow == NULL)
		return NULL;
	memcpy(flow->state + state_size, name, length);
	flow->entry.name = flow->state + state_size;
	flow->entry.name_length = (uint8_t)length;
	flow->flows = flows;
	flow->port = datagram->port;
	flow->opened_ms = reactor_now_ms();
	flow->client = datagram->source.peer;
	flow->loopback = datagram->source.loopback;
	flow->control_length = (uint8_t)control_length;
	flow->answer_segment_max = flow->port->endpoint.kind == ADDRESS_UDP ? UINT16_MAX : 0;
	flow->own_changes = flow->port->own_changes;
	flow->amplify = reply_rules_amplify(&flow->port->rules, &datagram->source);
	return flow;
}

/* The table has its first flow. */
static void
flows_begin(struct datagram_flows *flows, const struct datagram_port *port)
{
	flows->endpoint.reactor = port->endpoint.reactor;
	endpoint_enter(&flows->endpoint);
	reactor_set_deadline(flows->endpoint.reactor, &flows->sweep,
			     reactor_now_ms() + flows->settings.timeout_ms);
}

/* Makes room for one more flow. */
static bool
flows_make_room(struct datagram_flows *flows, struct datagram_batch *batch)
{
	if (flow_table_count(&flows->table) < flows->table.most || flows_evict(flows, 1) > 0)
		return true;
	/* All have something to be sent. */
	datagram_flows_flush(batch);
	return flows_evict(flows, 1) > 0;
}

/* The flow of a client that has none; NULL: the datagram is counted as dropped. */
static struct datagram_flow *
flow_open(struct datagram_flows *flows, const struct datagram *datagram, const uint8_t *name,
	  size_t length, size_t control_length, uint64_t hash)
{
	struct datagram_port *port = datagram->port;
	struct counters *counters = port->endpoint.counters;
	enum datagram_drop barred = reply_rules_source(&port->rules, &datagram->source);
	struct datagram_flow *flow;

	/*
	 * Nobody can have sent that. From a low port, or a nameless unix socket, one way will do.
	 */
	if (barred == DROP_OWN
	    || (barred == DROP_SOURCE && datagram->source.peer.sa.sa_family != AF_UNSPEC)) {
		counters->datagrams_dropped[barred]++;
		return NULL;
	}
	flow = flows_make_room(flows, datagram_batch_of(port->endpoint.reactor))
		       ? flow_new(flows, datagram, name, length, control_length)
		       : NULL;
	if (flow == NULL) {
		counters->datagrams_dropped[DROP_FULL]++;
		return NULL;
	}
	flow->barred = (uint8_t)barred;
	flow->entry.hash = hash;
	if (flow_table_add(&flows->table, &flow->entry, flow->opened_ms) < 0) {
		free(flow);
		counters->datagrams_dropped[DROP_FULL]++;
		return NULL;
	}
	if (flow_table_count(&flows->table) == 1)
		flows_begin(flows, port);
	port->flows++;
	counters->flows++;
	counters->flows_open++;
	flow_log_open(flow, flow->opened_ms);
	return flow;
}

void
datagram_flow_carry(struct datagram_flows *flows, struct datagram *datagram)
{
	_Alignas(void *) uint8_t name[FLOW_NAME_MAX];
	size_t control_length, length = name_make(name, datagram, &control_length);
	uint64_t hash = flow_table_hash(&flows->table, name, length), now_ms = reactor_now_ms();
	struct datagram_flow *flow =
		(struct datagram_flow *)flow_table_find(&flows->table, hash, name, length);

	if (flow == NULL)
		flow = flow_open(flows, datagram, name, length, control_length, hash);
	else if (flow->entry.proven)
		flow_table_touch(&flows->table, &flow->entry, now_ms);
	else
		flow_table_prove(&flows->table, &flow->entry, now_ms);
	if (flow == NULL)
		return;
	flow->received += datagram->length;
	datagram->next = NULL;
	if (flow->first != NULL)
		flow->last->next = datagram;
	else
		flow->first = datagram;
	flow->last = datagram;
	if (!flow->entry.held)
		flow_queue(flow);
}
