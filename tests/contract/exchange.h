#pragma once

/*
 * exchange: one request and its whole answer, headers included, as it goes
 * over the wire; what a client of ours would never send can be sent too.
 *
 * Each exchange is appended to the file that VOLUMECAP_TRAFFIC names, for
 * check.mjs, in the format of tests/harness/client.h and with the headers.
 */

#include <cjson/cJSON.h>
#include <stdint.h>

#include "common/base/cleanup.h"

#define EXCHANGE_HEADERS_MAX 3

struct exchange {
    const char *method;
    const char *path;
    const char *body;                          /* NULL: none */
    const char *headers[EXCHANGE_HEADERS_MAX]; /* "If-Match: *"; replaces the default of its name */
    int status;                                /* what it must be */
    const char *contains;                      /* what the body must contain; NULL: anything */
};

struct wire;

struct wire *wire_new(const char *service, int port);
struct wire *wire_free(struct wire *w);
CLEANUP_DEFINE(wire, struct wire, wire_free)
#define auto_wire CLEANUP(wire)

/* The status; 0 if no answer came. */
int wire_send(struct wire *w, const struct exchange *x);

/* Of the latest answer, until the next: the body as text, and a header by its lower-case name. */
const char *wire_body(const struct wire *w);
const char *wire_header(const struct wire *w, const char *name);

/* Sends all of them; the test fails at the first whose answer is not as it must be. */
void wire_expect(struct wire *w, const struct exchange *list, size_t count);

/* Repeats a request until its answer is as it must be; the test fails if that takes too long. */
void wire_await(struct wire *w, const struct exchange *x);
