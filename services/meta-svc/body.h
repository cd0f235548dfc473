#pragma once

/* body: caps as JSON. */

#include "common/io/js.h"
#include "services/meta-svc/intervals.h"
#include "services/meta-svc/store.h"

/* The members of a definition, into an object that is open. */
void meta_body_definition(struct js_writer *w, const struct cap *cap);

/* A whole cap, as an object; `intervals` NULL leaves that member out. */
void meta_body_cap(struct js_writer *w, const struct meta_cap *m,
                   const struct meta_intervals *intervals);
