/* reactor.h - one event loop in one thread: descriptors, deadlines, calls from other threads. */
#ifndef TWINED_NET_REACTOR_H
#define TWINED_NET_REACTOR_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/deadline.h"

struct call;
struct endpoint;
struct outbox;
struct pipe_pool;
struct reactor;

enum reactor_backend { REACTOR_AUTO, REACTOR_EPOLL, REACTOR_POLL, REACTOR_SELECT };

/* The names of the backends in the order of the enum, ending in NULL. */
extern const char *const reactor_backend_names[];

enum { REACTOR_SCRATCH_SIZE = 2 * 1024 * 1024 };

/* Makes a reactor that is not yet turning. NULL with errno set. */
struct reactor *reactor_new(unsigned index, enum reactor_backend backend);

/* Frees a stopped reactor; its transports must be gone. */
void reactor_free(struct reactor *reactor);

/* Turns until reactor_stop, in the calling thread. */
void reactor_run(struct reactor *reactor);

/* Starts a thread that runs the reactor, with all signals blocked. 0, or -1 with errno. */
int reactor_start(struct reactor *reactor);

/* Makes reactor_run return; from any thread. */
void reactor_stop(struct reactor *reactor);

/* Waits for the thread of reactor_start to end. */
void reactor_join(struct reactor *reactor);

/* The reactor's place among its fellows, from 0. */
unsigned reactor_index(const struct reactor *reactor);

/* The version of libevent: "2.1.12-stable". */
const char *reactor_library_version(void);

/*
 * Has fn(arg) called in the reactor's thread, in the order of the calls. The only way across
 * threads. Returns 0, or -1 with ENOMEM.
 */
int reactor_call(struct reactor *reactor, void (*fn)(void *arg), void *arg);

/* The same with a struct call (call_queue.h) of the caller's, which cannot fail. */
void reactor_call_embedded(struct reactor *reactor, struct call *call);

/*
 * As reactor_call, and waits until fn has returned. For the control thread only, so that no two
 * threads wait for each other; called directly when the reactor has no running thread.
 */
void reactor_call_wait(struct reactor *reactor, void (*fn)(void *arg), void *arg);

/*
 * A buffer of REACTOR_SCRATCH_SIZE bytes, page-aligned, that a callback may use until it returns.
 */
uint8_t *reactor_scratch(struct reactor *reactor);

/* What its transports send at the end of a turn. */
struct outbox *reactor_outbox(const struct reactor *reactor);

/* Through which its long streams go. */
struct pipe_pool *reactor_pipes(struct reactor *reactor);

/* The head of the list of its endpoints, which endpoint.c keeps. */
struct endpoint **reactor_endpoints(struct reactor *reactor);

/*
 * One thing kept with the reactor and freed with it, for the module that puts it there; NULL at
 * first.
 */
void *reactor_attachment(const struct reactor *reactor);
void reactor_attach(struct reactor *reactor, void *attachment, void (*release)(void *attachment));

/* Whether events may be edge-triggered (EV_ET): with epoll. */
bool reactor_has_edges(const struct reactor *reactor);

/*
 * A descriptor or signal of the reactor's. As event_assign(3) and event_add(3); 0 or -1.
 * The event is embedded in its owner.
 */
int reactor_watch(struct reactor *reactor, struct event *event, int fd, short what,
		  event_callback_fn fn, void *arg);
void reactor_unwatch(struct event *event);

/*
 * Something to be done at the end of this turn, out of every callback. Embedded; queued once at a
 * time.
 */
struct deferred {
	struct deferred *next;
	void (*fn)(struct deferred *deferred);
};
void reactor_defer(struct reactor *reactor, struct deferred *deferred);

/* The same at the end of the next turn: once everybody else has had one. */
void reactor_postpone(struct reactor *reactor, struct deferred *deferred);

#endif
