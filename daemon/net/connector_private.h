/* connector_private.h - a connector from within: for connector*.c only. */
#ifndef TWINED_NET_CONNECTOR_PRIVATE_H
#define TWINED_NET_CONNECTOR_PRIVATE_H

#include "net/connector.h"
#include "net/deadline.h"
#include "net/device.h"
#include "net/rotation.h"

/*
 * How long a connection that has been given up, also by a predecessor, is waited for: side by side
 * with it lines would come twice, out of order. One that writes to a path is waited for until it
 * does not.
 */
enum { ENDING_MS = 2000 };

/*
 *   open ─▶ look up ─▶ dial ── failed ────▶ the next address; if all have failed after a WAIT ─┐
 *             ▲          └─ up ─▶ UP ─ lost soon, silent ▲                                     │
 *             │                    └─ lost ─▶ the first address, after the shortest WAIT       │
 *             └────────────────────────────────────────────────────────────────────────────────┘
 *
 * Names are looked up anew each time. All on one reactor, but for what the control thread calls.
 */
struct connector {
	const struct connector_settings *settings;
	struct factory *factory;
	struct tally *tally;
	struct reactor *reactor;	/* NULL: not open */
	struct reactor *const *reactors;	/* all, on which predecessors may have been */
	size_t reactor_count;
	struct resolver *resolver;
	char *name;			/* with the address that is tried */
	struct rotation rotation;	/* of the addresses */
	struct lookup *lookup;
	struct link *link;
	struct deadline again;
	struct file_place place;	/* in the file that was read last */
	struct trail **trails;		/* of each address that is a path; else NULL */
	const struct connector *predecessor;	/* until it is open */
	uint64_t up_ms;			/* since when it is connected; 0: it is not */
	uint64_t again_ms;
	uint64_t ending_until_ms;
	bool says_waits;		/* for what was given up before */
	bool has_failed;		/* and has not been connected since: it is known */
};

static inline const struct address *
current_address(const struct connector *connector)
{
	return &connector->settings->connect.items[connector->rotation.at];
}

/* connector_dial.c: dials the address whose turn it is; on its reactor, where again calls it. */
void connector_dial(void *connector);

#endif
