/* Which windows a cap gets, and what becomes of those it has. */

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "common/base/prng.h"
#include "common/domain/interval.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)
#define NEVER INTERVAL_NEVER_MS

static const struct cap_origin undated = {.grid_since_ms = CAP_GRID_ALWAYS};

/* The grid of a daily cap in UTC. */
static struct interval_grid day_grid(int64_t at_ms)
{
    int64_t starts_ms = at_ms - at_ms % DAY;

    return (struct interval_grid){starts_ms, starts_ms + DAY, starts_ms + 2 * DAY};
}

struct bounds {
    int64_t starts_ms, ends_ms, total;
    int state;
};

/* A daily cap of 1000, 10 for its first window; windows and times in hours. */
static const struct plan_row {
    const char *name;
    int64_t starts, ends, now;
    bool is_new;
    size_t count;
    struct bounds want[2];
    int64_t next_look;
} plan_rows[] = {
    {"in the middle of a life: the current and the next window",
     0,
     240,
     30,
     false,
     2,
     {{24, 48, 1000, INTERVAL_OPEN}, {48, 72, 1000, INTERVAL_PLANNED}},
     48},
    {"a new version: the initial total is for the current window",
     0,
     240,
     30,
     true,
     2,
     {{24, 48, 10, INTERVAL_OPEN}, {48, 72, 1000, INTERVAL_PLANNED}},
     48},
    {"not begun: the first two, both planned",
     100,
     240,
     30,
     true,
     2,
     {{100, 120, 10, INTERVAL_PLANNED}, {120, 144, 1000, INTERVAL_PLANNED}},
     100},
    {"begun in the middle of a day: the first is shortened, the initial total is its",
     30,
     240,
     30,
     false,
     2,
     {{30, 48, 10, INTERVAL_OPEN}, {48, 72, 1000, INTERVAL_PLANNED}},
     48},
    {"the last window is shortened",
     0,
     60,
     30,
     false,
     2,
     {{24, 48, 1000, INTERVAL_OPEN}, {48, 60, 1000, INTERVAL_PLANNED}},
     48},
    {"in the last window there is no next",
     0,
     40,
     30,
     false,
     1,
     {{24, 40, 1000, INTERVAL_OPEN}},
     40},
    {"an end on the grid gives no empty window",
     0,
     48,
     30,
     false,
     1,
     {{24, 48, 1000, INTERVAL_OPEN}},
     48},
    {"a window begins at its first instant",
     0,
     240,
     48,
     false,
     2,
     {{48, 72, 1000, INTERVAL_OPEN}, {72, 96, 1000, INTERVAL_PLANNED}},
     72},
    {"over at its end", 0, 48, 48, true, 0, {{0}}, -1},
    {"over long ago", 0, 48, 4800, true, 0, {{0}}, -1},
};

static void expect_window(const char *name, const struct interval *w, const struct bounds *b)
{
    cr_expect(w->starts_at_ms == b->starts_ms * HOUR, "%s: starts", name);
    cr_expect(w->grid_starts_ms == b->starts_ms * HOUR, "%s: starts on the grid", name);
    cr_expect(w->ends_at_ms == b->ends_ms * HOUR, "%s: ends", name);
    cr_expect(w->total == b->total, "%s: total", name);
    cr_expect(w->state == b->state, "%s: state", name);
    cr_expect(w->paused, "%s: paused", name);
}

Test(interval, a_plan_has_the_current_and_the_next_window)
{
    for (size_t i = 0; i < COUNT(plan_rows); i++) {
        const struct plan_row *r = &plan_rows[i];
        const struct cap cap = {.starts_at_ms = r->starts * HOUR,
                                .ends_at_ms = r->ends * HOUR,
                                .total = 1000,
                                .initial_total = 10,
                                .paused = true};
        const struct interval_grid grid = day_grid(max_i64(r->now, r->starts) * HOUR);
        /* Made just now, or in a window that is over long since. */
        const struct cap_origin origin = {.changed_at_ms = r->is_new ? r->now * HOUR : -30 * DAY,
                                          .grid_since_ms = CAP_GRID_ALWAYS};
        const struct interval_plan plan =
            interval_plan(&cap, &origin, &grid, r->now * HOUR, r->is_new);

        cr_expect(plan.count == r->count, "%s: %zu windows", r->name, plan.count);
        for (size_t j = 0; j < r->count; j++)
            expect_window(r->name, &plan.want[j], &r->want[j]);
        cr_expect(plan.next_look_ms == (r->next_look < 0 ? NEVER : r->next_look * HOUR), "%s: look",
                  r->name);
        cr_expect(plan.is_new_version == r->is_new && plan.now_ms == r->now * HOUR, "%s", r->name);
    }
}

Test(interval, a_single_cap_has_one_window)
{
    const struct cap cap = {.ends_at_ms = 100, .total = 7, .initial_total = CAP_TOTAL_NONE};
    const struct interval_grid grid = {0, 100, 100};
    const struct interval_plan plan = interval_plan(&cap, &undated, &grid, 50, true);

    cr_expect(plan.count == 1);
    cr_expect(plan.want[0].starts_at_ms == 0 && plan.want[0].ends_at_ms == 100);
    cr_expect(plan.want[0].total == 7);
    cr_expect(plan.next_look_ms == 100);
}

Test(interval, a_grid_that_goes_backwards_is_a_bug, .signal = SIGABRT)
{
    const struct cap cap = {.ends_at_ms = 100};
    const struct interval_grid grid = {0, 100, 99};

    (void)interval_plan(&cap, &undated, &grid, 50, true);
}

static const struct state_row {
    const char *name;
    int state;
    int64_t now_ms;
    int expected;
} state_rows[] = {
    {"planned before its start", INTERVAL_PLANNED, 9, INTERVAL_PLANNED},
    {"open from its start", INTERVAL_PLANNED, 10, INTERVAL_OPEN},
    {"open until its end", INTERVAL_OPEN, 19, INTERVAL_OPEN},
    {"closed from its end", INTERVAL_OPEN, 20, INTERVAL_CLOSED},
    {"closed even if nobody saw it open", INTERVAL_PLANNED, 20, INTERVAL_CLOSED},
    {"ended early: closing until its end", INTERVAL_CLOSING, 12, INTERVAL_CLOSING},
    {"ended before it began: closing, not open", INTERVAL_CLOSING, 5, INTERVAL_CLOSING},
    {"ended early, and past", INTERVAL_CLOSING, 20, INTERVAL_CLOSED},
    {"closed stays closed", INTERVAL_CLOSED, 12, INTERVAL_CLOSED},
};

Test(interval, states_go_forward_with_time)
{
    for (size_t i = 0; i < COUNT(state_rows); i++) {
        const struct state_row *r = &state_rows[i];
        const struct interval w = {.starts_at_ms = 10, .ends_at_ms = 20, .state = r->state};
        cr_expect(interval_state_at(&w, r->now_ms) == r->expected, "%s", r->name);
    }
}

Test(interval, states_are_found_by_their_names)
{
    for (int i = 0; interval_state_names[i] != NULL; i++)
        cr_expect(interval_state_of(interval_state_names[i]) == i);
    cr_expect(interval_state_of("dry") == -1);
}

/*
 * Reconciling.  Each row has windows that are there, and the plan's: times in
 * hours, now is 30.  An expected step is the window as it must become.
 */
#define OPEN INTERVAL_OPEN
#define PLANNED INTERVAL_PLANNED
#define CLOSING INTERVAL_CLOSING
#define CLOSED INTERVAL_CLOSED

struct window {
    int64_t starts, ends, grid; /* hours */
    int64_t total;
    int state;
    bool paused;
};

struct expected {
    struct window window;
    bool is_new, is_told;
    int64_t later_ms; /* it starts so much later than the hour */
};

static const struct reconcile_row {
    const char *name;
    bool is_new_version;
    size_t known_count;
    struct window known[3];
    size_t want_count;
    struct window want[2];
    size_t step_count;
    struct expected steps[4];
} reconcile_rows[] = {
    {"nothing is there: both open",
     true,
     0,
     {{0}},
     2,
     {{24, 48, 24, 10, OPEN, false}, {48, 72, 48, 10, PLANNED, false}},
     2,
     {{{24, 48, 24, 10, OPEN, false}, true, true, 0},
      {{48, 72, 48, 10, PLANNED, false}, true, true, 0}}},
    {"both are there: nothing to do",
     false,
     2,
     {{24, 48, 24, 10, OPEN, false}, {48, 72, 48, 10, PLANNED, false}},
     2,
     {{24, 48, 24, 10, OPEN, false}, {48, 72, 48, 10, PLANNED, false}},
     0,
     {{.later_ms = 0}}},
    {"without a new version windows keep their totals",
     false,
     1,
     {{24, 48, 24, 5, OPEN, false}},
     1,
     {{24, 48, 24, 10, OPEN, false}},
     0,
     {{.later_ms = 0}}},
    {"a new total goes to both windows",
     true,
     2,
     {{24, 48, 24, 10, OPEN, false}, {48, 72, 48, 10, PLANNED, false}},
     2,
     {{24, 48, 24, 20, OPEN, false}, {48, 72, 48, 20, PLANNED, false}},
     2,
     {{{24, 48, 24, 20, OPEN, false}, false, true, 0},
      {{48, 72, 48, 20, PLANNED, false}, false, true, 0}}},
    {"so does a pause",
     true,
     1,
     {{24, 48, 24, 10, OPEN, false}},
     1,
     {{24, 48, 24, 10, OPEN, true}},
     1,
     {{{24, 48, 24, 10, OPEN, true}, false, true, 0}}},
    {"a new version that changes neither is told on: sizes of slices may differ",
     true,
     1,
     {{24, 48, 24, 10, OPEN, false}},
     1,
     {{24, 48, 24, 10, OPEN, false}},
     1,
     {{{24, 48, 24, 10, OPEN, false}, false, true, 0}}},
    {"midnight has passed: one closes, one opens, one is made",
     false,
     2,
     {{0, 24, 0, 10, OPEN, false}, {24, 48, 24, 10, PLANNED, false}},
     2,
     {{24, 48, 24, 10, OPEN, false}, {48, 72, 48, 10, PLANNED, false}},
     3,
     {{{0, 24, 0, 10, CLOSED, false}, false, false, 0},
      {{24, 48, 24, 10, OPEN, false}, false, false, 0},
      {{48, 72, 48, 10, PLANNED, false}, true, true, 0}}},
    {"a long stop: all that was there is over, and what must be is there",
     false,
     2,
     {{-72, -48, -72, 10, OPEN, false}, {-48, -24, -48, 10, PLANNED, false}},
     2,
     {{24, 48, 24, 10, OPEN, false}, {48, 72, 48, 10, PLANNED, false}},
     4,
     {{{-72, -48, -72, 10, CLOSED, false}, false, false, 0},
      {{-48, -24, -48, 10, CLOSED, false}, false, false, 0},
      {{24, 48, 24, 10, OPEN, false}, true, true, 0},
      {{48, 72, 48, 10, PLANNED, false}, true, true, 0}}},
    {"deleted: all that is live closes at once",
     true,
     2,
     {{24, 48, 24, 10, OPEN, false}, {48, 72, 48, 10, PLANNED, false}},
     0,
     {{0}},
     2,
     {{{24, 48, 24, 10, CLOSING, false}, false, true, 0},
      {{48, 72, 48, 10, CLOSING, false}, false, true, 0}}},
    {"what has ended stays as it is",
     true,
     2,
     {{24, 48, 24, 10, CLOSING, false}, {0, 24, 0, 10, CLOSED, false}},
     0,
     {{0}},
     0,
     {{.later_ms = 0}}},
    {"a new grid: the old window closes, its successor starts now",
     true,
     1,
     {{24, 48, 24, 10, OPEN, false}},
     1,
     {{0, 168, 0, 10, OPEN, false}},
     2,
     {{{24, 48, 24, 10, CLOSING, false}, false, true, 0},
      {{30, 168, 0, 10, OPEN, false}, true, true, 0}}},
    {"a new grid within the old window: likewise",
     true,
     1,
     {{0, 168, 0, 10, OPEN, false}},
     1,
     {{24, 48, 24, 10, OPEN, false}},
     2,
     {{{0, 168, 0, 10, CLOSING, false}, false, true, 0},
      {{30, 48, 24, 10, OPEN, false}, true, true, 0}}},
    {"a successor stays when its plan is looked at again",
     false,
     1,
     {{30, 168, 0, 10, OPEN, false}},
     1,
     {{0, 168, 0, 10, OPEN, false}},
     0,
     {{.later_ms = 0}}},
    {"an end that moves makes it another window",
     true,
     1,
     {{24, 48, 24, 10, OPEN, false}},
     1,
     {{24, 40, 24, 10, OPEN, false}},
     2,
     {{{24, 48, 24, 10, CLOSING, false}, false, true, 0},
      {{30, 40, 24, 10, OPEN, false}, true, true, 0}}},
    {"deleted and made again: the old window's units are not given twice",
     true,
     1,
     {{24, 48, 24, 10, CLOSING, false}},
     1,
     {{24, 48, 24, 10, OPEN, false}},
     1,
     {{{30, 48, 24, 10, OPEN, false}, true, true, 0}}},
    {"an old grid's future window has taken the start: the next free one",
     true,
     1,
     {{48, 72, 48, 10, CLOSING, false}},
     1,
     {{48, 72, 48, 10, PLANNED, false}},
     1,
     {{{48, 72, 48, 10, PLANNED, false}, true, true, 1}}},
    {"a future window that has ended does not put off the current one",
     true,
     1,
     {{48, 72, 48, 10, CLOSING, false}},
     1,
     {{0, 168, 0, 10, OPEN, false}},
     1,
     {{{0, 168, 0, 10, OPEN, false}, true, true, 0}}},
    {"a window that was over is not opened again when the clock goes back",
     true,
     2,
     {{24, 48, 24, 10, CLOSED, false}, {48, 72, 48, 10, OPEN, false}},
     2,
     {{24, 48, 24, 10, OPEN, false}, {48, 72, 48, 10, PLANNED, false}},
     1,
     {{{48, 72, 48, 10, OPEN, false}, false, true, 0}}},
    {"now is taken, too: the next free start",
     true,
     2,
     {{24, 48, 24, 10, CLOSING, false}, {30, 168, 0, 10, OPEN, false}},
     1,
     {{24, 48, 24, 10, OPEN, false}},
     2,
     {{{30, 168, 0, 10, CLOSING, false}, false, true, 0},
      {{30, 48, 24, 10, OPEN, false}, true, true, 1}}},
};

static struct interval make(const struct window *w)
{
    return (struct interval){.starts_at_ms = w->starts * HOUR,
                             .ends_at_ms = w->ends * HOUR,
                             .grid_starts_ms = w->grid * HOUR,
                             .version = 1,
                             .total = w->total,
                             .state = w->state,
                             .paused = w->paused};
}

static void expect_step(const char *name, const struct interval_step *step,
                        const struct expected *x)
{
    const struct interval *w = &step->window;

    cr_expect(step->is_new == x->is_new, "%s: new", name);
    cr_expect(step->is_told == x->is_told, "%s: told", name);
    cr_expect(w->starts_at_ms == x->window.starts * HOUR + x->later_ms, "%s: starts", name);
    cr_expect(w->ends_at_ms == x->window.ends * HOUR, "%s: ends", name);
    cr_expect(w->grid_starts_ms == x->window.grid * HOUR, "%s: grid", name);
    cr_expect(w->total == x->window.total, "%s: total", name);
    cr_expect(w->state == x->window.state, "%s: state", name);
    cr_expect(w->paused == x->window.paused, "%s: paused", name);
    cr_expect(w->version == 1 + (!x->is_new && x->is_told), "%s: version", name);
}

Test(interval, windows_follow_the_plan)
{
    for (size_t i = 0; i < COUNT(reconcile_rows); i++) {
        const struct reconcile_row *r = &reconcile_rows[i];
        struct interval_plan plan = {
            .now_ms = 30 * HOUR, .is_new_version = r->is_new_version, .count = r->want_count};
        struct interval known[3];

        for (size_t j = 0; j < r->want_count; j++) {
            plan.want[j] = make(&r->want[j]);
            plan.want[j].version = 0;
        }
        for (size_t j = 0; j < r->known_count; j++)
            known[j] = make(&r->known[j]);
        const struct interval_steps steps = interval_reconcile(&plan, known, r->known_count);

        cr_assert(steps.count == r->step_count, "%s: %zu steps", r->name, steps.count);
        for (size_t j = 0; j < r->step_count; j++)
            expect_step(r->name, &steps.list[j], &r->steps[j]);
    }
}

/* A successor needs at least a millisecond: here now is taken, and the end comes right after. */
Test(interval, a_window_without_room_is_not_made)
{
    const struct interval known = {
        .starts_at_ms = 99, .ends_at_ms = 100, .version = 1, .state = INTERVAL_CLOSING};
    const struct interval_plan plan = {
        .now_ms = 99, .count = 1, .want = {{.ends_at_ms = 100, .state = INTERVAL_OPEN}}};

    cr_expect(interval_reconcile(&plan, &known, 1).count == 0);
}

/* Its own was cut from another definition of the same id. */
Test(interval, a_start_that_another_home_has_used_is_not_used_again)
{
    const struct interval known = {.starts_at_ms = 0,
                                   .ends_at_ms = 100,
                                   .version = 1,
                                   .state = INTERVAL_CLOSING,
                                   .home = "dc3"};
    struct interval_plan plan = {
        .now_ms = 50,
        .is_dated = true,
        .count = 1,
        .want = {{.ends_at_ms = 100, .state = INTERVAL_OPEN, .home = "dc1"}}};

    cr_expect(interval_reconcile(&plan, &known, 1).count == 0);
    plan.want[0].grid_starts_ms = 1;
    cr_expect(interval_reconcile(&plan, &known, 1).count == 1);
}

Test(interval, more_windows_than_the_limit_are_a_bug, .signal = SIGABRT)
{
    const struct interval known[INTERVAL_KNOWN_MAX + 1] = {{.version = 1}};
    const struct interval_plan plan = interval_plan_none(0);

    (void)interval_reconcile(&plan, known, INTERVAL_KNOWN_MAX + 1);
}

/*
 * Whatever is defined and however time goes, each cap's windows stay in order.
 * The world is one cap and all windows it ever had.
 */
#define WORLD_MAX 2000

struct world {
    struct prng prng;
    int64_t now_ms;
    struct cap cap;
    int64_t grid_ms; /* the length of a window */
    struct interval list[WORLD_MAX];
    size_t count;
};

static struct interval_plan world_plan(const struct world *w, bool is_new_version)
{
    int64_t at_ms = max_i64(w->now_ms, w->cap.starts_at_ms);
    int64_t starts_ms = at_ms - at_ms % w->grid_ms;
    const struct interval_grid grid = {starts_ms, starts_ms + w->grid_ms,
                                       starts_ms + 2 * w->grid_ms};

    return interval_plan(&w->cap, &undated, &grid, w->now_ms, is_new_version);
}

/* What a store gives: the live ones, and the newest ended ones from the plan's grid on. */
static size_t world_known(const struct world *w, const struct interval_plan *plan,
                          struct interval ret[INTERVAL_KNOWN_MAX])
{
    int64_t from_ms = plan->count > 0 ? plan->want[0].grid_starts_ms : plan->now_ms;
    size_t count = 0;

    for (size_t i = w->count; i-- > 0 && count < INTERVAL_KNOWN_MAX;)
        if (interval_is_live(&w->list[i]) || w->list[i].starts_at_ms >= from_ms)
            ret[count++] = w->list[i];
    return count;
}

static void world_apply(struct world *w, const struct interval_step *step)
{
    size_t i = 0;

    while (i < w->count && w->list[i].starts_at_ms != step->window.starts_at_ms)
        i++;
    cr_assert(step->is_new == (i == w->count), "a start is used twice");
    if (step->is_new)
        w->count++;
    else
        cr_assert(step->window.state >= w->list[i].state, "a state goes back");
    cr_assert(w->count <= WORLD_MAX);
    w->list[i] = step->window;
}

static void world_check(const struct world *w)
{
    size_t live = 0;

    for (size_t i = 0; i < w->count; i++) {
        const struct interval *a = &w->list[i];
        if (!interval_is_live(a))
            continue;
        live++;
        cr_assert(a->starts_at_ms < a->ends_at_ms && a->ends_at_ms > w->now_ms);
        for (size_t j = 0; j < i; j++)
            cr_assert(!interval_is_live(&w->list[j]) || w->list[j].ends_at_ms <= a->starts_at_ms ||
                          a->ends_at_ms <= w->list[j].starts_at_ms,
                      "two live windows overlap");
    }
    cr_assert(live <= 2);
}

static void world_look(struct world *w, bool is_new_version)
{
    struct interval known[INTERVAL_KNOWN_MAX];
    struct interval_plan plan = world_plan(w, is_new_version);
    size_t count = world_known(w, &plan, known);
    struct interval_steps steps = interval_reconcile(&plan, known, count);

    for (size_t i = 0; i < steps.count; i++)
        world_apply(w, &steps.list[i]);
    world_check(w);

    /* A second look, as after a crash before the answer, finds nothing to do. */
    plan.is_new_version = false;
    count = world_known(w, &plan, known);
    cr_assert(interval_reconcile(&plan, known, count).count == 0, "not idempotent");
}

static void world_redefine(struct world *w)
{
    static const int64_t lengths[] = {10, 70, 300};

    w->grid_ms = lengths[prng_below(&w->prng, 3)];
    w->cap.starts_at_ms = max_i64(0, w->now_ms - 200 + prng_below(&w->prng, 400));
    w->cap.ends_at_ms = w->cap.starts_at_ms + 1 + prng_below(&w->prng, 1000);
    w->cap.total = prng_below(&w->prng, 100);
}

Test(interval, windows_never_overlap_nor_return)
{
    static struct world w;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        w = (struct world){.prng = {.state = seed}, .now_ms = 1000};
        w.cap.initial_total = CAP_TOTAL_NONE;
        world_redefine(&w);
        for (int step = 0; step < 300; step++) {
            bool redefine = prng_below(&w.prng, 4) == 0;
            w.now_ms += prng_below(&w.prng, 20);
            if (redefine)
                world_redefine(&w);
            world_look(&w, redefine);
        }
    }
}

/*
 * Data centres that have seen different versions of a definition.  The home
 * changes it; `all` hears of every version at once, `late` of some, and looks
 * at what it has only now and then.  Days here begin at full seconds, as they
 * do in every zone.
 */
#define TICK INT64_C(1000)
#define STEP_MAX (60000 * TICK)

struct data_centre {
    struct cap cap;
    struct cap_origin origin;
    struct interval list[WORLD_MAX];
    size_t count;
};

static int64_t grid_length(const struct cap *cap)
{
    static const int64_t lengths[] = {
        [CAP_HOUR] = 3600 * TICK, [CAP_DAY] = 86400 * TICK, [CAP_WEEK] = 604800 * TICK};
    return lengths[cap->interval];
}

static struct interval_plan dc_plan(const struct data_centre *dc, int64_t now_ms, bool is_new)
{
    int64_t at_ms = interval_grid_at(&dc->cap, &dc->origin, now_ms);
    int64_t length_ms = dc->cap.interval == CAP_SINGLE ? 0 : grid_length(&dc->cap);
    struct interval_grid grid = {dc->cap.starts_at_ms, dc->cap.ends_at_ms, dc->cap.ends_at_ms};

    if (length_ms > 0) {
        grid.starts_ms = at_ms - at_ms % length_ms;
        grid.ends_ms = grid.starts_ms + length_ms;
        grid.next_ends_ms = grid.ends_ms + length_ms;
    }
    return interval_plan(&dc->cap, &dc->origin, &grid, now_ms, is_new);
}

static void dc_look(struct data_centre *dc, int64_t now_ms, bool is_new)
{
    const struct interval_plan plan = dc_plan(dc, now_ms, is_new);
    struct world w = {.now_ms = now_ms, .count = 0};
    struct interval known[INTERVAL_KNOWN_MAX];

    for (size_t i = 0; i < dc->count; i++)
        w.list[w.count++] = dc->list[i];
    size_t count = world_known(&w, &plan, known);
    const struct interval_steps steps = interval_reconcile(&plan, known, count);
    for (size_t i = 0; i < steps.count; i++) {
        if (steps.list[i].is_new)
            cr_assert(steps.list[i].window.starts_at_ms == steps.list[i].window.grid_starts_ms,
                      "a start was taken");
        world_apply(&w, &steps.list[i]);
    }
    world_check(&w);
    dc->count = w.count;
    memcpy(dc->list, w.list, w.count * sizeof(w.list[0]));
}

static void dc_hear(struct data_centre *dc, const struct data_centre *home, int64_t now_ms)
{
    dc->cap = home->cap;
    dc->origin = home->origin;
    dc_look(dc, now_ms, /* is_new= */ true);
}

/* What meta-svc does. */
static void home_redefine(struct data_centre *home, struct prng *prng, int64_t now_ms)
{
    struct cap cap = home->cap;

    switch (prng_below(prng, 5)) {
    case 0: cap.interval = (int)prng_below(prng, 4); break;
    case 1: cap.starts_at_ms = (now_ms / TICK - 200000 + prng_below(prng, 400000)) * TICK; break;
    case 2: cap.ends_at_ms = now_ms + (1 + prng_below(prng, 900000)) * TICK; break;
    case 3: cap.initial_total = prng_below(prng, 100); break;
    default: cap.initial_total = CAP_TOTAL_NONE; break;
    }
    cap.total = prng_below(prng, 1000);
    cap.ends_at_ms = max_i64(cap.ends_at_ms, cap.starts_at_ms + TICK);
    if (cap_moves_windows(&home->cap, &cap, now_ms))
        home->origin.grid_since_ms = cap_next_grid_since(home->origin.grid_since_ms, now_ms);
    home->origin.changed_at_ms = now_ms;
    home->cap = cap;
}

/* The live windows of both, one by one. */
static void expect_same_live(const struct data_centre *a, const struct data_centre *b)
{
    size_t live = 0;

    for (size_t i = 0; i < b->count; i++)
        live += interval_is_live(&b->list[i]);
    for (size_t i = 0; i < a->count; i++) {
        bool found = !interval_is_live(&a->list[i]);
        live -= !found;
        for (size_t j = 0; j < b->count && !found; j++)
            found = interval_is_live(&b->list[j]) &&
                    a->list[i].starts_at_ms == b->list[j].starts_at_ms &&
                    a->list[i].ends_at_ms == b->list[j].ends_at_ms &&
                    a->list[i].total == b->list[j].total &&
                    strcmp(a->list[i].home, b->list[j].home) == 0;
        cr_assert(found, "a window that the other one does not have");
    }
    cr_assert(live == 0, "windows that only the other one has");
}

Test(interval, data_centres_that_saw_other_versions_have_the_same_windows)
{
    static struct data_centre home, all, late, newest;

    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct prng prng = {.state = seed};
        int64_t now_ms = INT64_C(1000000) * TICK;

        home = (struct data_centre){
            .cap = {.interval = CAP_DAY, .initial_total = CAP_TOTAL_NONE, .total = 10},
            .origin = {.home = "dc1", .changed_at_ms = now_ms, .grid_since_ms = CAP_GRID_ALWAYS}};
        home.cap.ends_at_ms = now_ms + 900000 * TICK;
        all = late = home;
        for (int step = 0; step < 100; step++) {
            now_ms += prng_below(&prng, STEP_MAX);
            if (prng_below(&prng, 3) == 0)
                home_redefine(&home, &prng, now_ms);
            dc_hear(&all, &home, now_ms);
            if (prng_below(&prng, 4) == 0)
                dc_look(&late, now_ms, /* is_new= */ false);
            /* One that thinks that the cap is over has ended a window that goes on elsewhere. */
            if (prng_below(&prng, 5) != 0 && late.cap.ends_at_ms > now_ms + STEP_MAX)
                continue;
            dc_hear(&late, &home, now_ms);
            newest = (struct data_centre){.count = 0};
            dc_hear(&newest, &home, now_ms);
            expect_same_live(&all, &late);
            expect_same_live(&all, &newest);
        }
    }
}

Test(interval, a_window_of_another_home_is_another_window)
{
    const struct interval known = {.ends_at_ms = 100, .version = 1, .home = "dc2", .state = OPEN};
    const struct interval_plan plan = {
        .now_ms = 50, .count = 1, .want = {{.ends_at_ms = 100, .home = "dc1", .state = OPEN}}};
    const struct interval_steps steps = interval_reconcile(&plan, &known, 1);

    cr_assert(steps.count == 2);
    cr_expect(steps.list[0].window.state == CLOSING);
    cr_expect(strcmp(steps.list[0].window.home, "dc2") == 0);
    cr_expect(steps.list[1].is_new && strcmp(steps.list[1].window.home, "dc1") == 0);
}

Test(interval, the_largest_total_is_remembered)
{
    const struct interval known = {.ends_at_ms = 100, .version = 1, .total = 20, .total_max = 30};
    const struct interval_plan plan = {
        .is_new_version = true, .count = 1, .want = {{.ends_at_ms = 100, .total = 10}}};
    const struct interval_steps steps = interval_reconcile(&plan, &known, 1);

    cr_assert(steps.count == 1);
    cr_expect(steps.list[0].window.total == 10 && steps.list[0].window.total_max == 30);
}
