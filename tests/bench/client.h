/* client.h - what all loads have in common: connections, the clock, latencies, the line that is printed. */
#ifndef TWINED_BENCH_CLIENT_H
#define TWINED_BENCH_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

enum {
	CHUNK = 256 * 1024,
	MAX_MESSAGE = 8192,
	EVENTS_A_TURN = 256,
	PATTERN = 65521, /* a prime: a lost or doubled piece shows wherever it is cut */
};

struct connection {
	int fd;
	bool sent;  /* connect, idle: its message is under way */
	bool ended; /* bulk, sink: nothing more is written */
	uint32_t watched;
	uint64_t written; /* bulk, sink, paced: bytes since the start */
	uint64_t got;
	double since;
	char message[64]; /* the part of a message that differs from one to the next */
};

struct options {
	long connections, bytes, count, window, port, rate;
	double seconds;
	const char *host;
};

extern struct options options;
extern int epoll;
extern double started, end; /* the time of start_clock, and when no more is to be sent */
extern int receive_buffer;  /* 0: the kernel's choice, which grows */
extern char pattern[PATTERN + CHUNK];
extern char buffer[CHUNK];

__attribute__((format(printf, 1, 2), noreturn)) void fail(const char *format, ...);

/* Seconds of the monotonic clock. */
double now(void);

void start_clock(void);

/* True once the time, or the count where there is one, is used up. */
bool is_over(uint64_t done, double at);

void record_latency(double seconds);

/* Prints the line that bench.py reads. */
void report(const char *unit, uint64_t count, double elapsed, const char *more, uint64_t value);

/* Waits for these events of a connection, from now on. */
void watch(struct connection *connection, uint32_t events);

/* As epoll_wait(2); fails when the server has been silent for too long. */
int wait_events(struct epoll_event *events, double timeout_s);

/* A socket on its way to the server; connected at once when `wait`. */
int dial(int type, bool wait);

/* As many as were asked for, connected and watched for input. */
struct connection *open_connections(int type);

/* True when a piece of a stream is what stands there in the pattern, as far as its ends say. */
bool is_of_pattern(const char *bytes, size_t length, uint64_t offset);

/* Takes the options; false when one is wrong. Then all is set up for a load. */
bool set_option(const char *argument);
void prepare(void);

/* The loads. */
void load_bulk(bool is_echo);
void load_source(void);
void load_paced(void);
void load_udp(void);

#endif
