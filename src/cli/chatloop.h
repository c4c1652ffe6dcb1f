/* chatloop.h - a conversation with a person at the terminal. */
#pragma once
#include "cli/ask.h"

/* Until /bye or Ctrl-D. An answer that fails is told and the talk goes on;
 * -1 only if the terminal cannot be used. */
must_use int chatloop_run(struct ask *a, struct err *e);
