/* exif.h - how a camera was held, as the EXIF data of a JPEG, PNG or WebP file
 * tells it. The bytes may be hostile: none is looked at beyond its part of the
 * file, and no offset leads back. Pure; any thread. */
#pragma once
#include "base/str.h"

/* EXIF's number, 1 to 8; 1 (upright) also where the file does not tell, or
 * nothing that makes sense. turn.h has what the numbers mean. */
unsigned exif_orientation(struct str file);
