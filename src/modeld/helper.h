/* helper.h - modeld's side of the socket of `modeld-docker listen`: the root
 * helper hands over listening sockets that modeld cannot make, and says which
 * container stands behind a connection.
 *
 * One JSON object a line, both ways:
 *   -> {"type":"hello","port":12434}
 *   <- {"type":"listen","way":"containers","address":"..."}  and a descriptor
 *   <- {"type":"bridges","names":["docker0"]}
 *   -> {"type":"who","id":7,"peer":"IP:port","local":"IP:port"}
 *   <- {"type":"who","id":7,"address":"...","container":"...","name":"web"}
 *   <- {"type":"refused","reason":"..."}
 * Where nobody answers it is tried again, without a word, in growing pauses.
 * When the link ends the listeners go; the helper has ended then, or has others
 * to give. It is root, and believed only so; what it says still has ceilings
 * and a form, and a breach ends the link. */
#pragma once
#include "modeld/gates.h"

struct helper;

/* path NULL: there shall be none (see helper_follow). The gates are borrowed.
 */
struct helper *helper_new(struct gates *g) must_use;
/* Connects to `path`, or ends what there is if it is NULL; tells `port` (0: no
 * host port). The same again changes nothing. */
void helper_follow(struct helper *h, const char *path, int port);
/* Before the gates. */
void helper_free(struct helper *h);
