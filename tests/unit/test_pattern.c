/* test_pattern.c - what regex(7) says is found is found, and no line and no pattern costs much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "protocols/pattern.h"

enum { LINE_MAX_BYTES = 65536 };

static struct pattern *
parse(const char *text)
{
	struct pattern *pattern = NULL;
	const char *wrong = pattern_parse(text, PATTERN_STEPS_MAX, &pattern);
	if (wrong != NULL)
		fail_msg("%s %s", text, wrong);
	return pattern;
}

/* For each pattern: lines it is found in, and lines it is not found in. */
static const struct {
	const char *text, *found[5], *missed[5];
} cases[] = {
	{ "", { "", "a" }, { NULL } },
	{ "ab", { "ab", "xaby", "aab" }, { "", "a", "ba", "a b" } },
	{ "^ab", { "ab", "abc" }, { "xab", "" } },
	{ "ab$", { "ab", "xab" }, { "abx", "" } },
	{ "^$", { "" }, { "a" } },
	{ "a^b", { NULL }, { "ab", "a^b" } },
	{ "a$b", { NULL }, { "ab", "a$b" } },
	{ "(^|,)a(,|$)", { "a", "b,a", "a,b", "b,a,c" }, { "ba", "ab", "b,ab" } },
	{ "a|^b|c$", { "xa", "bx", "xc" }, { "xb", "cx", "" } },
	{ "a||b", { "", "x" }, { NULL } },
	{ "^(a|bc|def|)x", { "ax", "bcx", "defx", "x" }, { "bx", "dex", "abcx" } },
	{ "^()x", { "x" }, { "ax" } },
	{ "^a*b", { "b", "ab", "aaab" }, { "a", "aac" } },
	{ "^a+b", { "ab", "aaab" }, { "b", "aac" } },
	{ "^a?b", { "b", "ab" }, { "aab" } },
	{ "^(a*)*b", { "b", "aab" }, { "aac" } },
	{ "^(a*|b+)+c$", { "c", "abac" }, { "abacd", "d" } },
	{ "^a**b", { "b", "aab" }, { "ac" } },
	{ "^a{2}$", { "aa" }, { "a", "aaa" } },
	{ "^a{2,}$", { "aa", "aaaa" }, { "a", "" } },
	{ "^a{1,}$", { "a", "aa" }, { "" } },
	{ "^a{0,}$", { "", "aa" }, { "b" } },
	{ "^a{,2}$", { "", "a", "aa" }, { "aaa" } },
	{ "^a{1,3}$", { "a", "aa", "aaa" }, { "", "aaaa" } },
	{ "^(a{0})b{0,1}$", { "", "b" }, { "a", "bb" } },
	{ "^(ab{1,2}){2}c$", { "ababc", "abbabc" }, { "abc", "abababc", "abbbabc" } },
	{ "^(a|b){2,3}$", { "ab", "bba" }, { "a", "abab" } },
	{ "^x(a?){3}y$", { "xy", "xaaay" }, { "xaaaay" } },
	{ "a.c", { "abc", "a\xff" "c" }, { "ac" } },
	{ "^[a-c]+$", { "abc" }, { "d", "", "-" } },
	{ "^[^a-c]+$", { "d\x80" }, { "a", "" } },
	{ "^[]a]+$", { "]a" }, { "b" } },
	{ "^[^]a]$", { "b" }, { "]", "a" } },
	{ "^[a-]+$", { "a-" }, { "b" } },
	{ "^[-a]+$", { "a-" }, { "b" } },
	{ "^[+--]+$", { "+,-" }, { "." } },
	{ "^[a\\]+$", { "a\\" }, { "]" } },
	{ "^[[:digit:][:upper:]_]+$", { "A1_" }, { "a", ":" } },
	{ "^[[.-.]-/]+$", { "-./" }, { "0" } },
	{ "^[[=a=]b]+$", { "ab" }, { "=" } },
	{ "^[[.].]x]+$", { "]x" }, { "." } },
	{ "\\.\\*\\[\\(\\{\\|\\^\\$\\\\", { ".*[({|^$\\" }, { "\\." } },
	{ "^a)}]", { "a)}]" }, { "a" } },
	{ "\\w\\W\\s\\S", { "a. b", "_- -" }, { "aa b", "a.bb" } },
	{ "\\<foo\\>", { "foo", "a foo.", "foo-" }, { "afoo", "food", "_foo" } },
	{ "\\bfoo\\B", { "food", "a food" }, { "foo", "afood" } },
	{ "\\`a\\'", { "a" }, { "ab", "ba" } },
};

static void
what_is_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct pattern *pattern = parse(cases[i].text);
		for (const char *const *line = cases[i].found; *line != NULL; line++)
			if (!pattern_fits(pattern, *line, strlen(*line)))
				fail_msg("%s should be found in \"%s\"", cases[i].text, *line);
		for (const char *const *line = cases[i].missed; *line != NULL; line++)
			if (pattern_fits(pattern, *line, strlen(*line)))
				fail_msg("%s should not be found in \"%s\"", cases[i].text, *line);
		pattern_free(pattern);
	}
}

static void
a_nul_is_a_byte_but_for_a_dot(void **state)
{
	(void)state;
	struct pattern *pattern = parse("^a[^x]b$");
	assert_true(pattern_fits(pattern, "a\0b", 3));
	assert_false(pattern_fits(pattern, "a\0bc", 4));
	assert_true(pattern_fits(pattern, "a\0bc", 3));
	pattern_free(pattern);
	pattern = parse("a.b");
	assert_false(pattern_fits(pattern, "a\0b", 3));
	pattern_free(pattern);
}

static void
what_is_no_expression_is_refused(void **state)
{
	static const char *const wrong[][2] = {
		{ "a(b", "has a ( that does not close" },
		{ "[a-", "has a [ that does not close" },
		{ "[", "has a [ that does not close" },
		{ "[]", "has a [ that does not close" },
		{ "[[:alpha:", "has a [ that does not close" },
		{ "*a", "has a *, +, ? or { behind nothing that it could repeat" },
		{ "a|*", "has a *, +, ? or { behind nothing that it could repeat" },
		{ "^*", "has a *, +, ? or { behind nothing that it could repeat" },
		{ "({1})", "has a *, +, ? or { behind nothing that it could repeat" },
		{ "a{", "has a { without how often, as {2} or {1,3} say it" },
		{ "a{2", "has a { without how often, as {2} or {1,3} say it" },
		{ "a{x}", "has a { without how often, as {2} or {1,3} say it" },
		{ "a{3,2}", "has a { without how often, as {2} or {1,3} say it" },
		{ "[b-a]", "has a range in [] that ends before it begins" },
		{ "[a-[:digit:]]", "has a range of classes in []" },
		{ "[a-c-e]", "has a - in [] that is neither first, last nor in a range" },
		{ "[[:letter:]]", "has an unknown class of characters in []" },
		{ "[[.ch.]]", "has more than one byte in [. .] or [= =]" },
		{ "a\\", "ends in a backslash" },
		{ "(a)\\1", "has a back-reference, which can take for ever" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct pattern *pattern = NULL;
		const char *sentence = pattern_parse(wrong[i][0], PATTERN_STEPS_MAX, &pattern);
		assert_null(pattern);
		if (sentence == NULL || strcmp(sentence, wrong[i][1]) != 0)
			fail_msg("%s: %s", wrong[i][0], sentence != NULL ? sentence : "is taken");
	}
}

/* With exactly so many steps it is taken, with one fewer not. */
static void
repetitions_are_counted_as_written_out(void **state)
{
	static const struct {
		const char *text;
		size_t steps;
	} sizes[] = {
		{ "a{100}", 100 },
		{ "a{10,100}", 190 },
		{ "(ab){,3}c", 10 },
		{ "(a{3}){4}", 12 },
		{ "a|bc", 5 },
		{ "a*b+c?", 7 },
		{ "(a{3000}){0}b", 1 },
		{ "((){9000}){9000}", 0 },
		{ "a{4000}", 4000 },
	};
	static const char *const large[] = {
		"a{4001}", "a{32767}", "a{99999999999}", "((a{1,255}){1,255}){1,255}", "((a{100}){100}){0}",
		"(a{4000}){1,}b", "a{4000}*", "(a{4000}|b)", "a{4000}[b]",
	};
	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct pattern *pattern = parse(sizes[i].text);
		assert_int_equal(pattern_steps(pattern), sizes[i].steps);
		pattern_free(pattern);
	}
	for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
		struct pattern *pattern = NULL;
		const char *sentence = pattern_parse(large[i], PATTERN_STEPS_MAX, &pattern);
		if (sentence == NULL || strncmp(sentence, "is too large", 12) != 0)
			fail_msg("%s: %s", large[i], sentence != NULL ? sentence : "is taken");
	}
}

static void
parentheses_within_each_other_are_bounded(void **state)
{
	char text[402] = "";
	struct pattern *pattern = NULL;
	(void)state;
	memset(text, '(', 200);
	memset(text + 200, ')', 200);
	pattern_free(parse(text));
	memset(text, '(', 201);
	memset(text + 201, ')', 200);
	assert_string_equal(pattern_parse(text, PATTERN_STEPS_MAX, &pattern),
			    "has more than 200 ( within each other");
}

static double
cpu_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/*
 * Each takes regcomp(3) or regexec(3) of glibc five seconds at least, and these a few milliseconds.
 */
static void
a_line_made_to_cost_much_does_not(void **state)
{
	static const char *const texts[] = {
		"a.*b", "[a-z]+ [0-9]+$", "(.?$)+++++i", "b*+?{50}c", "a+++++++++++++++++++++++++++++++++b",
		"(a|b)*a(a|b){12}c",
	};
	char *line = malloc(LINE_MAX_BYTES);
	(void)state;
	assert_non_null(line);
	srand(1);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		double begin = cpu_seconds();
		for (size_t k = 0; k < LINE_MAX_BYTES; k++)
			line[k] = i == 5 && rand() % 2 != 0 ? 'b' : 'a';
		struct pattern *pattern = parse(texts[i]);
		assert_false(pattern_fits(pattern, line, LINE_MAX_BYTES));
		pattern_free(pattern);
		if (cpu_seconds() - begin > 1)
			fail_msg("%s took %.3f s", texts[i], cpu_seconds() - begin);
	}
	free(line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_found),
		cmocka_unit_test(a_nul_is_a_byte_but_for_a_dot),
		cmocka_unit_test(what_is_no_expression_is_refused),
		cmocka_unit_test(repetitions_are_counted_as_written_out),
		cmocka_unit_test(parentheses_within_each_other_are_bounded),
		cmocka_unit_test(a_line_made_to_cost_much_does_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
