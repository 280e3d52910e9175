/* test_batch.c - sends and closes in one system call: each result, and none that waits. */
#include "net/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

/* Where the system has no io_uring, or we may not use it, there is nothing to test. */
static struct batch *batch;

static void
make_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
}

static void
all_are_sent_again_and_again(void **state)
{
	int fds[BATCH_MAX][2], results[BATCH_MAX];
	char byte;

	(void)state;
	for (unsigned i = 0; batch != NULL && i < BATCH_MAX; i++)
		make_pair(fds[i]);
	for (unsigned round = 0; batch != NULL && round < 5; round++) {
		for (unsigned i = 0; i < BATCH_MAX; i++) {
			batch_send(batch, fds[i][0], "x", 1, &results[i]);
			assert_int_equal(results[i], BATCH_UNDONE);
		}
		assert_true(batch_go(batch));
		for (unsigned i = 0; i < BATCH_MAX; i++) {
			assert_int_equal(results[i], 1);
			assert_int_equal(recv(fds[i][1], &byte, 1, 0), 1);
		}
	}
	for (unsigned i = 0; batch != NULL && i < BATCH_MAX; i++) {
		close(fds[i][0]);
		close(fds[i][1]);
	}
}

static void
each_has_its_own_result(void **state)
{
	static char large[4 << 20];
	int fds[2], gone[2], results[4];
	char bytes[4];

	(void)state;
	if (batch == NULL)
		return;
	make_pair(fds);
	make_pair(gone);
	close(gone[1]);
	batch_send(batch, gone[0], "lost", 4, &results[0]);
	batch_send(batch, fds[0], "kept", 4, &results[1]);
	batch_send(batch, fds[0], large, sizeof large, &results[2]);
	batch_send(batch, fds[0], "full", 4, &results[3]);
	assert_true(batch_go(batch));
	assert_int_equal(results[0], -EPIPE);
	assert_int_equal(results[1], 4);
	assert_in_range(results[2], 1, sizeof large - 1);
	assert_int_equal(results[3], -EAGAIN);
	assert_int_equal(recv(fds[1], bytes, 4, 0), 4);
	assert_memory_equal(bytes, "kept", 4);
	assert_true(batch_go(batch));	/* nothing */

	batch_send(batch, gone[0], "lost", 4, &results[0]);
	batch_close(batch, fds[0], &results[1]);
	batch_close(batch, gone[0], &results[2]);
	batch_close(batch, -1, &results[3]);
	assert_true(batch_go(batch));
	assert_int_equal(results[0], -EPIPE);
	assert_int_equal(results[1], 0);
	assert_int_equal(results[2], 0);
	assert_int_equal(results[3], -EBADF);
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);
	assert_int_equal(fcntl(gone[0], F_GETFD), -1);
	close(fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_sent_again_and_again),
		cmocka_unit_test(each_has_its_own_result),
	};
	int failed;

	log_set_level(LEVEL_ERROR);
	batch = batch_new();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	batch_free(batch);
	return failed;
}
