#include "tests/harness/line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness/proc.h"

#define PAIRS_MAX 32
#define LISTENER_FD 3

struct line {
    pid_t pid;
    int port;
};

/* The two ends of each connection: what comes from fds[i] goes to fds[i ^ 1]. */
struct ends {
    struct pollfd fds[2 * PAIRS_MAX + 1]; /* the last one listens; -1: none */
    int to_port;
};

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_on(int *ret_port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = loopback(0);
    socklen_t len = sizeof(at);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, len) != 0 || listen(fd, PAIRS_MAX) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        harness_fail("line: %s", strerror(errno));
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void hang_up(struct ends *e, int i)
{
    close(e->fds[i].fd);
    close(e->fds[i ^ 1].fd);
    e->fds[i].fd = e->fds[i ^ 1].fd = -1;
}

static void take(struct ends *e)
{
    struct sockaddr_in to = loopback(e->to_port);
    int near = accept4(e->fds[2 * PAIRS_MAX].fd, NULL, NULL, SOCK_CLOEXEC);
    int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    for (int i = 0; i < 2 * PAIRS_MAX; i += 2) {
        if (e->fds[i].fd >= 0)
            continue;
        e->fds[i].fd = near;
        e->fds[i + 1].fd = far;
        if (near < 0 || far < 0 || connect(far, (const struct sockaddr *)&to, sizeof(to)) != 0)
            hang_up(e, i);
        return;
    }
    close(near);
    close(far);
}

static void pass_on(struct ends *e, int i)
{
    char data[16384];
    ssize_t len = read(e->fds[i].fd, data, sizeof(data));

    if (len <= 0 || send(e->fds[i ^ 1].fd, data, (size_t)len, MSG_NOSIGNAL) != len)
        hang_up(e, i);
}

_Noreturn static void forward(int listener, int to_port)
{
    struct ends e = {.to_port = to_port};

    for (int i = 0; i <= 2 * PAIRS_MAX; i++)
        e.fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    e.fds[2 * PAIRS_MAX].fd = listener;
    for (;;) {
        if (poll(e.fds, 2 * PAIRS_MAX + 1, -1) < 0)
            continue;
        for (int i = 0; i < 2 * PAIRS_MAX; i++)
            if (e.fds[i].fd >= 0 && e.fds[i].revents != 0)
                pass_on(&e, i);
        if (e.fds[2 * PAIRS_MAX].revents != 0)
            take(&e);
    }
}

struct line *line_start(int to_port)
{
    struct line *l = calloc(1, sizeof(*l));
    pid_t parent = getpid();

    if (!l)
        harness_fail("out of memory");
    int listener = listen_on(&l->port);
    l->pid = fork();
    if (l->pid < 0)
        harness_fail("fork: %s", strerror(errno));
    if (l->pid == 0) {
        /* What the parent has open is not ours: who waits for its end must not wait for us. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent ||
            dup2(listener, LISTENER_FD) < 0 || close_range(LISTENER_FD + 1, ~0U, 0) != 0)
            _exit(127);
        listener = LISTENER_FD;
        forward(listener, to_port);
    }
    close(listener);
    return l;
}

int line_port(const struct line *l)
{
    return l->port;
}

void line_cut(struct line *l)
{
    kill(l->pid, SIGSTOP);
}

void line_mend(struct line *l)
{
    kill(l->pid, SIGCONT);
}

struct line *line_free(struct line *l)
{
    if (!l)
        return NULL;
    kill(l->pid, SIGKILL);
    waitpid(l->pid, NULL, 0);
    free(l);
    return NULL;
}
