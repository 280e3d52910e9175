/* An experiment: how should several threads share one address? Accepts a second, CPU and spread. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * shared     one listening descriptor in every thread's epoll: all that libevent's events can do
 * exclusive  the same with EPOLLEXCLUSIVE, for reference
 * nested     EPOLLEXCLUSIVE in an epoll of its own, which the thread's epoll watches: how a
 *            libevent program could ask for it
 * reuseport  a listening socket a thread; not possible with a socket that systemd passes
 * handoff    thread 0 accepts; all threads get connections in turn, by a queue and an eventfd
 */
enum way { SHARED, EXCLUSIVE, NESTED, REUSEPORT, HANDOFF, NWAYS };
static const char *const way_names[] = {"shared", "exclusive", "nested", "reuseport", "handoff"};

/*
 * short    connect, echo one message, close; so many at once
 * burst    long-lived connections, all opened at once
 * trickle  long-lived connections, opened one after the other
 */
enum work { SHORT, BURST, TRICKLE, NWORKS };
static const char *const work_names[] = {"short", "burst", "trickle"};

enum { MAX_THREADS = 64, MAX_CONNECTIONS = 9000, CONCURRENT = 64, BACKLOG = 4096, MAX_ROUNDS = 31 };

struct tally {
	long connections; /* that this thread serves */
	long turns;
	long wasted; /* accept calls that found nothing, first of their turn */
};

struct shared_memory {
	struct tally threads[MAX_THREADS];
	volatile double elapsed; /* set by the client, last */
	long done;
	long lost;
};

struct thread {
	pthread_t id;
	int number;
	int epoll;
	int nested;
	int listening;
	int wake;
	pthread_mutex_t lock;
	int queue[MAX_CONNECTIONS];
	int queued;
	int ready[MAX_CONNECTIONS]; /* accepted this turn, to be handed over in one go */
	int nready;
};

struct result {
	double rate, cpu_us, spread_min, spread_max, wasted;
};

static struct shared_memory *memory;
static struct thread *threads;
static int nthreads;
static int batch;
static enum way way;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static double
now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int
listening_socket(struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int one = 1;
	socklen_t length = sizeof *address;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (way == REUSEPORT)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)address, sizeof *address) < 0)
		die("bind");
	if (listen(fd, BACKLOG) < 0)
		die("listen");
	if (getsockname(fd, (struct sockaddr *)address, &length) < 0)
		die("getsockname");
	return fd;
}

static void
watch(int epoll, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

static void
serve(struct thread *thread, int fd)
{
	memory->threads[thread->number].connections++;
	watch(thread->epoll, fd, EPOLLIN);
}

static void
hand_over(struct thread *thread)
{
	uint64_t one = 1;

	if (thread->nready == 0)
		return;
	pthread_mutex_lock(&thread->lock);
	int was = thread->queued;
	memcpy(thread->queue + was, thread->ready, (size_t)thread->nready * sizeof *thread->ready);
	thread->queued += thread->nready;
	pthread_mutex_unlock(&thread->lock);
	thread->nready = 0;
	if (was == 0 && write(thread->wake, &one, sizeof one) < 0)
		die("eventfd write");
}

static void
take_over(struct thread *thread)
{
	static _Thread_local int taken[MAX_CONNECTIONS];
	uint64_t count;

	if (read(thread->wake, &count, sizeof count) < 0)
		return;
	pthread_mutex_lock(&thread->lock);
	int n = thread->queued;
	memcpy(taken, thread->queue, (size_t)n * sizeof *taken);
	thread->queued = 0;
	pthread_mutex_unlock(&thread->lock);
	for (int i = 0; i < n; i++)
		serve(thread, taken[i]);
}

static void
accept_some(struct thread *thread)
{
	static int turn;

	for (int i = 0; i < batch; i++) {
		int fd = accept4(thread->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			memory->threads[thread->number].wasted += i == 0;
			break;
		}
		struct thread *to = way == HANDOFF ? &threads[turn++ % nthreads] : thread;
		if (to == thread)
			serve(thread, fd);
		else
			to->ready[to->nready++] = fd;
	}
	if (way == HANDOFF)
		for (int i = 0; i < nthreads; i++)
			hand_over(&threads[i]);
}

static void
echo(int fd)
{
	char bytes[4096];
	ssize_t n = recv(fd, bytes, sizeof bytes, 0);

	if (n <= 0 || send(fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
		close(fd);
}

static void *
run_thread(void *argument)
{
	struct thread *thread = argument;
	struct epoll_event events[64];

	for (;;) {
		int n = epoll_wait(thread->epoll, events, 64, -1);
		memory->threads[thread->number].turns++;
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			if (fd == thread->listening ||
			    (thread->nested >= 0 && fd == thread->nested))
				accept_some(thread);
			else if (fd == thread->wake)
				take_over(thread);
			else
				echo(fd);
		}
	}
	return NULL;
}

static void
prepare_thread(struct thread *thread, int listening)
{
	thread->epoll = epoll_create1(0);
	thread->wake = eventfd(0, EFD_NONBLOCK);
	thread->nested = -1;
	thread->listening = listening;
	pthread_mutex_init(&thread->lock, NULL);
	watch(thread->epoll, thread->wake, EPOLLIN);
	if (way == NESTED) {
		thread->nested = epoll_create1(0);
		watch(thread->nested, listening, EPOLLIN | EPOLLEXCLUSIVE);
		watch(thread->epoll, thread->nested, EPOLLIN);
	} else if (way != HANDOFF || thread->number == 0) {
		watch(thread->epoll, listening, EPOLLIN | (way == EXCLUSIVE ? EPOLLEXCLUSIVE : 0U));
	}
}

static void
run_server(struct sockaddr_in address, int listening, int started)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	threads = calloc((size_t)nthreads, sizeof *threads);
	if (threads == NULL)
		die("calloc");
	for (int i = 0; i < nthreads; i++) {
		threads[i].number = i;
		prepare_thread(&threads[i],
			       i > 0 && way == REUSEPORT ? listening_socket(&address) : listening);
	}
	for (int i = 1; i < nthreads; i++)
		if (pthread_create(&threads[i].id, NULL, run_thread, &threads[i]) != 0)
			die("pthread_create");
	if (write(started, "s", 1) != 1)
		die("write");
	run_thread(&threads[0]);
}

static int
dial(int epoll, const struct sockaddr_in *address)
{
	static unsigned int source;
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(0x7f000002U + source++ % 16)};

	if (fd < 0)
		die("client socket");
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0)
		die("client bind");
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
	    errno != EINPROGRESS)
		die("client connect");
	/* The message goes out as soon as the kernel has connected. */
	watch(epoll, fd, EPOLLOUT);
	return fd;
}

static void
run_client(const struct sockaddr_in *address, enum work work, long count, double seconds)
{
	int epoll = epoll_create1(0);
	struct epoll_event events[256];
	long opened = 0, wanted = work == SHORT ? CONCURRENT : work == BURST ? count : 1;
	double start = now(), end = start + seconds, limit = start + 20;

	while (opened < wanted) {
		dial(epoll, address);
		opened++;
	}
	while (memory->done + memory->lost < opened && now() < limit) {
		int n = epoll_wait(epoll, events, 256, 1000);
		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			char byte;
			if (events[i].events == EPOLLOUT) {
				struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
				if (send(fd, "x", 1, MSG_NOSIGNAL) == 1)
					epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
				continue;
			}
			if (recv(fd, &byte, 1, 0) == 1)
				memory->done++;
			else
				memory->lost++;
			if (work == SHORT)
				close(fd);
			else
				epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
			if ((work == SHORT && now() < end) || (work == TRICKLE && opened < count)) {
				dial(epoll, address);
				opened++;
			}
		}
	}
	memory->elapsed = now() - start;
}

static double
cpu_of(pid_t pid)
{
	clockid_t clock;
	struct timespec t = {0};

	if (clock_getcpuclockid(pid, &clock) == 0)
		clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct result
measure(enum work work, long count, double seconds)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct result result = {0};
	int started[2];
	char byte;

	memset(memory, 0, sizeof *memory);
	if (pipe(started) < 0)
		die("pipe");
	int listening = listening_socket(&address);
	pid_t server = fork();
	if (server == 0)
		run_server(address, listening, started[1]);
	close(listening);
	if (read(started[0], &byte, 1) != 1)
		die("server");
	double before = cpu_of(server);
	pid_t client = fork();
	if (client == 0) {
		run_client(&address, work, count, seconds);
		_exit(0);
	}
	/* Long-lived connections: what their end costs is left out. */
	siginfo_t info;
	do {
		usleep(500);
		info.si_pid = 0;
		waitid(P_PID, (id_t)client, &info, WEXITED | WNOWAIT | WNOHANG);
	} while (memory->elapsed <= 0 && info.si_pid == 0);
	double cpu = cpu_of(server) - before;
	waitpid(client, NULL, 0);
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	close(started[0]);
	close(started[1]);

	long total = 0, least = -1, most = 0, wasted = 0;
	for (int i = 0; i < nthreads; i++) {
		long n = memory->threads[i].connections;
		total += n;
		least = least < 0 || n < least ? n : least;
		most = n > most ? n : most;
		wasted += memory->threads[i].wasted;
	}
	if (memory->done == 0 || total == 0)
		die("nothing was served");
	if (memory->lost != 0)
		fprintf(stderr, "%ld connections lost\n", memory->lost);
	result.rate = (double)memory->done / memory->elapsed;
	result.cpu_us = cpu * 1e6 / (double)memory->done;
	result.spread_min = 100.0 * (double)least / (double)total;
	result.spread_max = 100.0 * (double)most / (double)total;
	result.wasted = (double)wasted / (double)total;
	return result;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double
median(const struct result *results, int n, size_t offset)
{
	double values[MAX_ROUNDS];

	for (int i = 0; i < n; i++)
		memcpy(&values[i], (const char *)&results[i] + offset, sizeof values[i]);
	qsort(values, (size_t)n, sizeof *values, by_value);
	return values[n / 2];
}

static void
compare(enum work work, const int *batches, int nbatches, int rounds, long count, double seconds)
{
	struct result results[NWAYS][8][MAX_ROUNDS];

	for (int round = 0; round < rounds; round++)
		for (int b = 0; b < nbatches; b++)
			for (way = 0; way < NWAYS; way++) {
				batch = batches[b];
				results[way][b][round] = measure(work, count, seconds);
			}
	for (int w = 0; w < NWAYS; w++)
		for (int b = 0; b < nbatches; b++) {
			const struct result *r = results[w][b];
			printf("%-8s %7d %-10s %5d %10.0f %8.1f %8.2f    %3.0f to %3.0f %%\n",
			       work_names[work], nthreads, way_names[w], batches[b],
			       median(r, rounds, offsetof(struct result, rate)),
			       median(r, rounds, offsetof(struct result, cpu_us)),
			       median(r, rounds, offsetof(struct result, wasted)),
			       median(r, rounds, offsetof(struct result, spread_min)),
			       median(r, rounds, offsetof(struct result, spread_max)));
		}
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	static const int batches[] = {1, 8, 64};
	static const int thread_counts[] = {1, 2, 4};
	int rounds = argc > 1 ? atoi(argv[1]) : 3;
	double seconds = argc > 2 ? atof(argv[2]) : 0.3;
	struct rlimit limit;

	if (rounds < 1 || rounds > MAX_ROUNDS || !(seconds > 0 && seconds <= 5)) {
		fprintf(stderr, "usage: accept [ROUNDS [SECONDS]]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	memory = mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED)
		die("mmap");
	printf("work     threads way        batch accepts/s  us/conn   wasted    thread share\n");
	for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
		nthreads = thread_counts[t];
		compare(SHORT, batches, 3, rounds, 0, seconds);
		compare(BURST, batches, 3, rounds, 4000, 0);
		compare(TRICKLE, batches, 3, rounds, 1000, 0);
	}
	return 0;
}
