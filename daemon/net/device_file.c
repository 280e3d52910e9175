/* device_file.c - regular files: appended to, or followed as they grow and are moved away. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/device_private.h"

/* Whether the path leads to another file now than to ours; not while it leads to none. */
static bool
is_replaced(const struct device *device, bool when_missing)
{
	struct stat status;

	if (stat(device->path, &status) < 0)
		return when_missing && errno == ENOENT;
	return status.st_dev != device->place.device || status.st_ino != device->place.inode;
}

/*
 * Whether the file ends inside a line, as one does that was full. When the path leads to another
 * one by now, nothing will be written to it.
 */
bool
device_file_is_cut(const struct device *device)
{
	int fd = open(device->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat status;
	bool is_cut = false;
	char last;

	if (fd < 0)
		return false;
	if (fstat(fd, &status) == 0 && status.st_dev == device->place.device
	    && status.st_ino == device->place.inode && status.st_size > 0
	    && pread(fd, &last, 1, status.st_size - 1) == 1)
		is_cut = last != '\n';
	close(fd);
	return is_cut;
}

/* Goes on with the file that the path leads to: 0, or -1 with errno. */
static int
file_replace(struct device *device, int flags)
{
	int fd = open(device->path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, FILE_MODE);
	struct stat status;

	if (fd < 0)
		return -1;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		errno = ENODATA;
		return -1;
	}
	close(device->fd);
	device->fd = fd;
	device->place = (struct file_place){ .device = status.st_dev, .inode = status.st_ino };
	return 0;
}

/* The end of a line that will not go on. */
static ssize_t
line_end(struct device *device, uint8_t *bytes)
{
	device->inside = false;
	*bytes = '\n';
	return 1;
}

/* Reads on; one that was cut short is read from its beginning. */
static ssize_t
file_take(struct device *device, uint8_t *bytes, size_t size)
{
	ssize_t length = pread(device->fd, bytes, size, (off_t)device->place.offset);
	struct stat status;

	if (length == 0 && fstat(device->fd, &status) == 0
	    && (uint64_t)status.st_size < device->place.offset) {
		device->place.offset = 0;
		if (device->inside)
			return line_end(device, bytes);
		length = pread(device->fd, bytes, size, 0);
	}
	if (length > 0) {
		device->place.offset += (uint64_t)length;
		device->inside = bytes[length - 1] != '\n';
	}
	return length < 0 && errno == EINTR ? 0 : length;
}

/*
 * All of a file is read before its successor: that is looked for at the end only, and then what was
 * written before it had one comes first.
 */
static ssize_t
file_read(struct device *device, uint8_t *bytes, size_t size)
{
	ssize_t length = file_take(device, bytes, size);

	if (length != 0 || !is_replaced(device, false))
		return length;
	length = file_take(device, bytes, size);
	if (length != 0 || file_replace(device, O_RDONLY) < 0)
		return length;
	return device->inside ? line_end(device, bytes) : file_take(device, bytes, size);
}

/* One that was moved away to be kept is left in peace, once the line under way is in it. */
static ssize_t
file_write(struct device *device, const uint8_t *bytes, size_t length, bool last)
{
	ssize_t written;

	(void)last;
	if (!device->inside && is_replaced(device, true)) {
		if (file_replace(device, O_WRONLY | O_APPEND | O_CREAT) < 0)
			return -1;
		device->cut = device_file_is_cut(device);
	}
	written = device_end_cut(device) < 0 ? -1 : write(device->fd, bytes, length);
	if (written > 0)
		device->inside = bytes[written - 1] != '\n';
	if (written < 0 && errno == EINTR)
		errno = EAGAIN;
	return written;
}

const struct device_kind device_file = { file_read, file_write };
