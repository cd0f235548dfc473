#pragma once

/* options: what the command line asks for. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/err.h"
#include "common/base/num.h"
#include "common/domain/judge.h"

#define URL_SIZE 256

struct options_dc {
    char name[NAME_SIZE];
    char url[URL_SIZE]; /* of its local-svc, without a slash at the end */
};

struct options {
    size_t count; /* 1 to JUDGE_DCS_MAX */
    struct options_dc dcs[JUDGE_DCS_MAX];
    char cap[NAME_SIZE]; /* only this one; "": all */
    int64_t wait_ms;     /* for windows to come to rest, 0 to OPTIONS_WAIT_MS_MAX */
    int64_t transit_ms;  /* how long units may be on their way, likewise */
    bool json, help;
};

#define OPTIONS_WAIT_MS_MAX 3600000

/* ERR_INVALID: say so, and show the usage. */
MUST_CHECK bool options_parse(int argc, char **argv, struct options *ret, struct err *e);

void options_usage(FILE *out);
