/* grammar_rules.h - rules of llama.cpp's own in a grammar's text, found by
 * their names and made better; C++, and before grammar_rewrite(), which drops
 * names. */
#pragma once
#include <string>

/* A format's JSON without the marks of a code block, which it may have around
 * it. False: it has them still. */
bool grammar_rules_unfence(std::string &grammar);
/* Characters, numbers and dates that programs can hold; where calls must be
 * made, no free text before them, and where one is asked for, no more. */
void grammar_rules_set(std::string &grammar, bool at_once, bool once);
