/* systemd.c - what systemd is told and what it passes: sd_notify(3), sd_listen_fds(3), the
 * watchdog. */
#include "config.h"

#include "service/systemd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "net/port.h"
#include "service/control.h"

#ifdef HAVE_SYSTEMD

#include <systemd/sd-daemon.h>

int64_t
systemd_watchdog_ms(void)
{
	uint64_t us = 0;

	return sd_watchdog_enabled(0, &us) > 0 ? (int64_t)(us / 1000) : 0;
}

bool
systemd_is_there(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

void
systemd_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
	if (systemd_watchdog_ms() > 0)
		sd_notifyf(0, "WATCHDOG_USEC=%" PRId64, systemd_watchdog_ms() * 1000);
}

void
systemd_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		   (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
	/*
	 * Names in `listen` are looked up meanwhile, and of users: half a minute for one of which
	 * no name server says anything. That is no hang until nobody waits for it any more.
	 */
	if (systemd_watchdog_ms() > 0 && systemd_watchdog_ms() < CONTROL_RELOAD_MS)
		sd_notifyf(0, "WATCHDOG_USEC=%" PRId64, (int64_t)CONTROL_RELOAD_MS * 1000);
}

void
systemd_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
}

void
systemd_status(const char *status)
{
	sd_notifyf(0, "STATUS=%s", status);
}

void
systemd_watchdog(void)
{
	sd_notify(0, "WATCHDOG=1");
}

/*
 * Adds one passed descriptor; one that cannot be used is logged and closed. 0, or -1 without
 * memory.
 */
static int
add_socket(struct port_list *ports, int fd, const char *name)
{
	char key[300];
	struct port *port, **items;
	const char *error;

	snprintf(key, sizeof key, "systemd:%s", name);
	error = port_adopt(fd, key, &port);
	if (error != NULL) {
		log_warning("%s: %s", key, error);
		close(fd);
		return 0;
	}
	items = realloc(ports->items, (ports->count + 1) * sizeof *items);
	if (items == NULL) {
		port_unref(port);
		return -1;
	}
	ports->items = items;
	ports->items[ports->count++] = port;
	return 0;
}

int
systemd_sockets(struct port_list *ports)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names), result = 0;

	*ports = (struct port_list){ 0 };
	if (count < 0) {
		errno = -count;
		return -1;
	}
	for (int i = 0; i < count; i++) {
		if (add_socket(ports, SD_LISTEN_FDS_START + i, names[i]) < 0)
			result = -1;
		free(names[i]);
	}
	free(names);
	return result;
}

#else

bool
systemd_is_there(void)
{
	return false;
}

void
systemd_ready(const char *status)
{
	(void)status;
}

void
systemd_reloading(void)
{
}

void
systemd_stopping(void)
{
}

void
systemd_status(const char *status)
{
	(void)status;
}

void
systemd_watchdog(void)
{
}

int64_t
systemd_watchdog_ms(void)
{
	return 0;
}

int
systemd_sockets(struct port_list *ports)
{
	*ports = (struct port_list){ 0 };
	return 0;
}

#endif
