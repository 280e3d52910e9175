/* pump.h - moves bytes between a device and a stream socket, which is all that transports know. */
#ifndef TWINED_NET_PUMP_H
#define TWINED_NET_PUMP_H

#include "net/device.h"

struct reactor;

/*
 *   transport ══ stream socket ══▶ pump ── out ──▶ device
 *             ◀═════════════════════════── in ───
 *
 * Neither way is more read than the other side takes, and one piece that it does not. When the
 * transport ends its side, all that is left is written, and the stream ends; so it does when the
 * device has gone.
 */
struct pump;

/* Takes the device over, also on failure. *stream is the transport's end. NULL with errno. */
struct pump *pump_new(struct reactor *reactor, struct device *device, int *stream);

/* NULL is fine. What is not written yet is tried once. */
void pump_free(struct pump *pump);

/*
 * Reads no more from the device. Of a file, what the stream has not got yet is dropped: returns how
 * far what it has got reaches. Else that is all zero.
 */
struct file_place pump_halt(struct pump *pump);

/* Hands on what was read from the device, as far as the stream takes it: whether that was any. */
bool pump_push(struct pump *pump);

/* Why the device has gone, in words; NULL: it has not. */
const char *pump_failure(const struct pump *pump);

#endif
