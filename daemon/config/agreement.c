/* agreement.c - sorts sections by what they share, so that those that share it meet. */
#include "config/agreement.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "config/assign.h"
#include "config/listener_check.h"
#include "config/sentence.h"
#include "config/value.h"
#include "net/commons.h"

void
agreements_add(struct agreements *agreements, struct faults *faults, const struct placed *placed,
	       const struct section_config *section)
{
	const struct protocol *protocol = section->protocol;
	struct party *parties;

	if (protocol == NULL || protocol->shares == NULL)
		return;
	parties = array_grow(agreements->parties, agreements->count, sizeof *parties);
	if (parties == NULL) {
		faults->out_of_memory = true;
		return;
	}
	agreements->parties = parties;
	parties[agreements->count++] = (struct party){
		.placed = *placed,
		.section = section,
		.name = shared_name(protocol, section->settings, section->name),
	};
}

static bool
parties_share(const struct party *a, const struct party *b)
{
	return a->section->protocol == b->section->protocol && strcmp(a->name, b->name) == 0;
}

static int
party_compare(const void *a, const void *b)
{
	const struct party *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (order == 0)
		order = strcmp(x->section->protocol->name, y->section->protocol->name);
	if (order != 0)
		return order;
	if (x->placed.origin->rank != y->placed.origin->rank)
		return x->placed.origin->rank < y->placed.origin->rank ? -1 : 1;
	return x->placed.section->line < y->placed.section->line
		       ? -1
		       : x->placed.section->line > y->placed.section->line;
}

static void
difference_refuse(const struct party *first, const struct party *again, size_t row,
		  struct faults *faults)
{
	const struct option *option = &first->section->protocol->options[row];
	const char *text = again->section->texts[row], *other = first->section->texts[row];
	const struct placed *placed = &first->placed;
	const struct inifile_entry *entry = section_entry(placed, option->name);
	char *place =
		place_format(placed->origin, entry != NULL ? entry->line : placed->section->line);
	char quoted[QUOTED_MAX];

	if (place == NULL) {
		faults->out_of_memory = true;
		return;
	}
	text_quote(other != NULL ? other : "none", quoted);
	key_fault(faults, &again->placed, option->name,
		  placed->origin->is_spec
			  ? sentence_about(text != NULL ? text : "none",
					   "is not the %s of %s, which has the same %s %s", quoted,
					   place, first->section->protocol->shares, first->name)
			  : sentence_about(text != NULL ? text : "none",
					   "is not the %s of [%s] at %s, which has the same %s %s",
					   quoted, placed->section->name, place,
					   first->section->protocol->shares, first->name));
	free(place);
}

void
agreements_check(struct agreements *agreements, struct faults *faults)
{
	const struct party *first = agreements->parties;

	if (agreements->count > 0)
		qsort(agreements->parties, agreements->count, sizeof *agreements->parties,
		      party_compare);
	for (size_t i = 1; i < agreements->count; i++) {
		const struct party *party = &agreements->parties[i];
		const struct option *options = party->section->protocol->options;

		if (!parties_share(first, party)) {
			first = party;
			continue;
		}
		for (size_t row = 0; options[row].name != NULL; row++)
			if ((options[row].flags & OPTION_SHARED)
			    && !value_equal(&options[row], first->section->settings,
					    party->section->settings))
				difference_refuse(first, party, row, faults);
	}
	free(agreements->parties);
	*agreements = (struct agreements){ 0 };
}
