#include <string.h>

#include "common/base/check.h"
#include "tests/harness/dc_internal.h"

#define PATIENCE_MS 120000

/* Who of two acts, as their coordinators say, and handing over from one to the other. */

int dc_coordinator_of(const struct dc *dc, enum dc_kind kind, int i)
{
    if (!dc->standby || !dc_acts_once(kind))
        return -1;
    return i + (kind == DC_REMOTE ? DC_STANDBYS : 0);
}

/*
 * From its /readyz: asking for /leadership would count as a sign of life of the
 * service beside it.
 */
static bool says(const struct dc *dc, int coordinator, const char *leadership)
{
    static const struct call ready = {
        .method = "GET", .path = "/readyz?verbose", .timeout_ms = 1000};
    auto_client struct client *c = dc_client(dc, DC_COORDINATOR, coordinator);
    struct answer answer = {0};
    struct err e;

    return client_call(c, &ready, &answer, &e) &&
           strstr(buf_text(&answer.reply->body), leadership) != NULL;
}

int dc_primary(const struct dc *dc, enum dc_kind kind)
{
    CHECK(dc->standby && dc_acts_once(kind));
    for (int i = 0; i < dc_count(dc, kind); i++)
        if (says(dc, dc_coordinator_of(dc, kind, i), "leadership: primary,"))
            return i;
    return -1;
}

static bool all_have_one(void *arg)
{
    const struct dc *dc = arg;

    for (enum dc_kind kind = 0; kind < DC_KINDS; kind++)
        if (dc_acts_once(kind) && dc_count(dc, kind) > 0 && dc_primary(dc, kind) < 0)
            return false;
    return true;
}

void dc_await_primaries(const struct dc *dc)
{
    struct dc copy = *dc;

    if (!harness_await(all_have_one, &copy, PATIENCE_MS))
        harness_fail("in %s nobody becomes primary", dc->folder);
}

/* Whether its metrics have that line; false, too, if it does not answer soon. */
static bool has_metric(const struct dc *dc, enum dc_kind kind, int i, const char *line)
{
    static const struct call metrics = {.method = "GET", .path = "/metrics", .timeout_ms = 2000};
    auto_client struct client *c = dc_client(dc, kind, i);
    struct answer answer = {0};
    struct err e;

    return client_call(c, &metrics, &answer, &e) && answer.status == 200 &&
           strstr(buf_text(&answer.reply->body), line) != NULL;
}

bool dc_is_acting(const struct dc *dc, enum dc_kind kind, int i)
{
    return has_metric(dc, kind, i, "\nvolumecap_acting 1\n");
}

bool dc_is_resting(const struct dc *dc, enum dc_kind kind, int i)
{
    return has_metric(dc, kind, i, "\nvolumecap_acting 0\n");
}

struct wanted {
    const struct dc *dc;
    enum dc_kind kind;
    int replica;
};

static bool is_handed_over(void *arg)
{
    static const struct call step_down = {.method = "POST", .path = "/step-down"};
    const struct wanted *w = arg;
    int primary = dc_primary(w->dc, w->kind);
    struct answer answer = {0};
    struct err e;

    if (primary == w->replica)
        return says(w->dc, dc_coordinator_of(w->dc, w->kind, 1 - primary), "leadership: standby,");
    if (primary < 0)
        return false;
    auto_client struct client *c =
        dc_client(w->dc, DC_COORDINATOR, dc_coordinator_of(w->dc, w->kind, primary));
    bool ignored = client_call(c, &step_down, &answer, &e);
    (void)ignored; /* it may have left meanwhile: the next look tells */
    return false;
}

void dc_make_primary(const struct dc *dc, enum dc_kind kind, int i)
{
    struct wanted w = {dc, kind, i};

    if (!harness_await(is_handed_over, &w, PATIENCE_MS))
        harness_fail("%s does not become primary", dc_name(dc, kind, i));
}
