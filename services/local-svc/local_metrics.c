#include "services/local-svc/local_metrics.h"

#include <stddef.h>

#include "common/domain/interval.h"

/* clang-format off */
static const struct row {
    size_t offset; /* of the pointer in struct local_metrics */
    enum metric_kind kind;
    const char *name, *help, *labels;
} rows[] = {
#define M(member) offsetof(struct local_metrics, member)
    {M(minted), METRIC_COUNTER, "volumecap_pool_units_minted_total",
     "Units minted by this replica.", NULL},
    {M(burned), METRIC_COUNTER, "volumecap_pool_units_burned_total",
     "Units burned by this replica.", NULL},
    {M(granted), METRIC_COUNTER, "volumecap_pool_units_granted_total",
     "Units granted to slices by this replica.", NULL},
    {M(returned), METRIC_COUNTER, "volumecap_pool_units_returned_total",
     "Units returned to this replica.", NULL},
    {M(consumed), METRIC_COUNTER, "volumecap_pool_units_consumed_total",
     "Units reported to this replica as consumed.", NULL},
    {M(refunded), METRIC_COUNTER, "volumecap_pool_units_refunded_total",
     "Units reported to this replica as refunded.", NULL},
    {M(received), METRIC_COUNTER, "volumecap_pool_units_received_total",
     "Units that this replica booked as received from other data centres.", NULL},
    {M(sent), METRIC_COUNTER, "volumecap_pool_units_sent_total",
     "Units that this replica sent to other data centres.", NULL},
    {M(rows), METRIC_COUNTER, "volumecap_rows_total",
     "Rows of other data centres, by what became of them.", "verdict"},
    {M(rows_watchers), METRIC_GAUGE, "volumecap_rows_watchers",
     "Suspended calls that wait for rows to tell.", NULL},
    {M(items), METRIC_COUNTER, "volumecap_topup_items_total",
     "Items of topups and returns, by what was answered.", "state"},
    {M(batch_items), METRIC_HISTOGRAM_COUNT, "volumecap_topup_batch_items",
     "Items committed together.", NULL},
    {M(commit_seconds), METRIC_HISTOGRAM_SECONDS, "volumecap_commit_duration_seconds",
     "One transaction of topups.", NULL},
    {M(watchers), METRIC_GAUGE, "volumecap_watchers",
     "Suspended watch calls.", NULL},
    {M(pools), METRIC_GAUGE, "volumecap_pools",
     "Pools in the database.", "state"},
    {M(slices), METRIC_GAUGE, "volumecap_slices",
     "Slices of windows that are not closed.", NULL},
    {M(frozen), METRIC_GAUGE, "volumecap_frozen_slices",
     "Slices of servers that contradicted their pools, of windows that are not closed.", NULL},
    {M(servers), METRIC_GAUGE, "volumecap_servers",
     "Servers in the database, by how long they have been silent.", "state"},
    {M(presumed), METRIC_GAUGE, "volumecap_presumed_spent_units",
     "Units held by long-silent servers.", NULL},
    {M(learning), METRIC_GAUGE, "volumecap_learning",
     "1 while something is in doubt, or nobody has looked yet at another life of the database.",
     NULL},
    {M(frozen_pools), METRIC_GAUGE, "volumecap_learning_frozen_windows",
     "Windows from which nothing is granted until all who may hold units of them have spoken.",
     NULL},
    {M(frozen_units), METRIC_GAUGE, "volumecap_learning_frozen_units",
     "Units that seem to be free in those windows.", NULL},
    {M(audit_violations), METRIC_GAUGE, "volumecap_audit_violations",
     "Violations that the last audit found.", NULL},
    {M(audit_age), METRIC_GAUGE, "volumecap_audit_age_seconds",
     "How old the last audit was at the last attempt: above 0, it failed.", NULL},
#undef M
};
/* clang-format on */

void local_metrics_init(struct local_metrics *ret, struct metrics *m)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *r = &rows[i];
        struct metric **at = (struct metric **)(void *)((char *)ret + r->offset);

        *at = metric_new(m, r->kind, r->name, r->help, r->labels);
    }
}

void local_metrics_moved(const struct local_metrics *m, const struct units_moved *moved)
{
    metric_inc(m->minted, moved->minted);
    metric_inc(m->burned, moved->burned);
    metric_inc(m->granted, moved->granted);
    metric_inc(m->returned, moved->returned);
    metric_inc(m->consumed, moved->consumed);
    metric_inc(m->refunded, moved->refunded);
    metric_inc(m->received, moved->received);
    metric_inc(m->sent, moved->sent);
}

void local_metrics_counts(const struct local_metrics *m, const struct store_counts *counts)
{
    for (int i = 0; interval_state_names[i] != NULL; i++)
        metric_set(metric_at(m->pools, interval_state_names[i], NULL, NULL), counts->pools[i]);
    metric_set(metric_at(m->servers, "live", NULL, NULL), counts->live);
    metric_set(metric_at(m->servers, "suspect", NULL, NULL), counts->suspect);
    metric_set(metric_at(m->servers, "presumed_spent", NULL, NULL), counts->presumed_spent);
    metric_put(m->slices, counts->slices);
    metric_put(m->frozen, counts->frozen);
    metric_put(m->presumed, counts->presumed_units);
}
