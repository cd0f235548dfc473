/* What the clients of a scenario do, and what they are told; see scene.h. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/scenario/scene.h"

struct consumed consume(const struct scene *s, int server, const char *cap, int64_t n)
{
    return client_consume(s->servers[server], cap, n, NULL);
}

enum verdict take(struct client *server, const char *cap, int64_t n)
{
    struct consumed c = {0};

    eventually((c = client_consume(server, cap, n, NULL)).verdict != VERDICT_UNREACHABLE);
    return c.verdict;
}

int64_t spend(struct client *server, const char *cap, int64_t n)
{
    int64_t granted = 0;

    while (granted < n && take(server, cap, 1) == VERDICT_GRANTED)
        granted++;
    return granted;
}

static int connect_to(int port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK(connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

/* By hand, since the client of services keeps only the headers that services use. */
int64_t policy_total(const struct scene *s, int server, const char *cap)
{
    static const char field[] = "RateLimit-Policy:";
    char body[128], request[512], reply[8192];
    int fd = connect_to(dc_port(s->dc, DC_SERVER, server));
    size_t len = 0;

    snprintf(body, sizeof(body), "{\"cap\":\"%s\"}", cap);
    snprintf(request, sizeof(request),
             "POST /consume HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
             "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    CHECK(write(fd, request, strlen(request)) == (ssize_t)strlen(request));
    for (ssize_t n; (n = read(fd, reply + len, sizeof(reply) - 1 - len)) > 0;)
        len += (size_t)n;
    close(fd);
    reply[len] = '\0';
    const char *policy = strcasestr(reply, field);
    const char *quota = policy ? strstr(policy, ";q=") : NULL;
    return quota ? strtoll(quota + 3, NULL, 10) : -1;
}

/* A sample is "name value" or "name{labels} value". */
static int64_t sample(const char *line, size_t len, const char *name, const char *labels)
{
    char text[1024];
    size_t name_len = strlen(name);

    if (len >= sizeof(text) || len <= name_len || strncmp(line, name, name_len) != 0 ||
        (line[name_len] != ' ' && line[name_len] != '{'))
        return 0;
    memcpy(text, line, len);
    text[len] = '\0';
    const char *value = strrchr(text, ' ');
    return value && strstr(text, labels) ? (int64_t)strtod(value, NULL) : 0;
}

int64_t metric_sum(struct client *c, const char *name, const char *labels)
{
    struct answer answer = {0};
    struct err e = {0};
    int64_t sum = 0;

    cr_assert(client_expect(c, 200, "GET", "/metrics", NULL, &answer, &e), "%s", e.msg);
    for (const char *line = buf_text(&answer.reply->body); *line;) {
        size_t len = strcspn(line, "\n");
        sum += sample(line, len, name, labels);
        line += len + (line[len] == '\n');
    }
    return sum;
}
