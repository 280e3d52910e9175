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
	bool open;			/* the section is */
	struct relay_rest *orphans;	/* what members that have gone have left to be published */
	unsigned orphan_count;
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
	bool stopping;			/* line_rate does not hold any more; then relay_stopped */
	bool ending;			/* alone, for this reason */
	uint8_t end_reason;		/* enum reason */
};

/* Writes a line end as a section's members get it; its length. */
size_t relay_put_line_end(const struct relay_settings *settings, char to[static 2]);

/* Who lines come from: a connection, an orphan of one, or a datagram. */
struct source {
	struct relay *relay;
	struct relay_peer *peer;	/* NULL: there is no connection */
	struct transport *transport;	/* likewise */
	struct line_reader *reader;
	struct bucket *bucket;		/* NULL: line_rate is not for it */
	uint32_t id;
	const char *peer_text;		/* of an orphan */
	const struct datagram *datagram;
};

/* Why a member's lines are not taken further. */
enum pause { PAUSE_NONE, PAUSE_ROOM, PAUSE_RATE, PAUSE_ENDED };

/* relay_source.c */

/* How many bytes of the hub a line may take, whatever is in it. */
size_t source_longest_line(const struct relay_settings *settings);

/* Takes lines out of [*at, end) as long as that may go on; wait_ms is for PAUSE_RATE. */
enum pause source_take_lines(const struct source *source, const uint8_t **at, const uint8_t *end,
			     int64_t *wait_ms);

/*
 * Takes the last line, which counts although it has no end, if that may be now: PAUSE_NONE; else as
 * above.
 */
enum pause source_take_last(const struct source *source, int64_t *wait_ms);

/*
 * Takes all of them, whether there is room or not, and the last one without an end too, if that
 * counts.
 */
void source_take_all(const struct source *source, const uint8_t *at, const uint8_t *end, bool last);

void relay_take_datagram(struct datagram *datagram, const uint8_t *bytes, size_t length);

/* relay_rest.c */

/* A member has sent bytes, also while it is paused, or has ended its side. */
void relay_take_bytes(struct transport *transport, const uint8_t *bytes, size_t length);
void relay_take_end(struct transport *transport);

/*
 * The daemon stops: the lines that the member has sent are published, and relay_stopped called
 * then. What it has begun is no last line: it is not the member that ends.
 */
void relay_take_stop(struct transport *transport);

/*
 * The member goes; what it had sent before is still published, if need be later, while its section
 * is open.
 */
void relay_source_lost(struct transport *transport, enum reason reason);

/* Publishes at once what members that have gone have left. */
void relay_finish_orphans(struct relay *relay);

/* relay.c: all that a member had to say while the daemon stops is published. */
void relay_stopped(struct transport *transport);

/*
 * relay.c: nothing more is heard of a member; it is lost for that reason once it has got all there
 * is.
 */
void relay_ended(struct transport *transport, enum reason reason);

extern const struct probe relay_probe;

#endif
