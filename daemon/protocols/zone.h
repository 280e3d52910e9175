/* zone.h - the local time of a place by the system's zone files, for any number of zones and
 * threads. */
#ifndef TWINED_PROTOCOLS_ZONE_H
#define TWINED_PROTOCOLS_ZONE_H

#include <time.h>

struct zone;

/*
 * Reads a zone by its name: "UTC", "Europe/Berlin". Returns NULL and a zone for zone_free, or the
 * tail of a sentence. UTC needs no file. libc can do this for one zone a process only, and that by
 * setenv(3), which other threads do not survive.
 */
const char *zone_load(const char *name, struct zone **loaded);
void zone_free(struct zone *zone);

/* The local time there, with its offset and abbreviation for strftime's %z and %Z. Any thread. */
void zone_time(const struct zone *zone, time_t at, struct tm *local);

/* The longest of its abbreviations: "CEST". Lives as long as the zone. */
const char *zone_longest_name(const struct zone *zone);

#endif
