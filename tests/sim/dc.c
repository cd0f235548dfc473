#include <string.h>

#include "tests/sim/sim.h"

#include "common/domain/cap.h"

static struct pool_context context(const struct world *w, int dc)
{
    struct pool_context ctx = {.now_ms = w->now_ms};

    for (int i = 0; i < w->servers_count; i++)
        for (int k = 0; k < INCARNATIONS && w->servers[i].dc == dc; k++)
            ctx.active_servers += w->dcs[dc].seen_ms[i][k] + SUSPECT_MS > w->now_ms;
    ctx.active_servers = max_i64(ctx.active_servers, 1);
    return ctx;
}

/* The home has minted, and sends each other DC its share: they may be cut off when it opens. */
static void send_shares(struct world *w, int window, int64_t total)
{
    struct dc_window *home = &w->dcs[w->home].windows[window];

    for (int j = 0; j < w->dcs_count; j++) {
        int64_t share = trade_share(total, (size_t)w->dcs_count, (size_t)j);
        share = min_i64(share, pool_free(&home->pool));
        if (j != w->home && share > 0 && !home->pool.in_doubt)
            trade_units(w, w->home, j, window, share);
    }
}

void dc_start(struct world *w)
{
    for (int i = 0; i < WINDOWS; i++) {
        const struct pool like = {
            .topup_ppm = CAP_TOPUP_PPM_DEFAULT,
            .slice_max_ppm = CAP_SLICE_MAX_PPM_DEFAULT * prng_below(&w->prng, 4) + 20000,
            .autonomy_ms = prng_below(&w->prng, 5000),
            .accepts = i * WINDOW_MS <= AHEAD_MS,
        };

        w->totals[i] = prng_below(&w->prng, 400);
        for (int dc = 0; dc < w->dcs_count; dc++) {
            w->dcs[dc].windows[i].pool = like;
            w->dcs[dc].windows[i].pool.home = dc == w->home;
        }
    }
}

void dc_tell_all(struct world *w, int dc, int window, bool recall)
{
    for (int i = 0; i < w->servers_count; i++) {
        const struct message news = {
            .kind = MESSAGE_NEWS, .server = i, .window = window, .recall = recall};
        if (w->servers[i].alive && w->servers[i].dc == dc)
            net_send(w, &news);
    }
}

static void apply(struct world *w, int dc, int window, struct pool_slice *s,
                  const struct pool_topup *t)
{
    w->dcs[dc].windows[window].pool = t->pool;
    *s = t->slice;
    if (t->news != POOL_NO_NEWS)
        dc_tell_all(w, dc, window, t->news == POOL_NEWS_RECALL);
}

/* M1: the mistake that the protocol exists to avoid. */
static void reclaim(struct pool *p, struct pool_slice *s)
{
    int64_t rest = pool_slice_rest(s);

    s->returned += rest;
    p->returned += rest;
}

static void watch_silence(struct world *w, int window, int server, int incarnation)
{
    int dc = w->servers[server].dc;
    struct dc_window *here = &w->dcs[dc].windows[window];
    struct pool_slice *s = &here->slices[server][incarnation];
    int64_t silent_ms = w->now_ms - w->dcs[dc].seen_ms[server][incarnation];

    if (silent_ms < SUSPECT_MS || s->frozen)
        return;
    if (w->breakage == BREAK_RECLAIM)
        reclaim(&here->pool, s);
    struct pool_topup forgotten = pool_forget_wish(&here->pool, s);
    apply(w, dc, window, s, &forgotten);
    if (silent_ms >= PRESUME_MS && s->presumed != pool_slice_rest(s)) {
        struct pool_topup t = pool_presume(&here->pool, s);
        w->was_presumed[window] = true;
        apply(w, dc, window, s, &t);
    }
}

/* The home repeats what a total is until it can be sure that everyone has heard. */
static void announce_total(struct world *w, int window)
{
    const struct dc_window *home = &w->dcs[w->home].windows[window];

    for (int j = 0; j < w->dcs_count; j++) {
        const struct message m = {
            .kind = MESSAGE_TOTAL,
            .from = w->home,
            .to = j,
            .window = window,
            .total = home->pool.requested,
            .total_version = home->total_version,
        };
        bool knows = w->dcs[j].windows[window].total_version == home->total_version;
        if (!knows && chance(w, 2))
            net_send(w, &m);
    }
}

/* The first version has the number 1.  Who misses one never hears of its total. */
static void follow(struct dc_window *here, int64_t total)
{
    here->pool.definition = 1 + here->total_version;
    here->pool = pool_retarget(&here->pool, total);
}

/* All know the definition, and cut the window by themselves; the home mints its units. */
static void cut_window(struct world *w, int dc, int window)
{
    struct dc_window *here = &w->dcs[dc].windows[window];
    bool is_late = dc == w->home && w->breakage == BREAK_MINT_LATE;

    if (here->minted || w->now_ms < (is_late ? (int64_t)window * WINDOW_MS : mint_ms(window)))
        return;
    here->minted = true;
    follow(here, w->totals[window]);
    if (dc == w->home)
        send_shares(w, window, w->totals[window]);
}

/* Later, units of this window are still booked, and nothing is given or granted. */
static void note_end(const struct world *w, struct dc_window *here, int window)
{
    if (here->is_over || w->now_ms < (int64_t)(window + 1) * WINDOW_MS)
        return;
    here->is_over = true;
    here->granted_when_over = here->pool.granted;
    here->sent_when_over = here->pool.sent;
}

static void open_and_close(struct world *w, int dc, int window)
{
    struct pool *p = &w->dcs[dc].windows[window].pool;
    int64_t starts = (int64_t)window * WINDOW_MS;
    bool accepts = w->now_ms >= starts - AHEAD_MS && w->now_ms < starts + WINDOW_MS && !p->paused;

    if (accepts != p->accepts) {
        p->accepts = accepts;
        dc_tell_all(w, dc, window, false);
    }
}

/* Each that the database knows has told all that it holds since the database went back. */
bool dc_servers_have_spoken(const struct world *w, int dc)
{
    const struct dc *d = &w->dcs[dc];
    struct learn_roll roll = {.waited_ms = w->now_ms - d->doubt_since_ms, .learn_ms = LEARN_MS};
    int64_t spoke = 0;

    for (int i = 0; i < w->servers_count; i++)
        for (int k = 0; k < INCARNATIONS && w->servers[i].dc == dc; k++) {
            bool has_spoken = d->heard_in[i][k] == d->incarnation;
            roll.silent += d->seen_ms[i][k] > 0 && !has_spoken;
            spoke += d->seen_ms[i][k] > 0 && has_spoken;
        }
    if (w->breakage == BREAK_HASTE && spoke > 0)
        roll.silent = 0;
    return learn_has_heard(&roll);
}

static bool others_have_answered(const struct world *w, int dc, int window)
{
    const struct dc *d = &w->dcs[dc];

    for (int j = 0; j < w->dcs_count; j++)
        if (j != dc && !trade_has_answered(&d->windows[window].peers[j], d->incarnation))
            return false;
    return true;
}

/* All that could know more has spoken. */
static void trust(struct world *w, int dc, int window)
{
    struct dc_window *here = &w->dcs[dc].windows[window];

    if (!here->pool.in_doubt || !dc_servers_have_spoken(w, dc) ||
        !others_have_answered(w, dc, window))
        return;
    here->pool = pool_trust(&here->pool);
    if (here->pool.in_doubt)
        return;
    w->trusted++;
    dc_tell_all(w, dc, window, /* recall= */ true);
}

void dc_back_up(struct world *w, int dc)
{
    w->backups[dc] = w->dcs[dc];
    w->backed_up_ms[dc] = w->now_ms;
}

/* What is not in the database stays: definitions, which come again, and what the checks note. */
static void restore_window(struct world *w, struct dc_window *here, const struct dc_window *backup)
{
    const struct dc_window before = *here;

    here->pool = backup->pool;
    memcpy(here->slices, backup->slices, sizeof(here->slices));
    memcpy(here->peers, backup->peers, sizeof(here->peers));
    memcpy(here->asked, backup->asked, sizeof(here->asked));
    memcpy(here->versions, backup->versions, sizeof(here->versions));
    here->pool.paused = before.pool.paused;
    here->was_in_doubt = true;
    here->pool.in_doubt = w->breakage != BREAK_FORGET;
    here->pool.requested_max = before.pool.requested_max;
    here->pool.definition = before.pool.definition;
    here->pool = pool_retarget(&here->pool, before.pool.requested);
    w->forgot++;
}

void dc_go_back(struct world *w, int dc)
{
    struct dc *d = &w->dcs[dc];
    const struct dc *backup = &w->backups[dc];

    for (int i = 0; i < WINDOWS; i++)
        restore_window(w, &d->windows[i], &backup->windows[i]);
    memcpy(d->seen_ms, backup->seen_ms, sizeof(d->seen_ms));
    memcpy(d->heard_in, backup->heard_in, sizeof(d->heard_in));
    d->incarnation = backup->incarnation;
    if (w->breakage != BREAK_FORGET)
        d->incarnation = learn_next_incarnation(d->incarnation, /* heard= */ w->incarnations,
                                                prng_next(&w->prng));
    w->incarnations = d->incarnation;
    d->doubt_since_ms = w->now_ms;
}

void dc_tick(struct world *w, int dc)
{
    for (int i = 0; i < WINDOWS; i++) {
        cut_window(w, dc, i);
        open_and_close(w, dc, i);
        note_end(w, &w->dcs[dc].windows[i], i);
        trust(w, dc, i);
        for (int s = 0; s < w->servers_count; s++)
            for (int k = 0; k <= w->servers[s].incarnation && w->servers[s].dc == dc; k++)
                watch_silence(w, i, s, k);
        if (dc == w->home)
            announce_total(w, i);
    }
    trade_tick(w, dc);
}

void dc_topup(struct world *w, const struct message *request)
{
    int dc = w->servers[request->server].dc;
    struct message answer = *request;
    struct pool_context ctx;

    w->dcs[dc].seen_ms[request->server][request->incarnation] = w->now_ms;
    ctx = context(w, dc);
    answer.kind = MESSAGE_ANSWER;
    answer.dc_incarnation = w->dcs[dc].incarnation;
    for (int i = 0; i < WINDOWS; i++) {
        struct dc_window *here = &w->dcs[dc].windows[i];
        struct pool_slice *s = &here->slices[request->server][request->incarnation];
        if (!request->covers[i])
            continue;
        struct pool_topup t = pool_topup(&here->pool, s, &request->reports[i], &ctx);
        SIM_CHECK(w, !t.is_forgotten || w->breakage != BREAK_NOTHING);
        apply(w, dc, i, s, &t);
        answer.answers[i] = t.answer;
        trade_left_short(w, dc, i);
        if (t.answer.state == POOL_USED_UP)
            check_used_up(w, i, 1 + pool_slice_rest(&t.slice));
    }
    if (request->dc_incarnation == w->dcs[dc].incarnation || w->breakage == BREAK_NO_FENCE)
        w->dcs[dc].heard_in[request->server][request->incarnation] = w->dcs[dc].incarnation;
    net_send(w, &answer);
}

void dc_retarget(struct world *w, int window, int64_t requested)
{
    struct dc_window *home = &w->dcs[w->home].windows[window];
    int64_t raised = max_i64(requested - home->pool.requested, 0);

    home->total_version++;
    follow(home, requested);
    send_shares(w, window, raised);
    dc_tell_all(w, w->home, window, pool_pending(&home->pool) > 0);
}

void dc_learn_total(struct world *w, const struct message *m)
{
    struct dc_window *here = &w->dcs[m->to].windows[m->window];
    bool lowered = m->total < here->pool.requested;

    if (m->total_version <= here->total_version)
        return;
    here->total_version = m->total_version;
    if (here->is_over)
        return;
    follow(here, m->total);

    if (lowered)
        trade_send_home(w, m->to, m->window);
    dc_tell_all(w, m->to, m->window, false);
}

void dc_pause(struct world *w, int window, bool paused)
{
    for (int dc = 0; dc < w->dcs_count; dc++) {
        w->dcs[dc].windows[window].pool.paused = paused;
        open_and_close(w, dc, window);
    }
}
