/* proxy_settings.c - the keys of a proxy. */
#include "protocols/proxy_settings.h"

enum { HOUR = 3600 * 1000 };

static const char *const balance_names[] = { "round_robin", "least_conn", "random", "source", NULL };
static const char *const send_proxy_names[] = { "no", "v1", "v2", NULL };

#define FIELD(name) offsetof(struct proxy_settings, name)

const struct option proxy_options[] = {
	{ "upstream", OPTION_UPSTREAMS, OPTION_REQUIRED, FIELD(upstream), 0, 0, NULL, NULL,
	  "addresses to connect to; weight=N gives one N shares, backup spares it for when no other serves" },
	{ "balance", OPTION_CHOICE, 0, FIELD(balance), 0, 0, balance_names, "round_robin",
	  "which upstream is next; source: always the same one for a client's address" },
	{ "connect_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(connect_timeout_ms), 1, HOUR, NULL,
	  "5s", "how long one address may take to answer" },
	{ "wait_for_upstream", OPTION_DURATION, OPTION_MAY_NONE, FIELD(wait_for_upstream_ms), 1, 24 * HOUR,
	  NULL, "none", "how long a client is held, with retries, while no upstream answers" },
	{ "max_fails", OPTION_NUMBER, OPTION_MAY_NONE, FIELD(max_fails), 1, 1000000, NULL, "3",
	  "failures within fail_timeout after which an upstream is down" },
	{ "fail_timeout", OPTION_DURATION, 0, FIELD(fail_timeout_ms), 1, 24 * HOUR, NULL, "10s",
	  "how long it is down before it is tried again, then how long its share takes to grow to the whole" },
	{ "check", OPTION_EXCHANGE, OPTION_MAY_NONE, FIELD(check), 0, 0, NULL, "none",
	  "asks every upstream whether it serves: connect, or what to send and to expect" },
	{ "check_interval", OPTION_DURATION, 0, FIELD(check_interval_ms), 10, 24 * HOUR, NULL, "5s",
	  "how often it is asked" },
	{ "resolve_interval", OPTION_DURATION, OPTION_MAY_NONE, FIELD(resolve_interval_ms), 100, 24 * HOUR,
	  NULL, "30s", "how often names are looked up again; none: at the start only" },
	{ "half_close_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(half_close_timeout_ms), 1, 24 * HOUR,
	  NULL, "1m", "closes a pair of which one side has ended and the other is silent for so long" },
	{ "send_proxy", OPTION_CHOICE, 0, FIELD(send_proxy), 0, 0, send_proxy_names, "no",
	  "tells the upstream the client's address in a PROXY protocol header" },
	{ "bind", OPTION_IP, OPTION_MAY_NONE, FIELD(bind), 0, 0, NULL, "none",
	  "source address of the connections to upstreams" },
	{ "session_timeout", OPTION_DURATION, 0, FIELD(session_timeout_ms), 1, 24 * HOUR, NULL, "1m",
	  "datagrams: ends a flow without one either way for so long" },
	{ "max_sessions", OPTION_NUMBER, 0, FIELD(max_sessions), 1, 1000000, NULL, "65536",
	  "datagrams: flows at a time; the oldest that has carried one datagram only goes first" },
	{ 0 },
};
