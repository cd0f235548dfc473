#pragma once

/*
 * svc: one real service, for tests of that service alone.
 *
 * Everything aborts with a message when it fails, as in proc.h.
 */

#include "common/base/cleanup.h"
#include "tests/harness/client.h"
#include "tests/harness/proc.h"

struct svc_options {
    const char *name;       /* the program, "meta-svc" */
    const char *prefix;     /* of its settings, "META" */
    const char *conninfo;   /* its <prefix>_DB; NULL: it has none */
    const char *const *env; /* further settings, NULL-terminated; NULL: none */
};

struct svc;

/* Starts it on a free port and waits until it is alive; not until it is ready. */
struct svc *svc_start(const struct svc_options *o);

struct client *svc_client(const struct svc *s); /* borrowed; for the thread that started it */
int svc_port(const struct svc *s);
int svc_pid(const struct svc *s);

void svc_kill(struct svc *s);   /* kill -9 */
void svc_freeze(struct svc *s); /* SIGSTOP */
void svc_thaw(struct svc *s);
void svc_restart(struct svc *s); /* on the same port, after svc_kill() */

/* SIGTERM; aborts unless it exits in order. */
struct svc *svc_stop(struct svc *s);
CLEANUP_DEFINE(svc, struct svc, svc_stop)
#define auto_svc CLEANUP(svc)
