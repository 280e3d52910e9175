/* test_resolver.c - look-ups in threads: asked once, told in the reactor, cancelled any time. */
#include "net/resolver.h"

#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/reactor.h"
#include "turns.h"

/* A name server of our own: names that begin with "slow" are answered once it is let go. */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t let_go;
	bool hangs;
	unsigned asked, at_a_time, most_at_a_time;
	bool signals_blocked;
} server = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0, 0, true };

static struct addrinfo *
info_new(int family, in_port_t port, struct addrinfo *next)
{
	struct {
		struct addrinfo info;
		struct sockaddr_in6 address;
	} *made = calloc(1, sizeof *made);
	struct sockaddr_in *in = (struct sockaddr_in *)&made->address;

	made->info = (struct addrinfo){ .ai_family = family, .ai_next = next };
	made->info.ai_addr = (struct sockaddr *)&made->address;
	if (family == AF_INET) {
		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(0xc0000201);
		in->sin_port = htons(port);
		made->info.ai_addrlen = sizeof *in;
	} else {
		made->address.sin6_family = AF_INET6;
		made->address.sin6_addr.s6_addr[0] = 0xfd;
		made->address.sin6_port = htons(port);
		made->info.ai_addrlen = sizeof made->address;
	}
	return &made->info;
}

/* In the place of the system's. */
int
getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
	    struct addrinfo **found)
{
	in_port_t port = (in_port_t)(strcmp(service, "http") == 0 ? 80 : atoi(service));
	sigset_t mask;

	(void)hints;
	*found = NULL;
	if (host == NULL) {
		*found = info_new(AF_INET, port, NULL);
		return 0;
	}
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	pthread_mutex_lock(&server.mutex);
	server.asked++;
	if (++server.at_a_time > server.most_at_a_time)
		server.most_at_a_time = server.at_a_time;
	server.signals_blocked = server.signals_blocked && sigismember(&mask, SIGTERM)
				 && sigismember(&mask, SIGUSR1);
	while (server.hangs && strncmp(host, "slow", 4) == 0)
		pthread_cond_wait(&server.let_go, &server.mutex);
	server.at_a_time--;
	pthread_mutex_unlock(&server.mutex);
	if (strncmp(host, "unknown", 7) == 0)
		return EAI_NONAME;
	*found = info_new(AF_INET6, port, info_new(AF_INET, port, NULL));
	return 0;
}

void
freeaddrinfo(struct addrinfo *list)
{
	while (list != NULL) {
		struct addrinfo *next = list->ai_next;

		free(list);
		list = next;
	}
}

static unsigned
server_asked(void)
{
	unsigned asked;

	pthread_mutex_lock(&server.mutex);
	asked = server.asked;
	pthread_mutex_unlock(&server.mutex);
	return asked;
}

static void
server_hang(bool hangs)
{
	pthread_mutex_lock(&server.mutex);
	server.hangs = hangs;
	pthread_cond_broadcast(&server.let_go);
	pthread_mutex_unlock(&server.mutex);
}

static struct resolver *resolver;
static size_t threads_before;
static struct lookup *second;			/* what cancel_second cancels */

/* What look-ups have been told. */
static struct {
	unsigned found, failed;
	struct sockaddr_any first;
	in_port_t ports[1000];
	char error[100];
} told;

static size_t
thread_count(void)
{
	DIR *tasks = opendir("/proc/self/task");
	size_t count = 0;

	assert_non_null(tasks);
	while (readdir(tasks) != NULL)
		count++;
	closedir(tasks);
	return count;
}

static void
note(void *arg, const char *error, struct sockaddr_any *found, size_t count)
{
	assert_null(arg);
	if (error != NULL) {
		assert_null(found);
		snprintf(told.error, sizeof told.error, "%s", error);
		told.failed++;
		return;
	}
	assert_true(count == 2 || found[0].u.sa.sa_family == AF_UNIX);
	for (size_t i = 1; i < count; i++)
		assert_int_equal(found[i].u.in.sin_port, found[0].u.in.sin_port);
	told.first = found[0];
	if (told.found < 1000)
		told.ports[told.found] = ntohs(found[0].u.in.sin_port);
	told.found++;
	free(found);
}

static void
cancel_second(void *arg, const char *error, struct sockaddr_any *found, size_t count)
{
	lookup_cancel(second);
	note(arg, error, found, count);
}

static struct lookup *
look_up_for(const char *text,
	    void (*done)(void *arg, const char *error, struct sockaddr_any *found, size_t count))
{
	struct address address;
	struct lookup *lookup;

	assert_null(address_parse(text, &address));
	lookup = resolver_look_up(resolver, reactor, &address, done, NULL);
	assert_non_null(lookup);
	address_clear(&address);	/* it is the caller's */
	return lookup;
}

static struct lookup *
look_up(const char *text)
{
	return look_up_for(text, note);
}

static void *
thread_nothing(void *arg)
{
	return arg;
}

/* A thread has taken it by then. */
static void
cancel_once_asked(struct lookup *lookup)
{
	TURN_UNTIL(server_asked() == 1);
	lookup_cancel(lookup);
}

static int
setup(void **state)
{
	pthread_t thread;

	(void)state;
	/* A sanitizer starts a thread of its own with our first. */
	if (pthread_create(&thread, NULL, thread_nothing, NULL) != 0
	    || pthread_join(thread, NULL) != 0)
		return -1;
	memset(&told, 0, sizeof told);
	threads_before = thread_count();
	reactor = reactor_new(0, REACTOR_AUTO);
	resolver = resolver_new();
	server_hang(false);
	server.asked = server.most_at_a_time = 0;
	return reactor != NULL && resolver != NULL ? 0 : -1;
}

/* Whether no thread of the resolver is left. */
static bool
threads_end(void)
{
	uint64_t until_ms = reactor_now_ms() + 10000;

	while (thread_count() > threads_before)
		if (reactor_now_ms() > until_ms)
			return false;
	return true;
}

static int
teardown(void **state)
{
	(void)state;
	server_hang(false);
	if (reactor != NULL)
		reactor_free(reactor);
	resolver_free(resolver);
	return threads_end() ? 0 : -1;
}

static void
a_name_is_looked_up_and_told_in_the_reactor(void **state)
{
	(void)state;
	assert_int_equal(thread_count(), threads_before);	/* none before it is needed */
	look_up("tcp://known:8080");
	while (server_asked() == 0)
		;
	assert_int_equal(told.found, 0);
	TURN_UNTIL(told.found == 1);
	assert_int_equal(told.first.u.sa.sa_family, AF_INET6);
	assert_int_equal(told.ports[0], 8080);
	assert_true(server.signals_blocked);
	assert_true(threads_end());				/* none after it */
}

static void
an_unknown_name_is_told_with_the_reason(void **state)
{
	(void)state;
	look_up("tcp://unknown:80");
	TURN_UNTIL(told.failed == 1);
	assert_string_equal(told.error, gai_strerror(EAI_NONAME));
}

static void
an_address_without_a_name_takes_the_same_way(void **state)
{
	(void)state;
	look_up("unix:///run/x.sock");
	assert_int_equal(told.found, 0);
	TURN_UNTIL(told.found == 1);
	assert_string_equal(told.first.u.un.sun_path, "/run/x.sock");
	assert_int_equal(server_asked(), 0);
}

static void
a_thousand_look_ups_of_a_name_ask_once(void **state)
{
	bool seen[1000] = { false };

	(void)state;
	server_hang(true);
	for (unsigned i = 0; i < 1000; i++) {
		char text[40];

		snprintf(text, sizeof text, "tcp://slow:%u", 1000 + i);
		look_up(text);
	}
	server_hang(false);
	TURN_UNTIL(told.found == 1000);
	assert_int_equal(server_asked(), 1);
	for (unsigned i = 0; i < 1000; i++) {		/* each port once, in whatever order */
		assert_in_range(told.ports[i], 1000, 1999);
		assert_false(seen[told.ports[i] - 1000]);
		seen[told.ports[i] - 1000] = true;
	}
	look_up("tcp://slow:80");
	TURN_UNTIL(told.found == 1001);
	assert_int_equal(server_asked(), 2);	/* an answer is not kept */
}

static void
what_has_another_answer_is_asked_for_itself(void **state)
{
	static const char *const texts[] = { "tcp://slow:80", "tcp://slow:http", "udp://slow:80",
					     "tcp://slow2:80" };

	(void)state;
	server_hang(true);
	for (unsigned i = 0; i < 4; i++) {
		look_up(texts[i]);
		look_up(texts[i]);
	}
	server_hang(false);
	TURN_UNTIL(told.found == 8);
	assert_int_equal(server_asked(), 4);
}

static void
a_hundred_names_are_asked_for_a_few_at_a_time(void **state)
{
	(void)state;
	server_hang(true);
	for (unsigned i = 0; i < 100; i++) {
		char text[40];

		snprintf(text, sizeof text, "tcp://slow%u:80", i);
		look_up(text);
	}
	TURN_UNTIL(server_asked() == RESOLVER_THREADS);
	assert_int_equal(thread_count(), threads_before + RESOLVER_THREADS);
	server_hang(false);
	TURN_UNTIL(told.found == 100);
	assert_int_equal(server_asked(), 100);
	assert_in_range(server.most_at_a_time, 2, RESOLVER_THREADS);
}

static void
what_is_cancelled_is_not_told(void **state)
{
	struct lookup *lookups[20], *alone;

	(void)state;
	lookup_cancel(NULL);
	server_hang(true);
	alone = look_up("tcp://slow:1");
	for (unsigned i = 0; i < 20; i++)
		lookups[i] = look_up("tcp://slow2:80");
	TURN_UNTIL(server_asked() == 2);
	lookup_cancel(alone);			/* a thread has it, and nobody else waits for it */
	lookup_cancel(lookups[0]);		/* the ends and the middle of those that wait */
	lookup_cancel(lookups[7]);
	lookup_cancel(lookups[19]);
	server_hang(false);
	TURN_UNTIL(told.found == 17);
	assert_true(threads_end());
	turn();
	assert_int_equal(told.found + told.failed, 17);
}

static void
what_is_cancelled_before_it_is_asked_is_never_asked(void **state)
{
	struct lookup *waiting[3];

	(void)state;
	server_hang(true);
	for (unsigned i = 0; i < RESOLVER_THREADS; i++) {
		char text[40];

		snprintf(text, sizeof text, "tcp://slow%u:80", i);
		look_up(text);
	}
	TURN_UNTIL(server_asked() == RESOLVER_THREADS);
	waiting[0] = look_up("tcp://known0:80");
	waiting[1] = look_up("tcp://known1:80");
	look_up("tcp://known2:80");
	waiting[2] = look_up("tcp://known3:80");
	for (unsigned i = 0; i < 3; i++)
		lookup_cancel(waiting[i]);	/* first, middle and last of the queue */
	look_up("tcp://known4:80");
	server_hang(false);
	TURN_UNTIL(told.found == RESOLVER_THREADS + 2);
	assert_true(threads_end());
	assert_int_equal(server_asked(), RESOLVER_THREADS + 2);
}

static void
an_answer_on_its_way_can_be_cancelled(void **state)
{
	struct lookup *lookup = look_up("tcp://known:80");

	(void)state;
	assert_true(threads_end());
	lookup_cancel(lookup);
	turn();
	assert_int_equal(told.found, 0);
}

static void
an_answer_can_cancel_another(void **state)
{
	(void)state;
	server_hang(true);
	second = look_up("tcp://slow:80");		/* told after the next one, or never */
	look_up_for("tcp://slow:80", cancel_second);
	server_hang(false);
	TURN_UNTIL(told.found == 1);
	assert_true(threads_end());
	turn();
	assert_int_equal(told.found, 1);
}

/* Who reloads because a name server hangs is not to wait for that one again. */
static void
what_nobody_waits_for_is_not_joined(void **state)
{
	(void)state;
	server_hang(true);
	cancel_once_asked(look_up("tcp://slow:80"));
	look_up("tcp://slow:80");
	TURN_UNTIL(server_asked() == 2);
	server_hang(false);
	TURN_UNTIL(told.found == 1);
}

static void
without_a_thread_the_look_up_fails(void **state)
{
	pthread_attr_t before, huge;

	(void)state;
	assert_int_equal(pthread_getattr_default_np(&before), 0);
	pthread_attr_init(&huge);
	pthread_attr_setstacksize(&huge, (size_t)1 << 60);
	assert_int_equal(pthread_setattr_default_np(&huge), 0);
	look_up("tcp://known:80");
	pthread_setattr_default_np(&before);
	pthread_attr_destroy(&huge);
	pthread_attr_destroy(&before);
	assert_int_equal(told.failed, 0);
	TURN_UNTIL(told.failed == 1);
	assert_string_equal(told.error,
			    "cannot be looked up: no thread: Resource temporarily unavailable");
	look_up("tcp://known:80");
	TURN_UNTIL(told.found == 1);
}

/* Look-ups are made, cancelled and answered all at once, for what only a race shows. */
static void
it_withstands_a_thousand_cancellings_at_any_moment(void **state)
{
	struct lookup *lookups[50];
	unsigned cancelled = 0;

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 50; i++) {
			char text[40];

			snprintf(text, sizeof text, "tcp://known%u:80", (round + i) % 13);
			lookups[i] = look_up(text);
		}
		for (unsigned i = round % 5; i < 50; i += 5, cancelled++)
			lookup_cancel(lookups[i]);
		turn();
	}
	assert_true(threads_end());
	turn();
	assert_int_equal(cancelled, 1000);
	assert_int_equal(told.found, 4000);
}

/* What the thread has is freed by the thread: the teardown waits for that, a sanitizer looks. */
static void
freeing_it_does_not_wait_for_a_thread_that_hangs(void **state)
{
	(void)state;
	server_hang(true);
	cancel_once_asked(look_up("tcp://slow:80"));
	resolver_free(resolver);
	resolver = NULL;
	assert_int_equal(thread_count(), threads_before + 1);
}

/* The last one: a thread hangs when the process ends, and no sanitizer may find fault with it. */
static void
a_thread_may_hang_at_the_end_of_the_process(void **state)
{
	(void)state;
	server_hang(true);
	cancel_once_asked(look_up("tcp://slow:80"));
	resolver_free(resolver);
	resolver = NULL;
	assert_int_equal(thread_count(), threads_before + 1);
}

static int
teardown_but_hang(void **state)
{
	(void)state;
	reactor_free(reactor);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_name_is_looked_up_and_told_in_the_reactor),
		TEST(an_unknown_name_is_told_with_the_reason),
		TEST(an_address_without_a_name_takes_the_same_way),
		TEST(a_thousand_look_ups_of_a_name_ask_once),
		TEST(what_has_another_answer_is_asked_for_itself),
		TEST(a_hundred_names_are_asked_for_a_few_at_a_time),
		TEST(what_is_cancelled_is_not_told),
		TEST(what_is_cancelled_before_it_is_asked_is_never_asked),
		TEST(an_answer_on_its_way_can_be_cancelled),
		TEST(an_answer_can_cancel_another),
		TEST(what_nobody_waits_for_is_not_joined),
		TEST(without_a_thread_the_look_up_fails),
		TEST(it_withstands_a_thousand_cancellings_at_any_moment),
		TEST(freeing_it_does_not_wait_for_a_thread_that_hangs),
		cmocka_unit_test_setup_teardown(a_thread_may_hang_at_the_end_of_the_process, setup,
						teardown_but_hang),
	};

	return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
