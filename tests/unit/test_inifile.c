/* test_inifile.c - the strict reader: what it takes, what it refuses, and at which line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/inifile.h"
#include "config/utf8.h"

/* All errors as lines "LINE [SECTION] KEY: SENTENCE". */
static char errors[1 << 16];

static void
error_note(void *arg, unsigned line, const char *section, const char *key, const char *sentence)
{
	size_t used = strlen(errors);

	assert_ptr_equal(arg, errors);
	snprintf(errors + used, sizeof errors - used, "%u [%s] %s: %s\n", line,
		 section != NULL ? section : "", key != NULL ? key : "", sentence);
}

static struct inifile *
parse_bytes(const char *bytes, size_t length)
{
	/* Exactly as large as it is, so that a sanitizer sees a read beyond it. */
	char *copy = malloc(length + (length == 0));

	assert_non_null(copy);
	memcpy(copy, bytes, length);
	errors[0] = '\0';
	struct inifile *file = inifile_parse(copy, length, error_note, errors);
	free(copy);
	assert_non_null(file);
	return file;
}

static struct inifile *
parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

/* "[name@line key@line=value ...]..." */
static void
assert_content(struct inifile *file, const char *wanted)
{
	char content[4096] = "";
	size_t used = 0;

	for (size_t i = 0; i < file->count; i++) {
		const struct inifile_section *section = &file->sections[i];
		used += (size_t)snprintf(content + used, sizeof content - used, "[%s@%u",
					 section->name, section->line);
		for (size_t k = 0; k < section->count; k++)
			used += (size_t)snprintf(content + used, sizeof content - used, " %s@%u=%s",
						 section->entries[k].key, section->entries[k].line,
						 section->entries[k].value);
		used += (size_t)snprintf(content + used, sizeof content - used, "]");
	}
	assert_string_equal(content, wanted);
	inifile_free(file);
}

static void
test_takes_plain_files(void **state)
{
	(void)state;
	assert_content(parse("[a]\nx = 1\ny=2\n\n[b]\nx\t=\t3  \n"),
		       "[a@1 x@2=1 y@3=2][b@5 x@6=3]");
	assert_string_equal(errors, "");
	assert_content(parse("\xef\xbb\xbf[a]\r\nx = 1\r\n[c]"), "[a@1 x@2=1][c@3]");
	assert_string_equal(errors, "");
	assert_content(parse(""), "");
	assert_string_equal(errors, "");
}

static void
test_keeps_values_as_they_stand(void **state)
{
	(void)state;
	assert_content(parse("[a]\nx = a = b : c ; d\n"), "[a@1 x@2=a = b : c]");
	assert_content(parse("[a]\nx = a;b # c\n"), "[a@1 x@2=a;b # c]");
	assert_content(parse("[a]\nx =;b\n"), "[a@1 x@2=;b]");
	assert_content(parse("[a]\nx = ;b\n"), "[a@1 x@2=]");
	assert_content(parse("[a]\nx = \"b\" \n"), "[a@1 x@2=\"b\"]");
	assert_content(parse("[a]\nx =\n"), "[a@1 x@2=]");
	assert_content(parse("[a]\nx = a\t;b\n"), "[a@1 x@2=a]");
	assert_string_equal(errors, "");
}

static void
test_a_refused_header_takes_its_keys_along(void **state)
{
	(void)state;
	struct inifile *file = parse("[a]\nx = 1\n[b\nx = 2\n[c]\nx = 3\n");
	assert_true(file->has_lost_section);
	assert_content(file, "[a@1 x@2=1][c@5 x@6=3]");
	assert_string_equal(errors, "3 [] : the header does not close with \"]\"\n");
}

static void
test_a_refused_line_is_noted_in_its_section(void **state)
{
	(void)state;
	struct inifile *file = parse("[a]\n x = 1\n[c]\nx = 3\n");
	assert_false(file->has_lost_section);
	assert_true(file->sections[0].has_lost_entry);
	assert_false(file->sections[1].has_lost_entry);
	assert_content(file, "[a@1][c@3 x@4=3]");
}

static void
test_refuses_repeated_keys_and_keeps_the_first(void **state)
{
	(void)state;
	assert_content(parse("[s]\nb = 1\na = 2\nb = 3\nc = 4\nb = 5\n[t]\nb = 6\n"),
		       "[s@1 b@2=1 a@3=2 c@5=4][t@7 b@8=6]");
	assert_string_equal(errors, "4 [s] b: repeated key, first at line 2\n"
				    "6 [s] b: repeated key, first at line 2\n");
}

static void
test_refuses_at_the_line(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		unsigned line;
	} cases[] = {
#define CASE(text, line) { text, sizeof text - 1, line }
		CASE("[a]\n x = 1\n", 2),
		CASE("[a]\n\tx = 1\n", 2),
		CASE("[a] b\n", 1),
		CASE("\n[a\n", 2),
		CASE("[]\n", 1),
		CASE("x = 1\n", 1),
		CASE("[a]\n= 1\n", 2),
		CASE("[a]\nx\n", 2),
		CASE("[a]\nx: 1\n", 2),
		CASE("[a]\nx : y = 1\n", 2),
		CASE("[a]\nx = \0\n", 2),
		CASE("\0", 1),
		CASE("[a]\nx = 1\ry = 2\n", 2),
		CASE("[a]\n\nx = 1\r", 3),
		CASE("[a]\r\r\n", 1),
		CASE("[a]\n;\x01\n", 2),
		CASE("[a]\n;\x7f", 2),
		CASE("[a]\n;\xff\n", 2),
		CASE("[a]\n;\xc3\n\xa4", 2),
		CASE(";\n\xef\xbb\xbf;", 2),
		CASE("[a]\n;\xc2\x85\n", 2),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char place[16];
		inifile_free(parse_bytes(cases[i].bytes, cases[i].length));
		snprintf(place, sizeof place, "%u [] : ", cases[i].line);
		if (strncmp(errors, place, strlen(place)) != 0)
			fail_msg("case %zu: %s", i, errors);
	}
}

static void
test_bounds_lines_and_names(void **state)
{
	char text[INIFILE_LINE_MAX + 32], name[INIFILE_NAME_MAX + 2];

	(void)state;
	memset(name, 'n', sizeof name);
	for (size_t length = INIFILE_NAME_MAX; length <= INIFILE_NAME_MAX + 1; length++) {
		snprintf(text, sizeof text, "[%.*s]\n", (int)length, name);
		inifile_free(parse(text));
		assert_int_equal(errors[0] == '\0', length == INIFILE_NAME_MAX);
		snprintf(text, sizeof text, "[a]\n%.*s = 1\n", (int)length, name);
		inifile_free(parse(text));
		assert_int_equal(errors[0] == '\0', length == INIFILE_NAME_MAX);
	}
	for (int length = INIFILE_LINE_MAX; length <= INIFILE_LINE_MAX + 1; length++) {
		int used = sprintf(text, "[a]\nx = ");
		memset(text + used, 'v', (size_t)length - 4);
		strcpy(text + used + length - 4, "\r\n");
		struct inifile *file = parse(text);
		assert_int_equal(errors[0] == '\0', length == INIFILE_LINE_MAX);
		if (length == INIFILE_LINE_MAX)
			assert_int_equal(strlen(file->sections[0].entries[0].value), length - 4);
		else
			assert_int_equal(file->sections[0].count, 0);
		inifile_free(file);
	}
}

static void
test_cut_anywhere_it_does_not_crash(void **state)
{
	static const char text[] =
		"\xef\xbb\xbf[a] ; c\r\nx = \xe2\x82\xac ; y\r\n\r\n[b]\nx: 1\n y\n[";

	(void)state;
	for (size_t from = 0; from < sizeof text; from++)
		for (size_t length = 0; from + length < sizeof text; length++)
			inifile_free(parse_bytes(text + from, length));
}

static void
test_reads_no_more_than_a_file(void **state)
{
	(void)state;
	errors[0] = '\0';
	assert_null(inifile_read("/", error_note, errors));
	assert_string_equal(errors, "0 [] : is a directory, not a file\n");
	errors[0] = '\0';
	assert_null(inifile_read("/dev/zero", error_note, errors));
	assert_string_equal(errors, "0 [] : is a device, not a file\n");
}

static void
test_knows_what_a_value_can_hold(void **state)
{
	char buffer[80], large[INIFILE_LINE_MAX];

	(void)state;
	assert_null(inifile_value_check("k", "a;b #c", buffer, sizeof buffer));
	assert_null(inifile_value_check("k", ";", buffer, sizeof buffer));
	assert_null(inifile_value_check("k", "", buffer, sizeof buffer));
	assert_non_null(inifile_value_check("k", " a", buffer, sizeof buffer));
	assert_non_null(inifile_value_check("k", "a\t", buffer, sizeof buffer));
	assert_non_null(inifile_value_check("k", "a ;b", buffer, sizeof buffer));
	assert_non_null(inifile_value_check("k", "a\n", buffer, sizeof buffer));
	assert_non_null(inifile_value_check("k", "\xff", buffer, sizeof buffer));
	memset(large, 'x', sizeof large);
	large[INIFILE_LINE_MAX - 4] = '\0';
	assert_null(inifile_value_check("k", large, buffer, sizeof buffer));
	large[0] = '$';
	assert_non_null(inifile_value_check("k", large, buffer, sizeof buffer));
}

static void
test_utf8(void **state)
{
	uint32_t character;

	(void)state;
	assert_int_equal(utf8_decode("\xf0\x9f\x98\x80", 4, &character), 4);
	assert_int_equal(character, 0x1f600);
	assert_int_equal(utf8_decode("\xf4\x8f\xbf\xbf", 4, &character), 4);
	assert_int_equal(utf8_decode("\xf4\x90\x80\x80", 4, &character), 0);
	assert_int_equal(utf8_decode("\xed\x9f\xbf", 3, &character), 3);
	assert_int_equal(utf8_decode("\xed\xa0\x80", 3, &character), 0);
	assert_int_equal(utf8_decode("\xe0\x9f\xbf", 3, &character), 0);
	assert_int_equal(utf8_decode("\xc1\xbf", 2, &character), 0);
	assert_int_equal(utf8_decode("\xc3", 1, &character), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_plain_files),
		cmocka_unit_test(test_keeps_values_as_they_stand),
		cmocka_unit_test(test_a_refused_header_takes_its_keys_along),
		cmocka_unit_test(test_a_refused_line_is_noted_in_its_section),
		cmocka_unit_test(test_refuses_repeated_keys_and_keeps_the_first),
		cmocka_unit_test(test_refuses_at_the_line),
		cmocka_unit_test(test_bounds_lines_and_names),
		cmocka_unit_test(test_cut_anywhere_it_does_not_crash),
		cmocka_unit_test(test_reads_no_more_than_a_file),
		cmocka_unit_test(test_knows_what_a_value_can_hold),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
