/* test_filter.c - the first rule that fits decides, whatever bytes a line has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "protocols/filter.h"

#define assert_filter(rules, passing, stopped) assert_filter_at(rules, passing, stopped, __LINE__)

/* Each of the texts, which end at a NULL, passes or does not. */
static void
assert_filter_at(const char *rules, const char *const *passing, const char *const *stopped, int at)
{
	struct filter *filter = NULL;
	const char *wrong = filter_parse(rules, &filter);
	if (wrong != NULL)
		fail_msg("line %d: %s", at, wrong);
	for (; *passing != NULL; passing++)
		if (!filter_passes(filter, *passing, strlen(*passing)))
			fail_msg("line %d: \"%s\" should pass", at, *passing);
	for (; *stopped != NULL; stopped++)
		if (filter_passes(filter, *stopped, strlen(*stopped)))
			fail_msg("line %d: \"%s\" should not pass", at, *stopped);
	filter_free(filter);
}

#define TEXTS(...) (const char *const[]){ __VA_ARGS__, NULL }

static void
rules_in_order(void **state)
{
	(void)state;
	assert_filter("+a", TEXTS("a", "ab"), TEXTS("", "b", "ba"));
	assert_filter("-a", TEXTS("", "b", "ba"), TEXTS("a", "ab"));
	assert_filter("-ab, +a", TEXTS("a", "ac"), TEXTS("ab", "abc", "b", ""));
	assert_filter("+ab,-a", TEXTS("ab", "abc", "b", ""), TEXTS("a", "ac"));
	assert_filter("+a, -b", TEXTS("a", "c", "-b", ""), TEXTS("b"));
	assert_filter("/^[0-9]+$/", TEXTS("1", "123"), TEXTS("", "a", "1a"));
	assert_filter("-/(foo|bar)$/ , +x", TEXTS("x", "xa"), TEXTS("xbar", "foo", "a"));
	assert_filter("+/x/,-/./", TEXTS("x", "axb", ""), TEXTS("a"));
}

static void
quotes_and_backslashes(void **state)
{
	(void)state;
	assert_filter("+a b , -c", TEXTS("a b", "a bc", "d"), TEXTS("c"));
	assert_filter("+\"a b \"", TEXTS("a b ", "a b c"), TEXTS("a b", "\"a b \""));
	assert_filter("-\"a, b\", +a", TEXTS("a", "a,b"), TEXTS("a, b", "b"));
	assert_filter("+\"\\\"\\\\\"", TEXTS("\"\\", "\"\\x"), TEXTS("\"", "\\"));
	assert_filter("/a,b/", TEXTS("a,b"), TEXTS("a"));
	assert_filter("/^\\/a\\.b/", TEXTS("/a.b"), TEXTS("/aab", "a.b"));
	assert_filter("/\\\\/", TEXTS("\\", "a\\b"), TEXTS("/", "ab"));
}

static void
any_byte_is_text(void **state)
{
	struct filter *filter;
	(void)state;
	assert_null(filter_parse("/^a[^x]b$/, +x", &filter));
	assert_true(filter_passes(filter, "a\0b", 3));
	assert_false(filter_passes(filter, "a\0bc", 4));
	assert_true(filter_passes(filter, "a\0b and no more", 3));
	assert_true(filter_passes(filter, "x\0", 2));
	assert_false(filter_passes(filter, "", 0));
	filter_free(filter);
}

static void
what_is_no_rule_is_refused(void **state)
{
	static const char *const wrong[][2] = {
		{ "a", "a is none of +text, -text, /regex/ and -/regex/" },
		{ "+a, b", "b is none of +text, -text, /regex/ and -/regex/" },
		{ "+", "+ has no text, which every line would begin with" },
		{ "+\"\"", "+\"\" has no text, which every line would begin with" },
		{ "", "has an empty rule: a comma too many" },
		{ "+a,", "has an empty rule: a comma too many" },
		{ "+a, ,+b", "has an empty rule: a comma too many" },
		{ "-\"a", "-\"a has a quote that does not close" },
		{ "-\"a\\\"", "-\"a\\\" has a quote that does not close" },
		{ "/a", "/a does not end in a slash" },
		{ "/a\\", "/a\\ does not end in a slash" },
		{ "/a/b", "/a/ has something behind its end" },
		{ "/a{3000}/, /b{1001}/, /c/",
		  "/b{1001}/ is too large: a filter has at most 4000 characters and operators, with repetitions "
		  "written out" },
		{ "+ok, /a(/", "/a(/ has a ( that does not close" },
	};
	struct filter *filter;
	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		const char *sentence = filter_parse(wrong[i][0], &filter);
		assert_non_null(sentence);
		assert_string_equal(sentence, wrong[i][1]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_in_order),
		cmocka_unit_test(quotes_and_backslashes),
		cmocka_unit_test(any_byte_is_text),
		cmocka_unit_test(what_is_no_rule_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
