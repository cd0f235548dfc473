#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/num.h"
#include "common/io/ledger.h"

static char folder[64];
static char path[128];

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/volumecap-ledger-XXXXXX");
    cr_assert(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/ledger", folder);
}

static void remove_folder(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert(system(command) == 0);
}

TestSuite(ledger, .init = make_folder, .fini = remove_folder);

static struct ledger *open_ledger(int64_t entries)
{
    struct ledger *l = NULL;
    struct err e = {0};

    cr_assert(ledger_open(path, "front-1", entries, &l, &e), "%s", e.msg);
    return l;
}

static struct ledger *reopen(struct ledger *l)
{
    (void)ledger_close(l);
    return open_ledger(16);
}

/* Writes a byte into the file, as a broken disk or a careless hand would. */
static void damage(off_t at, unsigned char byte)
{
    int fd = open(path, O_WRONLY);

    cr_assert(fd >= 0);
    cr_assert(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

static void copy_file(const char *from, const char *to)
{
    char command[300];

    snprintf(command, sizeof(command), "cp %s %s", from, to);
    cr_assert(system(command) == 0);
}

struct found {
    int count;
    char cap[NAME_SIZE];
    int64_t starts_at_ms;
    struct ledger_entry *entry;
};

static void find(void *arg, const char *cap, struct ledger_entry *entry)
{
    struct found *f = arg;

    f->count++;
    snprintf(f->cap, sizeof(f->cap), "%s", cap);
    f->starts_at_ms = entry->starts_at_ms;
    f->entry = entry;
}

static struct found look(struct ledger *l)
{
    struct found f = {0};

    ledger_each(l, find, &f);
    return f;
}

Test(ledger, a_new_file_is_a_new_incarnation_without_entries)
{
    auto_ledger struct ledger *l = open_ledger(16);

    cr_assert(ledger_is_new(l));
    cr_assert_str_eq(ledger_why_new(l), "missing");
    cr_assert(strlen(ledger_incarnation(l)) == 36);
    cr_assert(ledger_generation(l) == 1);
    cr_assert(ledger_entries_used(l) == 0);
    cr_assert(ledger_entries_max(l) == 16);
}

Test(ledger, the_file_is_allocated_in_full_and_private)
{
    auto_ledger struct ledger *l = open_ledger(100);
    struct stat st;

    cr_assert(stat(path, &st) == 0);
    cr_assert(st.st_size == 4096 + 100 * 128);
    cr_assert(st.st_blocks * 512 >= st.st_size);
    cr_assert((st.st_mode & 0777) == 0600);
}

Test(ledger, opened_again_it_goes_on_with_the_next_generation)
{
    struct ledger *l = open_ledger(16);
    char incarnation[64];

    snprintf(incarnation, sizeof(incarnation), "%s", ledger_incarnation(l));
    struct ledger_entry *entry = ledger_claim(l, "ad-42", 1000);
    slot_grant(&entry->slot, 50);
    cr_assert(slot_consume(&entry->slot, 7, CONSUME_ALL).verdict == SLOT_GRANTED);

    l = reopen(l);
    struct found f = look(l);
    cr_assert(!ledger_is_new(l));
    cr_assert_str_eq(ledger_why_new(l), "");
    cr_assert_str_eq(ledger_incarnation(l), incarnation);
    cr_assert(ledger_generation(l) == 2);
    cr_assert(f.count == 1);
    cr_assert_str_eq(f.cap, "ad-42");
    cr_assert(f.starts_at_ms == 1000);
    cr_assert(slot_rest(&f.entry->slot) == 43);
    (void)ledger_close(l);
}

Test(ledger, a_name_of_64_bytes_fits)
{
    static const char name[] = "0123456789012345678901234567890123456789012345678901234567890123";
    struct ledger *l = open_ledger(16);

    cr_assert(ledger_claim(l, name, 5) != NULL);
    l = reopen(l);
    cr_assert_str_eq(look(l).cap, name);
    (void)ledger_close(l);
}

Test(ledger, a_released_entry_is_forgotten_and_can_be_claimed_again)
{
    struct ledger *l = open_ledger(16);
    struct ledger_entry *entry = ledger_claim(l, "a", 1);

    slot_grant(&entry->slot, 9);
    ledger_release(l, entry);
    cr_assert(ledger_entries_used(l) == 0);
    cr_assert(look(l).count == 0);
    entry = ledger_claim(l, "b", 2);
    cr_assert(slot_rest(&entry->slot) == 0, "a claimed entry starts empty");
    l = reopen(l);
    cr_assert_str_eq(look(l).cap, "b");
    (void)ledger_close(l);
}

Test(ledger, keeps_until_when_an_entry_is_needed)
{
    struct ledger *l = open_ledger(16);
    struct ledger_entry *entry = ledger_claim(l, "a", 1);

    cr_assert(ledger_needed_until_ms(entry) == 0);
    ledger_need(entry, 7500);
    ledger_need(entry, 2000);
    cr_assert(ledger_needed_until_ms(entry) == 8000, "not less long");
    l = reopen(l);
    entry = look(l).entry;
    cr_assert(ledger_needed_until_ms(entry) == 8000);
    ledger_need_at_most(entry, 9000);
    cr_assert(ledger_needed_until_ms(entry) == 8000, "not longer");
    ledger_need_at_most(entry, 2000);
    cr_assert(ledger_needed_until_ms(entry) == 3000);
    ledger_need(entry, INT64_MAX);
    cr_assert(ledger_needed_until_ms(entry) == INT64_C(1000) * UINT32_MAX, "as good as for ever");

    ledger_release(l, entry);
    cr_assert(ledger_needed_until_ms(ledger_claim(l, "b", 2)) == 0, "the next one's own");
    (void)ledger_close(l);
}

Test(ledger, a_full_ledger_says_so)
{
    auto_ledger struct ledger *l = open_ledger(16);
    char name[16];

    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "cap-%d", i);
        cr_assert(ledger_claim(l, name, 0) != NULL);
    }
    cr_assert(ledger_claim(l, "one-more", 0) == NULL);
    cr_assert(ledger_entries_used(l) == 16);
}

Test(ledger, a_larger_maximum_grows_the_file_and_keeps_its_entries)
{
    struct ledger *l = open_ledger(16);

    cr_assert(ledger_claim(l, "a", 1) != NULL);
    (void)ledger_close(l);
    l = open_ledger(64);
    cr_assert(!ledger_is_new(l));
    cr_assert(ledger_entries_max(l) == 64);
    cr_assert(look(l).count == 1);
    l = reopen(l);
    cr_assert(ledger_entries_max(l) == 64, "a smaller maximum does not shrink it");
    (void)ledger_close(l);
}

Test(ledger, a_second_process_is_refused)
{
    auto_ledger struct ledger *l = open_ledger(16);
    struct ledger *second = NULL;
    struct err e = {0};

    cr_assert(!ledger_open(path, "front-1", 16, &second, &e));
    cr_assert(e.kind == ERR_CONFLICT);
    cr_assert(strstr(e.msg, "another process") != NULL);
}

Test(ledger, a_copy_is_a_new_incarnation_without_entries)
{
    struct ledger *l = open_ledger(16);
    char original[sizeof(path)];

    cr_assert(ledger_claim(l, "a", 1) != NULL);
    (void)ledger_close(l);
    memcpy(original, path, sizeof(path));
    snprintf(path, sizeof(path), "%s/copy", folder);
    copy_file(original, path);
    l = open_ledger(16);
    cr_assert_str_eq(ledger_why_new(l), "a copy");
    cr_assert(ledger_entries_used(l) == 0);
    cr_assert(look(l).count == 0);
    (void)ledger_close(l);
}

struct damage_case {
    const char *name; /* reads as: ... begins a new incarnation */
    off_t at;
    unsigned char byte;
    const char *why;
};

static void expect_new(const struct damage_case *c)
{
    struct ledger *l = open_ledger(16);
    char before[64];

    snprintf(before, sizeof(before), "%s", ledger_incarnation(l));
    struct ledger_entry *entry = ledger_claim(l, "cap", 77);
    slot_grant(&entry->slot, 10);
    (void)ledger_close(l);
    damage(c->at, c->byte);
    l = open_ledger(16);
    cr_expect_str_eq(ledger_why_new(l), c->why, "%s: %s", c->name, ledger_why_new(l));
    cr_expect(strcmp(ledger_incarnation(l), before) != 0, "%s", c->name);
    cr_expect(look(l).count == 0, "%s", c->name);
    cr_expect(ledger_generation(l) == 1, "%s", c->name);
    (void)ledger_close(l);
    cr_assert(unlink(path) == 0);
}

Test(ledger, a_damaged_file_begins_a_new_incarnation)
{
    /* clang-format off */
    static const struct damage_case cases[] = {
        {"another magic",           0,                    'X',  "damaged header"},
        {"another incarnation",     16,                   '?',  "damaged header"},
        {"another boot id",         60,                   '?',  "damaged header"},
        {"a generation below zero", 112 + 8 + 7,          0xff, "damaged header"},
        {"a key that is not marked",4096,                 'X',  "damaged entry"},
        {"another start",           4096 + 64,            78,   "damaged entry"},
        {"another mark",            4096 + 72,            0xaa, "damaged entry"},
        {"more used than granted",  4096 + 80 + 8,        11,   "damaged entry"},
        {"a grant below zero",      4096 + 80 + 7,        0xff, "damaged entry"},
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_new(&cases[i]);
}

/* What lies in the free entries of the array is nobody's. */
Test(ledger, rubbish_in_a_free_entry_does_no_harm)
{
    struct ledger *l = open_ledger(16);

    (void)ledger_close(l);
    damage(4096 + 10, 'x');
    l = open_ledger(16);
    cr_assert(!ledger_is_new(l));
    struct ledger_entry *entry = ledger_claim(l, "a", 1);
    slot_grant(&entry->slot, 1);
    l = reopen(l);
    cr_assert(!ledger_is_new(l));
    cr_assert_str_eq(look(l).cap, "a");
    (void)ledger_close(l);
}

Test(ledger, a_file_that_was_cut_short_is_allocated_again_and_not_believed)
{
    struct ledger *l = open_ledger(16);

    (void)ledger_close(l);
    cr_assert(truncate(path, 50) == 0);
    l = open_ledger(16);
    cr_assert_str_eq(ledger_why_new(l), "damaged header");
    cr_assert(ledger_entries_max(l) == 16);
    (void)ledger_close(l);
}

/* A return that a kill cut short is completed before anyone sees the entry. */
Test(ledger, a_return_in_the_middle_is_completed_on_opening)
{
    struct ledger *l = open_ledger(16);
    struct ledger_entry *entry = ledger_claim(l, "a", 1);

    slot_grant(&entry->slot, 10);
    cr_assert(slot_return_freeze(&entry->slot));
    cr_assert(slot_return_note(&entry->slot, 4) == 4);
    l = reopen(l);
    entry = look(l).entry;
    cr_assert(slot_counts(&entry->slot).returned == 4);
    cr_assert(slot_rest(&entry->slot) == 6);
    (void)ledger_close(l);
}

Test(ledger, what_cannot_be_a_ledger_is_refused_with_its_path)
{
    struct ledger *l = NULL;
    struct err e = {0};

    cr_assert(!ledger_open(folder, "front-1", 16, &l, &e));
    cr_assert(strstr(e.msg, folder) != NULL);
    cr_assert(!ledger_open("/nowhere/at/all", "front-1", 16, &l, &e));
    cr_assert(strstr(e.msg, "/nowhere/at/all") != NULL);
}

/* A link would let whoever owns its folder choose another file. */
Test(ledger, a_symbolic_link_is_not_followed)
{
    struct ledger *l = NULL;
    struct err e = {0};

    cr_assert(symlink("/dev/null", path) == 0);
    cr_assert(!ledger_open(path, "front-1", 16, &l, &e));
}

/* As after a restart of a container without a fixed name. */
Test(ledger, of_another_server_is_left_alone)
{
    struct ledger *l = open_ledger(16), *other = NULL;
    struct err e = {0};

    slot_grant(&ledger_claim(l, "ad-42", 1000)->slot, 50);
    (void)ledger_close(l);
    cr_assert(!ledger_open(path, "front-2", 16, &other, &e));
    cr_assert(e.kind == ERR_CONFLICT);
    cr_assert(strstr(e.msg, "set SERVER_NAME=front-1") != NULL, "%s", e.msg);
    l = open_ledger(16);
    cr_assert(!ledger_is_new(l));
    cr_assert(ledger_generation(l) == 2, "the attempt does not count");
    cr_assert(look(l).count == 1);
    (void)ledger_close(l);
}

Test(ledger, that_would_not_carry_on_is_anybodys)
{
    struct ledger *l = open_ledger(16), *other = NULL;
    char aside[200];
    struct err e = {0};

    (void)ledger_close(l);
    snprintf(aside, sizeof(aside), "%s.copy", path);
    copy_file(path, aside);
    cr_assert(ledger_open(aside, "front-2", 16, &other, &e), "%s", e.msg);
    cr_assert_str_eq(ledger_why_new(other), "a copy");
    (void)ledger_close(other);
}
