/* proxy_probe.c - what a client of a proxy can see of it, and what there is to say of its
 * datagrams. */
#include "protocols/proxy_probe.h"

#include <stdio.h>
#include <string.h>

#include "net/factory.h"
#include "protocols/proxy_factory.h"
#include "protocols/proxy_settings.h"
#include "protocols/upstreams.h"

/* What its upstreams answer to anything but the text of a check nobody knows. */
static bool
probe_only_looks(const void *void_settings)
{
	const struct proxy_settings *settings = void_settings;

	return settings->check.kind != EXCHANGE_BYTES;
}

static size_t
probe_request(const void *void_settings, uint8_t request[static PROBE_REQUEST_MAX])
{
	const struct proxy_settings *settings = void_settings;
	size_t length = settings->check.send_length;

	if (settings->check.kind != EXCHANGE_BYTES || length > PROBE_REQUEST_MAX)
		return 0;
	memcpy(request, settings->check.send, length);
	return length;
}

static enum probe_verdict
probe_check(const void *void_settings, const uint8_t *request, size_t request_length,
	    const uint8_t *reply, size_t reply_length, bool ended, const char **failure)
{
	const struct proxy_settings *settings = void_settings;
	const struct exchange *check = &settings->check;
	size_t expected = 0, least;

	(void)request;
	(void)request_length;
	if (check->kind == EXCHANGE_BYTES)
		expected = check->expect_length;
	least = reply_length < expected ? reply_length : expected;
	*failure = reply_length == 0 ? "closed at once" : "not the answer that check expects";
	if (least > 0 && memcmp(reply, check->expect, least) != 0)
		return PROBE_FAILED;
	if (expected > 0 ? reply_length >= expected : reply_length > 0)
		return PROBE_OK;
	return ended ? PROBE_FAILED : PROBE_MORE;
}

const struct probe proxy_probe = {
	.request = probe_request,
	.check = probe_check,
	.only_looks = probe_only_looks,
};

/* A text that grows by a report each. */
struct list {
	char *text;
	size_t size, used;
	bool any_up;
};

static void
list_add(void *arg, const struct upstream_report *report)
{
	struct list *list = arg;

	list->any_up = list->any_up || strcmp(report->state, "up") == 0;
	if (list->used < list->size)
		list->used += (size_t)snprintf(list->text + list->used, list->size - list->used,
					       "%s%s %s", list->used > 0 ? ", " : "", report->text,
					       report->state);
}

bool
proxy_datagrams_via(struct factory *factory, char *text, size_t size)
{
	const struct proxy_shared *shared = factory_shared(factory);
	struct list list = { .text = text, .size = size };

	upstreams_report(shared->datagrams, list_add, &list);
	return list.any_up;
}
