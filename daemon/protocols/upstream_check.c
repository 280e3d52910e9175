/* upstream_check.c - asks upstreams, again and again, whether they serve. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/transport.h"
#include "protocols/inquiry.h"
#include "protocols/proxy_settings.h"
#include "protocols/upstreams_private.h"

enum {
	FIRST_ROUND_MS = 100,
	FIRST_GAP_MS = 2,		/* between two of the first round, when they are many */
	LEAST_LIMIT_MS = 500,		/* who is busy for a moment is not down */
	LINGER_MS = 1000,
};

struct check {
	struct inquiry inquiry;		/* first */
	struct checks *checks;
	struct upstream *upstream;
	struct deadline deadline;	/* when the next one begins */
	bool is_first;
	size_t next_place;
	uint64_t begun_ms;
};

/* Lives until its last transport has gone, which may be after the upstreams have. */
struct checks {
	struct endpoint endpoint;	/* first */
	struct upstreams *upstreams;	/* NULL: they are made no more */
	uint64_t random;
	size_t count;
	char *name;
	struct check items[];
};

/*
 * When the next one is due: an interval after this one began, or at a chance moment around that, so
 * that upstreams are not asked all at once. The second round is spread over the interval.
 */
static uint64_t
next_begin_ms(const struct check *check)
{
	struct checks *checks = check->checks;
	uint64_t interval_ms = (uint64_t)checks->upstreams->settings->check_interval_ms;

	if (check->is_first)
		return check->begun_ms
		       + interval_ms * (uint64_t)(check - checks->items + 1) / checks->count;
	return check->begun_ms + interval_ms - interval_ms / 20
	       + balance_random(&checks->random) % (interval_ms / 10 + 1);
}

static void
check_done(struct inquiry *inquiry, enum inquiry_outcome outcome, const char *why)
{
	struct check *check = (struct check *)inquiry;

	reactor_set_deadline(check->checks->endpoint.reactor, &check->deadline,
			     next_begin_ms(check));
	check->is_first = false;
	if (outcome != INQUIRY_VOID)
		upstream_checked(check->upstream, outcome == INQUIRY_PASSED, why);
}

/* How long a check may take: as long as a client would wait, or until the next one is due. */
static uint64_t
limit_ms(const struct proxy_settings *settings)
{
	int64_t limit = settings->check_interval_ms;

	if (limit < LEAST_LIMIT_MS)
		limit = LEAST_LIMIT_MS;
	if (settings->connect_timeout_ms != 0 && settings->connect_timeout_ms < limit)
		limit = settings->connect_timeout_ms;
	return (uint64_t)limit;
}

static void
check_due(void *arg)
{
	struct check *check = arg;
	struct places *places = upstream_places(check->upstream);

	if (places == NULL)
		return;			/* upstream_check_soon follows when there are some */
	check->begun_ms = reactor_now_ms();
	inquiry_begin(&check->inquiry, places, check->next_place++ % places->preferred,
		      limit_ms(check->checks->upstreams->settings));
}

void
upstream_check_soon(struct upstream *upstream)
{
	if (upstream->check != NULL && upstream->check->inquiry.places == NULL)
		reactor_set_deadline(upstream->check->checks->endpoint.reactor,
				     &upstream->check->deadline, reactor_now_ms());
}

/* Frees the checks, if they are done with. */
static void
checks_settle(struct endpoint *endpoint)
{
	struct checks *checks = (struct checks *)endpoint;

	if (checks->upstreams != NULL || endpoint->transports != NULL)
		return;
	free(checks->name);
	free(checks);
}

static void
checks_add(struct checks *checks, struct upstream *upstream)
{
	struct check *check = &checks->items[checks->count++];

	*check = (struct check){
		.inquiry = {
			.settings = checks->upstreams->settings,
			.datagrams = checks->upstreams->datagrams,
			.endpoint = &checks->endpoint,
			.done = check_done,
		},
		.checks = checks,
		.upstream = upstream,
		.deadline = { .fn = check_due, .arg = check },
		.is_first = true,
	};
	upstream->check = check;
}

/* Sets the first round: soon, but not all in one instant. */
static void
checks_begin(struct checks *checks)
{
	uint64_t interval_ms = (uint64_t)checks->upstreams->settings->check_interval_ms;
	uint64_t span_ms = checks->count * FIRST_GAP_MS;

	if (span_ms < FIRST_ROUND_MS)
		span_ms = FIRST_ROUND_MS;
	if (span_ms > interval_ms)
		span_ms = interval_ms;
	for (size_t i = 0; i < checks->count; i++)
		reactor_set_deadline(checks->endpoint.reactor, &checks->items[i].deadline,
				     reactor_now_ms() + span_ms * i / checks->count);
}

void
upstreams_checks_start(struct upstreams *upstreams)
{
	struct checks *checks =
		calloc(1, sizeof *checks + upstreams->count * sizeof checks->items[0]);

	if (checks == NULL || (checks->name = strdup(upstreams->name)) == NULL) {
		log_error("%s: upstreams are not checked: %s", upstreams->name, strerror(ENOMEM));
		free(checks);
		upstreams_unchecked(upstreams);
		return;
	}
	checks->endpoint.reactor = factory_reactor(upstreams->factory);
	checks->endpoint.name = checks->name;
	checks->endpoint.linger_timeout_ms = LINGER_MS;
	checks->endpoint.all_gone = checks_settle;
	checks->upstreams = upstreams;
	arc4random_buf(&checks->random, sizeof checks->random);
	upstreams->checks = checks;
	for (size_t i = 0; i < upstreams->count; i++)
		if (upstreams->items[i].whole != 0)
			checks_add(checks, &upstreams->items[i]);
	checks_begin(checks);
}

void
upstreams_checks_stop(struct upstreams *upstreams)
{
	struct checks *checks = upstreams->checks;

	if (checks == NULL)
		return;
	for (size_t i = 0; i < checks->count; i++) {
		struct check *check = &checks->items[i];

		reactor_unset_deadline(checks->endpoint.reactor, &check->deadline);
		inquiry_cancel(&check->inquiry);
		check->upstream->check = NULL;
	}
	/* Those whose answer is known wait for the server to close. */
	for (struct transport *at = checks->endpoint.transports; at != NULL;
	     at = transport_next(at))
		transport_abort(at, REASON_SHUTDOWN);
	upstreams->checks = NULL;
	checks->upstreams = NULL;
	checks_settle(&checks->endpoint);
}
