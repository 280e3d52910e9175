/* section_config.h - one [listener:NAME] or [connector:NAME] with everything it inherits. */
#ifndef TWINED_CONFIG_SECTION_CONFIG_H
#define TWINED_CONFIG_SECTION_CONFIG_H

#include <stdbool.h>

#include "net/connector.h"
#include "net/listener.h"
#include "net/protocol.h"

enum section_type { SECTION_DAEMON, SECTION_DEFAULTS, SECTION_LISTENER, SECTION_CONNECTOR };

/* What a section is called: "listener", "connector", ... */
const char *section_word(enum section_type type);

/* The table of the keys that sections of a type have, whatever their protocol. */
const struct option *section_options(enum section_type type);

/*
 * Shared by the configuration it came with and by what runs it, which may outlive that
 * configuration: references are counted, from any thread.
 */
struct section_config {
	unsigned refs;				/* atomic */
	enum section_type type;			/* a listener or a connector */
	char *name;
	char *place;				/* "conf/twined.ini:12", for messages */
	const struct protocol *protocol;	/* NULL: not known */
	union {
		struct listener_settings listener;
		struct connector_settings connector;
	} common;				/* by section_options(type) */
	void *settings;				/* the protocol's, of protocol->settings_size bytes */
	char **common_texts;			/* the value of each row of section_options as text, or NULL */
	char **texts;				/* likewise of the protocol's options */
};

/*
 * Makes one with a reference, all unset; takes place over, also on failure. protocol may be NULL.
 */
struct section_config *section_config_new(enum section_type type, const char *name, char *place,
					  const struct protocol *protocol);

struct section_config *section_config_ref(struct section_config *section);
void section_config_unref(struct section_config *section);

/*
 * Whether two sections of a type are the same in every value (and in the bytes of every file they
 * name).
 */
bool section_config_equal(const struct section_config *a, const struct section_config *b);

/* Where the protocol of a section dials, and the key that says so; NULL: nowhere. */
const struct upstream_list *section_upstreams(const struct section_config *section,
					      const char **key);

#endif
