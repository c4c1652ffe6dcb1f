/* The same entries and contents come out whole and in small pieces. */
#include "model/tar.h"
#include "oci/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct digest read_all(const char *p, size_t n, size_t piece,
			      bool *is_wrong)
{
	struct err e;
	struct str data;
	auto_(tar) t = tar_new();
	auto_(digest_ctx) seen = digest_ctx_new();
	*is_wrong = false;
	for (size_t at = 0; at < n && !*is_wrong; at += piece) {
		struct str in = { p + at, piece < n - at ? piece : n - at };
		int outcome = 0;
		while (outcome != TAR_MORE && outcome != TAR_END) {
			outcome = tar_next(t, &in, &data, &e);
			if (outcome < 0) {
				*is_wrong = true;
				break;
			}
			if (outcome == TAR_ENTRY)
				digest_ctx_put(seen, tar_entry(t)->name,
					       strlen(tar_entry(t)->name) + 1);
			if (outcome == TAR_DATA)
				digest_ctx_put(seen, data.p, data.n);
		}
	}
	return digest_ctx_end(seen);
}

/* A fuzzer does not find checksums. */
static void correct(char *block)
{
	unsigned sum = 0;
	if (memcmp(block + 257, "ustar", 5) != 0)
		return;
	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
		sum += (unsigned char)block[i];
	for (size_t i = 0; i < 6; i++, sum /= 8)
		block[153 - i] = (char)('0' + sum % 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	bool wrong, wrong_too;
	auto_free char *copy = xcalloc(1, n + 1);
	if (n)
		memcpy(copy, p, n);
	for (size_t at = 0; at + TAR_BLOCK_BYTES <= n; at += TAR_BLOCK_BYTES)
		correct(copy + at);
	struct digest a = read_all(copy, n, n, &wrong);
	struct digest b = read_all(copy, n, 13, &wrong_too);
	if (wrong != wrong_too || (!wrong && !digest_eq(&a, &b)))
		abort();
	return 0;
}
