/* reactor.c - one event loop in one thread: descriptors, deadlines, calls from other threads. */
#include "net/reactor.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "net/call_queue.h"
#include "net/outbox.h"
#include "net/pipe_pool.h"
#include "net/reactor_base.h"

struct deferred_list {
	struct deferred *first, **end;
};

struct reactor {
	struct event_base *base;
	unsigned index;
	pthread_t thread;
	bool started;
	bool stopping;			/* this turn is the last */
	bool has_edges;

	struct wheel wheel;
	struct event wheel_event;
	uint64_t wheel_at_ms;		/* when wheel_event fires; 0: it is not set */

	struct deferred_list deferred;	/* to the end of this turn */
	struct deferred_list postponed;	/* to the end of the next one */

	struct call_queue calls;
	struct event wake_event;

	struct endpoint *endpoints;
	struct outbox *outbox;
	struct pipe_pool pipes;
	void *attachment;
	void (*attachment_release)(void *attachment);
	uint8_t *scratch;		/* mapped: a page that is never used costs nothing */
};

uint64_t
reactor_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Lets wheel_event fire when the next slot of the wheel is due. */
static void
wheel_arm(struct reactor *reactor, uint64_t now_ms)
{
	int64_t wait_ms = wheel_wait_ms(&reactor->wheel, now_ms);
	struct timeval wait;

	if (wait_ms < 0)
		return;
	if (reactor->wheel_at_ms != 0 && reactor->wheel_at_ms <= now_ms + (uint64_t)wait_ms)
		return;
	reactor->wheel_at_ms = now_ms + (uint64_t)wait_ms;
	wait.tv_sec = wait_ms / 1000;
	wait.tv_usec = wait_ms % 1000 * 1000;
	event_add(&reactor->wheel_event, &wait);	/* reactor_new has made room for it */
}

static void
wheel_cb(evutil_socket_t fd, short what, void *arg)
{
	struct reactor *reactor = arg;
	uint64_t now_ms = reactor_now_ms();
	struct wheel_timer *timer;

	(void)fd;
	(void)what;
	reactor->wheel_at_ms = 0;
	while ((timer = wheel_due(&reactor->wheel, now_ms)) != NULL) {
		struct deadline *deadline = (struct deadline *)timer;

		deadline->fn(deadline->arg);
	}
	wheel_arm(reactor, now_ms);
}

static void
deferred_list_init(struct deferred_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void
deferred_list_add(struct deferred_list *list, struct deferred *deferred)
{
	assert(deferred->next == NULL && list->end != &deferred->next);
	*list->end = deferred;
	list->end = &deferred->next;
}

/* The end of a turn: what has been put off to it, also meanwhile. */
static void
reactor_end_turn(struct reactor *reactor)
{
	while (reactor->deferred.first != NULL) {
		struct deferred *first = reactor->deferred.first;

		reactor->deferred.first = first->next;
		if (reactor->deferred.first == NULL)
			reactor->deferred.end = &reactor->deferred.first;
		first->next = NULL;
		first->fn(first);
	}
	if (reactor->postponed.first == NULL)
		return;
	reactor->deferred = reactor->postponed;
	deferred_list_init(&reactor->postponed);
}

static void
wake_cb(evutil_socket_t fd, short what, void *arg)
{
	struct reactor *reactor = arg;

	(void)fd;
	(void)what;
	call_queue_run(&reactor->calls);
}

struct reactor *
reactor_new(unsigned index, enum reactor_backend backend)
{
	struct reactor *reactor = calloc(1, sizeof *reactor);

	if (reactor == NULL)
		return NULL;
	reactor->index = index;
	wheel_init(&reactor->wheel, reactor_now_ms());
	deferred_list_init(&reactor->deferred);
	deferred_list_init(&reactor->postponed);
	reactor->base = reactor_base_new(backend);
	reactor->scratch = mmap(NULL, REACTOR_SCRATCH_SIZE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reactor->outbox = outbox_new(reactor);
	if (call_queue_init(&reactor->calls) < 0 || reactor->base == NULL
	    || reactor->scratch == MAP_FAILED || reactor->outbox == NULL) {
		int error = reactor->base == NULL ? ENOSYS : errno;

		reactor_free(reactor);
		errno = error;
		return NULL;
	}
	reactor->has_edges = (event_base_get_features(reactor->base) & EV_FEATURE_ET) != 0;
	event_assign(&reactor->wheel_event, reactor->base, -1, 0, wheel_cb, reactor);
	/* The heap of timers keeps the place that this one takes. */
	if (event_add(&reactor->wheel_event, &(const struct timeval){ .tv_sec = 1 }) != 0
	    || event_del(&reactor->wheel_event) != 0
	    || reactor_watch(reactor, &reactor->wake_event, reactor->calls.fd, EV_READ | EV_PERSIST,
			     wake_cb, reactor)
		       != 0) {
		reactor_free(reactor);
		errno = ENOMEM;
		return NULL;
	}
	return reactor;
}

void
reactor_free(struct reactor *reactor)
{
	if (reactor->outbox != NULL)
		outbox_thread_ended(reactor->outbox);
	if (reactor->base != NULL) {
		call_queue_run(&reactor->calls);
		while (reactor->deferred.first != NULL)
			reactor_end_turn(reactor);
		event_base_free(reactor->base);
	}
	if (reactor->attachment != NULL)
		reactor->attachment_release(reactor->attachment);
	outbox_free(reactor->outbox);
	pipe_pool_clear(&reactor->pipes);
	if (reactor->scratch != MAP_FAILED)
		munmap(reactor->scratch, REACTOR_SCRATCH_SIZE);
	call_queue_destroy(&reactor->calls);
	free(reactor);
}

void
reactor_run(struct reactor *reactor)
{
	static const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	uint64_t said_ms = 0;

	while (!reactor->stopping) {
		int waits = reactor->deferred.first == NULL ? 0 : EVLOOP_NONBLOCK;

		/* To wait can fail for want of memory: that passes, and must not end the thread. */
		if (event_base_loop(reactor->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY | waits)
		    < 0) {
			if (reactor_now_ms() - said_ms >= 1000) {
				said_ms = reactor_now_ms();
				log_error("reactor %u: waiting for events: %s", reactor->index,
					  strerror(errno));
			}
			nanosleep(&pause, NULL);
		}
		reactor_end_turn(reactor);
	}
	reactor->stopping = false;
}

static void *
reactor_main(void *arg)
{
	reactor_run(arg);
	return NULL;
}

int
reactor_start(struct reactor *reactor)
{
	reactor->started = thread_start(&reactor->thread, reactor_main, reactor) == 0;
	return reactor->started ? 0 : -1;
}

static void
stop_call(void *arg)
{
	struct reactor *reactor = arg;

	reactor->stopping = true;
}

void
reactor_stop(struct reactor *reactor)
{
	if (reactor_call(reactor, stop_call, reactor) != 0)
		abort();	/* there is no other way to end in order */
}

void
reactor_join(struct reactor *reactor)
{
	if (!reactor->started)
		return;
	pthread_join(reactor->thread, NULL);
	reactor->started = false;
}

unsigned
reactor_index(const struct reactor *reactor)
{
	return reactor->index;
}

int
reactor_call(struct reactor *reactor, void (*fn)(void *arg), void *arg)
{
	return call_queue_add(&reactor->calls, fn, arg);
}

void
reactor_call_embedded(struct reactor *reactor, struct call *call)
{
	call_queue_put(&reactor->calls, call);
}

void
reactor_call_wait(struct reactor *reactor, void (*fn)(void *arg), void *arg)
{
	if (!reactor->started || pthread_equal(reactor->thread, pthread_self()))
		fn(arg);
	else
		call_queue_wait(&reactor->calls, fn, arg);
}

bool
reactor_has_edges(const struct reactor *reactor)
{
	return reactor->has_edges;
}

uint8_t *
reactor_scratch(struct reactor *reactor)
{
	return reactor->scratch;
}

struct outbox *
reactor_outbox(const struct reactor *reactor)
{
	return reactor->outbox;
}

struct pipe_pool *
reactor_pipes(struct reactor *reactor)
{
	return &reactor->pipes;
}

struct endpoint **
reactor_endpoints(struct reactor *reactor)
{
	return &reactor->endpoints;
}

void *
reactor_attachment(const struct reactor *reactor)
{
	return reactor->attachment;
}

void
reactor_attach(struct reactor *reactor, void *attachment, void (*release)(void *attachment))
{
	reactor->attachment = attachment;
	reactor->attachment_release = release;
}

int
reactor_watch(struct reactor *reactor, struct event *event, int fd, short what,
	      event_callback_fn fn, void *arg)
{
	if (event_assign(event, reactor->base, fd, what, fn, arg) != 0)
		return -1;
	return event_add(event, NULL);
}

void
reactor_unwatch(struct event *event)
{
	event_del(event);
}

void
reactor_set_deadline(struct reactor *reactor, struct deadline *deadline, uint64_t at_ms)
{
	if (reactor->wheel.set == 0)
		wheel_due(&reactor->wheel, reactor_now_ms());	/* an empty wheel stands still */
	wheel_set(&reactor->wheel, &deadline->timer, at_ms);
	if (reactor->wheel_at_ms == 0 || at_ms < reactor->wheel_at_ms)
		wheel_arm(reactor, reactor_now_ms());
}

void
reactor_unset_deadline(struct reactor *reactor, struct deadline *deadline)
{
	wheel_unset(&reactor->wheel, &deadline->timer);
}

void
reactor_defer(struct reactor *reactor, struct deferred *deferred)
{
	deferred_list_add(&reactor->deferred, deferred);
}

void
reactor_postpone(struct reactor *reactor, struct deferred *deferred)
{
	deferred_list_add(&reactor->postponed, deferred);
}
