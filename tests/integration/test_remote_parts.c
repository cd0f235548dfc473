/* The parts of remote-svc that need no other process. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "services/remote-svc/outgoing.h"
#include "services/remote-svc/refusals.h"
#include "services/remote-svc/told.h"

static struct span text(const char *s)
{
    return (struct span){.text = s, .len = strlen(s)};
}

/* ---- told */

Test(told, is_what_was_noted_last)
{
    struct told *t = told_new(1000);

    cr_assert(!told_is(t, "a", text("1")));
    told_note(t, "a", text("1"));
    told_note(t, "b", text("1"));
    cr_assert(told_is(t, "a", text("1")));
    told_note(t, "a", text("2"));
    cr_assert(!told_is(t, "a", text("1")));
    cr_assert(told_is(t, "a", text("2")) && told_is(t, "b", text("1")));
    told_forget(t);
    cr_assert(!told_is(t, "a", text("2")) && told_count(t) == 0);
    (void)told_free(t);
}

static const char *key(int i)
{
    static char ret[32];

    snprintf(ret, sizeof(ret), "cap-%d/2026-05-20T00:00:00Z", i);
    return ret;
}

Test(told, remembers_no_more_than_it_may)
{
    struct told *t = told_new(5000);

    for (int i = 0; i < 6000; i++)
        told_note(t, key(i), text(key(i)));
    cr_assert(told_count(t) == 5000);
    for (int i = 0; i < 6000; i++)
        cr_assert(told_is(t, key(i), text(key(i))) == (i < 5000), "%d", i);
    (void)told_free(t);
}

Test(told, a_sweep_forgets_what_nobody_spoke_of_since_the_last)
{
    struct told *t = told_new(1000);

    for (int i = 0; i < 100; i++)
        told_note(t, key(i), text("1"));
    told_sweep(t);
    cr_assert(told_count(t) == 100);
    for (int i = 0; i < 10; i++)
        (void)told_is(t, key(i), text("1"));
    told_note(t, key(50), text("2"));
    told_sweep(t);
    cr_assert(told_count(t) == 11);
    cr_assert(told_is(t, key(9), text("1")) && told_is(t, key(50), text("2")));
    cr_assert(!told_is(t, key(10), text("1")));
    (void)told_free(t);
}

/* ---- outgoing */

#define ROW(cap, version)                                                                          \
    text("{\"cap\":\"" cap "\",\"starts_at\":\"2026-05-20T00:00:00Z\",\"version\":" version "}")

Test(outgoing, what_was_taken_waits_again_only_if_it_differs)
{
    struct outgoing *o = outgoing_new(10);
    auto_buf struct buf out = BUF_INIT(0);
    bool is_put = false;

    cr_assert(outgoing_put_untold(o, ROW("a", "1"), &is_put) && is_put);
    cr_assert(outgoing_take(o, 10, 1000, &out) == 1);
    cr_assert(outgoing_put_untold(o, ROW("a", "1"), &is_put) && !is_put);
    cr_assert(outgoing_count(o) == 0);
    cr_assert(outgoing_put_untold(o, ROW("a", "2"), &is_put) && is_put);
    cr_assert(outgoing_put(o, ROW("a", "2")), "news are told in any case");
    cr_assert(outgoing_take(o, 10, 1000, &out) == 1);
    outgoing_forget(o);
    cr_assert(outgoing_put_untold(o, ROW("a", "2"), &is_put) && is_put);
    (void)outgoing_free(o);
}

Test(outgoing, what_found_no_room_was_not_told)
{
    struct outgoing *o = outgoing_new(1);
    auto_buf struct buf out = BUF_INIT(0);
    bool is_put = false;

    cr_assert(outgoing_put(o, ROW("a", "1")));
    cr_assert(!outgoing_put_untold(o, ROW("b", "1"), &is_put) && !is_put);
    cr_assert(outgoing_take(o, 10, 1000, &out) == 1);
    cr_assert(outgoing_put_untold(o, ROW("b", "1"), &is_put) && is_put);
    (void)outgoing_free(o);
}

Test(outgoing, a_message_is_never_larger_than_asked_for)
{
    struct outgoing *o = outgoing_new(10);
    auto_buf struct buf out = BUF_INIT(0);
    const struct span row = ROW("a", "1");

    cr_assert(outgoing_put(o, ROW("a", "1")) && outgoing_put(o, ROW("b", "1")) &&
              outgoing_put(o, ROW("c", "1")));
    cr_assert(outgoing_take(o, 10, 2 * row.len + 2, &out) == 2);
    cr_assert(out.len == 2 * row.len + 1);
    cr_assert(outgoing_take(o, 10, 1, &out) == 1, "one gets through always");
    (void)outgoing_free(o);
}

/* ---- refusals */

Test(refusals, are_counted_by_name_and_reason)
{
    struct refusals *r = refusals_new();
    struct refusal rows[REFUSALS_MAX];

    refusals_add(r, "east", "key");
    refusals_add(r, "east", "key");
    refusals_add(r, "east", "version");
    refusals_add(r, "no name, \"at all\"", "stranger");
    refusals_add(r, NULL, "stranger");
    cr_assert(refusals_list(r, rows) == 3);
    cr_assert_str_eq(rows[0].from, "east");
    cr_assert(rows[0].count == 2 && rows[1].count == 1 && rows[2].count == 2);
    cr_assert_str_eq(rows[2].from, "");
    (void)refusals_free(r);
}

Test(refusals, keep_the_latest)
{
    struct refusals *r = refusals_new();
    struct refusal rows[REFUSALS_MAX];
    char name[16];

    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "dc-%d", i);
        refusals_add(r, name, "stranger");
    }
    cr_assert(refusals_list(r, rows) == REFUSALS_MAX);
    cr_assert_str_eq(rows[REFUSALS_MAX - 1].from, "dc-99");
    (void)refusals_free(r);
}
