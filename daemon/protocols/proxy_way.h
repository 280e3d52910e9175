/* proxy_way.h - a client's way to an upstream: one after another is picked and dialled until one answers. */
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
 * Nothing is read from the client meanwhile, so that each upstream begins at the first byte: what a client sends
 * stays in the kernel, whose receive buffer is the bound, and so does its end of stream. The way exists only
 * until it has arrived. All on the client's reactor.
 */
struct way;

/*
 * Begins; *owner is the way for as long as there is one. arrived is called once, perhaps within this call, when
 * an upstream has answered and the way is gone: the transport runs the protocol given, and upstream is what
 * was picked, so that choice_end is due when the transport is lost. Where none can be had the client is
 * aborted, and where it is lost before, way_free is due.
 */
void way_begin(struct way **owner, struct transport *client, const struct protocol *protocol,
	       void (*arrived)(struct transport *client, struct transport *transport,
			       struct upstream *upstream));

/* The daemon stops: an attempt goes on, and there is no waiting any more. */
void way_stop(struct way *way);

/* Gives up. NULL is fine. */
void way_free(struct way *way);

#endif
