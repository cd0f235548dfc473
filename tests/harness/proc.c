#include "tests/harness/proc.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "common/base/num.h"
#include "common/base/prng.h"

#define POLL_MS 5
#define KILL_MS 60000
#define STOP_MS 60000
#define PORT_MIN 10000
#define PORT_MAX 32000

struct proc {
    pid_t pid;
    bool outlives;
    bool ended;
    int status; /* as from waitpid(), once ended */
    char name[64];
};

void harness_fail(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fprintf(stderr, "harness: ");
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
    abort();
}

/* In the child, between fork and exec: what fails is told by the exit status 127 and the log. */
_Noreturn static void child_failed(const char *what)
{
    dprintf(STDERR_FILENO, "harness: %s: %s\n", what, strerror(errno));
    _exit(127);
}

static void redirect(const char *log)
{
    if (!log)
        return;
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        child_failed(log);
}

static void become(const struct passwd *user)
{
    if (!user)
        return;
    if (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
        child_failed("setuid");
}

/* After become(): a change of user forgets the signal. */
static void die_with(pid_t parent, int signal)
{
    if (prctl(PR_SET_PDEATHSIG, signal) != 0)
        child_failed("prctl");
    if (getppid() != parent)
        _exit(127);
}

/* Kills our group when that process ends; goes when we do. */
static void guard(pid_t whom)
{
    const pid_t us = getpid();

    if (fork() != 0)
        return;
    struct pollfd ends[] = {{.fd = pidfd_open(whom, 0), .events = POLLIN},
                            {.fd = pidfd_open(us, 0), .events = POLLIN}};
    if (ends[0].fd < 0 || (ends[1].fd >= 0 && poll(ends, 2, -1) > 0 && ends[0].revents != 0))
        kill(-us, SIGKILL);
    _exit(0);
}

static void reset_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
}

_Noreturn static void child(const struct proc_options *o, const struct passwd *user, pid_t parent)
{
    reset_signals();
    setpgid(0, 0);
    redirect(o->log);
    become(user);
    if (!o->outlives)
        die_with(parent, o->death_signal ? o->death_signal : SIGKILL);
    else if (o->dies_with != 0)
        guard(o->dies_with);
    for (const char *const *p = o->env; p && *p; p++)
        putenv(strdup(*p));
    /* Who waits for the end of what we have open (a test's runner, say) must not wait for it. */
    if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
        child_failed("close_range");
    /* execvp() takes away const but does not write. */
    union {
        const char *const *given;
        char *const *taken;
    } argv = {.given = o->argv};
    execvp(o->argv[0], argv.taken);
    child_failed(o->argv[0]);
}

static const struct passwd *find_user(const char *name)
{
    if (!name || getuid() != 0)
        return NULL;
    const struct passwd *user = getpwnam(name);
    if (!user)
        harness_fail("no user %s", name);
    return user;
}

struct proc *proc_start(const struct proc_options *o)
{
    const struct passwd *user = find_user(o->user);
    struct proc *p = calloc(1, sizeof(*p));
    pid_t parent = getpid();

    if (!p)
        harness_fail("out of memory");
    p->pid = fork();
    if (p->pid < 0)
        harness_fail("fork: %s", strerror(errno));
    if (p->pid == 0)
        child(o, user, parent);
    setpgid(p->pid, p->pid); /* both do it: whoever comes first */
    p->outlives = o->outlives;
    snprintf(p->name, sizeof(p->name), "%s", o->argv[0]);
    return p;
}

pid_t proc_pid(const struct proc *p)
{
    return p->pid;
}

bool proc_is_running(struct proc *p)
{
    if (!p->ended)
        p->ended = waitpid(p->pid, &p->status, WNOHANG) == p->pid;
    return !p->ended;
}

void proc_signal(struct proc *p, int signal)
{
    if (proc_is_running(p))
        kill(-p->pid, signal);
}

/* Parents are frozen before their children are read: so none is born unseen. */
void pid_signal_tree(pid_t pid, int signal)
{
    char path[64];
    int child_pid = 0;

    kill(pid, SIGSTOP);
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    FILE *f = fopen(path, "re");
    while (f && fscanf(f, "%d", &child_pid) == 1)
        pid_signal_tree(child_pid, signal);
    if (f)
        fclose(f);
    kill(pid, signal);
}

void proc_signal_tree(struct proc *p, int signal)
{
    if (proc_is_running(p))
        pid_signal_tree(p->pid, signal);
}

void proc_kill(struct proc *p)
{
    if (!proc_is_running(p))
        return;
    pid_signal_tree(p->pid, SIGKILL);
    kill(-p->pid, SIGKILL);
    if (!proc_wait(p, KILL_MS, NULL))
        harness_fail("%s (%d) does not die", p->name, p->pid);
}

static bool has_ended(void *arg)
{
    return !proc_is_running(arg);
}

bool proc_wait(struct proc *p, int64_t timeout_ms, int *ret_status)
{
    if (!harness_await(has_ended, p, timeout_ms))
        return false;
    if (ret_status)
        *ret_status = p->status;
    return true;
}

int proc_stop(struct proc *p, int64_t timeout_ms)
{
    proc_signal(p, SIGTERM);
    if (!proc_wait(p, timeout_ms, NULL))
        proc_kill(p);
    return p->status;
}

struct proc *proc_free(struct proc *p)
{
    if (!p)
        return NULL;
    if (!p->outlives)
        proc_kill(p);
    free(p);
    return NULL;
}

bool pid_is(pid_t pid, const char *program)
{
    char link[64], target[512];

    if (pid <= 0)
        return false;
    snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    if (len < 0)
        return false;
    target[len] = '\0';
    /* A program that was built anew since it started is "NAME (deleted)". */
    char *deleted = strstr(target, " (deleted)");
    if (deleted)
        *deleted = '\0';
    const char *name = strrchr(target, '/');
    return name && strcmp(name + 1, program) == 0;
}

pid_t pid_in(const char *path, const char *program)
{
    int pid = 0;
    FILE *f = fopen(path, "re");

    if (!f)
        return 0;
    if (fscanf(f, "%d", &pid) != 1 || !pid_is(pid, program))
        pid = 0;
    fclose(f);
    return pid;
}

struct foreign {
    pid_t pid;
    const char *program;
};

static bool is_gone(void *arg)
{
    const struct foreign *f = arg;

    return !pid_is(f->pid, f->program);
}

void pid_stop(pid_t pid, const char *program, int signal)
{
    struct foreign f = {.pid = pid, .program = program};

    if (is_gone(&f))
        return;
    kill(pid, signal);
    kill(pid, SIGCONT);
    if (!harness_await(is_gone, &f, STOP_MS))
        kill(pid, SIGKILL);
    if (!harness_await(is_gone, &f, STOP_MS))
        harness_fail("%s (%d) does not die", program, (int)pid);
}

static bool is_free(int64_t port)
{
    const struct sockaddr_in a = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        harness_fail("no socket: %s", strerror(errno));
    bool ret = bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
    close(fd);
    return ret;
}

/*
 * A byte of a file that all of this user's processes lock, each on an open file
 * of its own: so nobody gets a port twice, our children do not share what is
 * ours, and the kernel takes it back from who is dead.
 */
static bool reserve(int64_t port)
{
    struct flock byte = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = port, .l_len = 1};
    char path[64];

    snprintf(path, sizeof(path), "/tmp/volumecap-ports-%u", (unsigned)getuid());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        harness_fail("%s: %s", path, strerror(errno));
    if (fcntl(fd, F_OFD_SETLK, &byte) == 0)
        return true; /* for as long as we live: it stays open */
    close(fd);
    return false;
}

bool port_take(int64_t port)
{
    /* Bound is not enough: between two lives of a service it is not. */
    return is_free(port) && reserve(port);
}

/*
 * Never one that the kernel gives to outgoing connections: while a service is
 * down, one of those could take its port, or be connected to itself.
 */
int64_t port_free(void)
{
    struct prng prng = {.state = prng_entropy()};

    for (int tries = 0; tries < 1000; tries++) {
        int64_t port = PORT_MIN + prng_below(&prng, PORT_MAX + 1 - PORT_MIN);
        if (port_take(port))
            return port;
    }
    harness_fail("no free port");
}

char *file_tail(const char *path)
{
    static const long tail = 2000;
    char *text = calloc(1, (size_t)tail + 1);
    FILE *f = fopen(path, "re");

    if (f && text) {
        if (fseek(f, -tail, SEEK_END) != 0)
            rewind(f);
        text[fread(text, 1, (size_t)tail, f)] = '\0';
    }
    if (f)
        fclose(f);
    return text;
}

bool harness_await(bool (*condition)(void *arg), void *arg, int64_t timeout_ms)
{
    int64_t since_ms = clk_now_ms();

    while (!condition(arg)) {
        int64_t waited_ms = clk_now_ms() - since_ms;
        if (waited_ms >= timeout_ms)
            return false;
        poll(NULL, 0, (int)max_i64(POLL_MS, waited_ms / 100));
    }
    return true;
}
