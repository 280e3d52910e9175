/* proxy_way.h - a client's way to an upstream: one after another is dialled until one answers. */
#ifndef TWINED_PROTOCOLS_PROXY_WAY_H
#define TWINED_PROTOCOLS_PROXY_WAY_H

struct protocol;
struct transport;
struct upstream;

/*
 *            ┌──────────── it refused ◀───────────┐
 *            ▼                                    │
 *   begin ─▶ pick ──────────── one ──────────▶ DIALLING ── connected ──▶ arrived
 *            ▲ │
 *            │ └─ none left, time left ──▶ WAITING, longer each time
 *            └───────────────────────────────┘
 *                none left, no time left ──▶ the client is reset
 *
 * Nothing is read from the client meanwhile, so that each upstream begins at the first byte: what
 * a client sends stays in the kernel, whose receive buffer is the bound, and so does its end of
 * stream. The way exists only until it has arrived. All on the client's reactor.
 */
struct way;

/*
 * An upstream has answered, and the way is gone: the transport runs the protocol given, and
 * upstream is what was picked, so that choice_end is due when the transport is lost.
 */
typedef void way_arrived_fn(struct transport *client, struct transport *transport,
			    struct upstream *upstream);

/*
 * Begins; *owner is the way for as long as there is one. arrived is called once, perhaps within
 * this call. Where no upstream can be had the client is aborted; if it is lost before, way_free is
 * due.
 */
void way_begin(struct way **owner, struct transport *client, const struct protocol *protocol,
	       way_arrived_fn *arrived);

/* The daemon stops: an attempt goes on, and there is no waiting any more. */
void way_stop(struct way *way);

/* Gives up. NULL is fine. */
void way_free(struct way *way);

#endif
