#include "tests/sim/sim.h"

static void enqueue(struct world *w, const struct message *m, int64_t delay_ms)
{
    SIM_CHECK(w, w->messages_count < MESSAGES_MAX);
    struct message *queued = &w->messages[w->messages_count++];

    *queued = *m;
    queued->deliver_at_ms = w->now_ms + delay_ms;
}

static bool is_between_dcs(const struct message *m)
{
    return m->kind == MESSAGE_ROW || m->kind == MESSAGE_TOTAL;
}

/* Now and then so late that the window is over. */
static int64_t delay(struct world *w, const struct message *m)
{
    if (w->faults && is_between_dcs(m) && prng_below(&w->prng, 1000) < 5)
        return WINDOW_MS + prng_below(&w->prng, 2 * WINDOW_MS);
    if (w->faults && chance(w, 10))
        return 100 + prng_below(&w->prng, 2000);
    return 1 + prng_below(&w->prng, 10);
}

bool net_is_cut(const struct world *w, int from, int to)
{
    bool flaps = w->now_ms < w->flap_until_ms[from][to] && w->now_ms / 100 % 2 == 0;

    return flaps || w->now_ms < w->cut_until_ms[from][to];
}

void net_wipe(struct world *w, int dc)
{
    size_t kept = 0;

    for (size_t i = 0; i < w->messages_count; i++)
        if (!is_between_dcs(&w->messages[i]) || w->messages[i].to != dc)
            w->messages[kept++] = w->messages[i];
    w->messages_count = kept;
}

void net_send(struct world *w, const struct message *m)
{
    if (is_between_dcs(m) && net_is_cut(w, m->from, m->to))
        return;
    /* The watch resumes where it was cut: its news are late, never lost. */
    if (m->kind != MESSAGE_NEWS && w->faults && chance(w, 10))
        return;
    enqueue(w, m, delay(w, m));
    if (m->kind != MESSAGE_NEWS && w->faults && chance(w, 10))
        enqueue(w, m, delay(w, m));
}

static void handle(struct world *w, const struct message *m)
{
    switch (m->kind) {
    case MESSAGE_TOPUP: dc_topup(w, m); break;
    case MESSAGE_ANSWER: server_answer(w, m); break;
    case MESSAGE_NEWS: server_news(w, m); break;
    case MESSAGE_ROW: trade_row_arrives(w, m); break;
    case MESSAGE_TOTAL: dc_learn_total(w, m); break;
    }
}

void net_deliver(struct world *w)
{
    for (size_t i = 0; i < w->messages_count;) {
        if (w->messages[i].deliver_at_ms > w->now_ms) {
            i++;
            continue;
        }
        struct message m = w->messages[i];
        w->messages[i] = w->messages[--w->messages_count];
        handle(w, &m);
    }
}
