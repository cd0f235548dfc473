#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "services/meta-svc/app.h"
#include "services/meta-svc/body.h"
#include "services/meta-svc/fields.h"

/* GET and PUT /peers/{dc}/definitions */

static bool peer_of(const struct meta_app *app, const struct httpd_request *http, const char **ret,
                    struct err *e)
{
    if (!name_check("the data centre", http->params[0], e))
        return false;
    if (strcmp(http->params[0], app->here.dc) == 0)
        return err_set(e, ERR_INVALID, "%s is this data centre", app->here.dc);
    *ret = http->params[0];
    return true;
}

/* An error's pointer is into the definition; it must be into the document. */
static bool err_within(struct err *e, const char *where)
{
    char inner[sizeof(e->pointer)];

    memcpy(inner, e->pointer, sizeof(inner));
    (void)snprintf(e->pointer, sizeof(e->pointer), "%.40s%.70s", where, inner);
    return false;
}

static bool decode_definition(const cJSON *object, const char *where, struct meta_cap *ret,
                              struct err *e)
{
#define AT(member) offsetof(struct meta_cap, member)
#define CAP_AT(member) offsetof(struct meta_cap, cap.member)
    static const struct js_field fields[] = {
        META_DEFINITION_FIELDS(CAP_AT),
        {.name = "id", .kind = JS_NAME, .offset = AT(cap.id)},
        {.name = "revision", .kind = JS_I64, .offset = AT(revision), .min = 1, .max = UNITS_MAX},
        {.name = "version",
         .kind = JS_I64,
         .offset = AT(version),
         .min = 1,
         .max = META_VERSION_MAX},
        {.name = "deleted", .kind = JS_BOOL, .offset = AT(deleted)},
        {.name = "created_at", .kind = JS_TIME, .offset = AT(created_at_ms)},
        {.name = "home", .kind = JS_NAME, .offset = AT(origin.home)},
        {.name = "changed_at", .kind = JS_TIME, .offset = AT(origin.changed_at_ms)},
        {.name = "grid_since",
         .kind = JS_TIME,
         .offset = AT(origin.grid_since_ms),
         .nullable = true,
         .optional = true},
    };
#undef CAP_AT
#undef AT

    *ret = (struct meta_cap){.cap = cap_defaults(), .origin.grid_since_ms = CAP_GRID_ALWAYS};
    if (!js_decode(object, where, fields, sizeof(fields) / sizeof(fields[0]), ret, e))
        return false;
    return cap_validate(&ret->cap, e) || err_within(e, where);
}

/* What only the batch as a whole can say of a definition. */
static bool check_place(const struct meta_batch *batch, const struct meta_cap *m, const char *where,
                        struct err *e)
{
    size_t i = batch->count;
    int64_t after = i == 0 ? batch->from_revision : batch->list[i - 1].revision;

    if (strcmp(m->origin.home, batch->dc) != 0)
        return err_at(e, "/home", "must be the sender, %s", batch->dc) || err_within(e, where);
    if (m->revision <= after || m->revision > batch->to_revision)
        return err_at(e, "/revision", "must grow within the batch's revisions") ||
               err_within(e, where);
    return true;
}

/* What could not be read of a batch. */
struct unread {
    size_t count;
    char id[NAME_SIZE]; /* of the first one, if it has one */
    struct err why;     /* likewise */
};

static void note_unread(struct unread *u, const cJSON *object, const struct err *why)
{
    const char *id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "id"));

    if (u->count++ > 0)
        return;
    (void)snprintf(u->id, sizeof(u->id), "%s", id != NULL && name_is_valid(id) ? id : "");
    u->why = *why;
}

/*
 * One that cannot be read, of a newer release, say, must not hold up those
 * after it: it is passed over, and will be told again.
 */
static bool decode_list(const cJSON *array, struct meta_batch *batch, struct unread *unread,
                        struct err *e)
{
    const cJSON *object = NULL;
    struct err why = {0};
    char where[32];
    int i = 0;

    cJSON_ArrayForEach(object, array)
    {
        struct meta_cap *m = &batch->list[batch->count];
        (void)snprintf(where, sizeof(where), "/definitions/%d", i++);
        if (!decode_definition(object, where, m, &why))
            note_unread(unread, object, &why);
        else if (!check_place(batch, m, where, e))
            return false;
        else
            batch->count++;
    }
    return true;
}

/* `batch->list` is the caller's to free, also after a failure. */
static bool decode(const struct httpd_request *http, struct meta_batch *batch,
                   struct unread *unread, struct err *e)
{
    struct body {
        int64_t from_revision, to_revision;
        const cJSON *definitions;
    } body = {0};
#define AT(member) offsetof(struct body, member)
    static const struct js_field fields[] = {
        {.name = "from_revision", .kind = JS_I64, .offset = AT(from_revision), .max = UNITS_MAX},
        {.name = "to_revision", .kind = JS_I64, .offset = AT(to_revision), .max = UNITS_MAX},
        {.name = "definitions", .kind = JS_ARRAY, .offset = AT(definitions), .max = META_BATCH_MAX},
    };
#undef AT
    auto_js cJSON *json = NULL;

    if (!js_parse(http->body, http->body_len, &json, e) ||
        !js_decode(json, "", fields, sizeof(fields) / sizeof(fields[0]), &body, e))
        return false;
    if (body.to_revision < body.from_revision)
        return err_at(e, "/to_revision", "must not be less than from_revision");
    batch->from_revision = body.from_revision;
    batch->to_revision = body.to_revision;
    batch->list = calloc(META_BATCH_MAX, sizeof(*batch->list));
    if (batch->list == NULL)
        return err_set(e, ERR_INTERNAL, "out of memory");
    return decode_list(body.definitions, batch, unread, e);
}

static void encode(int64_t applied_revision, struct httpd_reply *reply)
{
    struct js_writer w = {.out = &reply->body};

    js_object(&w, NULL);
    js_i64(&w, "applied_revision", applied_revision);
    js_object_end(&w);
}

static void done_batch(struct meta_batch *batch)
{
    free(batch->list);
}

static void report_unread(const struct meta_app *app, const char *dc, const struct unread *unread)
{
    if (unread->count == 0)
        return;
    metric_add(metric_at(app->received, "unread", NULL, NULL), (int64_t)unread->count);
    log_event(LOG_WARN, "definition.unread", log_str("home", dc),
              log_i64("count", (int64_t)unread->count), log_str("cap", unread->id),
              log_str("at", unread->why.pointer), log_str("error", unread->why.msg),
              log_str("then", "passing over it until it is told again"));
}

bool meta_handle_put_peer(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                          struct err *e)
{
    const struct meta_app *app = arg;
    struct meta_batch batch __attribute__((cleanup(done_batch))) = {.count = 0};
    struct meta_applied applied = {.changed = 0};
    struct unread unread = {.count = 0};

    if (!httpd_query_only(http, (const char *const[]){NULL}, e) ||
        !peer_of(app, http, &batch.dc, e) || !decode(http, &batch, &unread, e) ||
        !meta_store_apply(&app->here, &batch, &applied, e))
        return false;
    bool is_gap = batch.from_revision > applied.revision;
    if (!is_gap)
        report_unread(app, batch.dc, &unread);
    metric_add(metric_at(app->received, is_gap ? "gap" : "applied", NULL, NULL),
               is_gap ? 1 : (int64_t)applied.changed);
    if (applied.changed > 0)
        outbox_relay_wake(app->relay);
    encode(applied.revision, reply);
    return true;
}

bool meta_handle_get_peer(void *arg, const struct httpd_request *http, struct httpd_reply *reply,
                          struct err *e)
{
    const struct meta_app *app = arg;
    const char *dc = NULL;
    int64_t applied = 0;

    if (!httpd_query_only(http, (const char *const[]){NULL}, e) || !peer_of(app, http, &dc, e) ||
        !meta_store_applied(&app->here, dc, &applied, e))
        return false;
    encode(applied, reply);
    return true;
}
