#include "llama/grammar_keys.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

/* Reads what llama.cpp wrote: `["] ( [a] ([b] char+ | [^"b] char*) | [^"a]
 * char* )? ["]`, a tree of characters by which names go on. */
struct reader {
	const std::string &text;
	size_t at;
	bool is_ok;

	bool take(const char *word)
	{
		size_t n = std::strlen(word);
		if (text.compare(at, n, word) != 0)
			return false;
		at += n;
		return true;
	}
	void need(const char *word)
	{
		is_ok = is_ok && take(word);
	}
	/* A character of the grammar, which is UTF-8. */
	std::string character()
	{
		unsigned char first = at < text.size() ? text[at] : 0;
		size_t n = first < 0x80	  ? 1
			   : first < 0xe0 ? 2
			   : first < 0xf0 ? 3
					  : 4;
		is_ok = is_ok && at + n <= text.size();
		std::string got = is_ok ? text.substr(at, n) : "";
		at += n;
		return got;
	}
};

/* As an escape of the grammar's own. */
static std::string code_of(const std::string &character)
{
	uint32_t code = (unsigned char)character[0];
	char out[16];
	size_t n = character.size();
	if (n > 1)
		code &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)character[i] & 0x3f);
	std::snprintf(out, sizeof out, "\\U%08X", code);
	return out;
}

/* In JSON only an escape says it. */
static bool is_escaped(const std::string &character)
{
	unsigned char c = character[0];
	return c < ' ' || c == '"' || c == '\\' || c == 0x7f;
}

/* What follows one character of a name: the whole of "[a] char+" or "[a]
 * (...)". Its depth is that of a name, LIMIT_SCHEMA_NAME_BYTES. */
static std::string branches(reader &r);

static std::string branch(reader &r, std::string &others)
{
	r.need("[");
	std::string c = r.character();
	r.need("] ");
	if (!r.is_ok)
		return "";
	others += c;
	std::string rest = "char+";
	if (r.take("(")) {
		rest = "(" + branches(r) + ")";
		r.need(")");
	} else {
		r.need("char+");
	}
	return is_escaped(c) ? "" : "[" + code_of(c) + "] " + rest + " | ";
}

static std::string branches(reader &r)
{
	std::string out, others, codes;
	while (r.is_ok && !r.take("[^\"")) {
		out += branch(r, others);
		r.need(" | ");
	}
	r.need((others + "] char*").c_str());
	reader each{ others, 0, true };
	while (r.is_ok && each.at < others.size()) {
		std::string c = each.character();
		if (!is_escaped(c))
			codes += code_of(c);
	}
	return out + "[^\"\\\\\\x7F\\x00-\\x1F" + codes + "] char*";
}

void grammar_keys_set(std::string &grammar)
{
	static const char begin[] = "::= [\"] ( ";
	static const char any[] = "[^\"\\\\\\x7F\\x00-\\x1F] char*";
	size_t at = 0;
	while ((at = grammar.find(begin, at)) != std::string::npos) {
		reader r{ grammar, at + std::strlen(begin), true };
		size_t start = r.at;
		/* The only name is empty. */
		std::string rule = r.take(" )") ? any : "";
		if (rule.empty()) {
			rule = branches(r);
			r.need(" )");
		}
		r.take("?");
		r.need(" [\"]");
		at = start;
		if (r.is_ok)
			grammar.replace(start, r.at - start, rule + " ) [\"]");
	}
}
