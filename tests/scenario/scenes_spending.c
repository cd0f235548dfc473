#include "tests/scenario/spending.h"

void all_is_booked(const struct scenes *s, const char *cap, const char *starts_at, int64_t spent)
{
    int64_t began_ms = clk_now_ms();

    eventually(in_transit(s, cap, starts_at) == 0);
    cr_log_info("%s: nothing in transit after %" PRId64 " ms", cap, clk_now_ms() - began_ms);
    eventually(at_all_pools(s, cap, starts_at, "consumed") == spent);
}

void all_is_spent(const struct scenes *s, int at, const char *cap, int64_t total, int64_t spent)
{
    int64_t began_ms = clk_now_ms();

    cr_assert_eq(spend(s->at[at]->servers[0], cap, total - spent + 1), total - spent);
    for (int i = 0; i < s->count; i++)
        cr_expect_eq(take(s->at[i]->servers[0], cap, 1), VERDICT_USED_UP);
    cr_log_info("%s: the last %" PRId64 " of %" PRId64
                " spent, and used up everywhere, after %" PRId64 " ms",
                cap, total - spent, total, clk_now_ms() - began_ms);
    all_is_booked(s, cap, TODAY, total);
}

int64_t share_arrived(const struct scenes *s, int at, const char *cap, const char *starts_at,
                      int64_t share)
{
    eventually(at_pool(s->at[at], cap, starts_at, "received") >= share &&
               in_transit(s, cap, starts_at) == 0);
    return at_pool(s->at[at], cap, starts_at, "received");
}
