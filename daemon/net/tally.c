/* tally.c - what a listener counts: one set of counters a reactor, kept over reloads. */
#include "net/tally.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Each set on cache lines of its own. */
struct padded_counters {
	_Alignas(64) struct counters counters;
};

struct tally {
	struct padded_counters *counters;
	atomic_uint refs;
};

const char *
datagram_drop_word(enum datagram_drop drop)
{
	static const char *const words[] = {
		[DROP_PORT] = "port",
		[DROP_OWN] = "own",
		[DROP_SOURCE] = "source",
		[DROP_RATE] = "rate",
		[DROP_LONG] = "long",
		[DROP_DENIED] = "denied",
		[DROP_SEND] = "send",
		[DROP_TOO_LARGE] = "too_large",
		[DROP_NO_UPSTREAM] = "no_upstream",
		[DROP_FULL] = "full",
	};

	return words[drop];
}

void
counters_add(struct counters *sum, const struct counters *counters)
{
	sum->accepted += counters->accepted;
	sum->open += counters->open;
	sum->bytes_in += counters->bytes_in;
	sum->bytes_out += counters->bytes_out;
	for (unsigned i = 0; i < REASON_COUNT; i++)
		sum->closed[i] += counters->closed[i];
	sum->datagrams_in += counters->datagrams_in;
	sum->datagrams_out += counters->datagrams_out;
	sum->flows += counters->flows;
	sum->flows_open += counters->flows_open;
	for (unsigned i = 0; i < DROP_COUNT; i++)
		sum->datagrams_dropped[i] += counters->datagrams_dropped[i];
}

struct tally *
tally_new(unsigned reactors)
{
	struct tally *tally = calloc(1, sizeof *tally);
	size_t size = reactors * sizeof *tally->counters;

	if (tally == NULL)
		return NULL;
	tally->counters = aligned_alloc(64, size);
	if (tally->counters == NULL) {
		free(tally);
		return NULL;
	}
	memset(tally->counters, 0, size);
	atomic_init(&tally->refs, 1);
	return tally;
}

struct tally *
tally_ref(struct tally *tally)
{
	atomic_fetch_add_explicit(&tally->refs, 1, memory_order_relaxed);
	return tally;
}

void
tally_unref(struct tally *tally)
{
	if (tally == NULL || atomic_fetch_sub_explicit(&tally->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(tally->counters);
	free(tally);
}

struct counters *
tally_counters(struct tally *tally, unsigned reactor)
{
	return &tally->counters[reactor].counters;
}
