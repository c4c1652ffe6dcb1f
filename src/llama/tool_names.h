/* tool_names.h - may a function have this name? It stands in grammars and
 * templates as it is, and llama.cpp makes rules' names of it. Pure. */
#pragma once
#include "base/json.h"

/* -1 says why not, as an error of the field "tools". `seen` is an object that
 * knows a request's names so far, and then this one. */
must_use int tool_names_check(json_t *seen, struct str name, struct err *e);
