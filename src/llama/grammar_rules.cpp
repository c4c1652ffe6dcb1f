#include "llama/grammar_rules.h"
#include "llama/grammar_keys.h"

#include <algorithm>
#include <cstring>

/* "required" shall mean a call now: common lets a model talk before it, and a
 * small one then talks to the end. Takes the free text before the calls out of
 * the grammar's root, `until-12? tool-calls`; a thinking part stays. */
static void call_at_once(std::string &grammar)
{
	size_t root = grammar.find("root ::= ");
	if (root == std::string::npos)
		return;
	size_t line = grammar.find('\n', root);
	size_t at = grammar.rfind("until-", line);
	if (at == std::string::npos || at < root)
		return;
	size_t end = grammar.find_first_not_of("0123456789",
					       at + std::strlen("until-"));
	if (end != std::string::npos && grammar.compare(end, 2, "? ") == 0)
		grammar.erase(at, end + 2 - at);
}

/* Where one call is asked for; some formats' rule is repeated all the same. */
static void call_once(std::string &grammar)
{
	size_t rule = grammar.find("\ntool-calls ::= ");
	if (rule == std::string::npos)
		return;
	size_t end = std::min(grammar.find('\n', rule + 1), grammar.size());
	if (grammar[end - 1] == '+')
		grammar.erase(end - 1, 1);
}

bool grammar_rules_unfence(std::string &grammar)
{
	static const char fenced[] = "\"```json\" space response-format space "
				     "\"```\" | ";
	size_t at = grammar.find(fenced);
	if (at != std::string::npos)
		grammar.erase(at, std::strlen(fenced));
	return grammar.find("```json") == std::string::npos;
}

static void set_rule(std::string &grammar, const char *name, const char *rule)
{
	std::string head = std::string(name) + " ::= ";
	size_t at = grammar.compare(0, head.size(), head) == 0
			    ? 0
			    : grammar.find("\n" + head);
	if (at == std::string::npos)
		return;
	at = grammar.find(head, at) + head.size();
	grammar.replace(at, grammar.find('\n', at) - at, rule);
}

/* llama.cpp's rules let through halves of characters and bytes that are none,
 * the 31st of February and numbers that no program can hold. */
static void set_values(std::string &grammar)
{
	set_rule(grammar, "char",
		 "[ !#-\\x5B\\x5D-~\\U00000080-\\U0000D7FF"
		 "\\U0000E000-\\U0010FFFF] | [\\\\] ([\"\\\\bfnrt] | \"u\" "
		 "([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] "
		 "[0-9a-fA-F]{2}))");
	set_rule(grammar, "number",
		 "(\"-\"? integral-part) (\".\" decimal-part)? "
		 "([eE] [-+]? [0-9]{1,2})?");
	set_rule(
		grammar, "date",
		"[1-9] [0-9]{3} \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" "
		"(\"0\" [1-9] | [12] [0-9] | \"3\" [01]) | "
		"(\"0\" [469] | \"11\") \"-\" "
		"(\"0\" [1-9] | [12] [0-9] | \"30\") | "
		"\"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8])) | "
		"[1-9] [0-9] (\"0\" [48] | [2468] [048] | [13579] [26]) \"-02-29\"");
}

void grammar_rules_set(std::string &grammar, bool at_once, bool once)
{
	if (at_once)
		call_at_once(grammar);
	if (once)
		call_once(grammar);
	set_values(grammar);
	grammar_keys_set(grammar);
}
