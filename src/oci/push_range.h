/* push_range.h - what a registry says of an upload under way: how much of it it
 * has ("Range: 0-99", the last byte's number), and how small a chunk may be.
 * Hostile bytes; pure. */
#pragma once
#include "base/str.h"

/* The number of bytes; false: it says nothing that can be read. "0-0" is
 * nothing yet, as Docker's registry says it; a single byte is so small that
 * nobody needs to go on after it. */
bool push_range_parse(struct str text, uint64_t *out_bytes);
