/* value_list.c - parses and compares comma-separated values. */
#include "config/value_list.h"

#include <stdlib.h>
#include <string.h>

#include "config/address_identity.h"
#include "config/sentence.h"
#include "config/value.h"

const char *
list_each(const char *text, const char *(*use)(const char *item, void *arg), void *arg)
{
	if (*text == '\0')
		return sentence_about(text, "is empty");
	for (const char *at = text;; at++) {
		at += strspn(at, " \t");
		size_t comma = strcspn(at, ","), length = comma;
		while (length > 0 && strchr(" \t", at[length - 1]) != NULL)
			length--;
		if (length == 0)
			return sentence_about(text, "has an empty item: a comma too many");
		char *item = strndup(at, length);
		const char *wrong = item == NULL ? out_of_memory : use(item, arg);
		free(item);
		at += comma;
		if (wrong != NULL || *at == '\0')
			return wrong;
	}
}

struct addresses {
	struct address_list *list;
	enum address_use use;
};

static const char *
use_check(const struct address *address, enum address_use use)
{
	return address->kind == ADDRESS_FILE && use != FOR_CONNECT
		       ? "is a file, which only connect takes"
		       : NULL;
}

static const char *
dial_check(const struct address *address)
{
	if (address->kind == ADDRESS_SYSTEMD)
		return "is a passed socket, which only listen takes";
	if (address->kind > ADDRESS_UDP)
		return NULL;
	if (strcmp(address->host, "*") == 0)
		return "has the host *, which only listen takes";
	if (address->service[strspn(address->service, "0")] == '\0')
		return "has port 0, which only listen takes";
	return NULL;
}

static const char *
repetition_check(const struct address_list *list, const struct address *address)
{
	char a[ADDRESS_IDENTITY_MAX], b[ADDRESS_IDENTITY_MAX];

	if (address_identity(address, a) == NULL)
		return NULL;
	for (size_t i = 0; i < list->count; i++)
		if (address_identity(&list->items[i], b) != NULL && strcmp(a, b) == 0)
			return "stands in the list twice";
	return NULL;
}

static const char *
address_add(const char *item, void *arg)
{
	struct addresses *addresses = arg;
	struct address_list *list = addresses->list;
	struct address address;
	const char *wrong = address_parse(item, &address);

	if (wrong != NULL)
		return sentence_about(item, "%s", wrong);
	wrong = use_check(&address, addresses->use);
	if (wrong == NULL)
		wrong = addresses->use == FOR_LISTEN ? repetition_check(list, &address)
						     : dial_check(&address);
	struct address *items =
		wrong != NULL ? NULL : reallocarray(list->items, list->count + 1, sizeof *items);
	if (items == NULL) {
		address_clear(&address);
		return wrong != NULL ? sentence_about(item, "%s", wrong) : out_of_memory;
	}
	list->items = items;
	items[list->count++] = address;
	return NULL;
}

const char *
address_list_parse(const char *text, enum address_use use, struct address_list *list)
{
	struct addresses addresses = { .list = list, .use = use };

	*list = (struct address_list){ 0 };
	const char *wrong = list_each(text, address_add, &addresses);
	if (wrong != NULL)
		address_list_clear(list);
	return wrong;
}

static const char *
prefix_add(const char *item, void *arg)
{
	/* "all" is everyone there is. */
	static const struct prefix all[] = { { .family = AF_INET },
					     { .family = AF_INET6 },
					     { .family = AF_UNIX } };
	struct prefix_list *list = arg;
	bool is_all = strcmp(item, "all") == 0;
	struct prefix prefix;
	const char *wrong = is_all ? NULL : prefix_parse(item, &prefix);
	size_t count = is_all ? sizeof all / sizeof all[0] : 1;

	if (wrong != NULL)
		return sentence_about(item, "%s", wrong);
	struct prefix *items = reallocarray(list->items, list->count + count, sizeof *items);
	if (items == NULL)
		return out_of_memory;
	list->items = items;
	memcpy(items + list->count, is_all ? all : &prefix, count * sizeof *items);
	list->count += count;
	return NULL;
}

const char *
prefix_list_parse(const char *text, struct prefix_list *list)
{
	*list = (struct prefix_list){ 0 };
	const char *wrong = list_each(text, prefix_add, list);
	if (wrong != NULL) {
		free(list->items);
		*list = (struct prefix_list){ 0 };
	}
	return wrong;
}

static bool
addresses_equal(const void *void_a, const void *void_b)
{
	const struct address_list *a = void_a, *b = void_b;

	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i].text, b->items[i].text) != 0)
			return false;
	return true;
}

static bool
prefixes_equal(const void *void_a, const void *void_b)
{
	const struct prefix_list *a = void_a, *b = void_b;

	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (a->items[i].family != b->items[i].family
		    || a->items[i].length != b->items[i].length
		    || memcmp(a->items[i].bytes, b->items[i].bytes, sizeof a->items[i].bytes) != 0)
			return false;
	return true;
}

static const char *
addresses_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct address_list list;

	(void)directory;
	const char *wrong = address_list_parse(
		text, option->type == OPTION_LISTEN ? FOR_LISTEN : FOR_CONNECT, &list);
	if (wrong == NULL)
		*(struct address_list *)field = list;
	return wrong;
}

static void
addresses_clear(void *field)
{
	address_list_clear(field);
}

static const char *
prefixes_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct prefix_list list;

	(void)option;
	(void)directory;
	const char *wrong = prefix_list_parse(text, &list);
	if (wrong == NULL)
		*(struct prefix_list *)field = list;
	return wrong;
}

static void
prefixes_clear(void *field)
{
	struct prefix_list *list = field;

	free(list->items);
	*list = (struct prefix_list){ 0 };
}

#define ADDRESSES(name, noun_)                       \
	const struct value_type name = {             \
		.noun = noun_,                       \
		.size = sizeof(struct address_list), \
		.set = addresses_set,                \
		.clear = addresses_clear,            \
		.equal = addresses_equal,            \
	}

ADDRESSES(value_listen, "addresses to listen on");
ADDRESSES(value_connect, "addresses to connect to");

const struct value_type value_prefixes = {
	.noun = "address prefixes, unix or all",
	.size = sizeof(struct prefix_list),
	.set = prefixes_set,
	.clear = prefixes_clear,
	.equal = prefixes_equal,
};
