#include "services/interval-svc/app.h"

#include "common/io/js.h"
#include "services/interval-svc/pools.h"
#include "services/interval-svc/store.h"

/* GET /caps/{id}/intervals */

static void write_amount(struct js_writer *w, const char *key, int64_t amount)
{
    if (amount == INTERVAL_UNKNOWN)
        js_null(w, key);
    else
        js_i64(w, key, amount);
}

static void encode_interval(struct js_writer *w, const struct interval *interval,
                            const struct interval_amounts *amounts)
{
    js_object(w, NULL);
    js_time(w, "starts_at", interval->starts_at_ms);
    js_time(w, "ends_at", interval->ends_at_ms);
    js_text(w, "state", interval_state_names[interval->state]);
    js_i64(w, "total", interval->total);
    write_amount(w, "requested", amounts->requested);
    write_amount(w, "effective", amounts->effective);
    write_amount(w, "pending", amounts->pending);
    write_amount(w, "spent", amounts->spent);
    js_object_end(w);
}

bool interval_handle_list_intervals(void *arg, const struct httpd_request *http,
                                    struct httpd_reply *reply, struct err *e)
{
    const struct interval_app *app = arg;
    struct interval_shown shown = {.count = 0};
    struct interval_amounts amounts[INTERVAL_SHOWN_MAX];
    struct js_writer w = {.out = &reply->body};
    const char *cap = http->params[0];

    if (!httpd_query_only(http, (const char *const[]){NULL}, e) || !name_check("the id", cap, e) ||
        !interval_store_show(app->db, cap, &shown, e))
        return false;
    interval_pools_ask(app->locals, cap, &shown, amounts);

    js_object(&w, NULL);
    js_text(&w, "cap", cap);
    js_i64(&w, "version", shown.version);
    js_array(&w, "intervals");
    for (size_t i = 0; i < shown.count; i++)
        encode_interval(&w, &shown.list[i], &amounts[i]);
    js_array_end(&w);
    js_object_end(&w);
    return true;
}
