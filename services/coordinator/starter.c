#include "services/coordinator/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/base/num.h"

#define PAUSE_FIRST_MS 1000
#define PAUSE_MAX_MS 60000

struct starter {
    struct starter_config config;
    int64_t alone_since_ms; /* 0: not alone, or not primary */
    bool is_missing;
    pid_t pid; /* of the command; 0: none is running */
    int64_t started_ms;
    int64_t not_before_ms;
    int64_t pause_ms;

    struct metric *standbys;
    struct metric *missing;
    struct metric *starts;
};

struct starter *starter_new(const struct starter_config *config)
{
    struct starter *s = calloc(1, sizeof(*s));
    struct metrics *m = config->metrics;

    CHECK(s != NULL);
    s->config = *config;
    s->pause_ms = PAUSE_FIRST_MS;
    s->standbys =
        metric_new(m, METRIC_GAUGE, "volumecap_standbys",
                   "Standbys that the primary sees alive; 0 if this is not the primary", NULL);
    s->missing = metric_new(m, METRIC_GAUGE, "volumecap_standby_missing",
                            "1 if this is the primary and has had no standby for a while", NULL);
    s->starts = metric_new(m, METRIC_COUNTER, "volumecap_standby_starts_total",
                           "Commands to start a standby, by how they ended", "outcome");
    (void)metric_at(s->starts, "ok", NULL, NULL);
    (void)metric_at(s->starts, "failed", NULL, NULL);
    return s;
}

/* The command gets the signals, the files and the process group of a program of its own. */
static int spawn(const char *command, pid_t *ret)
{
    char shell[] = "/bin/sh", option[] = "-c";
    auto_free char *text = strdup(command);
    char *const argv[] = {shell, option, text, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;

    CHECK(text != NULL && sigemptyset(&none) == 0 && sigfillset(&all) == 0);
    CHECK(posix_spawn_file_actions_init(&files) == 0 && posix_spawnattr_init(&attributes) == 0);
    CHECK(posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0) == 0);
    CHECK(posix_spawn_file_actions_addclosefrom_np(&files, 3) == 0);
    CHECK(posix_spawnattr_setsigmask(&attributes, &none) == 0);
    CHECK(posix_spawnattr_setsigdefault(&attributes, &all) == 0);
    CHECK(posix_spawnattr_setpgroup(&attributes, 0) == 0);
    CHECK(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETPGROUP) == 0);
    int status = posix_spawn(ret, shell, &files, &attributes, argv, environ);
    CHECK(posix_spawn_file_actions_destroy(&files) == 0);
    CHECK(posix_spawnattr_destroy(&attributes) == 0);
    return status;
}

static void count(struct starter *s, bool ok)
{
    metric_add(metric_at(s->starts, ok ? "ok" : "failed", NULL, NULL), 1);
}

static void start(struct starter *s, int64_t now_ms)
{
    int status = spawn(s->config.command, &s->pid);

    s->started_ms = now_ms;
    s->not_before_ms = now_ms + s->pause_ms;
    s->pause_ms = min_i64(s->pause_ms * 2, PAUSE_MAX_MS);
    if (status == 0) {
        log_event(LOG_INFO, "standby.starting", log_i64("pid", s->pid));
        return;
    }
    s->pid = 0;
    count(s, false);
    log_event(LOG_ERROR, "standby.start_failed", log_str("error", strerror(status)),
              log_str("then", "will retry"));
}

static void note_end(struct starter *s, int status)
{
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    count(s, ok);
    log_event(ok ? LOG_INFO : LOG_ERROR, "standby.start_ended", log_i64("pid", s->pid),
              log_i64("status", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
              log_i64("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0));
    s->pid = 0;
}

void starter_reap(struct starter *s)
{
    int status = 0;

    if (s->pid == 0)
        return;
    if (clk_now_ms() - s->started_ms >= s->config.command_ms)
        (void)kill(-s->pid, SIGKILL);
    if (waitpid(s->pid, &status, WNOHANG) == s->pid)
        note_end(s, status);
}

static void set_missing(struct starter *s, bool is_missing)
{
    if (s->is_missing == is_missing)
        return;
    s->is_missing = is_missing;
    metric_put(s->missing, is_missing);
    if (is_missing)
        log_event(LOG_WARN, "standby.missing", log_i64("for_ms", s->config.missing_ms));
    else
        log_event(LOG_INFO, "standby.missing_no_more");
}

void starter_tick(struct starter *s, int64_t standbys)
{
    int64_t now_ms = clk_now_ms();

    starter_reap(s);
    metric_put(s->standbys, max_i64(standbys, 0));
    if (standbys != 0) {
        s->alone_since_ms = 0;
        s->pause_ms = PAUSE_FIRST_MS;
        set_missing(s, false);
        return;
    }
    if (s->alone_since_ms == 0)
        s->alone_since_ms = now_ms;
    if (now_ms - s->alone_since_ms < s->config.missing_ms)
        return;
    set_missing(s, true);
    if (s->config.command[0] != '\0' && s->pid == 0 && now_ms >= s->not_before_ms)
        start(s, now_ms);
}

struct starter *starter_free(struct starter *s)
{
    if (s == NULL)
        return NULL;
    if (s->pid != 0) {
        (void)kill(-s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    free(s);
    return NULL;
}
