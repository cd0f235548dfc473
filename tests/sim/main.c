/*
 * ./run sim: many seeds, each a run of three windows of twenty seconds, in one
 * data centre or several.
 *
 * For most of a run everything goes wrong; in the last part of the last window
 * nothing does.  At first nobody asks, and units must come to rest; then one
 * server sees all the demand, and every unit that no lost host holds must get
 * spent.  Or all servers are asked for many units at once: then there must not
 * be as many left, however they lie.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clk.h"
#include "common/base/num.h"
#include "tests/sim/sim.h"

#define END_MS (WINDOWS * WINDOW_MS - 10)
#define QUIET_MS (END_MS - 14000)      /* from here on nothing fails */
#define CALM_UNTIL_MS (END_MS - 10000) /* and until here nobody asks for anything */
#define CALM_DOWN_MS 2000              /* after that, units should have come to rest */
#define SETTLE_MS 1500                 /* before the end, for the last reports */

bool chance(struct world *w, int64_t percent)
{
    return prng_below(&w->prng, 100) < percent;
}

int window_at(int64_t now_ms)
{
    return now_ms < (int64_t)WINDOWS * WINDOW_MS ? (int)(now_ms / WINDOW_MS) : -1;
}

static void change_total(struct world *w)
{
    int window = (int)prng_below(&w->prng, WINDOWS);

    if (w->now_ms < (window + 1) * WINDOW_MS && w->dcs[w->home].windows[window].minted)
        dc_retarget(w, window, prng_below(&w->prng, 400));
}

/* Often over the next boundary, so that a window opens while they are apart. */
static int64_t cut_until(struct world *w)
{
    int64_t boundary = (w->now_ms / WINDOW_MS + 1) * WINDOW_MS;

    return chance(w, 30) ? boundary + prng_below(&w->prng, 3000)
                         : w->now_ms + prng_below(&w->prng, 12000);
}

enum way { WAY_IN = 1, WAY_OUT = 2, WAY_BOTH = 3 };

static void isolate(struct world *w, int dc, enum way way, int64_t (*until)[DCS_MAX])
{
    int64_t until_ms = cut_until(w);

    for (int j = 0; j < w->dcs_count; j++) {
        until[dc][j] = way & WAY_OUT ? until_ms : until[dc][j];
        until[j][dc] = way & WAY_IN ? until_ms : until[j][dc];
    }
}

/* Each hears only the one before it. */
static void cut_to_ring(struct world *w)
{
    int64_t until_ms = cut_until(w);

    for (int i = 0; i < w->dcs_count; i++)
        for (int j = 0; j < w->dcs_count; j++)
            if (j != (i + 1) % w->dcs_count)
                w->cut_until_ms[i][j] = until_ms;
}

static void cut(struct world *w)
{
    int a = (int)prng_below(&w->prng, w->dcs_count), b = (int)prng_below(&w->prng, w->dcs_count);
    int64_t until_ms = cut_until(w);
    enum way way = (enum way)(1 + prng_below(&w->prng, WAY_BOTH));

    switch (prng_below(&w->prng, 7)) {
    case 0: w->cut_until_ms[a][b] = until_ms; break;
    case 1: w->cut_until_ms[a][b] = w->cut_until_ms[b][a] = until_ms; break;
    case 2: isolate(w, a, way, w->cut_until_ms); break;
    case 3: isolate(w, a, way, w->flap_until_ms); break;
    case 4: cut_to_ring(w); break;
    case 5: net_wipe(w, a); break;
    default: /* with its broker, which comes back empty */
        net_wipe(w, a);
        isolate(w, a, WAY_BOTH, w->cut_until_ms);
    }
}

int64_t mint_ms(int window)
{
    return max_i64(window - 1, 0) * WINDOW_MS;
}

/* Who could hear the home in time for its share; and often the home is away when it mints. */
static void watch_shares(struct world *w, int64_t passed_ms)
{
    for (int i = 1; i < WINDOWS; i++) {
        int64_t mint = mint_ms(i), opening = i * WINDOW_MS, before = w->now_ms - passed_ms;

        if (w->faults && before < mint && w->now_ms >= mint && chance(w, 30))
            isolate(w, w->home, WAY_BOTH, w->cut_until_ms);
        for (int dc = 0; dc < w->dcs_count && before < opening && w->now_ms >= mint; dc++) {
            int64_t *reach_ms = &w->reach_ms[dc][i];
            *reach_ms = net_is_cut(w, w->home, dc) ? 0 : *reach_ms + passed_ms;
            w->reached[dc][i] = w->reached[dc][i] || *reach_ms >= REACH_MS;
            if (w->now_ms >= opening)
                check_opening(w, dc, i);
        }
    }
}

static void some_fault(struct world *w)
{
    int i = (int)prng_below(&w->prng, w->servers_count);

    switch (prng_below(&w->prng, w->strict ? 2 : 5)) {
    case 0: server_kill(w, i, prng_below(&w->prng, SUSPECT_MS)); break;
    case 1: cut(w); break;
    case 2: server_lose_host(w, i); break;
    case 3: change_total(w); break;
    default: dc_pause(w, (int)prng_below(&w->prng, WINDOWS), chance(w, 30));
    }
}

/* Nobody who could have been granted anything since then is unknown to it. */
static bool knows_all_servers(const struct world *w, int dc)
{
    for (int i = 0; i < w->servers_count; i++)
        for (int k = 0; k < INCARNATIONS; k++)
            if (w->dcs[dc].seen_ms[i][k] > 0 && w->backups[dc].seen_ms[i][k] == 0)
                return false;
    return true;
}

static bool is_any_in_doubt(const struct world *w)
{
    bool is_any = false;

    for (int i = 0; i < WINDOWS; i++)
        is_any |= is_in_doubt(w, i);
    return is_any;
}

/* Of several that forget at once, more than two may forget the same (docs/PROTOCOL.md). */
static bool may_go_back(const struct world *w, int dc)
{
    return w->backed_up_ms[dc] > 0 && (w->dcs_count <= 2 || !is_any_in_doubt(w)) &&
           knows_all_servers(w, dc);
}

static void forget(struct world *w)
{
    int dc = (int)prng_below(&w->prng, w->dcs_count);

    if (prng_below(&w->prng, 1000) < 5)
        dc_back_up(w, dc);
    if (prng_below(&w->prng, 2000) >= 1 || !may_go_back(w, dc))
        return;
    w->forgot_together |= is_any_in_doubt(w);
    dc_go_back(w, dc);
}

static void some_demand(struct world *w)
{
    enum consume_mode mode = (enum consume_mode)prng_below(&w->prng, 3);
    /* Some servers are asked much more than others. */
    int64_t n = w->servers_count;
    int i = (int)(prng_below(&w->prng, n) * prng_below(&w->prng, n) / n);

    server_consume(w, i, 1 + prng_below(&w->prng, 6), mode);
    if (!w->strict && chance(w, 2))
        server_refund(w, i, 1 + prng_below(&w->prng, 3));
}

/*
 * One server is asked for every unit; or all of them for many units at once:
 * for as many each, until they are there, or for more or less, again and again.
 */
static void last_demand(struct world *w)
{
    int asking = w->last_wish == 1 ? 1 : w->servers_count;

    for (int i = 0; i < asking; i++)
        server_consume(w, i, w->last_wish * (w->is_patient ? 1 : 1 + prng_below(&w->prng, 3)),
                       CONSUME_ALL);
}

static void heal(struct world *w)
{
    w->faults = false;
    for (int i = 0; i < WINDOWS; i++)
        dc_pause(w, i, false);
    memset(w->cut_until_ms, 0, sizeof(w->cut_until_ms));
    memset(w->flap_until_ms, 0, sizeof(w->flap_until_ms));
    for (int i = 0; i < w->servers_count; i++)
        w->servers[i].down_until_ms = min_i64(w->servers[i].down_until_ms, w->now_ms);
}

/*
 * Where nobody asks, no unit is handed to and fro: those who gave up, or came
 * back and would like a first slice, may cause a gift of each DC, once.
 */
static void check_calm(struct world *w)
{
    if (!w->is_calm)
        w->gifts_in_calm = 0;
    SIM_CHECK(w, w->gifts_in_calm <= w->servers_count * w->dcs_count);
}

static void step(struct world *w)
{
    int64_t passed_ms = 1 + prng_below(&w->prng, 8);

    w->now_ms += passed_ms;
    w->is_calm = w->now_ms >= QUIET_MS + CALM_DOWN_MS && w->now_ms < CALM_UNTIL_MS;
    if (w->faults && w->now_ms >= QUIET_MS)
        heal(w);
    net_deliver(w);
    for (int i = 0; i < w->dcs_count; i++)
        dc_tick(w, i);
    watch_shares(w, passed_ms);
    for (int i = 0; i < w->servers_count; i++)
        if (!w->faults || chance(w, 70))
            server_tick(w, i);
    if (w->faults && chance(w, 30))
        some_demand(w);
    if (!w->faults && w->now_ms >= CALM_UNTIL_MS && w->now_ms < END_MS - SETTLE_MS)
        last_demand(w);
    check_calm(w);
    if (w->now_ms > QUIET_MS + CALM_DOWN_MS)
        check_flow(w, WINDOWS - 1);
    if (w->faults && prng_below(&w->prng, 1000) < 2)
        some_fault(w);
    if (w->faults && w->forgets)
        forget(w);
    check_world(w);
}

struct options {
    int64_t first, count, dcs;
    enum breakage breakage;
};

static void simulate(uint64_t seed, const struct options *o, struct world *w)
{
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->prng.state = seed;
    w->breakage = o->breakage;
    w->faults = true;
    w->strict = seed % 2 == 0;
    w->forgets = seed % 4 >= 2;
    w->last_wish = seed % 8 >= 4 ? 1 + prng_below(&w->prng, 60) : 1;
    w->is_patient = seed % 16 >= 12;
    w->dcs_count = (int)o->dcs;
    w->home = (int)prng_below(&w->prng, w->dcs_count);
    w->servers_count = w->dcs_count == 1 ? 6 : 2 * w->dcs_count;
    dc_start(w);
    for (int i = 0; i < w->servers_count; i++) {
        w->servers[i].dc = i % w->dcs_count;
        server_start(w, i);
    }
    while (w->now_ms < END_MS)
        step(w);
    check_healed(w, WINDOWS - 1);
}

static int usage(FILE *out, int status)
{
    (void)fprintf(out, "usage: sim [--dcs N] [--seeds N] [--seed S] [--break RULE]\n"
                       "  --dcs N       data centres, 1 to 10 (default 1)\n"
                       "  --seeds N     run N seeds from 0 (default 100)\n"
                       "  --seed S      run only seed S\n"
                       "  --break RULE  break a rule on purpose; exits 1 when that is noticed:\n"
                       "               ");
#define X(kind, name)                                                                              \
    if (kind != BREAK_NOTHING)                                                                     \
        (void)fprintf(out, " " name);
    BREAKS(X)
#undef X
    (void)fprintf(out, "\n");
    return status;
}

static bool find_break(const char *name, enum breakage *ret)
{
#define X(kind, text)                                                                              \
    if (strcmp(name, text) == 0) {                                                                 \
        *ret = kind;                                                                               \
        return true;                                                                               \
    }
    BREAKS(X)
#undef X
    return false;
}

static bool parse(int argc, char **argv, struct options *o)
{
    struct err e;

    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--seeds") == 0) {
            if (!num_parse_i64(value, 1, INT64_C(1000000000), &o->count, &e))
                return false;
        } else if (strcmp(argv[i], "--dcs") == 0) {
            if (!num_parse_i64(value, 1, DCS_MAX, &o->dcs, &e))
                return false;
        } else if (strcmp(argv[i], "--seed") == 0) {
            if (!num_parse_i64(value, 0, UNITS_MAX, &o->first, &e))
                return false;
            o->count = 1;
        } else if (strcmp(argv[i], "--break") != 0 || !find_break(value, &o->breakage)) {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options o = {.count = 100, .dcs = 1};
    int64_t used_up = 0, unreachable = 0, yes = 0, traded = 0, forgot = 0, trusted = 0,
            told_ms = clk_now_ms();

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, 0);
    if (!parse(argc, argv, &o))
        return usage(stderr, 2);

    struct world *w = malloc(sizeof(*w));
    if (!w)
        return 1;
    for (int64_t seed = o.first; seed < o.first + o.count; seed++) {
        simulate((uint64_t)seed, &o, w);
        traded += w->traded;
        forgot += w->forgot;
        trusted += w->trusted;
        used_up += w->refused_used_up;
        unreachable += w->refused_unreachable;
        for (int i = 0; i < WINDOWS; i++)
            yes += w->yes[i];
        if (clk_now_ms() - told_ms > 5000) {
            told_ms = clk_now_ms();
            printf("sim: %lld of %lld seeds\n", (long long)(seed - o.first + 1),
                   (long long)o.count);
            (void)fflush(stdout);
        }
    }
    free(w);
    printf("sim: %lld seeds, %lld units spent, %lld traded, refused: %lld used up, %lld "
           "unreachable; %lld windows forgotten, %lld learned again; no unit made, none lost\n",
           (long long)o.count, (long long)yes, (long long)traded, (long long)used_up,
           (long long)unreachable, (long long)forgot, (long long)trusted);
    return 0;
}
