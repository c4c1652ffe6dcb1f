#include "oci/push_range.h"

bool push_range_parse(struct str text, uint64_t *out_bytes)
{
	uint64_t last;
	text = str_trim(text);
	if (str_starts(text, "bytes"))
		text = str_tail(text, 6); /* and '=' or ' ' */
	if (!str_starts(text, "0-") || !str_to_u64(str_tail(text, 2), &last) ||
	    last == UINT64_MAX)
		return false;
	*out_bytes = last ? last + 1 : 0;
	return true;
}
