#include "llama/draft_source.h"

#include <log.h>
#include <ngram-map.h>
#include <speculative.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <vector>

struct draft_source {
	common_speculative_ptr drafter;
	std::vector<llama_tokens> drafts; /* of the sequences */
	llama_tokens none;		  /* this kind needs no prompt */
};

size_t draft_source_lookup(const int32_t *tokens, size_t n, size_t key,
			   int32_t *out, size_t most)
try {
	if (!n || !most)
		return 0;
	common_ngram_simple_config config = {};
	config.size_ngram = (uint16_t)key;
	/* It takes no draft that is shorter than the key. */
	config.size_mgram = (uint16_t)std::max(most, key);
	llama_tokens before(tokens, tokens + n - 1);
	llama_tokens draft =
		common_ngram_simple_draft(config, before, tokens[n - 1]);
	size_t got = std::min(draft.size(), most);
	std::copy_n(draft.begin(), got, out);
	return got;
} catch (const std::exception &) {
	return 0;
}

int draft_source_open(const struct draft_source_options *o,
		      struct draft_source **out, struct err *e)
try {
	/* What goes wrong is told as an error, not on this library's own way.
	 */
	common_log_set_verbosity_thold(LOG_LEVEL_OUTPUT);
	common_params_speculative p;
	p.types = { COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE };
	p.draft.ctx_tgt = o->target;
	p.draft.ctx_dft = o->drafts;
	p.draft.n_max = o->most;
	p.draft.n_min = o->least;
	p.draft.p_min = o->p_min;
	auto s = std::make_unique<draft_source>();
	s->drafts.resize(o->n_sequences);
	s->drafter.reset(common_speculative_init(p, (uint32_t)o->n_sequences));
	if (!s->drafter)
		return err_set(e, ERR_ENGINE,
			       "llama.cpp makes no drafts with this model");
	*out = s.release();
	return 0;
} catch (const std::exception &x) {
	return err_set(e, ERR_ENGINE,
		       "llama.cpp makes no drafts with this model: %s",
		       x.what());
}

void draft_source_close(struct draft_source *s)
{
	delete s;
}

bool draft_source_read(struct draft_source *s, const struct llama_batch *batch)
try {
	return common_speculative_process(s->drafter.get(), *batch);
} catch (const std::exception &) {
	return false;
}

void draft_source_draft(struct draft_source *s, struct draft_source_ask *asks,
			size_t n)
try {
	for (size_t i = 0; i < n; i++) {
		auto &want = common_speculative_get_draft_params(
			s->drafter.get(), asks[i].sequence);
		auto &result = s->drafts[(size_t)asks[i].sequence];
		result.clear();
		asks[i].n_out = 0;
		want.drafting = true;
		want.n_max = (int32_t)asks[i].most;
		want.pos0 = (llama_pos)asks[i].pos;
		want.id_last = asks[i].last;
		want.prompt = &s->none;
		want.result = &result;
	}
	common_speculative_draft(s->drafter.get());
	for (size_t i = 0; i < n; i++) {
		const auto &draft = s->drafts[(size_t)asks[i].sequence];
		asks[i].n_out = std::min(draft.size(), asks[i].most);
		std::copy_n(draft.begin(), asks[i].n_out, asks[i].out);
	}
} catch (const std::exception &) {
	/* Tokens that it already gave stand for themselves. */
}
