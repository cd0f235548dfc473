#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "common/base/prng.h"
#include "common/domain/judge.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DCS 3

/* Three data centres; the first is the home. */
struct books {
    struct judge_account first[DCS], second[DCS];
};

static void send_units(struct judge_account *dcs, int from, int to, int64_t n)
{
    dcs[from].sent += n;
    dcs[from].sent_to[to] += n;
}

static void receive(struct judge_account *dcs, int from, int to, int64_t n)
{
    dcs[to].received += n;
    dcs[to].received_from[from] += n;
}

/* A window of 90: each has 30; the home has spent 5 of 10 granted, and 4 are on their way to 2. */
static struct books at_rest(void)
{
    struct books b = {0};
    struct judge_account *dcs = b.first;

    for (int i = 0; i < DCS; i++)
        dcs[i] = (struct judge_account){.is_known = true, .total_max = 90};
    dcs[0].minted = 90;
    for (int i = 1; i < DCS; i++) {
        send_units(dcs, 0, i, 30);
        receive(dcs, 0, i, 30);
    }
    dcs[0].granted = 10;
    dcs[0].consumed = 6;
    dcs[0].refunded = 1;
    send_units(dcs, 1, 2, 4);
    memcpy(b.second, b.first, sizeof(b.second));
    return b;
}

static struct judge_window window_of(const struct books *b)
{
    struct judge_window w = {.count = DCS};

    for (int i = 0; i < DCS; i++) {
        w.first[i] = &b->first[i];
        w.second[i] = &b->second[i];
    }
    return w;
}

static struct judge_verdict judge(const struct books *b)
{
    const struct judge_window w = window_of(b);

    return judge_window(&w);
}

static void in_both(struct books *b, void (*damage)(struct judge_account *dcs))
{
    damage(b->first);
    damage(b->second);
}

static const struct judge_account nothing = {.home = JUDGE_STRANGER};

Test(judge, what_adds_up_is_clean)
{
    const struct books b = at_rest();
    const struct judge_window w = window_of(&b);
    const struct judge_verdict v = judge(&b);

    cr_expect_eq(v.violations, 0);
    cr_expect_eq(v.sum, JUDGE_SUM_CHECKED);
    cr_expect(!v.is_partly_known);
    cr_expect_eq(judge_on_the_way(&w, 1, 2), 4);
    cr_expect_eq(judge_on_the_way(&w, 2, 1), 0);
    cr_expect_eq(judge_on_the_way(&w, 0, 1), 0);
}

/* Two that could not hear each other defined the same id: 0 and 1 have its window, 2 its own. */
static void defined_twice(struct judge_account *dcs)
{
    for (int i = 0; i < DCS; i++)
        dcs[i].is_over = true;
    dcs[1].received = dcs[1].sent = dcs[1].received_from[0] = dcs[1].sent_to[2] = 30;
    dcs[0].sent = dcs[0].sent_to[1] = 30;
    dcs[2] = (struct judge_account){
        .is_known = true, .is_over = true, .home = 2, .total_max = 50, .minted = 50, .sent = 20};
    dcs[2].sent_to[0] = 20;
}

Test(judge, windows_of_one_start_and_two_homes_are_judged_apart_when_they_are_over)
{
    struct books b = at_rest();
    const struct judge_window w = window_of(&b);

    in_both(&b, defined_twice);
    cr_expect_eq(judge(&b).violations, 0);
    cr_expect_eq(judge(&b).sum, JUDGE_SUM_INCOMPLETE);
    cr_expect_eq(judge_on_the_way(&w, 1, 2), 0);
    cr_expect_eq(judge_on_the_way(&w, 2, 0), 0);
    b.first[2].minted = b.second[2].minted = 51;
    cr_expect_eq(judge(&b).violations, 1);
    b.first[0].is_over = b.second[0].is_over = false;
    b.first[1].is_over = b.second[1].is_over = false;
    b.first[2].is_over = b.second[2].is_over = false;
    cr_expect_geq(judge(&b).violations, 1);
}

/* ---- each rule, broken on purpose */

static void receive_too_much(struct judge_account *dcs)
{
    receive(dcs, 1, 2, 5);
}

static void send_less(struct judge_account *dcs)
{
    send_units(dcs, 0, 1, -1);
}

static void receive_from_nobody(struct judge_account *dcs)
{
    receive(dcs, 2, 0, 1);
}

static void spend_too_much(struct judge_account *dcs)
{
    dcs[2].granted = dcs[2].consumed = 86;
}

static void mint_too_much(struct judge_account *dcs)
{
    dcs[0].minted = 91;
}

static void burn_too_little(struct judge_account *dcs)
{
    dcs[0].minted = 100;
    dcs[0].burned = 9;
}

static void lose_what_was_sent(struct judge_account *dcs)
{
    dcs[0].sent += 3;
}

static void make_out_of_nothing(struct judge_account *dcs)
{
    dcs[1].received += 3;
}

static void mint_away(struct judge_account *dcs)
{
    dcs[2].minted = 1;
}

static void burn_away(struct judge_account *dcs)
{
    dcs[1].minted = dcs[1].burned = 1;
}

static void two_homes(struct judge_account *dcs)
{
    dcs[1].home = 1;
}

static void no_home(struct judge_account *dcs)
{
    dcs[0].home = 1;
    dcs[0].minted = 0;
}

static void another_home(struct judge_account *dcs)
{
    dcs[2].home = 1;
}

static void spend_unknown(struct judge_account *dcs)
{
    dcs[0] = nothing;
}

static const struct {
    const char *name; /* reads as a claim */
    void (*damage)(struct judge_account *dcs);
    enum judge_rule rule;
} broken[] = {
    {"more was received than sent", receive_too_much, JUDGE_RECEIVED},
    {"a sender forgot", send_less, JUDGE_RECEIVED},
    {"something came that nobody sent", receive_from_nobody, JUDGE_RECEIVED},
    {"something came from one that does not have the window", spend_unknown, JUDGE_RECEIVED},
    {"more was spent than is in force", spend_too_much, JUDGE_SPENT},
    {"more was minted than asked for", mint_too_much, JUDGE_MINTED},
    {"less was burned than should be", burn_too_little, JUDGE_MINTED},
    {"units left and are on no way", lose_what_was_sent, JUDGE_SUM},
    {"units came from no way", make_out_of_nothing, JUDGE_SUM},
    {"units that were received twice are too many", receive_too_much, JUDGE_SUM},
    {"somebody else minted", mint_away, JUDGE_AWAY},
    {"somebody else burned", burn_away, JUDGE_AWAY},
    {"two are the home", two_homes, JUDGE_HOMES},
    {"nobody is the home", no_home, JUDGE_HOMES},
    {"different homes are named", another_home, JUDGE_HOMES},
};

static bool finds(const struct judge_verdict *v, enum judge_rule rule)
{
    for (size_t i = 0; i < v->count; i++)
        if (v->findings[i].rule == rule)
            return true;
    return false;
}

Test(judge, what_is_broken_is_found)
{
    for (size_t i = 0; i < COUNT(broken); i++) {
        struct books b = at_rest();

        in_both(&b, broken[i].damage);
        const struct judge_verdict v = judge(&b);
        cr_expect(finds(&v, broken[i].rule), "%s", broken[i].name);
    }
}

Test(judge, what_was_spent_and_refunded_here_meanwhile_hides_nothing_there)
{
    struct books b = at_rest();

    in_both(&b, spend_too_much);
    b.second[1].granted = b.second[1].consumed = b.second[1].refunded = 20;
    const struct judge_verdict v = judge(&b);
    cr_expect(finds(&v, JUDGE_SPENT));
}

Test(judge, a_finding_says_who_and_how_much)
{
    struct books b = at_rest();

    in_both(&b, receive_too_much);
    const struct judge_verdict v = judge(&b);
    cr_assert_eq(v.findings[0].rule, JUDGE_RECEIVED);
    cr_expect_eq(v.findings[0].from, 1);
    cr_expect_eq(v.findings[0].to, 2);
    cr_expect_eq(v.findings[0].found, 5);
    cr_expect_eq(v.findings[0].due, 4);
}

static void break_everything(struct judge_account *dcs)
{
    for (int i = 0; i < DCS; i++) {
        dcs[i].home = (i + 1) % DCS;
        dcs[i].minted = 1;
        for (int j = 0; j < DCS; j++)
            if (i != j)
                receive(dcs, i, j, 100);
    }
}

Test(judge, what_there_is_no_room_for_is_counted)
{
    struct books b = at_rest();

    in_both(&b, break_everything);
    const struct judge_verdict v = judge(&b);
    cr_expect_eq(v.count, JUDGE_FINDINGS_MAX);
    cr_expect_eq(v.violations, 6 + 1 + 3 + 1, "received, sum, away and home");
}

/* ---- what happens between the readings is no false alarm */

static void transfer(struct judge_account *dcs)
{
    send_units(dcs, 0, 1, 20);
    receive(dcs, 0, 1, 20);
}

static void arrive(struct judge_account *dcs)
{
    receive(dcs, 1, 2, 4);
}

static void move(struct judge_account *dcs, int from, int to, int64_t n)
{
    send_units(dcs, from, to, n);
    receive(dcs, from, to, n);
}

static void refund_and_spend_elsewhere(struct judge_account *dcs)
{
    dcs[0].refunded += 20;
    dcs[0].returned += 20;
    move(dcs, 0, 1, 20);
    dcs[1].granted += 20;
    dcs[1].consumed += 20;
}

static void refund_and_burn_at_home(struct judge_account *dcs)
{
    dcs[2].refunded += 20;
    dcs[2].returned += 20;
    move(dcs, 2, 0, 20);
    dcs[0].burned += 20;
}

static void mint_and_spend_elsewhere(struct judge_account *dcs)
{
    dcs[0].minted += 500;
    dcs[0].total_max += 500;
    move(dcs, 0, 2, 500);
    dcs[2].granted += 500;
    dcs[2].consumed += 500;
}

/* As at_rest(), but all that there is has been spent. */
static struct books all_spent(void)
{
    struct books b = at_rest();

    arrive(b.first);
    for (int i = 0; i < DCS; i++) {
        struct judge_account *a = &b.first[i];

        a->granted = a->minted + a->received - a->sent;
        a->consumed = a->granted + a->refunded;
    }
    memcpy(b.second, b.first, sizeof(b.second));
    return b;
}

static const struct {
    const char *name; /* reads as a claim */
    struct books (*before)(void);
    void (*change)(struct judge_account *dcs);
} changes[] = {
    {"units that travel", at_rest, transfer},
    {"units that arrive", at_rest, arrive},
    {"units that are refunded here and spent there", all_spent, refund_and_spend_elsewhere},
    {"units that are refunded here and burned there", all_spent, refund_and_burn_at_home},
    {"units that are minted here and spent there", all_spent, mint_and_spend_elsewhere},
};

/*
 * A change happens while the first reading is under way (`late` is all), or
 * the second (`early` is none): each data centre is read before or after it,
 * in every combination.
 */
static void expect_no_violation(size_t change, unsigned early, unsigned late)
{
    const struct books before = changes[change].before();
    struct books after = before, b = before;

    changes[change].change(after.first);
    for (int dc = 0; dc < DCS; dc++) {
        if (early & (1U << dc))
            b.first[dc] = after.first[dc];
        if (late & (1U << dc))
            b.second[dc] = after.first[dc];
    }
    const struct judge_verdict v = judge(&b);
    cr_expect_eq(v.violations, 0, "%s: early %u, late %u", changes[change].name, early, late);
}

Test(judge, what_changes_between_the_readings_is_no_violation)
{
    const unsigned all = (1U << DCS) - 1;

    for (size_t i = 0; i < COUNT(changes); i++)
        for (unsigned some = 0; some <= all; some++) {
            expect_no_violation(i, some, all);
            expect_no_violation(i, 0, some);
        }
}

/* A simulated world: steps at random, each data centre is read at a moment of its own. */
struct world {
    struct prng prng;
    struct judge_account dcs[DCS];
    struct books books;
};

static int64_t below(struct world *w, int64_t n)
{
    return prng_below(&w->prng, n);
}

static int64_t free_of(const struct judge_account *a)
{
    return a->minted - a->burned + a->received - a->sent - a->granted + a->returned;
}

static void take_step(struct world *w)
{
    int i = (int)below(w, DCS), j = (int)((i + 1 + below(w, DCS - 1)) % DCS);
    struct judge_account *a = &w->dcs[i];
    int64_t rest = a->granted - a->returned - a->consumed + a->refunded;

    switch (below(w, 7)) {
    case 0: send_units(w->dcs, i, j, below(w, free_of(a) + 1)); break;
    case 1: receive(w->dcs, j, i, w->dcs[j].sent_to[i] - a->received_from[j]); break;
    case 2: a->granted += below(w, free_of(a) + 1); break;
    case 3: a->returned += below(w, rest + 1); break;
    case 4: a->consumed += rest; break;
    case 5: a->refunded += below(w, a->consumed - a->refunded + 1); break;
    default:
        w->dcs[0].burned += below(w, free_of(&w->dcs[0]) + 1);
        w->dcs[0].minted = w->dcs[0].burned + 90;
    }
}

static void read_all(struct world *w, struct judge_account *ret)
{
    for (int i = 0; i < DCS; i++) {
        for (int64_t n = below(w, 6); n > 0; n--)
            take_step(w);
        ret[i] = w->dcs[i];
    }
}

Test(judge, whatever_happens_meanwhile_is_no_violation)
{
    struct world w = {.prng.state = 20261125};
    int64_t checked = 0, moving = 0;

    memcpy(w.dcs, at_rest().first, sizeof(w.dcs));
    for (int round = 0; round < 20000; round++) {
        read_all(&w, w.books.first);
        read_all(&w, w.books.second);
        const struct judge_verdict v = judge(&w.books);
        cr_assert_eq(v.violations, 0, "round %d: rule %s", round,
                     judge_rule_ids[v.findings[0].rule]);
        checked += v.sum == JUDGE_SUM_CHECKED;
        moving += v.sum == JUDGE_SUM_MOVING;
    }
    cr_expect_gt(checked, 0);
    cr_expect_gt(moving, 0);
}

/* ---- windows that not everybody has */

Test(judge, who_has_not_heard_of_a_window_yet_has_nothing_of_it)
{
    struct books b = at_rest();

    b.first[2] = b.second[2] = nothing;
    for (int i = 0; i < 2; i++)
        b.first[i].is_over = b.second[i].is_over = false;
    const struct judge_window w = window_of(&b);
    const struct judge_verdict v = judge(&b);

    cr_expect_eq(v.violations, 0);
    cr_expect_eq(v.sum, JUDGE_SUM_CHECKED, "what was sent to it is on its way");
    cr_expect(v.is_partly_known);
    cr_expect_eq(judge_on_the_way(&w, 0, 2), 0, "and cannot arrive yet");
}

Test(judge, a_window_that_is_heard_of_between_the_readings_moves)
{
    struct books b = at_rest();

    b.first[2] = nothing;
    const struct judge_verdict v = judge(&b);
    cr_expect_eq(v.violations, 0);
    cr_expect_eq(v.sum, JUDGE_SUM_MOVING);
}

/* Its refunds, too, are not known any more: they may have been spent elsewhere. */
Test(judge, nothing_is_concluded_from_what_was_purged)
{
    for (int gone = 0; gone < DCS; gone++)
        for (int read = 0; read < 2; read++) {
            struct books b = all_spent();
            const int other = gone == 1 ? 2 : 1;

            b.first[other].consumed += 20;
            b.second[other].consumed += 20;

            for (int i = 0; i < DCS; i++)
                b.first[i].is_over = b.second[i].is_over = true;
            b.second[gone] = nothing;
            if (read == 0)
                b.first[gone] = nothing;
            const struct judge_verdict v = judge(&b);
            cr_expect_eq(v.violations, 0, "gone %d", gone);
            cr_expect_eq(v.sum, JUDGE_SUM_INCOMPLETE, "gone %d", gone);
            cr_expect(v.is_partly_known);
        }
}

Test(judge, what_is_left_of_a_purged_window_is_still_judged)
{
    struct books b = at_rest();

    for (int i = 0; i < DCS; i++)
        b.first[i].is_over = b.second[i].is_over = true;
    in_both(&b, receive_too_much);
    b.first[0] = b.second[0] = nothing;
    const struct judge_verdict v = judge(&b);
    cr_expect(finds(&v, JUDGE_RECEIVED));
}

Test(judge, of_what_is_over_names_of_homes_may_differ)
{
    struct books b = at_rest();

    in_both(&b, another_home);
    b.first[2].is_over = b.second[2].is_over = true;
    cr_expect_eq(judge(&b).violations, 0);
}

Test(judge, with_a_data_centre_that_is_not_read_there_is_no_sum)
{
    struct books b = at_rest();

    b.first[1].has_strangers = b.second[1].has_strangers = true;
    cr_expect_eq(judge(&b).sum, JUDGE_SUM_INCOMPLETE);
    cr_expect_eq(judge(&b).violations, 0);
}

Test(judge, the_home_may_be_one_that_is_not_read)
{
    struct books b = at_rest();

    for (int i = 0; i < DCS; i++) {
        b.first[i].home = b.second[i].home = JUDGE_STRANGER;
        b.first[i].minted = b.second[i].minted = 0;
        b.first[i].has_strangers = b.second[i].has_strangers = true;
    }
    cr_expect_eq(judge(&b).violations, 0);
}

Test(judge, alone_a_data_centre_is_judged_too)
{
    const struct judge_account account = {
        .is_known = true, .total_max = 10, .minted = 10, .granted = 11, .consumed = 11};
    const struct judge_window w = {.count = 1, .first = {&account}, .second = {&account}};
    const struct judge_verdict v = judge_window(&w);

    cr_expect_eq(v.violations, 1);
    cr_expect(finds(&v, JUDGE_SPENT));
}

Test(judge, no_data_centre_is_a_bug, .signal = SIGABRT)
{
    const struct judge_window w = {0};

    (void)judge_window(&w);
}
