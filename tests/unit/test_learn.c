#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "common/base/num.h"
#include "common/domain/learn.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *name; /* reads as a claim */
    struct learn_memory memory;
    struct learn_database database;
    enum learn_verdict verdict;
} cases[] = {
    {"all is there: nothing was forgotten",
     {.is_known = true, .commits = 5, .writers = 2},
     {.is_same_life = true, .is_registered = true, .commits = 5, .writers = 2, .present = 2},
     LEARN_NOTHING},
    {"a commit whose answer was lost may be there, too",
     {.is_known = true, .commits = 5, .writers = 2},
     {.is_same_life = true, .is_registered = true, .commits = 6, .writers = 3, .present = 2},
     LEARN_NOTHING},
    {"a commit that was acknowledged is missing: forgotten, whatever the server's life",
     {.is_known = true, .commits = 5, .writers = 1},
     {.is_same_life = true, .is_registered = true, .commits = 4, .writers = 1, .present = 1},
     LEARN_FORGOTTEN},
    {"the process itself is missing: forgotten",
     {.is_known = true, .commits = 0, .writers = 1},
     {.is_same_life = true, .writers = 1},
     LEARN_FORGOTTEN},
    {"a process that was away for long may have been struck off",
     {.is_known = true, .was_away = true, .commits = 3, .writers = 1},
     {.is_same_life = true, .writers = 1},
     LEARN_NOTHING},
    {"another process that had come is missing: forgotten",
     {.is_known = true, .commits = 5, .writers = 3},
     {.is_same_life = true, .is_registered = true, .commits = 5, .writers = 2, .present = 1},
     LEARN_FORGOTTEN},
    {"another life, and the only process finds all it did: proven",
     {.is_known = true, .commits = 5, .writers = 1},
     {.is_registered = true, .commits = 5, .writers = 1, .present = 1},
     LEARN_PROVEN},
    {"another life, and another process may have done more: unproven",
     {.is_known = true, .commits = 5, .writers = 2},
     {.is_registered = true, .commits = 5, .writers = 2, .present = 2},
     LEARN_UNPROVEN},
    {"another life, and nobody remembers anything: unproven", {0}, {.writers = 1}, LEARN_UNPROVEN},
    {"a new process in the same life has nothing to miss",
     {0},
     {.is_same_life = true, .writers = 1},
     LEARN_NOTHING},
};

Test(learn, what_a_process_remembers_decides)
{
    for (size_t i = 0; i < COUNT(cases); i++)
        cr_expect(learn_judge(&cases[i].memory, &cases[i].database) == cases[i].verdict, "%s",
                  cases[i].name);
}

Test(learn, an_incarnation_is_above_all_that_anyone_has_heard_of)
{
    int64_t first = learn_next_incarnation(0, 0, 7), second = learn_next_incarnation(first, 0, 3);

    cr_expect(first > 0 && second > first);
    cr_expect(learn_next_incarnation(first, second, 0) > second);
    cr_expect(learn_next_incarnation(0, 0, 8) != first, "the same state twice, and two numbers");
    cr_expect(learn_next_incarnation(0, UNITS_MAX, UINT64_MAX) <= UNITS_MAX);
}

Test(learn, an_incarnation_so_far_ahead_cannot_have_been)
{
    const int64_t known = INT64_C(7) << 20;

    cr_expect(learn_is_in_reach(INT64_C(1007) << 20, known, 1000));
    cr_expect(false == learn_is_in_reach(INT64_C(1008) << 20, known, 1000));
    cr_expect(learn_is_in_reach(0, known, 1000));
}

Test(learn, nothing_was_forgotten_if_all_witnesses_say_so_and_there_is_one)
{
    cr_expect(learn_is_intact(&(struct learn_roll){.witnesses = 2, .agreeing = 2}));
    cr_expect(false == learn_is_intact(&(struct learn_roll){.witnesses = 2, .agreeing = 1}));
    cr_expect(false == learn_is_intact(&(struct learn_roll){0}));
    cr_expect(false == learn_is_intact(&(struct learn_roll){
                           .witnesses = 1, .agreeing = 1, .is_proven_lost = true}));
}

Test(learn, all_servers_have_spoken_when_none_is_silent_and_unknown_ones_had_time)
{
    cr_expect(learn_has_heard(&(struct learn_roll){.waited_ms = 10, .learn_ms = 10}));
    cr_expect(false == learn_has_heard(&(struct learn_roll){.waited_ms = 9, .learn_ms = 10}));
    cr_expect(false ==
              learn_has_heard(&(struct learn_roll){.silent = 1, .waited_ms = 10, .learn_ms = 10}));
}

Test(learn, a_process_stands_still_from_when_its_last_commit_was_first_seen)
{
    struct learn_others known = {0};

    learn_see_others(&known, &(struct learn_others){2, {{"a", 5, 0}, {"b", 5, 0}}}, 100);
    learn_see_others(&known, &(struct learn_others){2, {{"b", 6, 0}, {"a", 5, 0}}}, 200);
    cr_assert(known.count == 2);
    cr_expect(known.all[0].since_ms == 200, "b has committed something");
    cr_expect(known.all[1].since_ms == 100);
    learn_see_others(&known, &(struct learn_others){1, {{"b", 6, 0}}}, 300);
    learn_see_others(&known, &(struct learn_others){1, {{"a", 5, 0}}}, 400);
    cr_expect(known.all[0].since_ms == 400, "it has come anew");
}
