/* turn.h - pixels the right way up. Pure; any thread. */
#pragma once
#include "llama/pixels.h"

/* By what exif_orientation() gives: the first row of the file is what the eye
 * has at the top (1, and 2 mirrored), at the bottom (4, and 3), at the left (5,
 * and 8) or at the right (6, and 7). Takes the memory of a second picture while
 * it works. */
void turn_upright(struct pixels *p, unsigned orientation);
