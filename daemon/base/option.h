/* option.h - a row of an option table: what one INI key is, for the parser, -l, -T and the manual. */
#ifndef TWINED_BASE_OPTION_H
#define TWINED_BASE_OPTION_H

#include <stddef.h>
#include <stdint.h>

/*
 * Every number is an int64_t in its settings struct. OPTION_AUTO stands for the word "auto",
 * 0 for the word "none" (rows say with flags which of the two words they take).
 */
#define OPTION_AUTO ((int64_t)-1)

enum option_type {
	OPTION_BOOL,		/* int64_t: 0 or 1 */
	OPTION_NUMBER,		/* int64_t */
	OPTION_DURATION,	/* int64_t, milliseconds; "0" and "none" are 0: off */
	OPTION_SIZE,		/* int64_t, bytes */
	OPTION_RATE,		/* struct rate */
	OPTION_CHOICE,		/* int64_t, index into choices */
	OPTION_MODE,		/* int64_t, octal permission bits */
	OPTION_STRING,		/* char *, owned by the settings */
	OPTION_FILE,		/* struct file_text: the file is read when the value is */
	OPTION_USER,		/* int64_t uid, OPTION_AUTO when unset */
	OPTION_GROUP,		/* int64_t gid, OPTION_AUTO when unset */
	OPTION_LISTEN,		/* struct address_list: addresses to bind */
	OPTION_CONNECT,		/* struct address_list: addresses to dial */
	OPTION_UPSTREAMS,	/* struct upstream_list: addresses to dial, with weight and backup */
	OPTION_EXCHANGE,	/* struct exchange: the word connect, or what to send and to expect */
	OPTION_IP,		/* union peer_address without a port; family 0 when unset */
	OPTION_DSCP,		/* int64_t, 0 to 63; OPTION_AUTO when unset */
	OPTION_PREFIXES,	/* struct prefix_list */
	OPTION_PROTOCOL,	/* const struct protocol * */
};

/* So many events in so many milliseconds; count 0 is no limit, OPTION_AUTO the word "auto". */
struct rate {
	int64_t count;
	int64_t period_ms;
};

/* A file that belongs to the configuration, whole; bytes is NULL when the option is unset. */
struct file_text {
	char *path;
	char *bytes;		/* NUL-terminated behind length */
	size_t length;
};

/* What is asked of a server to see whether it serves. */
enum exchange_kind {
	EXCHANGE_NONE,
	EXCHANGE_CONNECT,	/* that it accepts */
	EXCHANGE_BYTES,		/* that it answers what is sent with what is expected first */
};

struct exchange {
	enum exchange_kind kind;
	uint8_t *send, *expect;	/* may hold NUL; expect is not empty */
	size_t send_length, expect_length;
};

enum option_flags {
	OPTION_REQUIRED = 1 << 0,
	OPTION_MAY_AUTO = 1 << 1,	/* the word "auto" is a value */
	OPTION_MAY_NONE = 1 << 2,	/* the word "none" is a value: 0, or NULL for a string */
	OPTION_AT_START = 1 << 3,	/* a change takes effect at a restart, not at a reload */
};

struct option {
	const char *name;		/* NULL ends a table */
	enum option_type type;
	unsigned flags;
	size_t offset;			/* of the field in the settings struct */
	int64_t min, max;		/* of numbers (in the type's unit) and of a string's length */
	const char *const *choices;	/* OPTION_CHOICE: names, ending in NULL */
	const char *fallback;		/* the default, as it would stand in the file; NULL: unset */
	const char *help;		/* one line, lower case, no full stop */
};

/* Looks up a row by name; NULL when the table (which may be NULL) has none. */
const struct option *option_find(const struct option *table, const char *name);

#endif
