/* The parts of remote-svc that need no other process. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/io/deflate.h"
#include "common/io/sign.h"
#include "services/remote-svc/ears.h"
#include "services/remote-svc/envelope.h"
#include "services/remote-svc/outgoing.h"
#include "services/remote-svc/refusals.h"
#include "services/remote-svc/told.h"
#include "tests/harness/proc.h"

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

#define ROW_OF(incarnation, version)                                                               \
    text("{\"cap\":\"a\",\"starts_at\":\"2026-05-20T00:00:00Z\",\"version\":" version              \
         ",\"incarnation\":" incarnation "}")

/* A database that was restored counts its versions again. */
Test(outgoing, a_row_of_a_later_incarnation_takes_the_place_of_a_higher_version)
{
    struct outgoing *o = outgoing_new(10);
    auto_buf struct buf out = BUF_INIT(0);

    cr_assert(outgoing_put(o, ROW_OF("3", "900")));
    cr_assert(outgoing_put(o, ROW_OF("4", "7")));
    cr_assert(outgoing_put(o, ROW_OF("3", "901")), "it is passed over");
    cr_assert(outgoing_put(o, ROW_OF("4", "6")), "it is passed over");
    cr_assert(outgoing_take(o, 10, 1000, &out) == 1);
    cr_assert(strstr(buf_text(&out), "\"version\":7,"), "%s", buf_text(&out));
    (void)outgoing_free(o);
}

/* ---- ears */

#define RUN 1000

/* What was said before the first message that was heard is not missed, but may come late. */
Test(ears, take_each_message_once_in_any_order)
{
    static const int64_t order[] = {7, 3, 9, 8, 4, 70};
    struct ears ears;

    ears_init(&ears);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        cr_assert(ears_hear(&ears, RUN, order[i]) != EARS_REPLAYED, "%zu", i);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        cr_assert(ears_hear(&ears, RUN, order[i]) == EARS_REPLAYED, "%zu", i);
    cr_assert(ears.missed == 1 + 60);
    cr_assert(ears_hear(&ears, RUN, 69) == EARS_LATE && ears_hear(&ears, RUN, 71) == EARS_NEWS);
}

/* More than a queue can hold, and round the bitmap many times. */
Test(ears, take_a_message_that_comes_ten_thousand_messages_late_and_no_second_copy)
{
    const int64_t late = 10000, last = 5 * EARS_SEEN_MAX;
    struct ears ears;

    ears_init(&ears);
    for (int64_t seq = 1; seq <= last; seq++) {
        if (seq % late != 0)
            cr_assert(ears_hear(&ears, RUN, seq) == EARS_NEWS);
        if (seq > late && (seq - late) % late == 0) {
            cr_assert(ears_hear(&ears, RUN, seq - late) == EARS_LATE, "%ld", (long)seq);
            cr_assert(ears_hear(&ears, RUN, seq - late) == EARS_REPLAYED, "%ld", (long)seq);
        }
        if (seq > 1)
            cr_assert(ears_hear(&ears, RUN, seq - 1 - (seq % late == 1)) == EARS_REPLAYED);
    }
    cr_assert(ears.missed == last / late);
}

/* It may have come: whoever said it hears that it was missed. */
Test(ears, take_nothing_that_is_too_late_to_know)
{
    struct ears ears;

    ears_init(&ears);
    cr_assert(ears_hear(&ears, RUN, 1) == EARS_NEWS);
    cr_assert(ears_hear(&ears, RUN, 3 + EARS_SEEN_MAX) == EARS_NEWS);
    cr_assert(ears_hear(&ears, RUN, 3) == EARS_REPLAYED);
    cr_assert(ears_hear(&ears, RUN, 4) == EARS_LATE);
    cr_assert(ears.missed == 1 + EARS_SEEN_MAX);
}

Test(ears, take_nothing_of_an_earlier_run_and_begin_anew_with_a_later_one)
{
    struct ears ears;

    ears_init(&ears);
    cr_assert(ears_hear(&ears, RUN, 5) == EARS_NEWS && ears_hear(&ears, RUN, 8) == EARS_NEWS);
    cr_assert(ears_hear(&ears, RUN - 1, 9) == EARS_REPLAYED);
    cr_assert(ears_hear(&ears, RUN + 1, 5) == EARS_NEWS && ears.missed == 0);
    cr_assert(ears_hear(&ears, RUN, 9) == EARS_REPLAYED);
    cr_assert(ears_hear(&ears, RUN + 1, 8) == EARS_NEWS);
}

/* ---- envelopes */

/* Keys of two data centres, as their remote-svcs have them. */
static struct sign_keys *keys(void)
{
    struct sign_keys *k = NULL;
    struct err e = {0};
    auto_free char *folder = folder_scratch();
    char path[256];

    snprintf(path, sizeof(path), "%s/keys", folder);
    FILE *f = fopen(path, "we");
    cr_assert(f && fchmod(fileno(f), 0600) == 0);
    fprintf(f, "east k1 %064d\nwest k1 %064d\n", 1, 2);
    fclose(f);
    cr_assert(sign_keys_load(path, &k, &e), "%s", e.msg);
    return k;
}

static void seal_rows(const struct sign_keys *k, int rows, struct bus_message *m)
{
    for (int i = 0; i < rows; i++)
        buf_printf(&m->body, "{\"cap\":\"cap-%d\",\"sent\":500,\"received\":0},", i);
    envelope_seal(sign_key_of(k, "east", NULL), "west", ENVELOPE_ROWS, m);
}

Test(envelope, rows_travel_packed_and_come_out_as_they_were)
{
    auto_sign_keys struct sign_keys *k = keys();
    struct bus_message plain = {.headers_count = 0}, m = {.headers_count = 0};
    auto_envelope struct envelope e = {0};

    seal_rows(k, 1, &plain);
    cr_assert(!bus_header(&plain, "enc"), "what is small is not packed");
    seal_rows(k, 500, &m);
    cr_assert(m.body.len < 4000, "%zu bytes", m.body.len);
    cr_assert(envelope_open(k, "west", &m, &e) == ENVELOPE_GOOD);
    cr_assert(e.len > 20000 && e.kind == ENVELOPE_ROWS);
    cr_assert(strncmp(e.text, plain.body.data, plain.body.len) == 0);
    buf_done(&plain.body);
    buf_done(&m.body);
}

Test(envelope, what_unpacks_to_too_much_is_refused)
{
    auto_sign_keys struct sign_keys *k = keys();
    struct bus_message m = {.headers_count = 0};
    auto_envelope struct envelope e = {0};

    for (int i = 0; i < 3 << 20; i += 16)
        buf_str(&m.body, "                ");
    envelope_seal(sign_key_of(k, "east", NULL), "west", ENVELOPE_ROWS, &m);
    cr_assert(m.body.len < 20000);
    cr_assert(envelope_open(k, "west", &m, &e) == ENVELOPE_TOO_LARGE);
    cr_assert(e.unpacked.len <= BUS_BODY_MAX);
    buf_done(&m.body);
}

Test(envelope, how_it_is_packed_is_signed_too)
{
    auto_sign_keys struct sign_keys *k = keys();
    struct bus_message m = {.headers_count = 0};
    auto_envelope struct envelope e = {0};

    seal_rows(k, 1, &m);
    bus_header_set(&m, "enc", "deflate");
    cr_assert(envelope_open(k, "west", &m, &e) == ENVELOPE_FORGED);
    buf_done(&m.body);
}

/* ---- deflate */

Test(deflate, refuses_what_is_damaged_or_cut_off)
{
    auto_buf struct buf packed = BUF_INIT(0);
    auto_buf struct buf out = BUF_INIT(0);
    struct err e = {0};

    deflate_pack("so it goes, so it goes, so it goes", 34, &packed);
    cr_assert(deflate_unpack(packed.data, packed.len, &out, &e));
    cr_assert_str_eq(buf_text(&out), "so it goes, so it goes, so it goes");
    cr_assert(!deflate_unpack(packed.data, packed.len - 1, &out, &e) && e.kind == ERR_INVALID);
    cr_assert(!deflate_unpack(packed.data, 0, &out, &e) && e.kind == ERR_INVALID);
    packed.data[packed.len - 1] ^= 1;
    cr_assert(!deflate_unpack(packed.data, packed.len, &out, &e) && e.kind == ERR_INVALID);
}

/* ---- refusals */

#define NOW 5000

Test(refusals, are_counted_by_name_and_reason)
{
    struct refusals *r = refusals_new();
    struct refusal rows[REFUSALS_MAX];

    (void)refusals_add(r, "east", "key", NOW);
    (void)refusals_add(r, "east", "key", NOW);
    (void)refusals_add(r, "east", "version", NOW);
    (void)refusals_add(r, "no name, \"at all\"", "stranger", NOW);
    (void)refusals_add(r, NULL, "stranger", NOW);
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
        (void)refusals_add(r, name, "stranger", NOW + i);
    }
    cr_assert(refusals_list(r, rows) == REFUSALS_MAX);
    cr_assert_str_eq(rows[REFUSALS_MAX - 1].from, "dc-99");
    (void)refusals_free(r);
}

/* Whoever can write into a queue must not fill a disk, whatever names he uses. */
Test(refusals, are_logged_once_a_minute_with_their_number_and_not_too_many_at_all)
{
    struct refusals *r = refusals_new();
    char name[16];
    int64_t lines = 0;

    cr_assert(refusals_add(r, "east", "key", NOW) == 1);
    for (int i = 1; i <= 9; i++)
        cr_assert(refusals_add(r, "east", "key", NOW + i) == 0);
    cr_assert(refusals_add(r, "east", "version", NOW + 10) == 1);
    cr_assert(refusals_add(r, "east", "key", NOW + REFUSALS_LOG_MS) == 10);

    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "dc-%d", i);
        lines += refusals_add(r, name, "stranger", NOW + REFUSALS_LOG_MS + 1 + i);
    }
    cr_assert(lines == REFUSALS_MAX - 1, "%ld", (long)lines);
    cr_assert(refusals_add(r, "east", "key", NOW + 2 * REFUSALS_LOG_MS) == 1);
    (void)refusals_free(r);
}
