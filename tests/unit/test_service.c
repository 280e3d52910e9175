/* test_service.c - what runs comes to its end in order, whatever its threads are at. */
#include "service/service.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/syscall.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000, LATE_MS = 300 };

static _Thread_local bool looks_up;	/* the thread looks names up */
static atomic_bool is_applied, has_told, ends, was_closed;

static void
pause_ms(long ms)
{
	nanosleep(&(const struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* Waits for a condition that another thread makes true. */
static void
wait_for(const atomic_bool *condition)
{
	for (int waited_ms = 0; !atomic_load(condition) && waited_ms < PATIENCE_MS; waited_ms++)
		pause_ms(1);
}

/*
 * In the place of the system's: every name is 127.0.0.1, once nothing else is on its way to the
 * reactor: who finds it woken does not wake it.
 */
int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
	    struct addrinfo **found)
{
	struct {
		struct addrinfo info;
		struct sockaddr_in address;
	} *made = calloc(1, sizeof *made);

	(void)hints;
	looks_up = host != NULL && strcmp(host, "known.test") == 0;
	if (looks_up)
		wait_for(&is_applied);
	made->address.sin_family = AF_INET;
	made->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	made->address.sin_port = htons((in_port_t)atoi(service));
	made->info.ai_family = AF_INET;
	made->info.ai_addr = (struct sockaddr *)&made->address;
	made->info.ai_addrlen = sizeof made->address;
	*found = &made->info;
	return 0;
}

void
freeaddrinfo(struct addrinfo *list)
{
	free(list);
}

/*
 * In the place of the system's: when a look-up's thread is about to wake a reactor that something
 * else has woken, it is held up until the service ends, and finds whether the descriptor is still
 * there.
 */
ssize_t
write(int fd, const void *bytes, size_t length)
{
	ssize_t written = syscall(SYS_write, fd, bytes, length);
	int error = errno;

	if (looks_up && !atomic_load(&ends)) {
		atomic_store(&has_told, true);
		wait_for(&ends);
		for (int i = 0; i < LATE_MS && fcntl(fd, F_GETFD) >= 0; i++)
			pause_ms(1);
		atomic_store(&was_closed, fcntl(fd, F_GETFD) < 0);
	}
	errno = error;
	return written;
}

static void
a_reactor_outlives_the_look_ups_that_wake_it(void **state)
{
	char spec[] = "proxy tcp://127.0.0.1:0 upstream=tcp://known.test:9 resolve_interval=none";
	char *const specs[] = { spec };
	struct config_errors errors = { 0 };
	struct config *config = config_read(NULL, specs, 1, &errors);
	struct service *service;

	(void)state;
	assert_non_null(config);
	config->daemon.threads = 1;
	service = service_new(&config->daemon);
	assert_non_null(service);
	assert_int_equal(service_start(service), 0);
	assert_int_equal(service_apply(service, config, &errors), 0);
	atomic_store(&is_applied, true);
	wait_for(&has_told);
	assert_true(atomic_load(&has_told));
	/* Twice: the reactor has the answer by then. */
	for (int turns = 0; turns < 2; turns += service_turns(service))
		pause_ms(1);
	atomic_store(&ends, true);
	service_free(service);
	assert_false(atomic_load(&was_closed));
	config_free(config);
	config_errors_clear(&errors);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reactor_outlives_the_look_ups_that_wake_it),
	};

	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
