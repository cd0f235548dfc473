#include "common/io/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/num.h"

/*
 * What protects against what:
 *
 * - A killed process: the page cache keeps every store in program order.  So a
 *   key is written before its mark, and a header before its checksum.
 * - A lost page cache (power cut, panic): the boot id differs, the file is not
 *   believed.
 * - A copied file: its inode differs.  A file overwritten in place by an old
 *   copy of itself: nothing here.  The pool refuses it if its generation is old,
 *   but a copy taken in the running generation opens as the next one.
 */

#define LEDGER_MAGIC "volcapL"
#define LEDGER_LAYOUT 3
#define LEDGER_HEADER_SIZE 4096
#define LEDGER_ENTRIES_MAX (INT64_C(1) << 26)
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

/* What the checksum covers: everything that stays the same for an incarnation. */
struct ledger_identity {
    char magic[8];
    uint32_t layout;
    uint32_t entry_size;
    char incarnation[UUID_SIZE];
    char boot_id[UUID_SIZE];
    char server[NAME_SIZE]; /* padded with zeros */
    char pad[5];
    uint64_t device;
    uint64_t inode;
};

struct ledger_header {
    struct ledger_identity identity;
    uint64_t checksum;
    int64_t generation; /* by itself: raised in one store, at each open */
};

_Static_assert(sizeof(struct ledger_header) <= LEDGER_HEADER_SIZE, "one page of header");
_Static_assert(sizeof(LEDGER_MAGIC) == 8, "the magic fills its member");

struct ledger {
    int fd;
    size_t size;
    struct ledger_header *header; /* NULL until mapped */
    struct ledger_entry *entries;
    int64_t entries_max;
    uint32_t *free_indices; /* a stack */
    _Atomic int64_t free_count;
    bool is_new;
    const char *why_new;
};

/* FNV-1a over bytes; `hash` is the state so far. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

#define HASH_START UINT64_C(14695981039346656037)

static uint64_t identity_checksum(const struct ledger_identity *id)
{
    return hash_bytes(HASH_START, id, sizeof(*id));
}

/* Never 0, which stands for a free entry. */
static uint32_t entry_mark(const struct ledger_entry *entry)
{
    uint64_t hash = hash_bytes(HASH_START, entry->cap, sizeof(entry->cap));

    hash = hash_bytes(hash, &entry->starts_at_ms, sizeof(entry->starts_at_ms));
    const uint32_t mark = (uint32_t)(hash ^ hash >> 32);
    return mark != 0 ? mark : 1;
}

static void entry_name(const struct ledger_entry *entry, char ret[NAME_SIZE])
{
    memcpy(ret, entry->cap, sizeof(entry->cap));
    ret[sizeof(entry->cap)] = '\0';
}

static bool read_boot_id(char ret[UUID_SIZE], struct err *e)
{
    int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_set(e, ERR_INTERNAL, "%s: %s", BOOT_ID_PATH, strerror(errno));
    ssize_t n = read(fd, ret, UUID_SIZE - 1);
    (void)close(fd);
    if (n != UUID_SIZE - 1)
        return err_set(e, ERR_INTERNAL, "%s: not a UUID", BOOT_ID_PATH);
    ret[UUID_SIZE - 1] = '\0';
    return true;
}

/* The identity that this file has on this boot; the incarnation is left empty. */
static bool expected_identity(int fd, const char *server, struct ledger_identity *ret,
                              struct err *e)
{
    struct stat st;

    *ret = (struct ledger_identity){
        .magic = LEDGER_MAGIC,
        .layout = LEDGER_LAYOUT,
        .entry_size = sizeof(struct ledger_entry),
    };
    memcpy(ret->server, server, strlen(server));
    if (fstat(fd, &st) != 0)
        return err_set(e, ERR_INTERNAL, "fstat: %s", strerror(errno));
    ret->device = st.st_dev;
    ret->inode = st.st_ino;
    return read_boot_id(ret->boot_id, e);
}

static bool open_file(const char *path, int *ret_fd, int64_t *ret_size, struct err *e)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_set(e, ERR_UNAVAILABLE, "%s", strerror(errno));
    *ret_fd = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(e, ERR_CONFLICT, "another process has it");
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return err_set(e, ERR_INVALID, "not a regular file");
    if (fchmod(fd, 0600) != 0)
        return err_set(e, ERR_UNAVAILABLE, "chmod: %s", strerror(errno));
    *ret_size = st.st_size;
    return true;
}

/* Makes room for all entries now, so that no consume can meet a full disk. */
static bool allocate(struct ledger *l, int64_t size_before, int64_t entries_max, struct err *e)
{
    const int64_t entry_size = sizeof(struct ledger_entry);
    const int64_t entries_before = max_i64(0, size_before - LEDGER_HEADER_SIZE) / entry_size;

    l->entries_max = max_i64(entries_max, min_i64(entries_before, LEDGER_ENTRIES_MAX));
    l->size = (size_t)(LEDGER_HEADER_SIZE + l->entries_max * entry_size);

    int failed = posix_fallocate(l->fd, 0, (off_t)l->size);
    if (failed)
        return err_set(e, ERR_UNAVAILABLE, "no room for %" PRId64 " entries: %s", l->entries_max,
                       strerror(failed));
    return true;
}

static bool map_file(struct ledger *l, struct err *e)
{
    void *map = mmap(NULL, l->size, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd, 0);

    if (map == MAP_FAILED)
        return err_set(e, ERR_UNAVAILABLE, "mmap: %s", strerror(errno));
    l->header = map;
    l->entries = (struct ledger_entry *)(void *)((char *)map + LEDGER_HEADER_SIZE);
    l->free_indices = calloc((size_t)l->entries_max, sizeof(*l->free_indices));
    if (!l->free_indices)
        return err_set(e, ERR_UNAVAILABLE, "out of memory");
    return true;
}

static bool entry_is_sound(const struct ledger_entry *entry)
{
    uint32_t mark = atomic_load(&entry->mark);

    return mark == 0 || (mark == entry_mark(entry) && slot_is_sound(&entry->slot));
}

static bool entries_are_sound(const struct ledger *l)
{
    for (int64_t i = 0; i < l->entries_max; i++)
        if (!entry_is_sound(&l->entries[i]))
            return false;
    return true;
}

/* Why the file cannot be believed, or "". */
static const char *doubt(const struct ledger *l, const struct ledger_identity *expected,
                         int64_t size_before)
{
    const struct ledger_header *header = l->header;
    const struct ledger_identity *found = &header->identity;

    if (size_before == 0)
        return "missing";
    if (memcmp(found->magic, expected->magic, sizeof(found->magic)) != 0 ||
        header->checksum != identity_checksum(found))
        return "damaged header";
    if (found->layout != expected->layout || found->entry_size != expected->entry_size)
        return "another layout";
    if (strcmp(found->boot_id, expected->boot_id) != 0)
        return "another boot";
    if (found->device != expected->device || found->inode != expected->inode)
        return "a copy";
    if (header->generation < 1 || header->generation >= UNITS_MAX)
        return "damaged header";
    return entries_are_sound(l) ? "" : "damaged entry";
}

/* The checksum goes first and comes back last: a kill in between leaves a file in doubt. */
static void begin_incarnation(struct ledger *l, const struct ledger_identity *identity)
{
    l->header->checksum = 0;
    atomic_thread_fence(memory_order_seq_cst);
    for (int64_t i = 0; i < l->entries_max; i++)
        if (atomic_load(&l->entries[i].mark) != 0)
            atomic_store(&l->entries[i].mark, 0);
    l->header->generation = 0;
    l->header->identity = *identity;
    uuid_random(l->header->identity.incarnation);
    atomic_thread_fence(memory_order_seq_cst);
    l->header->checksum = identity_checksum(&l->header->identity);
}

/* Completes what a killed process had begun, and finds the free entries. */
static void recover(struct ledger *l)
{
    int64_t count = 0;

    for (int64_t i = l->entries_max - 1; i >= 0; i--) {
        if (atomic_load(&l->entries[i].mark) == 0)
            l->free_indices[count++] = (uint32_t)i;
        else
            slot_recover(&l->entries[i].slot);
    }
    atomic_store(&l->free_count, count);
}

static bool is_own(const struct ledger *l, const struct ledger_identity *expected, struct err *e)
{
    const char *owner = l->header->identity.server;

    if (l->is_new || strcmp(owner, expected->server) == 0)
        return true;
    return err_set(e, ERR_CONFLICT,
                   "this ledger is %s's: set SERVER_NAME=%s, or remove the file (its units stay "
                   "with %s until their windows end)",
                   owner, owner, owner);
}

static bool open_ledger(struct ledger *l, const char *path, const char *server, int64_t entries_max,
                        struct err *e)
{
    struct ledger_identity expected;
    int64_t size_before = 0;

    if (!open_file(path, &l->fd, &size_before, e) || !allocate(l, size_before, entries_max, e) ||
        !map_file(l, e) || !expected_identity(l->fd, server, &expected, e))
        return false;

    l->why_new = doubt(l, &expected, size_before);
    l->is_new = l->why_new[0] != '\0';
    if (!is_own(l, &expected, e))
        return false;
    if (l->is_new)
        begin_incarnation(l, &expected);
    recover(l);
    l->header->generation++;
    return true;
}

bool ledger_open(const char *path, const char *server, int64_t entries_max, struct ledger **ret,
                 struct err *e)
{
    auto_ledger struct ledger *l = calloc(1, sizeof(*l));

    CHECK(name_is_valid(server));
    CHECK(entries_max >= 1 && entries_max <= LEDGER_ENTRIES_MAX);
    if (!l)
        return err_set(e, ERR_UNAVAILABLE, "out of memory");
    l->fd = -1;
    l->why_new = "";
    if (!open_ledger(l, path, server, entries_max, e))
        return err_while(e, "ledger %s", path);
    *ret = TAKE(l);
    return true;
}

struct ledger *ledger_close(struct ledger *l)
{
    if (!l)
        return NULL;
    if (l->header)
        (void)munmap(l->header, l->size);
    if (l->fd >= 0)
        (void)close(l->fd);
    free(l->free_indices);
    free(l);
    return NULL;
}

const char *ledger_incarnation(const struct ledger *l)
{
    return l->header->identity.incarnation;
}

int64_t ledger_generation(const struct ledger *l)
{
    return l->header->generation;
}

bool ledger_is_new(const struct ledger *l)
{
    return l->is_new;
}

const char *ledger_why_new(const struct ledger *l)
{
    return l->why_new;
}

struct ledger_entry *ledger_claim(struct ledger *l, const char *cap, int64_t starts_at_ms)
{
    const int64_t free_count = atomic_load(&l->free_count);

    CHECK(name_is_valid(cap));
    if (free_count == 0)
        return NULL;

    struct ledger_entry *entry = &l->entries[l->free_indices[free_count - 1]];
    CHECK(atomic_load(&entry->mark) == 0);
    memset(entry->cap, 0, sizeof(entry->cap));
    memcpy(entry->cap, cap, strlen(cap));
    entry->starts_at_ms = starts_at_ms;
    atomic_store(&entry->needed_until_s, 0);
    memset(&entry->slot, 0, sizeof(entry->slot));
    atomic_store(&entry->mark, entry_mark(entry));
    atomic_store(&l->free_count, free_count - 1);
    return entry;
}

static uint32_t seconds(int64_t ms)
{
    return (uint32_t)min_i64(max_i64(ms, 0) / 1000 + 1, UINT32_MAX);
}

void ledger_need(struct ledger_entry *entry, int64_t until_ms)
{
    if (seconds(until_ms) > atomic_load(&entry->needed_until_s))
        atomic_store(&entry->needed_until_s, seconds(until_ms));
}

void ledger_need_at_most(struct ledger_entry *entry, int64_t until_ms)
{
    if (seconds(until_ms) < atomic_load(&entry->needed_until_s))
        atomic_store(&entry->needed_until_s, seconds(until_ms));
}

int64_t ledger_needed_until_ms(const struct ledger_entry *entry)
{
    return INT64_C(1000) * atomic_load(&entry->needed_until_s);
}

void ledger_release(struct ledger *l, struct ledger_entry *entry)
{
    const int64_t free_count = atomic_load(&l->free_count);

    CHECK(atomic_load(&entry->mark) != 0);
    CHECK(entry >= l->entries && entry < l->entries + l->entries_max);
    atomic_store(&entry->mark, 0);
    l->free_indices[free_count] = (uint32_t)(entry - l->entries);
    atomic_store(&l->free_count, free_count + 1);
}

void ledger_each(struct ledger *l, ledger_each_fn *fn, void *arg)
{
    char cap[NAME_SIZE];

    for (int64_t i = 0; i < l->entries_max; i++) {
        if (atomic_load(&l->entries[i].mark) == 0)
            continue;
        entry_name(&l->entries[i], cap);
        fn(arg, cap, &l->entries[i]);
    }
}

int64_t ledger_entries_used(const struct ledger *l)
{
    return l->entries_max - atomic_load(&l->free_count);
}

int64_t ledger_entries_max(const struct ledger *l)
{
    return l->entries_max;
}
