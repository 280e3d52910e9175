/* health.h - whether an upstream serves: what failures, checks and time make of it. */
#ifndef TWINED_PROTOCOLS_HEALTH_H
#define TWINED_PROTOCOLS_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/*
 *            max_fails failures within fail_timeout,
 *            or checks that failed
 *     UP ─────────────────────────────────────────▶ DOWN ◀──────────┐
 *     ▲ ▲                                           │  │ fail_timeout,
 *     │ └── a check succeeded, or without checks ───┘  │ without checks
 *     │     a connection did                           ▼            │ a failure
 *     └──── a connection did ────────────────────── TRIAL ──────────┘
 *
 * One on trial is given one connection at a time. One that has come up again is given a share that
 * grows to the whole during fail_timeout.
 */
enum health_state { HEALTH_UP, HEALTH_DOWN, HEALTH_TRIAL };

struct health_rules {
	uint32_t max_fails;		/* 0: failures of connections make no difference */
	uint64_t fail_timeout_ms;	/* at least 1 */
	bool checked;			/* what is down comes back by a check only */
	/* datagrams: no failure for fail_timeout since one was sent ends a trial well */
	bool silent;
};

enum { HEALTH_SLOTS = 8 };

/*
 * To begin with, up: all zero, but for an epoch of 1. Times are of any clock in ms that starts
 * above 0.
 */
struct health {
	enum health_state state;
	uint32_t epoch;			/* another one for each change of state, never 0 */
	bool trying;			/* on trial: the one connection is there */
	bool was_checked;		/* at least once */
	uint32_t failed_checks;		/* in a row */
	uint64_t until_ms;		/* down, on trial: when that ends by itself */
	uint64_t up_ms;			/* when it came up again; 0: its share is the whole */
	/*
	 * Failures by the part of fail_timeout, an eighth, in which they came: slot is the last
	 * one.
	 */
	uint64_t slot;
	uint32_t failures[HEALTH_SLOTS];
};

enum health_news { HEALTH_NO_NEWS, HEALTH_WENT_DOWN, HEALTH_CAME_UP };

/* Lets the time pass. */
enum health_news health_pass_time(struct health *health, const struct health_rules *rules,
				  uint64_t now_ms);

/* When it will next have a share other than now without anything happening; UINT64_MAX: never. */
uint64_t health_next_ms(const struct health *health, const struct health_rules *rules,
			uint64_t now_ms);

/* Its part of whole (its share by weight); 0: it is to be given no connection now. */
uint32_t health_share(const struct health *health, const struct health_rules *rules, uint32_t whole,
		      uint64_t now_ms);

/* It is given a connection. Returns whether that is the one of a trial. */
bool health_begin(struct health *health);

/*
 * Something has been sent to it on a connection of that epoch; until then its silence shows
 * nothing.
 */
void health_sent(struct health *health, const struct health_rules *rules, uint32_t epoch,
		 uint64_t now_ms);

/* The connection of a trial of that epoch has ended and has shown nothing. */
void health_forget_trial(struct health *health, uint32_t epoch);

/* A connection has been answered. */
enum health_news health_served(struct health *health, const struct health_rules *rules,
			       uint64_t now_ms);

/*
 * A connection, begun in that epoch, has failed; 0: in this one. *count: how many failures made it
 * go down.
 */
enum health_news health_failed(struct health *health, const struct health_rules *rules,
			       uint32_t epoch, uint64_t now_ms, uint32_t *count);

/* A check has succeeded or failed. *count as before. */
enum health_news health_checked(struct health *health, const struct health_rules *rules,
				bool succeeded, uint64_t now_ms, uint32_t *count);

/* It leads elsewhere now, or is checked no more: what was found is old, and it may be tried. */
void health_renew(struct health *health, uint64_t now_ms);

#endif
