#include "common/domain/judge.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/num.h"

const char *const judge_rule_ids[] = {
#define X(rule, id) id,
    JUDGE_RULES(X)
#undef X
        NULL,
};

static void find(struct judge_verdict *v, struct judge_finding finding)
{
    v->violations++;
    if (v->count < JUDGE_FINDINGS_MAX)
        v->findings[v->count++] = finding;
}

/* Whoever does not have the window may have had it, and purged it. */
static bool is_over(const struct judge_window *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->first[i]->is_over || w->second[i]->is_over)
            return true;
    return false;
}

/*
 * The zeros of an account that is not there in the first reading are never too
 * much.  In the second, they may be too little: unless it never was there.
 */
static bool second_counts(const struct judge_window *w, size_t i)
{
    return w->second[i]->is_known || (!w->first[i]->is_known && !is_over(w));
}

/* The receiver's counter of the first reading, the sender's of the second. */
static void check_received(const struct judge_window *w, size_t from, size_t to,
                           struct judge_verdict *v)
{
    if (from == to || !second_counts(w, from))
        return;
    int64_t received = w->first[to]->received_from[from], sent = w->second[from]->sent_to[to];
    if (received > sent)
        find(v, (struct judge_finding){JUDGE_RECEIVED, (int)from, (int)to, received, sent});
}

/*
 * At most what was spent at the moment between the readings: of each data
 * centre what was consumed before and, if more was refunded until after, not
 * less than nothing, since no server refunds more than was consumed.
 */
static int64_t spent_at_least(const struct judge_window *w)
{
    int64_t spent = 0;

    for (size_t i = 0; i < w->count; i++)
        if (second_counts(w, i))
            spent += max_i64(0, w->first[i]->consumed - w->second[i]->refunded);
    return spent;
}

/* What is in force is at most what was minted until after, less what was burned before.  With what
 * was ever asked for it is compared at one moment, in one account. */
static void check_spent(const struct judge_window *w, size_t home, struct judge_verdict *v)
{
    const struct judge_account *first = w->first[home], *second = w->second[home];

    if (!second_counts(w, home))
        return;
    int64_t spent = spent_at_least(w), in_force = second->minted - first->burned;
    if (spent > in_force)
        find(v, (struct judge_finding){JUDGE_SPENT, (int)home, JUDGE_STRANGER, spent, in_force});
    if (second->minted - second->burned > second->total_max)
        find(v, (struct judge_finding){JUDGE_MINTED, (int)home, JUDGE_STRANGER,
                                       second->minted - second->burned, second->total_max});
}

/* As it is now, or was when it was last there. */
static const struct judge_account *latest(const struct judge_window *w, size_t i)
{
    return w->second[i]->is_known ? w->second[i] : w->first[i];
}

static void check_away(const struct judge_window *w, size_t i, struct judge_verdict *v)
{
    const struct judge_account *a = latest(w, i);

    if (a->is_known && a->home != (int)i && (a->minted > 0 || a->burned > 0))
        find(v, (struct judge_finding){JUDGE_AWAY, (int)i, JUDGE_STRANGER,
                                       max_i64(a->minted, a->burned), 0});
}

struct homes {
    size_t claims;         /* how many say that they are the home */
    size_t home;           /* the last one of them */
    bool is_disputed;      /* two that have the window in use name different ones */
    bool may_be_elsewhere; /* with one that does not have the window, or is not read */
};

static struct homes count_homes(const struct judge_window *w)
{
    struct homes h = {0};
    bool is_named = false;
    int named = JUDGE_STRANGER;

    for (size_t i = 0; i < w->count; i++) {
        const struct judge_account *a = latest(w, i);

        h.may_be_elsewhere =
            h.may_be_elsewhere || !a->is_known || a->home == JUDGE_STRANGER || a->has_strangers;
        if (!a->is_known)
            continue;
        if (a->home == (int)i) {
            h.claims++;
            h.home = i;
        }
        h.is_disputed = h.is_disputed || (is_named && a->home != named);
        named = a->home;
        is_named = true;
    }
    return h;
}

static void check_homes(const struct homes *h, struct judge_verdict *v)
{
    if (h->claims > 1 || (h->claims == 0 && !h->may_be_elsewhere) || h->is_disputed)
        find(v, (struct judge_finding){JUDGE_HOMES, JUDGE_STRANGER, JUDGE_STRANGER,
                                       (int64_t)h->claims, 1});
}

/* Counters only grow: equal at both ends, they were the same all the time between. */
static bool has_moved(const struct judge_account *a, const struct judge_account *b)
{
    return a->is_known != b->is_known || a->minted != b->minted || a->burned != b->burned ||
           a->received != b->received || a->sent != b->sent || a->granted != b->granted ||
           a->returned != b->returned || a->consumed != b->consumed || a->refunded != b->refunded ||
           memcmp(a->sent_to, b->sent_to, sizeof(a->sent_to)) != 0 ||
           memcmp(a->received_from, b->received_from, sizeof(a->received_from)) != 0;
}

static enum judge_sum sum_state(const struct judge_window *w)
{
    bool moved = false;

    for (size_t i = 0; i < w->count; i++) {
        if (w->first[i]->has_strangers || w->second[i]->has_strangers || !second_counts(w, i))
            return JUDGE_SUM_INCOMPLETE;
        moved = moved || has_moved(w->first[i], w->second[i]);
    }
    return moved ? JUDGE_SUM_MOVING : JUDGE_SUM_CHECKED;
}

/* What is free, held by servers and spent: each data centre's own audit tells that these add up to
 * what came and did not leave (its I6). */
static int64_t is_here(const struct judge_account *a)
{
    return a->minted - a->burned + a->received - a->sent;
}

/*
 * Of a window in which nothing moved, the accounts of all data centres are of
 * one moment: the one between the readings.  So what is on the way between
 * them is known exactly, too; it is never less than nothing.
 */
static void check_sum(const struct judge_window *w, struct judge_verdict *v)
{
    int64_t found = 0, made = 0;

    for (size_t i = 0; i < w->count; i++) {
        found += is_here(w->second[i]);
        made += w->second[i]->minted - w->second[i]->burned;
        for (size_t j = 0; j < w->count; j++)
            if (j != i)
                found += max_i64(0, w->second[i]->sent_to[j] - w->second[j]->received_from[i]);
    }
    if (found != made)
        find(v, (struct judge_finding){JUDGE_SUM, JUDGE_STRANGER, JUDGE_STRANGER, found, made});
}

static bool is_partly_known(const struct judge_window *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (!w->second[i]->is_known)
            return true;
    return false;
}

static struct judge_verdict judge_one(const struct judge_window *w)
{
    struct judge_verdict v = {.sum = sum_state(w), .is_partly_known = is_partly_known(w)};
    struct homes homes = count_homes(w);

    for (size_t i = 0; i < w->count; i++)
        for (size_t j = 0; j < w->count; j++)
            check_received(w, i, j, &v);
    /* Without the home, nobody can say how much there is; with two, they must not both be believed.
     */
    if (homes.claims == 1)
        check_spent(w, homes.home, &v);
    for (size_t i = 0; i < w->count; i++)
        check_away(w, i, &v);
    check_homes(&homes, &v);
    if (v.sum == JUDGE_SUM_CHECKED)
        check_sum(w, &v);
    return v;
}

/* How many homes are named; one each in `ret`. */
static size_t find_homes(const struct judge_window *w, int ret[JUDGE_DCS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < w->count; i++) {
        const struct judge_account *a = latest(w, i);
        bool is_new = a->is_known;

        for (size_t k = 0; k < count; k++)
            is_new = is_new && ret[k] != a->home;
        if (is_new)
            ret[count++] = a->home;
    }
    return count;
}

/* The window of those who name this home: the others have nothing of it. */
static struct judge_window part_of(const struct judge_window *w, int home)
{
    static const struct judge_account none = {.is_over = true};
    struct judge_window part = *w;

    for (size_t i = 0; i < w->count; i++)
        if (latest(w, i)->home != home)
            part.first[i] = part.second[i] = &none;
    return part;
}

static void add(struct judge_verdict *v, const struct judge_verdict *part)
{
    for (size_t i = 0; i < part->count; i++)
        find(v, part->findings[i]);
    v->violations += part->violations - (int64_t)part->count;
}

/*
 * Where a cap was defined twice, windows of both definitions may have the same
 * start, are closed, and keep their homes: each is judged for itself.
 */
struct judge_verdict judge_window(const struct judge_window *w)
{
    struct judge_verdict v = {.sum = JUDGE_SUM_INCOMPLETE, .is_partly_known = true};
    int homes[JUDGE_DCS_MAX];

    CHECK(w->count >= 1 && w->count <= JUDGE_DCS_MAX);
    size_t count = find_homes(w, homes);
    if (count <= 1 || !is_over(w))
        return judge_one(w);
    for (size_t k = 0; k < count; k++) {
        const struct judge_window one = part_of(w, homes[k]);
        const struct judge_verdict part = judge_one(&one);

        add(&v, &part);
    }
    return v;
}

int64_t judge_on_the_way(const struct judge_window *w, size_t from, size_t to)
{
    const struct judge_account *sender = w->first[from], *receiver = w->second[to];

    CHECK(from < w->count && to < w->count);
    if (!sender->is_known || !receiver->is_known || sender->home != receiver->home)
        return 0;
    return max_i64(0, sender->sent_to[to] - receiver->received_from[from]);
}
