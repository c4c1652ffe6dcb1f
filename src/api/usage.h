/* usage.h - how many tokens an answer took, read from what passes by.
 *
 * Looks only at the last USAGE_TAIL_BYTES, where OpenAI's `usage` object stands
 * in answers and in the last events of a stream, or llama.cpp's `timings` in
 * streams that were not asked for usage. No JSON is parsed. */
#pragma once
#include "base/str.h"

#define USAGE_TAIL_BYTES 1024

struct usage {
	char tail[USAGE_TAIL_BYTES];
	size_t n;
	uint64_t breaks; /* empty lines: one ends each event of a stream */
	bool after_break;
};

struct usage_counts {
	uint64_t prompt; /* cached ones too */
	uint64_t cached;
	uint64_t completion;
};

void usage_see(struct usage *u, struct str piece);
/* Counts what usage_guess() needs; only worth its time where that is asked. */
void usage_count(struct usage *u, struct str piece);
/* What an answer took that told nothing, since it was cut off: a token for each
 * event, and one for four bytes of the question. */
uint64_t usage_guess(const struct usage *u, size_t question_bytes);
/* False if the answer told nothing. */
bool usage_read(const struct usage *u, struct usage_counts *out);
