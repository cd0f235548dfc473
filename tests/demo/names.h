#pragma once

/* names: texts numbered 0, 1, 2 ... in the order in which they first come. */

#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/num.h"

#define NAMES_MAX 200000

struct names;

struct names *names_new(void);
struct names *names_free(struct names *n);
CLEANUP_DEFINE(names, struct names, names_free)
#define auto_names CLEANUP(names)

/* The number of `text`, which is cut after NAME_SIZE - 1 bytes; -1 if there are NAMES_MAX others.
 */
int32_t names_number(struct names *n, const char *text);

size_t names_count(const struct names *n);
const char *names_text(const struct names *n, int32_t number); /* borrowed */
