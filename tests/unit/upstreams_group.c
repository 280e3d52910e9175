/* upstreams_group.c - a group of upstreams as tests of them need it. */
#include "upstreams_group.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_house.h"

struct proxy_settings settings;
struct upstreams *group;

int
group_begin(void **state)
{
	(void)state;
	house_begin();
	settings = (struct proxy_settings){
		.connect_timeout_ms = 5000,
		.max_fails = 3,
		.fail_timeout_ms = 10000,
		.check_interval_ms = 5000,
		.resolve_interval_ms = 30000,
	};
	return 0;
}

int
group_end(void **state)
{
	(void)state;
	upstreams_free(group);
	group = NULL;
	for (size_t i = 0; i < settings.upstream.count; i++)
		address_clear(&settings.upstream.items[i].address);
	free(settings.upstream.items);
	house_end();
	return 0;
}

void
add(const char *text, int weight, bool backup)
{
	struct upstream_list *list = &settings.upstream;

	list->items = reallocarray(list->items, list->count + 1, sizeof list->items[0]);
	list->items[list->count] = (struct upstream_address){ .weight = weight, .backup = backup };
	assert_null(address_parse(text, &list->items[list->count++].address));
}

void
make(bool datagrams)
{
	group = upstreams_new(&settings, "web", datagrams);
	assert_non_null(group);
}

void
start(bool datagrams)
{
	make(datagrams);
	upstreams_start(group, a_factory());
}

const union peer_address *
client(uint32_t number)
{
	static union peer_address peer;

	peer.in = (struct sockaddr_in){ .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(0x0a000000 + number) };
	return &peer;
}

int
pick_for(struct choice *choice, uint32_t number)
{
	switch (upstreams_pick(group, client(number), choice)) {
	case PICK_OK:
		return upstream_text(choice->upstream)[strlen(upstream_text(choice->upstream)) - 1]
		       - '0';
	case PICK_NONE:
		return 0;
	default:
		return 9;
	}
}

int
serve(void)
{
	struct choice choice = { 0 };
	int picked = pick_for(&choice, 1);

	if (choice.upstream != NULL)
		choice_connected(&choice);
	choice_end(&choice);
	return picked;
}

int
refuse(int error)
{
	struct choice choice = { 0 };
	int picked = pick_for(&choice, 1);

	if (choice.upstream != NULL)
		choice_refused(&choice, error);
	choice_end(&choice);
	return picked;
}

void
take_down(int which)
{
	for (int failed = 0; failed < settings.max_fails;) {
		struct choice choice = { 0 };

		if (pick_for(&choice, (uint32_t)rand()) == which) {
			choice_refused(&choice, ECONNREFUSED);
			failed++;
		}
		choice_end(&choice);
	}
	log_text[0] = '\0';
}

static void
report_one(void *arg, const struct upstream_report *one)
{
	char *text = arg;

	sprintf(text + strlen(text), "%s %s%s %d %d %d\n", one->text, one->state,
		one->backup ? " backup" : "", (int)one->open, (int)one->connected,
		(int)one->refused);
}

const char *
report(void)
{
	static char text[2048];

	text[0] = '\0';
	upstreams_report(group, report_one, text);
	return text;
}
