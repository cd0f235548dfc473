#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "services/audit/run.h"

static int bad_usage(const struct err *e)
{
    (void)fprintf(stderr, "audit: %s\n", e->msg);
    options_usage(stderr);
    return REPORT_USAGE;
}

int main(int argc, char **argv)
{
    auto_free struct report *report = calloc(1, sizeof(*report));
    struct options options;
    struct err e = {0};

    CHECK(report != NULL);
    if (!options_parse(argc, argv, &options, &e))
        return bad_usage(&e);
    if (options.help) {
        options_usage(stdout);
        return REPORT_CLEAN;
    }
    if (!run_audit(&options, report, &e))
        return bad_usage(&e);
    if (options.json)
        report_print_json(report, stdout);
    else
        report_print(report, stdout);
    return (int)report_status(report);
}
