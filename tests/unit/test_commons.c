/* test_commons.c - what is shared by name lives from the first share to the last. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "net/commons.h"

static int made, released;

static void *
make_thing(void *arg)
{
	made++;
	return arg;
}

static void
release_thing(void *thing)
{
	(void)thing;
	released++;
}

static void
things_are_found_by_kind_and_name(void **state)
{
	struct commons *commons = commons_new();
	int a, b, c;
	(void)state;
	made = released = 0;
	struct common *first = commons_take(commons, "hub", "x", make_thing, &a, release_thing);
	struct common *again = commons_take(commons, "hub", "x", make_thing, &b, release_thing);
	struct common *other = commons_take(commons, "hub", "y", make_thing, &b, release_thing);
	struct common *kind = commons_take(commons, "pub", "x", make_thing, &c, release_thing);
	assert_ptr_equal(common_thing(first), &a);
	assert_ptr_equal(common_thing(again), &a);
	assert_ptr_equal(common_thing(other), &b);
	assert_ptr_equal(common_thing(kind), &c);
	assert_int_equal(made, 3);
	common_release(first);
	common_release(other);
	assert_int_equal(released, 1);
	common_release(again);
	assert_int_equal(released, 2);
	again = commons_take(commons, "hub", "x", make_thing, &c, release_thing);
	assert_ptr_equal(common_thing(again), &c);
	common_release(again);
	common_release(kind);
	common_release(NULL);
	assert_int_equal(released, 4);
	commons_free(commons);
}

static void
without_commons_nothing_is_shared(void **state)
{
	int a, b;
	(void)state;
	made = released = 0;
	struct common *first = commons_take(NULL, "hub", "x", make_thing, &a, release_thing);
	struct common *again = commons_take(NULL, "hub", "x", make_thing, &b, release_thing);
	assert_ptr_equal(common_thing(again), &b);
	common_release(first);
	common_release(again);
	assert_int_equal(released, 2);
}

static void
what_cannot_be_made_is_not_there(void **state)
{
	struct commons *commons = commons_new();
	int a;
	(void)state;
	assert_null(commons_take(commons, "hub", "x", make_thing, NULL, release_thing));
	assert_int_equal(errno, ENOMEM);
	struct common *common = commons_take(commons, "hub", "x", make_thing, &a, release_thing);
	assert_ptr_equal(common_thing(common), &a);
	common_release(common);
	commons_free(commons);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(things_are_found_by_kind_and_name),
		cmocka_unit_test(without_commons_nothing_is_shared),
		cmocka_unit_test(what_cannot_be_made_is_not_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
