#include "cli/progress.h"
#include "base/json.h"
#include "cli/term.h"

#include <stdio.h>
#include <time.h>

#define LINE_BYTES 65536
#define DRAW_MS 100

void progress_init(struct progress *p, uint64_t total_bytes)
{
	*p = (struct progress){ .total_bytes = total_bytes,
				.is_tty = term_is_tty() };
	buf_init(&p->line, LINE_BYTES);
}

void progress_fini(struct progress *p)
{
	buf_fini(&p->line);
}

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void progress_add(struct progress *p, uint64_t bytes)
{
	p->bytes += bytes;
	if (!p->is_tty)
		return;
	uint64_t now = now_ms();
	if (p->drawn_ms && now - p->drawn_ms < DRAW_MS)
		return;
	p->drawn_ms = now;
	/* Not through term_put(), which takes out just such bytes. */
	printf("\r\033[KTransferred: %.2f MB", (double)p->bytes / 1e6);
	if (p->total_bytes)
		printf(" of %.2f MB", (double)p->total_bytes / 1e6);
	term_flush();
}

void progress_clear(struct progress *p)
{
	if (p->drawn_ms)
		printf("\r\033[K");
	p->drawn_ms = 0;
}

static int read_event(struct str line, struct err *e)
{
	auto_json *event = NULL;
	struct str type = { NULL, 0 }, message = STR("the server failed");
	struct err unused;
	/* What is not an event is not ours to understand. */
	if (json_parse(line, &event, &unused) ||
	    json_get_str(event, "type", &type, &unused) ||
	    json_get_str(event, "message", &message, &unused))
		return 0;
	if (type.p && str_eq(type, "error"))
		return err_set(e, ERR_ENGINE, "%.*s", STR_ARG(message));
	return 0;
}

static int put(struct progress *p, struct str part, struct err *e)
{
	if (buf_put(&p->line, part.p, part.n))
		return err_set(e, ERR_ENGINE,
			       "the server's progress cannot be read: a line "
			       "is too long");
	return 0;
}

int progress_feed(void *ctx, struct str piece, struct err *e)
{
	struct progress *p = ctx;
	ptrdiff_t end;
	while ((end = str_find(piece, '\n')) >= 0) {
		if (put(p, str_head(piece, (size_t)end), e) ||
		    read_event(buf_str(&p->line), e))
			return -1;
		buf_clear(&p->line);
		piece = str_tail(piece, (size_t)end + 1);
	}
	return put(p, piece, e);
}
