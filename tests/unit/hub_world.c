/* hub_world.c - a hub of the least members there can be, and what a test does to them. */
#include "hub_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { MEMBERS_MOST = 2000 };

struct hub *hub;
int64_t history_age_ms;
static struct factory *factory;
static struct transport *members[MEMBERS_MOST];
static unsigned members_count;
static struct hub_policy *join_policy;
static struct hub_history join_history;

struct hub_policy plain = { .receives = true, .drop_notice = notice_write };
struct hub_policy with_loopback = { .receives = true,
				    .loopback = true,
				    .drop_notice = notice_write };
struct hub_policy silent = { .receives = false };
struct hub_policy impatient = { .receives = true, .on_slow = ON_SLOW_CLOSE };
struct hub_policy with_crlf = { .receives = true, .crlf = true, .drop_notice = notice_write };

size_t
notice_write(const struct hub_policy *policy, uint64_t n, char *to, size_t size)
{
	(void)policy;
	return (size_t)snprintf(to, size, "# %llu\n", (unsigned long long)n);
}

static void
member_made(struct transport *transport)
{
	hub_join(hub, transport_state(transport), transport, join_policy, &join_history);
}

static void
member_drained(struct transport *transport)
{
	hub_member_drained(transport_state(transport));
}

static void
member_lost(struct transport *transport, enum reason reason)
{
	(void)reason;
	hub_leave(transport_state(transport));
}

static const struct protocol member_protocol = {
	.name = "member",
	.state_size = sizeof(struct hub_member),
	.connection_made = member_made,
	.drained = member_drained,
	.connection_lost = member_lost,
};

int
hub_world_begin(void **state)
{
	(void)state;
	hub = hub_new(RING);
	history_age_ms = 0;
	factory = fake_factory(&member_protocol, NULL);
	return 0;
}

int
hub_world_end(void **state)
{
	(void)state;
	while (members_count > 0)
		leave(members[0], REASON_PEER_CLOSED);
	factory_unref(factory);
	hub_unref(hub);
	fake_turn();
	return 0;
}

struct transport *
join(struct hub_policy *policy, uint64_t history, size_t room)
{
	assert_true(members_count < MEMBERS_MOST);
	join_policy = policy;
	join_history = (struct hub_history){ .lines = history, .age_ms = history_age_ms };
	fake_set_first_room(room);
	members[members_count] = fake_open(factory);
	fake_set_first_room(SIZE_MAX);
	return members[members_count++];
}

void
leave(struct transport *transport, enum reason reason)
{
	unsigned place = 0;
	while (members[place] != transport)
		place++;
	members[place] = members[--members_count];
	fake_close(transport, reason);
}

void
publish_bytes(struct transport *sender, const char *prefix, const char *text, size_t length)
{
	const struct hub_text line = {
		.sender = sender != NULL ? transport_state(sender) : NULL,
		.prefix = prefix,
		.prefix_length = strlen(prefix),
		.text = text,
		.length = length,
	};
	assert_true(hub_publish(hub, &line));
}

void
publish(struct transport *sender, const char *text)
{
	publish_bytes(sender, "", text, strlen(text) - 1);
}

void
publish_hundreds(struct transport *sender, unsigned from, unsigned to)
{
	char text[101];
	for (unsigned i = from; i < to; i++) {
		snprintf(text, sizeof text, "%099u\n", i);
		publish(sender, text);
	}
}

void
assert_got_at(const struct transport *transport, const char *text, int at)
{
	size_t length;
	const uint8_t *sent = fake_sent(transport, &length);
	if (length != strlen(text) || (length > 0 && memcmp(sent, text, length) != 0))
		fail_msg("line %d: got \"%.*s\"", at, (int)length, (const char *)sent);
}

size_t
got(const struct transport *transport)
{
	size_t length;
	fake_sent(transport, &length);
	return length;
}

uint64_t
dropped(struct transport *transport)
{
	return ((struct hub_member *)transport_state(transport))->dropped;
}
