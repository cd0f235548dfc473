#pragma once

/*
 * patroni: a replicated PostgreSQL whose failovers are real: two members under
 * Patroni, which replicate synchronously, with an etcd that knows who is
 * primary.  All of it on private ports and in a scratch folder.
 *
 * A primary that dies is noticed after 5 s at the latest (its lease in etcd);
 * then the standby is promoted.  Everything here aborts with a message, and the
 * ends of the logs, when it fails.  Processes die with the thread that called
 * patroni_start().
 */

#include <stdbool.h>

#include "common/base/cleanup.h"

struct patroni;

/* Both members, with an empty database "volumecap"; waits until the standby is synchronous. */
struct patroni *patroni_start(void);
struct patroni *patroni_free(struct patroni *p);
CLEANUP_DEFINE(patroni, struct patroni, patroni_free)
#define auto_patroni CLEANUP(patroni)

/* Both hosts, and no word about which of them: that is for who connects to find out. */
const char *patroni_conninfo(const struct patroni *p);

/* Does one of them take writes, now? */
bool patroni_has_primary(struct patroni *p);

/*
 * kill -9 of the primary's Patroni, its postmaster and all its backends, when the other one is its
 * synchronous standby: nobody would be promoted else.
 */
void patroni_kill_primary(struct patroni *p);

/* Waits until one of them takes writes. */
void patroni_await_primary(struct patroni *p);

/* Starts what was killed, and waits until it is the primary's synchronous standby. */
void patroni_revive(struct patroni *p);
