#include "services/volumecap-server/metrics.h"

#include <stddef.h>

struct row {
    size_t offset;
    enum metric_kind kind;
    const char *name, *help, *labels;
};

/* clang-format off */
#define ROW(member, kind, name, help, labels) \
    {offsetof(struct server_metrics, member), kind, name, help, labels}

static const struct row rows[] = {
    ROW(granted,  METRIC_COUNTER, "volumecap_granted_units_total",  "Units that pools granted to this server.", NULL),
    ROW(consumed, METRIC_COUNTER, "volumecap_consumed_units_total", "Units that clients consumed.", NULL),
    ROW(refunded, METRIC_COUNTER, "volumecap_refunded_units_total", "Units that clients gave back.", NULL),
    ROW(returned, METRIC_COUNTER, "volumecap_returned_units_total", "Units that this server gave back to pools.", NULL),
    ROW(waiting,  METRIC_GAUGE,   "volumecap_waiting_consumes",     "Consumes that wait for a topup.", NULL),
    ROW(batch_items, METRIC_HISTOGRAM_COUNT, "volumecap_topup_batch_items", "Windows in one call to local-svc.", NULL),
    ROW(topups,   METRIC_COUNTER, "volumecap_topups_total",         "Calls to local-svc for units or reports.", "outcome"),
    ROW(slots,    METRIC_GAUGE,   "volumecap_ledger_slots",         "Entries of the ledger.", "state"),
    ROW(windows,  METRIC_GAUGE,   "volumecap_windows",              "Windows that this server knows.", NULL),
    ROW(watch_revision, METRIC_GAUGE, "volumecap_watch_revision",   "The latest revision that the watch brought.", NULL),
    ROW(watch_errors, METRIC_COUNTER, "volumecap_watch_errors_total", "Calls to the watch that failed.", NULL),
};
/* clang-format on */

static struct metric **member_of(struct server_metrics *m, const struct row *row)
{
    return (struct metric **)(void *)((char *)m + row->offset);
}

void server_metrics_init(struct server_metrics *m, struct metrics *registry)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        *member_of(m, &rows[i]) =
            metric_new(registry, rows[i].kind, rows[i].name, rows[i].help, rows[i].labels);
    m->slots_used = metric_at(m->slots, "used", NULL, NULL);
    m->slots_free = metric_at(m->slots, "free", NULL, NULL);

    struct metric *consumes = metric_new(
        registry, METRIC_COUNTER, "volumecap_consumes_total",
        "Consumes that were decided, by verdict; each item of a batch is one.", "verdict");
    for (size_t i = 0; i <= SLICE_UNKNOWN; i++)
        m->consumes[i] = metric_at(consumes, slice_verdict_names[i], NULL, NULL);
}
