/* probe.h - is a client of every listener, the way a person with netcat would be. */
#ifndef TWINED_SERVICE_PROBE_H
#define TWINED_SERVICE_PROBE_H

struct options;

/* Prints a row for each address of the listeners asked for; the exit status: 0 when all are OK. */
int probe(const struct options *options);

#endif
