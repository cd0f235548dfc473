#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/io/service.h"

struct config {
    int64_t port;
};

static const struct config_row rows[] = {
    CONFIG_INT("DEMO_PORT", struct config, port, "8083", 0, 65535, "0 picks any"),
};

static const struct config_table table = {
    .program = "demo-svc", .what = "Shows.", .prefix = "DEMO_", .rows = rows, .count = 1};

static bool begin_with(const char *argument, struct config *config, int *ret_status)
{
    char program[] = "demo-svc", copy[32] = "";
    char *argv[] = {program, copy, NULL};

    (void)strncpy(copy, argument, sizeof(copy) - 1);
    return service_begin(copy[0] == '\0' ? 1 : 2, argv, &table, config, ret_status);
}

Test(service, help_is_printed_and_is_a_success, .init = cr_redirect_stdout)
{
    struct config config = {0};
    int status = -1;

    cr_expect_not(begin_with("--help", &config, &status));
    cr_expect(status == 0);
}

Test(service, the_version_is_printed_with_the_name, .init = cr_redirect_stdout)
{
    struct config config = {0};
    int status = -1;

    cr_expect_not(begin_with("--version", &config, &status));
    cr_expect(status == 0);
    (void)fflush(stdout);
    cr_expect_stdout_eq_str("demo-svc " VOLUMECAP_VERSION "\n");
}

Test(service, an_unknown_argument_is_a_mistake)
{
    struct config config = {0};
    int status = -1;

    cr_expect_not(begin_with("--port", &config, &status));
    cr_expect(status == 2);
}

Test(service, a_bad_setting_stops_the_start)
{
    struct config config = {0};
    int status = -1;

    cr_assert(setenv("DEMO_PORT", "x", 1) == 0);
    cr_expect_not(begin_with("", &config, &status));
    cr_expect(status == 1);
}

Test(service, as_many_files_as_the_host_allows_may_be_open)
{
    struct config config = {0};
    struct rlimit limit;
    int status = -1;

    cr_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 100;
    cr_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    cr_assert(begin_with("", &config, &status));
    cr_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    cr_expect(limit.rlim_cur == limit.rlim_max && limit.rlim_max > 100);
}

Test(service, a_peer_that_hangs_up_does_not_end_the_process)
{
    struct config config = {0};
    int status = -1, ends[2];

    cr_assert(begin_with("", &config, &status));
    cr_expect(config.port == 8083);
    cr_assert(pipe(ends) == 0 && close(ends[0]) == 0);
    cr_expect(write(ends[1], "x", 1) < 0);
}

Test(service, sigterm_and_sigint_end_the_wait_even_if_they_came_before)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct config config = {0};
    int status = -1;

    cr_assert(begin_with("", &config, &status));
    for (size_t i = 0; i < 2; i++) {
        cr_assert(kill(getpid(), signals[i]) == 0);
        service_wait();
    }
}

static void *stop(void *arg)
{
    service_stop();
    return arg;
}

Test(service, another_thread_can_end_the_wait)
{
    struct config config = {0};
    int status = -1;
    pthread_t thread;

    cr_assert(begin_with("", &config, &status));
    cr_assert(pthread_create(&thread, NULL, stop, NULL) == 0);
    service_wait();
    cr_assert(pthread_join(thread, NULL) == 0);
}
