#pragma once

/* program: one run of a program that ends by itself, and what it printed.  Aborts on accidents. */

#include <stdbool.h>

#include "tests/harness/proc.h"

#define PROGRAM_OUTPUT_MAX 65536

struct program {
    char *folder;
    char log[200];
    struct proc *proc;
    char output[PROGRAM_OUTPUT_MAX]; /* stdout and stderr, as program_output() read them last */
};

void program_init(struct program *p);
void program_done(struct program *p);

/* `name` is that of a program of ours; `args` NULL-terminated, at most 12. */
void program_start(struct program *p, const char *name, const char *const *args);

/* What the run has printed so far. */
const char *program_output(struct program *p);

/* Waits for its end; the exit status. */
int program_finish(struct program *p);
int program_run(struct program *p, const char *name, const char *const *args);
