#pragma once

/* learning_json: what is in doubt, as JSON. */

#include "common/base/buf.h"
#include "services/local-svc/app.h"
#include "services/local-svc/store_learn.h"

MUST_CHECK bool learning_json(const struct local_app *app, struct buf *out, struct err *e);
