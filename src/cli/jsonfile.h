/* jsonfile.h - a configuration file that we change a member of.
 *
 * What we do not know stays, in its order (not its white space). A reader sees
 * the old file or the new one, whole, also after a crash. */
#pragma once
#include "base/err.h"
#include "base/json.h"

enum jsonfile_outcome { JSONFILE_ABSENT = 1 };

/* The object in the file, the caller's; JSONFILE_ABSENT: an empty one. */
must_use int jsonfile_read(const char *path, json_t **out, struct err *e);
/* As it stands in a file; the caller frees it. */
char *jsonfile_text(const json_t *value) must_use;
/* Makes the folder too. Owner and mode of a file that is there stay. */
must_use int jsonfile_write(const char *path, const json_t *value,
			    struct err *e);
