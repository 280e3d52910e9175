/* device_private.h - a device from within: for device*.c only. */
#ifndef TWINED_NET_DEVICE_PRIVATE_H
#define TWINED_NET_DEVICE_PRIVATE_H

#include "net/device.h"

enum { FILE_MODE = 0640 };

/* As the functions of device.h; read and write are called for what the device is open for. */
struct device_kind {
	ssize_t (*read)(struct device *device, uint8_t *bytes, size_t size);
	ssize_t (*write)(struct device *device, const uint8_t *bytes, size_t length, bool last);
};

struct device {
	const struct device_kind *kind;
	int fd;
	unsigned ways;			/* enum protocol_ways */
	bool polled, terminal;
	bool deaf;			/* what is written is dropped */
	bool told;			/* of a datagram that was too long */
	bool inside;			/* what was read or written last of a file stops inside a line */
	bool cut;			/* what is written comes behind a line that has no end */
	char *path;			/* NULL: none */
	const char *name;		/* of datagrams, for the log */
	struct file_place place;
	struct trail *trail;		/* NULL: none */
};

/* Ends the line that was cut before anything is written: 0, or -1 with errno. */
int device_end_cut(struct device *device);

/* Regular files: device_file.c. */
extern const struct device_kind device_file;
bool device_file_is_cut(const struct device *device);

#endif
