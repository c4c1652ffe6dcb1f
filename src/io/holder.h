/* holder.h - which process listens on a TCP port, as far as /proc lets us see.
 *
 * Processes of other users stay hidden from a user without privileges. */
#pragma once
#include "base/base.h"

struct holder {
	int pid;
	char command[32];
};

enum holder_outcome { HOLDER_UNKNOWN = 1 };

must_use int holder_find(int port, struct holder *out);
