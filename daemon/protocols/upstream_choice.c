/* upstream_choice.c - which upstream a client is given, and what comes of it. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "protocols/proxy_settings.h"
#include "protocols/upstreams_private.h"

/* What is to be logged once the mutex is free. */
struct news {
	const struct upstream *upstream;
	enum health_news what;
	uint32_t failures;
	const char *why;
};

/* choice->tried when there is no memory for the bits: every one is taken for tried. */
static uint64_t all_tried;

static void
news_log(const struct news *news)
{
	const struct upstream *upstream = news->upstream;

	if (news->what == HEALTH_CAME_UP)
		log_notice("%s: upstream %s: up", upstream->group->name, upstream_text(upstream));
	else if (news->what == HEALTH_WENT_DOWN)
		log_warning("%s: upstream %s: down after %u failure%s: %s", upstream->group->name,
			    upstream_text(upstream), news->failures, news->failures == 1 ? "" : "s",
			    news->why);
}

static size_t
index_of(const struct upstream *upstream)
{
	return (size_t)(upstream - upstream->group->items);
}

static struct candidate *
candidate_of(const struct upstream *upstream)
{
	return &upstream->group->candidates[index_of(upstream)];
}

/* The first or the second to be asked: those that are no backups, and those that are. */
static struct candidates
tier(const struct upstreams *upstreams, bool backups, const uint64_t *tried)
{
	return (struct candidates){
		.items = upstreams->candidates,
		.keys = upstreams->keys,
		.first = backups ? upstreams->backups : 0,
		.end = backups ? upstreams->count : upstreams->backups,
		.tried = tried,
	};
}

/*
 * Sets the shares anew, because something has changed or the time has come. At most one upstream
 * makes news by that; if another could, it waits for the next pick.
 */
static void
set_shares(struct upstreams *upstreams, uint64_t now_ms, struct news *news)
{
	const struct health_rules *rules = &upstreams->rules;
	struct candidates tiers[] = { tier(upstreams, false, NULL), tier(upstreams, true, NULL) };

	upstreams->change_ms = UINT64_MAX;
	upstreams->none_serves = true;
	for (size_t i = 0; i < upstreams->count; i++) {
		struct upstream *upstream = &upstreams->items[i];
		uint64_t change_ms;

		upstreams->candidates[i].share = 0;
		if (upstream->whole == 0 || upstream->places == NULL)
			continue;
		if (news->what == HEALTH_NO_NEWS) {
			news->upstream = upstream;
			news->what = health_pass_time(&upstream->health, rules, now_ms);
		}
		upstreams->candidates[i].share =
			health_share(&upstream->health, rules, upstream->whole, now_ms);
		if (upstream->health.state == HEALTH_UP)
			upstreams->none_serves = false;
		change_ms = health_next_ms(&upstream->health, rules, now_ms);
		if (change_ms < upstreams->change_ms)
			upstreams->change_ms = change_ms;
	}
	for (size_t i = 0; upstreams->none_serves && i < upstreams->count; i++)
		if (upstreams->items[i].places != NULL)
			upstreams->candidates[i].share = upstreams->items[i].whole;
	balance_settle(&tiers[0]);
	balance_settle(&tiers[1]);
}

/* The index of the next one, or BALANCE_NONE. */
static size_t
pick(struct upstreams *upstreams, const union peer_address *client, const uint64_t *tried)
{
	enum balance balance = (enum balance)upstreams->settings->balance;
	size_t picked = BALANCE_NONE;
	uint64_t draw = 0;

	/* A unix peer has no address to go by. */
	if (balance == BALANCE_SOURCE && client->sa.sa_family == AF_UNSPEC)
		balance = BALANCE_ROUND_ROBIN;
	if (balance == BALANCE_SOURCE)
		draw = balance_client(client);
	else if (balance == BALANCE_RANDOM)
		draw = balance_random(&upstreams->random);
	for (int backups = 0; backups < 2 && picked == BALANCE_NONE; backups++) {
		struct candidates among = tier(upstreams, backups, tried);

		picked = balance_pick(balance, &among, draw);
	}
	return picked;
}

/* Fills a choice with what has been picked. */
static void
choose(struct upstream *upstream, struct choice *choice)
{
	struct upstreams *upstreams = upstream->group;
	struct candidate *candidate = candidate_of(upstream);
	struct places *places = upstream->places;

	__atomic_fetch_add(&places->refs, 1, __ATOMIC_RELAXED);
	choice->upstream = upstream;
	choice->places = places;
	choice->first = upstream->next_place++ % places->preferred;
	choice->epoch = upstream->health.epoch;
	choice->trial = health_begin(&upstream->health);
	candidate->open++;
	if (choice->trial && !upstreams->none_serves)
		candidate->share = 0;
}

enum pick
upstreams_pick(struct upstreams *upstreams, const union peer_address *client, struct choice *choice)
{
	struct news news = { 0 };
	enum pick result = PICK_NONE;
	uint64_t now_ms;
	size_t picked;

	assert(choice->upstream == NULL);
	if (choice->tried == &all_tried)
		return PICK_NONE;
	pthread_mutex_lock(&upstreams->mutex);
	now_ms = reactor_now_ms();
	if (now_ms >= upstreams->change_ms)
		set_shares(upstreams, now_ms, &news);
	picked = pick(upstreams, client, choice->tried);
	if (picked != BALANCE_NONE) {
		choose(&upstreams->items[picked], choice);
		result = PICK_OK;
	} else if (upstreams->pending > 0) {
		result = PICK_UNRESOLVED;
	}
	pthread_mutex_unlock(&upstreams->mutex);
	news_log(&news);
	return result;
}

/*
 * Under the mutex: takes the news of an upstream, whose share may not be what it was in that epoch.
 */
static void
news_take(struct news *news, struct upstream *upstream, enum health_news what, uint32_t epoch)
{
	news->upstream = upstream;
	news->what = what;
	if (upstream->health.epoch != epoch)
		upstream->group->change_ms = 0;
	if (what == HEALTH_CAME_UP)
		atomic_fetch_add_explicit(&upstream->group->changes, 1, memory_order_relaxed);
}

unsigned
upstreams_changes(const struct upstreams *upstreams)
{
	return atomic_load_explicit(&upstreams->changes, memory_order_relaxed);
}

void
choice_sent(const struct choice *choice)
{
	struct upstream *upstream = choice->upstream;
	struct upstreams *upstreams = upstream->group;

	pthread_mutex_lock(&upstreams->mutex);
	health_sent(&upstream->health, &upstreams->rules, choice->epoch, reactor_now_ms());
	if (upstream->health.state == HEALTH_TRIAL
	    && upstream->health.until_ms < upstreams->change_ms)
		upstreams->change_ms = upstream->health.until_ms;
	pthread_mutex_unlock(&upstreams->mutex);
}

void
choice_connected(struct choice *choice)
{
	struct upstream *upstream = choice->upstream;
	struct upstreams *upstreams = upstream->group;
	struct news news = { 0 };
	uint32_t epoch;

	pthread_mutex_lock(&upstreams->mutex);
	upstream->connected++;
	epoch = upstream->health.epoch;
	news_take(&news, upstream,
		  health_served(&upstream->health, &upstreams->rules, reactor_now_ms()), epoch);
	pthread_mutex_unlock(&upstreams->mutex);
	news_log(&news);
	choice_forget(choice);
	places_unref(choice->places);
	*choice = (struct choice){ .upstream = upstream };
}

/* Under the mutex: it has one connection less. */
static void
give_back(struct choice *choice)
{
	struct upstream *upstream = choice->upstream;

	candidate_of(upstream)->open--;
	if (choice->trial) {
		health_forget_trial(&upstream->health, choice->epoch);
		upstream->group->change_ms = 0;
	}
}

bool
error_is_ours(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS
	       || error == EADDRNOTAVAIL;
}

static void
note_tried(struct choice *choice)
{
	size_t index = index_of(choice->upstream);

	if (choice->tried == NULL)
		choice->tried =
			calloc(choice->upstream->group->count / 64 + 1, sizeof *choice->tried);
	if (choice->tried == NULL)
		choice->tried = &all_tried;
	if (choice->tried != &all_tried)
		choice->tried[index / 64] |= (uint64_t)1 << index % 64;
}

void
choice_refused(struct choice *choice, int error)
{
	struct upstream *upstream = choice->upstream;
	struct upstreams *upstreams = upstream->group;
	struct news news = { .why = strerror(error) };
	uint32_t epoch;

	pthread_mutex_lock(&upstreams->mutex);
	upstream->refused++;
	epoch = upstream->health.epoch;
	if (!error_is_ours(error))
		news_take(&news, upstream,
			  health_failed(&upstream->health, &upstreams->rules, choice->epoch,
					reactor_now_ms(), &news.failures),
			  epoch);
	give_back(choice);
	pthread_mutex_unlock(&upstreams->mutex);
	news_log(&news);
	note_tried(choice);
	places_unref(choice->places);
	choice->upstream = NULL;
	choice->places = NULL;
}

void
choice_forget(struct choice *choice)
{
	if (choice->tried != &all_tried)
		free(choice->tried);
	choice->tried = NULL;
}

void
choice_end(struct choice *choice)
{
	if (choice->upstream != NULL) {
		struct upstreams *upstreams = choice->upstream->group;

		pthread_mutex_lock(&upstreams->mutex);
		give_back(choice);
		pthread_mutex_unlock(&upstreams->mutex);
	}
	choice_forget(choice);
	places_unref(choice->places);
	*choice = (struct choice){ 0 };
}

void
upstream_checked(struct upstream *upstream, bool succeeded, const char *why)
{
	struct upstreams *upstreams = upstream->group;
	struct news news = { .why = why };
	uint32_t epoch;

	pthread_mutex_lock(&upstreams->mutex);
	upstream->refused += !succeeded;
	epoch = upstream->health.epoch;
	news_take(&news, upstream,
		  health_checked(&upstream->health, &upstreams->rules, succeeded, reactor_now_ms(),
				 &news.failures),
		  epoch);
	pthread_mutex_unlock(&upstreams->mutex);
	news_log(&news);
}
