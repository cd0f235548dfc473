#include "tests/harness/program.h"

#include <stdio.h>
#include <sys/wait.h>

#define ARGS_MAX 12
#define END_MS 300000

void program_init(struct program *p)
{
    *p = (struct program){.folder = folder_scratch()};
    snprintf(p->log, sizeof(p->log), "%s/program.log", p->folder);
}

void program_done(struct program *p)
{
    p->proc = proc_free(p->proc);
    free(p->folder);
    p->folder = NULL;
}

void program_start(struct program *p, const char *name, const char *const *args)
{
    const char *argv[ARGS_MAX + 2];
    char path[300];

    snprintf(path, sizeof(path), "%s/%s", VOLUMECAP_BIN, name);
    argv[0] = path;
    for (size_t i = 0; (argv[1 + i] = args[i]); i++)
        if (i == ARGS_MAX)
            harness_fail("too many arguments for %s", name);
    remove(p->log);
    p->proc = proc_start(&(struct proc_options){.argv = argv, .log = p->log});
}

const char *program_output(struct program *p)
{
    FILE *f = fopen(p->log, "r");
    size_t len = f ? fread(p->output, 1, sizeof(p->output) - 1, f) : 0;

    if (f)
        fclose(f);
    p->output[len] = '\0';
    return p->output;
}

int program_finish(struct program *p)
{
    int status = 0;

    if (!proc_wait(p->proc, END_MS, &status) || !WIFEXITED(status))
        harness_fail("it does not end, or not in order: %s", program_output(p));
    p->proc = proc_free(p->proc);
    program_output(p);
    return WEXITSTATUS(status);
}

int program_run(struct program *p, const char *name, const char *const *args)
{
    program_start(p, name, args);
    return program_finish(p);
}
