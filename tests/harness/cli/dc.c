/*
 * dc up|status|down --dir FOLDER [--servers N]: a data centre that goes on
 * after the command, for people to try.  `up` also starts again what has died.
 */

#include <stdio.h>
#include <string.h>

#include "common/base/num.h"
#include "tests/harness/dc.h"
#include "tests/harness/proc.h"

struct arguments {
    const char *command;
    const char *folder;
    int64_t servers;
};

static bool parse(int argc, char **argv, struct arguments *ret)
{
    struct err e;

    *ret = (struct arguments){.command = argc > 1 ? argv[1] : "", .servers = 3};
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--dir") == 0)
            ret->folder = argv[i + 1];
        else if (strcmp(argv[i], "--servers") != 0 ||
                 !num_parse_i64(argv[i + 1], 1, DC_REPLICAS_MAX, &ret->servers, &e))
            return false;
    }
    return argc > 1 && argc % 2 == 0 && ret->folder;
}

static const char *state_of(const struct dc *dc, enum dc_kind kind, int i)
{
    if (!dc_is_running(dc, kind, i))
        return "dead";
    return dc_is_ready(dc, kind, i) ? "ready" : "not ready";
}

/* Returns how many processes are not ready. */
static int show(const struct dc *dc)
{
    int missing = 0;

    for (enum dc_kind kind = 0; kind < DC_KINDS; kind++)
        for (int i = 0; i < dc_count(dc, kind); i++) {
            const char *state = state_of(dc, kind, i);
            missing += strcmp(state, "ready") != 0;
            printf("%-18s http://127.0.0.1:%-6d pid %-8d %s\n", dc_service(kind),
                   dc_port(dc, kind, i), (int)dc_pid(dc, kind, i), state);
        }
    printf("%-18s %s\n", "PostgreSQL", dc_conninfo(dc));
    printf("%-18s %s/*.log\n", "logs", dc_folder(dc));
    return missing;
}

static void show_what_to_try(const struct dc *dc)
{
    static const char *const type = "-H 'Content-Type: application/json'";

    printf("\nTry:\n"
           "  curl -X PUT http://127.0.0.1:%d/caps/coupons %s -d "
           "'{\"starts_at\":\"2025-01-01T00:00:00Z\",\"ends_at\":\"2035-01-01T00:00:00Z\","
           "\"interval\":\"day\",\"total\":100,\"time_zone\":\"Europe/Berlin\"}'\n",
           dc_port(dc, DC_META, 0), type);
    printf("  curl -X POST http://127.0.0.1:%d/consume %s -d '{\"cap\":\"coupons\"}'\n",
           dc_port(dc, DC_SERVER, 0), type);
    printf("  curl http://127.0.0.1:%d/pools/coupons\n", dc_port(dc, DC_LOCAL, 0));
}

static int up(const struct arguments *a)
{
    struct dc *dc = dc_attach(a->folder);

    if (dc && dc_count(dc, DC_SERVER) == 0)
        dc = dc_stop(dc); /* what is left of a start that was broken off */
    if (dc)
        dc_heal(dc);
    else
        dc = dc_start(&(struct dc_options){.folder = a->folder,
                                           .servers = (int)a->servers,
                                           .documented_ports = true,
                                           .outlives = true});
    int missing = show(dc);
    show_what_to_try(dc);
    dc_forget(dc);
    return missing != 0;
}

static int status(const struct arguments *a)
{
    struct dc *dc = dc_attach(a->folder);

    if (!dc) {
        printf("nothing is up\n");
        return 1;
    }
    int missing = show(dc);
    dc_forget(dc);
    return missing != 0;
}

static int down(const struct arguments *a)
{
    struct dc *dc = dc_attach(a->folder);

    if (!dc) {
        printf("nothing is up\n");
        return 0;
    }
    dc_stop(dc);
    folder_remove(a->folder);
    printf("stopped; %s is gone\n", a->folder);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct arguments *a);
    } commands[] = {{"up", up}, {"status", status}, {"down", down}};
    struct arguments a;

    if (parse(argc, argv, &a))
        for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
            if (strcmp(commands[i].name, a.command) == 0)
                return commands[i].run(&a);
    fprintf(stderr, "usage: dc up|status|down --dir FOLDER [--servers N]\n");
    return 2;
}
