/* log.h - one line an event, to stderr or to the journal. Safe from every thread. */
#ifndef TWINED_BASE_LOG_H
#define TWINED_BASE_LOG_H

#include <stdbool.h>

enum log_level {
	LEVEL_ERROR,	/* someone must act */
	LEVEL_WARNING,	/* odd */
	LEVEL_NOTICE,	/* start, stop, reload */
	LEVEL_INFO,	/* connections */
	LEVEL_DEBUG,	/* the rest */
};

/* The names of the levels, in order, ending in NULL: "error" ... "debug". */
extern const char *const log_level_names[];

/*
 * Chooses where lines go: to the journal when stderr is the journal's stream (JOURNAL_STREAM of
 * systemd.exec(5)), else to stderr.
 */
void log_open(void);

/* Whether log_open has found the journal. */
bool log_is_journal(void);

/* Lines above the level are not written. A level beyond the ends is taken as the end. */
void log_set_level(int level);

bool log_enabled(enum log_level level);

/* Writes one line; bytes outside 0x20-0x7e are escaped as \xNN, valid UTF-8 beyond them is kept. */
void log_line(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LEVEL_NOTICE, __VA_ARGS__)
/* These two are cheap when the level is off: the arguments are not evaluated. */
#define log_info(...) (log_enabled(LEVEL_INFO) ? log_line(LEVEL_INFO, __VA_ARGS__) : (void)0)
#define log_debug(...) (log_enabled(LEVEL_DEBUG) ? log_line(LEVEL_DEBUG, __VA_ARGS__) : (void)0)

#endif
