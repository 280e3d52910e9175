/* relay_settings.h - the keys of a relay. */
#ifndef TWINED_PROTOCOLS_RELAY_SETTINGS_H
#define TWINED_PROTOCOLS_RELAY_SETTINGS_H

#include <stdint.h>

#include "base/option.h"
#include "net/protocol.h"

enum role { ROLE_IN, ROLE_OUT, ROLE_BOTH };
enum on_long_line { ON_LONG_LINE_DROP, ON_LONG_LINE_CUT, ON_LONG_LINE_CLOSE };
enum line_end { LINE_END_LF, LINE_END_CRLF };

enum {
	PREFIX_MAX = 1024,			/* with its words written out; what is beyond is cut */
	TEMPLATE_MAX = 200,
	FILTER_MAX = 3900,
	HUB_NAME_MAX = 40,
};

struct relay_settings {
	int64_t role, loopback, max_line, on_long_line, line_end, history, history_age, buffer,
		on_slow;
	struct rate line_rate;
	char *hub, *drop_notice, *prefix, *greeting, *filter;
};

extern const struct option relay_options[];

/* The relay's settings_check. */
void relay_settings_check(const void *settings, const struct address_list *listen,
			  settings_error_fn *error, void *arg);

#endif
