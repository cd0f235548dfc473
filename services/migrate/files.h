#pragma once

/*
 * files: the migrations of a folder, in order.
 *
 * A file is NNNN_what.sql, in dbmate's format: everything after the line
 * "-- migrate:up".  There is no way down.
 */

#include <stddef.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"

#define MIGRATION_VERSION_SIZE 5
#define MIGRATIONS_MAX 1000

struct migration {
    char version[MIGRATION_VERSION_SIZE]; /* "0001" */
    char name[256];                       /* "0001_calendar.sql" */
    char *text;                           /* the whole file: what the checksum is over */
    const char *up;                       /* in text: what is executed */
};

struct migrations {
    size_t count;
    struct migration rows[MIGRATIONS_MAX];
};

MUST_CHECK bool migrations_read(const char *folder, struct migrations **ret, struct err *e);
struct migrations *migrations_free(struct migrations *m);
CLEANUP_DEFINE(migrations, struct migrations, migrations_free)
#define auto_migrations CLEANUP(migrations)
