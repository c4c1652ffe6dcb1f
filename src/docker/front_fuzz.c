/* A client and two worlds that say anything: where their bytes go must not
 * depend on how they were cut on the way. The input is a script: who speaks,
 * how much, and what. */
#include "docker/front_relay_make.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { CLIENT, WORLD, END, UNREACHABLE, ACTORS };

static void act(struct relay_play *p, unsigned who, struct str bytes,
		size_t cut)
{
	struct front_step step;
	if (who == CLIENT) {
		relay_play_ask(p, bytes, cut);
	} else if (who == WORLD) {
		relay_play_answer(p, bytes, cut);
	} else if (who == END) {
		relay_play_end(p);
	} else if (front_relay_is_busy(&p->r) && !p->is_closed) {
		front_relay_unreachable(&p->r, &step);
		if (step.what == FRONT_ANSWER)
			relay_play_put(&p->client, step.bytes);
		relay_play_pump(p, &p->left, true);
		assert(p->is_closed);
	}
}

static void play(struct relay_play *p, struct str script, size_t cut)
{
	relay_play_init(p);
	while (script.n >= 2) {
		unsigned who = (unsigned char)script.p[0] % ACTORS;
		size_t n = (unsigned char)script.p[1];
		script = str_tail(script, 2);
		act(p, who, str_head(script, n), cut);
		script = str_tail(script, n);
	}
}

static bool is_prefix(const struct buf *a, const struct buf *b)
{
	size_t n = MIN(a->n, b->n);
	return !n || memcmp(a->p, b->p, n) == 0;
}

static void compare(const struct relay_play *a, const struct relay_play *b)
{
	/* Up to what broke, both saw the same; an error may be seen before the
	 * bytes ahead of it went on. */
	bool is_whole = !a->is_closed && !b->is_closed;
	for (int i = 0; i < 2; i++) {
		assert(is_prefix(&a->to[i], &b->to[i]));
		assert(!is_whole || a->to[i].n == b->to[i].n);
	}
	assert(!is_whole || a->client.n == b->client.n);
	assert(!is_whole || is_prefix(&a->client, &b->client));
	assert(!is_whole || a->r.asking == b->r.asking);
	assert(!is_whole || a->r.answering == b->r.answering);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct relay_play whole, bytewise;
	struct str script = { (const char *)data, n };
	play(&whole, script, 0);
	play(&bytewise, script, 1);
	compare(&whole, &bytewise);
	relay_play_fini(&whole);
	relay_play_fini(&bytewise);
	return 0;
}
