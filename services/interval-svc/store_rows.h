#pragma once

/* store_rows: rows of the tables as structs; shared by the store's files. */

#include "common/domain/interval.h"
#include "common/io/db.h"
#include "services/interval-svc/store.h"

#define INTERVAL_COLUMNS                                                                           \
    "calendar.to_ms(starts_at), calendar.to_ms(ends_at), calendar.to_ms(grid_starts_at), version," \
    " state, total, paused, home, total_max"

/* The window in the columns from `first` on. */
struct interval interval_row(const struct db_rows *rows, int row, int first);

#define DEFINITION_COLUMNS                                                                         \
    "d.id, d.version, d.deleted, calendar.to_ms(d.starts_at), calendar.to_ms(d.ends_at),"          \
    " d.interval, d.total, coalesce(d.initial_total, -1), d.time_zone, d.topup_ppm,"               \
    " d.slice_max_ppm, d.autonomy_ms, d.paused, d.home, calendar.to_ms(d.changed_at),"             \
    " coalesce(calendar.to_ms(d.grid_since), -1), d.home_version"
#define DEFINITION_COLUMNS_COUNT 17

struct interval_definition interval_definition_row(const struct db_rows *rows, int row);
