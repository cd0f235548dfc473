#pragma once

/*
 * told: what one data centre was told last of each window, as fingerprints,
 * so that a round passes over what has not changed since.
 *
 * A fingerprint that is missing, or of a message that was lost, costs a row
 * that is told once more, or later: rows repeat, and nothing depends on them
 * being told once.  Not thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>

#include "services/remote-svc/span.h"

struct told;

/* Remembers at most `rows_max` windows; those beyond are told in every round. */
struct told *told_new(size_t rows_max);
struct told *told_free(struct told *t);

/* Just these words were the last about this window? */
bool told_is(struct told *t, const char *key, struct span row);
void told_note(struct told *t, const char *key, struct span row);

void told_forget(struct told *t);

/* Forgets the windows that nobody noted or asked about since the last sweep: they are over. */
void told_sweep(struct told *t);

size_t told_count(const struct told *t);
