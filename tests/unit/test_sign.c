#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io/sign.h"

#define HEX32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX32_OTHER "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static bool load(const char *text, struct sign_keys **ret, struct err *e)
{
    char path[] = "/tmp/volumecap-keys-XXXXXX";
    int fd = mkstemp(path);

    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    bool ok = sign_keys_load(path, ret, e);
    unlink(path);
    return ok;
}

static void expect_refused(const char *text, const char *why)
{
    struct sign_keys *keys = NULL;
    struct err e = {0};

    cr_assert(!load(text, &keys, &e), "%s", text);
    cr_assert(strstr(e.msg, why), "%s", e.msg);
    cr_assert(!strstr(e.msg, "0102030405"), "the secret is in the message");
}

/* RFC 4231, test case 1, in two parts. */
Test(sign, agrees_with_the_published_vector)
{
    struct sign_key key = {.secret_len = 20};
    char hex[SIGN_HEX_SIZE];

    memset(key.secret, 0x0b, 20);
    sign_hex(&key, "Hi ", 3, "There", 5, hex);
    cr_assert_str_eq(hex, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}

Test(sign, a_changed_bit_changes_the_signature)
{
    struct sign_key key = {.secret_len = 32};
    char good[SIGN_HEX_SIZE], bad[SIGN_HEX_SIZE];

    sign_hex(&key, "a\n", 2, "body", 4, good);
    sign_hex(&key, "a\n", 2, "bodx", 4, bad);
    cr_assert(!sign_equal(good, bad));
    sign_hex(&key, "b\n", 2, "body", 4, bad);
    cr_assert(!sign_equal(good, bad));
    key.secret[31] ^= 1;
    sign_hex(&key, "a\n", 2, "body", 4, bad);
    cr_assert(!sign_equal(good, bad));
}

Test(sign, only_whole_signatures_are_equal)
{
    cr_assert(sign_equal(HEX32, HEX32));
    cr_assert(!sign_equal(HEX32, HEX32_OTHER));
    cr_assert(!sign_equal("", ""));
    cr_assert(!sign_equal("00", "00"));
    cr_assert(!sign_equal(HEX32, HEX32 "00"));
}

Test(sign, a_data_centre_signs_with_its_first_key_and_all_are_known)
{
    auto_sign_keys struct sign_keys *keys = NULL;
    struct err e = {0};

    cr_assert(
        load("# keys\n\neast k2 " HEX32 "\neast k1 " HEX32_OTHER "\nwest k1 " HEX32, &keys, &e),
        "%s", e.msg);
    cr_assert_str_eq(sign_key_of(keys, "east", NULL)->id, "k2");
    cr_assert(sign_key_of(keys, "east", "k1")->secret[0] == 0xff);
    cr_assert(sign_knows(keys, "west"));
    cr_assert(!sign_knows(keys, "north"));
    cr_assert_null(sign_key_of(keys, "west", "k2"));
}

Test(sign, bad_files_are_refused_without_telling_secrets)
{
    expect_refused("east k1\n", "line 1");
    expect_refused("east k1 " HEX32 " more\n", "line 1");
    expect_refused("east k1 0102030405\n", "32 to 64 bytes");
    expect_refused("east k1 " HEX32 "0\n", "32 to 64 bytes");
    expect_refused("east k1 " HEX32 HEX32 "00\n", "32 to 64 bytes");
    expect_refused("east k1 g" HEX32 "0\n", "32 to 64 bytes");
    expect_refused("ea/st k1 " HEX32 "\n", "not a name");
    expect_refused("east k1 " HEX32 "\neast k1 " HEX32 "\n", "line 2");
}

/* They have secrets: whoever may read the file could speak for any data centre. */
Test(sign, a_file_that_everybody_may_use_is_refused)
{
    static const mode_t bad[] = {0644, 0604, 0602, 0666}, good[] = {0600, 0400, 0640};
    char path[] = "/tmp/volumecap-keys-XXXXXX";
    int fd = mkstemp(path);
    struct err e = {0};

    cr_assert(fd >= 0 && dprintf(fd, "east k1 " HEX32 "\n") > 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        auto_sign_keys struct sign_keys *keys = NULL;
        cr_assert(fchmod(fd, bad[i]) == 0);
        cr_expect(!sign_keys_load(path, &keys, &e), "mode %o", bad[i]);
        cr_expect(strstr(e.msg, path) && strstr(e.msg, "chmod"), "%s", e.msg);
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        auto_sign_keys struct sign_keys *keys = NULL;
        cr_assert(fchmod(fd, good[i]) == 0);
        cr_expect(sign_keys_load(path, &keys, &e), "mode %o: %s", good[i], e.msg);
    }
    close(fd);
    unlink(path);
}

Test(sign, a_file_that_cannot_be_read_is_not_an_empty_one)
{
    char path[] = "/tmp/volumecap-keys-XXXXXX";
    struct sign_keys *keys = NULL;
    struct err e = {0};

    cr_assert(mkdtemp(path));
    cr_expect(!sign_keys_load(path, &keys, &e));
    cr_expect(strstr(e.msg, "irectory"), "%s", e.msg);
    rmdir(path);
}

Test(sign, a_missing_file_is_an_error)
{
    struct sign_keys *keys = NULL;
    struct err e = {0};

    cr_assert(!sign_keys_load("/nonexistent/keys", &keys, &e));
    cr_assert(strstr(e.msg, "/nonexistent/keys"));
}
