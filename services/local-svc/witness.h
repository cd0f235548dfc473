#pragma once

/*
 * witness: what this process remembers of what it has committed, so that it
 * finds a database that went back (common/domain/learn.h).  Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/prng.h"
#include "common/domain/learn.h"

struct witness;

struct witness *witness_new(void);
struct witness *witness_free(struct witness *w);
CLEANUP_DEFINE(witness, struct witness, witness_free)
#define auto_witness CLEANUP(witness)

const char *witness_process(const struct witness *w); /* a UUID, of this process alone */

/* What is known before a transaction begins. */
struct learn_memory witness_memory(struct witness *w);

/* A transaction of this process was committed, or the database read. */
void witness_saw(struct witness *w, int64_t commits, int64_t writers);

/*
 * It is about to take itself off the database's list: from then on that it is not
 * there is no sign of anything, and nothing guarded may be done any more.
 */
void witness_leave(struct witness *w);
bool witness_has_left(struct witness *w);

/* Others have struck this process off: it registers again. */
void witness_forget(struct witness *w);

/* Others strike off who commits nothing for so long; who was away for half of it knows nothing. */
#define WITNESS_STRUCK_MS 60000
