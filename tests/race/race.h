#pragma once

/*
 * race: several threads do at once, as fast as they can and for about a
 * second, what they do in a service; afterwards the accounts must agree.
 *
 * These are plain programs, since Criterion and ThreadSanitizer crash
 * together.  They run in the ordinary builds too, where only the accounts
 * count.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/prng.h"

struct race_thread {
    void *arg;
    int index;        /* within its part */
    struct prng prng; /* its own; seeded by part and index */
};

typedef void race_step(struct race_thread *t);

struct race_part {
    race_step *step; /* repeated until the time is up; must not block for long */
    int threads;
    void *arg;
    bool serves; /* the others need it to end their last step: it goes on until they have */
};

/* Runs all parts together; returns when every thread has ended its last step. */
void race_run(const struct race_part *parts, size_t count);

#define RACE_RUN(...)                                                                              \
    race_run((const struct race_part[]){__VA_ARGS__},                                              \
             sizeof((const struct race_part[]){__VA_ARGS__}) / sizeof(struct race_part))
