/* proxy_way.c - a client's way to an upstream: one after another is dialled until one answers. */
#include "protocols/proxy_way.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "net/address.h"
#include "net/deadline.h"
#include "net/dialling.h"
#include "net/factory.h"
#include "net/transport.h"
#include "protocols/proxy_factory.h"
#include "protocols/proxy_settings.h"
#include "protocols/upstreams.h"

enum {
	/* A pause between two rounds is anything up to this, which doubles with each round. */
	PAUSE_FIRST_MS = 100,
	PAUSE_MOST_MS = 5000,
	/* How often who pauses looks whether others have found out that there is no need to. */
	LOOK_MS = 250,
};

struct way {
	struct way **owner;		/* its pointer to this */
	struct transport *client;
	const struct protocol *protocol;
	way_arrived_fn *arrived;
	struct choice choice;
	struct dialling *dialling;	/* NULL: WAITING, unless it is being made */
	struct transport *reached;	/* what the last attempt came to: this, or error */
	size_t index;			/* of the place where it was reached */
	int error;			/* 0: there was none */
	struct deadline deadline;	/* of a pause; of attempts, once each has had its time */
	uint64_t begun_ms;
	int64_t idle_timeout_ms;	/* the client's own, while it is held */
	int64_t pause_ms;		/* the next one is shorter than this */
	uint64_t pause_until_ms;
	unsigned changes;		/* upstreams_changes when the last round began */
	bool connecting;		/* within dialling_begin */
	bool held;			/* the client is */
	bool went_round;		/* every upstream has been tried */
	bool stopping;
};

static const struct proxy_settings *
way_settings(const struct way *way)
{
	return transport_settings(way->client);
}

/* Whether we are short of something: another upstream fares no better, nor is this one to blame. */
static bool
is_own_failure(int error)
{
	return error == ENOMEM || error == ENOBUFS || error == EMFILE || error == ENFILE;
}

static enum reason
reason_for(int error)
{
	if (error == ETIMEDOUT)
		return REASON_CONNECT_TIMEOUT;
	/* The last: every local port is taken. */
	return is_own_failure(error) || error == EADDRNOTAVAIL ? REASON_NO_RESOURCES
							       : REASON_UPSTREAM_REFUSED;
}

/* Lets go of what has been picked, and of what has been tried. */
static void
way_forget(struct way *way)
{
	choice_end(&way->choice);
	way->choice = (struct choice){ 0 };
}

/* Ends what goes on by itself. */
static void
way_halt(struct way *way)
{
	reactor_unset_deadline(transport_reactor(way->client), &way->deadline);
	dialling_cancel(way->dialling);
	way->dialling = NULL;
	way_forget(way);
}

/* A reset, so that the client learns what connecting itself would have told it. */
static void
way_give_up(struct way *way, enum reason reason)
{
	way_halt(way);
	transport_abort(way->client, reason);
}

/* Reads nothing beyond this call; the client's idle time begins when it has an upstream. */
static void
way_hold(struct way *way)
{
	if (way->held)
		return;
	way->held = true;
	way->idle_timeout_ms = transport_idle_timeout(way->client);
	transport_set_idle_timeout(way->client, 0);
	transport_hold(way->client);
}

/* How long a client is held for want of an upstream, from the beginning on. */
static int64_t
way_limit_ms(const struct way *way, enum pick pick)
{
	const struct proxy_settings *settings = way_settings(way);
	int64_t limit_ms = settings->wait_for_upstream_ms;

	/* A name that is still looked up has as long as an address that is dialled. */
	if (pick == PICK_UNRESOLVED && settings->connect_timeout_ms == 0)
		return INT64_MAX;
	if (pick == PICK_UNRESOLVED && settings->connect_timeout_ms > limit_ms)
		return settings->connect_timeout_ms;
	return limit_ms;
}

static struct upstreams *
way_upstreams(const struct way *way)
{
	const struct proxy_shared *shared = factory_shared(transport_factory(way->client));

	return shared->streams;
}

/* Pauses on, until the next look. */
static void
way_pause(struct way *way)
{
	uint64_t look_ms = reactor_now_ms() + LOOK_MS;

	reactor_set_deadline(transport_reactor(way->client), &way->deadline,
			     look_ms < way->pause_until_ms ? look_ms : way->pause_until_ms);
}

/* There is none to dial now: waits a while, or gives up. */
static void
way_wait(struct way *way, enum pick pick)
{
	const struct proxy_settings *settings = way_settings(way);
	uint64_t now_ms = reactor_now_ms();
	int64_t left_ms = way_limit_ms(way, pick) - (int64_t)(now_ms - way->begun_ms), pause_ms;

	if (left_ms <= 0 || way->stopping) {
		way_give_up(way, reason_for(way->error));
		return;
	}
	if (settings->wait_for_upstream_ms != 0)
		way_forget(way);
	way->went_round = pick == PICK_NONE;
	if (way->pause_ms == 0) {
		log_info("%s: %s: waits for an upstream", transport_place(way->client),
			 transport_peer_text(way->client));
		way->pause_ms = PAUSE_FIRST_MS;
	}
	/* Full jitter: clients that came together do not come back together. */
	pause_ms = 1 + arc4random_uniform((uint32_t)way->pause_ms);
	if (pause_ms > left_ms)
		pause_ms = left_ms;
	way->pause_ms = way->pause_ms * 2 > PAUSE_MOST_MS ? PAUSE_MOST_MS : way->pause_ms * 2;
	way->pause_until_ms = now_ms + (uint64_t)pause_ms;
	way_hold(way);
	way_pause(way);
}

/* Hands over the upstream that has answered; the way is gone. */
static void
way_arrive(struct way *way)
{
	const struct sockaddr_any *place = &way->choice.places->items[way->index];
	enum address_kind kind = place->u.sa.sa_family == AF_UNIX ? ADDRESS_UNIX : ADDRESS_TCP;
	struct transport *client = way->client, *reached = way->reached;
	way_arrived_fn *arrived = way->arrived;
	struct upstream *upstream = way->choice.upstream;
	char text[ADDRESS_TEXT_MAX];

	log_info("%s: %s: upstream %s", transport_place(client), transport_peer_text(client),
		 address_format(kind, &place->u.sa, place->length, text));
	choice_connected(&way->choice);
	reactor_unset_deadline(transport_reactor(client), &way->deadline);
	if (way->held) {
		transport_set_idle_timeout(client, way->idle_timeout_ms);
		transport_resume(client);
	}
	*way->owner = NULL;
	free(way);
	arrived(client, reached, upstream);
}

/* An attempt has ended: whether another one is to be picked. If not, the way may be gone. */
static bool
way_goes_on(struct way *way)
{
	if (way->reached != NULL) {
		way_arrive(way);
		return false;
	}
	if (is_own_failure(way->error)) {
		way_forget(way);
		way_wait(way, PICK_NONE);
		return false;
	}
	choice_refused(&way->choice, way->error);
	return !transport_is_closed(way->client);
}

static void way_go(struct way *way);

static void
attempt_connected(void *arg, struct transport *transport, size_t index)
{
	struct way *way = arg;

	way->dialling = NULL;
	way->reached = transport;
	way->index = index;
	way->error = transport == NULL ? ENOMEM : 0;
	if (!way->connecting && way_goes_on(way))
		way_go(way);
}

static void
attempt_failed(void *arg, int error)
{
	struct way *way = arg;

	way->dialling = NULL;
	way->error = error;
	if (!way->connecting && way_goes_on(way))
		way_go(way);
}

/* Dials what has been picked. Without a dialling then, the attempt has ended already. */
static void
way_dial(struct way *way)
{
	const struct proxy_settings *settings = way_settings(way);
	const struct places *places = way->choice.places;
	const struct dial dial = {
		.addresses = places->items,
		.count = places->count,
		.first = way->choice.first,
		.timeout_ms = settings->connect_timeout_ms,
		.source = &settings->bind,
		.quiet = way->went_round,
		.connected = attempt_connected,
		.failed = attempt_failed,
		.arg = way,
	};

	way->connecting = true;
	way->dialling = dialling_begin(transport_endpoint(way->client), way->protocol, &dial);
	way->connecting = false;
	if (way->dialling == NULL)
		return;
	way_hold(way);
	/* Each has had its whole time before: a further attempt has what is left. */
	if (way->went_round)
		reactor_set_deadline(transport_reactor(way->client), &way->deadline,
				     way->begun_ms + (uint64_t)settings->wait_for_upstream_ms);
}

/* Picks and dials until an attempt outlasts this call, or there is nothing left to dial. */
static void
way_go(struct way *way)
{
	struct upstreams *upstreams = way_upstreams(way);

	way->changes = upstreams_changes(upstreams);
	do {
		enum pick pick =
			upstreams_pick(upstreams, transport_peer(way->client), &way->choice);

		if (pick != PICK_OK) {
			way_wait(way, pick);
			return;
		}
		way_dial(way);
	} while (way->dialling == NULL && way_goes_on(way));
}

/* A pause is over, or interrupted for a look; or there is no time left for an attempt. */
static void
deadline_reached(void *arg)
{
	struct way *way = arg;

	if (way->dialling != NULL)
		way_give_up(way, reason_for(way->error));
	else if (reactor_now_ms() >= way->pause_until_ms
		 || upstreams_changes(way_upstreams(way)) != way->changes)
		way_go(way);
	else
		way_pause(way);
}

void
way_begin(struct way **owner, struct transport *client, const struct protocol *protocol,
	  way_arrived_fn *arrived)
{
	struct way *way = calloc(1, sizeof *way);

	*owner = way;
	if (way == NULL) {
		transport_abort(client, REASON_NO_RESOURCES);
		return;
	}
	way->owner = owner;
	way->client = client;
	way->protocol = protocol;
	way->arrived = arrived;
	way->deadline.fn = deadline_reached;
	way->deadline.arg = way;
	way->begun_ms = reactor_now_ms();
	way_go(way);
}

void
way_stop(struct way *way)
{
	way->stopping = true;
	if (way->dialling == NULL || way->went_round)
		way_give_up(way, REASON_SHUTDOWN);
}

void
way_free(struct way *way)
{
	if (way == NULL)
		return;
	way_halt(way);
	*way->owner = NULL;
	free(way);
}
