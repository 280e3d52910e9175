/* hub_policy.c - which lines a section's members get: judged once for all of them. */
#include <stdlib.h>
#include <string.h>

#include "protocols/filter.h"
#include "protocols/hub_private.h"

static size_t
verdicts_size(const struct ring *ring)
{
	return ring->line_mask / 8 + 1;
}

static bool
bit_is_set(const unsigned char *bits, size_t at)
{
	return bits[at / 8] >> at % 8 & 1;
}

static void
bit_set(unsigned char *bits, size_t at, bool value)
{
	if (value)
		bits[at / 8] |= (unsigned char)(1 << at % 8);
	else
		bits[at / 8] &= (unsigned char)~(1 << at % 8);
}

/*
 * Judges a line that is in the ring; only one that goes around its edge has to be copied for that.
 */
static bool
line_judge(const struct ring *ring, const struct hub_policy *policy, uint64_t number)
{
	uint64_t begin = ring_begin(ring, number) + ring_line(ring, number)->prefix;
	uint64_t end = ring_begin(ring, number + 1) - 1;
	struct iovec pieces[2] = { { .iov_base = ring->bytes } };
	int count = ring_pieces(ring, begin, end, pieces);
	if (count < 2)
		return filter_passes(policy->filter, pieces[0].iov_base, (size_t)(end - begin));
	uint8_t *copy = malloc((size_t)(end - begin));
	if (copy == NULL)
		return false;
	ring_copy(ring, begin, end, copy);
	bool passes = filter_passes(policy->filter, copy, (size_t)(end - begin));
	free(copy);
	return passes;
}

int
policy_enter(struct hub *hub, struct hub_policy *policy, uint64_t first)
{
	const struct ring *ring = hub->ring;
	if (policy->filter == NULL || !policy->receives)
		return 0;
	if (policy->verdicts == NULL) {
		policy->verdicts = malloc(verdicts_size(ring));
		if (policy->verdicts == NULL)
			return -1;
		policy->judged = ring->next;
		policy->next = hub->policies;
		hub->policies = policy;
	}
	policy->members++;
	while (policy->judged > first) {
		policy->judged--;
		bit_set(policy->verdicts, policy->judged & ring->line_mask,
			line_judge(ring, policy, policy->judged));
	}
	return 0;
}

void
policy_leave(struct hub *hub, struct hub_policy *policy)
{
	struct hub_policy **link = &hub->policies;
	if (policy->filter == NULL || !policy->receives || --policy->members > 0)
		return;
	while (*link != policy)
		link = &(*link)->next;
	*link = policy->next;
	free(policy->verdicts);
	policy->verdicts = NULL;
}

void
hub_keep_verdicts(struct hub *hub, struct hub_policy *policy)
{
	policy->kept = policy_enter(hub, policy, hub->ring->next) == 0;
}

void
hub_drop_verdicts(struct hub *hub, struct hub_policy *policy)
{
	if (policy->kept)
		policy_leave(hub, policy);
	policy->kept = false;
}

void
policies_judge(struct hub *hub, const struct hub_text *text)
{
	for (struct hub_policy *policy = hub->policies; policy != NULL; policy = policy->next)
		bit_set(policy->verdicts, (hub->ring->next - 1) & hub->ring->line_mask,
			policy == text->policy
				|| filter_passes(policy->filter, text->text, text->length));
}

void
policies_lose_line(struct hub *hub)
{
	const struct ring *ring = hub->ring;
	for (struct hub_policy *policy = hub->policies; policy != NULL; policy = policy->next)
		if (ring->first >= policy->judged)
			policy->gone += bit_is_set(policy->verdicts, ring->first & ring->line_mask);
}

static void
verdicts_copy(const struct hub_policy *policy, unsigned char *to, const struct ring *ring,
	      const struct ring *from)
{
	uint64_t number = from->first > policy->judged ? from->first : policy->judged;
	for (; number < from->next; number++)
		bit_set(to, number & ring->line_mask,
			bit_is_set(policy->verdicts, number & from->line_mask));
}

unsigned char **
policies_verdicts(const struct hub *hub, const struct ring *ring)
{
	size_t count = 0, made = 0;
	for (const struct hub_policy *policy = hub->policies; policy != NULL; policy = policy->next)
		count++;
	unsigned char **verdicts = calloc(count + 1, sizeof *verdicts);
	if (verdicts == NULL)
		return NULL;
	while (made < count && (verdicts[made] = malloc(verdicts_size(ring))) != NULL)
		made++;
	if (made == count)
		return verdicts;
	while (made > 0)
		free(verdicts[--made]);
	free(verdicts);
	return NULL;
}

void
policies_resize(struct hub *hub, const struct ring *ring, unsigned char **verdicts)
{
	size_t used = 0;
	for (struct hub_policy *policy = hub->policies; policy != NULL; policy = policy->next) {
		verdicts_copy(policy, verdicts[used], ring, hub->ring);
		free(policy->verdicts);
		policy->verdicts = verdicts[used++];
	}
	free(verdicts);
}

bool
policy_passes(const struct hub *hub, const struct hub_policy *policy, uint64_t number)
{
	return policy->filter == NULL
	       || bit_is_set(policy->verdicts, number & hub->ring->line_mask);
}

uint64_t
policy_gone(const struct hub *hub, const struct hub_policy *policy)
{
	return policy->filter == NULL ? hub->ring->first : policy->gone;
}
