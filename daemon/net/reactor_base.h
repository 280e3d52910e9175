/* reactor_base.h - what a reactor has of libevent: for reactor.c only. */
#ifndef TWINED_NET_REACTOR_BASE_H
#define TWINED_NET_REACTOR_BASE_H

#include "net/reactor.h"

/* For one thread, on this backend. NULL when there is no memory, or no such backend. */
struct event_base *reactor_base_new(enum reactor_backend backend);

#endif
