/* siphash.h - a hash that who chooses what is hashed cannot foresee: SipHash-1-3. */
#ifndef TWINED_BASE_SIPHASH_H
#define TWINED_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t words[2];
};

/* A key that nobody knows; when the system has no randomness yet, one that is hard to guess. */
struct siphash_key siphash_key_random(void);

/* The same on every machine for the same key. */
uint64_t siphash(const struct siphash_key *key, const void *bytes, size_t length);

#endif
