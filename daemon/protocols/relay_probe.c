/* relay_probe.c - a relay's probe: one member sends a line, and another one gets it. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "protocols/filter.h"
#include "protocols/relay_private.h"

/*
 * Whether a line would go through the section both ways; without memory to know, it is not tried.
 */
static bool
probe_may_pass(const struct relay_settings *settings, const uint8_t *line, size_t length)
{
	struct filter *filter;
	if (settings->role != ROLE_BOTH)
		return false;
	if (settings->filter == NULL)
		return true;
	if (filter_parse(settings->filter, &filter) != NULL)
		return false;
	bool passes = filter_passes(filter, line, length);
	filter_free(filter);
	return passes;
}

/* A line that nobody else sends; none where it would not come back, and others might get it. */
static size_t
relay_probe_request(const void *void_settings, uint8_t request[static PROBE_REQUEST_MAX])
{
	const struct relay_settings *settings = void_settings;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int length = snprintf((char *)request, PROBE_REQUEST_MAX, "twined probe %ld %lld.%09ld",
			      (long)getpid(), (long long)now.tv_sec, now.tv_nsec);
	if (length > settings->max_line)
		length = (int)settings->max_line;
	if (!probe_may_pass(settings, request, (size_t)length))
		return 0;
	request[length] = '\n';
	return (size_t)length + 1;
}

/* Whether a line with its end is somewhere in the reply, behind a prefix if lines have one. */
static bool
reply_has_line(const struct relay_settings *settings, const uint8_t *reply, size_t reply_length,
	       const uint8_t *line, size_t length)
{
	for (size_t at = 0; at + length <= reply_length; at++) {
		const uint8_t *found = memmem(reply + at, reply_length - at, line, length);
		if (found == NULL)
			return false;
		if (settings->prefix != NULL || found == reply || found[-1] == '\n')
			return true;
		/* Somebody's line ends like it. */
		at = (size_t)(found - reply);
	}
	return false;
}

/* There may be a greeting, history, and other members' lines around it, and a prefix before it. */
static enum probe_verdict
relay_probe_check(const void *void_settings, const uint8_t *request, size_t request_length,
		  const uint8_t *reply, size_t reply_length, bool ended, const char **failure)
{
	const struct relay_settings *settings = void_settings;
	uint8_t line[PROBE_REQUEST_MAX + 1];
	if (request_length == 0)
		return PROBE_OK;
	memcpy(line, request, request_length - 1);
	size_t length = request_length - 1
			+ relay_put_line_end(settings, (char *)line + request_length - 1);
	if (reply_has_line(settings, reply, reply_length, line, length))
		return PROBE_OK;
	if (!ended)
		return PROBE_MORE;
	*failure = "the line did not reach the other member";
	return PROBE_FAILED;
}

const struct probe relay_probe = {
	.request = relay_probe_request,
	.check = relay_probe_check,
	.two_members = true,
};
