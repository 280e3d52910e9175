/* listener_config.h - one [listener:NAME] with everything it inherits. */
#ifndef TWINED_CONFIG_LISTENER_CONFIG_H
#define TWINED_CONFIG_LISTENER_CONFIG_H

#include <stdbool.h>

#include "net/listener.h"
#include "net/protocol.h"

/*
 * Shared by the configuration it came with and by what runs it, which may outlive that
 * configuration: references are counted, from any thread.
 */
struct listener_config {
	unsigned refs;				/* atomic */
	char *name;
	char *place;				/* "conf/twined.ini:12", for messages */
	struct listener_settings common;
	void *settings;				/* the protocol's, of protocol->settings_size bytes */
	char **common_texts;			/* the value of each row of listener_options as text, or NULL */
	char **texts;				/* likewise of the protocol's options */
};

/*
 * Makes one with a reference, all unset; takes place over, also on failure. protocol may be NULL.
 */
struct listener_config *
listener_config_new(const char *name, char *place, const struct protocol *protocol);

/* Whether two listeners are the same in every value (and in the bytes of every file they name). */
bool listener_config_equal(const struct listener_config *a, const struct listener_config *b);

/* Where the protocol of a listener dials, and the key that says so; NULL: nowhere. */
const struct upstream_list *
listener_upstreams(const struct listener_config *listener, const char **key);

struct listener_config *listener_config_ref(struct listener_config *listener);
void listener_config_unref(struct listener_config *listener);

#endif
