/*
 * fuzz_ledger: whatever a ledger file holds, opening it neither crashes nor
 * lets an impossible slice through; and what was possible is not thrown away.
 *
 * Input: the counters of up to four slots, written behind the ledger's back
 * into entries of a sound file; then patches of single bytes of the file.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/num.h"
#include "common/io/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRIES 8
#define SLOTS 4
#define FILE_SIZE (4096 + ENTRIES * sizeof(struct ledger_entry))

struct input {
    const uint8_t *data;
    size_t size;
};

struct patch {
    uint16_t offset;
    uint8_t value;
};

static char folder[] = "/tmp/fuzz-ledger-XXXXXX";
static char path[sizeof(folder) + sizeof("/ledger")];

static void clean_up(void)
{
    (void)unlink(path);
    (void)rmdir(folder);
}

static void set_up(void)
{
    if (path[0] != '\0')
        return;
    CHECK(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/ledger", folder);
    CHECK(atexit(clean_up) == 0);
}

static bool take(struct input *in, void *ret, size_t size)
{
    if (in->size < size)
        return false;
    memcpy(ret, in->data, size);
    in->data += size;
    in->size -= size;
    return true;
}

static struct ledger *open_ledger(void)
{
    struct ledger *l = NULL;
    struct err e = {0};

    CHECK(ledger_open(path, "front-1", ENTRIES, &l, &e));
    return l;
}

/* A new file; returns how many slots it holds, and whether all of them are possible. */
static int64_t write_slots(struct input *in, bool *ret_sound)
{
    auto_ledger struct ledger *l = NULL;
    struct slot slot;
    char name[16];
    int64_t count = 0;

    (void)unlink(path);
    l = open_ledger();
    *ret_sound = true;
    for (; count < SLOTS && take(in, &slot, sizeof(slot)); count++) {
        (void)snprintf(name, sizeof(name), "cap-%d", (int)count);
        struct ledger_entry *entry = ledger_claim(l, name, 1000 * count);
        memcpy(&entry->slot, &slot, sizeof(slot));
        *ret_sound = *ret_sound && slot_is_sound(&slot);
    }
    return count;
}

/* One past the end shortens the file instead. */
static size_t patch_file(struct input *in)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    struct patch p;
    size_t count = 0;

    CHECK(fd >= 0);
    for (; count < 8 && take(in, &p, sizeof(p)); count++) {
        if (p.offset < FILE_SIZE)
            CHECK(pwrite(fd, &p.value, 1, p.offset) == 1);
        else
            CHECK(ftruncate(fd, p.offset % (off_t)FILE_SIZE) == 0);
    }
    CHECK(close(fd) == 0);
    return count;
}

static void check_entry(void *arg, const char *cap, struct ledger_entry *entry)
{
    int64_t *count = arg;
    const struct slot_counts c = slot_counts(&entry->slot);

    CHECK(name_is_valid(cap));
    CHECK(slot_is_sound(&entry->slot) && !(atomic_load(&entry->slot.used) & SLOT_FROZEN));
    CHECK(c.granted >= 0 && c.returned >= 0 && c.refunded >= 0 && c.refunded <= c.consumed);
    CHECK(c.returned + c.consumed - c.refunded <= c.granted);
    CHECK(slot_rest(&entry->slot) >= 0);
    ++*count;
}

static void check_room(struct ledger *l, int64_t used)
{
    char name[16];

    for (int64_t i = used; i < ENTRIES; i++) {
        (void)snprintf(name, sizeof(name), "new-%d", (int)i);
        CHECK(ledger_claim(l, name, 0));
    }
    CHECK(!ledger_claim(l, "one-more", 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.data = data, .size = size};
    auto_ledger struct ledger *l = NULL;
    int64_t count = 0;
    bool sound = false;

    set_up();
    const int64_t written = write_slots(&in, &sound);
    const bool patched = patch_file(&in) > 0;
    l = open_ledger();
    ledger_each(l, check_entry, &count);
    CHECK(count == ledger_entries_used(l) && ledger_entries_max(l) == ENTRIES);
    CHECK(!ledger_is_new(l) || count == 0);
    CHECK(patched || ledger_is_new(l) == !sound);
    CHECK(patched || count == (sound ? written : 0));
    check_room(l, count);
    return 0;
}
