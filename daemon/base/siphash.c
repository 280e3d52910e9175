/* siphash.c - a hash that who chooses what is hashed cannot foresee: SipHash-1-3. */
#include "base/siphash.h"

#include <endian.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct siphash_key
siphash_key_random(void)
{
	struct siphash_key key;

	if (getrandom(&key, sizeof key, GRND_NONBLOCK) != sizeof key) {
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		key.words[0] = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 30;
		key.words[1] = (uint64_t)(uintptr_t)&key;
	}
	return key;
}

static inline uint64_t
rotated(uint64_t word, unsigned bits)
{
	return word << bits | word >> (64 - bits);
}

static inline void
sip_round(uint64_t v[static 4])
{
	v[0] += v[1];
	v[1] = rotated(v[1], 13) ^ v[0];
	v[0] = rotated(v[0], 32);
	v[2] += v[3];
	v[3] = rotated(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotated(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotated(v[1], 17) ^ v[2];
	v[2] = rotated(v[2], 32);
}

static inline void
sip_word(uint64_t v[static 4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
}

uint64_t
siphash(const struct siphash_key *key, const void *bytes, size_t length)
{
	uint64_t v[4] = {
		key->words[0] ^ 0x736f6d6570736575,
		key->words[1] ^ 0x646f72616e646f6d,
		key->words[0] ^ 0x6c7967656e657261,
		key->words[1] ^ 0x7465646279746573,
	};
	const uint8_t *at = bytes, *end = at + length / 8 * 8;
	uint64_t word, last = 0;

	for (; at != end; at += 8) {
		memcpy(&word, at, 8);
		sip_word(v, le64toh(word));
	}
	memcpy(&last, at, length % 8);
	sip_word(v, le64toh(last) | (uint64_t)length << 56);
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
