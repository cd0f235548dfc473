#pragma once

/*
 * check: CHECK(expression) stops the process, in every build, when our own
 * code is wrong.  Bad input and broken dependencies are never a CHECK.
 */

#define CHECK(expression)                                                                          \
    ((expression) ? (void)0 : check_failed(#expression, __FILE__, __LINE__, __func__))

_Noreturn void check_failed(const char *expression, const char *file, int line, const char *func);
