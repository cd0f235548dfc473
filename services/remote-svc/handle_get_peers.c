#include "common/base/clk.h"
#include "common/base/num.h"
#include "common/io/js.h"
#include "services/remote-svc/app.h"

/* GET /peers */

static const char *state_of(const struct peer_view *view)
{
    if (view->heard_ms == PEER_UNKNOWN)
        return "never";
    return view->is_up ? "up" : "lost";
}

static void write_known(struct js_writer *w, const char *key, int64_t value)
{
    if (value == PEER_UNKNOWN)
        js_null(w, key);
    else
        js_i64(w, key, value);
}

static const char *broker_of(const struct bus_counts *bus)
{
    return bus->state == BUS_CONNECTED && bus->queue_missing ? "no_queue"
                                                             : bus_state_names[bus->state];
}

static void write_hears_us(struct js_writer *w, enum peer_hears hears)
{
    if (hears == PEER_HEARS_UNKNOWN)
        js_null(w, "hears_us");
    else
        js_bool(w, "hears_us", hears == PEER_HEARS);
}

static void write_refused(struct js_writer *w, struct refusals *refusals)
{
    struct refusal rows[REFUSALS_MAX];
    const size_t count = refusals_list(refusals, rows);
    const int64_t now_ms = clk_now_ms();

    js_array(w, "refused");
    for (size_t i = 0; i < count; i++) {
        js_object(w, NULL);
        js_text(w, "from", rows[i].from);
        js_text(w, "reason", rows[i].reason);
        js_i64(w, "count", rows[i].count);
        js_i64(w, "last_ms_ago", max_i64(0, now_ms - rows[i].last_ms));
        js_object_end(w);
    }
    js_array_end(w);
}

static void write_peer(struct js_writer *w, struct peer *p)
{
    const struct peer_view view = peer_look(p);
    const struct bus_counts bus = peer_bus(p);
    bool is_heard = view.heard_ms != PEER_UNKNOWN;

    js_object(w, NULL);
    js_text(w, "dc", p->setting.dc);
    js_text(w, "state", state_of(&view));
    write_known(w, "heard_ms_ago",
                is_heard ? max_i64(0, clk_now_ms() - view.heard_ms) : PEER_UNKNOWN);
    write_hears_us(w, view.hears_us);
    js_text(w, "broker", broker_of(&bus));
    js_i64(w, "rows_pending", outgoing_count(p->rows));
    js_i64(w, "rows_in_transit", view.rows_in_transit);
    js_i64(w, "units_in_transit", view.units_in_transit);
    if (is_heard)
        js_i64(w, "clock_difference_ms", view.clock_difference_ms);
    else
        js_null(w, "clock_difference_ms");
    write_known(w, "definitions_applied", view.definitions_applied);
    js_i64(w, "definitions_behind",
           max_i64(0, view.definitions_revision - max_i64(0, view.definitions_echoed)));
    js_object_end(w);
}

bool remote_handle_get_peers(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                             struct err *e)
{
    struct remote_app *app = arg;
    struct js_writer w = {.out = &reply->body};

    if (!httpd_query_only(req, (const char *const[]){NULL}, e))
        return false;
    js_object(&w, NULL);
    js_text(&w, "dc", app->config.dc);
    js_array(&w, "peers");
    for (size_t i = 0; i < app->count; i++)
        write_peer(&w, &app->links[i].peer);
    js_array_end(&w);
    write_refused(&w, app->refusals);
    js_object_end(&w);
    return true;
}
