/* question.h - what a probe asks the running twined: where a connection leads, what serves an
 * address. */
#ifndef TWINED_SERVICE_QUESTION_H
#define TWINED_SERVICE_QUESTION_H

#include <stdint.h>
#include <sys/types.h>

#include "net/address.h"

struct reactor;

/*
 * Both are sent as they are, one datagram each, over the abstract unix socket "@twined/PID/probe".
 * Who gets another version, or another length, does not answer, or takes it for no answer.
 */
enum { QUESTION_VERSION = 1, QUESTION_NAME_MAX = 64, ANSWER_TEXT_MAX = 400 };

struct question {
	uint32_t version;
	uint32_t kind;			/* enum address_kind of the listener's address */
	char listener[QUESTION_NAME_MAX];
	struct sockaddr_any from;	/* of a stream: the client's own address; length 0: none */
	struct sockaddr_any to;		/* what the client has dialled, or would send to */
};

enum answer_kind {
	ANSWER_NONE,			/* it is not known here */
	ANSWER_WAITS,			/* there is nothing to say yet */
	ANSWER_SERVED,			/* text: by what */
	ANSWER_NOT_SERVED,		/* text: why */
};

struct answer {
	uint32_t version;
	uint32_t kind;			/* enum answer_kind */
	char text[ANSWER_TEXT_MAX];
};

/*
 * Asks every twined that runs in this network namespace and would answer us, and takes the first
 * answer that says something; waits 500 ms at most. The text is NUL-terminated.
 */
enum answer_kind question_ask(const struct question *question, struct answer *answer);

/* Takes questions on a reactor, and answers those of root and of our own user. */
struct questions;

/* asker is the process that asks. The answer is all zero but for its version. NULL with errno. */
struct questions *questions_new(struct reactor *reactor,
				void (*answer)(void *arg, const struct question *question,
					       pid_t asker, struct answer *answer),
				void *arg);
void questions_free(struct questions *questions);

#endif
