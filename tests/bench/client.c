/* client.c - what all loads have in common: connections, the clock, latencies, the line that is printed. */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum {
	MAX_LATENCY_US = 200000,
	SOURCES = 32, /* client addresses 127.0.0.2 and up, so that ports do not run out */
	PATIENCE_S = 10, /* beyond the time asked for; then the server is broken */
};

struct options options = { .connections = 32,
			   .bytes = 64,
			   .window = 32,
			   .rate = 10000,
			   .seconds = 1,
			   .host = "127.0.0.1" };
int epoll;
double started, end;
int receive_buffer;
char pattern[PATTERN + CHUNK];
char buffer[CHUNK];

static struct sockaddr_in server;
static double deadline;
static uint64_t latencies[MAX_LATENCY_US + 1];

__attribute__((format(printf, 1, 2), noreturn)) void
fail(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

double
now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void
start_clock(void)
{
	started = now();
	end = started + options.seconds;
	deadline = end + options.warm + PATIENCE_S;
}

bool
is_over(uint64_t done, double at)
{
	return options.count > 0 ? done >= (uint64_t)options.count : at >= end;
}

void
record_latency(double seconds)
{
	double us = seconds * 1e6;
	latencies[us >= MAX_LATENCY_US ? MAX_LATENCY_US : us < 0 ? 0 : (int)us]++;
}

static int
percentile_us(double share)
{
	uint64_t total = 0, seen = 0;

	for (int i = 0; i <= MAX_LATENCY_US; i++)
		total += latencies[i];
	for (int i = 0; i <= MAX_LATENCY_US; i++) {
		seen += latencies[i];
		if ((double)seen >= share * (double)total)
			return i;
	}
	return MAX_LATENCY_US;
}

void
report(const char *unit, uint64_t count, double elapsed, const char *more, uint64_t value)
{
	printf("count=%llu seconds=%.6f %s_per_s=%.1f p50_us=%d p99_us=%d %s=%llu\n",
	       (unsigned long long)count, elapsed, unit, (double)count / elapsed,
	       percentile_us(0.50), percentile_us(0.99), more, (unsigned long long)value);
}

void
watch(struct connection *connection, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};
	int change = connection->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (events == connection->watched)
		return;
	connection->watched = events;
	if (epoll_ctl(epoll, change, connection->fd, &event) < 0)
		fail("epoll_ctl: %s", strerror(errno));
}

int
wait_events(struct epoll_event *events, double timeout_s)
{
	struct timespec timeout = {.tv_sec = (time_t)timeout_s};
	timeout.tv_nsec = (long)((timeout_s - (double)timeout.tv_sec) * 1e9);
	int n = epoll_pwait2(epoll, events, EVENTS_A_TURN, &timeout, NULL);

	if (n < 0 && errno != EINTR)
		fail("epoll_wait: %s", strerror(errno));
	if (now() > deadline)
		fail("the server does not answer");
	return n < 0 ? 0 : n;
}

int
dial(int type, bool wait)
{
	static uint32_t source;
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(0x7f000002U + source++ % SOURCES)};
	int one = 1;
	int fd = socket(AF_INET, type | (wait ? 0 : SOCK_NONBLOCK) | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket: %s", strerror(errno));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (receive_buffer > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
	if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0)
		fail("bind: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
		fail("connect: %s", strerror(errno));
	return fd;
}

struct connection *
open_connections(int type)
{
	struct connection *all = calloc((size_t)options.connections, sizeof *all);

	if (all == NULL)
		fail("out of memory");
	for (long i = 0; i < options.connections; i++) {
		all[i].fd = dial(type, true);
		watch(&all[i], EPOLLIN);
	}
	return all;
}

bool
is_of_pattern(const char *bytes, size_t length, uint64_t offset)
{
	const char *expected = pattern + offset % PATTERN;
	size_t ends = length < 16 ? length : 16;

	/* Both ends of a piece are right only when all between is in place. */
	return memcmp(bytes, expected, ends) == 0 &&
	       memcmp(bytes + length - ends, expected + length - ends, ends) == 0;
}

bool
set_option(const char *argument)
{
	static const struct {
		const char *name;
		long *value;
		long least, most;
	} numbers[] = {
		{"connections=", &options.connections, 1, 60000},
		{"bytes=", &options.bytes, 1, MAX_MESSAGE},
		{"count=", &options.count, 0, 1000000000},
		{"window=", &options.window, 1, 1024},
		{"rate=", &options.rate, 1, 10000000},
		{"stalled=", &options.stalled, 0, 60000},
	};

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		size_t length = strlen(numbers[i].name);
		if (strncmp(argument, numbers[i].name, length) != 0)
			continue;
		*numbers[i].value = atol(argument + length);
		return *numbers[i].value >= numbers[i].least &&
		       *numbers[i].value <= numbers[i].most;
	}
	if (strncmp(argument, "seconds=", 8) == 0) {
		options.seconds = atof(argument + 8);
		return options.seconds > 0 && options.seconds <= 60;
	}
	if (strncmp(argument, "warm=", 5) == 0) {
		options.warm = atof(argument + 5);
		return options.warm >= 0 && options.warm <= 60;
	}
	if (strncmp(argument, "host=", 5) == 0) {
		options.host = argument + 5;
		return true;
	}
	return false;
}

void
prepare(void)
{
	struct rlimit limit;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* Bytes without a short period: the low bits of a multiplicative generator. */
	for (uint32_t i = 0, x = 1; i < PATTERN; i++, x = x * 1664525U + 1013904223U)
		pattern[i] = (char)(x >> 24);
	for (size_t i = PATTERN; i < sizeof pattern; i++)
		pattern[i] = pattern[i - PATTERN];
	server = (struct sockaddr_in){.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)options.port)};
	if (inet_pton(AF_INET, options.host, &server.sin_addr) != 1)
		fail("%s: not an IPv4 address", options.host);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		fail("epoll_create1: %s", strerror(errno));
}
