#include "tests/harness/dc_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/harness/postmaster.h"

/*
 * Lines "number N", "standby" if there are two of what acts once, "conninfo TEXT",
 * "env NAME=VALUE" and "process KIND PID PORT" for each, and "complete" when all was ready.
 */

#define LINE_SIZE 4096

static void close_file(FILE **p)
{
    if (*p)
        fclose(*p);
}
#define auto_file __attribute__((cleanup(close_file)))

void dc_state_save(const struct dc *dc)
{
    char path[DC_PATH_SIZE], fresh[DC_PATH_SIZE];

    dc_path(dc, "state", "", path);
    dc_path(dc, "state", ".new", fresh);
    FILE *f = fopen(fresh, "we");
    if (!f)
        harness_fail("cannot write %s", fresh);
    fprintf(f, "number %d\n", dc->number);
    if (dc->standby)
        fprintf(f, "standby\n");
    if (dc->conninfo)
        fprintf(f, "conninfo %s\n", dc->conninfo);
    for (int i = 0; dc->env[i]; i++)
        fprintf(f, "env %s\n", dc->env[i]);
    for (int i = 0; i < dc->processes_count; i++)
        fprintf(f, "process %d %d %d\n", (int)dc->processes[i].kind, (int)dc->processes[i].pid,
                dc->processes[i].port);
    if (dc->is_complete)
        fprintf(f, "complete\n");
    if (fclose(f) != 0 || rename(fresh, path) != 0)
        harness_fail("cannot write %s", path);
}

static void load_line(struct dc *dc, const char *line)
{
    int kind = 0, pid = 0, port = 0;
    char text[LINE_SIZE];

    if (sscanf(line, "number %d", &dc->number) == 1)
        return;
    if (strcmp(line, "standby\n") == 0) {
        dc->standby = true;
        return;
    }
    if (sscanf(line, "conninfo %4095[^\n]", text) == 1) {
        free(dc->conninfo);
        dc->conninfo = strdup(text);
        return;
    }
    if (sscanf(line, "env %4095[^\n]", text) == 1) {
        dc_add_env(dc, text);
        return;
    }
    if (strcmp(line, "complete\n") == 0) {
        dc->is_complete = true;
        return;
    }
    if (sscanf(line, "process %d %d %d", &kind, &pid, &port) != 3 || kind < 0 || kind >= DC_KINDS)
        harness_fail("%s/state is not what this program writes: %s", dc->folder, line);
    dc_add(dc, (enum dc_kind)kind, port)->pid = pid;
}

bool dc_state_load(struct dc *dc)
{
    char path[DC_PATH_SIZE], line[LINE_SIZE + 16];

    dc_path(dc, "state", "", path);
    auto_file FILE *f = fopen(path, "re");
    if (!f)
        return false;
    while (fgets(line, sizeof(line), f))
        load_line(dc, line);
    return true;
}

pid_t dc_postmaster(const struct dc *dc)
{
    char path[DC_PATH_SIZE];

    dc_path(dc, "postgresql/data", "", path);
    return postmaster_pid(path);
}
