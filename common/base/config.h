#pragma once

/*
 * config: settings from the environment, one row each, checked at start.
 *
 * A service has a table of rows over its own struct config; nothing else
 * reads getenv().  config_load() fills the struct and refuses a value out of
 * range, a text that is required and missing, a name that is none, and any
 * variable of the service's prefix that no row knows (a misspelt setting must
 * not be silent).  Texts borrow from the environment.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/err.h"

enum config_kind {
    CONFIG_KIND_INT,
    CONFIG_KIND_TEXT,
    CONFIG_KIND_SECRET,    /* a text that is never logged */
    CONFIG_KIND_NAME,      /* see num.h */
    CONFIG_KIND_HOST_NAME, /* a name; empty: the host's */
    CONFIG_KIND_LOG_LEVEL,
};

struct config_row {
    const char *env;
    enum config_kind kind;
    size_t offset;    /* of an int64_t (CONFIG_INT) or a const char * in the struct */
    const char *dflt; /* NULL: required */
    int64_t min, max; /* CONFIG_INT only */
    const char *what; /* one line for --help, with the unit */
};

/*
 * How rows are written.  `type` is the service's struct, `member` where in it
 * the value goes.
 *
 *   CONFIG_INT("LOCAL_LEARN_MS", struct local_config, learn_ms,
 *              "6000", 100, 3600000, "who has not spoken by then is gone, ms"),
 */
/* clang-format off */
#define CONFIG_INT(env, type, member, dflt, min, max, what)                                        \
    {env, CONFIG_KIND_INT, offsetof(type, member), dflt, min, max, what}
#define CONFIG_TEXT(env, type, member, dflt, what)                                                 \
    {env, CONFIG_KIND_TEXT, offsetof(type, member), dflt, 0, 0, what}
#define CONFIG_SECRET(env, type, member, dflt, what)                                               \
    {env, CONFIG_KIND_SECRET, offsetof(type, member), dflt, 0, 0, what}
#define CONFIG_NAME(env, type, member, dflt, what)                                                 \
    {env, CONFIG_KIND_NAME, offsetof(type, member), dflt, 0, 0, what}
#define CONFIG_HOST_NAME(env, type, member, what)                                                  \
    {env, CONFIG_KIND_HOST_NAME, offsetof(type, member), "", 0, 0, what "; empty: the host's"}
#define CONFIG_LOG_LEVEL(env, type, member)                                                        \
    {env, CONFIG_KIND_LOG_LEVEL, offsetof(type, member), "info", 0, 0, "debug, info, warn or error"}
/* clang-format on */

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

/* From now on only what is as important as the setting says is logged. */
MUST_CHECK bool config_set_log_level(const struct config_table *t, const void *config,
                                     struct err *e);
