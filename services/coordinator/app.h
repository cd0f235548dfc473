#pragma once

/* app: what the handlers of the coordinator share; made by main(), and only read afterwards. */

#include "common/io/httpd.h"
#include "services/coordinator/elector.h"
#include "services/coordinator/standing.h"

struct coordinator_app {
    const char *role;
    const char *name;
    struct standing *standing;
    struct elector *elector;
};

extern const struct httpd_route coordinator_routes[];
extern const size_t coordinator_routes_count;

httpd_handler coordinator_handle_get_leadership;
httpd_handler coordinator_handle_get_members;
httpd_handler coordinator_handle_step_down;

/* The body of GET /leadership. */
void coordinator_write_leadership(const struct coordinator_app *app,
                                  const struct standing_answer *answer, struct buf *out);
