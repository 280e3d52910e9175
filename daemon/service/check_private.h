/* check_private.h - a check from within: for check.c and check_datagram.c only. */
#ifndef TWINED_SERVICE_CHECK_PRIVATE_H
#define TWINED_SERVICE_CHECK_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/section_config.h"
#include "net/endpoint.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "service/check.h"
#include "service/question.h"

enum {
	ANSWER_MS = 3000,	/* for a whole check */
	SILENCE_MS = 250,	/* after which saying nothing is a success, where it is one */
	ASK_AGAIN_MS = 100,	/* while the connection is not joined to anybody */
	REPLY_MAX = 4096,
	LINGER_MS = 100,	/* for a listener that sends for ever */
};

/* One address of one listener, while it is tried. */
struct check {
	const struct section_config *listener;
	int64_t max_connections;		/* of the daemon */
	const struct protocol *protocol;
	const struct probe *probe;
	enum answer_kind known;			/* of what the running twined knows; the remark has it */
	struct reactor *reactor;
	struct endpoint endpoint;
	struct counters counters;
	struct sockaddr_any address;
	struct dialling *dialling;
	struct transport *clients[2];		/* the last one sends the request, the first hears the reply */
	size_t client_count, lost_count;
	struct event datagram_event;
	int datagram_fd;			/* -1: none */
	bool datagram_watched;
	struct deadline deadline, ask;
	uint8_t request[PROBE_REQUEST_MAX], reply[REPLY_MAX];
	size_t request_length, reply_length;
	double started_ms, answered_ms;
	bool done;
	struct check_result *result;
};

/* CLOCK_MONOTONIC, as fine as it is. */
double precise_ms(void);

/* From now on it may take so long. */
void check_allow(struct check *check, int64_t ms);

/* Whether there is nothing to be sent. */
bool check_only_looks(const struct check *check);

/* Whether saying nothing is a success. */
bool check_may_be_silent(const struct check *check);

/* Asks the running twined where our connection leads, or our datagrams would go. */
void check_ask(struct check *check);

/* Looks at what has come so far. */
void check_judge(struct check *check, bool ended);

/* Ends a check, and the connections in order; failure NULL: all is well. */
void check_end(struct check *check, const char *failure);

/* check_datagram.c: sends the request as one datagram, if there is one to be sent. */
void check_send_datagram(struct check *check);

#endif
