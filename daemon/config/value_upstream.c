/* value_upstream.c - lists of upstreams: addresses to dial, each with its weight. */
#include <stdlib.h>
#include <string.h>

#include "config/address_identity.h"
#include "base/array.h"
#include "config/number.h"
#include "config/sentence.h"
#include "config/value.h"
#include "config/value_list.h"
#include "net/address.h"

enum { WEIGHT_MAX = 1000, WEIGHT_DEFAULT = 1 };

/* An upstream while its words are read. */
struct reading_upstream {
	struct upstream_address upstream;
	const char *item;	/* the whole text */
	bool has_weight;
};

static const char *
weight_set(struct reading_upstream *reading, const char *number)
{
	char quoted[QUOTED_MAX];
	int64_t weight;

	if (reading->has_weight)
		return sentence_about(reading->item, "has a weight twice");
	if (!number_parse(OPTION_NUMBER, number, &weight) || weight < 0 || weight > WEIGHT_MAX)
		return sentence_about(reading->item, "has the weight %s: expected 0 to %d",
				      text_quote(number, quoted), WEIGHT_MAX);
	reading->has_weight = true;
	reading->upstream.weight = weight;
	return NULL;
}

/* Takes one word behind the address. NULL, or a sentence. */
static const char *
word_set(struct reading_upstream *reading, const char *word)
{
	static const char weight[] = "weight=";
	char quoted[QUOTED_MAX];

	if (strncmp(word, weight, strlen(weight)) == 0)
		return weight_set(reading, word + strlen(weight));
	if (strcmp(word, "backup") != 0)
		return sentence_about(reading->item, "has %s behind its address: expected %s",
				      text_quote(word, quoted),
				      strstr(word, "://") != NULL
					      ? "a comma before the next address"
					      : "weight=N or backup");
	if (reading->upstream.backup)
		return sentence_about(reading->item, "has backup twice");
	reading->upstream.backup = true;
	return NULL;
}

/* Reads the words of an item, which it takes apart. On an error nothing is left to be freed. */
static const char *
words_read(struct reading_upstream *reading, char *words)
{
	char *rest = words, *word = strsep(&rest, " \t");
	struct address_list one;
	const char *wrong = address_list_parse(word, FOR_UPSTREAM, &one);

	if (wrong != NULL)
		return wrong;
	reading->upstream.address = one.items[0];
	free(one.items);
	while (wrong == NULL && (word = strsep(&rest, " \t")) != NULL)
		if (*word != '\0')
			wrong = word_set(reading, word);
	if (wrong != NULL)
		address_clear(&reading->upstream.address);
	return wrong;
}

static const char *
upstream_add(const char *item, void *arg)
{
	struct upstream_list *list = arg;
	struct upstream_address *items;
	struct reading_upstream reading = { .upstream.weight = WEIGHT_DEFAULT, .item = item };
	char *words = strdup(item);
	const char *wrong = words == NULL ? out_of_memory : words_read(&reading, words);

	free(words);
	if (wrong != NULL)
		return wrong;
	items = array_grow(list->items, list->count, sizeof *items);
	if (items == NULL) {
		address_clear(&reading.upstream.address);
		return out_of_memory;
	}
	list->items = items;
	items[list->count++] = reading.upstream;
	return NULL;
}

/* An upstream of a list by what its address is. */
struct identified {
	char identity[ADDRESS_IDENTITY_MAX];
	const struct upstream_address *upstream;
};

static int
identified_compare(const void *a, const void *b)
{
	const struct identified *x = a, *y = b;
	int order = strcmp(x->identity, y->identity);

	return order != 0 ? order : x->upstream < y->upstream ? -1 : x->upstream > y->upstream;
}

/* The first address that is in the list before; NULL: none. */
static const char *
repetition_check(const struct upstream_list *list)
{
	struct identified *all = reallocarray(NULL, list->count, sizeof *all);
	const struct upstream_address *again = NULL;
	size_t count = 0;

	if (all == NULL)
		return out_of_memory;
	for (size_t i = 0; i < list->count; i++) {
		all[count].upstream = &list->items[i];
		if (address_identity(&list->items[i].address, all[count].identity) != NULL)
			count++;
	}
	qsort(all, count, sizeof *all, identified_compare);
	for (size_t i = 1; i < count; i++)
		if (strcmp(all[i - 1].identity, all[i].identity) == 0
		    && (again == NULL || all[i].upstream < again))
			again = all[i].upstream;
	free(all);
	return again == NULL ? NULL
			     : sentence_about(again->address.text, "stands in the list twice");
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
	if (wrong == NULL)
		wrong = repetition_check(&list);
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
