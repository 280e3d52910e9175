/* turns.c - a reactor that a test turns by hand, and time that it lets pass. */
#include "turns.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/reactor.h"

enum { TURN_MOST_NS = 2000000 };

struct reactor *reactor;

static uint64_t passed_ns;		/* by hand */
static bool held;
static uint64_t held_ns, held_at_ns;	/* what the held clock shows, and since when */

static uint64_t
real_ns(clockid_t clock)
{
	struct timespec now;

	syscall(SYS_clock_gettime, clock, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t
real_ms(void)
{
	return real_ns(CLOCK_MONOTONIC) / 1000000;
}

/* In the place of the system's, for libevent, too. */
int
clock_gettime(clockid_t clock, struct timespec *now)
{
	uint64_t now_ns = real_ns(clock);

	if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE)
		now_ns = (held ? held_ns : now_ns) + passed_ns;
	now->tv_sec = (time_t)(now_ns / 1000000000);
	now->tv_nsec = (long)(now_ns % 1000000000);
	return 0;
}

void
pass_ms(uint64_t ms)
{
	passed_ns += ms * 1000000;
}

void
hold_time(void)
{
	held = true;
	held_ns = held_at_ns = real_ns(CLOCK_MONOTONIC);
}

void
turn(void)
{
	uint64_t now_ns = real_ns(CLOCK_MONOTONIC), took_ns = now_ns - held_at_ns;

	held_at_ns = now_ns;
	held_ns += took_ns < TURN_MOST_NS ? took_ns : TURN_MOST_NS;
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
