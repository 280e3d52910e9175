/* reply_rules.h - whom no answer goes to, how many, how long: for every datagram protocol. */
#ifndef TWINED_NET_REPLY_RULES_H
#define TWINED_NET_REPLY_RULES_H

#include <stdbool.h>
#include <sys/socket.h>

#include "net/address.h"
#include "net/tally.h"

struct listener_settings;
struct own_addresses;
struct reply_rate;

/* Where a datagram came from. */
struct datagram_source {
	struct sockaddr_any from;	/* as received */
	union peer_address peer;	/* with IPv4 as such; family 0 for a unix peer */
	bool loopback;			/* or unix */
};

/* Fills in the rest when from.u has been received; length is that of the name. */
void datagram_source_note(struct datagram_source *source, enum address_kind kind, socklen_t length);

/* "udp://192.0.2.1:4312", "unixgram:///path"; valid until the thread's next call. */
const char *datagram_source_text(const struct datagram_source *source);

/* What the rules of one datagram port are made of. All zero but settings to begin with. */
struct reply_rules {
	const struct listener_settings *settings;
	struct own_addresses *own;	/* a reference */
	struct reply_rate *rate;	/* made with the first answer it is about */
};

void reply_rules_clear(struct reply_rules *rules);

/* Has it use another set of our own addresses, to which it takes a reference. */
void reply_rules_set_own(struct reply_rules *rules, struct own_addresses *own);

/* Whether allow and deny let the source in. */
bool reply_rules_admit(const struct reply_rules *rules, const struct datagram_source *source);

/* Why no answer at all may go to a source; DROP_COUNT when one may. */
enum datagram_drop reply_rules_source(const struct reply_rules *rules,
				      const struct datagram_source *source);

/* Whether a source may be answered with more than it has sent. */
bool reply_rules_amplify(const struct reply_rules *rules, const struct datagram_source *source);

/* Takes one answer of udp_reply_rate to a peer; loopback: its address is: whether it may go out. */
bool reply_rules_take(struct reply_rules *rules, const union peer_address *peer, bool loopback);

#endif
