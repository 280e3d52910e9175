/* call_queue.c - calls that other threads leave for the thread of a reactor. */
#include "net/call_queue.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int
call_queue_init(struct call_queue *queue)
{
	queue->first = NULL;
	queue->end = &queue->first;
	pthread_mutex_init(&queue->mutex, NULL);
	queue->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return queue->fd < 0 ? -1 : 0;
}

void
call_queue_destroy(struct call_queue *queue)
{
	if (queue->fd >= 0)
		close(queue->fd);
	pthread_mutex_destroy(&queue->mutex);
}

void
call_queue_put(struct call_queue *queue, struct call *call)
{
	uint64_t one = 1;
	bool first;

	call->next = NULL;
	pthread_mutex_lock(&queue->mutex);
	first = queue->first == NULL;
	*queue->end = call;
	queue->end = &call->next;
	pthread_mutex_unlock(&queue->mutex);
	/* Whoever left the first has woken the reactor for those that follow. */
	while (first && write(queue->fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

int
call_queue_add(struct call_queue *queue, void (*fn)(void *arg), void *arg)
{
	struct call *call = malloc(sizeof *call);

	if (call == NULL)
		return -1;
	*call = (struct call){ .fn = fn, .arg = arg, .allocated = true };
	call_queue_put(queue, call);
	return 0;
}

void
call_queue_run(struct call_queue *queue)
{
	struct call *calls;
	uint64_t count;

	if (read(queue->fd, &count, sizeof count) < 0 && errno != EAGAIN)
		return;
	pthread_mutex_lock(&queue->mutex);
	calls = queue->first;
	queue->first = NULL;
	queue->end = &queue->first;
	pthread_mutex_unlock(&queue->mutex);
	while (calls != NULL) {
		struct call *call = calls;
		bool allocated = call->allocated;

		calls = call->next;
		call->fn(call->arg);	/* one that is not allocated may be gone after this */
		if (allocated)
			free(call);
	}
}

/* A call that somebody waits for. */
struct waiting_call {
	struct call call;
	void (*fn)(void *arg);
	void *arg;
	pthread_mutex_t mutex;
	pthread_cond_t returned;
	bool done;
};

static void
waiting_call_run(void *arg)
{
	struct waiting_call *waiting = arg;

	waiting->fn(waiting->arg);
	pthread_mutex_lock(&waiting->mutex);
	waiting->done = true;
	pthread_cond_signal(&waiting->returned);
	pthread_mutex_unlock(&waiting->mutex);
}

void
call_queue_wait(struct call_queue *queue, void (*fn)(void *arg), void *arg)
{
	struct waiting_call waiting = { .fn = fn, .arg = arg };

	waiting.call = (struct call){ .fn = waiting_call_run, .arg = &waiting };
	pthread_mutex_init(&waiting.mutex, NULL);
	pthread_cond_init(&waiting.returned, NULL);
	call_queue_put(queue, &waiting.call);
	pthread_mutex_lock(&waiting.mutex);
	while (!waiting.done)
		pthread_cond_wait(&waiting.returned, &waiting.mutex);
	pthread_mutex_unlock(&waiting.mutex);
	pthread_cond_destroy(&waiting.returned);
	pthread_mutex_destroy(&waiting.mutex);
}
