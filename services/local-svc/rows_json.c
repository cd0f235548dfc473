#include "services/local-svc/rows_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/io/js.h"
#include "services/local-svc/cursor.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POINTER_SIZE 40

struct body {
    char from[NAME_SIZE];
    const cJSON *rows;
};

/* clang-format off */
#define AT(member) offsetof(struct body, member)
static const struct js_field body_fields[] = {
    {.name = "from", .kind = JS_NAME,  .offset = AT(from)},
    {.name = "rows", .kind = JS_ARRAY, .offset = AT(rows), .min = 1, .max = TOLD_ROWS_MAX},
};
#undef AT

#define AT(member) offsetof(struct told_row, member)
#define AMOUNT(name_) {.name = #name_, .kind = JS_I64, .offset = AT(row.name_), .max = UNITS_MAX}
static const struct js_field row_fields[] = {
    {.name = "peer",      .kind = JS_NAME, .offset = AT(peer), .optional = true},
    {.name = "cap",       .kind = JS_NAME, .offset = AT(key.cap)},
    {.name = "starts_at", .kind = JS_TIME, .offset = AT(key.starts_at_ms)},
    {.name = "home",      .kind = JS_NAME, .offset = AT(home), .optional = true, .nullable = true},
    {.name = "ends_at",   .kind = JS_TIME, .offset = AT(ends_at_ms), .optional = true},
    AMOUNT(sent), AMOUNT(received), AMOUNT(want), AMOUNT(lack), AMOUNT(burn), AMOUNT(free),
    AMOUNT(spent), AMOUNT(rate_milli), AMOUNT(version),
    {.name = "total",     .kind = JS_I64,  .offset = AT(row.total), .max = UNITS_MAX,
     .optional = true},
    {.name = "total_max", .kind = JS_I64,  .offset = AT(row.total_max), .max = UNITS_MAX,
     .optional = true},
    {.name = "definition", .kind = JS_I64, .offset = AT(row.definition), .max = UNITS_MAX,
     .optional = true},
    {.name = "incarnation", .kind = JS_I64, .offset = AT(row.incarnation), .max = UNITS_MAX,
     .optional = true},
    {.name = "in_doubt",  .kind = JS_BOOL, .offset = AT(row.in_doubt), .optional = true},
    {.name = "heard",     .kind = JS_I64,  .offset = AT(row.heard), .max = UNITS_MAX, .optional = true},
    {.name = "echoed",    .kind = JS_I64,  .offset = AT(echoed), .max = UNITS_MAX, .optional = true},
};
#undef AT
/* clang-format on */

static bool decode_row(const cJSON *json, size_t i, const struct peers *peers, struct told_row *ret,
                       struct err *e)
{
    char pointer[POINTER_SIZE];

    /* Who does not say what it knows of our receipts is taken to know all. */
    *ret = (struct told_row){.echoed = UNITS_MAX};
    (void)snprintf(pointer, sizeof(pointer), "/rows/%zu", i);
    if (!js_decode(json, pointer, row_fields, COUNT(row_fields), ret, e))
        return false;
    if (ret->peer[0] != '\0' && strcmp(ret->peer, peers->self) != 0) {
        (void)snprintf(pointer, sizeof(pointer), "/rows/%zu/peer", i);
        return err_at(e, pointer, "is another data centre than this one");
    }
    return true;
}

bool rows_decode(const char *text, size_t len, const struct peers *peers, size_t *ret_from,
                 struct told_row **ret_rows, size_t *ret_count, struct err *e)
{
    auto_js cJSON *json = NULL;
    struct body body = {0};
    const cJSON *one = NULL;
    size_t count = 0;

    if (!js_parse(text, len, &json, e) ||
        !js_decode(json, "", body_fields, COUNT(body_fields), &body, e))
        return false;
    int from = peers_find(peers, body.from);
    if (from < 0)
        return err_at(e, "/from", "is not a data centre that this one trades with");
    auto_free struct told_row *rows =
        calloc((size_t)cJSON_GetArraySize(body.rows), sizeof(struct told_row));
    CHECK(rows != NULL);
    cJSON_ArrayForEach(one, body.rows)
    {
        if (!decode_row(one, count, peers, &rows[count], e))
            return false;
        count++;
    }
    *ret_from = (size_t)from;
    *ret_count = count;
    *ret_rows = TAKE(rows);
    return true;
}

static void write_row(struct js_writer *w, const struct told_row *r)
{
    js_object(w, NULL);
    js_text(w, "peer", r->peer);
    js_text(w, "cap", r->key.cap);
    js_time(w, "starts_at", r->key.starts_at_ms);
    if (r->ends_at_ms > 0)
        js_time(w, "ends_at", r->ends_at_ms);
    js_text(w, "home", r->home[0] == '\0' ? NULL : r->home);
    js_i64(w, "sent", r->row.sent);
    js_i64(w, "received", r->row.received);
    js_i64(w, "want", r->row.want);
    js_i64(w, "lack", r->row.lack);
    js_i64(w, "burn", r->row.burn);
    js_i64(w, "free", r->row.free);
    js_i64(w, "spent", r->row.spent);
    js_i64(w, "rate_milli", r->row.rate_milli);
    js_i64(w, "total", r->row.total);
    js_i64(w, "total_max", r->row.total_max);
    /* Older releases do not read it; there is none before interval-svc says it. */
    if (r->row.definition > 0)
        js_i64(w, "definition", r->row.definition);
    js_i64(w, "version", r->row.version);
    js_i64(w, "incarnation", r->row.incarnation);
    js_i64(w, "heard", r->row.heard);
    js_bool(w, "in_doubt", r->row.in_doubt);
    js_i64(w, "echoed", r->echoed);
    js_object_end(w);
}

static void write_rows(struct js_writer *w, const struct told_row *rows, size_t count)
{
    js_array(w, "rows");
    for (size_t i = 0; i < count; i++)
        write_row(w, &rows[i]);
    js_array_end(w);
}

void rows_encode_outcomes(const struct trade_batch *batch, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_array(&w, "results");
    for (size_t i = 0; i < batch->count; i++) {
        js_object(&w, NULL);
        js_text(&w, "cap", batch->rows[i].key.cap);
        js_time(&w, "starts_at", batch->rows[i].key.starts_at_ms);
        js_text(&w, "verdict", trade_outcome_names[batch->outcomes[i]]);
        js_object_end(&w);
    }
    js_array_end(&w);
    write_rows(&w, batch->answers, batch->answers_count);
    js_object_end(&w);
}

void rows_encode_news(const struct told_page *page, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_i64(&w, "revision", page->revision);
    js_bool(&w, "more", page->more);
    write_rows(&w, page->rows, page->count);
    js_object_end(&w);
}

void rows_encode_page(const struct told_page *page, bool in_transit, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    write_rows(&w, page->rows, page->count);
    cursor_write(&w, page->more ? &page->rows[page->count - 1].key : NULL);
    if (in_transit) {
        js_i64(&w, "in_transit_rows", page->in_transit.rows);
        js_i64(&w, "in_transit_units", page->in_transit.units);
    }
    js_object_end(&w);
}
