/* tally.h - what a listener counts: one set of counters a reactor, kept over reloads. */
#ifndef TWINED_NET_TALLY_H
#define TWINED_NET_TALLY_H

#include <stdint.h>

#include "net/reason.h"

/* Why a datagram was not answered, or not passed on. */
enum datagram_drop {
	DROP_PORT,		/* source port below 1024 */
	DROP_OWN,		/* it came from one of our own addresses */
	DROP_SOURCE,		/* multicast, broadcast, unspecified or unnamed source */
	DROP_RATE,		/* over udp_reply_rate */
	DROP_LONG,		/* longer than udp_amplify allows */
	DROP_DENIED,		/* by allow, deny */
	DROP_SEND,		/* the system did not take it */
	/* larger than we take, or than the socket takes that it was to go to */
	DROP_TOO_LARGE,
	DROP_NO_UPSTREAM,	/* nowhere to send it */
	DROP_FULL,		/* no place for its flow */
	DROP_COUNT
};

/* The word of a drop: "rate". */
const char *datagram_drop_word(enum datagram_drop drop);

/* One a listener and reactor; only its reactor writes it, whoever reads it asks the reactor. */
struct counters {
	uint64_t accepted;
	uint64_t open;
	uint64_t bytes_in, bytes_out;
	uint64_t closed[REASON_COUNT];
	uint64_t datagrams_in, datagrams_out;
	uint64_t flows, flows_open;		/* counted in closed, too */
	uint64_t datagrams_dropped[DROP_COUNT];
};

/* Adds what has been counted to a sum. */
void counters_add(struct counters *sum, const struct counters *counters);

/* The counters of one listener. References are counted, from any thread. */
struct tally;

/* NULL with errno. */
struct tally *tally_new(unsigned reactors);
struct tally *tally_ref(struct tally *tally);
void tally_unref(struct tally *tally);

/* The counters that a reactor writes. */
struct counters *tally_counters(struct tally *tally, unsigned reactor);

#endif
