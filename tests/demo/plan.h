#pragma once

/* plan: which caps a trace is replayed against, and how fast. */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "tests/demo/trace.h"

#define PLAN_CAPS_MAX 200

struct plan_cap {
    int32_t key;    /* of the trace */
    int64_t demand; /* requests in the whole trace */
    int64_t total;  /* units a day */
    const char *time_zone;
};

struct plan {
    const struct trace *trace;
    struct plan_cap caps[PLAN_CAPS_MAX]; /* the most requested first */
    int caps_count;
    int16_t *cap_of_key; /* -1: no cap */
    int64_t starts_at_s; /* the caps' bounds: from the hour of the first request ... */
    int64_t ends_at_s;   /* ... to a while after the last */
    int64_t speed;       /* calendar seconds in a real one */
};

/* The most requested keys become caps; the trace is to take `seconds`. */
struct plan *plan_new(const struct trace *t, int64_t seconds);
struct plan *plan_free(struct plan *p);
CLEANUP_DEFINE(plan, struct plan, plan_free)
#define auto_plan CLEANUP(plan)

/* The cap that a row of the trace asks, or -1. */
static inline int plan_cap_of(const struct plan *p, const struct trace_row *row)
{
    return p->cap_of_key[row->key];
}

/*
 * The data centre of `dcs` that a client of the trace is near to: seven tenths
 * are in the first, most of the rest in the second.
 */
int plan_dc_of(int32_t client, int dcs);

/* How many rows of the trace ask a cap. */
int64_t plan_demand(const struct plan *p);

/* The cap's id. */
const char *plan_cap_id(const struct plan *p, int cap);

/* The body for PUT /caps/{id}. */
void plan_cap_body(const struct plan *p, int cap, struct buf *out);
