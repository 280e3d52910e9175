/* spec.h - the text of a -L: a listener without a file. */
#ifndef TWINED_CONFIG_SPEC_H
#define TWINED_CONFIG_SPEC_H

#include "config/fault.h"
#include "config/inifile.h"

/*
 * Reads "PROTOCOL ADDRESS[,ADDRESS...] [key=value...]" as the one section of a file, which gets the
 * name of the protocol. A value with blanks stands in "...", where \" and \\ stand for " and \.
 * Returns NULL after an error; inifile_free frees what it returns.
 */
struct inifile *spec_parse(const char *spec, const struct origin *origin, struct faults *faults);

#endif
