/* zone.c - the local time of a place by the system's zone files (RFC 8536). */
#include "protocols/zone.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ZONE_FILE_MAX = 256 * 1024,	/* the largest there is has some 5 KiB */
	NAME_MAX_LENGTH = 31,		/* of an abbreviation */
	HEADER_LENGTH = 44,
	DAY = 86400,
};

/* What clocks show for a while: CET, one hour east. */
struct clock {
	int32_t offset;			/* seconds east of UTC */
	bool summer;
	char name[NAME_MAX_LENGTH + 1];
};

/* A day and time of every year: Mm.w.d, Jn or n in POSIX. */
struct yearly {
	char kind;			/* 'M', 'J', or 'n' */
	int month, week, day;
	int32_t seconds;		/* from the day's midnight; may lie in another day */
};

struct change {
	int64_t at;
	uint8_t clock;			/* from then on */
};

struct zone {
	struct change *changes;
	size_t change_count;
	struct clock *clocks;
	size_t clock_count;
	/* The rule for what comes after the last change. */
	bool has_rule, has_summer;
	struct clock standard, summer;
	struct yearly summer_begins, summer_ends;
};

static int64_t
read_number(const uint8_t *bytes, size_t size)
{
	uint64_t number = bytes[0] & 0x80 ? UINT64_MAX : 0;
	for (size_t i = 0; i < size; i++)
		number = number << 8 | bytes[i];
	return (int64_t)number;
}

/* A decimal number; false when there is none or it is beyond the limits. */
static bool
parse_number(const char **at, int min, int max, int *number)
{
	if (!isdigit((unsigned char)**at))
		return false;
	char *end;
	long value = strtol(*at, &end, 10);
	*at = end;
	*number = (int)value;
	return value >= min && value <= max;
}

/* [+-]hh[:mm[:ss]] */
static bool
parse_clock_time(const char **at, int32_t *seconds)
{
	int sign = **at == '-' ? -1 : 1, hours, minutes = 0, rest = 0;
	if (**at == '-' || **at == '+')
		++*at;
	if (!parse_number(at, 0, 167, &hours))
		return false;
	if (**at == ':' && (++*at, !parse_number(at, 0, 59, &minutes)))
		return false;
	if (**at == ':' && (++*at, !parse_number(at, 0, 59, &rest)))
		return false;
	*seconds = sign * (hours * 3600 + minutes * 60 + rest);
	return true;
}

/* CET or <+03> */
static bool
parse_name(const char **at, char name[static NAME_MAX_LENGTH + 1])
{
	size_t length = 0;
	bool quoted = **at == '<';
	if (quoted)
		++*at;
	while (quoted ? **at != '>' && **at != '\0' : isalpha((unsigned char)**at)) {
		if (length == NAME_MAX_LENGTH)
			return false;
		name[length++] = *(*at)++;
	}
	name[length] = '\0';
	if (quoted && *(*at)++ != '>')
		return false;
	return length >= 3;
}

/* ,M3.5.0/2 */
static bool
parse_yearly(const char **at, struct yearly *yearly)
{
	if (*(*at)++ != ',')
		return false;
	yearly->kind = isdigit((unsigned char)**at) ? 'n' : *(*at)++;
	if (yearly->kind == 'M') {
		if (!parse_number(at, 1, 12, &yearly->month) || *(*at)++ != '.'
		    || !parse_number(at, 1, 5, &yearly->week) || *(*at)++ != '.'
		    || !parse_number(at, 0, 6, &yearly->day))
			return false;
	} else if (yearly->kind == 'J' || yearly->kind == 'n') {
		if (!parse_number(at, yearly->kind == 'J', 365, &yearly->day))
			return false;
	} else {
		return false;
	}
	yearly->seconds = 2 * 3600;
	return **at != '/' || (++*at, parse_clock_time(at, &yearly->seconds));
}

/* The rule at the end of a file: CET-1CEST,M3.5.0,M10.5.0/3. POSIX counts west of Greenwich. */
static bool
parse_rule(const char *at, struct zone *zone)
{
	struct clock *standard = &zone->standard, *summer = &zone->summer;
	if (!parse_name(&at, standard->name) || !parse_clock_time(&at, &standard->offset))
		return false;
	standard->offset = -standard->offset;
	zone->has_rule = true;
	if (*at == '\0')
		return true;
	if (!parse_name(&at, summer->name))
		return false;
	summer->summer = true;
	summer->offset = standard->offset + 3600;
	if (*at != ',') {
		if (!parse_clock_time(&at, &summer->offset))
			return false;
		summer->offset = -summer->offset;
	}
	zone->has_summer = true;
	return parse_yearly(&at, &zone->summer_begins) && parse_yearly(&at, &zone->summer_ends)
	       && *at == '\0';
}

/* The counts of a header, in the order of the file. */
struct counts {
	uint64_t utc, standard, leap, changes, clocks, text;
};

static uint64_t
read_header(const uint8_t *bytes, struct counts *counts, size_t time_size)
{
	uint64_t *all[] = { &counts->utc,     &counts->standard, &counts->leap,
			    &counts->changes, &counts->clocks,	 &counts->text };
	for (size_t i = 0; i < 6; i++)
		*all[i] = (uint64_t)read_number(bytes + 20 + 4 * i, 4) & UINT32_MAX;
	return counts->changes * (time_size + 1) + counts->clocks * 6 + counts->text
	       + counts->leap * (time_size + 4) + counts->standard + counts->utc;
}

/* Reads one block behind its header. */
static bool
read_block(struct zone *zone, const uint8_t *bytes, const struct counts *counts, size_t time_size)
{
	const uint8_t *indexes = bytes + counts->changes * time_size;
	const uint8_t *clocks = indexes + counts->changes;
	const char *text = (const char *)clocks + counts->clocks * 6;
	if (counts->clocks == 0 || counts->clocks > 256)
		return false;
	zone->changes = calloc(counts->changes + 1, sizeof *zone->changes);
	zone->clocks = calloc(counts->clocks, sizeof *zone->clocks);
	if (zone->changes == NULL || zone->clocks == NULL)
		return false;
	for (size_t i = 0; i < counts->changes; i++) {
		zone->changes[i].at = read_number(bytes + i * time_size, time_size);
		zone->changes[i].clock = indexes[i];
		if (indexes[i] >= counts->clocks
		    || (i > 0 && zone->changes[i].at <= zone->changes[i - 1].at))
			return false;
	}
	zone->change_count = counts->changes;
	for (size_t i = 0; i < counts->clocks; i++) {
		struct clock *clock = &zone->clocks[i];
		size_t from = clocks[6 * i + 5];
		clock->offset = (int32_t)read_number(clocks + 6 * i, 4);
		clock->summer = clocks[6 * i + 4] != 0;
		if (from >= counts->text || clock->offset < -DAY || clock->offset > DAY)
			return false;
		snprintf(clock->name, sizeof clock->name, "%.*s", (int)(counts->text - from),
			 text + from);
	}
	zone->clock_count = counts->clocks;
	return true;
}

/* Version 1 has times of 32 bits; later ones repeat all with 64 bits and a rule behind. */
static bool
zone_read(struct zone *zone, uint8_t *bytes, size_t length)
{
	struct counts counts;
	size_t time_size = 4;
	if (length < HEADER_LENGTH || memcmp(bytes, "TZif", 4) != 0)
		return false;
	uint64_t block = read_header(bytes, &counts, time_size);
	if (bytes[4] >= '2') {
		if (HEADER_LENGTH + block + HEADER_LENGTH > length)
			return false;
		bytes += HEADER_LENGTH + block;
		length -= HEADER_LENGTH + block;
		time_size = 8;
		if (memcmp(bytes, "TZif", 4) != 0)
			return false;
		block = read_header(bytes, &counts, time_size);
	}
	if (HEADER_LENGTH + block > length
	    || !read_block(zone, bytes + HEADER_LENGTH, &counts, time_size))
		return false;

	char *rule = (char *)bytes + HEADER_LENGTH + block;
	if (time_size == 4 || rule == (char *)bytes + length)
		return true;
	char *end = *rule == '\n' ? strchr(rule + 1, '\n') : NULL;
	if (end == NULL)
		return false;
	*end = '\0';
	return rule[1] == '\0' || parse_rule(rule + 1, zone);
}

/* Days from the epoch to the year's first. */
static int64_t
year_begin(int64_t year)
{
	int64_t before = year - 1;
	return (year - 1970) * 365 + (before / 4 - before / 100 + before / 400)
	       - (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static bool
year_is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* When it comes in a year, in seconds from the epoch, by a clock that shows UTC. */
static int64_t
yearly_in(const struct yearly *yearly, int64_t year)
{
	static const int month_begins[] = { 0,   31,  59,  90,  120, 151, 181,
					    212, 243, 273, 304, 334, 365 };
	int64_t first = year_begin(year), day;
	bool leap = year_is_leap(year);
	if (yearly->kind == 'M') {
		int64_t begin =
			first + month_begins[yearly->month - 1] + (leap && yearly->month > 2);
		int64_t end = first + month_begins[yearly->month] + (leap && yearly->month >= 2);
		int64_t weekday = ((begin + 4) % 7 + 7) % 7;	/* 1970-01-01 was a Thursday */
		day = begin + (yearly->day - weekday + 7) % 7 + 7 * (yearly->week - 1);
		if (day >= end)
			day -= 7;
	} else if (yearly->kind == 'J') {
		/* never February 29 */
		day = first + yearly->day - 1 + (leap && yearly->day >= 60);
	} else {
		day = first + yearly->day;
	}
	return day * DAY + yearly->seconds;
}

static const struct clock *
rule_clock(const struct zone *zone, int64_t at)
{
	if (!zone->has_summer)
		return &zone->standard;
	struct tm standard;
	time_t shown = at + zone->standard.offset;
	gmtime_r(&shown, &standard);
	int64_t year = (int64_t)standard.tm_year + 1900;
	int64_t begins = yearly_in(&zone->summer_begins, year) - zone->standard.offset;
	int64_t ends = yearly_in(&zone->summer_ends, year) - zone->summer.offset;
	bool summer = begins < ends ? at >= begins && at < ends : at >= begins || at < ends;
	return summer ? &zone->summer : &zone->standard;
}

static const struct clock *
zone_clock(const struct zone *zone, int64_t at)
{
	size_t low = 0, high = zone->change_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (zone->changes[middle].at <= at)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == zone->change_count && zone->has_rule)
		return rule_clock(zone, at);
	return &zone->clocks[low == 0 ? 0 : zone->changes[low - 1].clock];
}

void
zone_time(const struct zone *zone, time_t at, struct tm *local)
{
	const struct clock *clock = zone_clock(zone, at);
	time_t shown = at + clock->offset;
	gmtime_r(&shown, local);
	local->tm_isdst = clock->summer;
	local->tm_gmtoff = clock->offset;
	local->tm_zone = clock->name;
}

const char *
zone_longest_name(const struct zone *zone)
{
	const char *longest = zone->standard.name;
	if (strlen(zone->summer.name) > strlen(longest))
		longest = zone->summer.name;
	for (size_t i = 0; i < zone->clock_count; i++)
		if (strlen(zone->clocks[i].name) > strlen(longest))
			longest = zone->clocks[i].name;
	return longest;
}

void
zone_free(struct zone *zone)
{
	if (zone == NULL)
		return;
	free(zone->changes);
	free(zone->clocks);
	free(zone);
}

/*
 * Reads the file of a name into bytes, which get a NUL behind. Returns the length, 0 when there is
 * none.
 */
static size_t
zone_file_read(const char *name, uint8_t *bytes)
{
	const char *directory = getenv("TZDIR");
	char path[4096];
	if (*name == '/' || strstr(name, "..") != NULL || *name == '\0')
		return 0;
	if (snprintf(path, sizeof path, "%s/%s",
		     directory != NULL ? directory : "/usr/share/zoneinfo", name)
	    >= (int)sizeof path)
		return 0;
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return 0;
	size_t length = fread(bytes, 1, ZONE_FILE_MAX, file);
	fclose(file);
	bytes[length] = '\0';
	return length;
}

const char *
zone_load(const char *name, struct zone **loaded)
{
	struct zone *zone = calloc(1, sizeof *zone);
	uint8_t *bytes = malloc(ZONE_FILE_MAX + 1);
	const char *wrong = NULL;
	*loaded = NULL;
	if (zone == NULL || bytes == NULL) {
		wrong = "cannot be read: out of memory";
	} else if (strcmp(name, "UTC") == 0) {
		parse_rule("UTC0", zone);
	} else {
		size_t length = zone_file_read(name, bytes);
		if (length == 0)
			wrong = "is not a time zone of this system, such as UTC or Europe/Berlin";
		else if (!zone_read(zone, bytes, length))
			wrong = "is not a time zone: its file is damaged";
	}
	free(bytes);
	if (wrong == NULL)
		*loaded = zone;
	else
		zone_free(zone);
	return wrong;
}
