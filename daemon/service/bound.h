/* bound.h - whether somebody is bound to a UDP address of this machine, without sending anything
 * there. */
#ifndef TWINED_SERVICE_BOUND_H
#define TWINED_SERVICE_BOUND_H

#include <stdbool.h>

#include "net/address.h"

/* As the system lists its sockets; where it does not let us see them, true. */
bool udp_is_bound(const struct sockaddr_any *address);

#endif
