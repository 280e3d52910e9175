/* connector_config.h - one [connector:NAME] with everything it inherits. */
#ifndef TWINED_CONFIG_CONNECTOR_CONFIG_H
#define TWINED_CONFIG_CONNECTOR_CONFIG_H

#include <stdbool.h>

#include "net/connector.h"
#include "net/protocol.h"

/*
 * Shared by the configuration it came with and by what runs it, which may outlive that
 * configuration: references are counted, from any thread.
 */
struct connector_config {
	unsigned refs;				/* atomic */
	char *name;
	char *place;				/* "conf/twined.ini:12", for messages */
	struct connector_settings common;
	void *settings;				/* the protocol's, of protocol->settings_size bytes */
	char **common_texts;			/* the value of each row of connector_options as text, or NULL */
	char **texts;				/* likewise of the protocol's options */
};

/*
 * Makes one with a reference, all unset; takes place over, also on failure. protocol may be NULL.
 */
struct connector_config *
connector_config_new(const char *name, char *place, const struct protocol *protocol);

/* Whether two connectors are the same in every value (and in the bytes of every file they name). */
bool connector_config_equal(const struct connector_config *a, const struct connector_config *b);

struct connector_config *connector_config_ref(struct connector_config *connector);
void connector_config_unref(struct connector_config *connector);

#endif
