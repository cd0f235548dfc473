#include "tests/scenario/scenes_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/harness/proc.h"

#define NET_ENV "SCENES_NET" /* the namespace's name; not of any service's prefix */
#define FAR_END "far"
#define IP_MS 10000
#define ARGS_MAX 16
#define CHUNK 16384

/* A way from the namespace's end of the link to a port of 127.0.0.1 outside. */
struct relay {
    int listener;
    int64_t upstream_port;
};

struct pair {
    int near, far;
};

/* The runner's: the tests know the name by the environment. */
static char name[16], device[16], outside[20], inside[20];

static bool ip(const char *first, ...) __attribute__((sentinel));

static bool ip(const char *first, ...)
{
    const char *argv[ARGS_MAX] = {"ip", first};
    int count = 2, status = 0;
    va_list args;

    va_start(args, first);
    while (count < ARGS_MAX - 1 && (argv[count] = va_arg(args, const char *)))
        count++;
    va_end(args);
    auto_proc struct proc *p = proc_start(&(struct proc_options){.argv = argv, .log = "/dev/null"});
    return proc_wait(p, IP_MS, &status) && status == 0;
}

/* Its devices go with it. */
static void stop(void)
{
    (void)ip("netns", "del", name, NULL);
}

/* Among 198.18/15, which is for tests; what runs at the same time has another. */
static void choose_names(void)
{
    int n = (int)getpid() % 16000;

    snprintf(name, sizeof(name), "vcap%d", n);
    snprintf(device, sizeof(device), "vcap%d", n);
    snprintf(outside, sizeof(outside), "198.18.%d.%d", n / 63, n % 63 * 4 + 1);
    snprintf(inside, sizeof(inside), "198.18.%d.%d", n / 63, n % 63 * 4 + 2);
}

bool net_start(void)
{
    char near[28], far[28];

    choose_names();
    snprintf(near, sizeof(near), "%s/30", outside);
    snprintf(far, sizeof(far), "%s/30", inside);
    if (getuid() != 0 || !ip("netns", "add", name, NULL))
        return false;
    atexit(stop);
    if (!ip("link", "add", device, "type", "veth", "peer", "name", FAR_END, "netns", name, NULL))
        return false;
    if (!ip("addr", "add", near, "dev", device, NULL) || !ip("link", "set", device, "up", NULL) ||
        !ip("-n", name, "addr", "add", far, "dev", FAR_END, NULL) ||
        !ip("-n", name, "link", "set", FAR_END, "up", NULL) || setenv(NET_ENV, name, 1) != 0)
        harness_fail("the devices of %s cannot be set up", name);
    return true;
}

bool net_is_there(void)
{
    return getenv(NET_ENV) != NULL;
}

/* The far end: on this side nothing tells that it is down but silence. */
void net_set(bool is_up)
{
    if (!ip("-n", getenv(NET_ENV), "link", "set", FAR_END, is_up ? "up" : "down", NULL))
        harness_fail("the link cannot be set");
}

/* ---- the relays */

static bool pass(int from, int to)
{
    char bytes[CHUNK];
    ssize_t n = read(from, bytes, sizeof(bytes));

    for (ssize_t done = 0, k = 0; n > 0 && done < n; done += k)
        if ((k = send(to, bytes + done, (size_t)(n - done), MSG_NOSIGNAL)) <= 0)
            return false;
    return n > 0;
}

static void *pump(void *arg)
{
    struct pair *p = arg;
    struct pollfd fds[2] = {{.fd = p->near, .events = POLLIN}, {.fd = p->far, .events = POLLIN}};
    bool is_open = true;

    while (is_open && poll(fds, 2, -1) > 0) {
        if (fds[0].revents)
            is_open = pass(p->near, p->far);
        if (is_open && fds[1].revents)
            is_open = pass(p->far, p->near);
    }
    close(p->near);
    close(p->far);
    free(p);
    return NULL;
}

static struct sockaddr_in address_of(const char *text, int64_t port)
{
    struct sockaddr_in ret = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    CHECK(inet_pton(AF_INET, text, &ret.sin_addr) == 1);
    return ret;
}

static void detach(void *(*run)(void *), void *arg)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, run, arg) == 0 && pthread_detach(thread) == 0);
}

static void *relay(void *arg)
{
    const struct relay *r = arg;
    const struct sockaddr_in upstream = address_of("127.0.0.1", r->upstream_port);

    for (;;) {
        struct pair *p = calloc(1, sizeof(*p));
        CHECK(p != NULL);
        p->far = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
        p->near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (p->far < 0 || p->near < 0)
            harness_fail("a relay cannot accept: %s", strerror(errno));
        if (connect(p->near, (const struct sockaddr *)&upstream, sizeof(upstream)) == 0) {
            detach(pump, p);
            continue;
        }
        close(p->near);
        close(p->far);
        free(p);
    }
    return NULL;
}

/* A socket stays in the namespace of whoever made it, which is why this thread goes there. */
static int listen_inside(int64_t *ret_port)
{
    char path[64];
    struct sockaddr_in a = address_of(inside, 0);
    socklen_t len = sizeof(a);

    snprintf(path, sizeof(path), "/run/netns/%s", name);
    int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int there = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(home >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(setns(home, CLONE_NEWNET) == 0);
    close(home);
    close(there);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        harness_fail("cannot listen at %s: %s", inside, strerror(errno));
    *ret_port = ntohs(a.sin_port);
    return fd;
}

/* Both ways go over the same link: who listens is always inside. */
void net_route(int from, int to, int64_t port, char ret[DCS_ADDRESS_SIZE])
{
    struct relay *r = calloc(1, sizeof(*r));
    int64_t inside_port = 0;

    (void)from;
    (void)to;
    CHECK(r != NULL);
    r->upstream_port = port;
    r->listener = listen_inside(&inside_port);
    detach(relay, r);
    snprintf(ret, DCS_ADDRESS_SIZE, "%s:%lld", inside, (long long)inside_port);
}
