#include "tests/harness/local.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/io/js.h"
#include "tests/harness/proc.h"

struct svc *local_start(const char *conninfo, const char *const *env)
{
    return svc_start(&(struct svc_options){
        .name = "local-svc", .prefix = "LOCAL", .conninfo = conninfo, .env = env});
}

static const char *or_else(const char *text, const char *dflt)
{
    return text ? text : dflt;
}

void local_announce(struct client *c, const char *cap, const struct announced *a)
{
    auto_buf struct buf body = {0};
    struct js_writer w = {.out = &body};
    char path[160];
    struct answer answer = {0};
    struct err e;

    snprintf(path, sizeof(path), "/intervals/%s/%s", cap, or_else(a->starts_at, LOCAL_STARTS_AT));
    js_object(&w, NULL);
    js_i64(&w, "version", a->version);
    js_text(&w, "ends_at", or_else(a->ends_at, LOCAL_ENDS_AT));
    js_text(&w, "state", or_else(a->state, "open"));
    js_i64(&w, "total", a->total);
    if (a->definition > 0)
        js_i64(&w, "definition", a->definition);
    if (a->home)
        js_text(&w, "home", a->home);
    js_bool(&w, "paused", a->paused);
    js_ppm(&w, "topup_fraction", 100000);
    js_ppm(&w, "slice_max_fraction", 50000);
    js_i64(&w, "autonomy_ms", 10000);
    js_object_end(&w);
    if (!client_expect(c, 204, "PUT", path, buf_text(&body), &answer, &e))
        harness_fail("%s", e.msg);
}

static void write_uuid(struct js_writer *w, const char *key, int server, int which)
{
    char uuid[37];

    snprintf(uuid, sizeof(uuid), "%08d-0000-4000-8000-%012d", server, which);
    js_text(w, key, uuid);
}

static void write_topup(struct js_writer *w, const struct speaker *s, const char *cap,
                        const struct said *said)
{
    char name[24];

    snprintf(name, sizeof(name), "server-%d", s->number);
    js_object(w, NULL);
    js_text(w, "server", name);
    write_uuid(w, "incarnation", s->number, s->incarnation);
    js_i64(w, "generation", s->generation ? s->generation : 1);
    write_uuid(w, "process", s->number, s->process);
    js_array(w, "items");
    js_object(w, NULL);
    js_text(w, "cap", cap);
    js_text(w, "starts_at", or_else(said->starts_at, LOCAL_STARTS_AT));
    js_i64(w, "granted_known", said->granted_known);
    js_i64(w, "returned", said->returned);
    js_i64(w, "consumed", said->consumed);
    js_i64(w, "refunded", said->refunded);
    js_i64(w, "want", said->want);
    if (said->want_min > 0)
        js_i64(w, "want_min", said->want_min);
    js_object_end(w);
    js_array_end(w);
    js_object_end(w);
}

/* clang-format off */
#define AT(member) offsetof(struct heard, member)
static const struct js_field heard_fields[] = {
    {.name = "granted",      .kind = JS_I64,  .offset = AT(granted), .max = UNITS_MAX},
    {.name = "keep",         .kind = JS_I64,  .offset = AT(keep), .max = UNITS_MAX,
     .nullable = true, .optional = true},
    {.name = "left",         .kind = JS_I64,  .offset = AT(left), .max = UNITS_MAX},
    {.name = "starts_in_ms", .kind = JS_I64,  .offset = AT(starts_in_ms), .max = UNITS_MAX},
    {.name = "ends_in_ms",   .kind = JS_I64,  .offset = AT(ends_in_ms), .max = UNITS_MAX},
    {.name = "state",        .kind = JS_TEXT, .offset = AT(state), .min = 1, .max = 15},
};
#undef AT
/* clang-format on */

static void decode_heard(const cJSON *json, struct heard *ret)
{
    const cJSON *item = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "items"), 0);
    struct err e;

    ret->keep = UNITS_MAX;
    if (!js_decode_lax(item, "/items/0", heard_fields,
                       sizeof(heard_fields) / sizeof(heard_fields[0]), ret, &e))
        harness_fail("%s: %s", e.pointer, e.msg);
}

struct heard local_topup(struct client *c, const struct speaker *s, const char *cap,
                         const struct said *said)
{
    auto_buf struct buf body = {0};
    struct js_writer w = {.out = &body};
    struct call call = {.method = "POST", .path = "/topup", .timeout_ms = 60000};
    struct answer answer = {0};
    struct heard heard = {0};
    struct err e;

    write_topup(&w, s, cap, said);
    call.body = buf_text(&body);
    if (!client_call(c, &call, &answer, &e))
        return heard;
    heard.status = answer.status;
    heard.retry_after_s = answer.reply->retry_after_s;
    if (answer.status == 200)
        decode_heard(answer.json, &heard);
    return heard;
}

int64_t local_pool_i64(struct client *c, const char *cap, const char *member)
{
    char path[96];
    struct answer answer = {0};
    struct err e;

    snprintf(path, sizeof(path), "/pools/%s", cap);
    if (!client_expect(c, 200, "GET", path, NULL, &answer, &e))
        harness_fail("%s", e.msg);
    const cJSON *pool =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer.json, "pools"), 0);
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(pool, member);
    if (!cJSON_IsNumber(value))
        harness_fail("%s has no number %s", path, member);
    return (int64_t)value->valuedouble;
}

int64_t local_metric(struct client *c, const char *name)
{
    struct answer answer = {0};
    struct err e;
    char line[128];
    int64_t value = 0;

    if (!client_expect(c, 200, "GET", "/metrics", NULL, &answer, &e))
        harness_fail("%s", e.msg);
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(buf_text(&answer.reply->body), line);
    if (!at || sscanf(at + strlen(line), "%" SCNd64, &value) != 1)
        harness_fail("no metric %s", name);
    return value;
}
