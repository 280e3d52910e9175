/* conflict.c - sorts addresses, so that equal ones meet. */
#include "config/conflict.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "config/address_identity.h"
#include "config/assign.h"
#include "config/sentence.h"

static void
claim_add(struct conflicts *conflicts, struct faults *faults, const struct placed *placed,
	  const char *text, const char *identity, const char *interface)
{
	struct claim *claims = array_grow(conflicts->claims, conflicts->count, sizeof *claims);
	char *copy = strdup(identity);

	if (claims != NULL)
		conflicts->claims = claims;
	if (claims == NULL || copy == NULL) {
		faults->out_of_memory = true;
		free(copy);
		return;
	}
	claims[conflicts->count++] = (struct claim){
		.identity = copy, .text = text, .interface = interface, .placed = *placed
	};
}

void
conflicts_add(struct conflicts *conflicts, struct faults *faults, const struct placed *placed,
	      const struct listener_settings *listener)
{
	char identity[ADDRESS_IDENTITY_MAX];

	for (size_t i = 0; i < listener->listen.count; i++) {
		const struct address *address = &listener->listen.items[i];

		if (address_identity(address, identity) != NULL)
			claim_add(conflicts, faults, placed, address->text, identity,
				  address->kind <= ADDRESS_UDP ? listener->socket.bind_device
							       : NULL);
	}
}

static unsigned
claim_line(const struct claim *claim)
{
	const struct inifile_entry *entry = section_entry(&claim->placed, "listen");

	return entry != NULL ? entry->line : claim->placed.section->line;
}

static int
claim_compare(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = strcmp(x->identity, y->identity);
	unsigned x_line = claim_line(x), y_line = claim_line(y);

	if (order != 0)
		return order;
	if (x->placed.origin->rank != y->placed.origin->rank)
		return x->placed.origin->rank < y->placed.origin->rank ? -1 : 1;
	return x_line < y_line ? -1 : x_line > y_line;
}

static void
claim_refuse(const struct claim *first, const struct claim *again, struct faults *faults)
{
	char *place = place_format(first->placed.origin, claim_line(first));

	if (place == NULL) {
		faults->out_of_memory = true;
		return;
	}
	fault_add(faults, again->placed.origin, claim_line(again), again->placed.section->name,
		  "listen", "%s",
		  first->placed.origin->is_spec
			  ? sentence_about(again->text, "is already taken by %s", place)
			  : sentence_about(again->text, "is already taken by [%s] at %s",
					   first->placed.section->name, place));
	free(place);
}

/* Whether two claims of one identity cannot both be met. */
static bool
claims_clash(const struct claim *a, const struct claim *b)
{
	return a->interface == NULL || b->interface == NULL
	       || strcmp(a->interface, b->interface) == 0;
}

void
conflicts_check(struct conflicts *conflicts, struct faults *faults)
{
	const struct claim *first = conflicts->claims;

	if (conflicts->count > 0)
		qsort(conflicts->claims, conflicts->count, sizeof *conflicts->claims,
		      claim_compare);
	for (size_t i = 1; i < conflicts->count; i++) {
		const struct claim *claim = &conflicts->claims[i], *before = first;

		if (strcmp(first->identity, claim->identity) != 0) {
			first = claim;
			continue;
		}
		while (before < claim && !claims_clash(before, claim))
			before++;
		if (before < claim)
			claim_refuse(before, claim, faults);
	}
	for (size_t i = 0; i < conflicts->count; i++)
		free(conflicts->claims[i].identity);
	free(conflicts->claims);
	*conflicts = (struct conflicts){ 0 };
}
