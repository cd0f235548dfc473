#pragma once

/*
 * service: what every main() does the same way: --help and --version, signals
 * blocked before the first thread and taken by one sigwait, as many open files
 * as the host allows, logs.
 *
 *   int main(int argc, char **argv) {
 *       struct config config = {0};
 *       int status = 0;
 *       if (!service_begin(argc, argv, &config_table, &config, &status))
 *           return status;
 *       ... start everything with auto_ ...
 *       service_wait();         // until SIGTERM or SIGINT
 *       ... drain ...
 *   }
 */

#include <stdbool.h>

#include "common/base/config.h"
#include "common/base/err.h"

/* False: exit with *ret_status at once (help was printed, or a setting is bad). */
bool service_begin(int argc, char **argv, const struct config_table *table, void *config,
                   int *ret_status);

/* Logs "service.failed" with the error; always returns 1, for main() to return. */
int service_failed(const struct err *e);

/* Blocks until SIGTERM or SIGINT, or service_stop() of another thread. */
void service_wait(void);
void service_stop(void);
