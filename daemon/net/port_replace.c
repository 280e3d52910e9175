/* port_replace.c - sockets that are in the way of one to be bound, and go only when that is to
 * run. */
#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/listener.h"
#include "net/port.h"

/*
 * Every socket of a reload is bound before anything changes. One may be wanted where another one of
 * ours still is, under an address that overlaps: both have SO_REUSEPORT for the bind(2), and of a
 * stream for the listen(2), too. That waits until the reload is known to succeed: connections would
 * come to it.
 */

static bool
is_wild(const struct sockaddr_any *address)
{
	if (address->u.sa.sa_family == AF_INET)
		return address->u.in.sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&address->u.in6.sin6_addr);
}

/*
 * Whether the addresses overlap, as bind(2) has it; any: an IPv6 one that is wild is for IPv4, too.
 */
static bool
overlaps(const struct sockaddr_any *a, bool a_any, const struct sockaddr_any *b, bool b_any)
{
	/* The number is at the same place in both families. */
	if (a->u.in.sin_port != b->u.in.sin_port)
		return false;
	if (a->u.sa.sa_family != b->u.sa.sa_family)
		return a->u.sa.sa_family == AF_INET6 ? a_any && is_wild(a) : b_any && is_wild(b);
	if (is_wild(a) || is_wild(b))
		return true;
	if (a->u.sa.sa_family == AF_INET)
		return a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
	return memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof a->u.in6.sin6_addr) == 0;
}

/* Whether a socket takes both families. */
static bool
takes_both(const struct port *port)
{
	int only = 0;
	socklen_t length = sizeof only;

	return port->bound.u.sa.sa_family == AF_INET6
	       && getsockopt(port->fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length) == 0 && !only;
}

static bool
share_interface(const struct port *a, const struct port *b)
{
	return *a->interface == '\0' || *b->interface == '\0'
	       || strcmp(a->interface, b->interface) == 0;
}

static void
set_shared(const struct port *port, int shared)
{
	setsockopt(port->fd, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof shared);
}

bool
port_list_share(const struct port_list *known, struct port *port,
		const struct sockaddr_any *address, bool any)
{
	for (size_t i = 0; i < known->count; i++) {
		struct port *other = known->items[i];

		if (other->kind != port->kind || other->passed || other->claimed
		    || !share_interface(port, other)
		    || !overlaps(&other->bound, takes_both(other), address, any))
			continue;
		other->shared = port->shared = true;
		set_shared(other, 1);
	}
	if (port->shared)
		set_shared(port, 1);
	return port->shared;
}

void
port_settle(struct port *port)
{
	if (port->shared)
		set_shared(port, 0);
	port->shared = false;
}

void
port_list_unshare(const struct port_list *known, struct port *port, bool done)
{
	if (!port->shared)
		return;
	for (size_t i = 0; i < known->count; i++) {
		struct port *other = known->items[i];

		if (!other->shared || other->kind != port->kind)
			continue;
		if (done && other->replaced_by == NULL)
			other->replaced_by = port;
		if (other->replaced_by == NULL || port->kind == ADDRESS_UDP)
			port_settle(other);
	}
	if (!done || port->kind == ADDRESS_UDP)
		port_settle(port);
}

void
port_refuse(struct port *port)
{
	/* Of the TCP header: the byte with its flags. A SYN alone is dropped, and is sent again. */
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog filter = { .len = sizeof steps / sizeof steps[0], .filter = steps };

	setsockopt(port->fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

/* Puts a descriptor that is no socket in the place of the port's. */
void
port_give_up(struct port *port)
{
	int nothing = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (nothing < 0)
		return;
	dup3(nothing, port->fd, O_CLOEXEC);
	close(nothing);
	/* It is not to be found any more. */
	port->key[0] = port->text[0] = '\0';
}

void
port_list_give_up(const struct port_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i]->replaced_by != NULL && list->items[i]->kind == ADDRESS_UDP)
			port_give_up(list->items[i]);
}

void
port_list_clear_known(struct port_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		port_settle(list->items[i]);
		list->items[i]->replaced_by = NULL;
		if (list->items[i]->past) {
			list->items[i]->past = false;
			port_unref(list->items[i]);
		}
	}
	free(list->items);
	*list = (struct port_list){ 0 };
}
