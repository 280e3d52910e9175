/* thread.c - starts a thread that takes no signal. */
#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>

int
thread_start(pthread_t *thread, void *(*main)(void *arg), void *arg)
{
	sigset_t all, before;
	int error;

	/* A thread begins with the mask of the one that starts it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread, NULL, main, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error == 0)
		return 0;
	errno = error;
	return -1;
}
