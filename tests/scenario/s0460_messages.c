/*
 * s046x: what happens to the messages between two data centres while units
 * must cross: they are lost, repeated, reordered, late, damaged, forged and
 * replayed, and no unit is made or lost.
 */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "tests/scenario/letter.h"
#include "tests/scenario/spending.h"

SCENES_SUITE(.count = 2);

enum { EAST, WEST }; /* dc1, the home of all caps, and dc2, where they are spent */

#define TEN "2026-05-20T10:00:00Z"
#define BODY_SIZE 1024

/* The next n messages of rows meet the fault, in both data centres. */
static void disturb_both(const struct scenes *s, enum wire_fault fault, int64_t n)
{
    links_deliveries(s->folder, EAST, fault, "rows", n);
    links_deliveries(s->folder, WEST, fault, "rows", n);
}

static int64_t pending(const struct scenes *s)
{
    return links_deliveries_pending(s->folder, EAST) + links_deliveries_pending(s->folder, WEST);
}

/* ---- the network's doing */

/* No unit gets there until all that are to be lost have been: none is left to be lost. */
Test(scenario, s0461_rows_that_are_lost_are_told_again)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0461", .total = 100}, TODAY);
    disturb_both(s, WIRE_DROP, 5);
    all_is_spent(s, WEST, "s0461", 100, 0);
    cr_expect_eq(pending(s), 0);
}

Test(scenario, s0462_rows_that_are_repeated_are_credited_once)
{
    auto_scenes struct scenes *s = scenes_join();
    const int64_t all = 1000;

    cap_open_at(s, EAST, (struct cap){"s0462", .total = 100}, TODAY);
    disturb_both(s, WIRE_REPEAT, all);
    all_is_spent(s, WEST, "s0462", 100, 0);
    cr_expect_lt(links_deliveries_pending(s->folder, EAST), all);
    cr_expect_lt(links_deliveries_pending(s->folder, WEST), all);
}

/* What is held to be reordered goes on only when all of it has come. */
Test(scenario, s0463_rows_in_another_order_come_to_the_same)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0463", .total = 160}, TODAY);
    disturb_both(s, WIRE_REVERSE, 4);
    cr_assert_eq(spend(s->at[WEST]->servers[0], "s0463", 100), 100);
    cr_expect_eq(pending(s), 0);
    disturb_both(s, WIRE_REVERSE, 2);
    all_is_spent(s, WEST, "s0463", 160, 100);
}

Test(scenario, s0464_rows_that_come_after_all_newer_ones_change_nothing)
{
    auto_scenes struct scenes *s = scenes_join();

    cap_open_at(s, EAST, (struct cap){"s0464", .total = 160}, TODAY);
    links_deliveries(s->folder, WEST, WIRE_HOLD, "rows", 3);
    all_is_spent(s, WEST, "s0464", 160, 0);
    cr_expect_eq(links_deliveries_pending(s->folder, WEST), 0);

    int64_t received = at_pool(s->at[WEST], "s0464", TODAY, "received");
    int64_t taken = letters_taken(s, WEST);
    links_release(s->folder, WEST);
    eventually(letters_taken(s, WEST) >= taken + 3);
    cr_expect_eq(at_pool(s->at[WEST], "s0464", TODAY, "received"), received);
    all_is_spent(s, WEST, "s0464", 160, 160);
}

/* Asks for one more unit, and looks whether the other data centre has sent any. */
static bool units_were_sent(const struct scenes *s, const char *cap, const char *starts_at,
                            int64_t before)
{
    (void)consume(s->at[WEST], 0, cap, 1);
    return at_pool(s->at[EAST], cap, starts_at, "sent") > before;
}

Test(scenario, s0465_rows_that_come_when_the_window_is_over_are_booked_and_not_granted)
{
    auto_scenes struct scenes *s = scenes_join();
    const char *cap = "s0465";

    cap_open_at(s, EAST, (struct cap){cap, .total = 100, .interval = "hour"}, TEN);
    (void)share_arrived(s, WEST, cap, TEN, 50);
    links_deliveries(s->folder, WEST, WIRE_HOLD, "rows", 1000);
    int64_t received = at_pool(s->at[WEST], cap, TEN, "received");
    cr_assert_eq(spend(s->at[WEST]->servers[0], cap, received), received);
    eventually(units_were_sent(s, cap, TEN, received));
    cr_assert_eq(at_pool(s->at[WEST], cap, TEN, "received"), received);
    dcs_calendar_set(s->dcs, "2026-05-20T11:30:00Z", 1);
    eventually(pool_is(s->at[WEST], cap, TEN, "closed"));
    int64_t granted = at_pool(s->at[WEST], cap, TEN, "granted");

    links_heal(s->folder);
    all_is_booked(s, cap, TEN, received);
    cr_expect_gt(at_pool(s->at[WEST], cap, TEN, "received"), received);
    cr_expect_eq(at_pool(s->at[WEST], cap, TEN, "granted"), granted);
}

Test(scenario, s0466_rows_with_a_wrong_bit_are_refused_and_told_again)
{
    auto_scenes struct scenes *s = scenes_join();
    int64_t refused[2] = {letters_refused(s, EAST, "signature"),
                          letters_refused(s, WEST, "signature")};

    cap_open_at(s, EAST, (struct cap){"s0466", .total = 100}, TODAY);
    links_corrupt(s->folder, EAST, WEST, "rows", 3);
    links_corrupt(s->folder, WEST, EAST, "rows", 3);
    all_is_spent(s, WEST, "s0466", 100, 0);

    for (int i = 0; i < 2; i++) {
        cr_expect_eq(letters_refused(s, i, "signature"), refused[i] + 3);
        cr_expect(letter_is_shown(s, i, dcs_name(1 - i), "signature"));
    }
}

/* ---- somebody's doing */

/* As if dc1's remote-svc began one now: later than its own, and earlier than those that follow. */
static int64_t run_of_now(void)
{
    return clk_utc_ms() << 10;
}

/*
 * A message of one row: units that dc1 says it has ever sent to dc2, and ever received from it, and
 * the incarnation of dc2 that it has heard.
 */
static void write_rows(const char *cap, int64_t sent, int64_t received, int64_t heard,
                       char ret[BODY_SIZE])
{
    int len =
        snprintf(ret, BODY_SIZE,
                 "{\"run\":%" PRId64 ",\"seq\":1,\"rows\":[{\"cap\":\"%s\",\"starts_at\":\"" TODAY
                 "\",\"sent\":%" PRId64 ",\"received\":%" PRId64
                 ",\"want\":0,\"lack\":0,\"burn\":0,\"free\":0,"
                 "\"spent\":0,\"rate_milli\":0,\"version\":1,\"heard\":%" PRId64 "}]}",
                 run_of_now(), cap, sent, received, heard);

    CHECK(len < BODY_SIZE);
}

/* As dc1 itself would send it to dc2. */
static struct letter of_east(const struct sign_key *key, const char *body)
{
    return (struct letter){.v = "1",
                           .from = "dc1",
                           .to = "dc2",
                           .kind = "rows",
                           .key = key->id,
                           .body = body,
                           .signer = key};
}

static void expect_refused(const struct scenes *s, const struct letter *l, const char *reason)
{
    int64_t refused = letters_refused(s, WEST, reason);

    letter_post(s, WEST, l);
    /* A broker that was slow to confirm may have it twice. */
    eventually(letters_refused(s, WEST, reason) >= refused + 1);
    cr_expect(letter_is_shown(s, WEST, l->from ? l->from : "", reason), "%s", reason);
}

/* All of them claim units that there could be: whoever believed one would credit them. */
Test(scenario, s0467_forged_rows_are_refused_counted_and_shown_and_change_nothing)
{
    auto_scenes struct scenes *s = scenes_join();
    auto_sign_keys struct sign_keys *keys = letter_keys(s);
    const struct sign_key *key = sign_key_of(keys, "dc1", NULL);
    struct sign_key wrong = *key, stranger = *key;
    char body[BODY_SIZE];

    cap_open_at(s, EAST, (struct cap){"s0467", .total = 100}, TODAY);
    (void)share_arrived(s, WEST, "s0467", TODAY, 50);
    write_rows("s0467", 100, 0, 0, body);
    wrong.secret[0] ^= 1;
    strcpy(stranger.dc, "dc9");
    const struct letter good = of_east(key, body);
    struct letter bad[12];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        bad[i] = good;

    bad[0].v = "2";
    expect_refused(s, &bad[0], "version");
    bad[1].v = NULL;
    bad[1].signer = NULL;
    expect_refused(s, &bad[1], "version");
    bad[2].from = "dc9";
    bad[2].signer = &stranger;
    expect_refused(s, &bad[2], "stranger");
    bad[3].from = "dc2";
    expect_refused(s, &bad[3], "stranger");
    bad[4].to = "dc3";
    expect_refused(s, &bad[4], "not_for_us");
    bad[5].kind = "orders";
    expect_refused(s, &bad[5], "kind");
    bad[6].key = "unknown";
    expect_refused(s, &bad[6], "key");
    bad[7].signer = &wrong;
    expect_refused(s, &bad[7], "signature");
    bad[8].signer = NULL;
    expect_refused(s, &bad[8], "signature");
    bad[9].signed_for = "dc3";
    expect_refused(s, &bad[9], "signature");
    bad[10].body = "this is not JSON";
    expect_refused(s, &bad[10], "malformed");
    (void)snprintf(body, sizeof(body), "{\"run\":%" PRId64 ",\"seq\":1,\"rows\":7}", run_of_now());
    expect_refused(s, &bad[11], "local_svc");

    cr_expect_lt(at_pool(s->at[WEST], "s0467", TODAY, "received"), 100);
    all_is_spent(s, WEST, "s0467", 100, 0);
}

/* Its signature is good, and what it says was true once: it was on its way, and comes late. */
Test(scenario, s0468_an_old_message_that_is_captured_and_replayed_is_refused_and_shown)
{
    auto_scenes struct scenes *s = scenes_join();
    int64_t strangers = letters_refused(s, EAST, "stranger");

    cap_open_at(s, EAST, (struct cap){"s0468", .total = 100}, TODAY);
    (void)share_arrived(s, WEST, "s0468", TODAY, 50);
    (void)dc_terminate(s->at[WEST]->dc, DC_REMOTE, 0);
    cap_put(s->at[EAST], (struct cap){"s0468", .total = 200});
    struct bus_message old = letter_capture(s, WEST, "rows");
    dc_restart(s->at[WEST]->dc, DC_REMOTE, 0);
    eventually(at_pool(s->at[WEST], "s0468", TODAY, "requested") == 200);
    cr_assert_eq(spend(s->at[WEST]->servers[0], "s0468", 150), 150);

    int64_t received = at_pool(s->at[WEST], "s0468", TODAY, "received");
    int64_t refused = letters_refused(s, WEST, "replayed");
    for (int i = 0; i < 4; i++)
        letter_post_again(s, WEST, &old);
    eventually(letters_refused(s, WEST, "replayed") >= refused + 3);
    cr_expect(letter_is_shown(s, WEST, dcs_name(EAST), "replayed"));
    cr_expect_geq(at_pool(s->at[WEST], "s0468", TODAY, "received"), received);
    letter_post_again(s, EAST, &old);
    eventually(letters_refused(s, EAST, "stranger") >= strangers + 1);
    all_is_spent(s, WEST, "s0468", 200, 150);
    buf_done(&old.body);
}

static int64_t absurd(const struct scenes *s)
{
    return metric_sum(s->at[WEST]->local, "volumecap_rows_total", "verdict=\"absurd\"");
}

static void expect_absurd(const struct scenes *s, const struct letter *l)
{
    int64_t before = absurd(s);

    letter_post(s, WEST, l);
    eventually(absurd(s) >= before + 1);
}

/*
 * It has the key, and claims more than there ever was.  Until the heal dc2 hears nothing from dc1
 * but what is forged: dc1 would hear of that run, begin a higher one, and be believed.
 */
Test(scenario, s0469_a_data_centre_that_turned_evil_cannot_make_units)
{
    auto_scenes struct scenes *s = scenes_join();
    auto_sign_keys struct sign_keys *keys = letter_keys(s);
    char body[BODY_SIZE];
    const struct letter letter = of_east(sign_key_of(keys, "dc1", NULL), body);
    const int64_t claims[] = {1000, UNITS_MAX};

    cap_open_at(s, EAST, (struct cap){"s0469", .total = 100}, TODAY);
    (void)share_arrived(s, WEST, "s0469", TODAY, 50);
    links_cut(s->folder, EAST, WEST);
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
        write_rows("s0469", claims[i], 0, 0, body);
        expect_absurd(s, &letter);
    }
    write_rows("s0469", UNITS_MAX + 1, 0, 0, body);
    expect_refused(s, &letter, "local_svc");

    cr_expect_lt(at_pool(s->at[WEST], "s0469", TODAY, "received"), 100);
    links_heal(s->folder);
    all_is_spent(s, WEST, "s0469", 100, 0);
}

/*
 * It says that it has what was never sent: so dc2 must have forgotten it, and asks what else. Until
 * the heal dc2 hears nothing from dc1 but what is forged, and none of that is an answer.
 */
Test(scenario, s0471_a_data_centre_that_turned_evil_cannot_make_units_out_of_doubt)
{
    auto_scenes struct scenes *s = scenes_join();
    auto_sign_keys struct sign_keys *keys = letter_keys(s);
    const struct scene *west = s->at[WEST];
    char body[BODY_SIZE];
    const struct letter letter = of_east(sign_key_of(keys, "dc1", NULL), body);

    cap_open_at(s, EAST, (struct cap){"s0471", .total = 100}, TODAY);
    (void)share_arrived(s, WEST, "s0471", TODAY, 50);
    int64_t sent = at_pool(west, "s0471", TODAY, "sent");
    links_cut(s->folder, EAST, WEST);
    write_rows("s0471", 0, sent + 1, 0, body);
    letter_post(s, WEST, &letter);
    eventually(learning(west, "learning") == 1);

    int64_t life = learning(west, "incarnation");
    write_rows("s0471", 1000, sent, life, body);
    expect_absurd(s, &letter);
    write_rows("s0471", UNITS_MAX, sent + 1, life, body);
    expect_absurd(s, &letter);
    write_rows("s0471", 0, sent + 1000, life, body);
    expect_absurd(s, &letter);

    cr_expect_eq(learning(west, "learning"), 1);
    links_heal(s->folder);
    eventually(learning(west, "learning") == 0);
    cr_expect_lt(at_pool(west, "s0471", TODAY, "received"), 100);
    all_is_spent(s, WEST, "s0471", 100, 0);
}

/* ---- keys */

/* The keys that all have, and new ones: those in front are signed with. */
static void write_keys(const struct scenes *s, const char *first, const char *second)
{
    char path[256], fresh[260];

    (void)snprintf(path, sizeof(path), "%s/keys", s->folder);
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *f = fopen(fresh, "we");
    CHECK(f != NULL && fchmod(fileno(f), 0600) == 0);
    CHECK(fprintf(f, "%s%s", first, second) > 0 && fclose(f) == 0 && rename(fresh, path) == 0);
}

static void write_key_lines(const struct scenes *s, char ret[BODY_SIZE])
{
    auto_sign_keys struct sign_keys *keys = letter_keys(s);
    int len = 0;

    for (int i = 0; i < s->count; i++) {
        const struct sign_key *key = sign_key_of(keys, dcs_name(i), NULL);
        len += snprintf(ret + len, BODY_SIZE - (size_t)len, "%s %s ", key->dc, key->id);
        for (size_t k = 0; k < key->secret_len; k++)
            len += snprintf(ret + len, BODY_SIZE - (size_t)len, "%02x", key->secret[k]);
        len += snprintf(ret + len, BODY_SIZE - (size_t)len, "\n");
        CHECK(len < BODY_SIZE);
    }
}

static int64_t refused_at_all(const struct scenes *s)
{
    return letters_refused(s, EAST, NULL) + letters_refused(s, WEST, NULL);
}

/* One after the other, while units cross; what either has refused until then is still counted. */
static int64_t restart_in_turn(const struct scenes *s, const char *cap)
{
    int64_t refused = 0;

    for (int i = 0; i < s->count; i++) {
        eventually(all_is_well(s));
        refused += letters_refused(s, i, NULL);
        (void)dc_terminate(s->at[i]->dc, DC_REMOTE, 0);
        dc_restart(s->at[i]->dc, DC_REMOTE, 0);
        cr_assert_eq(spend(s->at[WEST]->servers[0], cap, 20), 20);
    }
    eventually(all_is_well(s));
    return refused;
}

Test(scenario, s0470_keys_are_exchanged_without_a_message_refused)
{
    auto_scenes struct scenes *s = scenes_join();
    char old[BODY_SIZE];
    const char *fresh =
        "dc1 fresh 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
        "dc2 fresh f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    int64_t before = refused_at_all(s), refused = 0;

    cap_open_at(s, EAST, (struct cap){"s0470", .total = 200}, TODAY);
    cr_assert_eq(spend(s->at[WEST]->servers[0], "s0470", 70), 70);
    write_key_lines(s, old);
    write_keys(s, old, fresh);
    refused += restart_in_turn(s, "s0470");
    write_keys(s, fresh, old);
    refused += restart_in_turn(s, "s0470");
    write_keys(s, fresh, "");
    refused += restart_in_turn(s, "s0470");

    cr_expect_eq(refused + refused_at_all(s), before);
    auto_sign_keys struct sign_keys *keys = letter_keys(s);
    cr_expect_str_eq(sign_key_of(keys, "dc1", NULL)->id, "fresh");
    all_is_spent(s, WEST, "s0470", 200, 190);
}
