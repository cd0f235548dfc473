/* A definition is valid or it is not, and its pointer says why. */

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/domain/cap.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define AT(member) offsetof(struct cap, member)

static struct cap valid_cap(void)
{
    struct cap c = cap_defaults();

    memcpy(c.id, "ad-1", sizeof("ad-1"));
    c.starts_at_ms = 1000;
    c.ends_at_ms = 2000;
    c.interval = CAP_DAY;
    c.total = 10;
    return c;
}

static void set_number(struct cap *c, size_t offset, int64_t value)
{
    memcpy((char *)c + offset, &value, sizeof(value));
}

/* `pointer` NULL: valid. */
static void expect_validity(const struct cap *c, const char *name, const char *pointer)
{
    struct err e = {.kind = ERR_NONE};
    bool ok = cap_validate(c, &e);

    cr_expect(ok == (pointer == NULL), "%s", name);
    if (pointer != NULL)
        cr_expect(e.kind == ERR_INVALID && strcmp(e.pointer, pointer) == 0, "%s: %s", name,
                  e.pointer);
}

static const struct number_row {
    const char *name;
    size_t offset;
    int64_t value;
    const char *pointer;
} number_rows[] = {
    {"the year 1970 is allowed", AT(starts_at_ms), CAP_TIME_MIN_MS, NULL},
    {"a start before it is refused", AT(starts_at_ms), CAP_TIME_MIN_MS - 1, "/starts_at"},
    {"a start after the year 9999 is refused", AT(starts_at_ms), CAP_TIME_MAX_MS + 1, "/starts_at"},
    {"the end of the year 9999 is allowed", AT(ends_at_ms), CAP_TIME_MAX_MS, NULL},
    {"an end after it is refused", AT(ends_at_ms), CAP_TIME_MAX_MS + 1, "/ends_at"},
    {"an end before 1970 is refused", AT(ends_at_ms), CAP_TIME_MIN_MS - 1, "/ends_at"},
    {"an end at the start is refused", AT(ends_at_ms), 1000, "/ends_at"},
    {"an end before the start is refused", AT(ends_at_ms), 999, "/ends_at"},
    {"one millisecond is long enough", AT(ends_at_ms), 1001, NULL},
    {"a total of nothing is allowed", AT(total), 0, NULL},
    {"a negative total is refused", AT(total), -1, "/total"},
    {"the largest total is allowed", AT(total), UNITS_MAX, NULL},
    {"a larger total is refused", AT(total), UNITS_MAX + 1, "/total"},
    {"no initial total is allowed", AT(initial_total), CAP_TOTAL_NONE, NULL},
    {"an initial total of nothing is allowed", AT(initial_total), 0, NULL},
    {"a negative initial total is refused", AT(initial_total), -2, "/initial_total"},
    {"a larger initial total is refused", AT(initial_total), UNITS_MAX + 1, "/initial_total"},
    {"the smallest first slice is allowed", AT(topup_ppm), 1, NULL},
    {"a first slice of nothing is refused", AT(topup_ppm), 0, "/topup_fraction"},
    {"a first slice of everything is allowed", AT(topup_ppm), PPM, NULL},
    {"a first slice of more is refused", AT(topup_ppm), PPM + 1, "/topup_fraction"},
    {"slices of nothing are refused", AT(slice_max_ppm), 0, "/slice_max_fraction"},
    {"slices of everything are allowed", AT(slice_max_ppm), PPM, NULL},
    {"slices of more are refused", AT(slice_max_ppm), PPM + 1, "/slice_max_fraction"},
    {"no autonomy is allowed", AT(autonomy_ms), 0, NULL},
    {"a negative autonomy is refused", AT(autonomy_ms), -1, "/autonomy_ms"},
    {"an hour of autonomy is allowed", AT(autonomy_ms), CAP_AUTONOMY_MS_MAX, NULL},
    {"more autonomy is refused", AT(autonomy_ms), CAP_AUTONOMY_MS_MAX + 1, "/autonomy_ms"},
};

Test(cap, numbers_have_bounds)
{
    for (size_t i = 0; i < COUNT(number_rows); i++) {
        struct cap c = valid_cap();
        set_number(&c, number_rows[i].offset, number_rows[i].value);
        expect_validity(&c, number_rows[i].name, number_rows[i].pointer);
    }
}

static const struct zone_row {
    const char *zone;
    bool ok;
} zone_rows[] = {
    {"UTC", true},
    {"Europe/Berlin", true},
    {"Etc/GMT+12", true},
    {"America/Argentina/Buenos_Aires", true},
    {"America/Port-au-Prince", true},
    {"", false},
    {"posix/Europe/Berlin", false},
    {"right/UTC", false},
    {"posixrules", false},
    {"localtime", false},
    {"Factory", false},
    {"<+03>-3", false},
    {"Europe/Berlin ", false},
    {"UTC;DROP TABLE cap", false},
    {"../etc/passwd", false},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true},
};

Test(cap, zones_have_a_form)
{
    for (size_t i = 0; i < COUNT(zone_rows); i++) {
        struct cap c = valid_cap();
        (void)snprintf(c.time_zone, sizeof(c.time_zone), "%s", zone_rows[i].zone);
        expect_validity(&c, zone_rows[i].zone, zone_rows[i].ok ? NULL : "/time_zone");
    }
}

Test(cap, an_unterminated_zone_is_refused)
{
    struct cap c = valid_cap();

    memset(c.time_zone, 'a', sizeof(c.time_zone));
    expect_validity(&c, "unterminated", "/time_zone");
}

Test(cap, the_id_is_a_name)
{
    struct cap c = valid_cap();

    memcpy(c.id, "a/b", sizeof("a/b"));
    expect_validity(&c, "a slash", "/id");
}

Test(cap, the_interval_is_one_of_the_kinds)
{
    struct cap c = valid_cap();

    c.interval = -1;
    expect_validity(&c, "below the first", "/interval");
    c.interval = CAP_MONTH + 1;
    expect_validity(&c, "after the last", "/interval");
    c.interval = CAP_SINGLE;
    expect_validity(&c, "the first", NULL);
    c.interval = CAP_MONTH;
    expect_validity(&c, "the last", NULL);
}

Test(cap, kinds_are_found_by_their_names)
{
    for (int i = 0; cap_interval_names[i] != NULL; i++)
        cr_expect(cap_interval_of(cap_interval_names[i]) == i);
    cr_expect(cap_interval_of("year") == -1);
    cr_expect(cap_interval_of("") == -1);
}

Test(cap, is_equal_to_itself)
{
    struct cap a = valid_cap();
    struct cap b = valid_cap();

    cr_expect(cap_equal(&a, &b));
}

Test(cap, differs_if_any_number_does)
{
    static const size_t offsets[] = {AT(starts_at_ms),  AT(ends_at_ms), AT(total),
                                     AT(initial_total), AT(topup_ppm),  AT(slice_max_ppm),
                                     AT(autonomy_ms)};
    struct cap a = valid_cap();

    for (size_t i = 0; i < COUNT(offsets); i++) {
        struct cap b = valid_cap();
        set_number(&b, offsets[i], 12345);
        cr_expect(!cap_equal(&a, &b), "member %zu", i);
    }
}

Test(cap, differs_if_any_other_member_does)
{
    struct cap a = valid_cap();
    struct cap id = a, kind = a, zone = a, paused = a;

    id.id[0] = 'b';
    kind.interval = CAP_WEEK;
    zone.time_zone[0] = 'V';
    paused.paused = true;
    cr_expect(!cap_equal(&a, &id));
    cr_expect(!cap_equal(&a, &kind));
    cr_expect(!cap_equal(&a, &zone));
    cr_expect(!cap_equal(&a, &paused));
}

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)

/* A cap from day 100 to 200, changed on day 150 unless the row says otherwise. */
static const struct moved_row {
    const char *name;
    int kind;
    int64_t starts, ends, new_starts, new_ends, now; /* days */
    bool moved;
} moved_rows[] = {
    {"nothing", CAP_DAY, 100, 200, 100, 200, 150, false},
    {"a beginning long ago", CAP_DAY, 100, 200, 90, 200, 150, false},
    {"a beginning that is put off until now", CAP_DAY, 100, 200, 150, 200, 150, true},
    {"a beginning today", CAP_DAY, 149, 200, 100, 200, 149, true},
    {"a beginning to come", CAP_DAY, 160, 200, 170, 200, 150, true},
    {"an end far ahead", CAP_DAY, 100, 200, 100, 300, 150, false},
    {"an end that comes near", CAP_DAY, 100, 200, 100, 151, 150, true},
    {"an end that was near", CAP_DAY, 100, 151, 100, 300, 150, true},
    {"an end after two months is near", CAP_MONTH, 100, 200, 100, 300, 150, true},
    {"an end far behind a beginning to come", CAP_DAY, 160, 200, 160, 300, 150, false},
    {"an end of the only window", CAP_SINGLE, 100, 2000, 100, 3000, 150, true},
    {"a beginning of the only window", CAP_SINGLE, 100, 200, 10, 200, 150, true},
};

Test(cap, moves_windows_if_those_that_are_cut_have_other_bounds)
{
    for (size_t i = 0; i < COUNT(moved_rows); i++) {
        const struct moved_row *r = &moved_rows[i];
        struct cap from = valid_cap(), to = valid_cap();

        from.interval = to.interval = r->kind;
        from.starts_at_ms = r->starts * DAY;
        from.ends_at_ms = r->ends * DAY;
        to.starts_at_ms = r->new_starts * DAY;
        to.ends_at_ms = r->new_ends * DAY;
        to.total = from.total + 1;
        cr_expect(cap_moves_windows(&from, &to, r->now * DAY) == r->moved, "%s", r->name);
    }
}

Test(cap, another_kind_or_zone_moves_windows)
{
    const struct cap from = valid_cap();
    struct cap kind = from, zone = from;

    kind.interval = CAP_HOUR;
    memcpy(zone.time_zone, "Europe/Berlin", sizeof("Europe/Berlin"));
    cr_expect(cap_moves_windows(&from, &kind, 0));
    cr_expect(cap_moves_windows(&from, &zone, 0));
}

Test(cap, each_grid_has_a_phase_of_its_own_and_begins_within_a_second)
{
    int64_t since_ms = CAP_GRID_ALWAYS;

    cr_expect(cap_phase_ms(since_ms) == 0);
    for (int64_t i = 1; i <= 999; i++) {
        int64_t now_ms = 1000 * DAY + i * 7;
        since_ms = cap_next_grid_since(since_ms, now_ms);
        cr_expect(cap_phase_ms(since_ms) == i);
        cr_expect(since_ms <= now_ms && since_ms > now_ms - 1000);
    }
    cr_expect(cap_phase_ms(cap_next_grid_since(since_ms, DAY)) == 1, "and then they come again");
}
