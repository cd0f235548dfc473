#pragma once

/*
 * topper: the one thread that talks to local-svc about units.  It gathers the
 * windows that need something into one call at a time, and carries out the
 * answers.  Only here are units granted, handed back, and entries of the
 * ledger claimed and released.
 */

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "common/io/replicas.h"
#include "services/volumecap-server/topup_wire.h"
#include "services/volumecap-server/upkeep.h"
#include "services/volumecap-server/upstream.h"

struct topper;

struct topper_config {
    struct upkeep upkeep;
    struct topup_sender sender;
    struct replicas *locals;
    struct upstream *upstream;

    /*
     * The pool serves another process with our ledger's name: a copy, or an
     * older file that was put back.  Nothing more is served, and nothing more
     * is sent; called once.
     */
    void (*refused)(void *arg, const struct err *e);
    void *refused_arg;
};

MUST_CHECK bool topper_start(const struct topper_config *config, struct topper **ret,
                             struct err *e);

/* Ends the thread within moments; whatever call is under way is broken off. */
void topper_stop(struct topper *t);

/*
 * After topper_stop, when no client is served any more: hands everything back,
 * trying for at most budget_ms.  What could not be told stays in the ledger.
 * Returns how many windows the pool has confirmed, and leaves the others in *ret_open.
 */
int64_t topper_return_all(struct topper *t, int64_t budget_ms, int64_t *ret_open);

struct topper *topper_free(struct topper *t);
CLEANUP_DEFINE(topper, struct topper, topper_free)
#define auto_topper CLEANUP(topper)
