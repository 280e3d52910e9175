/* answer.h - answers questions about what runs: where a connection leads, what serves an
 * address. */
#ifndef TWINED_SERVICE_ANSWER_H
#define TWINED_SERVICE_ANSWER_H

#include <stddef.h>
#include <sys/types.h>

#include "service/question.h"

struct reactor;
struct running_set;

/*
 * Looks through the connections of the reactors, each in its own thread, or at the listener that
 * has the address. asker: the process that asks, who is the peer of a connection over a unix
 * socket. For the control thread.
 */
void answer_question(const struct running_set *running, struct reactor *const *reactors,
		     size_t reactor_count, const struct question *question, pid_t asker,
		     struct answer *answer);

#endif
