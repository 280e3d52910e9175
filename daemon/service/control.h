/* control.h - how `twined --reload PID` asks a running twined to reload, and hears how it went. */
#ifndef TWINED_SERVICE_CONTROL_H
#define TWINED_SERVICE_CONTROL_H

#include <sys/types.h>

#include "config/config.h"

/* How long a reload may take: what asked for it waits no longer. */
enum { CONTROL_RELOAD_MS = 60 * 1000 };

struct control;
struct reactor;

/*
 * Listens on the abstract unix socket "@twined/PID" on the control reactor, for root and our own
 * user only. reload does the reload: 0, or -1 with errors. NULL with errno.
 */
struct control *control_new(struct reactor *reactor,
			    int (*reload)(void *arg, struct config_errors *errors), void *arg);
void control_free(struct control *control);

/* Makes that process reload and prints its errors on stderr: the exit status of --reload. */
int control_reload(pid_t pid);

#endif
