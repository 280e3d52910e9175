/* thread.h - starts a thread that takes no signal. */
#ifndef TWINED_BASE_THREAD_H
#define TWINED_BASE_THREAD_H

#include <pthread.h>

/* Starts a thread with all signals blocked, to be joined or detached: 0, or -1 with errno. */
int thread_start(pthread_t *thread, void *(*main)(void *arg), void *arg);

#endif
