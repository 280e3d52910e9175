/* main.c - twined: listeners from an INI file, each bound to a protocol. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"
#include "service/control.h"
#include "service/options.h"
#include "service/probe.h"
#include "service/run.h"

/* Reads the configuration for -t and -T; NULL after saying every error. */
static struct config *
read_config(const struct options *options)
{
	struct config_errors errors = { 0 };
	struct config *config =
		config_read(options->path, options->specs, options->spec_count, &errors);

	if (config == NULL)
		config_errors_print(&errors, options->path, stderr);
	config_errors_clear(&errors);
	return config;
}

static int
test(const struct options *options)
{
	struct config *config = read_config(options);

	if (config == NULL)
		return 1;
	printf("%s: OK: %zu listeners, %zu connectors\n",
	       options->path == NULL ? "-L" : options->path, config->listener_count,
	       config->connector_count);
	config_free(config);
	return 0;
}

static int
dump(const struct options *options)
{
	struct config *config = read_config(options);
	int result;

	if (config == NULL)
		return 1;
	result = config_dump(config, stdout);
	config_free(config);
	return result == 0 ? 0 : 1;
}

static int
describe(const struct options *options)
{
	const char *name = options->name_count > 0 ? options->names[0] : NULL;

	if (config_describe(name, stdout) == 0)
		return 0;
	fprintf(stderr, "twined: there is no protocol \"%s\"; twined -l lists them\n", name);
	return 2;
}

/* A standard stream that is closed must not become one of our sockets. */
static void
open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int
main(int argc, char **argv)
{
	struct options options;
	int status;

	open_standard_streams();
	status = options_parse(argc, argv, &options);
	if (status == 0) {
		switch (options.verb) {
		case VERB_RUN:
			status = run(&options);
			break;
		case VERB_TEST:
			status = test(&options);
			break;
		case VERB_DUMP:
			status = dump(&options);
			break;
		case VERB_PROTOCOLS:
			status = describe(&options);
			break;
		case VERB_PROBE:
			status = probe(&options);
			break;
		case VERB_RELOAD:
			status = control_reload(options.reload_pid);
			break;
		case VERB_VERSION:
			options_print_version(stdout);
			break;
		case VERB_HELP:
			options_print_usage(stdout);
			break;
		}
	}
	options_clear(&options);
	if (fflush(stdout) != 0 && status == 0)
		status = 1;
	return status;
}
