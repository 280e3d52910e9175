/* way_world.h - what a client's way to an upstream can see: both of them, and time. */
#ifndef TWINED_TESTS_WAY_WORLD_H
#define TWINED_TESTS_WAY_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/reason.h"
#include "protocols/proxy_settings.h"

/*
 * Defines what proxy_way.c calls of transports, diallings, deadlines and upstreams, so that the
 * library's are not linked. Time passes by hand. What a way may not do fails the test.
 */

struct dialling;
struct deadline;
struct way;

enum {
	UPSTREAMS_MOST = 5000,
	/* How an upstream answers: 0, an errno, or this: it connects, but we are out of memory. */
	NO_TRANSPORT = -1,
	AT_ONCE = 1 << 20,	/* is added when that is known within the call */
};

struct transport {
	bool closed, held;
	unsigned aborts;
	enum reason reason;
	int64_t idle_timeout_ms;
};

struct upstream {
	bool tried, unresolved;
	int answer;
	unsigned dialled;
};

struct way_world {
	uint64_t now_ms;		/* 1000 at first */
	struct proxy_settings settings;
	struct transport client, reached;
	struct way *way;
	struct upstream upstreams[UPSTREAMS_MOST];
	size_t count;
	struct upstream *dialled;	/* the one picked last */
	unsigned open;			/* picked, and not given back */
	unsigned picks, arrivals;
	unsigned changes;		/* upstreams_changes */
	struct dialling *dialling;	/* that exists */
	struct deadline *deadline;	/* that is set */
	uint64_t deadline_ms;
};

extern struct way_world world;

/* A new world of so many upstreams that all answer the same. */
void world_begin(size_t count, int answer);

/* The client comes, and its way begins. */
void world_come(void);

/* The attempt that is under way ends. */
void world_answer(int answer);

/* Time passes up to the deadline; returns how much that was. */
uint64_t world_pass(void);

/* A whole pause passes, with all the looks within; returns how much time that was. */
uint64_t world_pause(void);

/* The client's connection_lost, after which nothing may be left. */
void world_go(void);

/* The client has been reset for that reason, and nothing goes on; then it goes. */
void assert_refused(enum reason reason);

/* It has an upstream, which so many picks have found, and is as it was; then it goes. */
void assert_arrived(unsigned picks);

#endif
