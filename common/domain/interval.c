#include "common/domain/interval.h"

#include <string.h>

#include "common/base/check.h"

const char *const interval_state_names[] = {
#define X(state, name) name,
    INTERVAL_STATES(X)
#undef X
        NULL};

int interval_state_of(const char *name)
{
    for (int i = 0; interval_state_names[i] != NULL; i++)
        if (strcmp(interval_state_names[i], name) == 0)
            return i;
    return -1;
}

int interval_state_at(const struct interval *w, int64_t now_ms)
{
    if (w->ends_at_ms <= now_ms)
        return INTERVAL_CLOSED;
    if (w->state == INTERVAL_PLANNED && w->starts_at_ms <= now_ms)
        return INTERVAL_OPEN;
    return w->state;
}

/* A second, as phases are parts of one. */
#define SECOND_MS INT64_C(1000)

/* The first instant from ms on that has the phase of this definition's windows. */
static int64_t in_phase(int64_t ms, const struct cap_origin *origin)
{
    if (origin->grid_since_ms == CAP_GRID_ALWAYS)
        return ms;
    int64_t late_ms = cap_phase_ms(origin->grid_since_ms) - ms % SECOND_MS;
    return ms + (late_ms >= 0 ? late_ms : late_ms + SECOND_MS);
}

/* The start of the first window that this definition ever had. */
static int64_t first_start(const struct cap *cap, const struct cap_origin *origin)
{
    return max_i64(in_phase(cap->starts_at_ms, origin), origin->grid_since_ms);
}

static int64_t total_of(const struct interval *w, const struct cap *cap,
                        const struct cap_origin *origin)
{
    int64_t made_at_ms = max_i64(origin->changed_at_ms, first_start(cap, origin));
    bool is_first = w->starts_at_ms <= made_at_ms && made_at_ms < w->ends_at_ms;

    return is_first && cap->initial_total != CAP_TOTAL_NONE ? cap->initial_total : cap->total;
}

/* Adds the part of the grid's window [starts, ends) that lies within the cap's bounds, unless
 * nothing of it is left. */
static void plan_window(struct interval_plan *plan, const struct cap *cap,
                        const struct cap_origin *origin, int64_t starts_ms, int64_t ends_ms)
{
    struct interval w = {
        .starts_at_ms = max_i64(in_phase(starts_ms, origin), first_start(cap, origin)),
        .ends_at_ms = min_i64(in_phase(ends_ms, origin), cap->ends_at_ms),
        .state = INTERVAL_PLANNED,
        .paused = cap->paused,
    };

    if (w.ends_at_ms <= max_i64(w.starts_at_ms, plan->now_ms))
        return;
    w.grid_starts_ms = w.starts_at_ms;
    w.total = w.total_max = total_of(&w, cap, origin);
    w.state = interval_state_at(&w, plan->now_ms);
    memcpy(w.home, origin->home, sizeof(w.home));
    plan->want[plan->count++] = w;
}

struct interval_plan interval_plan_none(int64_t now_ms)
{
    return (struct interval_plan){
        .now_ms = now_ms, .is_new_version = true, .next_look_ms = INTERVAL_NEVER_MS};
}

struct interval_plan interval_plan(const struct cap *cap, const struct cap_origin *origin,
                                   const struct interval_grid *grid, int64_t now_ms,
                                   bool is_new_version)
{
    struct interval_plan plan = interval_plan_none(now_ms);
    const struct interval *first = &plan.want[0];

    CHECK(grid->starts_ms <= grid->ends_ms && grid->ends_ms <= grid->next_ends_ms);

    plan.is_new_version = is_new_version;
    plan.is_dated = origin->home[0] != '\0' || origin->grid_since_ms != CAP_GRID_ALWAYS;
    plan_window(&plan, cap, origin, grid->starts_ms, grid->ends_ms);
    plan_window(&plan, cap, origin, grid->ends_ms, grid->next_ends_ms);
    if (plan.count == 0)
        return plan;
    plan.next_look_ms = first->state == INTERVAL_PLANNED ? first->starts_at_ms : first->ends_at_ms;
    return plan;
}

/*
 * With dated starts an end that moves makes no other window: the home would
 * have changed the grid if it had cut that window already.  It has not, but we
 * have, because we missed the version that moved the end.
 */
static bool is_same_window(const struct interval_plan *plan, const struct interval *a,
                           const struct interval *b)
{
    return a->grid_starts_ms == b->grid_starts_ms && strcmp(a->home, b->home) == 0 &&
           (plan->is_dated || a->ends_at_ms == b->ends_at_ms);
}

/* The live window that is the wanted one already, or NULL. */
static const struct interval *find_live(const struct interval_plan *plan,
                                        const struct interval *want, const struct interval *known,
                                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (interval_is_live(&known[i]) && is_same_window(plan, want, &known[i]))
            return &known[i];
    return NULL;
}

static const struct interval *find_wanted(const struct interval_plan *plan,
                                          const struct interval *w)
{
    for (size_t i = 0; i < plan->count; i++)
        if (is_same_window(plan, &plan->want[i], w))
            return &plan->want[i];
    return NULL;
}

static bool is_start_taken(int64_t starts_at_ms, const struct interval *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (known[i].starts_at_ms == starts_at_ms)
            return true;
    return false;
}

/* Did `w` serve, until now at most, any of the time that the wanted window covers? */
static bool is_in_the_way(const struct interval *w, const struct interval *want, int64_t now_ms)
{
    return w->starts_at_ms <= now_ms && w->ends_at_ms > want->grid_starts_ms;
}

/*
 * The start of a window that is missing.  A dated grid says it itself.
 * Otherwise it is on the grid, if nothing has run there yet, or now: what was
 * spent before stays with the window it was spent of.  Ended windows keep
 * their starts, so the next free one is taken.
 */
static int64_t free_start(const struct interval_plan *plan, const struct interval *want,
                          const struct interval *known, size_t count)
{
    int64_t starts_at_ms = want->grid_starts_ms;

    for (size_t i = 0; i < count; i++)
        if (!plan->is_dated && is_in_the_way(&known[i], want, plan->now_ms))
            starts_at_ms = max_i64(starts_at_ms, plan->now_ms);
    while (is_start_taken(starts_at_ms, known, count))
        starts_at_ms++;
    return starts_at_ms;
}

static void add_step(struct interval_steps *steps, const struct interval *w, bool is_new,
                     bool is_told)
{
    CHECK(steps->count < INTERVAL_STEPS_MAX);
    struct interval_step *step = &steps->list[steps->count++];
    *step = (struct interval_step){.window = *w, .is_new = is_new, .is_told = is_told};
    if (is_told)
        step->window.version++;
}

static void step_live(struct interval_steps *steps, const struct interval_plan *plan,
                      const struct interval *w)
{
    const struct interval *want = find_wanted(plan, w);
    struct interval after = *w;
    bool is_told = false;

    after.state = interval_state_at(w, plan->now_ms);
    if (interval_is_live(&after) && want == NULL) {
        after.state = INTERVAL_CLOSING;
        is_told = true;
    } else if (interval_is_live(&after) && plan->is_new_version) {
        /* Even if these two are the same: the sizes of slices may have changed. */
        after.ends_at_ms = want->ends_at_ms;
        after.total = want->total;
        after.total_max = max_i64(w->total_max, want->total);
        after.paused = want->paused;
        is_told = true;
    }
    if (is_told || after.state != w->state)
        add_step(steps, &after, /* is_new= */ false, is_told);
}

/*
 * A window that was closed by time although it has not ended yet: the clock
 * went back.  Its units were given out once, and the window after it is there.
 */
static bool was_over_before(const struct interval_plan *plan, const struct interval *want,
                            const struct interval *known, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (known[i].state == INTERVAL_CLOSED && known[i].ends_at_ms > plan->now_ms &&
            known[i].starts_at_ms < want->ends_at_ms && known[i].ends_at_ms > want->grid_starts_ms)
            return true;
    return false;
}

/*
 * Two data centres that could not hear each other defined the same id: its
 * units and those of the other definition must not meet in one window.  The
 * home of the one that counts begins a new grid, when it hears of the other.
 */
static bool is_start_of_other_home(const struct interval *want, const struct interval *known,
                                   size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (known[i].starts_at_ms == want->grid_starts_ms && strcmp(known[i].home, want->home) != 0)
            return true;
    return false;
}

static void step_missing(struct interval_steps *steps, const struct interval_plan *plan,
                         const struct interval *want, const struct interval *known, size_t count)
{
    struct interval w = *want;

    if (was_over_before(plan, want, known, count) ||
        (plan->is_dated && is_start_of_other_home(want, known, count)))
        return;
    w.starts_at_ms = free_start(plan, want, known, count);
    if (w.starts_at_ms < w.ends_at_ms)
        add_step(steps, &w, /* is_new= */ true, /* is_told= */ true);
}

struct interval_steps interval_reconcile(const struct interval_plan *plan,
                                         const struct interval *known, size_t count)
{
    struct interval_steps steps = {.count = 0};

    CHECK(count <= INTERVAL_KNOWN_MAX);

    for (size_t i = 0; i < count; i++)
        if (interval_is_live(&known[i]))
            step_live(&steps, plan, &known[i]);
    for (size_t i = 0; i < plan->count; i++)
        if (find_live(plan, &plan->want[i], known, count) == NULL)
            step_missing(&steps, plan, &plan->want[i], known, count);
    return steps;
}
