/* front_relay_make.h - for tests and the fuzzer: carries a relay's steps out
 * into buffers, with the bytes cut anywhere. */
#pragma once
#include "docker/front_relay.h"

#include <assert.h>

struct relay_play {
	struct front_relay r;
	struct buf left, world_left; /* came, and was not used yet */
	struct buf to[2];	     /* what each world got */
	struct buf client;	     /* what the client got */
	bool is_closed;
	bool has_fin; /* the client got FIN, and may go on sending */
};

static inline void relay_play_init(struct relay_play *p)
{
	*p = (struct relay_play){ 0 };
	front_relay_init(&p->r, 1000, 42, "/run/docker.sock");
	struct buf *all[] = { &p->left, &p->world_left, &p->to[0], &p->to[1],
			      &p->client };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		buf_init(all[i], SIZE_MAX / 2);
}

static inline void relay_play_fini(struct relay_play *p)
{
	front_relay_fini(&p->r);
	buf_fini(&p->left);
	buf_fini(&p->world_left);
	buf_fini(&p->to[0]);
	buf_fini(&p->to[1]);
	buf_fini(&p->client);
}

static inline void relay_play_put(struct buf *b, struct str s)
{
	int full = buf_put(b, s.p, s.n);
	assert(!full);
}

static inline void relay_play_pump(struct relay_play *p, struct buf *left,
				   bool is_client)
{
	struct front_step step;
	while (!p->is_closed) {
		struct str in = buf_str(left);
		if (is_client)
			front_relay_ask(&p->r, in, &step);
		else
			front_relay_answer(&p->r, in, &step);
		assert(step.used <= in.n);
		if (step.what == FRONT_CLOSE)
			p->is_closed = true;
		else if (step.what == FRONT_ASK)
			relay_play_put(&p->to[p->r.world], step.bytes);
		else if (step.what == FRONT_ANSWER)
			relay_play_put(&p->client, step.bytes);
		else
			return;
		buf_drop(left, step.used);
	}
}

/* `cut` bytes at a time; 0: all at once. What an exchange's end lets begin is
 * begun, as the connection does. */
static inline void relay_play_ask(struct relay_play *p, struct str bytes,
				  size_t cut)
{
	while (bytes.n && !p->is_closed) {
		size_t n = cut ? MIN(cut, bytes.n) : bytes.n;
		relay_play_put(&p->left, str_head(bytes, n));
		bytes = str_tail(bytes, n);
		relay_play_pump(p, &p->left, true);
	}
}

static inline void relay_play_answer(struct relay_play *p, struct str bytes,
				     size_t cut)
{
	while (bytes.n && !p->is_closed && front_relay_is_busy(&p->r)) {
		size_t n = cut ? MIN(cut, bytes.n) : bytes.n;
		relay_play_put(&p->world_left, str_head(bytes, n));
		bytes = str_tail(bytes, n);
		relay_play_pump(p, &p->world_left, false);
		relay_play_pump(p, &p->left, true);
	}
}

static inline void relay_play_end(struct relay_play *p)
{
	struct front_step step;
	if (p->is_closed || !front_relay_is_busy(&p->r))
		return;
	front_relay_answer_end(&p->r, &step);
	if (step.what == FRONT_CLOSE)
		p->is_closed = true;
	else
		p->has_fin = true;
}
