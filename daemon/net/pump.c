/* pump.c - one piece each way at a time. */
#include "net/pump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/reactor.h"

enum {
	PIECE = 128 * 1024,		/* longer than any line */
	READ_PIECE = 64 * 1024,
	SLOW_BUFFER = 4 * 1024,
	AGAIN_MS = 100,			/* a file is looked at again */
	SOON_MS = 30,
};

/* Bytes that the other side has not taken yet. */
struct held {
	uint8_t *bytes;			/* NULL: none */
	size_t at, length;
};

struct pump {
	struct reactor *reactor;
	struct device *device;
	int stream;			/* -1: we have ended it */
	struct event stream_event, device_event;
	short stream_waits, device_waits;	/* what they are registered for */
	struct deadline again;
	struct held in, out;
	bool halted;			/* nothing is read from the device */
	bool ended;			/* nothing comes from the stream any more */
	bool blocked;			/* the device takes nothing now */
	bool tells;			/* and the system says when it does */
	int error;			/* why it has gone; 0: it has not */
};

static size_t
held_length(const struct held *held)
{
	return held->length - held->at;
}

static void
held_clear(struct held *held)
{
	free(held->bytes);
	*held = (struct held){ 0 };
}

static void
pump_end_stream(struct pump *pump)
{
	if (pump->stream < 0)
		return;
	if (pump->stream_waits != 0)
		reactor_unwatch(&pump->stream_event);
	pump->stream_waits = 0;
	close(pump->stream);
	pump->stream = -1;
}

static void
pump_look_again(struct pump *pump, uint64_t in_ms)
{
	reactor_set_deadline(pump->reactor, &pump->again, reactor_now_ms() + in_ms);
}

/* The device has gone: what came from it is still handed on. */
static void
pump_fail(struct pump *pump, int error)
{
	if (pump->error == 0)
		pump->error = error;
	held_clear(&pump->out);
	if (held_length(&pump->in) == 0)
		pump_end_stream(pump);
}

static void pump_stream_ready(evutil_socket_t fd, short what, void *arg);
static void pump_device_ready(evutil_socket_t fd, short what, void *arg);

/* Registers a descriptor for exactly what is waited for. */
static void
wait_for(struct pump *pump, struct event *event, short *waits, int fd, short wanted,
	 event_callback_fn fn)
{
	if (*waits == wanted)
		return;
	if (*waits != 0)
		reactor_unwatch(event);
	*waits = 0;
	if (wanted == 0)
		return;
	if (reactor_watch(pump->reactor, event, fd, (short)(wanted | EV_PERSIST), fn, pump) == 0) {
		*waits = wanted;
		return;
	}
	held_clear(&pump->in);		/* nobody would say when it can be handed on */
	pump_fail(pump, ENOMEM);
}

static void
pump_update(struct pump *pump)
{
	bool alive = pump->error == 0 && pump->stream >= 0;
	bool reads = held_length(&pump->in) == 0 && !pump->halted && device_tells(pump->device);
	bool takes = pump->error == 0 && !pump->ended && !pump->blocked;
	short device = 0, stream = 0;

	if (alive && device_is_polled(pump->device))
		device = (short)((reads ? EV_READ : 0)
				 | (pump->blocked && pump->tells ? EV_WRITE : 0));
	wait_for(pump, &pump->device_event, &pump->device_waits, device_fd(pump->device), device,
		 pump_device_ready);
	if (pump->stream >= 0)
		stream = (short)((held_length(&pump->in) > 0 ? EV_WRITE : 0)
				 | (takes ? EV_READ : 0));
	wait_for(pump, &pump->stream_event, &pump->stream_waits, pump->stream, stream,
		 pump_stream_ready);
}

/* All has been written that will be: the stream ends once it has left. */
static void
pump_finish(struct pump *pump)
{
	if (!pump->ended || pump->error != 0 || held_length(&pump->out) > 0)
		return;
	if (device_is_drained(pump->device))
		pump_end_stream(pump);
	else
		pump_look_again(pump, SOON_MS);
}

/* Writes what is held for the device, as far as it takes it. */
static void
pump_write(struct pump *pump)
{
	struct held *out = &pump->out;

	pump->blocked = false;
	while (held_length(out) > 0) {
		ssize_t done = device_write(pump->device, out->bytes + out->at, held_length(out),
					    pump->ended);

		if (done == 0)
			break;
		if (done < 0 && errno != EAGAIN && errno != ENOBUFS) {
			pump_fail(pump, errno);
			return;
		}
		if (done < 0) {
			pump->blocked = true;
			pump->tells = errno == EAGAIN && device_is_polled(pump->device);
			if (!pump->tells)
				pump_look_again(pump, SOON_MS);
			return;
		}
		out->at += (size_t)done;
	}
	/* The buffer is kept: it would be made anew for each line. */
	if (held_length(out) == 0)
		out->at = out->length = 0;
	pump_finish(pump);
}

/* Reads from the stream behind what is held of it, which is part of a line at most. */
static void
pump_take(struct pump *pump)
{
	struct held *out = &pump->out;
	size_t room = device_is_slow(pump->device) ? SLOW_BUFFER : PIECE;
	ssize_t length;

	if (out->bytes == NULL)
		out->bytes = malloc(PIECE);
	if (out->bytes == NULL) {
		pump_fail(pump, ENOMEM);
		return;
	}
	memmove(out->bytes, out->bytes + out->at, held_length(out));
	out->length -= out->at;
	out->at = 0;
	if (out->length == PIECE)
		out->length = 0;	/* no line is that long */
	if (room > PIECE - out->length)
		room = PIECE - out->length;
	length = recv(pump->stream, out->bytes + out->length, room, 0);
	if (length > 0)
		out->length += (size_t)length;
	else if (length == 0 || (errno != EAGAIN && errno != EINTR))
		pump->ended = true;
	pump_write(pump);
}

/* Hands on what is held of the device: whether all of it has gone. */
static bool
pump_hand_on(struct pump *pump)
{
	struct held *in = &pump->in;
	ssize_t sent;

	if (held_length(in) == 0)
		return true;
	sent = send(pump->stream, in->bytes + in->at, held_length(in), MSG_NOSIGNAL);
	if (sent > 0)
		in->at += (size_t)sent;
	else if (errno != EAGAIN && errno != EINTR)
		in->at = in->length;	/* nobody wants it any more; the transport says so, too */
	if (held_length(in) > 0)
		return false;
	held_clear(in);
	if (pump->error != 0)
		pump_end_stream(pump);
	return true;
}

/* Reads one piece from the device: whether there may be more, and place for it. */
static bool
pump_read(struct pump *pump)
{
	uint8_t *scratch = reactor_scratch(pump->reactor);
	ssize_t length = device_read(pump->device, scratch, READ_PIECE);

	if (length < 0) {
		pump_fail(pump, errno);
		return false;
	}
	if (length == 0)
		return false;
	pump->in.bytes = malloc((size_t)length);
	if (pump->in.bytes == NULL) {
		pump_fail(pump, ENOMEM);
		return false;
	}
	memcpy(pump->in.bytes, scratch, (size_t)length);
	pump->in.length = (size_t)length;
	return pump_hand_on(pump);
}

/* Reads a file to its end, or until the stream is full. */
static void
pump_follow(struct pump *pump)
{
	if (device_is_polled(pump->device) || !device_tells(pump->device) || pump->halted
	    || pump->error != 0 || pump->stream < 0)
		return;
	if (!pump_hand_on(pump))
		return;
	while (pump_read(pump))
		continue;
	if (pump->error == 0 && held_length(&pump->in) == 0)
		pump_look_again(pump, AGAIN_MS);
}

static void
pump_stream_ready(evutil_socket_t fd, short what, void *arg)
{
	struct pump *pump = arg;

	(void)fd;
	if ((what & EV_WRITE) && pump_hand_on(pump))
		pump_follow(pump);
	if ((what & EV_READ) && pump->stream >= 0 && pump->error == 0)
		pump_take(pump);
	pump_update(pump);
}

static void
pump_device_ready(evutil_socket_t fd, short what, void *arg)
{
	struct pump *pump = arg;

	(void)fd;
	if ((what & EV_READ) && held_length(&pump->in) == 0)
		pump_read(pump);
	if ((what & EV_WRITE) && pump->error == 0)
		pump_write(pump);
	pump_update(pump);
}

static void
pump_again(void *arg)
{
	struct pump *pump = arg;

	if (pump->error == 0 && (pump->blocked || pump->ended))
		pump_write(pump);
	pump_follow(pump);
	pump_update(pump);
}

struct pump *
pump_new(struct reactor *reactor, struct device *device, int *stream)
{
	struct pump *pump = calloc(1, sizeof *pump);
	int pair[2], small = SLOW_BUFFER;

	if (pump == NULL
	    || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
		device_close(device);
		free(pump);
		return NULL;
	}
	/* What is on its way to a slow device is late. */
	for (int i = 0; device_is_slow(device) && i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	pump->reactor = reactor;
	pump->device = device;
	pump->stream = pair[0];
	pump->again.fn = pump_again;
	pump->again.arg = pump;
	*stream = pair[1];
	pump_update(pump);
	if (!device_is_polled(device))
		pump_look_again(pump, 0);
	return pump;
}

void
pump_free(struct pump *pump)
{
	const struct held *out;

	if (pump == NULL)
		return;
	out = &pump->out;
	pump->ended = true;
	if (pump->error == 0 && held_length(out) > 0)
		device_write(pump->device, out->bytes + out->at, held_length(out), true);
	reactor_unset_deadline(pump->reactor, &pump->again);
	if (pump->device_waits != 0)
		reactor_unwatch(&pump->device_event);
	pump_end_stream(pump);
	held_clear(&pump->in);
	held_clear(&pump->out);
	device_close(pump->device);
	free(pump);
}

bool
pump_push(struct pump *pump)
{
	size_t held = held_length(&pump->in);

	pump_hand_on(pump);
	pump_update(pump);
	return held_length(&pump->in) < held;
}

struct file_place
pump_halt(struct pump *pump)
{
	struct file_place place = device_place(pump->device);
	size_t held = held_length(&pump->in);

	pump->halted = true;
	if (place.inode != 0) {
		place.offset -= held < place.offset ? held : place.offset;
		held_clear(&pump->in);
	}
	if (pump->error != 0 && held_length(&pump->in) == 0)
		pump_end_stream(pump);
	pump_update(pump);
	return place;
}

const char *
pump_failure(const struct pump *pump)
{
	if (pump->error == 0)
		return NULL;
	return pump->error == ENODATA ? "end of file" : strerror(pump->error);
}
