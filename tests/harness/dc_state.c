#include "tests/harness/dc_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"

/* Lines "conninfo TEXT", "process KIND PID PORT" for each, and "complete" when all was ready. */

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
    if (dc->conninfo)
        fprintf(f, "conninfo %s\n", dc->conninfo);
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
    char conninfo[512];

    if (sscanf(line, "conninfo %511[^\n]", conninfo) == 1) {
        free(dc->conninfo);
        dc->conninfo = strdup(conninfo);
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
    char path[DC_PATH_SIZE], line[640];

    dc_path(dc, "state", "", path);
    auto_file FILE *f = fopen(path, "re");
    if (!f)
        return false;
    while (fgets(line, sizeof(line), f))
        load_line(dc, line);
    return true;
}

bool dc_pid_is(pid_t pid, const char *program)
{
    char link[64], target[512];

    if (pid <= 0)
        return false;
    snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    if (len < 0)
        return false;
    target[len] = '\0';
    /* A program that was built anew since it started is "NAME (deleted)". */
    char *deleted = strstr(target, " (deleted)");
    if (deleted)
        *deleted = '\0';
    const char *name = strrchr(target, '/');
    return name && strcmp(name + 1, program) == 0;
}

pid_t dc_postmaster(const struct dc *dc)
{
    char path[DC_PATH_SIZE];
    int pid = 0;

    dc_path(dc, "postgresql/data/postmaster.pid", "", path);
    auto_file FILE *f = fopen(path, "re");
    if (!f || fscanf(f, "%d", &pid) != 1 || !dc_pid_is(pid, "postgres"))
        return 0;
    return pid;
}
