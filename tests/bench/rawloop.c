/* The floor that twined is measured against: the same work as bare system calls on one thread. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, BACKLOG = 4096, ACCEPTS_A_TURN = 64, EVENTS_A_TURN = 64 };

struct connection {
	int fd;
	uint32_t watched;
	size_t unsent; /* of the bytes in pending, from offset on */
	size_t offset;
	char *pending; /* only while the socket refuses bytes */
};

/* What to do with a readable or writable connection; false: it has ended. */
typedef bool serve_fn(struct connection *connection, uint32_t events);

static int epoll;
static bool everywhere; /* at every address of the loopback, so that one loop can be many upstreams */
static char buffer[BUFFER];

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
watch(struct connection *connection, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};
	int change = connection->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (connection->watched == events)
		return;
	connection->watched = events;
	if (epoll_ctl(epoll, change, connection->fd, &event) < 0)
		die("epoll_ctl");
}

/* Sends what is pending; false: the connection is broken. */
static bool
flush(struct connection *connection)
{
	ssize_t n = send(connection->fd, connection->pending + connection->offset,
			 connection->unsent, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	connection->offset += (size_t)n;
	connection->unsent -= (size_t)n;
	if (connection->unsent == 0) {
		free(connection->pending);
		connection->pending = NULL;
		watch(connection, EPOLLIN);
	}
	return true;
}

static bool
serve_echo(struct connection *connection, uint32_t events)
{
	(void)events;
	if (connection->unsent > 0)
		return flush(connection);
	ssize_t n = recv(connection->fd, buffer, sizeof buffer, 0);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	ssize_t sent = send(connection->fd, buffer, (size_t)n, MSG_NOSIGNAL);
	if (sent == n)
		return true;
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		return false;
	if (sent < 0)
		sent = 0;
	connection->unsent = (size_t)(n - sent);
	connection->offset = 0;
	connection->pending = malloc(connection->unsent);
	if (connection->pending == NULL)
		return false;
	memcpy(connection->pending, buffer + sent, connection->unsent);
	watch(connection, EPOLLOUT);
	return true;
}

static bool
serve_discard(struct connection *connection, uint32_t events)
{
	(void)events;
	/* TCP throws the bytes away with this flag, and copies nothing. */
	ssize_t n = recv(connection->fd, NULL, 1 << 20, MSG_TRUNC);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool
serve_source(struct connection *connection, uint32_t events)
{
	if (events & (EPOLLERR | EPOLLHUP))
		return false;
	if (connection->watched != EPOLLOUT) {
		watch(connection, EPOLLOUT);
		return true;
	}
	ssize_t n = send(connection->fd, buffer, sizeof buffer, MSG_NOSIGNAL);
	return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static int
bound_socket(int type, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				      .sin_port = htons((uint16_t)port)};
	int one = 1, loopback = 1;
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (everywhere) {
		address.sin_addr.s_addr = htonl(INADDR_ANY);
		if (setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &loopback, sizeof loopback) < 0)
			die("SO_BINDTOIFINDEX");
	}
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
		die("bind");
	return fd;
}

static void
accept_some(int listening, bool writes_first)
{
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		struct connection *connection = calloc(1, sizeof *connection);
		if (connection == NULL)
			die("calloc");
		connection->fd = fd;
		watch(connection, writes_first ? EPOLLOUT : EPOLLIN);
	}
}

static void
run_streams(int port, serve_fn *serve)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct connection listening = {.fd = bound_socket(SOCK_STREAM, port)};

	if (listen(listening.fd, BACKLOG) < 0)
		die("listen");
	epoll = epoll_create1(EPOLL_CLOEXEC);
	watch(&listening, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS_A_TURN, -1);
		for (int i = 0; i < n; i++) {
			struct connection *connection = events[i].data.ptr;
			if (connection == &listening) {
				accept_some(listening.fd, serve == serve_source);
			} else if (!serve(connection, events[i].events)) {
				close(connection->fd);
				free(connection->pending);
				free(connection);
			}
		}
	}
}

static void
run_datagrams(int port)
{
	struct epoll_event events[1];
	struct connection bound = {.fd = bound_socket(SOCK_DGRAM, port)};

	epoll = epoll_create1(EPOLL_CLOEXEC);
	watch(&bound, EPOLLIN);
	for (;;) {
		if (epoll_wait(epoll, events, 1, -1) < 1)
			continue;
		/* A bounded turn, as a server with other work to do would have it. */
		for (int i = 0; i < 64; i++) {
			struct sockaddr_storage peer;
			socklen_t length = sizeof peer;
			ssize_t n = recvfrom(bound.fd, buffer, sizeof buffer, 0,
					     (struct sockaddr *)&peer, &length);
			if (n < 0)
				break;
			sendto(bound.fd, buffer, (size_t)n, 0, (struct sockaddr *)&peer, length);
		}
	}
}

int
main(int argc, char **argv)
{
	struct rlimit limit;

	everywhere = argc == 4 && strcmp(argv[3], "everywhere") == 0;
	if (argc != (everywhere ? 4 : 3)) {
		fprintf(stderr, "usage: rawloop echo|discard|source|udp PORT [everywhere]\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	int port = atoi(argv[2]);
	if (strcmp(argv[1], "udp") == 0)
		run_datagrams(port);
	else if (strcmp(argv[1], "echo") == 0)
		run_streams(port, serve_echo);
	else if (strcmp(argv[1], "discard") == 0)
		run_streams(port, serve_discard);
	else if (strcmp(argv[1], "source") == 0)
		run_streams(port, serve_source);
	fprintf(stderr, "rawloop: unknown work \"%s\"\n", argv[1]);
	return 2;
}
