/* limits.c - how many connections a listener may have, from whom, how fast; shared by its
 * reactors. */
#include "net/limits.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "net/listener.h"
#include "net/network.h"
#include "net/reactor.h"

struct connection_budget {
	_Atomic int64_t most;		/* 0: none */
	_Atomic int64_t taken;
	_Atomic int64_t most_descriptors;
	_Atomic int64_t descriptors;	/* of connections and flows */
	_Atomic int64_t flows;
	_Atomic int64_t flow_listeners;	/* those that have any */
};

/* How many connections a network has; in a hash chain. */
struct peer_count {
	struct peer_count *next;
	struct network network;
	int64_t count;
};

enum { PEER_BUCKETS = 1024, FLOWS_ALWAYS = 8 };

struct limits {
	atomic_uint refs;
	struct connection_budget *budget;
	int64_t descriptors;		/* of one connection */
	_Atomic int64_t most;		/* 0: none */
	_Atomic int64_t taken;
	_Atomic int64_t most_per_ip;	/* 0: none */
	_Atomic int64_t rate_count;	/* 0: none */
	_Atomic int64_t flows;		/* changed by one reactor at a time, the listener's home */

	pthread_mutex_t mutex;		/* of all below */
	struct rate rate;
	struct bucket accepts;
	struct peer_count **peers;	/* PEER_BUCKETS chains, made when needed */
};

struct connection_budget *
connection_budget_new(void)
{
	return calloc(1, sizeof(struct connection_budget));
}

void
connection_budget_set(struct connection_budget *budget, int64_t most, int64_t descriptors)
{
	atomic_store(&budget->most, most);
	atomic_store(&budget->most_descriptors, descriptors);
}

int64_t
connection_budget_taken(const struct connection_budget *budget)
{
	return atomic_load_explicit(&budget->taken, memory_order_relaxed);
}

int64_t
connection_budget_flows(const struct connection_budget *budget)
{
	return atomic_load_explicit(&budget->flows, memory_order_relaxed);
}

void
connection_budget_free(struct connection_budget *budget)
{
	free(budget);
}

struct limits *
limits_new(const struct listener_settings *settings, struct connection_budget *budget,
	   unsigned descriptors)
{
	struct limits *limits = calloc(1, sizeof *limits);

	if (limits == NULL)
		return NULL;
	atomic_init(&limits->refs, 1);
	limits->budget = budget;
	limits->descriptors = descriptors;
	pthread_mutex_init(&limits->mutex, NULL);
	limits_set(limits, settings);
	return limits;
}

struct limits *
limits_ref(struct limits *limits)
{
	atomic_fetch_add_explicit(&limits->refs, 1, memory_order_relaxed);
	return limits;
}

void
limits_unref(struct limits *limits)
{
	if (limits == NULL
	    || atomic_fetch_sub_explicit(&limits->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; limits->peers != NULL && i < PEER_BUCKETS; i++) {
		while (limits->peers[i] != NULL) {
			struct peer_count *peer = limits->peers[i];

			limits->peers[i] = peer->next;
			free(peer);
		}
	}
	free(limits->peers);
	pthread_mutex_destroy(&limits->mutex);
	free(limits);
}

void
limits_set(struct limits *limits, const struct listener_settings *settings)
{
	atomic_store(&limits->most, settings->max_connections);
	atomic_store(&limits->most_per_ip, settings->max_connections_per_ip);
	pthread_mutex_lock(&limits->mutex);
	if (settings->accept_rate.count != limits->rate.count
	    || settings->accept_rate.period_ms != limits->rate.period_ms) {
		limits->rate = settings->accept_rate;
		bucket_fill(&limits->accepts, &limits->rate, reactor_now_ms());
	}
	pthread_mutex_unlock(&limits->mutex);
	atomic_store(&limits->rate_count, settings->accept_rate.count);
}

/* Counts some more unless that is more than may be (most 0: no limit). */
static bool
take(_Atomic int64_t *taken, int64_t amount, int64_t most)
{
	if (atomic_fetch_add_explicit(taken, amount, memory_order_relaxed) + amount <= most
	    || most == 0)
		return true;
	atomic_fetch_sub_explicit(taken, amount, memory_order_relaxed);
	return false;
}

int
limits_take_place(struct limits *limits)
{
	struct connection_budget *budget = limits->budget;

	if (!take(&limits->taken, 1, atomic_load_explicit(&limits->most, memory_order_relaxed)))
		return -1;
	if (take(&budget->taken, 1, atomic_load_explicit(&budget->most, memory_order_relaxed))) {
		if (take(&budget->descriptors, limits->descriptors, 
			 atomic_load_explicit(&budget->most_descriptors, memory_order_relaxed)))
			return 0;
		atomic_fetch_sub_explicit(&budget->taken, 1, memory_order_relaxed);
	}
	atomic_fetch_sub_explicit(&limits->taken, 1, memory_order_relaxed);
	return -1;
}

void
limits_leave_place(struct limits *limits)
{
	struct connection_budget *budget = limits->budget;

	atomic_fetch_sub_explicit(&budget->descriptors, limits->descriptors, memory_order_relaxed);
	atomic_fetch_sub_explicit(&budget->taken, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&limits->taken, 1, memory_order_relaxed);
}

/* Whether a listener that has so many flows may have one more. */
static bool
flow_is_due(const struct connection_budget *budget, int64_t flows)
{
	int64_t most = atomic_load_explicit(&budget->most_descriptors, memory_order_relaxed);
	int64_t taken = atomic_load_explicit(&budget->descriptors, memory_order_relaxed);
	int64_t all = atomic_load_explicit(&budget->flows, memory_order_relaxed);
	int64_t listeners = atomic_load_explicit(&budget->flow_listeners, memory_order_relaxed);
	int64_t share = most / 2 / 4;

	if (flows < FLOWS_ALWAYS || most == 0)
		return true;
	return taken < most && (all < most / 2 - share || flows < share / listeners);
}

int
limits_take_flow(struct limits *limits)
{
	struct connection_budget *budget = limits->budget;
	int64_t flows = atomic_load_explicit(&limits->flows, memory_order_relaxed);

	if (!flow_is_due(budget, flows))
		return -1;
	if (atomic_fetch_add_explicit(&limits->flows, 1, memory_order_relaxed) == 0)
		atomic_fetch_add_explicit(&budget->flow_listeners, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&budget->flows, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&budget->descriptors, 1, memory_order_relaxed);
	return 0;
}

void
limits_leave_flow(struct limits *limits)
{
	struct connection_budget *budget = limits->budget;

	if (atomic_fetch_sub_explicit(&limits->flows, 1, memory_order_relaxed) == 1)
		atomic_fetch_sub_explicit(&budget->flow_listeners, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&budget->flows, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&budget->descriptors, 1, memory_order_relaxed);
}

int64_t
limits_take_accept(struct limits *limits, uint64_t now_ms)
{
	int64_t wait_ms;

	if (atomic_load_explicit(&limits->rate_count, memory_order_relaxed) == 0)
		return 0;
	pthread_mutex_lock(&limits->mutex);
	wait_ms = bucket_take(&limits->accepts, &limits->rate, now_ms);
	pthread_mutex_unlock(&limits->mutex);
	return wait_ms;
}

void
limits_return_accept(struct limits *limits)
{
	if (atomic_load_explicit(&limits->rate_count, memory_order_relaxed) == 0)
		return;
	pthread_mutex_lock(&limits->mutex);
	bucket_return(&limits->accepts, &limits->rate);
	pthread_mutex_unlock(&limits->mutex);
}

/* Where the chain has the count of a network, or its end. */
static struct peer_count **
peer_find(struct limits *limits, const struct network *network)
{
	struct peer_count **at = &limits->peers[network_hash(network) % PEER_BUCKETS];

	while (*at != NULL && !network_equal(&(*at)->network, network))
		at = &(*at)->next;
	return at;
}

int
limits_count_peer(struct limits *limits, const union peer_address *peer)
{
	int64_t most = atomic_load_explicit(&limits->most_per_ip, memory_order_relaxed);
	struct network network = network_of(peer);
	struct peer_count **at;
	int result = -1;

	if (peer->sa.sa_family == AF_UNSPEC)
		return 0;	/* a unix peer has no network */

	pthread_mutex_lock(&limits->mutex);
	if (limits->peers == NULL)
		limits->peers = calloc(PEER_BUCKETS, sizeof *limits->peers);
	if (limits->peers == NULL)
		goto out;
	at = peer_find(limits, &network);
	if (*at == NULL) {
		*at = calloc(1, sizeof **at);
		if (*at == NULL)
			goto out;
		(*at)->network = network;
	}
	if (most == 0 || (*at)->count < most) {
		(*at)->count++;
		result = 0;
	}
out:
	pthread_mutex_unlock(&limits->mutex);
	return result;
}

void
limits_uncount_peer(struct limits *limits, const union peer_address *peer)
{
	struct network network = network_of(peer);
	struct peer_count **at, *gone;

	if (peer->sa.sa_family == AF_UNSPEC)
		return;
	pthread_mutex_lock(&limits->mutex);
	at = peer_find(limits, &network);
	if (*at != NULL && --(*at)->count == 0) {
		gone = *at;
		*at = gone->next;
		free(gone);
	}
	pthread_mutex_unlock(&limits->mutex);
}
