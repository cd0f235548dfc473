#include "common/base/log.h"
#include "common/io/service.h"
#include "services/migrate/config.h"
#include "services/migrate/migrate.h"

int main(int argc, char **argv)
{
    struct migrate_config config = {0};
    struct err e = {0};
    int64_t applied = 0;
    int status = 0;

    if (!service_begin(argc, argv, &migrate_config_table, &config, &status))
        return status;
    if (!migrate_run(&config, &applied, &e))
        return service_failed(&e);
    log_event(LOG_INFO, "migrate.done", log_i64("applied", applied));
    return 0;
}
