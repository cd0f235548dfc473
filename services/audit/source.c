#include "services/audit/source.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "common/io/js.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define REPLY_MAX (16 << 20) /* PAGE_WINDOWS_MAX windows with all their accounts are far below */
#define PAGE_TIMEOUT_MS 30000
#define AUDIT_TIMEOUT_MS 120000 /* it goes over all windows at once */
#define TRIES 3
#define RETRY_MS 200

bool sources_open(const struct options *o, struct sources *ret, struct err *e)
{
    for (size_t i = 0; i < o->count; i++) {
        ret->all[i].dc = &o->dcs[i];
        ret->count = i + 1;
        if (!httpc_new(REPLY_MAX, &ret->all[i].http, e))
            return false;
    }
    return true;
}

void sources_done(struct sources *s)
{
    for (size_t i = 0; i < JUDGE_DCS_MAX; i++) {
        buf_done(&s->all[i].reply.body);
        s->all[i].http = httpc_free(s->all[i].http);
    }
}

static bool get(struct source *s, const char *target, int64_t timeout_ms, struct err *e)
{
    char url[URL_SIZE + 256];
    const struct httpc_request req = {.method = "GET", .url = url, .timeout_ms = timeout_ms};

    (void)snprintf(url, sizeof(url), "%s%s", s->dc->url, target);
    return httpc_call(s->http, &req, &s->reply, e) && httpc_expect_success(&s->reply, e);
}

/* A restart, or a database that fails over, is no reason to give up all that was read. */
static bool get_patiently(struct source *s, const char *target, int64_t timeout_ms, struct err *e)
{
    const struct timespec pause = {.tv_nsec = RETRY_MS * 1000000L};

    for (int tries = 1; !get(s, target, timeout_ms, e); tries++) {
        if (tries == TRIES || !err_is_retryable(e->kind))
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* ---- its own audit */

struct audit_body {
    int64_t checked_at_ms;
    const cJSON *checks;
};

struct check_body {
    char id[8];
    int64_t violations;
    const cJSON *examples;
};

/* clang-format off */
#define AT(member) offsetof(struct audit_body, member)
static const struct js_field audit_fields[] = {
    {.name = "checked_at", .kind = JS_TIME,  .offset = AT(checked_at_ms)},
    {.name = "checks",     .kind = JS_ARRAY, .offset = AT(checks), .max = SOURCE_CHECKS_MAX},
};
#undef AT

#define AT(member) offsetof(struct check_body, member)
static const struct js_field check_fields[] = {
    {.name = "id",         .kind = JS_TEXT,  .offset = AT(id), .min = 1, .max = 7},
    {.name = "violations", .kind = JS_I64,   .offset = AT(violations), .max = UNITS_MAX},
    {.name = "examples",   .kind = JS_ARRAY, .offset = AT(examples), .max = 100},
};
#undef AT
/* clang-format on */

static bool take_check(struct source *s, const cJSON *json, struct err *e)
{
    struct source_check *check = &s->checks[s->checks_count];
    struct check_body body = {0};

    if (!js_decode_lax(json, "/checks", check_fields, COUNT(check_fields), &body, e))
        return false;
    if (body.violations == 0)
        return true;
    const cJSON *example = cJSON_GetArrayItem(body.examples, 0);
    check->violations = body.violations;
    (void)snprintf(check->id, sizeof(check->id), "%s", body.id);
    (void)snprintf(check->example, sizeof(check->example), "%s",
                   cJSON_IsString(example) ? example->valuestring : "");
    s->checks_count++;
    return true;
}

static bool take_audit(struct source *s, struct err *e)
{
    auto_js cJSON *json = NULL;
    struct audit_body body = {0};
    const cJSON *check = NULL;

    if (!js_parse(s->reply.body.data, s->reply.body.len, &json, e) ||
        !js_decode_lax(json, "", audit_fields, COUNT(audit_fields), &body, e))
        return false;
    s->now_ms = body.checked_at_ms;
    s->checks_count = 0;
    cJSON_ArrayForEach(check, body.checks) if (!take_check(s, check, e)) return false;
    return true;
}

struct name_body {
    char dc[NAME_SIZE];
};

static bool check_name(struct source *s, struct err *e)
{
    static const struct js_field fields[] = {
        {.name = "dc", .kind = JS_NAME, .offset = offsetof(struct name_body, dc)},
    };
    auto_js cJSON *json = NULL;
    struct name_body body = {0};

    if (!js_parse(s->reply.body.data, s->reply.body.len, &json, e) ||
        !js_decode_lax(json, "", fields, COUNT(fields), &body, e))
        return false;
    return strcmp(body.dc, s->dc->name) == 0 ||
           err_set(e, ERR_CONFLICT, "%.80s is data centre %s, not %s", s->dc->url, body.dc,
                   s->dc->name);
}

bool source_ask(struct source *s, struct err *e)
{
    return get_patiently(s, "/pools?limit=1", PAGE_TIMEOUT_MS, e) && check_name(s, e) &&
           get_patiently(s, "/audit", AUDIT_TIMEOUT_MS, e) && take_audit(s, e);
}

/* ---- pages */

static void page_target(const struct window_key *after, char *ret, size_t size)
{
    char starts_at[TIME_TEXT_SIZE];

    time_format(after->starts_at_ms, starts_at);
    if (after->cap[0] == '\0')
        (void)snprintf(ret, size, "/pools?peers=true&limit=%d", PAGE_WINDOWS_MAX);
    else
        (void)snprintf(ret, size, "/pools?peers=true&limit=%d&after=%s/%s", PAGE_WINDOWS_MAX,
                       after->cap, starts_at);
}

bool source_page(struct source *s, const struct source_query *q, struct page *ret, struct err *e)
{
    char target[200];

    page_target(&q->after, target, sizeof(target));
    if (!get_patiently(s, target, PAGE_TIMEOUT_MS, e) ||
        !page_decode(s->reply.body.data, s->reply.body.len, q->names, q->now_ms, ret, e))
        return false;
    if (strcmp(ret->dc, s->dc->name) != 0)
        return err_set(e, ERR_CONFLICT, "became data centre %s", ret->dc);
    return ret->count == 0 || window_key_compare(&ret->rows[0].key, &q->after) > 0 ||
           err_set(e, ERR_INTERNAL, "tells windows again that it was not asked for");
}

/* ---- all of them */

struct job {
    struct source *source;
    source_work *work;
    void *arg;
    size_t index;
    pthread_t thread;
};

static void *run_job(void *arg)
{
    struct job *j = arg;

    j->source->err = (struct err){0};
    j->source->failed = !j->work(j->arg, j->index, &j->source->err);
    return NULL;
}

bool sources_each(struct sources *s, source_work *work, void *arg)
{
    struct job jobs[JUDGE_DCS_MAX];
    bool all_well = true;

    for (size_t i = 0; i < s->count; i++) {
        jobs[i] = (struct job){.source = &s->all[i], .work = work, .arg = arg, .index = i};
        CHECK(pthread_create(&jobs[i].thread, NULL, run_job, &jobs[i]) == 0);
    }
    for (size_t i = 0; i < s->count; i++) {
        CHECK(pthread_join(jobs[i].thread, NULL) == 0);
        all_well = all_well && !s->all[i].failed;
    }
    return all_well;
}
