#pragma once

/*
 * guest: a volumecap-server besides those of the data centre, for scenarios
 * that choose its ledger or its way to local-svc.
 */

#include "tests/harness/proc.h"
#include "tests/scenario/scene.h"

struct guest {
    char name[NAME_SIZE];
    char ledger[256];
    int entries; /* room of the ledger; 0: the default */
    int port, local_port;
    struct proc *proc;     /* NULL: not running */
    struct client *client; /* of it, once it is ready */
};

/* A name, a ledger in the data centre's folder, and straight to local-svc; not started. */
struct guest guest_new(const struct scene *s, const char *name);

/* Another ledger than that. */
void guest_use_ledger(struct guest *g, const char *folder, const char *file);

void guest_start(struct guest *g); /* and waits until it is ready */
void guest_kill(struct guest *g);  /* kill -9 */
void guest_stop(struct guest *g);  /* SIGTERM, and waits for its end */

/* For a server that must refuse to start: its exit status. */
int guest_refused(struct guest *g);

void guest_done(struct guest *g);
#define auto_guest __attribute__((cleanup(guest_done)))
