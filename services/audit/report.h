#pragma once

/* report: what was found, as text for people or JSON for programs, and the exit status. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/domain/judge.h"
#include "common/domain/window_key.h"
#include "services/audit/options.h"
#include "services/audit/source.h"

#define REPORT_LINES_MAX 100 /* of each kind; the others are only counted */

enum report_status {
    REPORT_CLEAN = 0,
    REPORT_VIOLATED = 1,
    REPORT_USAGE = 2,
    REPORT_INCOMPLETE = 3, /* nothing was found, but not everything was looked at */
};

struct report_line {
    char rule[8];
    char dc[NAME_SIZE];    /* whose own audit says so; "": between data centres */
    struct window_key key; /* "": no one window */
    char text[300];
};

struct report_lines {
    int64_t total;
    size_t count; /* of `lines` */
    struct report_line lines[REPORT_LINES_MAX];
};

struct report {
    int64_t windows;
    int64_t partly_known; /* of them, those that some data centres do not have */
    int64_t unsummed;     /* of them, those whose sum (I6) cannot be checked */
    int64_t on_the_way;   /* transfers that were not there yet when they were first looked at */
    struct report_lines violations;
    struct report_lines moving;   /* windows that did not come to rest: not checked for I6 */
    struct report_lines problems; /* why it is incomplete */
};

void report_finding(struct report *r, const struct page_names *names, const struct window_key *key,
                    const struct judge_finding *f);
void report_own_audit(struct report *r, const struct source *s);
void report_moving(struct report *r, const struct window_key *key);
void report_problem(struct report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

enum report_status report_status(const struct report *r);

void report_print(const struct report *r, FILE *out);
void report_print_json(const struct report *r, FILE *out);
