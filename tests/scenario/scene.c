#include "tests/scenario/scene.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/num.h"
#include "tests/harness/proc.h"

/* Not of any service's prefix: services refuse settings that they do not know. */
#define SUITE_ENV "SCENE_FOLDER"

#define BREATH_MS 10

/* The runner's alone: its tests know the data centre by the environment. */
static struct dc *suite;

static struct dc *start_at_now(const struct dc_options *o)
{
    struct dc_options options = *o;

    if (!options.calendar)
        options.calendar = NOW;
    return dc_start(&options);
}

struct scene *scene_of(struct dc *dc)
{
    struct scene *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    s->dc = dc;
    s->meta = dc_client(dc, DC_META, 0);
    s->interval = dc_client(dc, DC_INTERVAL, 0);
    s->local = dc_client(dc, DC_LOCAL, 0);
    s->servers_count = dc_count(dc, DC_SERVER);
    for (int i = 0; i < s->servers_count; i++)
        s->servers[i] = dc_client(dc, DC_SERVER, i);
    return s;
}

/* The tests' verdicts are out by now: the exit status is what is left to say so. */
static void stop_suite(void)
{
    int odd = dc_stop_services(suite);

    suite = dc_stop(suite);
    if (odd > 0)
        _exit(EXIT_FAILURE);
}

void scene_suite_start(const struct dc_options *o)
{
    suite = start_at_now(o);
    if (setenv(SUITE_ENV, dc_folder(suite), 1) != 0)
        harness_fail("setenv");
    atexit(stop_suite);
}

struct scene *scene_join(void)
{
    const char *folder = getenv(SUITE_ENV);
    struct dc *dc = folder ? dc_attach(folder) : NULL;

    if (!dc)
        harness_fail("no shared data centre: the program lacks SCENE_SUITE()");
    return scene_of(dc);
}

struct scene *scene_start(const struct dc_options *o)
{
    return scene_of(start_at_now(o));
}

struct scene *scene_leave(struct scene *s)
{
    if (!s)
        return NULL;
    for (int i = 0; i < s->servers_count; i++)
        client_free(s->servers[i]);
    client_free(s->local);
    client_free(s->interval);
    client_free(s->meta);
    free(s);
    return NULL;
}

struct scene *scene_end(struct scene *s)
{
    const char *folder = getenv(SUITE_ENV);

    if (!s)
        return NULL;
    if (folder && strcmp(folder, dc_folder(s->dc)) == 0) {
        dc_forget(s->dc);
    } else {
        cr_expect_eq(dc_stop_services(s->dc), 0);
        dc_stop(s->dc);
    }
    return scene_leave(s);
}

void scene_breathe(int64_t waited_ms)
{
    poll(NULL, 0, (int)max_i64(BREATH_MS, waited_ms / 100));
}

void cap_put(const struct scene *s, struct cap cap)
{
    auto_buf struct buf body = BUF_INIT(4096);
    struct err e = {0};

    buf_printf(
        &body,
        "{\"starts_at\":\"%s\",\"ends_at\":\"%s\",\"interval\":\"%s\",\"total\":%" PRId64 "%s%s}",
        cap.starts_at ? cap.starts_at : "2015-01-01T00:00:00Z",
        cap.ends_at ? cap.ends_at : "2100-01-01T00:00:00Z", cap.interval ? cap.interval : "day",
        cap.total, cap.more ? "," : "", cap.more ? cap.more : "");
    cr_assert(client_put_cap(s->meta, cap.id, buf_text(&body), &e), "%s", e.msg);
}

static bool all_know(const struct scene *s, const char *cap, const char *starts_at)
{
    for (int i = 0; i < s->servers_count; i++)
        if (at_server(s, i, cap, starts_at, "granted") < 0)
            return false;
    return true;
}

void cap_open(const struct scene *s, struct cap cap, const char *starts_at)
{
    cap_put(s, cap);
    eventually(pool_is(s, cap.id, starts_at, "open"));
    eventually(all_know(s, cap.id, starts_at));
}

void cap_delete(const struct scene *s, const char *id)
{
    char path[NAME_SIZE + 8];

    snprintf(path, sizeof(path), "/caps/%s", id);
    cr_assert_eq(status_of(s->meta, "DELETE", path, NULL), 204);
}

int status_of(struct client *c, const char *method, const char *path, const char *body)
{
    const struct call call = {.method = method, .path = path, .body = body};
    struct answer answer = {0};
    struct err e;

    return client_call(c, &call, &answer, &e) ? answer.status : -1;
}

/* The element of an array member whose `key` is that text. */
static const cJSON *element(const cJSON *object, const char *array, const char *key,
                            const char *text)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(object, array))
    {
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, key));
        if (value && strcmp(value, text) == 0)
            return item;
    }
    return NULL;
}

/* What GET `prefix`/{cap} shows of a window in its array; borrowed until the client's next call. */
static const cJSON *window_at(struct client *c, const char *prefix, const char *cap,
                              const char *array, const char *starts_at)
{
    char path[NAME_SIZE + 16];
    const struct call call = {.method = "GET", .path = path};
    struct answer answer = {0};
    struct err e;

    snprintf(path, sizeof(path), "%s/%s", prefix, cap);
    if (!client_call(c, &call, &answer, &e) || answer.status != 200)
        return NULL;
    return element(answer.json, array, "starts_at", starts_at);
}

/* False: ask again, since those behind meta-svc, who know the amounts, did not answer it in time.
 */
static bool is_known_at_meta(const struct scene *s, const char *cap, const char *starts_at,
                             const cJSON **ret)
{
    char path[NAME_SIZE + 16];
    const struct call call = {.method = "GET", .path = path};
    struct answer answer = {0};
    struct err e;

    snprintf(path, sizeof(path), "/caps/%s", cap);
    if (!client_call(s->meta, &call, &answer, &e) || answer.status >= 500 ||
        cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(answer.json, "intervals")))
        return false;
    *ret = element(answer.json, "intervals", "starts_at", starts_at);
    return !cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(*ret, "requested"));
}

static int64_t number_in(const cJSON *object, const char *member)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, member);

    return cJSON_IsNumber(item) ? (int64_t)item->valuedouble : -1;
}

static bool text_is(const cJSON *object, const char *member, const char *expected)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, member));

    return text && strcmp(text, expected) == 0;
}

int64_t at_meta(const struct scene *s, const char *cap, const char *starts_at, const char *member)
{
    const cJSON *window = NULL;

    eventually(is_known_at_meta(s, cap, starts_at, &window));
    return number_in(window, member);
}

int64_t at_pool(const struct scene *s, const char *cap, const char *starts_at, const char *member)
{
    return number_in(window_at(s->local, "/pools", cap, "pools", starts_at), member);
}

int64_t at_server(const struct scene *s, int server, const char *cap, const char *starts_at,
                  const char *member)
{
    return at_client(s->servers[server], cap, starts_at, member);
}

int64_t at_client(struct client *server, const char *cap, const char *starts_at, const char *member)
{
    return number_in(window_at(server, "/caps", cap, "windows", starts_at), member);
}

bool pool_is(const struct scene *s, const char *cap, const char *starts_at, const char *state)
{
    return text_is(window_at(s->local, "/pools", cap, "pools", starts_at), "state", state);
}

static const cJSON *slice_at(const struct scene *s, const char *cap, const char *starts_at,
                             const char *server)
{
    return element(window_at(s->local, "/pools", cap, "pools", starts_at), "slices", "server",
                   server);
}

int64_t at_slice(const struct scene *s, const char *cap, const char *starts_at, const char *server,
                 const char *member)
{
    return number_in(slice_at(s, cap, starts_at, server), member);
}

bool slice_is(const struct scene *s, const char *cap, const char *starts_at, const char *server,
              const char *state)
{
    return text_is(slice_at(s, cap, starts_at, server), "state", state);
}

bool audit_is_clean(const struct scene *s)
{
    struct err e = {0};
    bool clean = client_audit(s->local, &e);

    if (!clean)
        cr_log_warn("%s", e.msg);
    return clean;
}

bool is_at_rest(const struct scene *s, const char *cap, const char *starts_at)
{
    const cJSON *pool = window_at(s->local, "/pools", cap, "pools", starts_at);

    return pool &&
           number_in(pool, "free") + number_in(pool, "spent") == number_in(pool, "effective");
}

int64_t learning(const struct scene *s, const char *member)
{
    struct answer answer = {0};
    struct err e = {0};

    if (!client_expect(s->local, 200, "GET", "/learning", NULL, &answer, &e))
        return -1;

    const cJSON *value = cJSON_GetObjectItemCaseSensitive(answer.json, member);
    return cJSON_IsNumber(value) ? (int64_t)value->valuedouble : cJSON_IsTrue(value);
}

int64_t hours_of(const struct scene *s, const char *cap, const char *starts_at)
{
    const cJSON *pool = window_at(s->local, "/pools", cap, "pools", starts_at);
    const char *ends_at = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(pool, "ends_at"));
    int64_t from_ms = 0, to_ms = 0;
    struct err e;

    if (!ends_at || !time_parse(starts_at, &from_ms, &e) || !time_parse(ends_at, &to_ms, &e))
        return -1;
    return (to_ms - from_ms) / 3600000;
}

void calendar_set(const struct scene *s, const char *instant, int speed)
{
    pg_exec(dc_conninfo(s->dc), "SELECT calendar.set('%s', %d)", instant, speed);
}
