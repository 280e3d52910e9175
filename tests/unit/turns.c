/* turns.c - a reactor that a test turns by hand. */
#include "turns.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "net/reactor.h"

struct reactor *reactor;

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
