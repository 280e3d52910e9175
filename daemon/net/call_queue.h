/* call_queue.h - calls that other threads leave for the thread of a reactor. */
#ifndef TWINED_NET_CALL_QUEUE_H
#define TWINED_NET_CALL_QUEUE_H

#include <pthread.h>
#include <stdbool.h>

/* Embedded in what it is about, or made by call_queue_add. */
struct call {
	struct call *next;
	void (*fn)(void *arg);
	void *arg;
	bool allocated;
};

struct call_queue {
	int fd;				/* an eventfd(2), readable when there are calls */
	pthread_mutex_t mutex;
	struct call *first, **end;
};

/* 0, or -1 with errno; call_queue_destroy follows in either case. */
int call_queue_init(struct call_queue *queue);
void call_queue_destroy(struct call_queue *queue);

/* Leaves fn(arg) to be called, after those that are there: 0, or -1 with ENOMEM. */
int call_queue_add(struct call_queue *queue, void (*fn)(void *arg), void *arg);

/* Leaves a call that is all zero but fn and arg, and that lives until fn is called. */
void call_queue_put(struct call_queue *queue, struct call *call);

/* Leaves fn(arg) too, and waits until it has returned. Not for the thread that runs the queue. */
void call_queue_wait(struct call_queue *queue, void (*fn)(void *arg), void *arg);

/* Runs the calls that are there, in their order. */
void call_queue_run(struct call_queue *queue);

#endif
