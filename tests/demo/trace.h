#pragma once

/*
 * trace: who asked for what when, in the order of time.
 *
 * The file has a line "seconds key client" for each request: seconds since
 * 1970, the id of a cap, a number that stands for the client.  Lines that
 * begin with '#' are comments.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/cleanup.h"
#include "common/base/err.h"
#include "tests/demo/names.h"

#define TRACE_ROWS_MAX 2000000

struct trace_row {
    int64_t at_s;
    int32_t key;
    int32_t client;
    int32_t line; /* counted from 0: the order within a second */
};

struct trace {
    struct names *keys;
    struct names *clients;
    struct trace_row *rows;
    size_t count; /* at least 1 */
    size_t room;
    size_t passed_over; /* lines that were no requests */
};

struct trace *trace_free(struct trace *t);
CLEANUP_DEFINE(trace, struct trace, trace_free)
#define auto_trace CLEANUP(trace)

/* Reads a trace. */
MUST_CHECK bool trace_load(const char *path, struct trace **ret, struct err *e);

/* Reads an access log, gzipped or not; requests of the same second keep their order. */
MUST_CHECK bool trace_from_log(const char *path, struct trace **ret, struct err *e);

/* Writes it as trace_load reads it. */
void trace_write(const struct trace *t, FILE *out);
