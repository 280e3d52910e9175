/* datagram_private.h - a datagram port from within: for datagram.c, _batch.c and _flow*.c only. */
#ifndef TWINED_NET_DATAGRAM_PRIVATE_H
#define TWINED_NET_DATAGRAM_PRIVATE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "net/datagram.h"
#include "net/endpoint.h"
#include "net/reactor.h"
#include "net/reply_rules.h"

enum {
	DATAGRAM_BATCH = 32,
	DATAGRAM_SLOT = REACTOR_SCRATCH_SIZE / DATAGRAM_BATCH,	/* 64 KiB */
	DATAGRAM_CONTROL =
		CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct in6_pktinfo)),
};

_Static_assert((int)DATAGRAM_SLOT >= (int)DATAGRAM_MAX, "a slot holds the largest datagram");

struct datagram_flow;
struct limits;
struct port;

struct datagram_port {
	struct endpoint endpoint;	/* has no transports */
	struct reply_rules rules;
	uint32_t own_changes;		/* how often the own addresses of the rules have */
	struct tally *tally;
	struct limits *limits;
	struct port *socket;		/* held */
	struct event event;
	struct deadline retry;
	struct deferred gone;
	size_t flows;			/* it lives on for them when it is closed */
	unsigned pauses;		/* flows for which it is not read */
	int fd;
	bool sends_source;
	bool opened;
	bool closed;
	char name[];
};

/* A flow of it has ended. */
void datagram_port_leave(struct datagram_port *port);

/* Does not read it until it is resumed as often. */
void datagram_port_pause(struct datagram_port *port);
void datagram_port_resume(struct datagram_port *port);

struct datagram {
	struct datagram_port *port;
	struct datagram_source source;
	struct datagram *next;		/* of the same flow, in the same batch */
	unsigned slot;			/* which of the batch it is */
	size_t length;
	bool replied;
};

/*
 * What is received at once and what is sent at once. One a reactor, for as long as a callback runs:
 * the bytes lie in the reactor's scratch buffer, a slot for each datagram.
 */
struct datagram_batch {
	struct mmsghdr in[DATAGRAM_BATCH];		/* received by a port */
	struct mmsghdr replies[DATAGRAM_BATCH];		/* received by a connected socket */
	struct mmsghdr out[DATAGRAM_BATCH];		/* each a piece of its own */
	struct iovec in_pieces[DATAGRAM_BATCH], out_pieces[DATAGRAM_BATCH];
	struct datagram datagrams[DATAGRAM_BATCH];	/* those of a port */
	_Alignas(struct cmsghdr) char control[DATAGRAM_BATCH][DATAGRAM_CONTROL];
	unsigned out_count;
	struct datagram_flow *pending, *last_pending;	/* flows that have something to send */
};

/* The reactor's batch, NULL before datagram_batch_make; that returns 0, or -1 with errno. */
struct datagram_batch *datagram_batch_of(struct reactor *reactor);
int datagram_batch_make(struct reactor *reactor);

/* Receives what has come to a port. Returns how many, or -1 with errno. */
int datagram_batch_receive(struct datagram_batch *batch, const struct datagram_port *port);

/*
 * Sends all answers in batch->out and counts them: one that the system does not take does not hold
 * up the others.
 */
void datagram_batch_answer(struct datagram_batch *batch, struct datagram_port *port);

/* Sends what the flows have to send. */
void datagram_flows_flush(struct datagram_batch *batch);

/*
 * The control message that came with a datagram says which of our addresses it was sent to. Made
 * into the one that has an answer come from there, in its place; returns its length, 0 when there
 * is none.
 */
size_t datagram_answer_control(struct msghdr *received);

#endif
