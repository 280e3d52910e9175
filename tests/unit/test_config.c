/* test_config.c - whole configurations: what is inherited, compared, dumped, and told in which
 * order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"

static char directory[] = "/tmp/twined-config-XXXXXX";

static void
file_write(const char *name, const char *content)
{
	FILE *file = fopen(name, "w");

	assert_non_null(file);
	fputs(content, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(name, 0644), 0);
}

static struct config *
read_good(const char *content)
{
	struct config_errors errors;

	file_write("t.ini", content);
	struct config *config = config_read("t.ini", NULL, 0, &errors);
	if (config == NULL)
		fail_msg("%s", errors.lines[0]);
	assert_int_equal(errors.count, 0);
	assert_true(errors.files >= 1);
	config_errors_clear(&errors);
	return config;
}

/* What is printed for a file with errors. */
static void
assert_errors(const char *content, const char *wanted)
{
	struct config_errors errors;
	char *printed;
	size_t length;
	FILE *out = open_memstream(&printed, &length);

	file_write("t.ini", content);
	assert_null(config_read("t.ini", NULL, 0, &errors));
	config_errors_print(&errors, "t.ini", out);
	fclose(out);
	assert_string_equal(printed, wanted);
	free(printed);
	config_errors_clear(&errors);
}

static const struct section_config *
find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->listener_count; i++)
		if (strcmp(config->listeners[i]->name, name) == 0)
			return config->listeners[i];
	fail_msg("no listener %s", name);
	return NULL;
}

static void
test_fills_in_the_defaults(void **state)
{
	struct config *config =
		read_good("[listener:e]\nlisten = tcp://127.0.0.1:7\nprotocol = echo\n");
	const struct listener_settings *e = &find(config, "e")->common.listener;

	(void)state;
	assert_int_equal(config->daemon.threads, OPTION_AUTO);
	assert_int_equal(config->daemon.shutdown_timeout_ms, 10000);
	assert_null(config->daemon.include);
	assert_int_equal(e->backlog, 4096);
	assert_int_equal(e->max_connections, 0);
	assert_int_equal(e->accept_rate.count, 0);
	assert_int_equal(e->on_full, ON_FULL_WAIT);
	assert_int_equal(e->idle_timeout_ms, 600000);
	assert_int_equal(e->write_timeout_ms, 30000);
	assert_int_equal(e->linger_timeout_ms, 5000);
	assert_int_equal(e->socket.keepalive, 1);
	assert_int_equal(e->socket_mode, 0660);
	assert_int_equal(e->socket_user, OPTION_AUTO);
	assert_int_equal(e->udp_reply_rate.count, OPTION_AUTO);
	assert_int_equal(e->udp_amplify, OPTION_AUTO);
	assert_int_equal(e->deny.count, 0);
	assert_string_equal(find(config, "e")->place, "t.ini:1");
	config_free(config);
}

static void
test_the_nearest_default_wins(void **state)
{
	static const char listeners[] =
		"[listener:e]\nlisten = tcp://127.0.0.1:1\nprotocol = echo\n"
		"[listener:p]\nlisten = tcp://127.0.0.1:2\nprotocol = proxy\n"
		"upstream = tcp://127.0.0.1:80\n"
		"[listener:q]\nlisten = tcp://127.0.0.1:3\nprotocol = proxy\n"
		"upstream = tcp://127.0.0.1:80\nidle_timeout = 1s\n";
	char content[1024];
	struct config *config = read_good(listeners);

	(void)state;
	assert_int_equal(find(config, "e")->common.listener.idle_timeout_ms, 600000);
	assert_int_equal(find(config, "p")->common.listener.idle_timeout_ms, 3600000);
	assert_int_equal(find(config, "q")->common.listener.idle_timeout_ms, 1000);
	config_free(config);
	snprintf(content, sizeof content, "%s[defaults]\nidle_timeout = 2m\n", listeners);
	config = read_good(content);
	assert_int_equal(find(config, "e")->common.listener.idle_timeout_ms, 120000);
	assert_int_equal(find(config, "p")->common.listener.idle_timeout_ms, 120000);
	assert_int_equal(find(config, "q")->common.listener.idle_timeout_ms, 1000);
	config_free(config);
}

static void
test_listeners_are_sorted_and_disabled_ones_apart(void **state)
{
	struct config *config = read_good(
		"[listener:b]\nlisten = tcp://127.0.0.1:1\nprotocol = echo\n"
		"[listener:c]\nlisten = tcp://127.0.0.1:1\nprotocol = echo\nenabled = no\n"
		"[listener:a]\nlisten = tcp://127.0.0.1:2\nprotocol = echo\n");

	(void)state;
	assert_int_equal(config->listener_count, 2);
	assert_string_equal(config->listeners[0]->name, "a");
	assert_string_equal(config->listeners[1]->name, "b");
	assert_int_equal(config->disabled_count, 1);
	assert_string_equal(config->disabled[0]->name, "c");
	config_free(config);
}

/* The two listeners x of two files. */
static bool
same(const char *a, const char *b)
{
	char content[512];
	snprintf(content, sizeof content, "[listener:x]\nlisten = tcp://127.0.0.1:1\n%s", a);
	struct config *first = read_good(content);
	snprintf(content, sizeof content, "[listener:x]\nlisten = tcp://127.0.0.1:1\n%s", b);
	struct config *second = read_good(content);
	bool equal = section_config_equal(first->listeners[0], second->listeners[0]);

	config_free(first);
	config_free(second);
	return equal;
}

static void
test_equality_is_of_values(void **state)
{
	(void)state;
	assert_true(same("protocol = echo\n", "; other\nprotocol = echo\n"));
	assert_true(same("protocol = echo\n", "protocol = echo\nidle_timeout = 600s\n"));
	assert_false(same("protocol = echo\n", "protocol = echo\nidle_timeout = 601s\n"));
	assert_false(same("protocol = echo\n", "protocol = discard\n"));
	assert_false(same("protocol = qotd\nquote = a\n", "protocol = qotd\nquote = b\n"));
	assert_true(same("protocol = qotd\nquote = a\n", "protocol = qotd\nquote = a\n"));
}

static void
test_a_changed_file_is_a_change(void **state)
{
	static const char content[] =
		"[listener:q]\nlisten = tcp://127.0.0.1:1\nprotocol = qotd\nfile = q.txt\n";

	(void)state;
	file_write("q.txt", "One.\n");
	struct config *before = read_good(content), *again = read_good(content);
	file_write("q.txt", "Two.\n");
	struct config *after = read_good(content);
	assert_true(section_config_equal(before->listeners[0], again->listeners[0]));
	assert_false(section_config_equal(before->listeners[0], after->listeners[0]));
	config_free(before);
	config_free(again);
	config_free(after);
	unlink("q.txt");
}

static void
test_a_listener_outlives_its_configuration(void **state)
{
	struct config *config = read_good(
		"[listener:q]\nlisten = tcp://127.0.0.1:1\nprotocol = qotd\nquote = hi\n");
	struct section_config *kept = section_config_ref(config->listeners[0]);

	(void)state;
	config_free(config);
	assert_string_equal(kept->name, "q");
	assert_string_equal(kept->protocol->name, "qotd");
	section_config_unref(kept);
}

static char *
dump(const struct config *config)
{
	char *printed;
	size_t length;
	FILE *out = open_memstream(&printed, &length);

	assert_int_equal(config_dump(config, out), 0);
	fclose(out);
	return printed;
}

static void
test_a_dump_reads_back_equal(void **state)
{
	struct config *config = read_good(
		"[daemon]\nthreads = 3\nlog_level = debug\n[defaults]\nallow = 10.0.0.0/8\n"
		"[listener:a]\nlisten = tcp://127.0.0.1:1\nprotocol = qotd\nquote = a$$b;c\n"
		"[listener:b]\nlisten = udp://[::1]:1\nprotocol = qotd\nquote =;x\n"
		"socket_user = root\n"
		"[listener:c]\nlisten = unix:///x\nprotocol = echo\nenabled = no\n");
	char *first = dump(config);
	struct config *back = read_good(first);
	char *second = dump(back);

	(void)state;
	assert_string_equal(first, second);
	assert_int_equal(back->daemon.threads, 3);
	assert_int_equal(back->listener_count, 2);
	assert_true(section_config_equal(config->listeners[0], back->listeners[0]));
	assert_true(section_config_equal(config->listeners[1], back->listeners[1]));
	assert_true(section_config_equal(config->disabled[0], back->disabled[0]));
	free(first);
	free(second);
	config_free(config);
	config_free(back);
}

static void
test_a_dump_tells_of_a_full_disk(void **state)
{
	struct config *config =
		read_good("[listener:e]\nlisten = tcp://127.0.0.1:7\nprotocol = echo\n");
	FILE *full = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(full);
	assert_int_equal(config_dump(config, full), -1);
	fclose(full);
	config_free(config);
}

static void
test_errors_come_in_the_order_of_files_and_lines(void **state)
{
	(void)state;
	file_write("1.inc", "[listener:x]\nlisten = y\nprotocol = echo\n");
	file_write("2.inc", "z\n");
	assert_errors(
		"[daemon]\ninclude = *.inc\n[listener:b]\nprotocol = nope\n[listener:a\n x\n"
		"[defaults]\nbacklog = 0\n",
		"t.ini:3: [listener:b] listen: missing: every listener needs it\n"
		"t.ini:4: [listener:b] protocol: \"nope\" is not a protocol: twined -l lists them\n"
		"t.ini:5: the header does not close with \"]\"\n"
		"t.ini:6: the line is indented: a key or header begins at the start of its line, "
		"and a value "
		"ends with its line\n"
		"t.ini:8: [defaults] backlog: \"0\" is out of range: 1 to 65535\n"
		"1.inc:2: [listener:x] listen: \"y\" is not an address such as tcp://127.0.0.1:80, "
		"udp://[::1]:53, unix:///run/x.sock, systemd:NAME\n"
		"2.inc:1: no \"=\" in the line: expected key = value\n"
		"t.ini: 7 errors\n");
	unlink("1.inc");
	unlink("2.inc");
}

static void
test_one_error_is_one(void **state)
{
	(void)state;
	assert_errors("",
		      "t.ini: no listener: expected a section [listener:NAME]\nt.ini: 1 error\n");
}

static void
test_nothing_to_read_is_an_error(void **state)
{
	struct config_errors errors;

	(void)state;
	assert_null(config_read(NULL, NULL, 0, &errors));
	assert_int_equal(errors.count, 1);
	config_errors_clear(&errors);
}

static void
test_specs(void **state)
{
	char *specs[] = { "echo tcp://127.0.0.1:1 idle_timeout=5s", "echo udp://127.0.0.1:1",
			  "qotd tcp://127.0.0.1:2 quote=\"a b\"" };
	struct config_errors errors;
	struct config *config = config_read(NULL, specs, 3, &errors);

	(void)state;
	assert_non_null(config);
	assert_int_equal(errors.files, 0);
	assert_int_equal(config->listener_count, 3);
	assert_int_equal(find(config, "echo")->common.listener.idle_timeout_ms, 5000);
	assert_int_equal(find(config, "echo-2")->common.listener.idle_timeout_ms, 600000);
	assert_string_equal(find(config, "echo")->place,
			    "-L 'echo tcp://127.0.0.1:1 idle_timeout=5s'");
	config_free(config);
	config_errors_clear(&errors);
}

static void
test_a_thousand_listeners(void **state)
{
	char *content;
	size_t length;
	FILE *out = open_memstream(&content, &length);

	(void)state;
	for (int i = 0; i < 1000; i++)
		fprintf(out, "[listener:l%04d]\nlisten = tcp://127.0.0.1:%d\nprotocol = echo\n", i,
			10000 + i);
	fclose(out);
	struct config *config = read_good(content);
	assert_int_equal(config->listener_count, 1000);
	assert_string_equal(config->listeners[999]->name, "l0999");
	config_free(config);
	free(content);
}

static void
test_describes_every_protocol(void **state)
{
	char *printed;
	size_t length;

	(void)state;
	for (size_t i = 0; protocols[i] != NULL; i++) {
		FILE *out = open_memstream(&printed, &length);
		assert_int_equal(config_describe(protocols[i]->name, out), 0);
		fclose(out);
		for (const struct option *row = protocols[i]->options;
		     row != NULL && row->name != NULL; row++)
			assert_non_null(strstr(printed, row->name));
		for (const struct option *row = listener_options; row->name != NULL; row++)
			assert_non_null(strstr(printed, row->name));
		free(printed);
	}
	assert_int_equal(config_describe("nope", stderr), -1);
}

static int
directory_enter(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL || chdir(directory) != 0;
}

static int
directory_leave(void **state)
{
	(void)state;
	unlink("t.ini");
	return chdir("/") != 0 || rmdir(directory) != 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fills_in_the_defaults),
		cmocka_unit_test(test_the_nearest_default_wins),
		cmocka_unit_test(test_listeners_are_sorted_and_disabled_ones_apart),
		cmocka_unit_test(test_equality_is_of_values),
		cmocka_unit_test(test_a_changed_file_is_a_change),
		cmocka_unit_test(test_a_listener_outlives_its_configuration),
		cmocka_unit_test(test_a_dump_reads_back_equal),
		cmocka_unit_test(test_a_dump_tells_of_a_full_disk),
		cmocka_unit_test(test_errors_come_in_the_order_of_files_and_lines),
		cmocka_unit_test(test_one_error_is_one),
		cmocka_unit_test(test_nothing_to_read_is_an_error),
		cmocka_unit_test(test_specs),
		cmocka_unit_test(test_a_thousand_listeners),
		cmocka_unit_test(test_describes_every_protocol),
	};

	return cmocka_run_group_tests(tests, directory_enter, directory_leave);
}
