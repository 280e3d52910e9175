/* device_datagram.c - a line, with its end, is a datagram. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/datagram_socket.h"
#include "net/device_private.h"
#include "net/protocol.h"
#include "net/socket_options.h"

enum { BATCH = 64 };

/* Nobody asks for answers; but that nobody is there is told by reading, too. */
static ssize_t
datagrams_read(struct device *device, uint8_t *bytes, size_t size)
{
	for (int i = 0; i < BATCH; i++)
		if (recv(device->fd, bytes, size, MSG_DONTWAIT) < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
	return 0;
}

/* Takes whole lines; of the last one the rest, too. Returns how many there are. */
static unsigned
lines_take(const uint8_t *bytes, size_t length, bool last, struct iovec lines[static BATCH])
{
	unsigned count = 0;

	while (count < BATCH && length > 0) {
		const uint8_t *end = memchr(bytes, '\n', length);
		size_t line = end != NULL ? (size_t)(end - bytes) + 1 : length;

		if (end == NULL && !last)
			break;
		lines[count++] = (struct iovec){ .iov_base = (void *)bytes, .iov_len = line };
		bytes += line;
		length -= line;
	}
	return count;
}

static ssize_t
datagrams_write(struct device *device, const uint8_t *bytes, size_t length, bool last)
{
	struct iovec lines[BATCH];
	struct mmsghdr messages[BATCH] = { 0 };
	unsigned count = lines_take(bytes, length, last, lines);
	size_t done = 0;
	int sent;

	if (count == 0)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		messages[i].msg_hdr.msg_iov = &lines[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	sent = sendmmsg(device->fd, messages, count, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno == EMSGSIZE) {
		if (!device->told)
			log_warning("%s: a line of %zu bytes is too long for a datagram",
				    device->name, lines[0].iov_len);
		device->told = true;
		return (ssize_t)lines[0].iov_len;
	}
	if (sent < 0 && errno == EINTR)
		errno = EAGAIN;
	for (int i = 0; i < sent; i++)
		done += lines[i].iov_len;
	return sent < 0 ? -1 : (ssize_t)done;
}

static const struct device_kind device_datagrams = { datagrams_read, datagrams_write };

struct device *
device_of_datagrams(const struct sockaddr_any *addresses, size_t count,
		    const union peer_address *source, const struct socket_options *options,
		    const char *name)
{
	struct device *device;
	int fd = -1;

	errno = ENOENT;
	for (size_t i = 0; fd < 0 && i < count; i++)
		fd = datagram_socket_connect(&addresses[i], source, options->bind_device, options);
	if (fd < 0)
		return NULL;
	device = calloc(1, sizeof *device);
	if (device == NULL) {
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	device->kind = &device_datagrams;
	device->fd = fd;
	device->name = name;
	device->ways = PROTOCOL_WRITES;
	device->polled = true;
	return device;
}
