#include "tests/demo/report.h"

#include <string.h>

#include "common/base/check.h"

struct reading {
    const struct tally *tally;
    struct report *report;
    size_t room;
    struct names *ids; /* of the caps: number i is cap i */
};

static void add_row(void *arg, const struct pool_row *pool)
{
    struct reading *reading = arg;
    struct report *r = reading->report;
    int cap = names_number(reading->ids, pool->cap);

    if (cap < 0 || cap >= reading->tally->plan->caps_count)
        return;
    if (r->count == reading->room) {
        reading->room = reading->room ? 2 * reading->room : 256;
        r->rows = reallocarray(r->rows, reading->room, sizeof(*r->rows));
        CHECK(r->rows != NULL);
    }
    const struct tally_window *seen = tally_find(reading->tally, cap, pool->starts_at_ms);
    r->rows[r->count++] = (struct report_row){
        .cap = cap,
        .starts_at_ms = pool->starts_at_ms,
        .total = pool->requested,
        .spent = pool->consumed - pool->refunded,
        .held = pool->granted - pool->returned - pool->consumed + pool->refunded,
        .granted = seen ? seen->granted : 0,
        .refused = seen ? seen->refused : 0,
    };
}

static int by_cap_and_time(const void *a, const void *b)
{
    const struct report_row *x = a, *y = b;

    if (x->cap != y->cap)
        return x->cap - y->cap;
    return x->starts_at_ms < y->starts_at_ms ? -1 : x->starts_at_ms > y->starts_at_ms;
}

/* Windows that clients were told about and that the accounts do not have. */
static int64_t count_lost(const struct report *r, const struct tally *t)
{
    int64_t seen = 0, found = 0;

    for (int i = 0; i < t->plan->caps_count; i++)
        seen += (int64_t)t->caps[i].windows_count;
    for (size_t i = 0; i < r->count; i++)
        found += r->rows[i].granted + r->rows[i].refused > 0;
    return seen - found;
}

static int64_t over(const struct report_row *row)
{
    return max_i64(0, max_i64(row->granted, row->spent) - row->total);
}

static void judge(struct report *r, const struct report_row *row)
{
    r->over_granted += over(row);
    if (row->total - row->spent > 0)
        r->refused_early += row->refused;
    r->unaccounted += max_i64(0, row->granted - row->spent);
    r->unsettled += row->held > 0 || row->granted > row->spent;
}

bool report_read(const struct tally *t, struct client *local, struct report *ret, struct err *e)
{
    auto_names struct names *ids = names_new();
    struct reading reading = {.tally = t, .report = ret, .ids = ids};

    *ret = (struct report){.count = 0};
    for (int i = 0; i < t->plan->caps_count; i++)
        CHECK(names_number(ids, plan_cap_id(t->plan, i)) == i);
    if (!client_pools(local, add_row, &reading, e)) {
        report_done(ret);
        return false;
    }
    if (ret->count > 0)
        qsort(ret->rows, ret->count, sizeof(*ret->rows), by_cap_and_time);
    for (size_t i = 0; i < ret->count; i++)
        judge(ret, &ret->rows[i]);
    ret->unsettled += count_lost(ret, t);
    return true;
}

void report_done(struct report *r)
{
    free(r->rows);
    *r = (struct report){.count = 0};
}

void report_print(const struct report *r, const struct plan *p, int caps, FILE *out)
{
    fprintf(out, "%-40s %-20s %6s %6s %8s %8s %5s\n", "cap", "window from", "total", "asked",
            "granted", "refused", "over");
    for (size_t i = 0; i < r->count && r->rows[i].cap < caps; i++) {
        const struct report_row *row = &r->rows[i];
        char from[TIME_TEXT_SIZE];
        if (row->granted + row->refused == 0)
            continue;
        time_format(row->starts_at_ms, from);
        fprintf(out, "%-40.40s %-20s %6lld %6lld %8lld %8lld %5lld\n", plan_cap_id(p, row->cap),
                from, (long long)row->total, (long long)(row->granted + row->refused),
                (long long)row->granted, (long long)row->refused, (long long)over(row));
    }
}
