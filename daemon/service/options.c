/* options.c - the command line: what is asked for, of which files. */
#include "config.h"

#include "service/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "net/reactor.h"

enum { OPTION_RELOAD = 256 };

#ifdef HAVE_SYSTEMD
#define SYSTEMD_LIBRARY ", libsystemd " LIBSYSTEMD_VERSION
#define SYSTEMD_FEATURE "+systemd"
#else
#define SYSTEMD_LIBRARY ""
#define SYSTEMD_FEATURE "-systemd"
#endif
#ifdef HAVE_LIBURING
#define LIBURING_LIBRARY ", liburing " LIBURING_VERSION
#define LIBURING_FEATURE " +io_uring"
#else
#define LIBURING_LIBRARY ""
#define LIBURING_FEATURE " -io_uring"
#endif

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "test", no_argument, NULL, 't' },
	{ "dump", no_argument, NULL, 'T' },
	{ "protocols", no_argument, NULL, 'l' },
	{ "probe", no_argument, NULL, 'p' },
	{ "listen", required_argument, NULL, 'L' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "reload", required_argument, NULL, OPTION_RELOAD },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

void
options_print_usage(FILE *out)
{
	fputs("usage: twined [-c FILE] [-L 'PROTOCOL ADDRESS[,ADDRESS...] [KEY=VALUE...]']... [-v] [-q]\n"
	      "       twined -t | -T | -p [NAME...]   [-c FILE] [-L ...]...\n"
	      "       twined -l [PROTOCOL] | --reload PID | -V | -h\n"
	      "\n"
	      "Runs the listeners of an INI file in the foreground, each bound to a protocol.\n"
	      "\n"
	      "  -c, --config FILE       the configuration (default: " SYSCONFDIR
	      "/twined/twined.ini)\n"
	      "  -t, --test              read it, say every error, exit\n"
	      "  -T, --dump              print it with all defaults\n"
	      "  -p, --probe [NAME...]   try every address of it, or of those listeners, as a client\n"
	      "  -l, --protocols [NAME]  what protocols there are, or the options of one\n"
	      "  -L, --listen SPEC       a listener without a file, such as 'echo tcp://127.0.0.1:7007'\n"
	      "  -v, --verbose           log one level more; repeatable\n"
	      "  -q, --quiet             log one level less; repeatable\n"
	      "      --reload PID        make that twined reload, and wait for the outcome\n"
	      "  -V, --version           the version\n"
	      "  -h, --help              this text\n"
	      "\n"
	      "Signals: HUP reloads, USR1 logs a summary, TERM and INT stop (twice: at once).\n",
	      out);
}

void
options_print_version(FILE *out)
{
	fprintf(out,
		"twined " PACKAGE_VERSION
		"\nlibevent %s, inih " INIH_VERSION SYSTEMD_LIBRARY LIBURING_LIBRARY
		"\nfeatures: " SYSTEMD_FEATURE LIBURING_FEATURE "\n",
		reactor_library_version());
}

static int
usage_error(const char *format, const char *what)
{
	fputs("twined: ", stderr);
	fprintf(stderr, format, what);
	fputs("; see twined --help\n", stderr);
	return 2;
}

static int
set_verb(struct options *options, enum verb verb)
{
	if (options->verb != VERB_RUN && options->verb != verb)
		return usage_error("%s", "only one of -t, -T, -l, -p, --reload, -V and -h can be given");
	options->verb = verb;
	return 0;
}

static int
set_reload_pid(struct options *options, const char *text)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || pid <= 0 || pid > INT_MAX)
		return usage_error("--reload: \"%s\" is not a process id", text);
	options->reload_pid = (pid_t)pid;
	return set_verb(options, VERB_RELOAD);
}

static int
add_spec(struct options *options, char *spec)
{
	char **specs = realloc(options->specs, (options->spec_count + 1) * sizeof *specs);

	if (specs == NULL)
		return usage_error("%s", strerror(ENOMEM));
	options->specs = specs;
	options->specs[options->spec_count++] = spec;
	return 0;
}

/* One option of getopt_long(3): 0, or the exit status. */
static int
option_take(struct options *options, int letter, char **argv)
{
	char unknown[] = { '-', (char)optopt, '\0' };

	switch (letter) {
	case 'c':
		if (options->path != NULL)
			return usage_error("%s", "-c can be given once");
		options->path = optarg;
		return 0;
	case 't':
		return set_verb(options, VERB_TEST);
	case 'T':
		return set_verb(options, VERB_DUMP);
	case 'l':
		return set_verb(options, VERB_PROTOCOLS);
	case 'p':
		return set_verb(options, VERB_PROBE);
	case 'L':
		return add_spec(options, optarg);
	case 'v':
		options->louder++;
		return 0;
	case 'q':
		options->louder--;
		return 0;
	case OPTION_RELOAD:
		return set_reload_pid(options, optarg);
	case 'V':
		return set_verb(options, VERB_VERSION);
	case 'h':
		return set_verb(options, VERB_HELP);
	case ':':
		return usage_error("%s needs a value", argv[optind - 1]);
	default:
		return usage_error("unknown option %s",
				   optopt > 0 && optopt < 256 ? unknown : argv[optind - 1]);
	}
}

int
options_parse(int argc, char **argv, struct options *options)
{
	int letter, status;

	*options = (struct options){ .verb = VERB_RUN };
	opterr = 0;
	while ((letter = getopt_long(argc, argv, ":c:tTlpL:vqVh", long_options, NULL)) != -1) {
		status = option_take(options, letter, argv);
		if (status != 0)
			return status;
	}
	options->names = argv + optind;
	options->name_count = (size_t)(argc - optind);
	if (options->name_count > 0 && options->verb != VERB_PROBE
	    && !(options->verb == VERB_PROTOCOLS && options->name_count == 1))
		return usage_error("unexpected argument \"%s\"", argv[optind]);
	if (options->path == NULL && options->spec_count == 0)
		options->path = SYSCONFDIR "/twined/twined.ini";
	return 0;
}

void
options_clear(struct options *options)
{
	free(options->specs);
	options->specs = NULL;
}
