/* The parts of volumecap-server that need no other process. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "services/volumecap-server/announce.h"
#include "services/volumecap-server/attention.h"
#include "services/volumecap-server/spend.h"
#include "services/volumecap-server/topup_wire.h"
#include "services/volumecap-server/upkeep.h"
#include "services/volumecap-server/watch_wire.h"
#include "tests/harness/proc.h"

#define DAY INT64_C(1779235200000) /* 2026-05-20T00:00:00Z */
#define DAY_MS INT64_C(86400000)

/* ---- when to fetch ahead */

Test(prefetch, is_spread_over_three_quarters_of_the_last_ten_seconds)
{
    struct prng prng = {.state = 1};
    int64_t first = INT64_MAX, last = 0;

    for (int i = 0; i < 10000; i++) {
        int64_t at = announce_prefetch_ms(1000000, 0, &prng);
        first = at < first ? at : first;
        last = at > last ? at : last;
    }
    cr_assert(first >= 990000 && first < 990100, "%lld", (long long)first);
    cr_assert(last <= 997500 && last > 997400, "%lld", (long long)last);
}

Test(prefetch, of_a_window_that_opens_soon_waits_half_of_what_is_left_at_least)
{
    struct prng prng = {.state = 1};

    for (int i = 0; i < 1000; i++) {
        int64_t at = announce_prefetch_ms(2000, 1000, &prng);
        cr_assert(at >= 1500 && at <= 1875, "%lld", (long long)at);
    }
}

Test(prefetch, of_an_open_window_is_at_once)
{
    struct prng prng = {.state = 1};

    cr_assert(announce_prefetch_ms(500, 1000, &prng) == 1000);
}

/* ---- what phase a window is in */

static struct ledger_entry an_entry;

static const struct {
    const char *name; /* reads as a claim */
    bool announced, paused, held, current;
    int state;
    int64_t now_ms;
    enum upkeep_phase phase;
} phases[] = {
    {"current is live", true, false, false, true, INTERVAL_OPEN, 150, UPKEEP_LIVE},
    {"current is live past its end: it bridges", true, false, true, true, INTERVAL_OPEN, 250,
     UPKEEP_LIVE},
    {"past its end and not current is over", true, false, true, false, INTERVAL_OPEN, 250,
     UPKEEP_OVER},
    {"long before its start nothing is asked", true, false, false, false, INTERVAL_PLANNED, 50,
     UPKEEP_AHEAD},
    {"shortly before its start a slice is fetched", true, false, false, false, INTERVAL_PLANNED, 95,
     UPKEEP_LIVE},
    {"what is held ahead is kept up", true, false, true, false, INTERVAL_PLANNED, 50, UPKEEP_LIVE},
    {"paused is given up", true, true, true, true, INTERVAL_OPEN, 150, UPKEEP_OVER},
    {"closing is given up", true, false, true, false, INTERVAL_CLOSING, 150, UPKEEP_OVER},
    {"nobody announced it: given up", false, false, true, false, INTERVAL_PLANNED, 150,
     UPKEEP_OVER},
};

Test(upkeep, phases)
{
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        const struct window w = {
            .bounds = {.opens_ms = 100, .closes_ms = 200},
            .prefetch_ms = 90,
            .announced = phases[i].announced,
            .paused = phases[i].paused,
            .state = phases[i].state,
            .entry = phases[i].held ? &an_entry : NULL,
        };
        cr_expect(upkeep_phase(&w, phases[i].current, phases[i].now_ms) == phases[i].phase, "%s",
                  phases[i].name);
    }
}

/* Clients see no more of a window that is settled, so nothing may be left to do for it. */
static const struct {
    const char *name;
    int state; /* of the window, by the watch */
    int heard; /* of the pool */
    int64_t granted, used, returned, reported_consumed;
    bool settled;
} settlements[] = {
    {"over, confirmed, empty", INTERVAL_CLOSING, POOL_CLOSED, 10, 10, 4, 6, true},
    {"over and unknown to the pool", INTERVAL_CLOSED, POOL_UNKNOWN, 10, 10, 4, 6, true},
    {"the pool alone says that it is closed", INTERVAL_OPEN, POOL_CLOSED, 10, 10, 4, 6, false},
    {"the pool has not said so", INTERVAL_CLOSING, POOL_OPEN, 10, 10, 4, 6, false},
    {"units are left", INTERVAL_CLOSING, POOL_CLOSED, 10, 9, 4, 5, false},
    {"the last consume is not reported", INTERVAL_CLOSING, POOL_CLOSED, 10, 10, 4, 5, false},
};

Test(upkeep, a_slice_is_settled_only_if_the_pool_knows_all_of_it)
{
    for (size_t i = 0; i < sizeof(settlements) / sizeof(settlements[0]); i++) {
        struct ledger_entry entry = {.slot = {.granted = settlements[i].granted,
                                              .used = settlements[i].used,
                                              .returned = settlements[i].returned}};
        const struct window w = {
            .state = settlements[i].state,
            .slice = {.state = settlements[i].heard},
            .entry = &entry,
            .reported = {.granted = settlements[i].granted,
                         .returned = settlements[i].returned,
                         .consumed = settlements[i].reported_consumed},
        };
        cr_expect(upkeep_is_settled(&w) == settlements[i].settled, "%s", settlements[i].name);
    }
}

/* ---- attention */

#define BELLS 500

Test(attention, windows_come_in_the_order_they_are_due)
{
    static struct window windows[BELLS];
    auto_attention struct attention *a = attention_new();
    struct prng prng = {.state = 7};
    int64_t last_ms = 0;
    int seen = 0;

    for (int i = 0; i < BELLS; i++)
        attention_at(a, &windows[i], prng_below(&prng, 1000000));
    for (int i = 0; i < BELLS; i += 3) /* some change their mind, some are forgotten */
        attention_at(a, &windows[i], i % 2 ? prng_below(&prng, 1000000) : NEVER_MS);
    for (int i = 1; i < BELLS; i += 5)
        attention_forget(a, &windows[i]);
    for (struct window *w; (w = attention_next(a, 1000000)) != NULL; seen++) {
        cr_assert(w->due_ms >= last_ms);
        last_ms = w->due_ms;
    }
    int expected = 0;
    for (int i = 0; i < BELLS; i++)
        expected += !(i % 5 == 1) && !(i % 3 == 0 && i % 2 == 0);
    cr_assert(seen == expected, "%d, expected %d", seen, expected);
}

Test(attention, a_window_that_is_rung_for_twice_comes_once)
{
    static struct window w;
    auto_attention struct attention *a = attention_new();

    attention_ring(a, &w);
    attention_ring(a, &w);
    cr_assert(attention_next(a, 0) == &w);
    cr_assert(attention_next(a, 0) == NULL);
    attention_ring(a, &w);
    attention_forget(a, &w);
    cr_assert(attention_next(a, 0) == NULL);
}

Test(attention, nothing_comes_before_it_is_due)
{
    static struct window w;
    auto_attention struct attention *a = attention_new();

    attention_at(a, &w, 100);
    cr_assert(attention_next(a, 99) == NULL);
    cr_assert(attention_next(a, 100) == &w);
}

/* ---- the wire */

static const struct topup_item an_item = {.cap = "ad", .starts_at_ms = DAY};

static bool decodes(const char *json, struct topup_answer *ret)
{
    auto_buf struct buf body = {0};
    struct err e = {0};
    int64_t incarnation = 0;

    buf_str(&body, json);
    return topup_decode_answer(&body, &an_item, 1, ret, &incarnation, &e);
}

Test(topup_wire, an_answer_without_keep_keeps_all)
{
    struct topup_answer a = {0};

    cr_assert(
        decodes("{\"items\":[{\"cap\":\"ad\",\"starts_at\":\"2026-05-20T00:00:00Z\","
                "\"granted\":5,\"keep\":null,\"left\":7,\"state\":\"dry\",\"starts_in_ms\":-5,"
                "\"ends_in_ms\":9,\"later\":true}]}",
                &a));
    cr_assert(a.pool.granted == 5 && a.pool.keep == UNITS_MAX && a.pool.left == 7);
    cr_assert(a.pool.state == POOL_DRY);
    cr_assert(a.has_bounds && a.starts_in_ms == -5 && a.ends_in_ms == 9);
}

static const struct {
    const char *name, *json;
} not_answers[] = {
    {"no JSON", "<html>"},
    {"nothing", "{}"},
    {"too few", "{\"items\":[]}"},
    {"of another cap", "{\"items\":[{\"cap\":\"b\",\"starts_at\":\"2026-05-20T00:00:00Z\","
                       "\"granted\":5,\"state\":\"open\"}]}"},
    {"of another window", "{\"items\":[{\"cap\":\"ad\",\"starts_at\":\"2026-05-21T00:00:00Z\","
                          "\"granted\":5,\"state\":\"open\"}]}"},
    {"fewer than none granted", "{\"items\":[{\"cap\":\"ad\",\"starts_at\":"
                                "\"2026-05-20T00:00:00Z\",\"granted\":-1,\"state\":\"open\"}]}"},
    {"an unknown state", "{\"items\":[{\"cap\":\"ad\",\"starts_at\":\"2026-05-20T00:00:00Z\","
                         "\"granted\":5,\"state\":\"ajar\"}]}"},
};

/* Units are only taken from an answer that is one without doubt. */
Test(topup_wire, what_is_no_answer_to_the_question_changes_nothing)
{
    struct topup_answer a = {0};

    for (size_t i = 0; i < sizeof(not_answers) / sizeof(not_answers[0]); i++)
        cr_expect(!decodes(not_answers[i].json, &a), "%s", not_answers[i].name);
}

Test(watch_wire, a_page_is_read_row_by_row)
{
    auto_buf struct buf body = {0};
    struct watch_page page = {0};
    struct announcement row;
    struct err e = {0};

    buf_str(&body, "{\"revision\":9,\"more\":false,\"windows\":[{\"cap\":\"ad\","
                   "\"starts_at\":\"2026-05-20T00:00:00Z\",\"ends_at\":\"2026-05-21T00:00:00Z\","
                   "\"starts_in_ms\":-10,\"ends_in_ms\":20,\"state\":\"closing\",\"paused\":true,"
                   "\"total\":3,\"autonomy_ms\":10000,\"recall\":true,\"revision\":9},{}]}");
    cr_assert(watch_decode(&body, &page, &e), "%s", e.msg);
    cr_assert(page.revision == 9 && !page.more);
    cr_assert(watch_decode_row(cJSON_GetArrayItem(page.windows, 0), 0, &row, &e), "%s", e.msg);
    cr_assert_str_eq(row.cap, "ad");
    cr_assert(row.starts_at_ms == DAY && row.ends_at_ms == DAY + DAY_MS);
    cr_assert(row.starts_in_ms == -10 && row.ends_in_ms == 20);
    cr_assert(row.state == INTERVAL_CLOSING && row.paused && row.recall);
    cr_assert(row.total == 3 && row.autonomy_ms == 10000);
    cr_assert(!watch_decode_row(cJSON_GetArrayItem(page.windows, 1), 1, &row, &e));
    cr_assert_str_eq(e.pointer, "/windows/1/cap");
    watch_page_done(&page);
}

/* ---- the table */

struct table {
    char *folder;
    struct ledger *ledger;
    struct windows *windows;
    struct attention *attention;
    struct announcer announcer;
    struct spender spender;
    struct metrics *registry;
    struct server_metrics metrics;
    struct waiting *waiting;
    struct upkeep upkeep;
};

static void open_table(struct table *t)
{
    struct err e = {0};
    char path[200];

    t->folder = folder_scratch();
    snprintf(path, sizeof(path), "%s/ledger", t->folder);
    cr_assert(ledger_open(path, "front-1", 16, &t->ledger, &e), "%s", e.msg);
    cr_assert(windows_new(t->ledger, &t->windows, &e), "%s", e.msg);
    t->attention = attention_new();
    t->announcer =
        (struct announcer){.windows = t->windows, .attention = t->attention, .snapshot = 1};
    t->spender = (struct spender){.windows = t->windows, .attention = t->attention};
    t->registry = metrics_new();
    server_metrics_init(&t->metrics, t->registry);
    const struct waiting_config waiting = {
        .spender = t->spender, .metrics = &t->metrics, .wait_ms = 1000, .items_max = 100};
    cr_assert(waiting_start(&waiting, &t->waiting, &e), "%s", e.msg);
    t->upkeep = (struct upkeep){.windows = t->windows,
                                .attention = t->attention,
                                .waiting = t->waiting,
                                .metrics = &t->metrics,
                                .report_ms = 5000};
}

static void close_table(struct table *t)
{
    t->waiting = waiting_stop(t->waiting);
    t->registry = metrics_free(t->registry);
    t->windows = windows_free(t->windows);
    t->attention = attention_free(t->attention);
    t->ledger = ledger_close(t->ledger);
    free(t->folder);
}

static struct announcement a_row(const char *cap, int64_t starts_in_ms, int state)
{
    struct announcement row = {
        .starts_at_ms = DAY,
        .ends_at_ms = DAY + DAY_MS,
        .starts_in_ms = starts_in_ms,
        .ends_in_ms = starts_in_ms + 1000,
        .state = state,
        .total = 10,
    };

    snprintf(row.cap, sizeof(row.cap), "%s", cap);
    return row;
}

static enum slice_verdict verdict_at(struct table *t, const char *cap, int64_t now_ms)
{
    struct spend_ask ask = {.amount = 1};

    snprintf(ask.cap, sizeof(ask.cap), "%s", cap);
    return spend_consume(&t->spender, &ask, false, now_ms).verdict;
}

Test(table, a_window_once_opened_does_not_close_again_by_a_later_measure)
{
    struct table t;
    struct announcement row = a_row("ad", 0, INTERVAL_OPEN);

    open_table(&t);
    t.announcer.measured_ms = 100;
    cr_assert(announce(&t.announcer, &row));
    announce_snapshot_end(&t.announcer);
    t.announcer.measured_ms = 110;
    row.starts_in_ms = 5;
    cr_assert(announce(&t.announcer, &row));
    cr_assert(verdict_at(&t, "ad", 112) == SLICE_UNREACHABLE, "open, though nothing is held yet");
    close_table(&t);
}

Test(table, states_only_go_forward)
{
    struct table t;
    struct announcement row = a_row("ad", 0, INTERVAL_CLOSING);

    open_table(&t);
    announce_snapshot_end(&t.announcer);
    cr_assert(announce(&t.announcer, &row));
    cr_assert(verdict_at(&t, "ad", 5) == SLICE_UNKNOWN, "an end of what is not held is no news");
    row.state = INTERVAL_OPEN;
    cr_assert(announce(&t.announcer, &row));
    row.state = INTERVAL_CLOSED;
    cr_assert(announce(&t.announcer, &row));
    row.state = INTERVAL_OPEN;
    cr_assert(announce(&t.announcer, &row));
    cr_assert(verdict_at(&t, "ad", 5) == SLICE_NOT_OPEN);
    close_table(&t);
}

/* The clock that counts says that today is over: then tomorrow has begun, whatever was measured. */
Test(table, the_end_of_a_window_opens_the_one_that_follows_it)
{
    struct table t;
    struct announcement today = a_row("ad", -1000, INTERVAL_OPEN);
    struct announcement tomorrow = a_row("ad", 500, INTERVAL_PLANNED);

    open_table(&t);
    tomorrow.starts_at_ms += DAY_MS;
    tomorrow.ends_at_ms += DAY_MS;
    cr_assert(announce(&t.announcer, &today));
    cr_assert(announce(&t.announcer, &tomorrow));
    announce_snapshot_end(&t.announcer);
    today.state = INTERVAL_CLOSING;
    today.ends_in_ms = 0;
    cr_assert(announce(&t.announcer, &today));
    struct spend_ask ask = {.cap = "ad", .amount = 1};
    struct spend s = spend_consume(&t.spender, &ask, false, 1);
    cr_assert(s.window.known && s.window.starts_at_ms == DAY + DAY_MS);
    close_table(&t);
}

Test(table, what_a_snapshot_does_not_have_is_over)
{
    struct table t;
    struct announcement row = a_row("ad", 0, INTERVAL_OPEN);

    open_table(&t);
    cr_assert(announce(&t.announcer, &row));
    announce_snapshot_end(&t.announcer);
    cr_assert(verdict_at(&t, "ad", 5) == SLICE_UNREACHABLE);
    t.announcer.snapshot++;
    announce_snapshot_end(&t.announcer);
    cr_assert(verdict_at(&t, "ad", 5) == SLICE_NOT_OPEN);
    close_table(&t);
}

#define MANY 100000

Test(table, a_hundred_thousand_caps_are_found_without_looking_at_the_others)
{
    struct table t;
    char cap[NAME_SIZE];

    open_table(&t);
    for (int i = 0; i < MANY; i++) {
        snprintf(cap, sizeof(cap), "ad-%d", i);
        const struct announcement row = a_row(cap, 0, INTERVAL_OPEN);
        cr_assert(announce(&t.announcer, &row));
    }
    announce_snapshot_end(&t.announcer);
    cr_assert(atomic_load(&t.windows->count) == MANY);
    const int64_t began_ms = clk_now_ms();
    for (int i = 0; i < MANY; i++) {
        snprintf(cap, sizeof(cap), "ad-%d", i);
        cr_assert(verdict_at(&t, cap, 5) == SLICE_UNREACHABLE);
    }
    cr_assert(clk_now_ms() - began_ms < 10000);
    close_table(&t);
}

/* ---- what is said to whom */

static struct window *an_open_window(struct table *t)
{
    struct announcement row = a_row("ad", 0, INTERVAL_OPEN);

    cr_assert(announce(&t->announcer, &row));
    announce_snapshot_end(&t->announcer);
    return windows_find_window(windows_find(windows_shard_of(t->windows, "ad"), "ad"), DAY);
}

Test(table, while_units_are_being_returned_nothing_is_certain)
{
    struct table t;

    open_table(&t);
    struct window *w = an_open_window(&t);
    cr_assert(windows_claim(t.windows, w));
    w->slice.left = 0;
    cr_assert(verdict_at(&t, "ad", 5) == SLICE_USED_UP);
    cr_assert(slot_return_freeze(&w->entry->slot));
    cr_assert(verdict_at(&t, "ad", 5) == SLICE_UNREACHABLE);
    slot_return_finish(&w->entry->slot);
    close_table(&t);
}

/* ---- what answers change */

static void answer(struct table *t, struct window *w, const struct topup_answer *a,
                   int64_t measured_ms, int64_t now_ms)
{
    struct topup_item item;

    if (!w->entry)
        cr_assert(windows_claim(t->windows, w));
    upkeep_report(&t->upkeep, w, /* leaving= */ false, &item);
    upkeep_apply(&t->upkeep, &item, a, measured_ms, now_ms);
}

static struct spend spend_at(struct table *t, int64_t now_ms)
{
    const struct spend_ask ask = {.cap = "ad", .amount = 1};

    return spend_consume(&t->spender, &ask, false, now_ms);
}

static const struct topup_answer ended = {
    .pool = {.state = POOL_CLOSED},
    .has_bounds = true,
    .ends_in_ms = 0,
};

/* There is no dead second, and an answer that took long is no reason for one. */
Test(table, what_the_pool_says_is_over_hands_over_to_what_follows)
{
    struct table t;
    struct announcement tomorrow = a_row("ad", 1000, INTERVAL_PLANNED);

    open_table(&t);
    tomorrow.starts_at_ms += DAY_MS;
    tomorrow.ends_at_ms += DAY_MS;
    struct window *w = an_open_window(&t);
    cr_assert(announce(&t.announcer, &tomorrow));
    answer(&t, w, &ended, 100, 700);
    struct spend s = spend_at(&t, 700);
    cr_assert(s.verdict == SLICE_UNREACHABLE && s.may_wait);
    cr_assert(s.window.starts_at_ms == DAY + DAY_MS);
    close_table(&t);
}

Test(table, the_last_window_of_a_cap_is_over_when_the_pool_says_so)
{
    struct table t;

    open_table(&t);
    struct window *w = an_open_window(&t);
    answer(&t, w, &ended, 900, 950);
    cr_assert(spend_at(&t, 951).verdict == SLICE_NOT_OPEN);
    close_table(&t);
}

/* Closed before its time, by a changed definition: what takes its place is not announced yet. */
Test(table, what_the_watch_has_not_closed_may_be_waited_for)
{
    struct table t;
    const struct topup_answer early = {
        .pool = {.state = POOL_CLOSED}, .has_bounds = true, .ends_in_ms = 500};

    open_table(&t);
    struct window *w = an_open_window(&t);
    answer(&t, w, &early, 10, 20);
    struct spend s = spend_at(&t, 21);
    cr_assert(s.verdict == SLICE_UNREACHABLE && s.may_wait);
    close_table(&t);
}

/* Clients look at the clock first, and then, perhaps after a while, at the window. */
Test(table, a_window_that_is_open_is_so_for_clients_whose_clock_reading_is_older)
{
    struct table t;
    struct announcement tomorrow = a_row("ad", 0, INTERVAL_OPEN);

    open_table(&t);
    t.announcer.measured_ms = 500;
    struct window *w = an_open_window(&t);
    cr_assert(spend_at(&t, 499).window.starts_at_ms == DAY);
    tomorrow.starts_at_ms += DAY_MS;
    tomorrow.ends_at_ms += DAY_MS;
    tomorrow.starts_in_ms = 1000;
    cr_assert(announce(&t.announcer, &tomorrow));
    struct announcement today = a_row("ad", 0, INTERVAL_CLOSING);
    today.ends_in_ms = 0;
    t.announcer.measured_ms = 1600; /* some time after it opened by the first measure */
    cr_assert(announce(&t.announcer, &today));
    cr_assert(w->state == INTERVAL_CLOSING);
    cr_assert(spend_at(&t, 1499).window.starts_at_ms == DAY + DAY_MS);
    close_table(&t);
}

/* What was handed back may come again. */
Test(table, units_that_were_returned_count_as_left)
{
    struct table t;
    struct topup_item item;
    const struct topup_answer keep_two = {
        .pool = {.state = POOL_DRY, .granted = 10, .keep = 2, .left = 3}};

    open_table(&t);
    struct window *w = an_open_window(&t);
    answer(&t, w, &keep_two, 10, 20);
    cr_assert(upkeep_visit(&t.upkeep, w, 30, &item), "the return is reported");
    cr_assert(item.report.returned == 8 && window_rest(w) == 2);
    struct spend_ask ask = {.cap = "ad", .amount = 13};
    cr_assert(spend_consume(&t.spender, &ask, false, 31).verdict == SLICE_UNREACHABLE);
    ask.amount = 14;
    cr_assert(spend_consume(&t.spender, &ask, false, 31).verdict == SLICE_USED_UP);
    close_table(&t);
}

static const struct {
    const char *name; /* reads as a claim */
    int64_t vain_min; /* the ask in vain, which lasts until 1000 */
    struct pool_report report;
    int64_t now_ms;
    bool may;
} asks[] = {
    {"who waits for as much waits", 40, {.want = 40, .want_min = 40}, 999, false},
    {"and asks again later", 40, {.want = 40, .want_min = 40}, 1000, true},
    {"who waits for less asks at once", 40, {.want = 41, .want_min = 1}, 30, true},
    {"but not for stock", 40, {.want = 1}, 30, false},
    {"an ask for stock holds up nobody who waits", UNITS_MAX, {.want = 9, .want_min = 9}, 30, true},
    {"who wants nothing does not ask", 0, {.want = 0}, 2000, false},
};

Test(table, after_an_ask_in_vain_nobody_asks_for_a_while_but_who_waits_for_less)
{
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        const struct window w = {.ask_ms = 1000, .vain_min = asks[i].vain_min};

        cr_expect_eq(upkeep_may_ask(&w, &asks[i].report, asks[i].now_ms), asks[i].may, "%s",
                     asks[i].name);
    }
}

/* ---- what is remembered of a window that is over */

#define END_MS INT64_C(601000) /* of a_row(), and what a clock may be behind */
#define SPENT 10

static void visit(struct table *t, struct window *w, int64_t now_ms)
{
    struct topup_item item;

    cr_assert_not(upkeep_visit(&t->upkeep, w, now_ms, &item), "there is nothing left to say");
}

/* Ten units were granted and spent, then it was closed before its time, and the pool knows all. */
static struct window *a_settled_window(struct table *t, int64_t remember_ms)
{
    struct announcement row = a_row("ad", 0, INTERVAL_CLOSING);
    const struct topup_answer closed = {.pool = {.granted = SPENT, .state = POOL_CLOSED}};

    open_table(t);
    t->upkeep.remember_ms = remember_ms;
    struct window *w = an_open_window(t);
    cr_assert(windows_claim(t->windows, w));
    slot_grant(&w->entry->slot, SPENT);
    cr_assert(slot_consume(&w->entry->slot, SPENT, CONSUME_ALL).verdict == SLOT_GRANTED);
    row.ends_in_ms = 0;
    cr_assert(announce(&t->announcer, &row));
    answer(t, w, &closed, 10, 10);
    visit(t, w, 10);
    return w;
}

Test(remembered, until_no_database_can_open_it_again)
{
    struct table t;
    struct window *w = a_settled_window(&t, DAY_MS);

    cr_assert(verdict_at(&t, "ad", 20) == SLICE_UNKNOWN, "clients see no more of it");
    visit(&t, w, END_MS);
    cr_assert(w->entry && slot_counts(&w->entry->slot).consumed == SPENT);
    visit(&t, w, END_MS + 1000);
    cr_assert(ledger_entries_used(t.ledger) == 0 && atomic_load(&t.windows->count) == 0);
    close_table(&t);
}

Test(remembered, no_longer_than_it_is_said)
{
    struct table t;
    struct window *w = a_settled_window(&t, 5000);

    visit(&t, w, 5000);
    cr_assert(w->entry);
    visit(&t, w, 6001);
    cr_assert(ledger_entries_used(t.ledger) == 0 && atomic_load(&t.windows->count) == 0);
    close_table(&t);
}

/* The same window again, with what is known of it; and remembered as long as before. */
Test(remembered, and_spent_from_when_a_database_goes_back)
{
    struct table t;
    struct window *w = a_settled_window(&t, 5000);
    struct announcement row = a_row("ad", 0, INTERVAL_OPEN);
    struct topup_item item;

    t.announcer.snapshot++;
    cr_assert(announce(&t.announcer, &row));
    announce_snapshot_end(&t.announcer);
    cr_assert(verdict_at(&t, "ad", 20) == SLICE_UNREACHABLE, "open, and nothing left here");
    cr_assert(upkeep_visit(&t.upkeep, w, 20, &item));
    cr_assert(item.report.granted_known == SPENT && item.report.consumed == SPENT);
    cr_assert(ledger_needed_until_ms(w->entry) >= END_MS);
    close_table(&t);
}

/* A ledger that is full of what is remembered takes nothing new, and forgets nothing. */
Test(remembered, also_when_there_is_no_room_left)
{
    struct table t;
    struct window *w = a_settled_window(&t, DAY_MS);
    struct announcement row = a_row("new", 0, INTERVAL_OPEN);
    struct topup_item item;

    while (ledger_claim(t.ledger, "another", ledger_entries_used(t.ledger)))
        continue;
    cr_assert(announce(&t.announcer, &row));
    struct window *latest =
        windows_find_window(windows_find(windows_shard_of(t.windows, "new"), "new"), DAY);
    cr_assert_not(upkeep_visit(&t.upkeep, latest, 20, &item));
    cr_assert(!latest->entry && w->entry);
    close_table(&t);
}
