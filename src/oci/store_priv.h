/* store_priv.h - what blob.c needs of a store: where its blobs lie. */
#pragma once

struct folder;
struct store;

#define STORE_BLOBS "blobs/sha256"

struct folder *store_folder(struct store *s);
