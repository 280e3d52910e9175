/* turns.h - a reactor that a test turns by hand, and time that it lets pass. */
#ifndef TWINED_TESTS_TURNS_H
#define TWINED_TESTS_TURNS_H

#include <stddef.h>
#include <stdint.h>

#include "net/deadline.h"

/* The test makes and frees it. */
extern struct reactor *reactor;

/* One turn of the reactor: what is ready by now is done. */
void turn(void);

/* Turns until a condition holds; 10 s are more than any of them takes. */
#define TURN_UNTIL(condition)                                       \
	do {                                                        \
		uint64_t until_ms = real_ms() + 10000;              \
		while (!(condition)) {                              \
			assert_true(real_ms() < until_ms);          \
			turn();                                     \
		}                                                   \
	} while (0)

/* Milliseconds of a clock that knows nothing of the following. */
uint64_t real_ms(void);

/* From now on no turn takes more than 2 ms of the program's clock, however busy the machine is. */
void hold_time(void);

/* Time passes, without a turn: the monotonic clocks of the whole program go on by so much. */
void pass_ms(uint64_t ms);

/* How many descriptors there are: for what must close all of its own. */
size_t descriptor_count(void);

#endif
