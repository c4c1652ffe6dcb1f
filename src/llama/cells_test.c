/* What lies in a slot is, byte for byte, what computing its tokens afresh
 * gives: however they came there, by being kept, cut, shared, cancelled or
 * computed beside others. */
#include "base/log.h"
#include "llama/tiny_make.h"

#define CONTEXT 256
#define SLOTS 4
#define TEXTS 2
#define OPEN 12

/* ---- states ---- */

struct afresh {
	struct llama_context *ctx;
	struct llama_memory_i *memory;
	struct llama_batch batch;
};

static void afresh_open(struct afresh *a, const struct weights *w, int context)
{
	struct llama_context_params p = llama_context_default_params();
	p.n_batch = p.n_ubatch = (uint32_t)context;
	p.n_ctx = 2 * p.n_batch; /* two states at once */
	p.n_seq_max = 4;
	p.kv_unified = true;
	p.n_threads = p.n_threads_batch = 1;
	a->ctx = llama_init_from_model(weights_model(w), p);
	assert_non_null(a->ctx);
	a->memory = llama_get_memory(a->ctx);
	a->batch = llama_batch_init(context, 0, 1);
}

static void afresh_close(struct afresh *a)
{
	llama_batch_free(a->batch);
	llama_free(a->ctx);
}

/* Computes tokens [from, to) as one batch of sequence 1. */
static void compute(struct afresh *a, const int32_t *tokens, size_t from,
		    size_t to)
{
	a->batch.n_tokens = (int32_t)(to - from);
	for (size_t i = from; i < to; i++) {
		a->batch.token[i - from] = tokens[i];
		a->batch.pos[i - from] = (llama_pos)i;
		a->batch.n_seq_id[i - from] = 1;
		a->batch.seq_id[i - from][0] = 1;
		a->batch.logits[i - from] = i + 1 == to;
	}
	assert_int_equal(llama_decode(a->ctx, a->batch), 0);
}

/* The state of one token of a sequence, as sequence 2. */
static size_t cell(struct afresh *a, llama_seq_id seq, size_t pos, uint8_t *out,
		   size_t cap)
{
	llama_pos p = (llama_pos)pos;
	llama_memory_seq_cp(a->memory, seq, 2, p, p + 1);
	size_t n = llama_state_seq_get_data(a->ctx, out, cap, 2);
	llama_memory_seq_rm(a->memory, 2, -1, -1);
	return n;
}

/* Takes a slot's state over as sequence 0, beside the fresh sequence 1. */
static void take(struct afresh *a, const struct batch *b, const struct slot *s)
{
	size_t n = llama_state_seq_get_size(b->ctx, s->seq);
	uint8_t *state = xcalloc(1, n);
	assert_int_equal(llama_state_seq_get_data(b->ctx, state, n, s->seq), n);
	assert_true(llama_state_seq_set_data(a->ctx, state, n, 0) > 0);
	free(state);
}

static void same(struct afresh *a, const struct slot *s)
{
	static uint8_t held[1 << 20], fresh[1 << 20];
	llama_pos last = (llama_pos)s->cells.n - 1;
	assert_int_equal(llama_memory_seq_pos_min(a->memory, 0), 0);
	assert_int_equal(llama_memory_seq_pos_max(a->memory, 0), last);
	assert_int_equal(llama_memory_seq_pos_max(a->memory, 1), last);
	for (size_t i = 0; i < s->cells.n; i++) {
		size_t n = cell(a, 0, i, held, sizeof held);
		assert_true(n > 0);
		assert_int_equal(cell(a, 1, i, fresh, sizeof fresh), n);
		assert_memory_equal(held, fresh, n);
	}
}

/* Every slot against its tokens computed in one batch: the tiny model's numbers
 * do not depend on batches. */
static size_t check_all(struct afresh *a, const struct batch *b)
{
	size_t checked = 0;
	for (int i = 0; i < b->facts.slots; i++) {
		const struct slot *s = &b->slots[i];
		if (!s->cells.n) {
			assert_int_equal(
				llama_memory_seq_pos_max(b->memory, s->seq),
				-1);
			continue;
		}
		llama_memory_clear(a->memory, true);
		take(a, b, s);
		compute(a, s->cells.p, 0, s->cells.n);
		same(a, s);
		checked += s->cells.n;
	}
	return checked;
}

/* ---- whatever is asked ---- */

/* Begins like one text and ends as another, so that what others had computed
 * is of use up to somewhere. */
static void ask_any(struct tiny *t, uint32_t *seed, struct tiny_told *told)
{
	auto_tokens struct tokens p = { 0 }, tail = { 0 };
	static const char *const owners[] = { "", "a" };
	size_t n = 1 + tiny_random(seed) % 150, k = tiny_random(seed) % 40;
	tiny_text(&p, tiny_random(seed) % TEXTS, n);
	tiny_text(&tail, TEXTS + tiny_random(seed), k);
	for (size_t i = 0; i < k; i++)
		tokens_push(&p, tail.p[i]);
	tiny_ask(t, owners[tiny_random(seed) % 2], &p, tiny_random(seed) % 30,
		 told);
}

static void count_lost(void *ctx, const char *source, struct str line)
{
	(void)source;
	*(size_t *)ctx += memmem(line.p, line.n, "not go back", 11) != NULL;
}

static void ask_much(size_t cache_bytes, int rounds)
{
	size_t lost = 0;
	static struct tiny_told told[OPEN];
	struct tiny t;
	struct afresh a;
	size_t checked = 0, cached = 0;
	uint32_t seed = 20;
	tiny_open_keeping(&t, CONTEXT, SLOTS, 32, cache_bytes);
	afresh_open(&a, tiny_weights, CONTEXT);
	memset(told, 0, sizeof told);
	log_set_sink(count_lost, &lost);
	for (int round = 0; round < rounds; round++) {
		struct tiny_told *one = &told[tiny_random(&seed) % OPEN];
		if (one->task && tiny_random(&seed) % 3 == 0) {
			batch_cancel(one->task);
			one->task = NULL;
		}
		if (!one->task) {
			cached += one->n_cached;
			ask_any(&t, &seed, one);
		}
		for (uint32_t i = tiny_random(&seed) % 6; i; i--)
			tiny_step(&t);
		checked += check_all(&a, t.b);
	}
	tiny_settle(&t);
	check_all(&a, t.b);
	assert_int_equal(batch_open(t.b), 0);
	log_set_sink(NULL, NULL);
	assert_int_equal(lost, 0);
	/* It was not for nothing. */
	print_message("%zu cells checked, %zu used again\n", checked, cached);
	assert_true(checked > 100 * (size_t)rounds);
	assert_true(cached > 4 * (size_t)rounds);
	afresh_close(&a);
	tiny_close(&t);
}

static void slots_hold_what_computing_afresh_gives(void **state)
{
	(void)state;
	ask_much(0, 200);
}

static void so_do_slots_that_were_filled_from_host_memory(void **state)
{
	(void)state;
	ask_much(16 << 20, 200);
}

/* ---- a real model, in the batches that the slots had ---- */

static void real_open(struct tiny *t, struct afresh *a, struct weights **w)
{
	const char *path = TEXT_GGUF;
	struct weights_options o = { .paths = &path,
				     .n_paths = 1,
				     .on_progress = tiny_on_progress };
	struct err e;
	assert_int_equal(weights_load(&o, w, &e), 0);
	struct weights *tiny = tiny_weights;
	tiny_weights = *w;
	tiny_open(t, 512, 2, 256);
	tiny_weights = tiny;
	afresh_open(a, *w, 512);
}

static void push_text(struct tokens *p, uint32_t text, size_t n)
{
	auto_tokens struct tokens more = { 0 };
	tiny_text(&more, text, n);
	for (size_t i = 0; i < n; i++)
		tokens_push(p, more.p[i]);
}

/* A batch of 100 and one for each token of the answer; then a prompt that
 * shares 30 of them with a second slot; then one that cuts the first's. */
static void a_real_models_cells_are_kept_shared_and_cut_as_they_are(
	void **state)
{
	auto_(weights) w = NULL;
	auto_tokens struct tokens kept = { 0 }, shares = { 0 }, cuts = { 0 };
	static struct tiny_told told;
	struct tiny t;
	struct afresh a;
	(void)state;
	real_open(&t, &a, &w);
	push_text(&kept, 1, 100);
	tiny_ask(&t, "", &kept, 3, &told);
	tiny_settle(&t);
	const struct slot *first = &t.b->slots[0], *second = &t.b->slots[1];
	assert_int_equal(first->cells.n, 102);
	for (int i = 0; i < 2; i++)
		tokens_push(&kept, told.ids[i]);

	/* Before the other state is there: where a large batch's cells lie
	 * makes a difference in how it rounds. */
	compute(&a, kept.p, 0, 100);
	compute(&a, kept.p, 100, 101);
	compute(&a, kept.p, 101, 102);
	take(&a, t.b, first);
	same(&a, first);

	push_text(&shares, 1, 30);
	push_text(&shares, 2, 40);
	tiny_ask(&t, "", &shares, 1, &told);
	tiny_settle(&t);
	assert_int_equal(told.n_cached, 30);
	assert_int_equal(second->cells.n, 70);
	take(&a, t.b, first);
	same(&a, first);
	llama_memory_seq_rm(a.memory, 1, 30, -1);
	compute(&a, shares.p, 30, 70);
	llama_memory_seq_rm(a.memory, 0, -1, -1);
	take(&a, t.b, second);
	same(&a, second);

	push_text(&cuts, 1, 80);
	push_text(&cuts, 3, 40);
	tiny_ask(&t, "", &cuts, 1, &told);
	tiny_settle(&t);
	assert_int_equal(told.n_cached, 80);
	assert_int_equal(first->cells.n, 120);
	llama_memory_clear(a.memory, true);
	compute(&a, kept.p, 0, 100);
	llama_memory_seq_rm(a.memory, 1, 80, -1);
	compute(&a, cuts.p, 80, 120);
	take(&a, t.b, first);
	same(&a, first);
	afresh_close(&a);
	tiny_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_hold_what_computing_afresh_gives),
		cmocka_unit_test(so_do_slots_that_were_filled_from_host_memory),
		cmocka_unit_test(
			a_real_models_cells_are_kept_shared_and_cut_as_they_are),
	};
	return cmocka_run_group_tests(tests, tiny_load, tiny_unload);
}
