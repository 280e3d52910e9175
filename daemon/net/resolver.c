/* resolver.c - looks names up in threads of its own: no event loop waits for a name server. */
#include "net/resolver.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/thread.h"
#include "net/call_queue.h"
#include "net/reactor.h"

enum { BUCKETS = 256, NO_PORT = -1 };

/*
 * What is asked for, by all look-ups for which the answer is the same but for the port:
 *
 *   waiting ── a thread takes it ──▶ asked ── answered ──▶ its look-ups have the answer
 *      └── the last look-up is cancelled ──┴──▶ a thread that has it forgets the answer
 *
 * and either way it is out of the table. What nobody waits for is not joined any more: it may hang
 * at a name server that is no longer the one to ask.
 */
struct question {
	struct question *next, **link;			/* in its bucket of the table */
	struct question *next_waiting, **link_waiting;	/* link NULL: a thread has it, or had */
	struct lookup *lookups;				/* that wait for the answer */
	atomic_uint refs;				/* each look-up, and its thread */
	struct address address;				/* a copy, without its text */
	char error[100];				/* empty, or why there is no answer */
	struct sockaddr_any *found;
	size_t count;
};

struct lookup {
	struct call call;			/* brings the answer to the reactor */
	struct resolver *resolver;
	struct reactor *reactor;
	struct question *question;
	struct lookup *next, **link;		/* of the question; link NULL: the call is left */
	int port;				/* or NO_PORT: as answered */
	lookup_done_fn *done;			/* NULL: cancelled */
	void *arg;
};

/* It lives until its owner and the last thread have left it. */
struct resolver {
	pthread_mutex_t mutex;			/* of all below, and of all links */
	struct question *table[BUCKETS];	/* with look-ups that wait */
	struct question *waiting, **waiting_end;	/* those no thread has taken */
	unsigned threads;
	bool freed;				/* by its owner */
};

static size_t
bucket_of(const char *host)
{
	uint32_t hash = 2166136261;		/* FNV-1a */

	for (; *host != '\0'; host++)
		hash = (hash ^ (uint8_t)*host) * 16777619;
	return hash % BUCKETS;
}

/* The port of an address that has a number for it, or NO_PORT. */
static int
port_of(const struct address *address)
{
	const char *service = address->service;

	if (service == NULL || service[strspn(service, "0123456789")] != '\0')
		return NO_PORT;
	return atoi(service);
}

/* Whether the answer for one is that for the other, but for the number of the port. */
static bool
is_same_question(const struct address *a, const struct address *b)
{
	if (a->kind != b->kind || strcmp(a->host, b->host) != 0)
		return false;
	if (a->service == NULL || b->service == NULL)
		return a->service == b->service;
	return strcmp(a->service, b->service) == 0
	       || (port_of(a) != NO_PORT && port_of(b) != NO_PORT);
}

static void
question_unref(struct question *question)
{
	if (atomic_fetch_sub_explicit(&question->refs, 1, memory_order_acq_rel) != 1)
		return;
	address_clear(&question->address);
	free(question->found);
	free(question);
}

/* Makes a question with one reference; NULL without memory. */
static struct question *
question_new(const struct address *address)
{
	struct question *question = calloc(1, sizeof *question);

	if (question == NULL)
		return NULL;
	atomic_init(&question->refs, 1);
	question->address.kind = address->kind;
	question->address.host = strdup(address->host);
	if (address->service != NULL)
		question->address.service = strdup(address->service);
	if (question->address.host != NULL
	    && (question->address.service != NULL || address->service == NULL))
		return question;
	question_unref(question);
	return NULL;
}

/* Takes it out of the queue, if it waits there. */
static void
resolver_dequeue(struct resolver *resolver, struct question *question)
{
	if (question->link_waiting == NULL)
		return;
	*question->link_waiting = question->next_waiting;
	if (question->next_waiting != NULL)
		question->next_waiting->link_waiting = question->link_waiting;
	else
		resolver->waiting_end = question->link_waiting;
	question->link_waiting = NULL;
}

static void
resolver_forget(struct resolver *resolver, struct question *question)
{
	resolver_dequeue(resolver, question);
	*question->link = question->next;
	if (question->next != NULL)
		question->next->link = question->link;
}

/* Finds the question for an address, or makes it and has it wait for a thread. NULL: no memory. */
static struct question *
resolver_question(struct resolver *resolver, const struct address *address)
{
	struct question **bucket = &resolver->table[bucket_of(address->host)], *question;

	for (question = *bucket; question != NULL; question = question->next)
		if (is_same_question(&question->address, address)) {
			atomic_fetch_add_explicit(&question->refs, 1, memory_order_relaxed);
			return question;
		}
	question = question_new(address);
	if (question == NULL)
		return NULL;
	question->next = *bucket;
	question->link = bucket;
	if (question->next != NULL)
		question->next->link = &question->next;
	*bucket = question;
	question->link_waiting = resolver->waiting_end;
	*resolver->waiting_end = question;
	resolver->waiting_end = &question->next_waiting;
	return question;
}

/* In the reactor's thread: hands the answer on. */
static void
lookup_answered(void *arg)
{
	struct lookup answered = *(struct lookup *)arg;
	const struct question *question = answered.question;
	const char *error = question->error[0] == '\0' ? NULL : question->error;
	struct sockaddr_any *found = NULL;

	free(arg);
	if (answered.done != NULL) {
		if (error == NULL) {
			found = malloc(question->count * sizeof *found);
			if (found == NULL)
				error = strerror(ENOMEM);
		}
		for (size_t i = 0; found != NULL && i < question->count; i++) {
			found[i] = question->found[i];
			/* It stands in the same place of both families. */
			if (answered.port != NO_PORT)
				found[i].u.in.sin_port = htons((uint16_t)answered.port);
		}
		answered.done(answered.arg, error, found, found == NULL ? 0 : question->count);
	}
	question_unref(answered.question);
}

/* Sends the answer to all that wait for it. */
static void
resolver_answer(struct resolver *resolver, struct question *question)
{
	struct lookup *lookup = question->lookups;

	if (lookup == NULL)
		return;			/* nobody does, and it is forgotten already */
	resolver_forget(resolver, question);
	question->lookups = NULL;
	while (lookup != NULL) {
		struct lookup *next = lookup->next;

		lookup->link = NULL;
		/* Under the mutex: once all its look-ups are cancelled, a reactor hears no more. */
		reactor_call_embedded(lookup->reactor, &lookup->call);
		lookup = next;
	}
}

static void
resolver_destroy(struct resolver *resolver)
{
	pthread_mutex_destroy(&resolver->mutex);
	free(resolver);
}

/* A thread: asks what waits, and ends when nothing does. */
static void *
resolver_main(void *arg)
{
	struct resolver *resolver = arg;
	struct question *question;
	bool last;

	pthread_mutex_lock(&resolver->mutex);
	while ((question = resolver->waiting) != NULL) {
		const char *error;

		resolver_dequeue(resolver, question);
		atomic_fetch_add_explicit(&question->refs, 1, memory_order_relaxed);
		pthread_mutex_unlock(&resolver->mutex);
		error = address_resolve(&question->address, &question->found, &question->count);
		if (error != NULL)	/* the words may be this thread's own (strerror(3)) */
			snprintf(question->error, sizeof question->error, "%s", error);
		pthread_mutex_lock(&resolver->mutex);
		resolver_answer(resolver, question);
		question_unref(question);
	}
	resolver->threads--;
	last = resolver->freed && resolver->threads == 0;
	pthread_mutex_unlock(&resolver->mutex);
	if (last)
		resolver_destroy(resolver);
	return NULL;
}

/* Has what waits asked: by a new thread, or by those there are. Without any, that is the answer. */
static void
resolver_hire(struct resolver *resolver)
{
	pthread_t thread;

	if (resolver->waiting == NULL || resolver->threads == RESOLVER_THREADS)
		return;
	if (thread_start(&thread, resolver_main, resolver) == 0) {
		pthread_detach(thread);
		resolver->threads++;
	} else if (resolver->threads == 0) {
		struct question *question = resolver->waiting;

		snprintf(question->error, sizeof question->error,
			 "cannot be looked up: no thread: %s", strerror(errno));
		resolver_answer(resolver, question);
	}
}

struct resolver *
resolver_new(void)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);

	if (resolver == NULL)
		return NULL;
	pthread_mutex_init(&resolver->mutex, NULL);
	resolver->waiting_end = &resolver->waiting;
	return resolver;
}

void
resolver_free(struct resolver *resolver)
{
	bool last;

	if (resolver == NULL)
		return;
	pthread_mutex_lock(&resolver->mutex);
	assert(resolver->waiting == NULL);
	resolver->freed = true;
	last = resolver->threads == 0;
	pthread_mutex_unlock(&resolver->mutex);
	if (last)
		resolver_destroy(resolver);
}

struct lookup *
resolver_look_up(struct resolver *resolver, struct reactor *reactor, const struct address *address,
		 lookup_done_fn *done, void *arg)
{
	struct lookup *lookup = calloc(1, sizeof *lookup);
	struct question *question;

	if (lookup == NULL)
		return NULL;
	lookup->call.fn = lookup_answered;
	lookup->call.arg = lookup;
	lookup->resolver = resolver;
	lookup->reactor = reactor;
	lookup->port = port_of(address);
	lookup->done = done;
	lookup->arg = arg;
	pthread_mutex_lock(&resolver->mutex);
	question = resolver_question(resolver, address);
	if (question != NULL) {
		lookup->question = question;
		lookup->next = question->lookups;
		lookup->link = &question->lookups;
		if (lookup->next != NULL)
			lookup->next->link = &lookup->next;
		question->lookups = lookup;
		resolver_hire(resolver);
	}
	pthread_mutex_unlock(&resolver->mutex);
	if (question == NULL) {
		free(lookup);
		errno = ENOMEM;
		return NULL;
	}
	return lookup;
}

void
lookup_cancel(struct lookup *lookup)
{
	struct resolver *resolver;
	bool waits;

	if (lookup == NULL)
		return;
	resolver = lookup->resolver;
	pthread_mutex_lock(&resolver->mutex);
	waits = lookup->link != NULL;
	if (waits) {
		*lookup->link = lookup->next;
		if (lookup->next != NULL)
			lookup->next->link = lookup->link;
		if (lookup->question->lookups == NULL)
			resolver_forget(resolver, lookup->question);
	}
	pthread_mutex_unlock(&resolver->mutex);
	if (waits) {
		question_unref(lookup->question);
		free(lookup);
	} else {
		lookup->done = NULL;	/* the call finds that and frees it */
	}
}
