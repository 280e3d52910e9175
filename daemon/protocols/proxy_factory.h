/* proxy_factory.h - what the connections and flows of a proxy's listener share. */
#ifndef TWINED_PROTOCOLS_PROXY_FACTORY_H
#define TWINED_PROTOCOLS_PROXY_FACTORY_H

struct datagram_flows;
struct factory;
struct upstreams;

/*
 * The shared part of the factory (factory_shared), from proxy_factory_made to proxy_factory_lost.
 */
struct proxy_shared {
	struct upstreams *streams;	/* each may hold none */
	struct upstreams *datagrams;
	struct datagram_flows *flows;	/* proxy_flows_new of proxy_datagram.h */
};

/* The factory's callbacks of protocol.h. */
int proxy_factory_made(struct factory *factory);
void proxy_factory_lost(struct factory *factory);
void proxy_factory_started(struct factory *factory);
void proxy_factory_stopped(struct factory *factory);
void proxy_factory_report(struct factory *factory, void (*line)(void *arg, const char *text),
			  void *arg);

#endif
