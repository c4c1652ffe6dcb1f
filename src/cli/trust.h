/* trust.h - whom the commands believe over TLS.
 *
 * The file of MODEL_RUNNER_TLS_CA_CERT alone; without it the system's CAs, and
 * the authorities of a modeld of this user and of the one of this machine. */
#pragma once
#include "io/tls.h"

must_use int trust_new(struct tls **out, struct err *e);
