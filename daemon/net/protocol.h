/* protocol.h - what happens on a connection: one const struct of callbacks and tables a protocol. */
#ifndef TWINED_NET_PROTOCOL_H
#define TWINED_NET_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/option.h"
#include "net/reason.h"

struct address_list;
struct datagram;
struct factory;
struct transport;

enum protocol_transports {
	PROTOCOL_STREAM = 1 << 0,	/* TCP, unix stream */
	PROTOCOL_DATAGRAM = 1 << 1,	/* UDP, unix datagrams */
};

enum protocol_ways {
	PROTOCOL_READS = 1 << 0,
	PROTOCOL_WRITES = 1 << 1,
};

/* A protocol's own default for a common listener key: {"idle_timeout", "1h"}. */
struct option_default {
	const char *name;		/* NULL ends a table */
	const char *value;
};

/* What a client of the protocol does to see that it works, over a stream or with one datagram. */
enum probe_verdict { PROBE_MORE, PROBE_OK, PROBE_FAILED };

enum { PROBE_REQUEST_MAX = 1024 };

struct probe {
	/* Writes what the client sends; returns its length. NULL: nothing (an empty datagram). */
	size_t (*request)(const void *settings, uint8_t request[static PROBE_REQUEST_MAX]);
	/*
	 * Judges all that has come so far; ended: no more will come (a datagram is always all).
	 * On PROBE_FAILED *failure says what is wrong, in words. NULL: nothing may come.
	 */
	enum probe_verdict (*check)(const void *settings, const uint8_t *request,
				    size_t request_length, const uint8_t *reply,
				    size_t reply_length, bool ended, const char **failure);
	bool half_close;	/* the client ends its side after the request */
	bool silence_is_ok;	/* no answer, no end and no refusal within a moment is a success */
	/*
	 * Whether these settings say nothing that could be sent and would surely be answered: then
	 * nothing is sent, and that somebody is there is a success. NULL: no.
	 */
	bool (*only_looks)(const void *settings);
	bool two_members;	/* one client sends the request, a second one gets the reply */
};

/*
 * Takes the key that is wrong, NULL when it is not one alone, and why: "quote and file exclude each
 * other".
 */
typedef void settings_error_fn(void *arg, const char *key, const char *sentence);

struct protocol {
	const char *name;
	const char *summary;		/* one line, lower case, no full stop */
	unsigned transports;		/* enum protocol_transports */
	const struct option *options;	/* NULL: none */
	size_t settings_size;		/* of the struct that the options fill */
	const struct option_default *defaults;
	size_t state_size;		/* of a connection's state */
	unsigned descriptors;		/* that a connection takes; 0: one */

	/* Replies of up to so many bytes are exempt from the amplification rule. */
	size_t reply_exempt;
	/*
	 * Unsent output does not stop reading: the protocol bounds what it writes by other means.
	 */
	bool own_flow_control;
	/* All connections of a factory live on one reactor, because they share state. */
	bool one_reactor;
	/*
	 * The key, a text, that names what sections share with all others that name the same;
	 * unset, it is the section's own name. It decides on which reactor they live, and rows with
	 * OPTION_SHARED must be equal among them. NULL: nothing is shared. commons.h.
	 */
	const char *shares;

	/*
	 * Tells everything that is wrong with the settings as a whole, listen being the listener's
	 * addresses; NULL: they are a connector's.
	 */
	void (*settings_check)(const void *settings, const struct address_list *listen,
			       settings_error_fn *error, void *arg);

	/*
	 * Which ways bytes go over a connection that a connector has dialled, or that its listener
	 * has accepted: enum protocol_ways. NULL: no connector speaks it.
	 */
	unsigned (*ways)(const void *settings);
	/*
	 * Whether only some of what is shared goes over it, chosen by what it is. NULL: all does.
	 */
	bool (*selects)(const void *settings);

	/*
	 * A factory begins and ends: what its connections share is made and freed. 0, or -1 with
	 * errno.
	 */
	int (*factory_made)(struct factory *factory);
	void (*factory_lost)(struct factory *factory);
	/*
	 * Its listener opens and closes, in the thread of factory_reactor: what works on its own,
	 * as a timer, begins and ends here. Connections may go on after factory_stopped.
	 */
	void (*factory_started)(struct factory *factory);
	void (*factory_stopped)(struct factory *factory);
	/*
	 * Tells how what they share is doing, in lines for the log, while the listener is open; any
	 * thread.
	 */
	void (*factory_report)(struct factory *factory, void (*line)(void *arg, const char *text),
			       void *arg);

	/* Callbacks of a connection, all in its reactor's thread. Each may be NULL. */
	void (*connection_made)(struct transport *transport);
	/* length > 0. NULL: what comes is dropped, unread where the kernel can do that. */
	void (*data_received)(struct transport *transport, const uint8_t *bytes, size_t length);
	/* All that transport_write held has been sent, or transport_offer may be tried again. */
	void (*drained)(struct transport *transport);
	/* The peer has half-closed. NULL: we end our side too. */
	void (*read_ended)(struct transport *transport);
	/*
	 * No byte has gone either way for the idle time-out: it is to be ended, or given another
	 * one. NULL: transport_lose, or an abort if bytes are unsent.
	 */
	void (*silent)(struct transport *transport);
	/*
	 * The daemon stops, all that had come is handled; it may be that it is being lost. NULL:
	 * transport_lose.
	 */
	void (*stopping)(struct transport *transport);
	/*
	 * Its connector gives the connection up, all that had come is handled: it is to be ended in
	 * order, as when the daemon stops, but alone, and for this reason. NULL: transport_lose.
	 */
	void (*ending)(struct transport *transport, enum reason reason);
	/* After that: what has not been begun is owed no more. NULL: it is. */
	void (*cut)(struct transport *transport);
	/* Once, the last call, out of every other callback. */
	void (*connection_lost)(struct transport *transport, enum reason reason);

	void (*datagram_received)(struct datagram *datagram, const uint8_t *bytes, size_t length);

	/*
	 * For -p, of what goes on to somebody else. To whom a connection has been joined, in words
	 * that are valid until the thread's next call; NULL: nobody yet. In the reactor's thread.
	 */
	const char *(*via)(struct transport *transport);
	/* To whom datagrams go, in words, and whether somebody is there. For any thread. */
	bool (*datagrams_via)(struct factory *factory, char *text, size_t size);

	const struct probe *probe;
};

/* The registry: every protocol that a listener can name, sorted, ending in NULL. */
extern const struct protocol *const protocols[];

/* NULL when there is none of that name. */
const struct protocol *protocol_find(const char *name);

#endif
