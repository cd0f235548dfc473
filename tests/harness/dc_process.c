#include "tests/harness/dc_internal.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/clk.h"

#define READY_MS 120000
#define STOP_MS 60000
#define POLL_MS 10

/* One process of a data centre, our child or not: its state, its end, and its faults. */

bool dc_process_is_running(const struct dc_process *process)
{
    return process->proc ? proc_is_running(process->proc)
                         : pid_is(process->pid, dc_service(process->kind));
}

int dc_process_stop(struct dc_process *process)
{
    if (!process->proc) {
        pid_stop(process->pid, dc_service(process->kind), SIGTERM);
        return 0;
    }
    proc_signal(process->proc, SIGCONT);
    return proc_stop(process->proc, STOP_MS);
}

void dc_find_restarted(struct dc *dc)
{
    struct dc *now = dc_attach(dc->folder);

    for (int i = 0; now && i < dc->processes_count && i < now->processes_count; i++) {
        struct dc_process *process = &dc->processes[i];
        if (process->pid == now->processes[i].pid)
            continue;
        process->proc = proc_free(process->proc);
        process->pid = now->processes[i].pid;
    }
    (void)dc_forget(now);
}

static bool stops_in_order(const struct dc *dc, struct dc_process *process)
{
    char log[DC_PATH_SIZE];
    int status = dc_process_stop(process);

    if (status == 0)
        return true;
    dc_path(dc, process->name, ".log", log);
    auto_free char *tail = file_tail(log);
    fprintf(stderr, "harness: %s ended with wait status %d; the end of its log:\n%s\n",
            process->name, status, tail ? tail : "");
    return false;
}

int dc_stop_services(struct dc *dc)
{
    int odd = 0;

    dc_find_restarted(dc);
    for (int i = dc->processes_count - 1; i >= 0; i--)
        if (dc_process_is_running(&dc->processes[i]))
            odd += !stops_in_order(dc, &dc->processes[i]);
    return odd;
}

static struct dc_process *find_mutable(struct dc *dc, enum dc_kind kind, int i)
{
    return &dc->processes[dc_find(dc, kind, i) - dc->processes];
}

static void signal_process(const struct dc_process *process, int signal)
{
    if (process->proc)
        proc_signal(process->proc, signal);
    else if (dc_process_is_running(process))
        kill(process->pid, signal);
}

void dc_kill(struct dc *dc, enum dc_kind kind, int i)
{
    const struct dc_process *process = dc_find(dc, kind, i);

    if (process->proc)
        proc_kill(process->proc);
    else
        pid_stop(process->pid, dc_service(kind), SIGKILL);
}

void dc_freeze(struct dc *dc, enum dc_kind kind, int i)
{
    signal_process(dc_find(dc, kind, i), SIGSTOP);
}

void dc_thaw(struct dc *dc, enum dc_kind kind, int i)
{
    signal_process(dc_find(dc, kind, i), SIGCONT);
}

int dc_terminate(struct dc *dc, enum dc_kind kind, int i)
{
    return dc_process_stop(find_mutable(dc, kind, i));
}

void dc_launch(struct dc *dc, enum dc_kind kind, int i)
{
    struct dc_process *process = find_mutable(dc, kind, i);

    CHECK(!dc_process_is_running(process));
    dc_spawn(dc, process);
    dc_state_save(dc); /* whoever started the one before is to find this one */
}

void dc_launch_alone(struct dc *dc, enum dc_kind kind, int i)
{
    struct dc_process *process = find_mutable(dc, kind, i);

    CHECK(dc_acts_once(kind) && !dc_process_is_running(process));
    process->is_alone = true;
    dc_spawn(dc, process);
    process->is_alone = false; /* the next time it is one of two again */
}

void dc_db_cut(struct dc *dc)
{
    line_cut(dc->db_line);
}

void dc_db_mend(struct dc *dc)
{
    line_mend(dc->db_line);
}

void dc_restart(struct dc *dc, enum dc_kind kind, int i)
{
    dc_launch(dc, kind, i);
    dc_wait_ready(dc, kind, i);
}

void dc_reap(struct dc *dc)
{
    for (int i = 0; i < dc->processes_count; i++)
        (void)dc_process_is_running(&dc->processes[i]);
    if (dc->pg)
        pg_reap(dc->pg);
}

bool dc_is_running(const struct dc *dc, enum dc_kind kind, int i)
{
    return dc_process_is_running(dc_find(dc, kind, i));
}

bool dc_is_ready(const struct dc *dc, enum dc_kind kind, int i)
{
    static const struct call ready = {.method = "GET", .path = "/readyz", .timeout_ms = 1000};
    auto_client struct client *c = dc_client(dc, kind, i);
    struct answer answer = {0};
    struct err e;

    return client_call(c, &ready, &answer, &e) && answer.status == 200;
}

void dc_wait_ready(const struct dc *dc, enum dc_kind kind, int i)
{
    const struct dc_process *process = dc_find(dc, kind, i);
    int64_t deadline_ms = clk_now_ms() + READY_MS;
    char log[DC_PATH_SIZE];

    while (dc_process_is_running(process) && clk_now_ms() < deadline_ms) {
        if (dc_is_ready(dc, kind, i))
            return;
        poll(NULL, 0, POLL_MS);
    }
    dc_path(dc, process->name, ".log", log);
    auto_free char *tail = file_tail(log);
    harness_fail("%s %s; the end of its log:\n%s", process->name,
                 dc_process_is_running(process) ? "does not become ready" : "has ended",
                 tail ? tail : "");
}
