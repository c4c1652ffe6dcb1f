/* limits.h - every ceiling in the program, named, with its reason.
 *
 * Nothing that a peer can make grow is without one. A test meets each of them
 * at the limit and one above it. Sizes are bytes, times milliseconds. */
#pragma once
#include "base/limits_pull.h"

/* HTTP heads. nginx gives 32 KiB to large heads and Node 16 KiB; cookies of a
 * browser on localhost, shared between ports, are what fills them. */
#define LIMIT_HEAD_BYTES 32768
#define LIMIT_HEAD_FIELDS 100
#define LIMIT_TARGET_BYTES 8192
/* A scheme, a host name (253 bytes) and a port. */
#define LIMIT_ORIGIN_BYTES 300
/* A chunk-size line with its extensions, and all trailer fields together. */
#define LIMIT_CHUNK_LINE_BYTES 256
#define LIMIT_TRAILER_BYTES 8192

/* The body of a request to a model: room for a dozen photographs in base64. */
#define LIMIT_INFER_BODY_BYTES (64u << 20)
/* All bodies that are held at one time: sixteen of the largest. */
#define LIMIT_BODIES_BYTES (1u << 30)
/* The body of any other JSON request. */
#define LIMIT_SMALL_BODY_BYTES (1u << 20)
/* A JSON answer that a client of ours (CLI, engine look-up) holds whole. */
#define LIMIT_REPLY_BODY_BYTES (64u << 20)
#define LIMIT_JSON_DEPTH 200

/* TLS: a handshake has so long, and the layer keeps no more than this of its
 * own to send (answers to a peer's requests for new keys, which it may repeat).
 */
#define LIMIT_TLS_HANDSHAKE_MS 10000
#define LIMIT_TLS_CONTROL_BYTES (64u << 10)

/* A connection has this long to send a head, then between two reads of a body,
 * and may stay this long without a request. nginx uses 60 s and 75 s. */
#define LIMIT_HEAD_MS 10000
#define LIMIT_BODY_IDLE_MS 30000
#define LIMIT_KEEPALIVE_MS 75000
/* A reader that takes nothing of an answer for so long is gone. */
#define LIMIT_WRITE_IDLE_MS 120000
/* A client that has sent FIN may have left, or may only have nothing more to
 * say; see conn.c. So long its answer may pause before it counts as gone. */
#define LIMIT_HALF_CLOSED_MS 250
/* An answer that was given before the request's body was read: the connection
 * is kept if no more than this of it is still to come. */
#define LIMIT_UNREAD_BODY_BYTES (256u << 10)
/* After an answer that ends the connection, how long and how much of what the
 * client still sends is read, so that it sees the answer and not a reset. */
#define LIMIT_LINGER_MS 2000
#define LIMIT_LINGER_BYTES (4u << 20)

/* Connections per listener, and requests that one client may pipeline before
 * the answers are read. */
#define LIMIT_CONNECTIONS 4096
#define LIMIT_PIPELINED_BYTES LIMIT_HEAD_BYTES

/* What a child can be given to read: less than a pipe holds. */
#define LIMIT_CHILD_INPUT_BYTES 4096
/* What is read at once of a model that is exported. */
#define LIMIT_EXPORT_PIECE_BYTES (256u << 10)

/* Bytes waiting in one stream to be written; above it the source is stopped.
 * Two reads' worth: more only adds latency to a cancel. */
#define LIMIT_STREAM_QUEUE_BYTES (128u << 10)
/* What one read of a stream takes at most. */
#define LIMIT_READ_BYTES (64u << 10)

/* Idle connections kept open to one engine, and for how long. Shorter than the
 * idle limit of the usual servers (5 s in uvicorn), so that we close first. */
#define LIMIT_POOL_IDLE 32
#define LIMIT_POOL_IDLE_MS 4000
#define LIMIT_CONNECT_MS 10000

/* A streaming client that waits for a model hears something this often, first
 * after this long: half of what the quickest impatient clients allow. */
#define LIMIT_SILENT_MS 1000

/* Requests waiting for one model to load, and answers waiting in one engine;
 * texts to embed or to rank are small, and come by the thousand. One part in so
 * many is each caller's, however many others wait. */
#define LIMIT_WAITING_PER_MODEL 1024
#define LIMIT_WAITING_TEXTS 8192
#define LIMIT_WAITING_PARTS 8

/* Names in one request to unload; each is looked up. */
#define LIMIT_UNLOAD_MODELS 1000
/* Models with settings of their own, the runtime flags of one, and the file
 * that holds them. */
#define LIMIT_TUNINGS 1000
#define LIMIT_TUNING_FLAGS 256
#define LIMIT_TUNINGS_BYTES (16u << 20)

/* A model reference: longer than any registry allows. */
#define LIMIT_REFERENCE_BYTES 1024
/* OCI: the specification asks registries to take manifests up to 4 MiB. */
#define LIMIT_MANIFEST_BYTES (4u << 20)
#define LIMIT_CONFIG_BLOB_BYTES (16u << 20)
/* Brackets and commas in them: some 14 a layer; one a key and one a layer. */
#define LIMIT_MANIFEST_MARKS (256u << 10)
#define LIMIT_CONFIG_MARKS (64u << 10)
/* models.json: about 400 bytes a model. */
#define LIMIT_INDEX_BYTES (64u << 20)
/* What is remembered of models' manifests and configs; one takes some 4 KiB. */
#define LIMIT_CATALOG_CACHE_BYTES (16u << 20)
#define LIMIT_LAYERS 10000
/* Some 5 ms of a thread, between which it gives way to answers. */
#define LIMIT_VERIFY_STEP_BYTES (4u << 20)
/* Of an archive that is loaded: the layers, the config and the manifest. */
#define LIMIT_LOAD_BLOBS (LIMIT_LAYERS + 2)
/* Extended headers of one tar entry: a long name, pax records. */
#define LIMIT_TAR_HEADER_BYTES (64u << 10)
/* GGUF metadata: keys, and one string (chat templates are long). llama.cpp
 * compares each key and each tensor's name with all before it. */
#define LIMIT_GGUF_KEYS 8192
#define LIMIT_GGUF_KEY_BYTES 65535
#define LIMIT_GGUF_TENSORS 65536
#define LIMIT_GGUF_STRING_BYTES (4u << 20)
/* All texts together that are kept; token lists are not. */
#define LIMIT_GGUF_METADATA_BYTES (8u << 20)
/* The JSON header of one safetensors file: some 150 bytes a tensor. */
#define LIMIT_SAFETENSORS_HEADER_BYTES (8u << 20)
/* Brackets and commas in it, some 10 a tensor; and keys of its metadata. */
#define LIMIT_SAFETENSORS_MARKS (1u << 20)
#define LIMIT_SAFETENSORS_KEYS 8192
/* Folders in folders of a model that is packaged. */
#define LIMIT_PACKAGE_DEPTH 16

/* The last lines of an engine's log that an error message may quote, and the
 * lines of all programs that GET /logs shows. */
#define LIMIT_ENGINE_TAIL_BYTES 4096
#define LIMIT_LOG_RING_BYTES (256u << 10)
#define LIMIT_LOG_LINE_BYTES 2048
/* One event on a worker's event pipe. */
#define LIMIT_WORKER_EVENT_BYTES 8192
/* A model that ends its engine so often in a row rests before the next try, so
 * long first and twice as long each time; so many are remembered, by so much of
 * their engines' command lines. */
#define LIMIT_BACKOFF_FREE 2
#define LIMIT_BACKOFF_MIN_MS 1000
#define LIMIT_BACKOFF_MS 60000
#define LIMIT_BACKOFF_MODELS 1000
#define LIMIT_BACKOFF_KEY_BYTES (64u << 10)
/* A loading engine that tells nothing for so long is taken for hung. */
#define LIMIT_LOAD_SILENCE_MS 300000
/* SIGTERM, then so long until SIGKILL. */
#define LIMIT_WORKER_STOP_MS 5000
/* Running answers may finish for so long after SIGTERM to modeld. */
#define LIMIT_DRAIN_MS 30000

/* The configuration file. */
#define LIMIT_CONFIG_FILE_BYTES (1u << 20)

/* API keys: the file, the keys in it (each is looked at for each request), the
 * models that one names, and a key as a client sends it. */
#define LIMIT_KEY_FILE_BYTES (1u << 20)
#define LIMIT_KEYS 1000
#define LIMIT_KEY_MODELS 100
#define LIMIT_KEY_BYTES 256
/* Wrong keys from one address: so many at once, then so many a minute. */
#define LIMIT_WRONG_KEYS 10
/* Names that --names may list. */
#define LIMIT_NAMES 64

/* What is remembered of requests to models, with their answers: so much of each
 * body, so many of a model, so many models, all of it. Docker Model Runner
 * keeps 10 whole ones of every model. */
#define LIMIT_RECORD_BODY_BYTES (1u << 20)
#define LIMIT_RECORDS_PER_MODEL 10
#define LIMIT_RECORD_MODELS 100
#define LIMIT_RECORDER_BYTES (16u << 20)
/* Who follows them, at one time, and events that wait to be written. */
#define LIMIT_RECORD_FOLLOWERS 16
#define LIMIT_RECORD_EVENTS 100

/* One answer of a model, and one request's parts. OpenAI allows 4 stop strings,
 * 128 tools, 300 biases, 20 top_logprobs and 2,048 inputs; clients of llama.cpp
 * use more stop strings. */
#define LIMIT_ANSWER_BYTES (16u << 20)
#define LIMIT_VECTORS_BYTES (256u << 20)
#define LIMIT_TOKENIZE_BODY_BYTES (4u << 20) /* a second's work */
#define LIMIT_CHOICES 128
#define LIMIT_PROMPTS 2048
#define LIMIT_STOP_STRINGS 32
#define LIMIT_STOP_BYTES 1024
#define LIMIT_TOOLS 1024
#define LIMIT_TOOL_NAME_BYTES 256 /* OpenAI takes 64 */
/* What the JSON schemas of a request may have in all: members of objects (as
 * with OpenAI), and alternatives (values of an enum, schemas of an anyOf;
 * OpenAI takes 1,000). And one object's members that need not be there: what
 * llama.cpp makes of them takes time that grows with their cube, a tenth of a
 * second for 400. */
#define LIMIT_SCHEMA_MEMBERS 5000
#define LIMIT_SCHEMA_CHOICES 5000
#define LIMIT_SCHEMA_OPTIONAL 400
/* A member's name: llama.cpp calls itself for each of its characters. */
#define LIMIT_SCHEMA_NAME_BYTES 256
/* A count in a schema; llama.cpp's own ceiling for repetitions. */
#define LIMIT_SCHEMA_COUNT 2000
/* What the search for one token that fits a grammar may take, and all searches
 * of an answer: so much, and more for each token. Other answers wait for it;
 * common schemas take some ms, some hundred values that all begin with another
 * character 100 ms, hostile patterns as good as for ever. */
#define LIMIT_GRAMMAR_BYTES (256u << 20)
#define LIMIT_GRAMMAR_TOKEN_MS 2000
#define LIMIT_GRAMMAR_ANSWER_MS 10000
#define LIMIT_GRAMMAR_EACH_MS 100
/* A grammar as it is rewritten: symbols that are kept (some 30 bytes each),
 * those that are looked at to find what begins alike, and the text in the end.
 */
#define LIMIT_GRAMMAR_CELLS (2u << 20)
#define LIMIT_GRAMMAR_WORK (4u << 20)
#define LIMIT_GRAMMAR_TEXT_BYTES (16u << 20)
#define LIMIT_LOGIT_BIASES 1024
#define LIMIT_LAST_N 65536 /* tokens that penalties look back on */
#define LIMIT_TOP_LOGPROBS 20
/* Under whose name a prompt is cached; modeld hashes what is longer. */
#define LIMIT_CACHE_ID_BYTES 128
/* Answers under way at once in one modeld-llama; llama.cpp can have 256. */
#define LIMIT_SLOTS 256
/* Images of one request; of all that are under way or wait, each some 10 MB
 * when it is scaled; and how many are known again. One image's file (OpenAI
 * takes 20 MB), its pixels (a camera's 24 million), a side, how often the
 * longer side may have the shorter one (some models go to 200), and the
 * processor time that it may take to read. */
#define LIMIT_IMAGES 32
#define LIMIT_IMAGES_OPEN 128
#define LIMIT_IMAGE_NAMES 1024
#define LIMIT_IMAGE_BYTES (20u << 20)
#define LIMIT_IMAGE_PIXELS (32u << 20)
#define LIMIT_IMAGE_SIDE 16384
#define LIMIT_IMAGE_ASPECT 100
#define LIMIT_IMAGE_MS 10000
/* Adapters of one model, each with a name and a scale; sane scales are around
 * 1, and far beyond them a model's numbers overflow. */
#define LIMIT_LORA_ADAPTERS 32
#define LIMIT_LORA_NAME_BYTES 100
#define LIMIT_LORA_SCALE 10
/* A chat template is a program that came with a model. It may take so much
 * memory, and 32 bytes more for each that it is given; so much processor time,
 * and as much again for each MiB (a usual one takes 0.1 s for it), 10 s at
 * most; half of the usual stack. A step that lasts longer than the grace after
 * that ends the engine. */
#define LIMIT_TEMPLATE_BYTES (256u << 20)
#define LIMIT_TEMPLATE_BYTES_EACH 32
#define LIMIT_TEMPLATE_MS 1000
#define LIMIT_TEMPLATE_MOST_MS 10000
#define LIMIT_TEMPLATE_STACK_BYTES (4u << 20)
#define LIMIT_TEMPLATE_GRACE_MS 2000
/* Tokens that anybody may ask for: ten times what models are trained for. */
#define LIMIT_CONTEXT 100000000
/* What a context grows to when nobody asks for a size: beyond it the memory is
 * rarely worth it. */
#define LIMIT_DEFAULT_CONTEXT 32768
/* States in host memory when nobody says how much: some ten conversations of
 * 1,000 tokens with a small model, or the windows of two with a middling one.
 */
#define LIMIT_DEFAULT_CACHE_MIB 256
#define LIMIT_CACHE_MIB (1 << 20) /* asked for */
/* Each is compared with each prompt that comes. */
#define LIMIT_CACHE_STATES 1024
/* A stream that has nothing to say sends its head after this long, and then a
 * comment each time, so that nobody between takes it for dead. */
#define LIMIT_STREAM_HEAD_MS 1000
#define LIMIT_STREAM_SILENCE_MS 5000
/* Worker events tell changed numbers at most this often. */
#define LIMIT_EVENT_EVERY_MS 200

/* Between modeld and modeld-docker: one JSON object, and descriptors that came
 * and that no line has claimed yet. */
#define LIMIT_HELPER_LINE_BYTES 4096
#define LIMIT_HELPER_FDS 8
/* Bytes for a helper that does not read, then it counts as gone. */
#define LIMIT_HELPER_QUEUE_BYTES (256u << 10)
/* Questions without an answer yet; more are not asked. A connection waits for
 * one so long. */
#define LIMIT_HELPER_ASKED 512
#define LIMIT_HELPER_WHO_MS 200
/* Listeners and bridges that the helper may name. */
#define LIMIT_HELPER_WAYS 16
#define LIMIT_HELPER_BRIDGES 256
/* Between two tries to reach it: twice as long each time. */
#define LIMIT_HELPER_PAUSE_MIN_MS 100
#define LIMIT_HELPER_PAUSE_MS 2000

/* modeld-docker. A question to Docker Engine may take so long: it answers none
 * of them while it starts many containers on a slow disk. */
#define LIMIT_DOCKERD_MS 30000
/* One event; it carries the container's labels. */
#define LIMIT_DOCKERD_EVENT_BYTES (1u << 20)
/* Between two tries to reach an Engine that is away: twice as long each time.
 */
#define LIMIT_DOCKERD_PAUSE_MIN_MS 50
#define LIMIT_DOCKERD_PAUSE_MS 2000
/* An Engine that failed to answer something is asked again after this. */
#define LIMIT_DOCKERD_AGAIN_MS 5000

/* A hosts file; the long lists that block advertisements have 5 MB. One line
 * of ours: an IPv6 address, a name of 253 bytes, a mark. */
#define LIMIT_HOSTS_BYTES (8u << 20)
#define LIMIT_HOSTS_LINE_BYTES 400
/* The settings of one container, where its hosts entries stand. */
#define LIMIT_HOSTCONFIG_BYTES (1u << 20)
/* A container can write its hosts file as often as it likes, and each time we
 * look: so often in a row, and then once in so many milliseconds. A look counts
 * once more for each such piece that the file is long. Docker itself makes two
 * to five a start. */
#define LIMIT_HOSTS_LOOKS 32
#define LIMIT_HOSTS_LOOK_MS 500
#define LIMIT_HOSTS_LOOK_BYTES (64u << 10)
/* After the kernel dropped events we look at every file, so often at most. */
#define LIMIT_HOSTS_RESCAN_MS 1000
/* Containers that are followed, running or not. */
#define LIMIT_HOSTS_FOLDERS 65536
/* Internal networks that may reach us, and addresses that we had before. */
#define LIMIT_HOSTS_NETS 64
#define LIMIT_HOSTS_FORMER 16
/* What the follower remembers between two starts. */
#define LIMIT_NAMES_STATE_BYTES (64u << 10)

/* Subnets of one Docker network that are looked at. */
#define LIMIT_NETWORK_SUBNETS 16
/* The text of our firewall rules: some 100 bytes a network. */
#define LIMIT_GUARD_BYTES (4u << 20)

/* The front before Docker Engine. The largest heads are those with registries'
 * credentials (X-Registry-Config), which Go's server takes up to 1 MiB. */
#define LIMIT_FRONT_HEAD_BYTES (1u << 20)
#define LIMIT_FRONT_CONNECTIONS 16384
/* After SIGTERM, answers under way have so long; who stops us waits for it. */
#define LIMIT_FRONT_DRAIN_MS 2000
/* The front is asked so often whether it works, and has so long to say it. */
#define LIMIT_PROBE_MS 1000
/* modeld-docker run: a child that ends is started again after a pause, twice as
 * long each time; one that is stopped has so long until SIGKILL. */
#define LIMIT_CHILD_PAUSE_MIN_MS 100
#define LIMIT_CHILD_PAUSE_MS 5000
#define LIMIT_CHILD_STOP_MS 8000

/* The DNS responder: questions under way to the upstream server (above it the
 * oldest is given up), clients that wait for the same one, and how long. glibc
 * gives a server 5 s and asks the next one at once when it is told of a
 * failure.
 */
#define LIMIT_DNS_ASKS 1024
#define LIMIT_DNS_WAITERS 64
#define LIMIT_DNS_WAIT_MS 4000
/* Answers that do not fit a question: somebody guesses, or the server lies. */
#define LIMIT_DNS_WRONG 64
/* Clients by TCP, questions that one of them may have under way, and how long
 * it may take for the next. */
#define LIMIT_DNS_CLIENTS 128
#define LIMIT_DNS_PIPELINED 16
#define LIMIT_DNS_IDLE_MS 10000
/* resolv.conf, and how often we look whether it has changed. */
#define LIMIT_DNS_RESOLV_BYTES (64u << 10)
#define LIMIT_DNS_RESOLV_MS 1000
/* The list of containers is read so often at most; questions that wait for it,
 * and addresses that are known to be nobody's. */
#define LIMIT_WHO_PACE_MS 100
#define LIMIT_WHO_WAITING 1024
#define LIMIT_WHO_STRANGE 64
/* News of the kernel come in bursts; they are met once. */
#define LIMIT_NETWATCH_BURST_MS 20
/* modeld must say hello to the helper within this; a listener that cannot be
 * made is tried again so often. */
#define LIMIT_SESSION_HELLO_MS 10000
#define LIMIT_SESSION_RETRY_MS 250
