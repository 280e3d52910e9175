/* fake_house.h - what upstreams live in, in memory: a clock, a log, look-ups, dials that a test answers. */
#ifndef TWINED_TESTS_FAKE_HOUSE_H
#define TWINED_TESTS_FAKE_HOUSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/address.h"
#include "net/datagram_dial.h"
#include "net/reason.h"

/*
 * Defines what upstreams use of log.h, deadline.h, factory.h, resolver.h, dialling.h, transport.h
 * and datagram_dial.h, so that the library's are not linked.
 */

/* The clock of reactor_now_ms, and a way for time to pass with everything that falls due in it. */
extern _Atomic uint64_t now;
void advance(uint64_t ms);

/* All that has been logged since it was emptied, as "notice: web: up\n". */
extern char log_text[16384];
#define assert_logged(text)                             \
	do {                                            \
		assert_string_equal(log_text, text);    \
		log_text[0] = '\0';                     \
	} while (0)

/* A factory that is on a reactor and has a resolver. */
struct factory *a_factory(void);

/* Begins anew; and fails unless nothing is left behind: no deadline, no look-up, no dial. */
void house_begin(void);
void house_end(void);

/*
 * Look-ups: how many there have been, whether one is under way, and the answer to the only one that
 * is.
 */
extern unsigned lookups_made;
bool is_looking_up(void);
void answer(const char *hosts, const char *error);

/* "192.0.2.1" or "2001:db8::1", port 80. */
struct sockaddr_any place(const char *host);

/*
 * Dials: how many there have been, and whether one is under way. dial_error: unless 0, each fails
 * at once.
 */
extern unsigned dials_made;
extern int dial_error;
bool is_dialling(void);
void refuse_dial(int error);

/* The only dial that is under way connects. What is seen of the connection is in the struct. */
struct transport {
	struct transport *next;
	struct endpoint *endpoint;
	const struct protocol *protocol;
	char written[256];
	size_t written_length;
	bool lost, aborted;
	uint64_t state[8];
};
struct transport *connect_dial(void);

/* It has gone. */
void end_transport(struct transport *transport, enum reason reason);

/* The datagram socket, if there is one: what it has sent, and whom to tell. */
struct datagram_dial {
	const struct datagram_dial_calls *calls;
	void *arg;
	char sent[64];
};
extern struct datagram_dial *datagram_dial;
extern unsigned datagrams_sent;
extern int datagram_error;	/* unless 0, each fails at once */

#endif
