/* test_rotation.c - which of some addresses comes next, and after what wait. */
#include "net/rotation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct rotation
rotation_of(size_t count)
{
	struct rotation rotation;

	rotation_init(&rotation, count, 1000, 60000, 7);
	assert_int_equal(rotation.at, 0);
	return rotation;
}

static void
all_are_tried_in_their_order_before_a_wait(void **state)
{
	(void)state;
	for (size_t count = 1; count < 5; count++) {
		struct rotation rotation = rotation_of(count);

		for (uint64_t base = 1000; base < 16000; base *= 2) {
			for (size_t i = 0; i + 1 < count; i++) {
				assert_int_equal(rotation.at, i);
				assert_false(rotation_is_last(&rotation));
				assert_int_equal(rotation_fail(&rotation), 0);
			}
			assert_int_equal(rotation.at, count - 1);
			assert_true(rotation_is_last(&rotation));
			assert_in_range(rotation_fail(&rotation), base, base * 3 / 2);
			assert_int_equal(rotation.at, 0);
		}
	}
}

static void
after_one_that_did_well_all_are_tried_again(void **state)
{
	struct rotation rotation = rotation_of(3);

	(void)state;
	for (int i = 0; i < 8; i++)
		rotation_fail(&rotation);
	assert_int_equal(rotation.at, 2);
	rotation_forgive(&rotation);
	assert_int_equal(rotation.at, 2);
	assert_int_equal(rotation_fail(&rotation), 0);
	assert_int_equal(rotation_fail(&rotation), 0);
	assert_in_range(rotation_fail(&rotation), 1000, 1500);
}

/* Whichever it was that had done well. */
static void
after_a_wait_the_first_is_next(void **state)
{
	struct rotation rotation = rotation_of(3);

	(void)state;
	rotation_fail(&rotation);
	rotation_forgive(&rotation);
	rotation_fail(&rotation);
	rotation_fail(&rotation);
	assert_int_equal(rotation.at, 0);
	assert_in_range(rotation_fail(&rotation), 1000, 1500);
	assert_int_equal(rotation.at, 0);
}

static void
a_new_beginning_is_with_the_first_after_a_wait(void **state)
{
	struct rotation rotation = rotation_of(3);

	(void)state;
	rotation_fail(&rotation);
	rotation_fail(&rotation);
	rotation_forgive(&rotation);
	assert_in_range(rotation_begin(&rotation), 1000, 1500);
	assert_int_equal(rotation.at, 0);
	assert_in_range(rotation_begin(&rotation), 2000, 3000);
	assert_false(rotation_is_last(&rotation));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_tried_in_their_order_before_a_wait),
		cmocka_unit_test(after_one_that_did_well_all_are_tried_again),
		cmocka_unit_test(after_a_wait_the_first_is_next),
		cmocka_unit_test(a_new_beginning_is_with_the_first_after_a_wait),
	};

	return cmocka_run_group_tests_name("rotation", tests, NULL, NULL);
}
