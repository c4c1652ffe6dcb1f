/* Needs the chat model's file (TEXT_GGUF), for its vocabulary: what a grammar
 * matches is what llama.cpp takes. */
#include "llama/grammar.h"
#include "base/json.h"
#include "base/limits.h"
#include "llama/common_shim.h"
#include "llama/weights.h"

#include <llama.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static struct weights *weights;
static struct common_shim_templates *templates;
static uint64_t seed = 20;

static void on_progress(void *ctx, float fraction)
{
	(void)ctx;
	(void)fraction;
}

static int load(void **state)
{
	const char *path = TEXT_GGUF;
	struct weights_options o = { .paths = &path,
				     .n_paths = 1,
				     .on_progress = on_progress };
	struct err e;
	(void)state;
	return weights_init(&e) || weights_load(&o, &weights, &e) ||
			       common_shim_open(weights_model(weights), NULL,
						&templates, &e)
		       ? -1
		       : 0;
}

static int unload(void **state)
{
	(void)state;
	common_shim_close(templates);
	weights_free(weights);
	return 0;
}

static unsigned any(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* ---- what llama.cpp takes ---- */

static bool takes_token(struct llama_sampler *s, int32_t token)
{
	struct llama_token_data one = { token, 0, 0 };
	struct llama_token_data_array all = { &one, 1, -1, false };
	llama_sampler_apply(s, &all);
	return one.logit > -INFINITY;
}

static bool takes(const char *grammar, struct str text)
{
	const struct llama_vocab *v = weights_vocab(weights);
	struct llama_sampler *s =
		llama_sampler_init_grammar(v, grammar, "root");
	auto_free int32_t *tokens = xcalloc(text.n + 1, sizeof *tokens);
	bool fits = true;
	if (!s)
		fail_msg("llama.cpp refuses this grammar: %s", grammar);
	int32_t n = llama_tokenize(v, text.p, (int32_t)text.n, tokens,
				   (int32_t)text.n + 1, false, true);
	assert_true(n >= 0);
	for (int32_t i = 0; fits && i < n; i++) {
		fits = takes_token(s, tokens[i]);
		if (fits)
			llama_sampler_accept(s, tokens[i]);
	}
	fits = fits && takes_token(s, llama_vocab_eos(v));
	llama_sampler_free(s);
	return fits;
}

/* The caller's. */
static char *rewritten(const char *grammar)
{
	struct buf out;
	struct err e;
	buf_init(&out, LIMIT_GRAMMAR_TEXT_BYTES);
	if (grammar_rewrite(str_of(grammar), STR(""), &out, &e))
		fail_msg("%s: %s", grammar, e.msg);
	return buf_take(&out);
}

/* ---- its form ---- */

static void what_begins_alike_is_one(void **state)
{
	static const char *const rows[][2] = {
		{ "root ::= \"abc\" | \"abd\" | \"x\"",
		  "root ::= \"x\" | \"ab\" c2\nc2 ::= \"c\" | \"d\"\n" },
		{ "root ::= \"a\" | \"ab\"",
		  "root ::= \"a\" c1\nc1 ::= | \"b\"\n" },
		/* in other rules, brackets and options */
		{ "root ::= x | (\"ab\" | \"c\")\nx ::= \"ac\"",
		  "root ::= \"c\" | \"a\" c3\nc3 ::= \"b\" | \"c\"\n" },
		{ "root ::= (\",a\")? (\",b\")?",
		  "root ::= | \",\" c3\nc3 ::= \"b\" | \"a\" c1?\n"
		  "c1 ::= \",b\"\n" },
		/* what has nothing alike stays */
		{ "root ::= x | \"c\"\nx ::= \"a\" | \"b\"",
		  "root ::= c1 | \"c\"\nc1 ::= \"a\" | \"b\"\n" },
		{ "root ::= [a] [^b-c]{2,3} \"\\n\\\"\"",
		  "root ::= \"a\" [^b-c]{2,3} \"\\U0000000A\\U00000022\"\n" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_free char *got = rewritten(rows[i][0]);
		assert_string_equal(got, rows[i][1]);
	}
}

/* ---- the same language ---- */

#define RULES 3

static void put(struct buf *b, const char *text)
{
	assert_int_equal(buf_puts(b, text), 0);
}

static void put_alternatives(struct buf *b, unsigned rule, unsigned depth);

/* Rules name later ones. What repeats without end, and what holds itself, costs
 * llama.cpp exponential time where it can be read in several ways. */
static void put_item(struct buf *b, unsigned rule, unsigned depth)
{
	static const char *const ends[] = {
		"", "", "", "", "?", "{2}", "{0,2}"
	};
	static const char *const atoms[] = { "\"a\"", "\"b\"", "\"ab\"",
					     "[ab]",  "[^b]",  "\"ba\"" };
	unsigned kind = any(10);
	char name[16];
	snprintf(name, sizeof name, " r%u",
		 rule + 1 + any(RULES + 1 - MIN(rule + 1, RULES)));
	if (kind < 6 || depth > 1) {
		put(b, atoms[any(ARRAY_LEN(atoms))]);
		put(b, ends[any(ARRAY_LEN(ends))]);
	} else if (kind < 8 && rule < RULES) {
		put(b, name + 1);
	} else {
		put(b, "(");
		put_alternatives(b, rule, depth + 1);
		put(b, any(3) ? ")" : ")?");
	}
}

static void put_alternatives(struct buf *b, unsigned rule, unsigned depth)
{
	for (unsigned i = 0, n = 1 + any(3); i < n; i++) {
		put(b, i ? " | " : "");
		/* An empty one would not end with its line. */
		for (unsigned k = 0, m = any(3) + (i + 1 == n); k < m; k++) {
			put(b, k ? " " : "");
			put_item(b, rule, depth);
		}
	}
}

static char *random_grammar(void)
{
	struct buf b;
	char name[32];
	buf_init(&b, 1 << 20);
	put(&b, "root ::= r0\n");
	for (unsigned rule = 0; rule <= RULES; rule++) {
		snprintf(name, sizeof name, "r%u ::= ", rule);
		put(&b, name);
		put_alternatives(&b, rule, 0);
		put(&b, rule == RULES ? " | \"b\"\n" : "\n");
	}
	return buf_take(&b);
}

/* All texts of up to so many letters of two. */
static void it_matches_what_it_matched(void **state)
{
	size_t n_taken = 0, n_not = 0;
	(void)state;
	for (int round = 0; round < 80; round++) {
		auto_free char *before = random_grammar();
		auto_free char *after = rewritten(before);
		for (unsigned k = 0; k < 40; k++) {
			char text[8];
			size_t n = k < 15 ? (size_t)(k > 0) + (k > 2) + (k > 6)
					  : 3 + any(5);
			for (size_t i = 0; i < n; i++)
				text[i] = k < 15 ? "ab"[k >> i & 1]
						 : "ab"[any(2)];
			bool was = takes(before, (struct str){ text, n });
			bool is = takes(after, (struct str){ text, n });
			n_taken += was;
			n_not += !was;
			if (was != is)
				fail_msg("'%.*s' was %d of\n%s\nand is %d "
					 "of\n%s",
					 (int)n, text, was, before, is, after);
		}
	}
	assert_true(n_taken > 500 && n_not > 500);
}

/* ---- enums ---- */

static json_t *random_value(unsigned depth)
{
	static const char *const parts[] = { "a",  "ab", "b",	       "A",
					     "\"", "\\", "\n",	       " ",
					     "é",  "日", "\U0001f600", "]",
					     "-",  "^",	 "(a|b)",      "\t" };
	char text[64] = "";
	switch (depth ? any(6) : any(12)) {
	case 0:
		return json_integer((json_int_t)any(300) - 50);
	case 1:
		return json_null();
	case 2:
		return json_boolean(any(2));
	case 3:
		return depth ? json_integer(7)
			     : json_pack("{s:o,s:o}", "x", random_value(1), "y",
					 random_value(1));
	case 4:
		return depth ? json_null()
			     : json_pack("[o,o]", random_value(1),
					 random_value(1));
	default:
		for (unsigned i = 0, n = any(6); i < n; i++) {
			size_t at = strlen(text);
			snprintf(text + at, sizeof text - at, "%s",
				 parts[any(ARRAY_LEN(parts))]);
		}
		return json_string(text);
	}
}

/* Where an answer begins, for this model. */
#define BEGIN "<|im_start|>assistant\n"

static bool takes_answer(const char *grammar, const char *text)
{
	auto_free char *all = xasprintf(BEGIN "%s", text);
	return takes(grammar, str_of(all));
}

/* The grammar of a schema, borrowed from *p, the caller's. */
static const char *grammar_of(const json_t *schema,
			      struct common_shim_prompt **p)
{
	auto_free char *text = json_text(schema);
	struct common_shim_ask ask = {
		.messages = "[{\"role\":\"user\",\"content\":\"Hello\"}]",
		.schema = text,
	};
	struct err e;
	if (common_shim_render(templates, &ask, p, &e))
		fail_msg("%s: %s", text, e.msg);
	return common_shim_prompt_grammar(*p).p;
}

static bool has_text(const json_t *values, const char *text)
{
	size_t i;
	json_t *value;
	json_array_foreach(values, i, value)
	{
		auto_free char *own = json_text(value);
		if (strcmp(own, text) == 0)
			return true;
	}
	return false;
}

/* One character less, twice, or another one. */
static void spoil(char *text, size_t n)
{
	size_t at = any((unsigned)n);
	switch (any(3)) {
	case 0:
		memmove(text + at, text + at + 1, n - at);
		break;
	case 1:
		memmove(text + at + 1, text + at, n - at + 1);
		break;
	default:
		text[at] = "ab\"\\]-1,}"[any(9)];
	}
}

static void check_enum(json_t *values)
{
	auto_(common_shim_prompt) p = NULL;
	auto_json *schema = json_pack("{s:O}", "enum", values);
	const char *grammar = grammar_of(schema, &p);
	size_t i;
	json_t *value;
	json_array_foreach(values, i, value)
	{
		auto_free char *text = json_text(value);
		if (!takes_answer(grammar, text))
			fail_msg("%s is not taken by %s", text, grammar);
		for (int k = 0; k < 4; k++) {
			auto_free char *other = xasprintf("%s ", text);
			other[strlen(text)] = '\0';
			spoil(other, strlen(text));
			if (!has_text(values, other) &&
			    takes_answer(grammar, other))
				fail_msg("%s is taken by %s", other, grammar);
		}
	}
}

static void an_enum_takes_each_value_and_nothing_else(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		auto_json *values = json_array();
		for (unsigned i = 0, n = 1 + any(round + 1); i < n; i++)
			json_array_append_new(values, random_value(0));
		check_enum(values);
	}
}

static void a_thousand_values_are_cheap_to_follow(void **state)
{
	auto_json *values = json_array();
	auto_(common_shim_prompt) p = NULL;
	char name[40];
	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "country_code_%04d", i);
		json_array_append_new(values, json_string(name));
	}
	auto_json *schema = json_pack("{s:O}", "enum", values);
	const char *grammar = grammar_of(schema, &p);
	assert_true(strlen(grammar) < 1000);
	assert_true(takes_answer(grammar, "\"country_code_0777\""));
	assert_false(takes_answer(grammar, "\"country_code_1000\""));
}

static void what_llama_cpp_would_print_is_refused_before(void **state)
{
	static const char *const rows[][2] = {
		{ "root ::= missing", "not there" },
		{ "x ::= \"a\"", "not there" },
		{ "root ::= \"secret", "too early" },
		{ "root ::= \"\\q\"", "escape" },
		{ "root ::= \"\\u12\"", "digits" },
		{ "root ::= (\"secret\"", "not closed" },
		{ "root ::= [secret", "too early" },
		{ "root ::= []]", "without characters" },
		{ "root ::= *", "repeats nothing" },
		{ "root ::= \"\"*", "repeats nothing" },
		{ "root ::= \"a\"{2001}", "2000" },
		{ "root ::= \"a\"{3,2}", "counts wrongly" },
		{ "root ::= \"a\"{x}", "no number" },
		{ "root = \"a\"", "'::='" },
		{ "root ::= \"a\" ]", "no place" },
		{ "?", "no name" },
		{ "root ::= <secret", "half a token" },
	};
	struct err e;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_buf struct buf out;
		buf_init(&out, 1 << 20);
		e = (struct err){ 0 };
		if (grammar_rewrite(str_of(rows[i][0]), STR(""), &out, &e) == 0)
			fail_msg("%s became %s", rows[i][0], out.p);
		assert_int_equal(e.code, ERR_INVALID);
		if (!strstr(e.msg, rows[i][1]) || strstr(e.msg, "secret"))
			fail_msg("%s: %s", rows[i][0], e.msg);
	}
}

static void its_depth_and_size_have_ends(void **state)
{
	auto_free char *deep = xcalloc(1, 4000);
	auto_buf struct buf out, small, large;
	struct err e = { 0 };
	(void)state;
	buf_init(&out, 1 << 20);
	buf_init(&small, 20);
	buf_init(&large, 64u << 20);
	memset(stpcpy(deep, "root ::= "), '(', 3000);
	assert_int_equal(grammar_rewrite(str_of(deep), STR(""), &out, &e), -1);
	assert_non_null(strstr(e.msg, "too deeply"));
	assert_int_equal(grammar_rewrite(STR("root ::= \"a\" | [b] | \"cccc\""),
					 STR(""), &small, &e),
			 -1);
	assert_non_null(strstr(e.msg, "too large"));
	put(&large, "root ::= \"");
	for (unsigned i = 0; i < LIMIT_GRAMMAR_CELLS + 10; i++)
		put(&large, i & 1 ? "a" : "b");
	put(&large, "\"");
	assert_int_equal(grammar_rewrite(buf_str(&large), STR(""), &out, &e),
			 -1);
	assert_non_null(strstr(e.msg, "too large"));
}

/* Rules that hold themselves, and left of all else: the one is kept, the other
 * is llama.cpp's to refuse. */
static void rules_may_hold_themselves(void **state)
{
	static const char kids[] =
		"root ::= a | b\na ::= \"{k:\" (a | b) \"}\" | \"1\"\n"
		"b ::= \"{k:\" (b | a) \",\" a \"}\" | \"2\"";
	auto_free char *after = rewritten(kids);
	auto_free char *left = rewritten("root ::= root \"a\" | \"b\" | x\n"
					 "x ::= x | root");
	(void)state;
	assert_true(strlen(left) > 0);
	assert_true(takes(after, STR("{k:{k:2,1}}")));
	assert_true(takes(after, STR("{k:{k:1},{k:2}}")));
	assert_false(takes(after, STR("{k:1,2}")));
}

/* Each with its own rules, whatever their names. */
static void two_may_be_one(void **state)
{
	struct buf out;
	struct err e;
	buf_init(&out, LIMIT_GRAMMAR_TEXT_BYTES);
	assert_int_equal(
		grammar_rewrite(STR("root ::= a \"x\"\na ::= \"k\" root?"),
				STR("root ::= \"[\" a\na ::= \"]\" | root"),
				&out, &e),
		0);
	auto_free char *both = buf_take(&out);
	(void)state;
	assert_true(takes(both, STR("kkxx")));
	assert_true(takes(both, STR("[[]")));
	assert_false(takes(both, STR("k[]x")));
	assert_false(takes(both, STR("[kx")));
	assert_false(takes(both, STR("kx[]")));
}

/* ---- names that a schema does not have ---- */

static void check_name(const char *grammar, const char *name, bool fits)
{
	auto_free char *text = xasprintf("{\"%s\":true}", name);
	if (takes_answer(grammar, text) != fits)
		fail_msg("%s %s taken by %s", text, fits ? "is not" : "is",
			 grammar);
}

static void other_names_are_json_and_none_of_the_members(void **state)
{
	static const char *const members[] = {
		"a",  "ab", "é",  "éa",	  "]",	 "^",	 "-",
		"\\", "\"", "\n", "日本", "abc", "zz-z",
	};
	static const char *const taken[] = {
		"b",  "abd", "aa",  "ba",   "日1",	"]]", "^\\n", "--",
		"zb", "éab", "zz1", "abcd", "x\\u0061", "_",  "A",    "e",
	};
	static const char *const refused[] = {
		"",    "a",	  "ab", "é",	 "]",	 "^",
		"-",   "日本",	  "\\", "\\\\",	 "\\\"", "b\\",
		"\\n", "\\u0061", "\n", "zz\\-", "a\n",
	};
	auto_(common_shim_prompt) p = NULL;
	auto_json *properties = json_object();
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		json_object_set_new(properties, members[i],
				    json_pack("{s:s}", "type", "integer"));
	auto_json *schema = json_pack(
		"{s:s,s:O,s:{s:s}}", "type", "object", "properties", properties,
		"additionalProperties", "type", "boolean");
	const char *grammar = grammar_of(schema, &p);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		check_name(grammar, taken[i], true);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++)
		check_name(grammar, refused[i], false);
}

static void beside_an_empty_name_there_are_others(void **state)
{
	auto_(common_shim_prompt) p = NULL;
	auto_json *schema = json_pack(
		"{s:s,s:{s:{s:s}},s:{s:s}}", "type", "object", "properties", "",
		"type", "null", "additionalProperties", "type", "boolean");
	const char *grammar = grammar_of(schema, &p);
	(void)state;
	check_name(grammar, "", false);
	check_name(grammar, "a", true);
	check_name(grammar, "\\", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_begins_alike_is_one),
		cmocka_unit_test(it_matches_what_it_matched),
		cmocka_unit_test(an_enum_takes_each_value_and_nothing_else),
		cmocka_unit_test(other_names_are_json_and_none_of_the_members),
		cmocka_unit_test(beside_an_empty_name_there_are_others),
		cmocka_unit_test(a_thousand_values_are_cheap_to_follow),
		cmocka_unit_test(what_llama_cpp_would_print_is_refused_before),
		cmocka_unit_test(its_depth_and_size_have_ends),
		cmocka_unit_test(rules_may_hold_themselves),
		cmocka_unit_test(two_may_be_one),
	};
	return cmocka_run_group_tests(tests, load, unload);
}
