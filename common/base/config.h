#pragma once

/*
 * config: settings from the environment, one row each, checked at start.
 *
 * A service has a table of rows over its own struct config; nothing else
 * reads getenv().  config_load() fills the struct and refuses a value out of
 * range, a text that is required and missing, and any variable of the
 * service's prefix that no row knows (a misspelt setting must not be silent).
 * Texts borrow from the environment.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/err.h"

enum config_kind { CONFIG_INT, CONFIG_TEXT, CONFIG_SECRET };

struct config_row {
    const char *env;
    enum config_kind kind;
    size_t offset;    /* of an int64_t (CONFIG_INT) or a const char * in the struct */
    const char *dflt; /* NULL: required */
    int64_t min, max; /* CONFIG_INT only */
    const char *what; /* one line for --help, with the unit */
};

struct config_table {
    const char *program; /* "local-svc" */
    const char *what;    /* one sentence for --help */
    const char *prefix;  /* "LOCAL_": every setting starts with it */
    const struct config_row *rows;
    size_t count;
};

MUST_CHECK bool config_load(const struct config_table *t, void *ret, struct err *e);
void config_help(const struct config_table *t, FILE *out);
void config_log(const struct config_table *t, const void *config); /* secrets masked */
