/* Lines of many threads: each whole, each with its own thread's request id, none lost. */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "tests/race/race.h"

#define WRITERS 3
#define LINES_MAX 20000 /* a writer: what is read back must fit into memory */

struct world {
    int64_t lines[WRITERS]; /* each its writer's own */
};

static void writer(struct race_thread *t)
{
    struct world *w = t->arg;
    char id[16];

    if (w->lines[t->index] == LINES_MAX)
        return;
    (void)snprintf(id, sizeof(id), "id-%d", t->index);
    log_request_id_set(id);
    CHECK(strcmp(log_request_id(), id) == 0);
    log_event(LOG_WARN, "race.line", log_i64("thread", t->index),
              log_i64("line", w->lines[t->index]++), log_str("text", "with \"quotes\"\nand lines"));
    log_event(LOG_DEBUG, "race.perhaps", log_i64("thread", t->index));
    log_request_id_set(NULL);
}

static void operator(struct race_thread *t)
{
    log_level_set(prng_below(&t->prng, 2) ? LOG_DEBUG : LOG_INFO);
}

struct reader {
    int64_t next[WRITERS];
};

static void check_line(struct reader *r, const char *line)
{
    long long number = -1;
    int thread = -1;
    char id[24];
    const char *event = strstr(line, " race.");

    CHECK(event);
    if (sscanf(event, " race.line thread=%d line=%lld ", &thread, &number) == 2) {
        CHECK(thread >= 0 && thread < WRITERS && number == r->next[thread]);
        r->next[thread]++;
    } else {
        CHECK(sscanf(event, " race.perhaps thread=%d ", &thread) == 1);
    }
    (void)snprintf(id, sizeof(id), " request_id=id-%d", thread);
    CHECK(strlen(line) > strlen(id) && strcmp(line + strlen(line) - strlen(id), id) == 0);
}

static void check_lines(FILE *f, const struct world *w)
{
    struct reader r = {.next = {0}};
    char line[400];

    rewind(f);
    while (fgets(line, sizeof(line), f)) {
        size_t len = strlen(line);
        CHECK(len > 0 && line[len - 1] == '\n');
        line[len - 1] = '\0';
        check_line(&r, line);
    }
    CHECK(memcmp(r.next, w->lines, sizeof(r.next)) == 0);
}

int main(void)
{
    struct world w = {.lines = {0}};
    FILE *f = tmpfile();
    const int terminal = dup(STDERR_FILENO);

    CHECK(f && terminal >= 0);
    /* As a service's stderr is opened: only then is each write at the end for sure. */
    CHECK(fcntl(fileno(f), F_SETFL, O_APPEND) == 0 && dup2(fileno(f), STDERR_FILENO) >= 0);
    RACE_RUN({writer, WRITERS, &w, false}, {operator, 1, &w, false});
    CHECK(dup2(terminal, STDERR_FILENO) >= 0 && close(terminal) == 0);

    check_lines(f, &w);
    (void)fclose(f);
    return 0;
}
