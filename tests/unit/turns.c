/* turns.c - a reactor that a test turns by hand, and time that it lets pass. */
#include "turns.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/reactor.h"

struct reactor *reactor;

static uint64_t passed_ms;

/* In the place of the system's, for libevent, too. */
int
clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = (int)syscall(SYS_clock_gettime, clock, now);

	if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE) {
		now->tv_sec += (time_t)(passed_ms / 1000);
		now->tv_nsec += (long)(passed_ms % 1000) * 1000000;
		now->tv_sec += now->tv_nsec / 1000000000;
		now->tv_nsec %= 1000000000;
	}
	return result;
}

void
pass_ms(uint64_t ms)
{
	passed_ms += ms;
}

void
turn(void)
{
	reactor_stop(reactor);
	reactor_run(reactor);
}

size_t
descriptor_count(void)
{
	DIR *all = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(all);
	while (readdir(all) != NULL)
		count++;
	closedir(all);
	return count;
}
