/* suggestion.c - the Damerau-Levenshtein distance of names. */
#include "config/suggestion.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { COMPARED_MAX = 63 };

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned
edit_distance(const char *from, const char *to, unsigned limit)
{
	/* The row of the letter before the last, of the last, and of this one. */
	unsigned rows[3][COMPARED_MAX + 1], *before = rows[0], *last = rows[1], *row = rows[2];
	size_t from_length = strlen(from), to_length = strlen(to);

	if (from_length > COMPARED_MAX || to_length > COMPARED_MAX
	    || from_length >= to_length + limit || to_length >= from_length + limit)
		return limit;
	for (unsigned k = 0; k <= to_length; k++)
		last[k] = k;
	for (unsigned i = 1; i <= from_length; i++) {
		int f = tolower((unsigned char)from[i - 1]);

		row[0] = i;
		for (unsigned k = 1; k <= to_length; k++) {
			int t = tolower((unsigned char)to[k - 1]);

			row[k] = least(least(last[k], row[k - 1]) + 1, last[k - 1] + (f != t));
			if (i > 1 && k > 1 && f == tolower((unsigned char)to[k - 2])
			    && t == tolower((unsigned char)from[i - 2]))
				row[k] = least(row[k], before[k - 2] + 1);
		}
		unsigned *oldest = before;
		before = last;
		last = row;
		row = oldest;
	}
	return least(last[to_length], limit);
}

struct suggestion
suggestion_new(const char *wanted)
{
	/* One slip in three letters still looks like the name; at most three slips. */
	size_t slips = (strlen(wanted) + 2) / 3;

	return (struct suggestion){ .wanted = wanted, .distance = least((unsigned)slips, 3) + 1 };
}

void
suggestion_offer(struct suggestion *suggestion, const char *name)
{
	unsigned distance = edit_distance(suggestion->wanted, name, suggestion->distance);
	size_t length = strlen(suggestion->wanted);

	if (distance < suggestion->distance) {
		suggestion->distance = distance;
		suggestion->best = name;
	} else if (suggestion->best == NULL && length >= 3
		   && strncmp(suggestion->wanted, name, length) == 0) {
		/* A beginning will do when nothing is nearer. */
		suggestion->best = name;
	}
}

const char *
suggestion_format(const struct suggestion *suggestion, char *buffer, size_t size)
{
	buffer[0] = '\0';
	if (suggestion->best != NULL)
		snprintf(buffer, size, ", did you mean \"%s\"?", suggestion->best);
	return buffer;
}
