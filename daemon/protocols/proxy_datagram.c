/* proxy_datagram.c - the datagrams of a proxy: each client's go to an upstream in a flow. */
#include "protocols/proxy_datagram.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "net/datagram.h"
#include "net/datagram_flow.h"
#include "net/factory.h"
#include "protocols/proxy_factory.h"
#include "protocols/proxy_settings.h"
#include "protocols/upstreams.h"

/* That cannot be connected to; the next datagram finds out about others. */
enum { UPSTREAMS_AT_ONCE = 4 };

/* What is kept with a flow. */
struct proxy_flow {
	struct choice choice;
	size_t place;		/* the one to be connected to, counted from the choice's first */
};

static void
log_failure(const struct datagram_flow *flow, const struct choice *choice, int error)
{
	const char *name = datagram_flow_log_name(flow);

	if (name != NULL)
		log_info("%s: upstream %s: %s", name, upstream_text(choice->upstream),
			 strerror(error));
}

/* Tries the places of what has been picked: 0, or -1 with errno. */
static int
connect_choice(struct datagram_flow *flow, struct proxy_flow *state)
{
	const struct places *places = state->choice.places;
	int error = ECONNREFUSED;

	for (; state->place < places->count; state->place++) {
		const struct sockaddr_any *to =
			&places->items[(state->choice.first + state->place) % places->count];

		if (datagram_flow_connect(flow, to) == 0)
			return 0;
		error = errno;
		if (error == EMFILE)
			break;
		log_failure(flow, &state->choice, error);
	}
	errno = error;
	return -1;
}

static void
proxy_flow_wanted(struct datagram_flow *flow)
{
	struct proxy_shared *shared = factory_shared(datagram_flow_factory(flow));
	struct proxy_flow *state = datagram_flow_state(flow);

	for (unsigned i = 0; i < UPSTREAMS_AT_ONCE; i++) {
		if (state->choice.upstream == NULL) {
			state->place = 0;
			if (upstreams_pick(shared->datagrams, datagram_flow_client(flow),
					   &state->choice)
			    != PICK_OK) {
				choice_forget(&state->choice);
				return;
			}
		}
		if (connect_choice(flow, state) == 0)
			return;
		if (errno == EMFILE) {
			choice_end(&state->choice);	/* it is not held up by what we lack */
			return;
		}
		choice_refused(&state->choice, errno);
	}
}

static void
proxy_flow_sent(struct datagram_flow *flow)
{
	struct proxy_flow *state = datagram_flow_state(flow);

	if (state->choice.places != NULL)
		choice_sent(&state->choice);
}

static void
proxy_flow_answered(struct datagram_flow *flow)
{
	struct proxy_flow *state = datagram_flow_state(flow);

	/* What answers once more has nothing new to say. */
	if (state->choice.places != NULL)
		choice_connected(&state->choice);
}

static void
proxy_flow_refused(struct datagram_flow *flow, int error)
{
	struct proxy_flow *state = datagram_flow_state(flow);

	log_failure(flow, &state->choice, error);
	/* "localhost" is ::1 and 127.0.0.1, and its server may serve one of them only. */
	if (state->choice.places != NULL && ++state->place < state->choice.places->count)
		return;
	choice_refused(&state->choice, error);
}

static void
proxy_flow_lost(struct datagram_flow *flow)
{
	struct proxy_flow *state = datagram_flow_state(flow);

	choice_end(&state->choice);
}

static const struct flow_calls proxy_flow_calls = {
	.state_size = sizeof(struct proxy_flow),
	.wanted = proxy_flow_wanted,
	.sent = proxy_flow_sent,
	.answered = proxy_flow_answered,
	.refused = proxy_flow_refused,
	.lost = proxy_flow_lost,
};

/* Whether there is but one upstream for datagrams. */
static bool
has_one(const struct proxy_settings *settings)
{
	unsigned count = 0;

	for (size_t i = 0; i < settings->upstream.count; i++)
		count += address_is_datagram(settings->upstream.items[i].address.kind);
	return count == 1;
}

struct datagram_flows *
proxy_flows_new(const struct proxy_settings *settings)
{
	const struct flow_settings flow_settings = {
		.most = (size_t)settings->max_sessions,
		.timeout_ms = (uint64_t)settings->session_timeout_ms,
		.source = &settings->bind,
		.waits = has_one(settings),
	};

	return datagram_flows_new(&proxy_flow_calls, &flow_settings);
}

void
proxy_datagram_received(struct datagram *datagram, const uint8_t *bytes, size_t length)
{
	struct proxy_shared *shared = factory_shared(datagram_factory(datagram));

	(void)bytes;
	(void)length;
	datagram_flow_carry(shared->flows, datagram);
}
