#pragma once

/*
 * outbox_internal: the table's side of outbox, for outbox.c alone.
 *
 *   outbox.c        the relay: when to send what
 *   outbox_store.c  the SQL
 */

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/io/db.h"

#define OUTBOX_BATCH_MAX 100

/*
 * Whoever takes a message has it to itself for this long.  After a crash in
 * between, its messages wait for as long, or until the next one begins its term.
 */
#define OUTBOX_LEASE_MS 10000

enum outbox_verdict {
    OUTBOX_UNSENT,    /* given back as it was taken */
    OUTBOX_DELIVERED, /* deleted */
    OUTBOX_DELAYED,   /* tried again after pause_ms */
    OUTBOX_PARKED,    /* refused for good */
};

struct outbox_message {
    int64_t id;
    int64_t version;
    int64_t attempts; /* failures so far */
    const char *path; /* the three texts borrow from the batch */
    const char *body;
    const char *request_id;
    enum outbox_verdict verdict;
    int64_t pause_ms; /* OUTBOX_DELAYED */
    char error[200];  /* OUTBOX_DELAYED, OUTBOX_PARKED */
};

struct outbox_batch {
    size_t count;
    struct outbox_message messages[OUTBOX_BATCH_MAX];
    struct db_rows *rows;
};

struct outbox_sql;

/* CHECKs that the schema is one with an outbox. */
const struct outbox_sql *outbox_sql_of(const char *schema);

/* In whose name messages are taken. */
struct outbox_term {
    const char *role; /* NULL: any relay may take them, and the rest is of no account */
    int64_t epoch;
    bool begins; /* whoever took messages before takes none any more: their leases are over */
};

/* Takes what is due, oldest first, and leases it. */
MUST_CHECK bool outbox_lease(struct db *db, const struct outbox_sql *sql,
                             const struct outbox_term *term, struct outbox_batch *ret,
                             struct err *e);

/* Writes the verdicts down; messages that were replaced meanwhile stay as they are. */
MUST_CHECK bool outbox_settle(struct db *db, const struct outbox_sql *sql,
                              const struct outbox_batch *batch, struct err *e);

void outbox_batch_done(struct outbox_batch *batch);

struct outbox_depth {
    int64_t rows;          /* not parked */
    int64_t oldest_age_ms; /* 0 if there are none */
    int64_t next_due_ms;   /* from now; -1 if there are none */
};

MUST_CHECK bool outbox_measure(struct db *db, const struct outbox_sql *sql,
                               struct outbox_depth *ret, struct err *e);
