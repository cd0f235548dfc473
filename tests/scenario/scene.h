#pragma once

/*
 * scene: what scenarios are written with: a data centre, short verbs for what
 * operators and clients do to it, and eventually(), which waits for a
 * condition instead of sleeping.
 *
 * The scenarios of one program share the data centre that SCENE_SUITE() starts
 * in the runner, and have a cap each; one that kills something starts its own
 * with scene_start().  Its calendar begins at NOW, far from any boundary.
 * Several data centres that trade are in scenes.h.
 */

#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/clk.h"
#include "tests/harness/client.h"
#include "tests/harness/dc.h"

#define NOW "2026-05-20T10:00:00Z" /* a Wednesday */
#define TODAY "2026-05-20T00:00:00Z"
#define TOMORROW "2026-05-21T00:00:00Z"

struct scene {
    struct dc *dc;
    struct client *meta, *interval, *local;
    struct client *servers[DC_REPLICAS_MAX];
    int servers_count;
};

/* Starts at NOW unless the options say otherwise. */
struct scene *scene_start(const struct dc_options *o);
struct scene *scene_join(void); /* the suite's */
struct scene *scene_end(struct scene *s);
CLEANUP_DEFINE(scene, struct scene, scene_end)
#define auto_scene CLEANUP(scene)

/* One of several data centres, which others start and stop; see scenes.h. */
struct scene *scene_of(struct dc *dc);
struct scene *scene_leave(struct scene *s);

/* In the runner: starts the shared data centre; exit() stops it. */
void scene_suite_start(const struct dc_options *o);

#define SCENE_SUITE(...)                                                                           \
    ReportHook(PRE_ALL)(struct criterion_test_set * tests)                                         \
    {                                                                                              \
        (void)tests;                                                                               \
        scene_suite_start(&(struct dc_options){__VA_ARGS__});                                      \
    }                                                                                              \
    struct scene_suite_takes_a_semicolon

/* Waits until it is true; the limit is far above what a busy machine needs. */
#define SCENE_PATIENCE_MS 60000
#define eventually(condition)                                                                      \
    do {                                                                                           \
        int64_t since_ms_ = clk_now_ms(), for_ms_ = 0;                                             \
        while (!(condition)) {                                                                     \
            for_ms_ = clk_now_ms() - since_ms_;                                                    \
            cr_assert(for_ms_ < SCENE_PATIENCE_MS, "never came true: %s", #condition);             \
            scene_breathe(for_ms_);                                                                \
        }                                                                                          \
    } while (0)

/* Who has waited long may wait a hundredth longer, and leaves the processors to others. */
void scene_breathe(int64_t waited_ms);

/* What an operator defines.  Left out: a day cap in UTC, since long ago and for long. */
struct cap {
    const char *id;
    int64_t total;
    const char *interval, *starts_at, *ends_at;
    const char *more; /* further members: "\"paused\":true" */
};

/* Creates or replaces the definition. */
void cap_put(const struct scene *s, struct cap cap);

/* The same, and waits until every server knows the window that begins then. */
void cap_open(const struct scene *s, struct cap cap, const char *starts_at);

void cap_delete(const struct scene *s, const char *id);

/* A call's status, -1 if no answer came. */
int status_of(struct client *c, const char *method, const char *path, const char *body);

/*
 * A member of what /caps/{id}, /pools/{cap} show of the window; -1: no such thing, or null.
 * meta-svc is asked again until it knows the amounts: it waits a second for those who do.
 */
int64_t at_meta(const struct scene *s, const char *cap, const char *starts_at, const char *member);
int64_t at_pool(const struct scene *s, const char *cap, const char *starts_at, const char *member);
int64_t at_server(const struct scene *s, int server, const char *cap, const char *starts_at,
                  const char *member);
int64_t at_client(struct client *server, const char *cap, const char *starts_at,
                  const char *member);

/* The window's state at local-svc; false if it has none such. */
bool pool_is(const struct scene *s, const char *cap, const char *starts_at, const char *state);

/* A member of the newest slice that a server of that name has of the window; -1: none. */
int64_t at_slice(const struct scene *s, const char *cap, const char *starts_at, const char *server,
                 const char *member);
bool slice_is(const struct scene *s, const char *cap, const char *starts_at, const char *server,
              const char *state);

/* A member of GET /learning, 1 for true; -1: no answer. */
int64_t learning(const struct scene *s, const char *member);

/* From its start to its end in hours of the calendar; -1: there is no such window. */
int64_t hours_of(const struct scene *s, const char *cap, const char *starts_at);

/* The calendar goes on from there, so many times as fast as real time. */
void calendar_set(const struct scene *s, const char *instant, int speed);

/* Asks once. */
struct consumed consume(const struct scene *s, int server, const char *cap, int64_t n);

/* Asks again as long as the answer is 503: the first certain one. */
enum verdict take(struct client *server, const char *cap, int64_t n);

/* Takes one unit after the other, at most n, until refused for certain; how many were granted. */
int64_t spend(struct client *server, const char *cap, int64_t n);

/*
 * A client on a thread of its own, who takes one unit after the other and
 * never waits, until it is stopped; whoever kills the server meets it at work.
 * What is counted is how often it was granted what it asked for.
 */
struct hammer;
struct hammer *hammer_start(int server_port, const char *cap);
/* Waits that long after each unit: a demand that can be known. */
struct hammer *hammer_start_paced(int server_port, const char *cap, int64_t pause_ms);
/* Takes so many units at a time, all of them or none. */
struct hammer *hammer_start_amount(int server_port, const char *cap, int64_t amount);
int64_t hammer_granted(const struct hammer *h); /* so far */

struct hammered {
    int64_t granted;
    int64_t refused;    /* for whatever reason */
    int64_t unanswered; /* the connection failed before an answer came */
};
struct hammered hammer_stop(struct hammer *h);

/* The total as clients are told of it by RateLimit-Policy with a consume of one unit; -1: none. */
int64_t policy_total(const struct scene *s, int server, const char *cap);

/* The sum of the samples of a metric whose line contains `labels` ("" for all). */
int64_t metric_sum(struct client *c, const char *name, const char *labels);

bool audit_is_clean(const struct scene *s);

/* All units of the window are accounted for, and no server holds any. */
bool is_at_rest(const struct scene *s, const char *cap, const char *starts_at);
