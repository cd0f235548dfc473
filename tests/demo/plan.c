#include "tests/demo/plan.h"

#include "common/base/check.h"
#include "common/base/prng.h"
#include "common/io/js.h"

#define HOUR_S 3600
#define DAY_S 86400
/* The last requests wait for an answer: where units are far away, for those of the next day. */
#define LATE_S (DAY_S + DAY_S / 4)
#define LATE_REAL_S_MIN 8
#define LATE_REAL_S_MAX 60

static const char *const zones[] = {"Europe/Berlin", "America/New_York", "Asia/Tokyo"};

static int by_demand(const void *a, const void *b)
{
    const struct plan_cap *x = a, *y = b;

    if (x->demand != y->demand)
        return x->demand > y->demand ? -1 : 1;
    return x->key - y->key;
}

/* Every key as a cap, the most requested first. */
static struct plan_cap *rank(const struct trace *t)
{
    size_t keys = names_count(t->keys);
    struct plan_cap *caps = calloc(keys, sizeof(*caps));

    CHECK(caps != NULL);
    for (size_t i = 0; i < keys; i++)
        caps[i].key = (int32_t)i;
    for (size_t i = 0; i < t->count; i++)
        caps[t->rows[i].key].demand++;
    qsort(caps, keys, sizeof(*caps), by_demand);
    return caps;
}

/* Half of what a mean day asks for: well below demand, so that every day runs dry. */
static int64_t daily_total(int64_t demand, int64_t span_s)
{
    return max_i64(1, demand * DAY_S / (2 * max_i64(span_s, DAY_S)));
}

struct plan *plan_new(const struct trace *t, int64_t seconds)
{
    struct plan *p = calloc(1, sizeof(*p));
    size_t keys = names_count(t->keys);
    auto_free struct plan_cap *ranked = rank(t);
    int64_t first_s = t->rows[0].at_s, last_s = t->rows[t->count - 1].at_s;

    CHECK(p != NULL && seconds >= 1);
    p->trace = t;
    p->caps_count = (int)min_i64((int64_t)keys, PLAN_CAPS_MAX);
    p->cap_of_key = malloc(keys * sizeof(*p->cap_of_key));
    CHECK(p->cap_of_key != NULL);
    p->starts_at_s = first_s / HOUR_S * HOUR_S;
    p->speed = max_i64(1, (last_s - first_s) / seconds);
    p->ends_at_s =
        last_s + min_i64(max_i64(LATE_S, LATE_REAL_S_MIN * p->speed), LATE_REAL_S_MAX * p->speed);
    for (size_t i = 0; i < keys; i++)
        p->cap_of_key[i] = -1;
    for (int i = 0; i < p->caps_count; i++) {
        p->caps[i] = ranked[i];
        p->caps[i].total = daily_total(ranked[i].demand, last_s - first_s);
        p->caps[i].time_zone = zones[i % 3];
        p->cap_of_key[ranked[i].key] = (int16_t)i;
    }
    return p;
}

struct plan *plan_free(struct plan *p)
{
    if (!p)
        return NULL;
    free(p->cap_of_key);
    free(p);
    return NULL;
}

int plan_dc_of(int32_t client, int dcs)
{
    /* Mixed, since clients are numbered as they come. */
    struct prng prng = {.state = (uint64_t)client};
    int64_t percent = prng_below(&prng, 100);

    if (dcs == 1 || percent < 70)
        return 0;
    if (dcs == 2 || percent < 90)
        return 1;
    return 2 + (int)(percent % (dcs - 2));
}

int64_t plan_demand(const struct plan *p)
{
    int64_t demand = 0;

    for (int i = 0; i < p->caps_count; i++)
        demand += p->caps[i].demand;
    return demand;
}

const char *plan_cap_id(const struct plan *p, int cap)
{
    return names_text(p->trace->keys, p->caps[cap].key);
}

void plan_cap_body(const struct plan *p, int cap, struct buf *out)
{
    struct js_writer w = {.out = out};

    buf_clear(out);
    js_object(&w, NULL);
    js_time(&w, "starts_at", p->starts_at_s * 1000);
    js_time(&w, "ends_at", p->ends_at_s * 1000);
    js_text(&w, "interval", "day");
    js_i64(&w, "total", p->caps[cap].total);
    js_text(&w, "time_zone", p->caps[cap].time_zone);
    js_object_end(&w);
    CHECK(!buf_failed(out));
}
