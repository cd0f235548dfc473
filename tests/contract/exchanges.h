#pragma once

/* exchanges: what the tests of the single services share. */

#include "tests/contract/exchange.h"
#include "tests/harness/dc.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOT_JSON .headers = {"Content-Type: text/plain"}

/* A client of the first process of that kind; free it. */
struct wire *exchanges_wire(const struct dc *dc, enum dc_kind kind);

/* What every service has: its built-in operations, and a refusal of paths that it does not. */
void exchanges_builtin(struct wire *w);

/* JSON that is larger than `size`: a body that is too large wherever no more is taken. */
char *exchanges_large_body(size_t size);
