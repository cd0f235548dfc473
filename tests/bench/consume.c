#include "tests/bench/bench.h"
#include "tests/bench/rivals.h"

#define CONNECTIONS 64
#define SERVER_THREADS 2 /* the default of volumecap-server */
#define CAP                                                                                        \
    "{\"starts_at\":\"2020-01-01T00:00:00Z\",\"ends_at\":\"2100-01-01T00:00:00Z\","                \
    "\"interval\":\"single\",\"total\":9007199254740991}"
#define OPENS_MS 20000

static bool is_granted(void *server)
{
    return client_consume(server, "bench", 1, NULL).verdict == VERDICT_GRANTED;
}

static void open_cap(const struct dc *dc)
{
    auto_client struct client *meta = dc_client(dc, DC_META, 0);
    auto_client struct client *server = dc_client(dc, DC_SERVER, 0);
    struct err e = {0};

    if (!client_put_cap(meta, "bench", CAP, &e))
        harness_fail("%s", e.msg);
    if (!harness_await(is_granted, server, OPENS_MS))
        harness_fail("the cap does not open");
}

static size_t consume_next(void *arg, int connection, char *out, size_t size)
{
    (void)arg, (void)connection;
    return load_http_request(out, size, "POST", "/consume", "{\"cap\":\"bench\"}");
}

static enum load_verdict consume_answer(void *arg, int connection, const char *data, size_t len)
{
    (void)arg, (void)connection;
    return load_http_answer(data, len);
}

void bench_consume(struct dc *dc, const struct bench_plan *plan)
{
    const struct load_plan load = {.connections = CONNECTIONS, .ms = plan->ms};
    const struct load_target ours = {.port = dc_port(dc, DC_SERVER, 0),
                                     .pid = dc_pid(dc, DC_SERVER, 0),
                                     .next = consume_next,
                                     .answer = consume_answer};
    struct load_target ceiling, redis;
    struct bench_figure by_us = {0}, by_ceiling = {0}, by_redis = {0};
    auto_proc struct proc *ceiling_proc = ceiling_start(SERVER_THREADS, &ceiling);
    auto_proc struct proc *redis_proc = redis_start(&redis);

    open_cap(dc);
    for (int i = 0; i < plan->rounds; i++) {
        struct load_result run = bench_run("libmicrohttpd", &ceiling, &load);
        bench_add(&by_ceiling, &run);
        run = bench_run("consume", &ours, &load);
        bench_add(&by_us, &run);
        if (!redis_proc)
            continue;
        run = bench_run("redis", &redis, &load);
        bench_add(&by_redis, &run);
    }
    bench_print("consume", &by_us);
    bench_print_ratio(&by_us, "empty libmicrohttpd", &by_ceiling);
    if (redis_proc)
        bench_print_ratio(&by_us, "Redis Lua", &by_redis);
    bench_print_end();
}
