#include "tests/sim/sim.h"

static void enqueue(struct world *w, const struct message *m, int64_t delay_ms)
{
    SIM_CHECK(w, w->messages_count < MESSAGES_MAX);
    struct message *queued = &w->messages[w->messages_count++];

    *queued = *m;
    queued->deliver_at_ms = w->now_ms + delay_ms;
}

static int64_t delay(struct world *w)
{
    if (w->faults && chance(w, 10))
        return 100 + prng_below(&w->prng, 2000);
    return 1 + prng_below(&w->prng, 10);
}

static bool is_between_dcs(const struct message *m)
{
    return m->kind == MESSAGE_ROW || m->kind == MESSAGE_TOTAL;
}

void net_send(struct world *w, const struct message *m)
{
    if (is_between_dcs(m) && w->now_ms < w->cut_until_ms[m->from][m->to])
        return;
    /* The watch resumes where it was cut: its news are late, never lost. */
    if (m->kind != MESSAGE_NEWS && w->faults && chance(w, 10))
        return;
    enqueue(w, m, delay(w));
    if (m->kind != MESSAGE_NEWS && w->faults && chance(w, 10))
        enqueue(w, m, delay(w));
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
