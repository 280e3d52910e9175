/* reply_rules.c - whom no answer goes to, how many, how long: for every datagram protocol. */
#include "net/reply_rules.h"

#include <netinet/in.h>
#include <string.h>

#include "net/datagram_port.h"
#include "net/listener.h"
#include "net/reactor.h"
#include "net/reply_rate.h"

/* What "auto" means for udp_reply_rate off loopback. */
static const struct rate auto_rate = { .count = 1000, .period_ms = 1000 };

void
datagram_source_note(struct datagram_source *source, enum address_kind kind, socklen_t length)
{
	source->from.length = length;
	source->peer.sa.sa_family = AF_UNSPEC;
	source->loopback = true;
	if (kind == ADDRESS_UDP) {
		memcpy(&source->peer, &source->from.u, sizeof source->peer);
		address_unmap(&source->peer);
		source->loopback = address_is_loopback(&source->peer.sa);
	}
}

const char *
datagram_source_text(const struct datagram_source *source)
{
	static _Thread_local char text[ADDRESS_TEXT_MAX];

	if (source->peer.sa.sa_family == AF_UNSPEC)
		return address_format(ADDRESS_UNIXGRAM, &source->from.u.sa, source->from.length,
				      text);
	return address_format(ADDRESS_UDP, &source->peer.sa, sizeof source->peer, text);
}

void
reply_rules_clear(struct reply_rules *rules)
{
	reply_rate_free(rules->rate);
	own_addresses_unref(rules->own);
	*rules = (struct reply_rules){ 0 };
}

void
reply_rules_set_own(struct reply_rules *rules, struct own_addresses *own)
{
	own_addresses_unref(rules->own);
	rules->own = own_addresses_ref(own);
}

bool
reply_rules_admit(const struct reply_rules *rules, const struct datagram_source *source)
{
	const struct listener_settings *settings = rules->settings;

	return (settings->deny.count == 0 || !prefix_list_has(&settings->deny, &source->peer))
	       && (settings->allow.count == 0 || prefix_list_has(&settings->allow, &source->peer));
}

/* Whether nobody can rightly have sent from there. */
static bool
is_impossible_source(const union peer_address *peer)
{
	if (peer->sa.sa_family == AF_INET) {
		uint32_t address = ntohl(peer->in.sin_addr.s_addr);

		return address >> 28 == 0xe || address >> 24 == 0 || address == INADDR_BROADCAST;
	}
	return IN6_IS_ADDR_MULTICAST(&peer->in6.sin6_addr)
	       || IN6_IS_ADDR_UNSPECIFIED(&peer->in6.sin6_addr);
}

enum datagram_drop
reply_rules_source(const struct reply_rules *rules, const struct datagram_source *source)
{
	const union peer_address *peer = &source->peer;

	if (peer->sa.sa_family == AF_UNSPEC) {
		if (source->from.length <= sizeof(sa_family_t))
			return DROP_SOURCE;	/* a nameless unix socket cannot be answered */
	} else {
		if (is_impossible_source(peer))
			return DROP_SOURCE;
		if (ntohs(peer->in.sin_port) < 1024)	/* at the same place in sockaddr_in6 */
			return DROP_PORT;
	}
	return own_addresses_have(rules->own, &source->from) ? DROP_OWN : DROP_COUNT;
}

bool
reply_rules_amplify(const struct reply_rules *rules, const struct datagram_source *source)
{
	int64_t amplify = rules->settings->udp_amplify;

	return amplify == 1 || (amplify == OPTION_AUTO && source->loopback);
}

bool
reply_rules_take(struct reply_rules *rules, const union peer_address *peer, bool loopback)
{
	const struct rate *rate = &rules->settings->udp_reply_rate;

	if (peer->sa.sa_family == AF_UNSPEC || rate->count == 0
	    || (rate->count == OPTION_AUTO && loopback))
		return true;
	if (rules->rate == NULL)
		rules->rate = reply_rate_new(rate->count == OPTION_AUTO ? &auto_rate : rate);
	return rules->rate != NULL && reply_rate_take(rules->rate, peer, reactor_now_ms());
}
