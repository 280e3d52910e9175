/* upstream_names.c - where the names of upstreams lead: looked up again and again. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/factory.h"
#include "net/resolver.h"
#include "protocols/proxy_settings.h"
#include "protocols/upstreams_private.h"

enum {
	PLACES_MAX = 256,
	RETRY_MIN_MS = 1000,		/* while there is no answer at all; doubled each time */
	RETRY_MAX_MS = 30 * 1000,
	PLACES_TOLD = 8,		/* in the log */
};

static const char no_place[] = "has no address of the family of bind";

void
places_unref(struct places *places)
{
	if (places != NULL && __atomic_fetch_sub(&places->refs, 1, __ATOMIC_ACQ_REL) == 1)
		free(places);
}

static bool
places_have(const struct places *places, const struct sockaddr_any *address)
{
	for (size_t i = 0; i < places->count; i++)
		if (places->items[i].length == address->length
		    && memcmp(&places->items[i].u, &address->u, address->length) == 0)
			return true;
	return false;
}

/* Adds those that are of the family, or those that are not, and that can be dialled from bind. */
static void
places_add(struct places *places, const struct sockaddr_any *found, size_t count, int family,
	   bool of_it, int bind_family)
{
	for (size_t i = 0; i < count && places->count < PLACES_MAX; i++) {
		int has = found[i].u.sa.sa_family;

		if ((has == family) == of_it
		    && (bind_family == AF_UNSPEC || has == AF_UNIX || has == bind_family)
		    && !places_have(places, &found[i]))
			places->items[places->count++] = found[i];
	}
}

/*
 * Makes places of what a look-up has found: the family of the first one first, each once. NULL
 * without memory; there may be none in it.
 */
static struct places *
places_new(const struct sockaddr_any *found, size_t count, const union peer_address *bind)
{
	size_t room = count < PLACES_MAX ? count : PLACES_MAX;
	struct places *places = calloc(1, sizeof *places + room * sizeof places->items[0]);
	int bind_family = bind->sa.sa_family,
	    family = count == 0 ? AF_UNSPEC : found[0].u.sa.sa_family;

	if (places == NULL)
		return NULL;
	places->refs = 1;
	places_add(places, found, count, family, true, bind_family);
	places->preferred = places->count;
	places_add(places, found, count, family, false, bind_family);
	if (places->preferred == 0)
		places->preferred = places->count;
	return places;
}

/* Whether they are the same, in any order: name servers turn it. */
static bool
places_equal(const struct places *a, const struct places *b)
{
	if (a == NULL || a->count != b->count)
		return false;
	for (size_t i = 0; i < b->count; i++)
		if (!places_have(a, &b->items[i]))
			return false;
	return true;
}

/* "web: upstream tcp://name:80: leads to tcp://192.0.2.7:80, tcp://192.0.2.8:80" */
static void
places_log(const struct upstream *upstream, const struct places *places)
{
	char list[PLACES_TOLD * ADDRESS_TEXT_MAX], text[ADDRESS_TEXT_MAX], more[40] = "";
	size_t used = 0, i;

	for (i = 0; i < places->count && i < PLACES_TOLD; i++)
		used += (size_t)snprintf(
			list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ",
			address_format(upstream->config->address.kind, &places->items[i].u.sa,
				       places->items[i].length, text));
	if (i < places->count)
		snprintf(more, sizeof more, " and %zu more", places->count - i);
	log_info("%s: upstream %s: leads to %s%s", upstream->group->name, upstream_text(upstream),
		 list, more);
}

struct places *
upstream_places(struct upstream *upstream)
{
	struct places *places;

	pthread_mutex_lock(&upstream->group->mutex);
	places = upstream->places;
	if (places != NULL)
		__atomic_fetch_add(&places->refs, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&upstream->group->mutex);
	return places;
}

/* Has the upstream lead elsewhere. Takes over the reference. */
static void
set_places(struct upstream *upstream, struct places *places)
{
	struct upstreams *upstreams = upstream->group;
	struct places *old;

	places_log(upstream, places);
	pthread_mutex_lock(&upstreams->mutex);
	old = upstream->places;
	upstream->places = places;
	health_renew(&upstream->health, reactor_now_ms());
	upstreams->change_ms = 0;
	pthread_mutex_unlock(&upstreams->mutex);
	atomic_fetch_add_explicit(&upstreams->changes, 1, memory_order_relaxed);
	places_unref(old);
	upstream_check_soon(upstream);
}

void
upstream_not_pending(struct upstream *upstream)
{
	pthread_mutex_lock(&upstream->group->mutex);
	upstream->group->pending -= upstream->is_pending;
	atomic_fetch_add_explicit(&upstream->group->changes, upstream->is_pending,
				  memory_order_relaxed);
	upstream->is_pending = false;
	pthread_mutex_unlock(&upstream->group->mutex);
}

/* Whether an address says itself where it leads. */
static bool
is_literal(const struct address *address)
{
	struct in_addr in;

	return address->kind == ADDRESS_UNIX || address->kind == ADDRESS_UNIXGRAM
	       || strchr(address->host, ':') != NULL || strcmp(address->host, "*") == 0
	       || inet_pton(AF_INET, address->host, &in) == 1;
}

int
upstream_place(struct upstream *upstream)
{
	const struct address *address = &upstream->config->address;
	struct sockaddr_any *found;
	size_t count;

	if (!is_literal(address))
		return 0;
	/* Where it fails, as without the interface that it names, a later look-up may do. */
	if (address_resolve(address, &found, &count) != NULL)
		return 0;
	upstream->places = places_new(found, count, &upstream->group->settings->bind);
	free(found);
	if (upstream->places == NULL)
		return -1;
	if (upstream->places->count == 0) {
		places_unref(upstream->places);
		upstream->places = NULL;
	}
	return 0;
}

/* Says once that a look-up has failed, and keeps what there is. */
static void
name_failed(struct upstream *upstream, const char *error)
{
	if (!upstream->lookup_fails)
		log_warning("%s: upstream %s: %s%s", upstream->group->name,
			    upstream_text(upstream), error,
			    upstream->places != NULL ? "; the last answer stays" : "");
	upstream->lookup_fails = true;
}

/* NULL, or what is wrong with what was found. */
static const char *
name_found(struct upstream *upstream, const struct sockaddr_any *found, size_t count)
{
	struct places *places = places_new(found, count, &upstream->group->settings->bind);

	if (places == NULL)
		return strerror(ENOMEM);
	if (places->count == 0) {
		places_unref(places);
		return no_place;
	}
	if (upstream->lookup_fails)
		log_notice("%s: upstream %s: its name is known again", upstream->group->name,
			   upstream_text(upstream));
	upstream->lookup_fails = false;
	/* Only this thread sets them. */
	if (places_equal(upstream->places, places))
		places_unref(places);
	else
		set_places(upstream, places);
	return NULL;
}

/* In how many ms to look up again, a little earlier each time by chance; 0: no more. */
static int64_t
next_lookup_ms(struct upstream *upstream)
{
	int64_t interval_ms = upstream->group->settings->resolve_interval_ms, wait_ms = interval_ms;
	uint64_t seed = reactor_now_ms() ^ (uint64_t)(uintptr_t)upstream;

	if (upstream->places == NULL) {
		int64_t most_ms = interval_ms != 0 ? interval_ms : RETRY_MAX_MS;

		wait_ms = upstream->retry_ms == 0 ? RETRY_MIN_MS : 2 * upstream->retry_ms;
		wait_ms = wait_ms < most_ms ? wait_ms : most_ms;
		upstream->retry_ms = wait_ms;
	}
	return wait_ms - (int64_t)(balance_random(&seed) % (uint64_t)(wait_ms / 10 + 1));
}

static void name_look_up(void *arg);

static void
name_answered(void *arg, const char *error, struct sockaddr_any *found, size_t count)
{
	struct upstream *upstream = arg;
	int64_t wait_ms;

	upstream->lookup = NULL;
	if (error == NULL)
		error = name_found(upstream, found, count);
	free(found);
	if (error != NULL)
		name_failed(upstream, error);
	upstream_not_pending(upstream);
	wait_ms = next_lookup_ms(upstream);
	if (wait_ms != 0)
		reactor_set_deadline(factory_reactor(upstream->group->factory),
				     &upstream->lookup_again, reactor_now_ms() + (uint64_t)wait_ms);
}

static void
name_look_up(void *arg)
{
	struct upstream *upstream = arg;
	struct factory *factory = upstream->group->factory;

	upstream->lookup = resolver_look_up(factory_resolver(factory), factory_reactor(factory),
					    &upstream->config->address, name_answered, upstream);
	if (upstream->lookup == NULL)
		name_answered(upstream, strerror(ENOMEM), NULL, 0);
}

void
upstream_names_start(struct upstream *upstream)
{
	/* A literal has its place now, or needs to be looked up like a name. */
	if (upstream->places != NULL || upstream->whole == 0)
		return;
	upstream->lookup_again.fn = name_look_up;
	upstream->lookup_again.arg = upstream;
	name_look_up(upstream);
}

void
upstream_names_stop(struct upstream *upstream)
{
	lookup_cancel(upstream->lookup);
	upstream->lookup = NULL;
	reactor_unset_deadline(factory_reactor(upstream->group->factory), &upstream->lookup_again);
}
