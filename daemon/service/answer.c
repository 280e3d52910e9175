/* answer.c - finds the connection, or the listener, that a question is about. */
#include "service/answer.h"

#include <stdio.h>
#include <string.h>

#include "net/endpoint.h"
#include "net/factory.h"
#include "net/listener.h"
#include "net/port.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/transport.h"
#include "service/running_set.h"

/* A question as it goes from reactor to reactor. */
struct search {
	const struct question *question;
	pid_t asker;
	union peer_address from, to;	/* family 0: a unix socket */
	char to_text[ADDRESS_TEXT_MAX];
	struct reactor *reactor;
	struct answer *answer;
};

static bool
same_peer(const union peer_address *a, const union peer_address *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_port == b->in.sin_port
		       && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	return a->sa.sa_family == AF_INET6 && a->in6.sin6_port == b->in6.sin6_port
	       && IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
}

static bool
is_asked_for(const struct search *search, const struct transport *transport)
{
	union peer_address local;

	if (search->to.sa.sa_family == AF_UNSPEC)
		return transport_peer_process(transport) == search->asker;
	if (!same_peer(transport_peer(transport), &search->from))
		return false;
	transport_local(transport, &local);
	return same_peer(&local, &search->to);
}

/*
 * The newest connections come first in the list of an endpoint, and so the one that is asked for.
 */
static struct transport *
transport_find(const struct search *search, const struct endpoint *endpoint)
{
	struct transport *transport = endpoint->transports;

	while (transport != NULL && !is_asked_for(search, transport))
		transport = transport_next(transport);
	return transport;
}

/* Whether connections of an endpoint may be asked for. */
static bool
endpoint_may_have(const struct search *search, const struct endpoint *endpoint)
{
	const struct question *question = search->question;
	size_t name, text = strlen(search->to_text);

	if (endpoint->factory == NULL || factory_protocol(endpoint->factory)->via == NULL
	    || endpoint->kind != (enum address_kind)question->kind
	    || strcmp(factory_name(endpoint->factory), question->listener) != 0)
		return false;
	/* Of a unix socket the place says it: "web unix:///run/web.sock". */
	name = strlen(endpoint->name);
	return endpoint->kind != ADDRESS_UNIX
	       || (name > text && strcmp(endpoint->name + name - text, search->to_text) == 0);
}

static void
search_on_reactor(void *arg)
{
	struct search *search = arg;
	const struct endpoint *endpoint = *reactor_endpoints(search->reactor);

	for (; endpoint != NULL; endpoint = endpoint->next) {
		struct transport *transport = NULL;
		const char *via;

		if (endpoint_may_have(search, endpoint))
			transport = transport_find(search, endpoint);
		if (transport == NULL)
			continue;
		via = factory_protocol(endpoint->factory)->via(transport);
		search->answer->kind = via == NULL ? ANSWER_WAITS : ANSWER_SERVED;
		snprintf(search->answer->text, sizeof search->answer->text, "%s",
			 via == NULL ? "" : via);
		return;
	}
}

static void
answer_stream(struct reactor *const *reactors, size_t reactor_count, struct search *search)
{
	for (size_t i = 0; i < reactor_count && search->answer->kind == ANSWER_NONE; i++) {
		search->reactor = reactors[i];
		reactor_call_wait(search->reactor, search_on_reactor, search);
	}
}

/* Whether what is sent to an address arrives at a bound one. */
static bool
arrives_at(const struct sockaddr_any *bound, const struct sockaddr_any *to)
{
	union peer_address bound_ip = { 0 }, to_ip = { 0 };

	if (bound->u.sa.sa_family == AF_UNIX || to->u.sa.sa_family == AF_UNIX)
		return bound->length == to->length && memcmp(&bound->u, &to->u, to->length) == 0;
	memcpy(&bound_ip, &bound->u, sizeof bound_ip);
	memcpy(&to_ip, &to->u, sizeof to_ip);
	address_unmap(&to_ip);
	if (bound->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&bound->u.in6.sin6_addr))
		/* at the same place in both */
		return bound->u.in6.sin6_port == to_ip.in.sin_port;
	if (bound->u.sa.sa_family == AF_INET && bound->u.in.sin_addr.s_addr == htonl(INADDR_ANY))
		return to_ip.sa.sa_family == AF_INET && bound->u.in.sin_port == to_ip.in.sin_port;
	return same_peer(&bound_ip, &to_ip);
}

/* Datagrams belong to no connection: it is their listener that is asked for. */
static void
answer_datagram(const struct running_set *running, const struct question *question,
		struct answer *answer)
{
	for (size_t i = 0; i < running->count; i++) {
		const struct running *one = &running->items[i];
		const struct protocol *protocol = listener_protocol(one->listener);
		const struct port_list *ports = listener_ports(one->listener);

		if (strcmp(one->config->name, question->listener) != 0
		    || protocol->datagrams_via == NULL)
			continue;
		for (size_t j = 0; j < ports->count; j++) {
			if (ports->items[j]->kind != (enum address_kind)question->kind
			    || !arrives_at(&ports->items[j]->bound, &question->to))
				continue;
			answer->kind = protocol->datagrams_via(listener_factory(one->listener),
							       answer->text, sizeof answer->text)
					       ? ANSWER_SERVED
					       : ANSWER_NOT_SERVED;
			return;
		}
	}
}

void
answer_question(const struct running_set *running, struct reactor *const *reactors,
		size_t reactor_count, const struct question *question, pid_t asker,
		struct answer *answer)
{
	struct search search = { .question = question, .asker = asker, .answer = answer };

	if (address_is_datagram((enum address_kind)question->kind)) {
		answer_datagram(running, question, answer);
		return;
	}
	address_format((enum address_kind)question->kind, &question->to.u.sa, question->to.length,
		       search.to_text);
	if (question->kind == ADDRESS_TCP) {
		memcpy(&search.from, &question->from.u, sizeof search.from);
		memcpy(&search.to, &question->to.u, sizeof search.to);
		address_unmap(&search.from);
		address_unmap(&search.to);
	}
	answer_stream(reactors, reactor_count, &search);
}
