#include "tests/sim/sim.h"

static struct slot *slot_of(struct world *w, int i, int window)
{
    return &w->slots[i][w->servers[i].incarnation][window];
}

void server_start(struct world *w, int i)
{
    struct server *s = &w->servers[i];
    int incarnation = s->incarnation, dc = s->dc;
    int64_t heard = s->heard_incarnation, told = s->told_incarnation;

    *s = (struct server){.alive = true,
                         .dc = dc,
                         .incarnation = incarnation,
                         .heard_incarnation = heard,
                         .told_incarnation = told};
    for (int k = 0; k < WINDOWS; k++) {
        s->slices[k] = slice_new(w->dcs[dc].windows[k].pool.autonomy_ms);
        if (w->breakage == BREAK_RETURN_INTENT)
            atomic_store(&slot_of(w, i, k)->intent_used, 0);
        slot_recover(slot_of(w, i, k));
        s->report_soon[k] = slot_rest(slot_of(w, i, k)) > 0;
        SIM_CHECK(w, slot_is_sound(slot_of(w, i, k)));
    }
}

void server_kill(struct world *w, int i, int64_t for_ms)
{
    w->servers[i].alive = false;
    w->servers[i].down_until_ms = w->now_ms + for_ms;
}

void server_lose_host(struct world *w, int i)
{
    if (w->servers[i].incarnation + 1 >= INCARNATIONS)
        return;
    server_kill(w, i, prng_below(&w->prng, 3000));
    w->servers[i].incarnation++;
    w->dcs[w->servers[i].dc].seen_ms[i][w->servers[i].incarnation] = w->now_ms;
}

/* Killed here, as at any other step, now and then. */
static bool dies(struct world *w, int i)
{
    if (!w->faults || !chance(w, 2))
        return false;
    server_kill(w, i, prng_below(&w->prng, w->strict ? SUSPECT_MS : 2 * PRESUME_MS));
    return true;
}

static void refuse(struct world *w, int i, int window, int64_t n)
{
    struct server *s = &w->servers[i];
    int64_t rest = slot_rest(slot_of(w, i, window));

    if (slice_refusal(&s->slices[window], rest, n) != SLICE_USED_UP) {
        w->refused_unreachable++;
        return;
    }
    w->refused_used_up++;
    check_used_up(w, window, n);
}

/* Yes, and the ledger: in this order only where the order is broken on purpose. */
static struct slot_take take(struct world *w, int i, int window, int64_t n, enum consume_mode mode)
{
    struct slot *slot = slot_of(w, i, window);

    if (w->breakage == BREAK_LEDGER_ORDER && slot_rest(slot) >= n && dies(w, i)) {
        w->yes[window] += n;
        return (struct slot_take){.verdict = SLOT_GRANTED};
    }
    struct slot_take taken = slot_consume(slot, n, mode);
    if (taken.verdict == SLOT_GRANTED && mode != CONSUME_CHECK && !dies(w, i))
        w->yes[window] += taken.units;
    return taken;
}

static void lack(struct slice *s, int64_t n)
{
    s->short_of = s->short_min = n;
}

static void wait_for_units(struct world *w, int i, int window, int64_t n)
{
    struct server *s = &w->servers[i];

    if (s->waiting[window].n > 0)
        return;
    s->waiting[window] = (struct waiting){
        .n = n,
        .until_ms = w->now_ms + (w->is_patient && !w->faults ? WINDOW_MS : CONSUME_WAIT_MS),
    };
    lack(&s->slices[window], n - slot_rest(slot_of(w, i, window)));
}

void server_consume(struct world *w, int i, int64_t n, enum consume_mode mode)
{
    struct server *s = &w->servers[i];
    int window = window_at(w->now_ms);

    if (!s->alive || window < 0)
        return;
    s->asked[window] += n;
    s->slices[window].asked = true;

    struct slot_take taken = take(w, i, window, n, mode);
    if (!s->alive || taken.verdict == SLOT_GRANTED || taken.verdict == SLOT_FROZEN_NOW)
        return;
    int64_t need = mode == CONSUME_BEST_EFFORT ? 1 : n;
    if (slice_refusal(&s->slices[window], taken.rest, need) == SLICE_UNREACHABLE)
        wait_for_units(w, i, window, need);
    else
        refuse(w, i, window, need);
}

static void serve_waiting(struct world *w, int i, int window)
{
    struct server *s = &w->servers[i];
    struct waiting *waiting = &s->waiting[window];
    int64_t n = waiting->n;

    if (n == 0 || window != window_at(w->now_ms))
        return;
    struct slot_take taken = take(w, i, window, n, CONSUME_ALL);
    if (!s->alive)
        return;
    bool hopeless = slice_refusal(&s->slices[window], taken.rest, n) != SLICE_UNREACHABLE;
    bool over = hopeless || w->now_ms >= waiting->until_ms;
    if (taken.verdict != SLOT_GRANTED && !over) {
        lack(&s->slices[window], n - taken.rest);
        return;
    }
    waiting->n = 0;
    lack(&s->slices[window], 0);
    if (taken.verdict != SLOT_GRANTED)
        refuse(w, i, window, n);
}

void server_refund(struct world *w, int i, int64_t n)
{
    int window = window_at(w->now_ms);

    if (!w->servers[i].alive || window < 0 || w->yes[window] < n)
        return;
    if (slot_refund(slot_of(w, i, window), n)) {
        w->yes[window] -= n;
        w->servers[i].report_soon[window] = true;
    }
}

/* One step of a return; the process may die after each. */
static void step_return(struct world *w, int i)
{
    struct server *s = &w->servers[i];
    struct slot *slot = slot_of(w, i, s->return_window);

    switch (s->return_step++) {
    case 1: SIM_CHECK(w, slot_return_freeze(slot)); break;
    case 2: (void)slot_return_note(slot, s->return_units); break;
    case 3: slot_return_raise(slot); break;
    case 4: slot_return_settle(slot); break;
    default:
        slot_return_finish(slot);
        s->return_step = 0;
        s->report_soon[s->return_window] = true;
    }
    (void)dies(w, i);
}

static bool is_over(const struct world *w, int window)
{
    return w->now_ms >= (int64_t)(window + 1) * WINDOW_MS;
}

static void begin_return(struct world *w, int i)
{
    struct server *s = &w->servers[i];

    for (int k = 0; k < WINDOWS && s->return_step == 0; k++) {
        int64_t rest = slot_rest(slot_of(w, i, k));
        int64_t surplus = is_over(w, k) ? rest : slice_surplus(&s->slices[k], rest);
        if (surplus == 0 || (w->breakage == BREAK_HOLD && s->waiting[k].n > 0))
            continue;
        slice_before_return(&s->slices[k], surplus);
        s->return_window = k;
        s->return_units = surplus;
        s->return_step = 1;
    }
}

/* M4: the pool hears of a return that the ledger does not know yet. */
static void report_too_early(const struct server *s, int window, struct pool_report *r)
{
    r->returned += slice_surplus(&s->slices[window],
                                 r->granted_known + r->refunded - r->consumed - r->returned);
}

/* `all`: the data centre's database went back, and it must hear all that this server holds. */
static bool add_report(struct world *w, int i, int window, bool is_time, bool all,
                       struct message *m)
{
    struct server *s = &w->servers[i];
    struct slot *slot = slot_of(w, i, window);
    bool known = w->now_ms >= (int64_t)window * WINDOW_MS - AHEAD_MS;

    if (is_time) {
        rate_measure(&s->rates[window], s->asked[window], w->now_ms);
        s->asked[window] = 0;
    }
    if (!known && !all)
        return false;
    bool retracts = slice_must_retract(&s->slices[window]);
    struct pool_report r =
        slice_report(&s->slices[window], slot, rate_milli(&s->rates[window], w->now_ms));
    if (is_over(w, window))
        r.want = 0;
    if (w->breakage == BREAK_RETURN_ORDER)
        report_too_early(s, window, &r);
    if (w->breakage == BREAK_GRANT_PARTS)
        r.want_min = min_i64(r.want_min, 1);
    bool has_told = w->dcs[s->dc].windows[window].slices[i][s->incarnation].consumed == r.consumed;
    if (!all && r.want == 0 && !retracts && !s->report_soon[window] && !(is_time && !has_told))
        return false;
    s->report_soon[window] = false;
    s->told[window] = true;
    s->had_news[window] = false;
    m->covers[window] = true;
    m->reports[window] = r;
    return true;
}

/* The last call was not answered in time: what it told may have been lost. */
static void forget_call(struct server *s)
{
    for (int k = 0; k < WINDOWS; k++) {
        s->report_soon[k] |= s->call != 0 && s->told[k];
        s->told[k] = false;
    }
    s->call = 0;
}

static void call_dc(struct world *w, int i)
{
    struct server *s = &w->servers[i];
    bool is_time = w->now_ms >= s->reported_at_ms + REPORT_MS;
    bool all = s->heard_incarnation != s->told_incarnation, any = is_time || all;
    struct message m = {.kind = MESSAGE_TOPUP,
                        .server = i,
                        .incarnation = s->incarnation,
                        .dc_incarnation = s->heard_incarnation};

    forget_call(s);
    for (int k = 0; k < WINDOWS; k++)
        any |= add_report(w, i, k, is_time, all, &m);
    if (!any)
        return;
    if (is_time)
        s->reported_at_ms = w->now_ms;
    m.call = ++w->calls;
    s->call = m.call;
    s->call_until_ms = w->now_ms + CALL_MS;
    net_send(w, &m);
}

void server_tick(struct world *w, int i)
{
    struct server *s = &w->servers[i];

    if (!s->alive) {
        if (w->now_ms >= s->down_until_ms)
            server_start(w, i);
        return;
    }
    for (int k = 0; k < WINDOWS && s->alive; k++)
        serve_waiting(w, i, k);
    if (!s->alive)
        return;
    /* One thread calls and returns: the answer to a report is read before anything is handed back.
     */
    if (s->return_step > 0)
        step_return(w, i);
    else if (s->call == 0 || w->now_ms >= s->call_until_ms)
        begin_return(w, i);
    if (s->alive && s->return_step == 0 && (s->call == 0 || w->now_ms >= s->call_until_ms))
        call_dc(w, i);
}

static void accept_grant(struct world *w, struct slot *slot, const struct message *m, int window)
{
    const struct pool_answer *a = &m->answers[window];

    if (w->breakage == BREAK_IDEMPOTENCY)
        slot_grant(slot,
                   atomic_load(&slot->granted) + a->granted - m->reports[window].granted_known);
    else
        slot_grant(slot, a->granted);
}

void server_answer(struct world *w, const struct message *m)
{
    struct server *s = &w->servers[m->server];

    /* A late answer, perhaps to an earlier process: its grants are as true as ever. */
    if (!s->alive || m->incarnation != s->incarnation)
        return;
    if (m->dc_incarnation < s->heard_incarnation && w->breakage != BREAK_NO_FENCE)
        return;
    if (m->call == s->call && s->told[0] && s->told[1] && s->told[2])
        s->told_incarnation = s->heard_incarnation;
    s->heard_incarnation = max_i64(s->heard_incarnation, m->dc_incarnation);
    for (int k = 0; k < WINDOWS; k++) {
        struct slot *slot = slot_of(w, m->server, k);
        if (!m->covers[k])
            continue;
        if (w->breakage == BREAK_IDEMPOTENCY || m->call != s->call)
            accept_grant(w, slot, m, k);
        if (m->call != s->call)
            continue;
        (void)slice_apply(&s->slices[k], slot, &m->answers[k]);
        if (s->had_news[k])
            slice_news(&s->slices[k]);
        serve_waiting(w, m->server, k);
        if (!s->alive)
            return;
    }
    if (m->call == s->call)
        s->call = 0;
}

void server_news(struct world *w, const struct message *m)
{
    struct server *s = &w->servers[m->server];

    if (!s->alive)
        return;
    slice_news(&s->slices[m->window]);
    s->had_news[m->window] = true;
    if (m->recall)
        s->report_soon[m->window] = true;
}
