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
    r->rows[r->count++] = (struct report_row){
        .cap = cap,
        .starts_at_ms = pool->starts_at_ms,
        .total = pool->requested,
        .spent = pool->consumed - pool->refunded,
        .held = pool->granted - pool->returned - pool->consumed + pool->refunded,
        .in_transit = pool->sent - pool->received,
    };
}

static int by_cap_and_time(const void *a, const void *b)
{
    const struct report_row *x = a, *y = b;

    if (x->cap != y->cap)
        return x->cap - y->cap;
    return x->starts_at_ms < y->starts_at_ms ? -1 : x->starts_at_ms > y->starts_at_ms;
}

static bool is_same_window(const struct report_row *x, const struct report_row *y)
{
    return x->cap == y->cap && x->starts_at_ms == y->starts_at_ms;
}

/* The rows are sorted: those of one window, a data centre each, become one. */
static void add_up(struct report *r)
{
    size_t count = 0;

    for (size_t i = 0; i < r->count; i++) {
        const struct report_row *row = &r->rows[i];
        if (count == 0 || !is_same_window(&r->rows[count - 1], row)) {
            r->rows[count++] = *row;
            continue;
        }
        struct report_row *sum = &r->rows[count - 1];
        sum->total = max_i64(sum->total, row->total);
        sum->spent += row->spent;
        sum->held += row->held;
        sum->in_transit += row->in_transit;
    }
    r->count = count;
}

static void add_seen(struct report_row *row, const struct tally *t)
{
    const struct tally_window *seen = tally_find(t, row->cap, row->starts_at_ms);

    if (!seen)
        return;
    row->granted = seen->granted;
    row->refused = seen->refused;
    memcpy(row->granted_by_dc, seen->granted_by_dc, sizeof(row->granted_by_dc));
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
    r->unsettled += row->held > 0 || row->in_transit != 0 || row->granted > row->spent;
}

static bool read_pools(struct reading *reading, const struct dcs *dcs, struct err *e)
{
    for (int i = 0; i < dcs_count(dcs); i++) {
        auto_client struct client *local = dc_client(dcs_dc(dcs, i), DC_LOCAL, 0);
        if (!client_pools(local, add_row, reading, e))
            return err_while(e, "%s", dcs_name(i));
    }
    return true;
}

bool report_read(const struct tally *t, const struct dcs *dcs, struct report *ret, struct err *e)
{
    auto_names struct names *ids = names_new();
    struct reading reading = {.tally = t, .report = ret, .ids = ids};

    *ret = (struct report){.count = 0};
    for (int i = 0; i < t->plan->caps_count; i++)
        CHECK(names_number(ids, plan_cap_id(t->plan, i)) == i);
    if (!read_pools(&reading, dcs, e)) {
        report_done(ret);
        return false;
    }
    if (ret->count > 0)
        qsort(ret->rows, ret->count, sizeof(*ret->rows), by_cap_and_time);
    add_up(ret);
    for (size_t i = 0; i < ret->count; i++) {
        add_seen(&ret->rows[i], t);
        judge(ret, &ret->rows[i]);
    }
    ret->unsettled += count_lost(ret, t);
    return true;
}

void report_done(struct report *r)
{
    free(r->rows);
    *r = (struct report){.count = 0};
}

/* What of it was granted in which data centre. */
static void print_dcs(const struct report_row *row, int dcs, FILE *out)
{
    for (int i = 0; dcs > 1 && i < dcs; i++)
        fprintf(out, " %6lld", (long long)row->granted_by_dc[i]);
    fprintf(out, "\n");
}

static void print_head(int dcs, FILE *out)
{
    fprintf(out, "%-40s %-20s %6s %6s %8s %8s %5s", "cap", "window from", "total", "asked",
            "granted", "refused", "over");
    for (int i = 0; dcs > 1 && i < dcs; i++)
        fprintf(out, " %6s", dcs_name(i));
    fprintf(out, "\n");
}

void report_print(const struct report *r, const struct plan *p, int caps, int dcs, FILE *out)
{
    print_head(dcs, out);
    for (size_t i = 0; i < r->count && r->rows[i].cap < caps; i++) {
        const struct report_row *row = &r->rows[i];
        char from[TIME_TEXT_SIZE];
        if (row->granted + row->refused == 0)
            continue;
        time_format(row->starts_at_ms, from);
        fprintf(out, "%-40.40s %-20s %6lld %6lld %8lld %8lld %5lld", plan_cap_id(p, row->cap), from,
                (long long)row->total, (long long)(row->granted + row->refused),
                (long long)row->granted, (long long)row->refused, (long long)over(row));
        print_dcs(row, dcs, out);
    }
}
