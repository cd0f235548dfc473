#pragma once

/* audit: the invariants of the quota law (docs/PROTOCOL.md), asked of the database in one snapshot;
 * of windows that are not closed. */

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/db.h"

#define AUDIT_CHECKS 9
#define AUDIT_EXAMPLES 5

struct audit_result {
    const char *id;        /* "I1" */
    const char *statement; /* what holds */
    int64_t violations;
    size_t examples_count;
    char examples[AUDIT_EXAMPLES][200];
};

struct audit {
    int64_t checked_at_ms; /* calendar */
    int64_t violations;    /* of all */
    struct audit_result results[AUDIT_CHECKS];
};

MUST_CHECK bool audit_run(struct db *db, struct audit *ret, struct err *e);
