#include "services/interval-svc/store_rows.h"

#include <string.h>

#include "common/base/check.h"

/* The database's constraints have checked the lengths. */
static void copy_text(char *ret, size_t size, const char *text)
{
    CHECK(strlen(text) < size);
    memcpy(ret, text, strlen(text) + 1);
}

struct interval interval_row(const struct db_rows *rows, int row, int first)
{
    struct interval w = {
        .starts_at_ms = db_get_i64(rows, row, first),
        .ends_at_ms = db_get_i64(rows, row, first + 1),
        .grid_starts_ms = db_get_i64(rows, row, first + 2),
        .version = db_get_i64(rows, row, first + 3),
        .state = interval_state_of(db_get_text(rows, row, first + 4)),
        .total = db_get_i64(rows, row, first + 5),
        .paused = db_get_bool(rows, row, first + 6),
        .total_max = db_get_i64(rows, row, first + 8),
    };

    CHECK(w.state >= 0);
    copy_text(w.home, sizeof(w.home), db_get_text(rows, row, first + 7));
    return w;
}

struct interval_definition interval_definition_row(const struct db_rows *rows, int row)
{
    struct interval_definition d = {
        .cap = {.starts_at_ms = db_get_i64(rows, row, 3),
                .ends_at_ms = db_get_i64(rows, row, 4),
                .interval = cap_interval_of(db_get_text(rows, row, 5)),
                .total = db_get_i64(rows, row, 6),
                .initial_total = db_get_i64(rows, row, 7),
                .topup_ppm = db_get_i64(rows, row, 9),
                .slice_max_ppm = db_get_i64(rows, row, 10),
                .autonomy_ms = db_get_i64(rows, row, 11),
                .paused = db_get_bool(rows, row, 12)},
        .origin = {.changed_at_ms = db_get_i64(rows, row, 14),
                   .grid_since_ms = db_get_i64(rows, row, 15)},
        .version = db_get_i64(rows, row, 1),
        .home_version = db_get_i64(rows, row, 16),
        .deleted = db_get_bool(rows, row, 2),
    };

    CHECK(d.cap.interval >= 0);
    copy_text(d.cap.id, sizeof(d.cap.id), db_get_text(rows, row, 0));
    copy_text(d.cap.time_zone, sizeof(d.cap.time_zone), db_get_text(rows, row, 8));
    copy_text(d.origin.home, sizeof(d.origin.home), db_get_text(rows, row, 13));
    return d;
}
