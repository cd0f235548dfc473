#include "services/meta-svc/body.h"

void meta_body_definition(struct js_writer *w, const struct cap *cap)
{
    js_time(w, "starts_at", cap->starts_at_ms);
    js_time(w, "ends_at", cap->ends_at_ms);
    js_text(w, "interval", cap_interval_names[cap->interval]);
    js_i64(w, "total", cap->total);
    if (cap->initial_total == CAP_TOTAL_NONE)
        js_null(w, "initial_total");
    else
        js_i64(w, "initial_total", cap->initial_total);
    js_text(w, "time_zone", cap->time_zone);
    js_ppm(w, "topup_fraction", cap->topup_ppm);
    js_ppm(w, "slice_max_fraction", cap->slice_max_ppm);
    js_i64(w, "autonomy_ms", cap->autonomy_ms);
    js_bool(w, "paused", cap->paused);
}

void meta_body_origin(struct js_writer *w, const struct cap_origin *origin)
{
    js_text(w, "home", origin->home);
    js_time(w, "changed_at", origin->changed_at_ms);
    if (origin->grid_since_ms == CAP_GRID_ALWAYS)
        js_null(w, "grid_since");
    else
        js_time(w, "grid_since", origin->grid_since_ms);
}

static void write_amount(struct js_writer *w, const char *key, int64_t amount)
{
    if (amount == META_UNKNOWN)
        js_null(w, key);
    else
        js_i64(w, key, amount);
}

static void write_intervals(struct js_writer *w, const struct meta_intervals *intervals)
{
    if (!intervals->known) {
        js_null(w, "intervals");
        return;
    }
    js_array(w, "intervals");
    for (size_t i = 0; i < intervals->count; i++) {
        const struct meta_interval *interval = &intervals->list[i];
        js_object(w, NULL);
        js_time(w, "starts_at", interval->starts_at_ms);
        js_time(w, "ends_at", interval->ends_at_ms);
        js_text(w, "state", interval_state_names[interval->state]);
        write_amount(w, "requested", interval->requested);
        write_amount(w, "effective", interval->effective);
        write_amount(w, "pending", interval->pending);
        write_amount(w, "spent", interval->spent);
        js_object_end(w);
    }
    js_array_end(w);
}

void meta_body_cap(struct js_writer *w, const struct meta_cap *m,
                   const struct meta_intervals *intervals)
{
    js_object(w, NULL);
    js_text(w, "id", m->cap.id);
    js_i64(w, "version", m->version);
    meta_body_definition(w, &m->cap);
    js_time(w, "created_at", m->created_at_ms);
    js_time(w, "updated_at", m->origin.changed_at_ms);
    js_text(w, "home", m->origin.home);
    js_text(w, "conflict", m->lost_here ? m->origin.home : NULL);
    if (intervals != NULL)
        write_intervals(w, intervals);
    js_object_end(w);
}

static void write_news(struct js_writer *w, const struct meta_cap *m)
{
    js_object(w, NULL);
    js_text(w, "id", m->cap.id);
    js_i64(w, "revision", m->revision);
    js_i64(w, "version", m->version);
    js_bool(w, "deleted", m->deleted);
    meta_body_definition(w, &m->cap);
    js_time(w, "created_at", m->created_at_ms);
    meta_body_origin(w, &m->origin);
    js_object_end(w);
}

void meta_body_news(const struct meta_news *news, struct buf *out)
{
    struct js_writer w = {.out = out};

    js_object(&w, NULL);
    js_i64(&w, "revision", news->revision);
    js_bool(&w, "more", news->more);
    js_array(&w, "definitions");
    for (size_t i = 0; i < news->count; i++)
        write_news(&w, &news->list[i]);
    js_array_end(&w);
    js_object_end(&w);
}
