/* test_siphash.c - SipHash-1-3 as others compute it. */
#include "base/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
known_bytes_have_their_known_hash(void **state)
{
	/* Of the key 00 01 ... 0f and the bytes 00 01 ..., by how many. */
	static const struct {
		size_t length;
		uint64_t hash;
	} known[] = {
		{ 0, 0xabac0158050fc4dc },  { 1, 0xc9f49bf37d57ca93 },	{ 7, 0xd3927d989bb11140 },
		{ 8, 0x369095118d299a8e },  { 9, 0x25a48eb36c063de4 },	{ 15, 0xd320d86d2a519956 },
		{ 16, 0xcc4fdd1a7d908b66 }, { 63, 0x9d199062b7bbb3a8 },
	};
	const struct siphash_key key = { { 0x0706050403020100, 0x0f0e0d0c0b0a0908 } };
	uint8_t bytes[63];

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		assert_int_equal(siphash(&key, bytes, known[i].length), known[i].hash);
}

static void
keys_differ(void **state)
{
	struct siphash_key one = siphash_key_random(), other = siphash_key_random();

	(void)state;
	assert_true(one.words[0] != other.words[0] && one.words[1] != other.words[1]);
	assert_true(siphash(&one, "a", 1) != siphash(&other, "a", 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_bytes_have_their_known_hash),
		cmocka_unit_test(keys_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
