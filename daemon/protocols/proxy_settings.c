/* proxy_settings.c - the keys of a proxy. */
#include "protocols/proxy_settings.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { HOUR = 3600 * 1000 };

static const char *const balance_names[] = { "round_robin", "least_conn", "random", "source", NULL };
static const char *const send_proxy_names[] = { "no", "v1", "v2", NULL };

#define FIELD(name) offsetof(struct proxy_settings, name)

const struct option proxy_options[] = {
	{ "upstream", OPTION_UPSTREAMS, OPTION_REQUIRED, FIELD(upstream), 0, 0, NULL, NULL,
	  "addresses to connect to; weight=N gives one N shares, backup spares it for when no other serves" },
	{ "balance", OPTION_CHOICE, 0, FIELD(balance), 0, 0, balance_names, "round_robin",
	  "which upstream is next; source: always the same one for a client's address" },
	{ "connect_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(connect_timeout_ms), 1, HOUR,
	  NULL, "5s", "how long one address may take to answer" },
	{ "wait_for_upstream", OPTION_DURATION, OPTION_MAY_NONE, FIELD(wait_for_upstream_ms), 1,
	  24 * HOUR, NULL, "none",
	  "how long a client is held, with retries, while no upstream answers" },
	{ "max_fails", OPTION_NUMBER, OPTION_MAY_NONE, FIELD(max_fails), 1, 1000000, NULL, "3",
	  "failures within fail_timeout after which an upstream is down" },
	{ "fail_timeout", OPTION_DURATION, 0, FIELD(fail_timeout_ms), 1, 24 * HOUR, NULL, "10s",
	  "how long it is down before it is tried again, then how long its share takes to grow to the whole" },
	{ "check", OPTION_EXCHANGE, OPTION_MAY_NONE, FIELD(check), 0, 0, NULL, "none",
	  "asks every upstream whether it serves: connect, or what to send and to expect" },
	{ "check_interval", OPTION_DURATION, 0, FIELD(check_interval_ms), 10, 24 * HOUR, NULL, "5s",
	  "how often it is asked" },
	{ "resolve_interval", OPTION_DURATION, OPTION_MAY_NONE, FIELD(resolve_interval_ms), 100,
	  24 * HOUR, NULL, "30s", "how often names are looked up again; none: at the start only" },
	{ "half_close_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(half_close_timeout_ms), 1,
	  24 * HOUR, NULL, "1m",
	  "closes a pair of which one side has ended and the other is silent for so long" },
	{ "send_proxy", OPTION_CHOICE, 0, FIELD(send_proxy), 0, 0, send_proxy_names, "no",
	  "tells the upstream the client's address in a PROXY protocol header" },
	{ "bind", OPTION_IP, OPTION_MAY_NONE, FIELD(bind), 0, 0, NULL, "none",
	  "source address of the connections to upstreams" },
	{ "session_timeout", OPTION_DURATION, 0, FIELD(session_timeout_ms), 1, 24 * HOUR, NULL,
	  "1m", "datagrams: ends a flow without one either way for so long" },
	{ "max_sessions", OPTION_NUMBER, 0, FIELD(max_sessions), 1, 1000000, NULL, "65536",
	  "datagrams: flows at a time; the oldest that has carried one datagram only goes first" },
	{ 0 },
};

/* Where what is found wrong goes. */
struct findings {
	settings_error_fn *error;
	void *arg;
};

/* Addresses in a file hold no control characters. */
static void
find_address(const struct findings *findings, const char *key, const struct address *address,
	     const char *sentence)
{
	char text[600];

	snprintf(text, sizeof text, "\"%s\" %s", address->text, sentence);
	findings->error(findings->arg, key, text);
}

/* The first upstream for datagrams or for streams; NULL: none. */
static const struct address *
upstream_of_kind(const struct upstream_list *upstreams, bool datagrams)
{
	for (size_t i = 0; i < upstreams->count; i++)
		if (address_is_datagram(upstreams->items[i].address.kind) == datagrams)
			return &upstreams->items[i].address;
	return NULL;
}

/* The first address to listen on that is surely for datagrams, or for streams; NULL: none. */
static const struct address *
listen_of_kind(const struct address_list *listen, bool datagrams)
{
	for (size_t i = 0; i < listen->count; i++)
		if (listen->items[i].kind != ADDRESS_SYSTEMD
		    && address_is_datagram(listen->items[i].kind) == datagrams)
			return &listen->items[i];
	return NULL;
}

/* What a passed socket is for is known when it is there. */
static bool
listens_to_passed(const struct address_list *listen)
{
	for (size_t i = 0; i < listen->count; i++)
		if (listen->items[i].kind == ADDRESS_SYSTEMD)
			return true;
	return false;
}

/* Clients of a kind need an upstream of that kind, and the other way round. */
static void
kinds_check(const struct proxy_settings *settings, const struct address_list *listen,
	    const struct findings *findings)
{
	static const char no_datagrams[] =
		"is for datagrams, and no upstream is: expected one that is udp:// or unixgram://";
	static const char no_streams[] =
		"is for streams, and no upstream is: expected one that is tcp:// or unix://";
	bool missing = false;

	for (int datagrams = 0; datagrams <= 1; datagrams++) {
		const struct address *bound = listen_of_kind(listen, datagrams);

		if (bound == NULL || upstream_of_kind(&settings->upstream, datagrams) != NULL)
			continue;
		missing = true;
		find_address(findings, "listen", bound, datagrams ? no_datagrams : no_streams);
	}
	if (missing || listens_to_passed(listen))
		return;
	for (int datagrams = 0; datagrams <= 1; datagrams++) {
		const struct address *dialled = upstream_of_kind(&settings->upstream, datagrams);

		if (dialled != NULL && listen->count > 0
		    && listen_of_kind(listen, datagrams) == NULL)
			find_address(findings, "upstream", dialled,
				     datagrams ? "is for datagrams, and no address of listen is"
					       : "is for streams, and no address of listen is");
	}
}

/* Somebody has to serve, of each kind. */
static void
shares_check(const struct proxy_settings *settings, const struct findings *findings)
{
	for (int datagrams = 0; datagrams <= 1; datagrams++) {
		size_t count = 0, backups = 0, weightless = 0;

		for (size_t i = 0; i < settings->upstream.count; i++) {
			const struct upstream_address *upstream = &settings->upstream.items[i];

			if (address_is_datagram(upstream->address.kind) != datagrams)
				continue;
			count++;
			backups += upstream->backup;
			weightless += upstream->weight == 0;
		}
		const char *whose = datagrams ? " for datagrams" : " for streams";
		char sentence[120];

		if (upstream_of_kind(&settings->upstream, !datagrams) == NULL)
			whose = "";	/* there are no others */
		if (count > 0 && weightless == count)
			snprintf(sentence, sizeof sentence,
				 "every address%s has the weight 0: none would serve", whose);
		else if (count > 0 && backups == count)
			snprintf(sentence, sizeof sentence,
				 "every address%s is a backup: expected one that is not", whose);
		else
			continue;
		findings->error(findings->arg, "upstream", sentence);
	}
}

/* Keys that are about connections, while there are none. */
static void
datagrams_only_check(const struct proxy_settings *settings, const struct findings *findings)
{
	if (upstream_of_kind(&settings->upstream, false) != NULL)
		return;
	if (settings->send_proxy != SEND_PROXY_NO)
		findings->error(findings->arg, "send_proxy",
				"no upstream is for streams, which alone begin with a header");
	if (settings->check.kind == EXCHANGE_CONNECT)
		findings->error(findings->arg, "check",
				"no upstream is for streams, which alone are connected to: "
				"expected two texts in quotes, or none");
}

static void
bind_check(const struct proxy_settings *settings, const struct findings *findings)
{
	int family = settings->bind.sa.sa_family;

	for (size_t i = 0; i < settings->upstream.count; i++)
		if (address_may_be(&settings->upstream.items[i].address, family))
			return;
	findings->error(findings->arg, "bind",
			family == AF_INET ? "is an IPv4 address, and no upstream has one"
					  : "is an IPv6 address, and no upstream has one");
}

void
proxy_settings_check(const void *void_settings, const struct address_list *listen,
		     settings_error_fn *error, void *arg)
{
	const struct proxy_settings *settings = void_settings;
	const struct findings findings = { .error = error, .arg = arg };

	kinds_check(settings, listen, &findings);
	shares_check(settings, &findings);
	datagrams_only_check(settings, &findings);
	if (settings->bind.sa.sa_family != AF_UNSPEC)
		bind_check(settings, &findings);
}
