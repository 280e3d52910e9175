/* inih.h - the choices that inih leaves to who calls it. */
#ifndef TWINED_CONFIG_INIH_H
#define TWINED_CONFIG_INIH_H

/*
 * Has inih take lines of so many bytes, without their ends, and no value that goes on in the next
 * line; nothing where it cannot be told.
 */
void inih_prepare(int line_max);

#endif
