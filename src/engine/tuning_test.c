#include "engine/tuning.h"
#include "base/buf.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

struct fixture {
	struct tuning t;
	enum engine_mode mode;
	struct err e;
};

static int parse(struct fixture *f, const char *text)
{
	auto_json *body = NULL;
	tuning_fini(&f->t);
	f->e = (struct err){ 0 };
	f->mode = ENGINE_COMPLETION;
	assert_int_equal(json_parse(str_of(text), &body, &f->e), 0);
	return tuning_parse(body, &f->t, &f->mode, &f->e);
}

/* "--temp 0.5" as a body; each flag is an element of its own. */
static int parse_raw(struct fixture *f, const char *flags)
{
	auto_json *body = json_pack("{s:s}", "raw-runtime-flags", flags);
	auto_free char *text = json_text(body);
	return parse(f, text);
}

static char *args_of(const struct fixture *f)
{
	struct buf out;
	buf_init(&out, 10000);
	for (size_t i = 0; i < f->t.n_args; i++)
		assert_int_equal(
			buf_printf(&out, "%s%s", i ? " " : "", f->t.args[i]),
			0);
	return buf_take(&out);
}

static int start(void **state)
{
	*state = xcalloc(1, sizeof(struct fixture));
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;
	tuning_fini(&f->t);
	free(f);
	return 0;
}

static void memory_for_prompts_is_counted_and_has_a_ceiling(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(parse_raw(f, "--threads 2"), TUNING_NO_MODE);
	assert_false(f->t.has_cache);
	assert_int_equal(parse_raw(f, "--cache-ram 0"), TUNING_NO_MODE);
	assert_true(f->t.has_cache);
	assert_int_equal(f->t.cache_mib, 0);
	assert_int_equal(parse_raw(f, "-cram 1048576 --ctx-checkpoints 8"),
			 TUNING_NO_MODE);
	assert_int_equal(f->t.cache_mib, LIMIT_CACHE_MIB);
	assert_int_equal(f->t.n_args, 0);
	assert_int_equal(parse_raw(f, "--cache-ram 1048577"), -1);
	assert_int_equal(parse_raw(f, "--cache-ram -1"), -1);
	assert_int_equal(parse_raw(f, "--cache-ram 1.5"), -1);
}

static void flags_become_the_workers_options(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },
		{ "--threads 2", "--threads 2" },
		{ "-t=2 -np 3", "--threads 2 --parallel 3" },
		{ "--batch-size=64", "--batch-size 64" },
		{ "-ngl 999", "--gpu-layers 999" },
		{ "--threads-batch 2 --jinja --mlock --verbose", "" },
		{ "--temp 0.5 --top-k 0",
		  "--defaults {\"temperature\":0.5,\"top_k\":0}" },
		{ "--temp 1 --temp 0", "--defaults {\"temperature\":0}" },
		{ "--seed -1", "--defaults {\"seed\":-1}" },
		{ "-n -1 --ignore-eos",
		  "--defaults {\"max_tokens\":-1,\"ignore_eos\":true}" },
		{ "--no-cache-prompt", "--defaults {\"cache_prompt\":false}" },
		{ "--chat-template-kwargs '{\"enable_thinking\":false}'",
		  "--defaults {\"chat_template_kwargs\":"
		  "{\"enable_thinking\":false}}" },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(parse_raw(f, rows[i][0]), TUNING_NO_MODE);
		auto_free char *args = args_of(f);
		assert_string_equal(args ? args : "", rows[i][1]);
	}
}

static void what_names_files_or_hosts_is_refused(void **state)
{
	static const char *const rows[][2] = {
		{ "--log-file x", "\"--log-file\" is not allowed" },
		{ "--model x", "\"--model\" is not allowed" },
		{ "--control-vector x", "is not allowed" },
		{ "--host 0.0.0.0", "\"--host\" is not allowed" },
		{ "--port=1", "\"--port\" is not allowed" },
		{ "--alias x", "\"--alias\" is not allowed" },
		{ "--listen x", "\"--listen\" is not allowed" },
		{ "--events-fd 4", "\"--events-fd\" is not allowed" },
		{ "--sandbox off", "\"--sandbox\" is not allowed" },
		{ "--defaults {}", "\"--defaults\" is not allowed" },
		{ "--chat-template-file x", "is not allowed" },
		{ "--rope-scale 2", "is not allowed" },
		{ "stray", "\"stray\" is not allowed" },
		{ "", "" },
		{ "--temp /x", "paths are not allowed" },
		{ "--temp=a\\\\b", "paths are not allowed" },
		{ "--temp -l", "takes a number from 0 to 2, not '-l'" },
		{ "--temp", "takes a number from 0 to 2, not ''" },
		{ "--temp nan", "takes a number" },
		{ "--temp 0x1", "takes a number" },
		{ "--temp 2.1", "takes a number" },
		{ "--threads 1.5", "takes a whole number from 1" },
		{ "--threads 0", "takes a whole number from 1" },
		{ "--threads 99999999999999999999", "takes a whole number" },
		{ "--parallel 257", "takes a whole number from 1 to 256" },
		{ "--pooling sum", "none, mean, cls, last or rank" },
		{ "--chat-template-kwargs []", "takes a JSON object" },
		{ "--temp '1", "not closed" },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!rows[i][0][0])
			continue;
		assert_int_equal(parse_raw(f, rows[i][0]), -1);
		if (!strstr(f->e.msg, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], f->e.msg);
	}
}

static void adapters_are_models_of_the_store_with_a_name(void **state)
{
	static const struct {
		const char *flags, *name, *model;
		double scale;
	} rows[] = {
		{ "--lora pirate", "pirate", "pirate", 1 },
		{ "--lora=hf.co/Org/Pirate:Q8_0@v1", "Pirate",
		  "hf.co/Org/Pirate:Q8_0@v1", 1 },
		{ "--lora=p=ai/pirate", "p", "ai/pirate", 1 },
		{ "--lora p=host:5000/x/y", "p", "host:5000/x/y", 1 },
		{ "--lora-scaled ai/pirate:0.5", "pirate", "ai/pirate", 0.5 },
		{ "--lora-scaled=a.b_c-d=ai/pirate:v1:-2", "a.b_c-d",
		  "ai/pirate:v1", -2 },
		{ "--lora pirate --lora-init-without-apply", "pirate", "pirate",
		  0 },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(parse_raw(f, rows[i].flags), TUNING_NO_MODE);
		assert_int_equal(f->t.n_adapters, 1);
		assert_int_equal(f->t.n_args, 0);
		const struct adapters_flag *a = &f->t.adapters[0];
		assert_string_equal(a->name, rows[i].name);
		assert_string_equal(a->model, rows[i].model);
		assert_true(a->scale == rows[i].scale);
	}
}

static void wrong_adapters_are_refused(void **state)
{
	static const char *const rows[][2] = {
		{ "--lora", "must be [NAME=]MODEL" },
		{ "--lora =x", "must be [NAME=]MODEL" },
		{ "--lora x=", "must be [NAME=]MODEL" },
		{ "--lora a/b=x", "must be [NAME=]MODEL" },
		{ "--lora 'a b=x'", "must be [NAME=]MODEL" },
		{ "--lora ..=..=x", "" },
		{ "--lora-scaled x", "must end with ':' and a scale" },
		{ "--lora-scaled x:", "must end with ':' and a scale" },
		{ "--lora-scaled x:11", "a scale from -10 to 10" },
		{ "--lora-scaled x:nan", "a scale from -10 to 10" },
		{ "--lora-scaled x:0x1", "a scale from -10 to 10" },
		{ "--lora-scaled :1", "must be [NAME=]MODEL" },
		{ "--lora a --lora org/a:v2", "two adapters are called 'a'" },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int got = parse_raw(f, rows[i][0]);
		/* A name that the store cannot have is found out there. */
		if (!rows[i][1][0]) {
			assert_int_equal(got, TUNING_NO_MODE);
			continue;
		}
		assert_int_equal(got, -1);
		assert_string_equal(f->e.param, "runtime-flags");
		if (!strstr(f->e.msg, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], f->e.msg);
	}
}

static void adapters_have_a_ceiling(void **state)
{
	struct fixture *f = *state;
	for (int over = 0; over < 2; over++) {
		auto_json *flags = json_array();
		auto_json *body = json_pack("{s:O}", "runtime-flags", flags);
		for (int i = 0; i < LIMIT_LORA_ADAPTERS + over; i++) {
			auto_free char *flag = xasprintf("--lora=a%d=x", i);
			json_array_append_new(flags, json_string(flag));
		}
		auto_free char *text = json_text(body);
		assert_int_equal(parse(f, text), over ? -1 : TUNING_NO_MODE);
	}
}

static void every_field_is_checked(void **state)
{
	static const char *const rows[][2] = {
		{ "[]", "" },
		{ "{\"context-size\":-2}", "context-size" },
		{ "{\"context-size\":100000001}", "context-size" },
		{ "{\"runtime-flags\":[\"-c\",\"100000001\"]}",
		  "runtime-flags" },
		{ "{\"context-size\":\"8k\"}", "context-size" },
		{ "{\"runtime-flags\":\"-t 1\"}", "runtime-flags" },
		{ "{\"runtime-flags\":[1]}", "runtime-flags" },
		{ "{\"runtime-flags\":[\"a\\u0000b\"]}", NULL },
		{ "{\"raw-runtime-flags\":[]}", "raw-runtime-flags" },
		{ "{\"mode\":\"foo\"}", "mode" },
		{ "{\"mode\":\"image-generation\"}", "mode" },
		{ "{\"keep_alive\":5}", "keep_alive" },
		{ "{\"keep_alive\":\"foo\"}", "keep_alive" },
		{ "{\"llamacpp\":3}", "llamacpp" },
		{ "{\"llamacpp\":{\"reasoning-budget\":-2}}",
		  "reasoning-budget" },
		{ "{\"speculative\":3}", "speculative" },
		{ "{\"speculative\":{\"draft_model\":3}}", "draft_model" },
		{ "{\"speculative\":{\"num_tokens\":-1}}", "num_tokens" },
		{ "{\"speculative\":{\"num_tokens\":2147483648}}",
		  "num_tokens" },
		{ "{\"speculative\":{\"min_acceptance_rate\":1.1}}",
		  "min_acceptance_rate" },
		{ "{\"speculative\":{\"min_acceptance_rate\":\"x\"}}",
		  "min_acceptance_rate" },
		{ "{\"vllm\":{\"gpu-memory-utilization\":0.5}}", "vllm" },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		auto_json *body = NULL;
		struct err e;
		/* NUL in strings is refused by the parser. */
		if (json_parse(str_of(rows[i][0]), &body, &e)) {
			assert_null(rows[i][1]);
			continue;
		}
		assert_int_equal(parse(f, rows[i][0]), -1);
		assert_int_equal(f->e.code, ERR_INVALID);
		if (rows[i][1])
			assert_string_equal(f->e.param, rows[i][1]);
	}
}

static void a_draft_model_is_one_of_the_store(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(parse(f, "{\"speculative\":{\"draft_model\":"
				  "\"ai/smollm2:135M\",\"num_tokens\":4,"
				  "\"min_acceptance_rate\":0.5,\"x\":1}}"),
			 TUNING_NO_MODE);
	assert_string_equal(f->t.drafting.model, "ai/smollm2:135M");
	auto_free char *args = args_of(f);
	assert_string_equal(args,
			    "--spec-draft-n-max 4 --spec-draft-p-min 0.5000");
	auto_free char *shown = json_text(f->t.config);
	assert_string_equal(shown, "{\"speculative\":{\"draft_model\":"
				   "\"ai/smollm2:135M\",\"num_tokens\":4,"
				   "\"min_acceptance_rate\":0.5}}");
	/* As Docker Model Runner has it, nothing is nothing. */
	assert_int_equal(parse(f, "{\"speculative\":{\"draft_model\":\"\","
				  "\"num_tokens\":0}}"),
			 TUNING_NO_MODE);
	assert_null(f->t.drafting.model);
	assert_int_equal(f->t.n_args, 0);
	assert_int_equal(json_object_size(f->t.config), 0);
	/* More than can be drafted at once is a ceiling that holds. */
	assert_int_equal(parse(f, "{\"speculative\":{\"num_tokens\":64}}"),
			 TUNING_NO_MODE);
	auto_free char *most = args_of(f);
	assert_string_equal(most, "--spec-draft-n-max 16");
	/* And by llama-server's flags. */
	assert_int_equal(parse_raw(f, "-md hf.co/a/b:Q4_0 --draft-max 8 "
				      "--spec-draft-p-min=0.75 --spec-type "
				      "ngram-simple,draft-simple"),
			 TUNING_NO_MODE);
	assert_string_equal(f->t.drafting.model, "hf.co/a/b:Q4_0");
	auto_free char *flags = args_of(f);
	assert_string_equal(flags, "--spec-draft-n-max 8 --spec-type "
				   "ngram-simple,draft-simple "
				   "--spec-draft-p-min 0.7500");
	static const char *const wrong[] = {
		"--spec-type ngram-mod", "--spec-type ''",
		"--spec-type none,",	 "--spec-draft-p-min 2",
		"--spec-draft-p-min x",	 "--spec-draft-p-min",
		"--draft-max 0",	 "--draft-max 17",
		"--model-draft ''",	 "--model-draft",
	};
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(parse_raw(f, wrong[i]), -1);
		assert_string_equal(f->e.param, "runtime-flags");
	}
}

static void settings_are_shown_as_they_hold(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(parse(f, "{\"model\":\"m\",\"keep_alive\":\"90m\","
				  "\"context-size\":1024,\"raw-runtime-flags\":"
				  "\"--temp 0.5\",\"mode\":\"embedding\","
				  "\"llamacpp\":{\"reasoning-budget\":0}}"),
			 0);
	auto_free char *text = json_text(f->t.config);
	assert_string_equal(
		text, "{\"context-size\":1024,\"runtime-flags\":[\"--temp\","
		      "\"0.5\"],\"keep_alive\":\"1h30m0s\","
		      "\"llamacpp\":{\"reasoning-budget\":0}}");
	assert_int_equal(f->mode, ENGINE_EMBEDDING);
	assert_int_equal(f->t.context, 1024);
	assert_true(f->t.has_keep_alive);
	assert_int_equal(f->t.keep_alive_ms, 5400000);
	auto_free char *args = args_of(f);
	assert_string_equal(args, "--defaults {\"temperature\":0.5,"
				  "\"reasoning_budget\":0}");
}

static void flags_may_say_the_mode(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(parse_raw(f, "--embeddings"), 0);
	assert_int_equal(f->mode, ENGINE_EMBEDDING);
	assert_int_equal(parse_raw(f, "--embeddings --reranking"), 0);
	assert_int_equal(f->mode, ENGINE_RERANKING);
	assert_int_equal(parse_raw(f, "--reranking --embeddings"), 0);
	assert_int_equal(f->mode, ENGINE_RERANKING);
	assert_int_equal(parse(f, "{\"runtime-flags\":[\"--embeddings\"],"
				  "\"mode\":\"completion\"}"),
			 0);
	assert_int_equal(f->mode, ENGINE_COMPLETION);
	assert_int_equal(parse_raw(f, "--pooling cls -c 512"), TUNING_NO_MODE);
	assert_string_equal(f->t.pooling, "cls");
	assert_int_equal(f->t.context, 512);
	assert_int_equal(parse(f, "{\"context-size\":-1}"), TUNING_NO_MODE);
	assert_int_equal(f->t.context, TUNING_CONTEXT_TRAINED);
}

static void flags_have_a_ceiling(void **state)
{
	struct fixture *f = *state;
	for (int over = 0; over < 2; over++) {
		auto_json *flags = json_array();
		auto_json *body = json_pack("{s:O}", "runtime-flags", flags);
		for (int i = 0; i < LIMIT_TUNING_FLAGS + over; i++)
			json_array_append_new(flags, json_string("--jinja"));
		auto_free char *text = json_text(body);
		assert_int_equal(parse(f, text), over ? -1 : TUNING_NO_MODE);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(flags_become_the_workers_options),
		TEST(memory_for_prompts_is_counted_and_has_a_ceiling),
		TEST(what_names_files_or_hosts_is_refused),
		TEST(adapters_are_models_of_the_store_with_a_name),
		TEST(wrong_adapters_are_refused),
		TEST(adapters_have_a_ceiling),
		TEST(every_field_is_checked),
		TEST(a_draft_model_is_one_of_the_store),
		TEST(settings_are_shown_as_they_hold),
		TEST(flags_may_say_the_mode),
		TEST(flags_have_a_ceiling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
