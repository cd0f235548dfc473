#pragma once

/* body: caps as JSON. */

#include "common/io/js.h"
#include "services/meta-svc/intervals.h"
#include "services/meta-svc/store_peers.h"

/* The members of a definition, into an object that is open. */
void meta_body_definition(struct js_writer *w, const struct cap *cap);

/* Where it comes from, likewise. */
void meta_body_origin(struct js_writer *w, const struct cap_origin *origin);

/* The body of GET /definitions. */
void meta_body_news(const struct meta_news *news, struct buf *out);

/* A whole cap, as an object; `intervals` NULL leaves that member out. */
void meta_body_cap(struct js_writer *w, const struct meta_cap *m,
                   const struct meta_intervals *intervals);
