/* proxyenv.h - which proxy a request goes through, by the variables that all
 * programs share: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in capitals
 * or not. NO_PROXY is a comma list of names ("corp.example" and ".corp.example"
 * are that domain), addresses, CIDR blocks, each with ":port" if wanted, or
 * "*". What is on this machine (localhost, loopback) is never asked of a proxy.
 */
#pragma once
#include "io/weburl.h"

/* The proxy's URL, or "" for none; borrowed from the environment. */
const char *proxyenv_find(const struct weburl *u);
/* Pure: does this list take the URL out? */
bool proxyenv_excludes(struct str no_proxy, const struct weburl *u);
