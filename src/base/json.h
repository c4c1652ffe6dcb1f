/* json.h - what jansson lacks: strict parsing with our ceilings, typed member
 * access that names the field at fault, and a scan that finds one string
 * without building a tree.
 *
 * `json_t *` is jansson's; whoever gets one from json_parse() owns it. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include <jansson.h>

/* Parses one JSON value that fills all the bytes; duplicate member names are
 * refused, since two readers of one message must not differ on what it says.
 * The caller owns *out (json_decref). */
must_use int json_parse(struct str text, json_t **out, struct err *e);

/* The same for what others send: a tree takes a hundred times the bytes of a
 * text like [{},{},...]. ERR_TOO_LARGE: it has more than `max` brackets and
 * commas. */
must_use int json_parse_bounded(struct str text, size_t max, json_t **out,
				struct err *e);

#define auto_json __attribute__((cleanup(json_clean))) json_t
static inline void json_clean(json_t **j)
{
	json_decref(*j);
}

/* The text of a string, borrowed; without a pointer of anything else. */
struct str json_str(const json_t *j);

/* A member of an object: 0 with *out set, 0 with *out untouched if it is
 * absent or null, -1 naming the field if its type or range is wrong. Strings
 * are borrowed from the object. */
must_use int json_get_str(const json_t *obj, const char *name, struct str *out,
			  struct err *e);
must_use int json_get_bool(const json_t *obj, const char *name, bool *out,
			   struct err *e);
/* Whole numbers; 3.0 counts as 3. */
must_use int json_get_int(const json_t *obj, const char *name, int64_t min,
			  int64_t max, int64_t *out, struct err *e);
must_use int json_get_num(const json_t *obj, const char *name, double min,
			  double max, double *out, struct err *e);

enum json_outcome { JSON_ABSENT = 1 };

/* Finds the string member `name` of the outermost object and checks that the
 * whole text is well-formed JSON on the way, without allocating for anything
 * else. *out is unescaped and the caller's. May give JSON_ABSENT; a member of
 * another type, given twice, or with capitals in another place, is -1. */
must_use int json_scan_str(struct str text, const char *name, char **out,
			   struct err *e);

/* In the same way: is the member there, and true? */
must_use int json_scan_true(struct str text, const char *name, bool *out,
			    struct err *e);

/* Compact text, keys in insertion order; the caller frees it. */
char *json_text(const json_t *j) must_use;
