#include "tests/scenario/scenes.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/harness/proc.h"

/* Not of any service's prefix: services refuse settings that they do not know. */
#define SUITE_ENV "SCENES_FOLDER"

#define REAP_MS 20

/* What has been spent is told in rounds and reports, and nobody wants to wait 30 s for the next. */
static const char *const soon[] = {"REMOTE_SYNC_MS=3000", "SERVER_REPORT_MS=1000", NULL};

/* The runner's alone: its tests know the data centres by the environment. */
static struct dcs *suite;
static pthread_t reaper;
static atomic_bool is_over;

/*
 * Tests kill what is the runner's child.  Criterion, in the runner, waits for
 * any child, and as long as the first that has ended is not its own it turns
 * round and round and never sees the end of a test.
 */
static void *reap(void *arg)
{
    (void)arg;
    while (!atomic_load(&is_over)) {
        dcs_reap(suite);
        poll(NULL, 0, REAP_MS);
    }
    return NULL;
}

static void stop_suite(void)
{
    atomic_store(&is_over, true);
    CHECK(pthread_join(reaper, NULL) == 0);
    int odd = dcs_stop_services(suite);

    suite = dcs_stop(suite);
    if (odd > 0)
        _exit(EXIT_FAILURE);
}

void scenes_suite_start(const struct dcs_options *o)
{
    struct dcs_options options = *o;

    if (!options.each.calendar)
        options.each.calendar = NOW;
    if (!options.each.env)
        options.each.env = soon;
    suite = dcs_start(&options);
    if (setenv(SUITE_ENV, dcs_folder(suite), 1) != 0)
        harness_fail("setenv");
    CHECK(pthread_create(&reaper, NULL, reap, NULL) == 0);
    atexit(stop_suite);
}

struct scenes *scenes_join(void)
{
    const char *folder = getenv(SUITE_ENV);
    struct scenes *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    s->dcs = folder ? dcs_attach(folder) : NULL;
    if (!s->dcs)
        harness_fail("no shared data centres: the program lacks SCENES_SUITE()");
    s->folder = dcs_folder(s->dcs);
    s->count = dcs_count(s->dcs);
    for (int i = 0; i < s->count; i++)
        s->at[i] = scene_of(dcs_dc(s->dcs, i));
    /* A test that failed has left what it broke. */
    links_heal(s->folder);
    dcs_heal(s->dcs);
    eventually(all_is_well(s));
    return s;
}

struct scenes *scenes_end(struct scenes *s)
{
    if (!s)
        return NULL;
    links_heal(s->folder);
    eventually(all_is_well(s));
    cr_expect(joint_audit_is_clean(s));
    for (int i = 0; i < s->count; i++)
        (void)scene_leave(s->at[i]);
    (void)dcs_forget(s->dcs);
    free(s);
    return NULL;
}

static bool all_know(const struct scenes *s, const char *cap, const char *starts_at)
{
    for (int i = 0; i < s->count; i++)
        for (int k = 0; k < s->at[i]->servers_count; k++)
            if (at_server(s->at[i], k, cap, starts_at, "granted") < 0)
                return false;
    return true;
}

void cap_open_at(const struct scenes *s, int home, struct cap cap, const char *starts_at)
{
    cap_put(s->at[home], cap);
    for (int i = 0; i < s->count; i++)
        eventually(pool_is(s->at[i], cap.id, starts_at, "open"));
    eventually(all_know(s, cap.id, starts_at));
}

int64_t at_all_pools(const struct scenes *s, const char *cap, const char *starts_at,
                     const char *member)
{
    int64_t sum = 0;

    for (int i = 0; i < s->count; i++) {
        int64_t n = at_pool(s->at[i], cap, starts_at, member);
        if (n < 0)
            return -1;
        sum += n;
    }
    return sum;
}

bool serves(const struct scenes *s, int at, const char *cap, const char *starts_at)
{
    char path[NAME_SIZE + 8];
    const struct call call = {.method = "GET", .path = path};
    struct answer answer = {0};
    const cJSON *window = NULL;
    struct err e;

    (void)snprintf(path, sizeof(path), "/caps/%s", cap);
    if (!client_call(s->at[at]->servers[0], &call, &answer, &e) || answer.status != 200)
        return false;
    cJSON_ArrayForEach(window, cJSON_GetObjectItemCaseSensitive(answer.json, "windows"))
    {
        if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(window, "current")))
            return strcmp(
                       cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(window, "starts_at")),
                       starts_at) == 0;
    }
    return false;
}

/* A receiver's counter, read first, is never ahead of the sender's. */
int64_t in_transit(const struct scenes *s, const char *cap, const char *starts_at)
{
    int64_t received = at_all_pools(s, cap, starts_at, "received");
    int64_t sent = at_all_pools(s, cap, starts_at, "sent");

    return received < 0 || sent < 0 ? -1 : sent - received;
}

bool all_is_well(const struct scenes *s)
{
    for (int i = 0; i < s->count; i++)
        for (int j = 0; j < s->count; j++)
            if (i != j && (!dcs_peer_is(s->dcs, i, j, "up") ||
                           dcs_at_peer(s->dcs, i, j, "units_in_transit") != 0))
                return false;
    return true;
}

/* False: it could not read all that it wanted to, in time, and has seen no violation. */
static bool has_judged(const struct scenes *s, bool *ret_clean)
{
    auto_free char *said = NULL;

    *ret_clean = dcs_audit(s->dcs, &said);
    if (!*ret_clean)
        cr_log_warn("%s", said ? said : "");
    return *ret_clean || (said && strstr(said, "NOT all is accounted for"));
}

bool joint_audit_is_clean(const struct scenes *s)
{
    bool is_clean = false;

    eventually(has_judged(s, &is_clean));
    return is_clean;
}
