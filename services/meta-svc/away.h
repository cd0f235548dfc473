#pragma once

/* away: what a client is told that changes a cap of another data centre. */

#include "common/io/httpd.h"

/* A 409 whose problem document names the home. */
void meta_away(const struct httpd_request *http, const char *id, const char *home,
               struct httpd_reply *reply);
