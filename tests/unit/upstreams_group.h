/* upstreams_group.h - a group of upstreams as tests of them need it. */
#ifndef TWINED_TESTS_UPSTREAMS_GROUP_H
#define TWINED_TESTS_UPSTREAMS_GROUP_H

#include "protocols/proxy_settings.h"
#include "protocols/upstreams.h"

/*
 * What a test has to itself: settings to change before it makes the group, in a house of its own.
 */
extern struct proxy_settings settings;
extern struct upstreams *group;

int group_begin(void **state);
int group_end(void **state);
#define group_test(name) cmocka_unit_test_setup_teardown(name, group_begin, group_end)

/*
 * Adds an upstream to the settings: "tcp://10.0.0.1:1". The last figure of its text is what it is
 * called here.
 */
void add(const char *text, int weight, bool backup);

/* Makes the group, of streams or of datagrams; and starts it. */
void make(bool datagrams);
void start(bool datagrams);

/* A client's address; valid until the next call. */
const union peer_address *client(uint32_t number);

/*
 * Picks for a client of that number: which one, 0 when there is none, 9 while some are unresolved.
 */
int pick_for(struct choice *choice, uint32_t number);

/* One connection that is served and ends; one attempt that is refused. Returns which one it was. */
int serve(void);
int refuse(int error);

/* Refuses whatever this one is given, until it is down; the log is emptied. */
void take_down(int which);

/*
 * A line an upstream: "tcp://10.0.0.1:1 up backup OPEN CONNECTED REFUSED". Valid until the next
 * call.
 */
const char *report(void);

#endif
