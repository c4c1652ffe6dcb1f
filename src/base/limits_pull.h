/* limits_pull.h - the part of limits.h for what comes from registries. */
#pragma once

/* Requests to the world outside. A server that sends less than this many bytes
 * a second for so long has stalled. */
#define LIMIT_TRANSFER_SLOW_BYTES 1024
#define LIMIT_TRANSFER_SLOW_MS 30000
#define LIMIT_TRANSFER_READ_BYTES (128u << 10)
/* Connections kept open for the next request, and how long libcurl keeps its
 * memory (certificates: megabytes) when nothing runs. */
#define LIMIT_TRANSFERS_KEPT 8
#define LIMIT_TRANSFERS_IDLE_MS 30000
/* As many as Go's client follows. */
#define LIMIT_REDIRECTS 10

/* Registries. One parameter of a challenge; a token server's answer; what is
 * kept of an error's text; tokens remembered. */
#define LIMIT_CHALLENGE_BYTES 2048
#define LIMIT_TOKEN_BYTES (1u << 20)
#define LIMIT_REGISTRY_ERROR_BYTES 16384
#define LIMIT_TOKENS_KEPT 64
/* How often one request answers challenges: a token may have expired. */
#define LIMIT_AUTH_ANSWERS 2
/* A manifest, a config or a token must be here within this; tries of one. */
#define LIMIT_DOCUMENT_MS 60000
#define LIMIT_DOCUMENT_TRIES 3
/* A server that wants us to wait longer before the next try is not tried. */
#define LIMIT_DOCUMENT_WAIT_MS 5000
/* What a credential helper reads, prints (tokens of clouds have kilobytes), and
 * how long it may take: some ask a server. */
#define LIMIT_CHILD_INPUT_BYTES 4096
#define LIMIT_CREDENTIAL_BYTES (64u << 10)
#define LIMIT_CREDENTIAL_HELPER_MS 30000

/* Hugging Face. An answer of its API (a page has up to 1000 files, some 250
 * bytes each), one file in it, and its path; pages, and files that a model may
 * be made of. What it keeps outside of LFS has at most 10 MB. */
#define LIMIT_HUB_ANSWER_BYTES (4u << 20)
#define LIMIT_HUB_ENTRY_BYTES 16384
#define LIMIT_HUB_PATH_BYTES 1024
#define LIMIT_HUB_PAGES 200
#define LIMIT_HUB_FILES 20000
#define LIMIT_HUB_SMALL_BYTES (16u << 20)
#define LIMIT_HUB_TOKEN_BYTES 1024

/* Pulls at one time, as in Docker Model Runner; layers of one at a time, and
 * connections of one. */
#define LIMIT_PULLS 2
#define LIMIT_PULL_LAYERS 4
#define LIMIT_PULL_STREAMS 4
/* Threads for their disk and hashing. */
#define LIMIT_PULL_JOBS 2
/* A large blob is fetched in pieces of this size: long enough that a round trip
 * between two does not show, short enough that hashing follows closely. */
#define LIMIT_PULL_CHUNK_BYTES (32ull << 20)
#define LIMIT_RANGES_CHUNKS 65536
/* Bytes of one connection that wait for the disk, which are also what is hashed
 * at once: half a millisecond; and what one hashing job takes: some 20. */
#define LIMIT_PULL_WRITE_BYTES (512u << 10)
#define LIMIT_PULL_HASH_BYTES (16ull << 20)
/* While answers are made, pulls and all other bulk work stand still for so
 * long, and go for so long (brake.h). A first token that meets the whole of a
 * window comes that much later, and is to be there within 100 ms; what comes
 * from far meanwhile is less than the kernel takes for one connection (6 MB),
 * up to some 800 Mbit/s. */
#define LIMIT_BULK_HELD_MS 60
#define LIMIT_BULK_WINDOW_MS 40
/* Threads for models that are verified, exported and loaded. */
#define LIMIT_BULK_JOBS 2
/* No blob is larger (64 TiB): sizes add up without overflow. */
#define LIMIT_BLOB_BYTES (1ull << 46)
/* Tries of one blob without progress of this much in between, and the pause
 * before the first: twice as long each time. A server may ask for more. */
#define LIMIT_PULL_TRIES 5
#define LIMIT_PULL_PROGRESS_BYTES (1u << 20)
#define LIMIT_PULL_PAUSE_MS 250u
#define LIMIT_PULL_RETRY_AFTER_MS 60000
/* How often a pull looks again for blobs that another process removed. */
#define LIMIT_PULL_ROUNDS 3
/* A layer's progress is told this often, and that a pull waits. */
#define LIMIT_PULL_TELL_MS 100
#define LIMIT_PULL_WAIT_TELL_MS 5000

/* Pushes at one time, and layers of one. */
#define LIMIT_PUSHES 2
#define LIMIT_PUSH_LAYERS 4
/* Threads for their disk; a piece that is read at once. */
#define LIMIT_PUSH_JOBS 1
#define LIMIT_SOURCE_PIECE_BYTES (256u << 10)
/* A large blob is sent in chunks of this size, unless the registry wants larger
 * ones: what is lost by a cut is less than one. */
#define LIMIT_PUSH_CHUNK_BYTES (64ull << 20)
/* A registry hashes what it got, or copies it to its storage, before it
 * answers: gigabytes take minutes. */
#define LIMIT_PUSH_COMMIT_MS 600000
/* Repositories that a layer may be mounted from; a token must name each. */
#define LIMIT_PUSH_SOURCES 8
/* Times that what the registry stored is looked for, and that a push goes over
 * all blobs when the registry misses some that it had. */
#define LIMIT_PUSH_LOOKS 3
#define LIMIT_PUSH_ROUNDS 2
/* Uploads that a push left unfinished, for the next one to go on with. */
#define LIMIT_PUSH_KEPT 16
