/* link.h - a connection of a connector, from the dialling to its end. */
#ifndef TWINED_NET_LINK_H
#define TWINED_NET_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "net/address.h"
#include "net/reason.h"

struct connector_settings;
struct device;
struct file_place;
struct factory;
struct reactor;
struct tally;
struct trail;

/*
 *   dial ─▶ DIALLING ─ up ─▶ UP ── lost ──▶ ENDING, on its own ─▶ gone
 *              └─ failed ─▶ gone               its transport sends what it owes
 *
 * All functions are for the connector's reactor.
 */
struct link;

/* What a link needs, and whom it tells. */
struct link_plan {
	const struct connector_settings *settings;	/* live as long as the factory */
	struct factory *factory;			/* the link takes a reference */
	struct tally *tally;				/* likewise */
	struct reactor *reactor;
	const char *name;		/* for the log: "up tcp://127.0.0.1:7007"; copied */
	enum address_kind kind;
	const char *address;		/* as written; lives as long as the settings */
	/* how far a file was read, set when a link to one is nobody's any more */
	struct file_place *place;
	struct trail *trail;		/* of a path; lives as long as the connector; else NULL */
	void (*up)(void *arg);
	/* It cannot be had, for this reason; the link is gone. */
	void (*failed)(void *arg, const char *why);
	/* It ends, or has ended, and is nobody's any more. why, or NULL, says it of a device. */
	void (*lost)(void *arg, enum reason reason, const char *why);
	void *arg;
};

/*
 * Dials until one of the addresses answers, which it takes over. *owner is the link as long as
 * there is one that is not lost; up and failed may be called within this call.
 */
void link_dial(const struct link_plan *plan, struct link **owner, struct sockaddr_any *addresses,
	       size_t count);

/* Takes a device over in place of dialling. The same holds. */
void link_open(const struct link_plan *plan, struct link **owner, struct device *device);

/* Gives a link up: it ends in order, once all it owes is sent. Nobody is told. NULL is fine. */
void link_end(struct link *link, enum reason reason);

/*
 * Whether a link of that connector, on that reactor, was given up and has still something to hand
 * on or to be sent. One that only waits for its peer's end has not.
 */
bool link_is_ending(struct reactor *reactor, const char *connector_name);

/* Has those of them with the device of that address end behind the line that they are within. */
void link_cut_device(struct reactor *reactor, const char *connector_name, const char *address);

/* As link_end, but a connection goes on: the daemon stops, which ends all of them. */
void link_forsake(struct link *link);

#endif
