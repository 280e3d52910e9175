/* relay_private.h - a relay from within: for relay*.c only. */
#ifndef TWINED_PROTOCOLS_RELAY_PRIVATE_H
#define TWINED_PROTOCOLS_RELAY_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/network.h"
#include "net/protocol.h"
#include "protocols/hub.h"
#include "protocols/line.h"
#include "protocols/relay_settings.h"

struct common;
struct reply_rate;
struct ring;

/* What the members of a section share. */
struct relay {
	struct common *common;		/* the hub, which others may share */
	struct hub *hub;
	struct ring *ring;		/* for the hub when the section opens; NULL: it has the right one */
	const struct relay_settings *settings;
	struct hub_section section;
	struct hub_policy policy;
	struct filter *filter;		/* NULL: everything passes */
	struct reply_rate *datagram_rate;	/* line_rate of those who send datagrams; NULL: none */
	bool prefix_has_time, prefix_has_peer;
};

/* A connection. */
struct relay_peer {
	struct hub_member member;
	struct line_reader reader;
	struct bucket bucket;		/* of line_rate */
	struct relay_rest *rest;	/* what was read and is not published yet; NULL: nothing */
	uint64_t long_lines;		/* dropped or cut */
};

/* Writes a line end as a section's members get it; its length. */
size_t relay_put_line_end(const struct relay_settings *settings, char to[static 2]);

/* relay_source.c */

/* A member has sent bytes, or has ended its side. */
void relay_take_bytes(struct transport *transport, const uint8_t *bytes, size_t length);
void relay_take_end(struct transport *transport);

/* The daemon stops: what the member has sent is published, and stopped(transport) called then or before. */
void relay_take_stop(struct transport *transport);

/* The member is gone. */
void relay_source_lost(struct transport *transport);

void relay_take_datagram(struct datagram *datagram, const uint8_t *bytes, size_t length);

/* relay.c: all that a member had to say while the daemon stops is published. */
void relay_stopped(struct transport *transport);

extern const struct probe relay_probe;

#endif
