#include "services/audit/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clk.h"
#include "services/audit/block.h"
#include "services/audit/stopper.h"
#include "services/audit/waiting.h"

#define PROGRESS_MS 2000
#define AGAIN_MS 500 /* between looking at what is waited for */

struct run {
    const struct options *options;
    struct report *report;
    struct stopper *stopper;
    struct block *block;
    struct waiting waiting;
    bool is_full;       /* some transfers are not in `waiting` */
    bool has_strangers; /* it was said */
    int64_t told_ms;    /* when progress was told last */
};

static void tell(struct run *r, const char *what, int64_t count)
{
    int64_t now_ms = clk_now_ms();

    if (now_ms - r->told_ms < PROGRESS_MS)
        return;
    r->told_ms = now_ms;
    (void)fprintf(stderr, "audit: %s %" PRId64 "\n", what, count);
}

/* Everything after this key is of the cap, or of later ones. */
static struct window_key first_key(const struct options *o)
{
    struct window_key key = {.starts_at_ms = INT64_MIN};

    (void)snprintf(key.cap, sizeof(key.cap), "%s", o->cap);
    return key;
}

static bool is_asked_for(const struct options *o, const struct window_key *key)
{
    return o->cap[0] == '\0' || strcmp(o->cap, key->cap) == 0;
}

/* Where there is no room to wait: a window is as if it had not come to rest in time, but nobody may
 * think that a transfer has arrived. */
static void add_waiting(struct run *r, const struct waiting_item *item)
{
    if (waiting_add(&r->waiting, item))
        return;
    if (!item->is_transfer) {
        report_moving(r->report, &item->key);
        return;
    }
    if (!r->is_full)
        report_problem(r->report, "more than %d are moving: the others are not waited for",
                       WAITING_MAX);
    r->is_full = true;
}

/* ---- the first time */

static void note_transfers(struct run *r, const struct window_key *key,
                           const struct judge_window *w)
{
    for (size_t from = 0; from < w->count; from++)
        for (size_t to = 0; to < w->count; to++) {
            if (from == to || judge_on_the_way(w, from, to) == 0)
                continue;
            r->report->on_the_way++;
            add_waiting(r, &(struct waiting_item){.key = *key,
                                                  .is_transfer = true,
                                                  .from = from,
                                                  .to = to,
                                                  .sent = w->first[from]->sent_to[to],
                                                  .since_ms = r->block->between_ms});
        }
}

static void look(struct run *r, const struct window_key *key, const struct judge_window *w)
{
    const struct judge_verdict v = judge_window(w);

    r->report->windows++;
    r->report->partly_known += v.is_partly_known;
    r->report->unsummed += v.sum == JUDGE_SUM_INCOMPLETE;
    for (size_t i = 0; i < v.count; i++)
        report_finding(r->report, &r->block->names, key, &v.findings[i]);
    r->report->violations.total += v.violations - (int64_t)v.count;
    if (v.sum == JUDGE_SUM_MOVING)
        add_waiting(r, &(struct waiting_item){.key = *key, .since_ms = r->block->between_ms});
    note_transfers(r, key, w);
}

/* A block that cannot be read: the audit is over, and says why. */
static bool read_block(struct run *r, const struct window_key *after)
{
    if (!stopper_is_stopped(r->stopper) && block_read(r->block, after))
        return true;
    if (stopper_is_stopped(r->stopper)) {
        report_problem(r->report, "stopped before the end");
        return false;
    }
    for (size_t i = 0; i < r->block->sources->count; i++) {
        const struct source *s = &r->block->sources->all[i];
        if (s->failed)
            report_problem(r->report, "%s: %s", s->dc->name, s->err.msg);
    }
    return false;
}

/* With a data centre that is not in the list, or is away, not all can be accounted for. */
static void note_strangers(struct run *r)
{
    for (size_t i = 0; !r->has_strangers && i < r->block->sources->count; i++) {
        if (r->block->second[i].stranger[0] == '\0')
            continue;
        report_problem(r->report, "%s trades with %s, whose accounts are not read",
                       r->block->names.names[i], r->block->second[i].stranger);
        r->has_strangers = true;
    }
}

/* Rather a name that is misspelt than one that is in order. */
static void note_unknown_cap(struct run *r)
{
    if (r->options->cap[0] != '\0' && r->report->windows == 0)
        report_problem(r->report, "no data centre that was read knows the cap %s", r->options->cap);
}

static bool look_at_all(struct run *r)
{
    struct window_key after = first_key(r->options), key;
    struct judge_window w;

    do {
        if (!read_block(r, &after))
            return false;
        note_strangers(r);
        while (block_next(r->block, &key, &w))
            if (is_asked_for(r->options, &key))
                look(r, &key, &w);
        after = r->block->end;
        tell(r, "windows looked at:", r->report->windows);
    } while (!r->block->is_last && is_asked_for(r->options, &after));
    note_unknown_cap(r);
    return true;
}

/* ---- again */

/*
 * A counter of what was sent is an order, too: once more was received than had
 * been sent at a time, all of that has arrived, whatever was sent since.
 */
static void look_at_transfer(struct run *r, struct waiting_item *item, const struct judge_window *w)
{
    const struct judge_account *receiver = w->second[item->to];
    int64_t missing = item->sent - receiver->received_from[item->from];

    item->is_done = missing <= 0 || !receiver->is_known;
    if (item->is_done || r->block->between_ms - item->since_ms < r->options->transit_ms)
        return;
    item->is_done = true;
    report_finding(
        r->report, &r->block->names, &item->key,
        &(struct judge_finding){JUDGE_OVERDUE, (int)item->from, (int)item->to, missing, 0});
}

static void look_at_sum(struct run *r, struct waiting_item *item, const struct judge_window *w)
{
    const struct judge_verdict v = judge_window(w);

    item->is_done = v.sum != JUDGE_SUM_MOVING;
    r->report->unsummed += v.sum == JUDGE_SUM_INCOMPLETE;
    for (size_t i = 0; i < v.count; i++)
        if (v.findings[i].rule == JUDGE_SUM)
            report_finding(r->report, &r->block->names, &item->key, &v.findings[i]);
}

/* What is waited for in this block, from the `at`-th item on; the first one behind it.  A window
 * that is not there any more was purged everywhere. */
static size_t look_at_block(struct run *r, size_t at)
{
    struct window_key key;
    struct judge_window w;

    while (block_next(r->block, &key, &w)) {
        for (; at < r->waiting.count && window_key_compare(&r->waiting.items[at].key, &key) <= 0;
             at++) {
            struct waiting_item *item = &r->waiting.items[at];

            if (window_key_compare(&item->key, &key) < 0)
                item->is_done = true;
            else if (item->is_transfer)
                look_at_transfer(r, item, &w);
            else
                look_at_sum(r, item, &w);
        }
    }
    for (;
         at < r->waiting.count &&
         (r->block->is_last || window_key_compare(&r->waiting.items[at].key, &r->block->end) <= 0);
         at++)
        r->waiting.items[at].is_done = true;
    return at;
}

static bool look_again(struct run *r)
{
    for (size_t at = 0; at < r->waiting.count; at = look_at_block(r, at)) {
        struct window_key after = r->waiting.items[at].key;

        after.starts_at_ms--;
        if (!read_block(r, &after))
            return false;
    }
    waiting_sweep(&r->waiting);
    return true;
}

static void give_up_moving(struct run *r)
{
    for (size_t i = 0; i < r->waiting.count; i++) {
        struct waiting_item *item = &r->waiting.items[i];

        item->is_done = !item->is_transfer;
        if (item->is_done)
            report_moving(r->report, &item->key);
    }
    waiting_sweep(&r->waiting);
}

static bool wait_for_rest(struct run *r)
{
    int64_t until_ms = clk_now_ms() + r->options->wait_ms;

    for (;;) {
        if (clk_now_ms() >= until_ms)
            give_up_moving(r);
        if (r->waiting.count == 0)
            return true;
        tell(r, "windows and transfers waited for:", (int64_t)r->waiting.count);
        stopper_wait(r->stopper, AGAIN_MS);
        if (!look_again(r))
            return false;
    }
}

/* ---- all of it */

static bool ask(void *arg, size_t i, struct err *e)
{
    struct sources *s = arg;

    return source_ask(&s->all[i], e);
}

/* Who cannot be reached is a stranger to the others, whose accounts are still checked.  It stays
 * behind those that are counted, since the stopper knows its client. */
static bool keep_reached(struct sources *s, struct report *report, struct err *e)
{
    size_t reached = 0;

    for (size_t i = 0; i < s->count; i++) {
        const struct source one = s->all[i];

        if (one.failed && one.err.kind == ERR_CONFLICT)
            return err_set(e, ERR_INVALID, "%s", one.err.msg);
        if (one.failed) {
            report_problem(report, "%s: %s", one.dc->name, one.err.msg);
            continue;
        }
        report_own_audit(report, &one);
        s->all[i] = s->all[reached];
        s->all[reached++] = one;
    }
    s->count = reached;
    return true;
}

static int64_t latest_time(const struct sources *s)
{
    int64_t now_ms = INT64_MIN;

    for (size_t i = 0; i < s->count; i++)
        now_ms = max_i64(now_ms, s->all[i].now_ms);
    return now_ms;
}

static void run_blocks(struct run *r, struct sources *s)
{
    auto_block struct block *block = block_new(s, latest_time(s));

    r->block = block;
    if (!look_at_all(r) || !wait_for_rest(r))
        give_up_moving(r);
}

bool run_audit(const struct options *o, struct report *ret, struct err *e)
{
    auto_sources struct sources sources = {0};
    struct httpc *clients[JUDGE_DCS_MAX];
    struct run run = {.options = o, .report = ret, .told_ms = clk_now_ms()};

    if (!sources_open(o, &sources, e))
        return false;
    for (size_t i = 0; i < o->count; i++)
        clients[i] = sources.all[i].http;
    auto_stopper struct stopper *stopper = stopper_start(clients, o->count);
    run.stopper = stopper;
    (void)fprintf(stderr, "audit: asking %zu data centres for their own audits\n", o->count);
    (void)sources_each(&sources, ask, &sources);
    if (!keep_reached(&sources, ret, e))
        return false;
    if (stopper_is_stopped(stopper))
        report_problem(ret, "stopped before the end");
    else if (sources.count > 0)
        run_blocks(&run, &sources);
    waiting_done(&run.waiting);
    return true;
}
