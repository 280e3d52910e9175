/* device.h - what is dialled that is no stream socket: a serial port, a FIFO, a file, datagrams. */
#ifndef TWINED_NET_DEVICE_H
#define TWINED_NET_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sockaddr_any;
struct socket_options;
struct trail;
union peer_address;

/* How far a file has been read: of the file of that identity, so many bytes. All zero: not yet. */
struct file_place {
	dev_t device;
	ino_t inode;
	uint64_t offset;
};

struct device;

/*
 * Opens a path for ways (enum protocol_ways). A terminal is made raw, with 8 bits, no parity and no
 * flow control, and with that speed if baud is not 0. A regular file that is read begins at the
 * place, if it is the same, else at its beginning; one that is written is appended to, and made if
 * it is not there, and a line that it ends inside of is ended first, if we may read it. On NULL
 * *why says what is wrong.
 */
struct device *device_open(const char *path, unsigned ways, int64_t baud,
			   const struct file_place *place, const char **why);

/*
 * Of one that is written: ends a line that the trail stops inside of before it writes, and leaves a
 * trail itself. A regular file says it itself, and only counts as written.
 */
void device_leave_trail(struct device *device, struct trail *trail);

/*
 * Makes a device of a datagram socket that is connected to the first of the addresses that there
 * can be one for, from the source, which may be of family 0 for any: each line that is written,
 * with its end, is one datagram; what comes back is dropped. name is for the log and lives as long.
 * NULL with errno.
 */
struct device *device_of_datagrams(const struct sockaddr_any *addresses, size_t count,
				   const union peer_address *source,
				   const struct socket_options *options, const char *name);

/* NULL is fine. What the system has not sent yet is dropped. */
void device_close(struct device *device);

int device_fd(const struct device *device);

/* Whether the system says when it can be read and written; else it is to be tried now and then. */
bool device_is_polled(const struct device *device);

/* Whether to be told of reading is of use: of what comes, or that it has gone. */
bool device_tells(const struct device *device);

/* Whether it is slow, so that little of what goes there should be on its way. */
bool device_is_slow(const struct device *device);

/*
 * Reads what there is. Returns the number of bytes, 0 for none, or -1 with errno when it has gone,
 * ENODATA when its stream has ended. A line that a file stops inside of when it is cut short or
 * replaced gets an end, which is none of its bytes. What comes from one that is only written is
 * dropped, and is none.
 */
ssize_t device_read(struct device *device, uint8_t *bytes, size_t size);

/*
 * Writes: returns how many of the bytes are done with, 0 when that is none; last: there will be no
 * more. -1 with errno: EAGAIN when it can be written to later, ENOBUFS when nobody will say so;
 * else it has gone. What would go to a file or FIFO that is only read, as a greeting, is dropped.
 */
ssize_t device_write(struct device *device, const uint8_t *bytes, size_t length, bool last);

/* Whether what was written has left. */
bool device_is_drained(const struct device *device);

/* Where reading has come to. */
struct file_place device_place(const struct device *device);

/* Whether a serial port can have a speed. */
bool device_has_speed(int64_t baud);

#endif
