/* hub_world.h - a hub of the least members there can be, and what a test does to them. */
#ifndef TWINED_HUB_WORLD_H
#define TWINED_HUB_WORLD_H

#include <stdint.h>

#include "fake_transport.h"
#include "protocols/hub.h"

enum { RING = 4096, LINE_LONGEST = RING / 2 };

extern struct hub *hub;
extern struct hub_policy plain, with_loopback, silent, impatient, with_crlf;

/* How old the lines may be that who joins is to get. */
extern int64_t history_age_ms;

/* For cmocka: a hub without members, and its end, with that of the members it has by then. */
int hub_world_begin(void **state);
int hub_world_end(void **state);

/* A member whose socket takes so many bytes; it gets up to so many lines that were there before. */
struct transport *join(struct hub_policy *policy, uint64_t history, size_t room);
void leave(struct transport *transport, enum reason reason);

void publish_bytes(struct transport *sender, const char *prefix, const char *text, size_t length);

/* A text that ends in LF. */
void publish(struct transport *sender, const char *text);

/* Numbered lines of 100 bytes. */
void publish_hundreds(struct transport *sender, unsigned from, unsigned to);

/* The drop_notice of the policies: "# " and how many. */
size_t notice_write(const struct hub_policy *policy, uint64_t n, char *to, size_t size);

#define assert_got(transport, text) assert_got_at(transport, text, __LINE__)
void assert_got_at(const struct transport *transport, const char *text, int at);

/* How many bytes a member has got, and how many lines it has lost. */
size_t got(const struct transport *transport);
uint64_t dropped(struct transport *transport);

#endif
