#include <criterion/criterion.h>
#include <string.h>

#include "common/base/buf.h"

Test(buf, an_empty_one_reads_as_empty_text)
{
    auto_buf struct buf b = BUF_INIT(10);

    cr_expect_str_eq(buf_text(&b), "");
    buf_str(&b, "");
    buf_add(&b, NULL, 0);
    buf_printf(&b, "%s", "");
    cr_expect(b.len == 0 && !buf_failed(&b));
}

Test(buf, appends_and_stays_terminated_while_it_grows)
{
    auto_buf struct buf b = BUF_INIT(0);

    for (int i = 0; i < 2000; i++) {
        buf_printf(&b, "%03d", i % 1000);
        cr_assert(strlen(b.data) == b.len);
    }
    cr_expect(b.len == 6000);
    cr_expect(memcmp(b.data + 3 * 1234, "234", 3) == 0);
    cr_expect_not(buf_failed(&b));
}

Test(buf, keeps_bytes_that_are_nul)
{
    auto_buf struct buf b = BUF_INIT(10);

    buf_add(&b, "a\0b", 3);
    cr_expect(b.len == 3 && memcmp(b.data, "a\0b", 4) == 0);
}

Test(buf, takes_exactly_its_maximum)
{
    auto_buf struct buf b = BUF_INIT(5);

    buf_str(&b, "12345");
    cr_expect_not(buf_failed(&b));
    cr_expect_str_eq(buf_text(&b), "12345");
}

Test(buf, past_the_maximum_it_fails_and_keeps_what_it_had)
{
    auto_buf struct buf b = BUF_INIT(5);

    buf_str(&b, "123");
    buf_str(&b, "456");
    cr_expect(buf_failed(&b));
    buf_printf(&b, "%d", 7);
    buf_add(&b, "8", 1);
    cr_expect_str_eq(buf_text(&b), "123", "nothing is appended after a failure");
}

Test(buf, clear_forgets_content_and_failure)
{
    auto_buf struct buf b = BUF_INIT(3);

    buf_str(&b, "1234");
    buf_clear(&b);
    cr_expect_str_eq(buf_text(&b), "");
    buf_str(&b, "abc");
    cr_expect_str_eq(buf_text(&b), "abc");
    cr_expect_not(buf_failed(&b));
}

Test(buf, may_be_used_again_after_done_with_the_same_maximum)
{
    struct buf b = BUF_INIT(3);

    buf_str(&b, "abc");
    buf_done(&b);
    buf_str(&b, "de");
    cr_expect_str_eq(buf_text(&b), "de");
    buf_str(&b, "fg");
    cr_expect(buf_failed(&b));
    buf_done(&b);
    buf_done(&b);
}
