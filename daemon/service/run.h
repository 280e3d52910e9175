/* run.h - runs a configuration until it is told to stop: signals, reloads, systemd. */
#ifndef TWINED_SERVICE_RUN_H
#define TWINED_SERVICE_RUN_H

struct options;

/* The exit status: 0 after a stop, 1 when it could not start. */
int run(const struct options *options);

#endif
