#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"

/*
 * stderr becomes one end of a datagram socket: each write(2) is one message,
 * so that reading one proves that a line was one write.
 */
static int capture(void)
{
    int pair[2];

    cr_assert(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0);
    cr_assert(dup2(pair[0], STDERR_FILENO) >= 0);
    (void)close(pair[0]);
    return pair[1];
}

/* The next line without its time, which is checked for its form. */
static const char *next_line(int fd)
{
    static char line[8192];
    ssize_t len = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);

    if (len < 0)
        return "nothing was logged";
    line[len] = '\0';
    cr_assert(len > 26 && line[len - 1] == '\n', "%s", line);
    cr_assert(line[4] == '-' && line[10] == 'T' && line[19] == '.' && line[23] == 'Z', "%s", line);
    line[len - 1] = '\0';
    return line + 25;
}

Test(log, an_event_is_one_line_of_key_and_value)
{
    int fd = capture();

    log_event(LOG_INFO, "outbox.delivered", log_str("path", "/definitions/a"), log_i64("rows", -3));
    cr_expect_str_eq(next_line(fd), "info outbox.delivered path=/definitions/a rows=-3");
}

Test(log, an_event_may_stand_alone)
{
    int fd = capture();

    log_event(LOG_ERROR, "db.down");
    cr_expect_str_eq(next_line(fd), "error db.down");
}

static const struct value_row {
    const char *name, *value, *line;
} value_rows[] = {
    {"plain text stays as it is", "a/b:c", "v=a/b:c"},
    {"a space needs quotes", "a b", "v=\"a b\""},
    {"nothing is visible", "", "v=\"\""},
    {"NULL is like nothing", NULL, "v=\"\""},
    {"a newline cannot start a line", "a\nb", "v=\"a\\nb\""},
    {"quotes and backslashes are escaped", "a\"\\", "v=\"a\\\"\\\\\""},
    {"an equals sign cannot make a key", "a=b", "v=\"a=b\""},
    {"control characters are hexadecimal", "\x1b[1m\x7f\r\t", "v=\"\\x1b[1m\\x7f\\x0d\\x09\""},
    {"UTF-8 stays as it is", "\xc3\xa9", "v=\xc3\xa9"},
};

Test(log, values_are_escaped)
{
    int fd = capture();

    for (size_t i = 0; i < sizeof(value_rows) / sizeof(value_rows[0]); i++) {
        log_event(LOG_INFO, "e", log_str("v", value_rows[i].value));
        const char *line = next_line(fd);
        cr_expect_str_eq(line + strlen("info e "), value_rows[i].line, "%s: %s", value_rows[i].name,
                         line);
    }
}

Test(log, events_below_the_level_are_left_out)
{
    int fd = capture();

    log_event(LOG_DEBUG, "quiet");
    cr_expect_str_eq(next_line(fd), "nothing was logged");
    log_level_set(LOG_DEBUG);
    log_event(LOG_DEBUG, "loud");
    cr_expect_str_eq(next_line(fd), "debug loud");
}

Test(log, a_line_too_long_is_cut_and_says_so)
{
    int fd = capture();
    char text[9000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    text[0] = ' '; /* so that it is added character by character */
    log_event(LOG_INFO, "long", log_str("v", text), log_i64("after", 1));
    const char *line = next_line(fd);
    cr_expect(strlen(line) < 4096);
    cr_expect_str_eq(line + strlen(line) - 4, "x...");
}

static void *log_elsewhere(void *arg)
{
    (void)arg;
    log_event(LOG_INFO, "elsewhere");
    return NULL;
}

Test(log, the_request_id_is_on_the_lines_of_its_thread_only)
{
    int fd = capture();
    pthread_t thread;

    log_service_set("local-svc");
    log_request_id_set("r 1");
    log_event(LOG_INFO, "here");
    cr_expect_str_eq(next_line(fd), "info here service=local-svc request_id=\"r 1\"");

    cr_assert(pthread_create(&thread, NULL, log_elsewhere, NULL) == 0);
    cr_assert(pthread_join(thread, NULL) == 0);
    cr_expect_str_eq(next_line(fd), "info elsewhere service=local-svc");

    log_request_id_set(NULL);
    cr_expect_str_eq(log_request_id(), "");
    log_event(LOG_INFO, "here");
    cr_expect_str_eq(next_line(fd), "info here service=local-svc");
}

Test(log, a_request_id_too_long_is_cut)
{
    char id[300];

    memset(id, 'i', sizeof(id) - 1);
    id[sizeof(id) - 1] = '\0';
    log_request_id_set(id);
    cr_expect(strlen(log_request_id()) == 128);
}
