/* value_upstream.c - values that say whom to dial and how: upstreams, a check's exchange, a source, a DSCP. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "config/number.h"
#include "config/sentence.h"
#include "config/value.h"
#include "config/value_list.h"
#include "net/address.h"

enum { WEIGHT_MAX = 1000 };

/* Takes one word behind an address: weight=N or backup. NULL, or a sentence. */
static const char *
attribute_set(struct upstream_address *upstream, const char *item, const char *word)
{
	int64_t weight;

	if (strcmp(word, "backup") == 0 && !upstream->backup) {
		upstream->backup = true;
		return NULL;
	}
	if (strncmp(word, "weight=", 7) != 0)
		return sentence_about(item, "has \"%s\": expected weight=N or backup, each once", word);
	if (!number_parse(OPTION_NUMBER, word + 7, &weight) || weight < 0 || weight > WEIGHT_MAX)
		return sentence_about(item, "has \"%s\": expected a weight of 0 to %d", word, WEIGHT_MAX);
	upstream->weight = weight;
	return NULL;
}

static const char *
upstream_add(const char *item, void *arg)
{
	struct upstream_list *list = arg;
	struct upstream_address upstream = { .weight = 1 };
	struct address_list one;
	char *words = strdup(item), *rest = words, *word;
	const char *wrong;

	if (words == NULL)
		return out_of_memory;
	word = strsep(&rest, " \t");
	wrong = address_list_parse(word, false, &one);
	if (wrong != NULL) {
		free(words);
		return wrong;
	}
	upstream.address = one.items[0];
	free(one.items);
	while (wrong == NULL && (word = strsep(&rest, " \t")) != NULL)
		wrong = *word == '\0' ? NULL : attribute_set(&upstream, item, word);
	free(words);
	struct upstream_address *items =
		wrong != NULL ? NULL : reallocarray(list->items, list->count + 1, sizeof *items);
	if (items == NULL) {
		address_clear(&upstream.address);
		return wrong != NULL ? wrong : out_of_memory;
	}
	list->items = items;
	items[list->count++] = upstream;
	return NULL;
}

static void
upstreams_clear(void *field)
{
	struct upstream_list *list = field;

	for (size_t i = 0; i < list->count; i++)
		address_clear(&list->items[i].address);
	free(list->items);
	*list = (struct upstream_list){ 0 };
}

static const char *
upstreams_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct upstream_list list = { 0 };
	const char *wrong = list_each(text, upstream_add, &list);

	(void)option;
	(void)directory;
	if (wrong != NULL)
		upstreams_clear(&list);
	else
		*(struct upstream_list *)field = list;
	return wrong;
}

static bool
upstreams_equal(const void *void_a, const void *void_b)
{
	const struct upstream_list *a = void_a, *b = void_b;

	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i].address.text, b->items[i].address.text) != 0
		    || a->items[i].weight != b->items[i].weight
		    || a->items[i].backup != b->items[i].backup)
			return false;
	return true;
}

const struct value_type value_upstreams = {
	.noun = "addresses to connect to, each with an optional weight=N and backup",
	.size = sizeof(struct upstream_list),
	.set = upstreams_set,
	.clear = upstreams_clear,
	.equal = upstreams_equal,
};

static void
exchange_clear(void *field)
{
	struct exchange *exchange = field;

	free(exchange->send);
	free(exchange->expect);
	*exchange = (struct exchange){ 0 };
}

static const char *
exchange_set(const struct option *option, void *field, const char *text, const char *directory)
{
	(void)option;
	(void)directory;
	if (strcmp(text, "connect") != 0)
		return sentence_about(text, "is not connect");
	*(struct exchange *)field = (struct exchange){ .kind = EXCHANGE_CONNECT };
	return NULL;
}

static bool
bytes_equal(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
	return a_length == b_length && (a_length == 0 || memcmp(a, b, a_length) == 0);
}

static bool
exchange_equal(const void *void_a, const void *void_b)
{
	const struct exchange *a = void_a, *b = void_b;

	return a->kind == b->kind && bytes_equal(a->send, a->send_length, b->send, b->send_length)
	       && bytes_equal(a->expect, a->expect_length, b->expect, b->expect_length);
}

const struct value_type value_exchange = {
	.noun = "connect, or texts in quotes to send and to expect",
	.size = sizeof(struct exchange),
	.set = exchange_set,
	.clear = exchange_clear,
	.equal = exchange_equal,
};

static const char *
ip_set(const struct option *option, void *field, const char *text, const char *directory)
{
	union peer_address ip = { 0 };

	(void)option;
	(void)directory;
	if (inet_pton(AF_INET, text, &ip.in.sin_addr) == 1)
		ip.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &ip.in6.sin6_addr) == 1)
		ip.sa.sa_family = AF_INET6;
	else
		return sentence_about(text, "is not an IP address such as 192.0.2.1 or 2001:db8::1");
	*(union peer_address *)field = ip;
	return NULL;
}

static void
ip_clear(void *field)
{
	memset(field, 0, sizeof(union peer_address));
}

static bool
ip_equal(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(union peer_address)) == 0;
}

const struct value_type value_ip = {
	.noun = "IP address",
	.size = sizeof(union peer_address),
	.set = ip_set,
	.clear = ip_clear,
	.equal = ip_equal,
};

static const char *
dscp_set(const struct option *option, void *field, const char *text, const char *directory)
{
	int64_t dscp;

	(void)option;
	(void)directory;
	if (!number_parse(OPTION_NUMBER, text, &dscp) || dscp < 0 || dscp > 63)
		return sentence_about(text, "is not a DSCP: expected 0 to 63");
	*(int64_t *)field = dscp;
	return NULL;
}

static void
dscp_clear(void *field)
{
	*(int64_t *)field = OPTION_AUTO;
}

static bool
dscp_equal(const void *a, const void *b)
{
	return *(const int64_t *)a == *(const int64_t *)b;
}

const struct value_type value_dscp = {
	.noun = "DSCP, 0 to 63 or a name such as ef",
	.size = sizeof(int64_t),
	.set = dscp_set,
	.clear = dscp_clear,
	.equal = dscp_equal,
};
