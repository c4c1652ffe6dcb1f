/* grammar_keys.h - the rule for names of members that a schema does not name
 * (additionalProperties): llama.cpp writes what the others begin with into
 * classes as it is ("]", "^"), lets a name end in half an escape, and one that
 * is spelled by escapes be that of a member. C++. */
#pragma once
#include <string>

/* Writes these rules of a grammar's text anew. A name is then not empty, and
 * where it first differs from the others it has no escape. */
void grammar_keys_set(std::string &grammar);
