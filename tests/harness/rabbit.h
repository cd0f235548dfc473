#pragma once

/*
 * rabbit: private RabbitMQ brokers in scratch folders, each with an epmd of
 * its own, on free ports of 127.0.0.1.
 *
 * Everything here aborts with a message when it fails, as in proc.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"

struct rabbit;

/* Starts one and waits until it takes connections; 5 s or so. */
struct rabbit *rabbit_start(void);

/*
 * The same, and it speaks TLS on a second port, with a certificate for that
 * name of an authority that was made for it alone.
 */
struct rabbit *rabbit_start_tls(const char *name);
const char *rabbit_tls_url(const struct rabbit *r);  /* amqps://, at localhost */
const char *rabbit_ca(const struct rabbit *r);       /* the authority's certificate, a file */
const char *rabbit_other_ca(const struct rabbit *r); /* one that knows nobody */

const char *rabbit_url(const struct rabbit *r); /* amqp:// */
int64_t rabbit_port(const struct rabbit *r);

void rabbit_stop(struct rabbit *r);    /* in order: what is persistent stays */
void rabbit_kill(struct rabbit *r);    /* kill -9 */
void rabbit_wipe(struct rabbit *r);    /* when stopped: forgets all queues and messages */
void rabbit_restart(struct rabbit *r); /* on the same port, after stop or kill */

/* An alarm: the broker reads no more of those who publish, until it is over. */
void rabbit_alarm(struct rabbit *r, bool on);

void rabbit_purge(struct rabbit *r, const char *queue);       /* drops what waits in it */
int64_t rabbit_messages(struct rabbit *r, const char *queue); /* -1: no such queue */

/* Anything else that its command-line tool can do; the arguments end with NULL. */
bool rabbit_ctl(struct rabbit *r, const char *log, ...) __attribute__((sentinel));

struct rabbit *rabbit_free(struct rabbit *r);
CLEANUP_DEFINE(rabbit, struct rabbit, rabbit_free)
#define auto_rabbit CLEANUP(rabbit)
