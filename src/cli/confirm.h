/* confirm.h - asks the person before something is lost. */
#pragma once
#include "base/err.h"

enum confirm_outcome { CONFIRM_NO = 1 };

/* Shows `warning` and asks; 0 only for "y" or "yes" on stdin. */
must_use int confirm_ask(const char *warning, struct err *e);
