/* test_pipe_pool.c - pipes are few, are used again, and may be none to be had. */
#include "net/pipe_pool.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static void
there_are_no_more_than_so_many(void **state)
{
	struct pipe_pool pool = { 0 };
	struct pipe *taken[PIPES_MAX];

	(void)state;
	for (unsigned i = 0; i < PIPES_MAX; i++) {
		taken[i] = pipe_take(&pool);
		assert_non_null(taken[i]);
		assert_in_range(fcntl(taken[i]->in, F_GETPIPE_SZ), PIPE_SIZE, INT32_MAX);
	}
	assert_null(pipe_take(&pool));
	for (unsigned i = 0; i < PIPES_MAX; i++)
		pipe_give(taken[i]);
	pipe_pool_clear(&pool);
}

static void
an_empty_pipe_is_used_again_and_no_other(void **state)
{
	struct pipe_pool pool = { 0 };
	struct pipe *pipe = pipe_take(&pool);
	int in = pipe->in;
	char byte;

	(void)state;
	pipe->small = 3;
	pipe_give(pipe);
	assert_ptr_equal(pipe_take(&pool), pipe);
	assert_int_equal(pipe->in, in);
	assert_int_equal(pipe->small, 0);
	assert_int_equal(write(pipe->in, "left", 4), 4);
	pipe->held = 4;
	pipe_give(pipe);
	pipe = pipe_take(&pool);
	assert_int_equal(pipe->held, 0);
	assert_int_equal(read(pipe->out, &byte, 1), -1);	/* would block: there is nothing */
	pipe_give(pipe);
	pipe_pool_clear(&pool);
}

static void
without_descriptors_there_is_none(void **state)
{
	struct pipe_pool pool = { 0 };
	struct rlimit limit, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_null(pipe_take(&pool));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	pipe_give(pipe_take(&pool));
	pipe_pool_clear(&pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_are_no_more_than_so_many),
		cmocka_unit_test(an_empty_pipe_is_used_again_and_no_other),
		cmocka_unit_test(without_descriptors_there_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
