/* inquiry.h - asks a server once whether it serves: that it accepts, or answers as expected. */
#ifndef TWINED_PROTOCOLS_INQUIRY_H
#define TWINED_PROTOCOLS_INQUIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/deadline.h"

struct dialling;
struct datagram_dial;
struct endpoint;
struct places;
struct proxy_settings;
struct transport;

enum inquiry_outcome {
	INQUIRY_PASSED,
	INQUIRY_FAILED,
	/* what it takes was missing here: that says nothing of the server */
	INQUIRY_VOID,
};

/*
 *   begin ── dialling ──▶ transport ───┐
 *      └──── datagram_dial ────────────┴─ the answer, a failure, or no time left ──▶ done
 */
struct inquiry {
	/* To be set before. */
	const struct proxy_settings *settings;	/* check, bind, send_proxy */
	bool datagrams;
	struct endpoint *endpoint;	/* of its transports, some of which may outlive it */
	void (*done)(struct inquiry *inquiry, enum inquiry_outcome outcome, const char *why);

	/* Its own. */
	struct places *places;		/* NULL: nothing is asked */
	size_t place, tried;		/* datagrams */
	struct deadline deadline;
	struct dialling *dialling;
	struct transport *transport;
	struct datagram_dial *datagram_dial;
	size_t matched;			/* so many bytes of the answer are as expected */
};

/*
 * Asks at one of the places, beginning with that of index first, and takes over the reference to
 * them; calls done once, which may be within this call: why is for the log, as "Connection
 * refused", and lives as long as that call. On the endpoint's reactor.
 */
void inquiry_begin(struct inquiry *inquiry, struct places *places, size_t first, uint64_t limit_ms);

/* done will not be called; if nothing is asked, nothing happens. */
void inquiry_cancel(struct inquiry *inquiry);

#endif
