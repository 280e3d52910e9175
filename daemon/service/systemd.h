/* systemd.h - what systemd is told and what it passes: sd_notify(3), sd_listen_fds(3), the
 * watchdog. */
#ifndef TWINED_SERVICE_SYSTEMD_H
#define TWINED_SERVICE_SYSTEMD_H

#include <stdint.h>

#include "net/listener.h"

/* Each does nothing where no service manager listens, or in a build without systemd. */
void systemd_ready(const char *status);
void systemd_reloading(void);
void systemd_stopping(void);
void systemd_status(const char *status);
void systemd_watchdog(void);

/* Whether somebody reads what the others send. */
bool systemd_is_there(void);

/* How often systemd_watchdog is expected, in ms; 0: never. */
int64_t systemd_watchdog_ms(void);

/*
 * The passed sockets as ports whose key is "systemd:NAME", one reference each; logs those that
 * cannot be used. 0, or -1 with errno.
 */
int systemd_sockets(struct port_list *ports);

#endif
