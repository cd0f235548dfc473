#include "common/domain/cap.h"

#include <stddef.h>
#include <string.h>

const char *const cap_interval_names[] = {
#define X(kind, name) name,
    CAP_INTERVALS(X)
#undef X
        NULL};

#define CAP_INTERVAL_COUNT ((int)(sizeof(cap_interval_names) / sizeof(cap_interval_names[0])) - 1)

int cap_interval_of(const char *name)
{
    for (int i = 0; i < CAP_INTERVAL_COUNT; i++)
        if (strcmp(cap_interval_names[i], name) == 0)
            return i;
    return -1;
}

struct cap cap_defaults(void)
{
    return (struct cap){
        .initial_total = CAP_TOTAL_NONE,
        .time_zone = "UTC",
        .topup_ppm = CAP_TOPUP_PPM_DEFAULT,
        .slice_max_ppm = CAP_SLICE_MAX_PPM_DEFAULT,
        .autonomy_ms = CAP_AUTONOMY_MS_DEFAULT,
    };
}

struct range {
    const char *pointer;
    size_t offset;
    int64_t min, max;
    const char *what;
};

/* clang-format off */
static const struct range ranges[] = {
    {"/starts_at",          offsetof(struct cap, starts_at_ms),  CAP_TIME_MIN_MS,
     CAP_TIME_MAX_MS,       "must be in the years 1970 to 9999"},
    {"/ends_at",            offsetof(struct cap, ends_at_ms),    CAP_TIME_MIN_MS,
     CAP_TIME_MAX_MS,       "must be in the years 1970 to 9999"},
    {"/total",              offsetof(struct cap, total),         0,
     UNITS_MAX,             "must be from 0 to 9007199254740991"},
    {"/initial_total",      offsetof(struct cap, initial_total), CAP_TOTAL_NONE,
     UNITS_MAX,             "must be from 0 to 9007199254740991, or null"},
    {"/topup_fraction",     offsetof(struct cap, topup_ppm),     1,
     PPM,                   "must be greater than 0 and at most 1"},
    {"/slice_max_fraction", offsetof(struct cap, slice_max_ppm), 1,
     PPM,                   "must be greater than 0 and at most 1"},
    {"/autonomy_ms",        offsetof(struct cap, autonomy_ms),   0,
     CAP_AUTONOMY_MS_MAX,   "must be from 0 to 3600000"},
};
/* clang-format on */

static bool check_ranges(const struct cap *c, struct err *e)
{
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        const struct range *r = &ranges[i];
        int64_t value = 0;

        memcpy(&value, (const char *)c + r->offset, sizeof(value));
        if (value < r->min || value > r->max)
            return err_at(e, r->pointer, "%s", r->what);
    }
    return true;
}

/*
 * The database also knows names that mean something else on another host
 * (localtime), nothing at all (Factory), or the same zone under another name
 * with other leap seconds.  None of them belongs in a definition.
 */
static bool is_local_name(const char *zone)
{
    static const char *const refused[] = {"posix/", "right/", "posixrules", "localtime", "Factory"};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (strncmp(zone, refused[i], strlen(refused[i])) == 0)
            return true;
    return false;
}

static bool is_zone_form(const char *zone)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_+-/";
    size_t len = strnlen(zone, CAP_TIME_ZONE_SIZE);

    return len > 0 && len < CAP_TIME_ZONE_SIZE && strspn(zone, allowed) == len &&
           !is_local_name(zone);
}

bool cap_validate(const struct cap *c, struct err *e)
{
    if (!name_is_valid(c->id))
        return err_at(e, "/id", "must be " NAME_RULE);
    if (c->interval < 0 || c->interval >= CAP_INTERVAL_COUNT)
        return err_at(e, "/interval", "must be one of: single hour day week month");
    if (!check_ranges(c, e))
        return false;
    if (c->ends_at_ms <= c->starts_at_ms)
        return err_at(e, "/ends_at", "must be later than starts_at");
    if (!is_zone_form(c->time_zone))
        return err_at(e, "/time_zone", "must be the name of a time zone, such as Europe/Berlin");
    return true;
}

bool cap_equal(const struct cap *a, const struct cap *b)
{
    return strcmp(a->id, b->id) == 0 && a->starts_at_ms == b->starts_at_ms &&
           a->ends_at_ms == b->ends_at_ms && a->interval == b->interval && a->total == b->total &&
           a->initial_total == b->initial_total && strcmp(a->time_zone, b->time_zone) == 0 &&
           a->topup_ppm == b->topup_ppm && a->slice_max_ppm == b->slice_max_ppm &&
           a->autonomy_ms == b->autonomy_ms && a->paused == b->paused;
}

#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define CLOCK_CHANGE_MS (2 * HOUR_MS) /* what a change of clocks may add to a window */

/* No window of this kind is longer.  A single one has no such length. */
static int64_t length_max_ms(int kind)
{
    static const int64_t lengths[] = {[CAP_HOUR] = HOUR_MS,
                                      [CAP_DAY] = DAY_MS,
                                      [CAP_WEEK] = 7 * DAY_MS,
                                      [CAP_MONTH] = 31 * DAY_MS};

    return lengths[kind] + CLOCK_CHANGE_MS;
}

bool cap_moves_windows(const struct cap *from, const struct cap *to, int64_t now_ms)
{
    bool starts = from->starts_at_ms != to->starts_at_ms;
    bool ends = from->ends_at_ms != to->ends_at_ms;

    if (from->interval != to->interval || strcmp(from->time_zone, to->time_zone) != 0)
        return true;
    if (from->interval == CAP_SINGLE)
        return starts || ends;

    /* The current window began at most one length ago; the next one ends within two. */
    int64_t length_ms = length_max_ms(from->interval);
    int64_t reach_ms = max_i64(now_ms, max_i64(from->starts_at_ms, to->starts_at_ms));
    return (starts && max_i64(from->starts_at_ms, to->starts_at_ms) > now_ms - length_ms) ||
           (ends && min_i64(from->ends_at_ms, to->ends_at_ms) < reach_ms + 2 * length_ms);
}

#define PHASES INT64_C(1000) /* of a second; 0 is the grid's own */

int64_t cap_phase_ms(int64_t grid_since_ms)
{
    return grid_since_ms == CAP_GRID_ALWAYS ? 0 : grid_since_ms % PHASES;
}

int64_t cap_next_grid_since(int64_t before_ms, int64_t now_ms)
{
    int64_t phase_ms = cap_phase_ms(before_ms) % (PHASES - 1) + 1;

    if (now_ms <= phase_ms)
        return phase_ms;
    return now_ms - (now_ms - phase_ms) % PHASES;
}
