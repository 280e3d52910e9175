/* upstreams.c - the upstreams of a proxy: how they begin and end, and what there is to say of
 * each. */
#include "protocols/upstreams.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "protocols/proxy_settings.h"
#include "protocols/upstreams_private.h"

/* Keys are those of the addresses; what stands there twice has two. */
static void
make_keys(struct upstreams *upstreams)
{
	for (size_t i = 0; i < upstreams->count; i++) {
		uint64_t key = balance_key(upstream_text(&upstreams->items[i]));

		for (size_t j = 0; j < i; j++)
			if (upstreams->keys[j] == key) {
				uint64_t again = key;

				key = balance_random(&again);
				j = SIZE_MAX;	/* from the first on */
			}
		upstreams->keys[i] = key;
	}
}

/* Enters the upstreams of the kind: those that are no backups first. */
static int
enter_items(struct upstreams *upstreams)
{
	const struct upstream_list *list = &upstreams->settings->upstream;
	size_t next[2] = { 0, upstreams->backups }, in_file = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct upstream_address *config = &list->items[i];
		struct upstream *upstream = &upstreams->items[next[config->backup]];

		if (address_is_datagram(config->address.kind) != upstreams->datagrams)
			continue;
		upstreams->in_file[in_file++] = next[config->backup]++;
		upstream->group = upstreams;
		upstream->config = config;
		upstream->whole = (uint32_t)config->weight * BALANCE_SHARE;
		upstream->health.epoch = 1;
		if (upstream_place(upstream) < 0)
			return -1;
		if (upstream->places == NULL && upstream->whole != 0) {
			upstream->is_pending = true;
			upstreams->pending++;
		}
	}
	return 0;
}

struct upstreams *
upstreams_new(const struct proxy_settings *settings, const char *name, bool datagrams)
{
	struct upstreams *upstreams = calloc(1, sizeof *upstreams);
	const struct upstream_list *list = &settings->upstream;
	bool checked = settings->check.kind == EXCHANGE_BYTES
		       || (settings->check.kind == EXCHANGE_CONNECT && !datagrams);

	if (upstreams == NULL)
		return NULL;
	upstreams->settings = settings;
	upstreams->name = name;
	upstreams->datagrams = datagrams;
	upstreams->rules = (struct health_rules){
		.max_fails = (uint32_t)settings->max_fails,
		.fail_timeout_ms = (uint64_t)settings->fail_timeout_ms,
		.checked = checked,
		.silent = datagrams,
	};
	arc4random_buf(&upstreams->random, sizeof upstreams->random);
	pthread_mutex_init(&upstreams->mutex, NULL);
	for (size_t i = 0; i < list->count; i++)
		if (address_is_datagram(list->items[i].address.kind) == datagrams) {
			upstreams->count++;
			upstreams->backups += !list->items[i].backup;
		}
	/* One more: there may be none. */
	upstreams->items = calloc(upstreams->count + 1, sizeof *upstreams->items);
	upstreams->candidates = calloc(upstreams->count + 1, sizeof *upstreams->candidates);
	upstreams->keys = calloc(upstreams->count + 1, sizeof *upstreams->keys);
	upstreams->in_file = calloc(upstreams->count + 1, sizeof *upstreams->in_file);
	if (upstreams->items == NULL || upstreams->candidates == NULL || upstreams->keys == NULL
	    || upstreams->in_file == NULL || enter_items(upstreams) < 0) {
		upstreams_free(upstreams);
		errno = ENOMEM;
		return NULL;
	}
	make_keys(upstreams);
	return upstreams;
}

void
upstreams_free(struct upstreams *upstreams)
{
	if (upstreams == NULL)
		return;
	for (size_t i = 0; upstreams->items != NULL && i < upstreams->count; i++)
		places_unref(upstreams->items[i].places);
	free(upstreams->items);
	free(upstreams->candidates);
	free(upstreams->keys);
	free(upstreams->in_file);
	pthread_mutex_destroy(&upstreams->mutex);
	free(upstreams);
}

void
upstreams_start(struct upstreams *upstreams, struct factory *factory)
{
	upstreams->factory = factory;
	for (size_t i = 0; i < upstreams->count; i++)
		upstream_names_start(&upstreams->items[i]);
	if (upstreams->rules.checked)
		upstreams_checks_start(upstreams);
}

void
upstreams_unchecked(struct upstreams *upstreams)
{
	pthread_mutex_lock(&upstreams->mutex);
	upstreams->rules.checked = false;
	for (size_t i = 0; i < upstreams->count; i++)
		health_renew(&upstreams->items[i].health, reactor_now_ms());
	upstreams->change_ms = 0;
	pthread_mutex_unlock(&upstreams->mutex);
}

void
upstreams_stop(struct upstreams *upstreams)
{
	upstreams_checks_stop(upstreams);
	for (size_t i = 0; i < upstreams->count; i++) {
		upstream_names_stop(&upstreams->items[i]);
		upstream_not_pending(&upstreams->items[i]);
	}
	/* A client may still wait for one. */
	upstreams_unchecked(upstreams);
	upstreams->factory = NULL;
}

const char *
upstream_text(const struct upstream *upstream)
{
	return upstream->config->address.text;
}

static const char *
state_of(const struct upstream *upstream)
{
	if (upstream->whole == 0)
		return "drained";
	if (upstream->places == NULL)
		return "unresolved";
	return upstream->health.state == HEALTH_UP ? "up" : "down";
}

void
upstreams_report(struct upstreams *upstreams,
		 void (*fn)(void *arg, const struct upstream_report *report), void *arg)
{
	for (size_t i = 0; i < upstreams->count; i++) {
		const struct upstream *upstream = &upstreams->items[upstreams->in_file[i]];
		struct upstream_report report;

		pthread_mutex_lock(&upstreams->mutex);
		report = (struct upstream_report){
			.text = upstream_text(upstream),
			.state = state_of(upstream),
			.backup = upstream->config->backup,
			.open = upstreams->candidates[upstreams->in_file[i]].open,
			.connected = upstream->connected,
			.refused = upstream->refused,
		};
		pthread_mutex_unlock(&upstreams->mutex);
		fn(arg, &report);
	}
}
