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
