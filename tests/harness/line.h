#pragma once

/*
 * line: a TCP connection to a server that can be cut without either side being
 * told, as a network does it: what is connected stays so, and is silent.
 *
 * The forwarder is a process of its own, which is stopped while the line is
 * cut.  Everything here aborts with a message when it fails, as in proc.h.
 */

#include "common/base/cleanup.h"

struct line;

/* From a free port of 127.0.0.1, line_port(), to another. */
struct line *line_start(int to_port);
int line_port(const struct line *l);

void line_cut(struct line *l);
void line_mend(struct line *l);

struct line *line_free(struct line *l);
CLEANUP_DEFINE(line, struct line, line_free)
#define auto_line CLEANUP(line)
