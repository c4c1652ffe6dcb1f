#include "hub/quant.h"

struct str quant_base(struct str path)
{
	return str_tail(path, (size_t)(str_find_last(path, '/') + 1));
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static bool starts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);
	return s.n >= n && str_eq_nocase(str_head(s, n), prefix);
}

static bool is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = upper(s.p[i]);
		if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_'))
			return false;
	}
	return true;
}

bool quant_is_label(struct str s)
{
	static const char *const names[] = { "F16",  "F32",  "F64", "BF16",
					     "FP16", "FP32", "FP8", "BF32" };
	if (!is_word(s))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_nocase(s, names[i]))
			return true;
	if (starts(s, "MXFP4") || starts(s, "NVFP4"))
		return true;
	if (s.n && (upper(s.p[0]) == 'I' || upper(s.p[0]) == 'T'))
		s = str_tail(s, 1);
	return s.n >= 2 && upper(s.p[0]) == 'Q' && s.p[1] >= '1' &&
	       s.p[1] <= '9';
}

/* ---- shards ---- */

static bool to_number(struct str digits, unsigned *out)
{
	uint64_t n;
	if (!str_to_u64(digits, &n))
		return false;
	*out = (unsigned)n; /* five digits */
	return true;
}

/* "-00002-of-00007" at the end of the stem. */
static void take_shard(struct quant_name *q)
{
	enum { TAIL = 15 };
	unsigned i, n;
	if (q->stem.n <= TAIL)
		return;
	struct str tail = str_tail(q->stem, q->stem.n - TAIL);
	if (tail.p[0] != '-' ||
	    !str_eq_nocase(str_head(str_tail(tail, 6), 4), "-of-") ||
	    !to_number(str_head(str_tail(tail, 1), 5), &i) ||
	    !to_number(str_tail(tail, 10), &n) || !i || i > n)
		return;
	q->stem = str_head(q->stem, q->stem.n - TAIL);
	q->shard = i;
	q->n_shards = n;
}

/* ---- the label ---- */

/* In "model_Q4_K_M" it begins behind a '_'. */
static struct str label_in(struct str word)
{
	for (size_t i = 0; i < word.n; i++)
		if ((i == 0 || word.p[i - 1] == '_') &&
		    quant_is_label(str_tail(word, i)))
			return str_tail(word, i);
	return STR("");
}

/* The last word that is one, with the "UD-" of Unsloth's before it. */
static struct str find_label(struct str name)
{
	struct str found = STR("");
	size_t begin = 0;
	for (size_t i = 0; i <= name.n; i++) {
		if (i < name.n && name.p[i] != '-' && name.p[i] != '.')
			continue;
		struct str label = label_in(str_tail(str_head(name, i), begin));
		if (label.n)
			found = label;
		begin = i + 1;
	}
	size_t at = found.n ? (size_t)(found.p - name.p) : 0;
	if (at >= 3 &&
	    str_eq_nocase(str_tail(str_head(name, at), at - 3), "UD-") &&
	    (at == 3 || name.p[at - 4] == '-' || name.p[at - 4] == '.'))
		found = (struct str){ found.p - 3, found.n + 3 };
	return found;
}

bool quant_parse(struct str path, struct quant_name *out)
{
	static const char ending[] = ".gguf";
	size_t n = sizeof ending - 1;
	if (path.n <= n || !str_eq_nocase(str_tail(path, path.n - n), ending))
		return false;
	*out = (struct quant_name){ .stem = str_head(path, path.n - n),
				    .shard = 1,
				    .n_shards = 1 };
	take_shard(out);
	out->label = find_label(quant_base(out->stem));
	ptrdiff_t slash = str_find_last(out->stem, '/');
	if (!out->label.n && slash > 0)
		out->label = find_label(
			quant_base(str_head(out->stem, (size_t)slash)));
	return true;
}

/* ---- a tag ---- */

static bool is_same(struct str a, struct str b)
{
	for (size_t i = 0; i < a.n && a.n == b.n; i++)
		if (upper(a.p[i]) != upper(b.p[i]))
			return false;
	return a.n == b.n;
}

/* Behind '-' or '.' (a quantization also behind '_') and before one of them:
 * "Q4_K" is not in "Q4_K_M". */
static bool is_inside(struct str name, struct str tag)
{
	bool is_label = quant_is_label(tag);
	for (size_t i = 0; i + tag.n <= name.n; i++) {
		char before = i ? name.p[i - 1] : '-';
		char after = i + tag.n < name.n ? name.p[i + tag.n] : '-';
		if ((before == '-' || before == '.' ||
		     (before == '_' && is_label)) &&
		    (after == '-' || after == '.') &&
		    is_same(str_head(str_tail(name, i), tag.n), tag))
			return true;
	}
	return false;
}

enum quant_fit quant_match(const struct quant_name *q, const char *tag)
{
	struct str want = str_of(tag), name = quant_base(q->stem);
	struct str folders = str_head(q->stem, q->stem.n - name.n), folder;
	if (q->label.n && is_same(q->label, want))
		return QUANT_LABEL;
	if (is_same(name, want) || (str_ends(want, ".gguf") &&
				    is_same(name, str_head(want, want.n - 5))))
		return QUANT_FILE;
	if (is_inside(name, want))
		return QUANT_INSIDE;
	while (str_split(&folders, '/', &folder))
		if (is_same(folder, want))
			return QUANT_FOLDER;
	return QUANT_NOT;
}
