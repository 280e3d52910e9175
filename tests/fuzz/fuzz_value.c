/* fuzz_value.c - feeds every type of option any text: it is refused in words, or means one
 * thing. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/expand.h"
#include "config/spec.h"
#include "config/table.h"
#include "config/utf8.h"
#include "config/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const char *const choices[] = { "wait", "reset", NULL };

/* A row of every type that neither reads files nor asks for users, at one offset. */
static const struct option rows[] = {
	{ "bool", OPTION_BOOL, OPTION_MAY_AUTO, 0, 0, 0, NULL, NULL, "" },
	{ "number", OPTION_NUMBER, OPTION_MAY_NONE, 0, 1, 1000, NULL, NULL, "" },
	{ "duration", OPTION_DURATION, OPTION_MAY_NONE, 0, 1, INT64_MAX, NULL, NULL, "" },
	{ "size", OPTION_SIZE, 0, 0, 0, INT64_C(1) << 40, NULL, NULL, "" },
	{ "rate", OPTION_RATE, OPTION_MAY_AUTO, 0, 1, 1000, NULL, NULL, "" },
	{ "choice", OPTION_CHOICE, 0, 0, 0, 0, choices, NULL, "" },
	{ "mode", OPTION_MODE, 0, 0, 0, 0777, NULL, NULL, "" },
	{ "string", OPTION_STRING, OPTION_MAY_NONE, 0, 0, 100, NULL, NULL, "" },
	{ "listen", OPTION_LISTEN, 0, 0, 0, 0, NULL, NULL, "" },
	{ "connect", OPTION_CONNECT, 0, 0, 0, 0, NULL, NULL, "" },
	{ "upstreams", OPTION_UPSTREAMS, 0, 0, 0, 0, NULL, NULL, "" },
	{ "exchange", OPTION_EXCHANGE, OPTION_MAY_NONE, 0, 0, 0, NULL, NULL, "" },
	{ "bytes", OPTION_BYTES, OPTION_MAY_NONE, 0, 0, 0, NULL, NULL, "" },
	{ "ip", OPTION_IP, OPTION_MAY_NONE, 0, 0, 0, NULL, NULL, "" },
	{ "dscp", OPTION_DSCP, OPTION_MAY_AUTO, 0, 0, 0, NULL, NULL, "" },
	{ "prefixes", OPTION_PREFIXES, OPTION_MAY_NONE, 0, 0, 0, NULL, NULL, "" },
	{ "protocol", OPTION_PROTOCOL, 0, 0, 0, 0, NULL, NULL, "" },
};

union setting {
	int64_t number;
	struct rate rate;
	struct address_list addresses;
	struct upstream_list upstreams;
	struct exchange exchange;
	struct byte_text bytes;
	union peer_address ip;
	struct prefix_list prefixes;
	void *pointer;
};

static void
value_try(const struct option *row, const char *text)
{
	union setting setting = { 0 }, again = { 0 };
	char buffer[80];
	const char *wrong = value_set(row, &setting, text, NULL);

	if (wrong != NULL) {
		/* What is printed must be fit to be printed. */
		if (utf8_check(wrong, strlen(wrong), buffer, sizeof buffer) != NULL)
			abort();
		return;
	}
	bool is_number =
		row->type == OPTION_NUMBER || row->type == OPTION_SIZE || row->type == OPTION_MODE;
	if (is_number && setting.number != 0
	    && (setting.number < row->min || setting.number > row->max))
		abort();
	if (value_set(row, &again, text, NULL) != NULL || !value_equal(row, &setting, &again))
		abort();
	value_clear(row, &setting);
	value_clear(row, &again);
}

static void
spec_try(const char *text)
{
	struct origin origin = { .label = (char[]){ "-L" }, .is_spec = true };
	struct faults faults = { 0 };
	struct config_errors errors = { 0 };

	inifile_free(spec_parse(text, &origin, &faults));
	faults_finish(&faults, &errors);
	config_errors_clear(&errors);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	char *text = malloc(length + 1), *expanded;

	if (text == NULL)
		return 0;
	memcpy(text, bytes, length);
	text[length] = '\0';
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		value_try(&rows[i], text);
	spec_try(text);
	if (expand(text, &expanded) == NULL)
		free(expanded);
	free(text);
	return 0;
}
