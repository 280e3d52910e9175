/* A client that loads an echo, discard or chargen service, and prints what it saw on one line. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CHUNK = 256 * 1024,
	MAX_MESSAGE = 8192,
	MAX_LATENCY_US = 200000,
	EVENTS_A_TURN = 256,
	SOURCES = 32, /* client addresses 127.0.0.2 and up, so that ports do not run out */
	OPENING_AT_ONCE = 128,
	PATIENCE_S = 10, /* beyond the time asked for; then the server is broken */
	STRAGGLER_MS = 300,
	SOURCE_BUFFER = 512 * 1024,
	PATTERN = 65521, /* a prime: a lost or doubled piece shows wherever it is cut */
};

struct connection {
	int fd;
	bool sent;  /* connect, idle: its message is under way */
	bool ended; /* bulk, sink: nothing more is written */
	uint32_t watched;
	uint64_t written; /* bulk, sink: bytes since the start */
	uint64_t got;
	double since;
	char message[64]; /* the part of a message that differs from one to the next */
};

static struct {
	long connections, bytes, count, window, port;
	double seconds;
	const char *host;
} options = {.connections = 32, .bytes = 64, .window = 32, .seconds = 1, .host = "127.0.0.1"};

static struct sockaddr_in server;
static int epoll;
static double started, end, deadline;
static int receive_buffer; /* 0: the kernel's choice, which grows */
static uint64_t latencies[MAX_LATENCY_US + 1];
static char pattern[PATTERN + CHUNK];
static char buffer[CHUNK];

__attribute__((format(printf, 1, 2), noreturn)) static void
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

static double
now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
start_clock(void)
{
	started = now();
	end = started + options.seconds;
	deadline = end + PATIENCE_S;
}

/* True once the time, or the count where there is one, is used up. */
static bool
is_over(uint64_t done, double at)
{
	return options.count > 0 ? done >= (uint64_t)options.count : at >= end;
}

static void
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

static void
report(const char *unit, uint64_t count, double elapsed, const char *more, uint64_t value)
{
	printf("count=%llu seconds=%.6f %s_per_s=%.1f p50_us=%d p99_us=%d %s=%llu\n",
	       (unsigned long long)count, elapsed, unit, (double)count / elapsed,
	       percentile_us(0.50), percentile_us(0.99), more, (unsigned long long)value);
}

static void
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

static int
wait_events(struct epoll_event *events, int timeout_ms)
{
	int n = epoll_wait(epoll, events, EVENTS_A_TURN, timeout_ms);

	if (n < 0 && errno != EINTR)
		fail("epoll_wait: %s", strerror(errno));
	if (now() > deadline)
		fail("the server does not answer");
	return n < 0 ? 0 : n;
}

/* A socket on its way to the server; connected at once when `wait`. */
static int
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

static struct connection *
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

static void
send_message(struct connection *connection, uint64_t number)
{
	size_t differing = sizeof connection->message;

	if ((size_t)options.bytes < differing)
		differing = (size_t)options.bytes;
	memcpy(connection->message, pattern + number % PATTERN, differing);
	memcpy(buffer, connection->message, differing);
	connection->got = 0;
	connection->since = now();
	if (send(connection->fd, buffer, (size_t)options.bytes, MSG_NOSIGNAL) != options.bytes)
		fail("send: %s", strerror(errno));
}

/* True when the whole message is back. */
static bool
receive_message(struct connection *connection)
{
	static char reply[MAX_MESSAGE];
	size_t differing = sizeof connection->message;
	ssize_t n =
		recv(connection->fd, reply, (size_t)options.bytes - connection->got, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		fail("recv: %s", n == 0 ? "end of stream" : strerror(errno));
	for (size_t i = connection->got; i < differing && i < connection->got + (size_t)n; i++)
		if (reply[i - connection->got] != connection->message[i])
			fail("the echo differs");
	connection->got += (uint64_t)n;
	return connection->got == (uint64_t)options.bytes;
}

static void
load_echo(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = open_connections(SOCK_STREAM);
	uint64_t sent = 0, done = 0;

	start_clock();
	for (long i = 0; i < options.connections; i++)
		send_message(&all[i], sent++);
	while (done < sent) {
		int n = wait_events(events, 1000);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!receive_message(connection))
				continue;
			double at = now();
			record_latency(at - connection->since);
			done++;
			if (!is_over(sent, at))
				send_message(connection, sent++);
		}
	}
	report("messages", done, now() - started, "bytes", done * (uint64_t)options.bytes);
}

static void
redial(struct connection *connection)
{
	*connection = (struct connection){.since = now()};
	connection->fd = dial(SOCK_STREAM, false);
	watch(connection, EPOLLOUT);
}

static void
load_connect(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = calloc((size_t)options.connections, sizeof *all);
	uint64_t opened = 0, done = 0;
	double last = 0;

	if (all == NULL)
		fail("out of memory");
	start_clock();
	for (long i = 0; i < options.connections; i++, opened++)
		redial(&all[i]);
	/* A server that leaves a connection lying is not waited for: the number is reported. */
	while (done < opened && (now() < end + STRAGGLER_MS / 1e3 || options.count > 0)) {
		int n = wait_events(events, STRAGGLER_MS);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			double since = connection->since;
			if (!connection->sent) {
				send_message(connection, done);
				connection->since = since;
				connection->sent = true;
				watch(connection, EPOLLIN);
			} else if (receive_message(connection)) {
				last = now();
				record_latency(last - since);
				close(connection->fd);
				done++;
				if (!is_over(opened, last)) {
					redial(connection);
					opened++;
				}
			}
		}
	}
	if (done == 0)
		fail("no connection was served");
	report("connections", done, last - started, "left_lying", opened - done);
}

/*
 * Writes what fits, with at most so many chunks of an echo under way: more would measure the
 * caches. At the end of the time an echo is read to its last byte without a half-close, since some
 * of the servers lose what they owe when they see one.
 */
static void
write_bulk(struct connection *connection, bool is_echo)
{
	if (is_over(connection->written / 1000000, now())) {
		if (!is_echo)
			shutdown(connection->fd, SHUT_WR);
		connection->ended = true;
		return;
	}
	ssize_t n = send(connection->fd, pattern + connection->written % PATTERN, CHUNK,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		fail("send: %s", strerror(errno));
	connection->written += n > 0 ? (uint64_t)n : 0;
}

/* Reads what is there; false at the end of the stream. */
static bool
read_bulk(struct connection *connection, bool is_echo)
{
	ssize_t n = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
	const char *expected = pattern + connection->got % PATTERN;

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n < 0)
		fail("recv: %s", strerror(errno));
	/* Both ends of a piece are right only when all between is in place. */
	size_t ends = n < 16 ? (size_t)n : 16;
	if (is_echo && (memcmp(buffer, expected, ends) != 0 ||
			memcmp(buffer + (size_t)n - ends, expected + (size_t)n - ends, ends) != 0))
		fail("the echo differs");
	connection->got += (uint64_t)n;
	return n > 0;
}

/* One turn of a connection; true when it is done. */
static bool
serve_bulk(struct connection *connection, uint32_t events, bool is_echo)
{
	bool open = true;

	if (events & EPOLLOUT)
		write_bulk(connection, is_echo);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		open = read_bulk(connection, is_echo);
	uint64_t under_way = connection->written - connection->got;
	if (connection->ended && (is_echo ? under_way == 0 : !open))
		return true;
	if (!open)
		fail("the server closed after %llu of %llu bytes",
		     (unsigned long long)connection->got, (unsigned long long)connection->written);
	bool may_write = !is_echo || under_way < (uint64_t)options.window * CHUNK;
	watch(connection, EPOLLIN | (may_write && !connection->ended ? EPOLLOUT : 0U));
	return false;
}

static void
load_bulk(bool is_echo)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = open_connections(SOCK_STREAM);
	long open = options.connections;
	uint64_t bytes = 0;

	for (long i = 0; i < options.connections; i++)
		watch(&all[i], EPOLLIN | EPOLLOUT);
	start_clock();
	while (open > 0) {
		int n = wait_events(events, 1000);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!serve_bulk(connection, events[i].events, is_echo))
				continue;
			bytes += connection->written;
			close(connection->fd);
			open--;
		}
	}
	report("bytes", bytes, now() - started, "connections", (uint64_t)options.connections);
}

static void
load_source(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	uint64_t bytes = 0;

	start_clock();
	receive_buffer = SOURCE_BUFFER;
	struct connection *all = open_connections(SOCK_STREAM);
	while (!is_over(bytes / 1000000, now())) {
		int n = wait_events(events, 100);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			uint64_t before = connection->got;
			if (!read_bulk(connection, false))
				fail("the source has ended");
			bytes += connection->got - before;
		}
	}
	double elapsed = now() - started;
	for (long i = 0; i < options.connections; i++)
		close(all[i].fd);
	report("bytes", bytes, elapsed, "connections", (uint64_t)options.connections);
}

static void
send_datagram(struct connection *connection, uint64_t *sent)
{
	double at = now();

	memcpy(buffer, &at, sizeof at);
	memcpy(buffer + sizeof at, sent, sizeof *sent);
	if (send(connection->fd, buffer, (size_t)options.bytes, MSG_DONTWAIT) == options.bytes)
		connection->written++;
	(*sent)++;
	connection->since = at;
}

static bool
receive_datagram(struct connection *connection, uint64_t sent)
{
	static char reply[MAX_MESSAGE];
	double at;
	uint64_t number;
	ssize_t n = recv(connection->fd, reply, sizeof reply, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0)
		fail("recv: %s", strerror(errno));
	memcpy(&at, reply, sizeof at);
	memcpy(&number, reply + sizeof at, sizeof number);
	if (n != options.bytes || number >= sent)
		fail("the echo differs");
	record_latency(now() - at);
	connection->got++;
	return true;
}

static void
load_udp(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = open_connections(SOCK_DGRAM);
	uint64_t sent = 0, done = 0, lost = 0;

	if (options.bytes < 16)
		fail("bytes=16 at least");
	start_clock();
	for (double at = started; !is_over(done, at); at = now()) {
		/* A socket that has heard nothing for a while has lost its window: begin again. */
		for (long i = 0; i < options.connections; i++)
			if (all[i].written == all[i].got || at - all[i].since > 0.05) {
				lost += all[i].written - all[i].got;
				all[i].written = all[i].got;
				for (long w = 0; w < options.window; w++)
					send_datagram(&all[i], &sent);
			}
		int n = wait_events(events, 10);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			for (long w = 0; w < options.window && receive_datagram(connection, sent);
			     w++) {
				done++;
				send_datagram(connection, &sent);
			}
		}
	}
	report("datagrams", done, now() - started, "lost", lost);
}

static void
load_idle(void)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection *all = calloc((size_t)options.connections, sizeof *all);
	long opened = 0, done = 0;
	char byte;

	if (all == NULL)
		fail("out of memory");
	options.bytes = 1;
	start_clock();
	while (done < options.connections) {
		while (opened < options.connections && opened < done + OPENING_AT_ONCE)
			redial(&all[opened++]);
		int n = wait_events(events, 1000);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			if (!connection->sent) {
				send_message(connection, (uint64_t)opened);
				connection->sent = true;
				watch(connection, EPOLLIN);
			} else if (receive_message(connection)) {
				epoll_ctl(epoll, EPOLL_CTL_DEL, connection->fd, NULL);
				done++;
			}
		}
	}
	report("connections", (uint64_t)done, now() - started, "ready", 1);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static bool
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
	if (strncmp(argument, "host=", 5) == 0) {
		options.host = argument + 5;
		return true;
	}
	return false;
}

static void
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

int
main(int argc, char **argv)
{
	bool valid = argc >= 3 && (options.port = atol(argv[2])) > 0 && options.port < 65536;

	for (int i = 3; i < argc && valid; i++)
		valid = set_option(argv[i]);
	if (!valid) {
		fprintf(stderr,
			"usage: load echo|connect|bulk|sink|source|udp|idle PORT [connections=N] "
			"[bytes=N] [seconds=S] [count=N] [window=N] [host=A]\n");
		return 2;
	}
	prepare();
	if (strcmp(argv[1], "echo") == 0)
		load_echo();
	else if (strcmp(argv[1], "connect") == 0)
		load_connect();
	else if (strcmp(argv[1], "bulk") == 0 || strcmp(argv[1], "sink") == 0)
		load_bulk(argv[1][0] == 'b');
	else if (strcmp(argv[1], "source") == 0)
		load_source();
	else if (strcmp(argv[1], "udp") == 0)
		load_udp();
	else if (strcmp(argv[1], "idle") == 0)
		load_idle();
	else
		fail("unknown mode \"%s\"", argv[1]);
	return 0;
}
