#include <criterion/criterion.h>
#include <string.h>

#include "common/base/err.h"

Test(err, each_kind_has_the_status_that_leads_back_to_it)
{
    for (int kind = ERR_INVALID; kind <= ERR_TIMEOUT; kind++) {
        int status = err_http_status((enum err_kind)kind);
        /* Who is told of an unknown outcome does the same as when nothing was done: asks again. */
        int expected = kind == ERR_TIMEOUT ? ERR_UNAVAILABLE : kind;

        cr_expect(status >= 400 && status <= 503, "%s", err_name((enum err_kind)kind));
        cr_expect(err_kind_of_status(status) == (enum err_kind)expected, "%d", status);
    }
}

Test(err, a_gateway_that_got_no_answer_leaves_the_outcome_unknown)
{
    cr_expect(err_kind_of_status(504) == ERR_TIMEOUT);
}

Test(err, an_unknown_status_is_internal)
{
    static const int statuses[] = {0, 200, 302, 418, 502, -1};

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        cr_expect(err_kind_of_status(statuses[i]) == ERR_INTERNAL, "%d", statuses[i]);
}

Test(err, only_unreachable_and_timed_out_may_be_sent_again)
{
    for (int kind = ERR_INVALID; kind <= ERR_TIMEOUT; kind++)
        cr_expect(err_is_retryable((enum err_kind)kind) ==
                      (kind == ERR_UNAVAILABLE || kind == ERR_TIMEOUT),
                  "%s", err_name((enum err_kind)kind));
}

Test(err, set_is_false_and_forgets_an_older_pointer)
{
    struct err e = {.pointer = "/old"};

    cr_assert_not(err_set(&e, ERR_CONFLICT, "version %d is newer", 7));
    cr_expect(e.kind == ERR_CONFLICT);
    cr_expect_str_eq(e.msg, "version 7 is newer");
    cr_expect_str_eq(e.pointer, "");
}

Test(err, at_is_invalid_input_with_its_pointer)
{
    struct err e;

    cr_assert_not(err_at(&e, "/items/3/amount", "must be %s", "positive"));
    cr_expect(e.kind == ERR_INVALID);
    cr_expect_str_eq(e.msg, "must be positive");
    cr_expect_str_eq(e.pointer, "/items/3/amount");
}

Test(err, while_puts_what_we_did_in_front_and_keeps_the_rest)
{
    struct err e;

    cr_assert_not(err_at(&e, "/total", "too small"));
    cr_assert_not(err_while(&e, "cap %s", "a"));
    cr_expect_str_eq(e.msg, "cap a: too small");
    cr_expect_str_eq(e.pointer, "/total");
    cr_expect(e.kind == ERR_INVALID);
}

Test(err, the_old_message_may_be_an_argument_of_the_new_one)
{
    struct err e;

    cr_assert_not(err_set(&e, ERR_TIMEOUT, "late"));
    cr_assert_not(err_set(&e, ERR_INTERNAL, "gave up: %s", e.msg));
    cr_expect_str_eq(e.msg, "gave up: late");
}

Test(err, long_texts_are_cut_and_the_cause_survives_a_long_context)
{
    char text[400];
    struct err e;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    cr_assert_not(err_at(&e, text, "%s", text));
    cr_expect(strlen(e.msg) == sizeof(e.msg) - 1);
    cr_expect(strlen(e.pointer) == sizeof(e.pointer) - 1);

    cr_assert_not(err_set(&e, ERR_INTERNAL, "the cause"));
    cr_assert_not(err_while(&e, "%s", text));
    cr_expect_str_eq(e.msg, "the cause");
}
