#include "api/routes.h"
#include "api/access.h"

#define ROUTE(class, method, pattern, handler)                  \
	{                                                       \
		HTTP_##method, pattern, ACCESS_##class, handler \
	}

/* An OpenAI path has three forms: of any engine, of a named one, and bare. */
#define OPENAI(method, path, general, named)                           \
	ROUTE(INFER, method, "/engines" path, general),                \
		ROUTE(INFER, method, "/engines/{engine}" path, named), \
		ROUTE(INFER, method, path, general)

/* clang-format off */
static const struct route rows[] = {
	OPENAI(POST, "/v1/chat/completions", infer_general, infer_engine),
	OPENAI(POST, "/v1/completions",      infer_general, infer_engine),
	OPENAI(POST, "/v1/embeddings",       infer_general, infer_engine),
	/* Those with /v1 first: "v1" is no engine. */
	OPENAI(POST, "/v1/rerank",           infer_general, infer_engine),
	OPENAI(POST, "/v1/score",            infer_general, infer_engine),
	OPENAI(POST, "/rerank",              infer_general, infer_engine),
	OPENAI(POST, "/score",               infer_general, infer_engine),
	OPENAI(POST, "/tokenize",            infer_general, infer_engine),
	OPENAI(POST, "/detokenize",          infer_general, infer_engine),
	OPENAI(POST, "/apply-template",      infer_general, infer_engine),
	ROUTE(INSPECT, GET,    "/engines/props",          infer_look),
	ROUTE(INSPECT, GET,    "/engines/{engine}/props", infer_look_engine),
	ROUTE(INSPECT, GET,    "/props",                  infer_look),
	ROUTE(INSPECT, GET,    "/engines/slots",          infer_look),
	ROUTE(INSPECT, GET,    "/engines/{engine}/slots", infer_look_engine),
	ROUTE(INSPECT, GET,    "/slots",                  infer_look),
	OPENAI(GET,  "/lora-adapters",       infer_look, infer_look_engine),
	OPENAI(GET,  "/v1/models",           openai_models, openai_engine_models),
	OPENAI(GET,  "/v1/models/{name...}", openai_model,  openai_engine_model),

	ROUTE(INFER,   GET,    "/models",               models_list),
	ROUTE(MANAGE,  POST,   "/models/create",        models_create),
	ROUTE(MANAGE,  POST,   "/models/load",          models_load),
	ROUTE(MANAGE,  POST,   "/models/prune",         models_sweep_prune),
	ROUTE(MANAGE,  POST,   "/models/verify",        models_verify),
	ROUTE(MANAGE,  DELETE, "/models/purge",         models_sweep_purge),
	ROUTE(MANAGE,  POST,   "/models/{name...}/tag", models_tag),
	ROUTE(MANAGE,  POST,   "/models/{name...}/push", models_push),
	ROUTE(MANAGE,  POST,   "/models/{name...}/repackage", models_repackage),
	ROUTE(MANAGE,  POST,   "/models/{name...}",     models_action),
	ROUTE(MANAGE,  GET,    "/models/{name...}/export", models_export),
	ROUTE(INFER,   GET,    "/models/{name...}",     models_inspect),
	ROUTE(MANAGE,  DELETE, "/models/{name...}",     models_delete),

	ROUTE(INFER,   GET,    "/engines/status",       engines_status),
	ROUTE(INSPECT, GET,    "/engines/ps",           engines_ps),
	ROUTE(INSPECT, GET,    "/engines/df",           engines_df),
	ROUTE(INSPECT, GET,    "/engines/requests",     engines_requests),
	ROUTE(MANAGE,  POST,   "/engines/unload",       engines_unload),
	ROUTE(MANAGE,  POST,   "/engines/_configure",   configure_set),
	ROUTE(MANAGE,  POST,   "/engines/{engine}/_configure", configure_set_engine),
	ROUTE(INSPECT, GET,    "/engines/_configure",   configure_list),
	ROUTE(MANAGE,  DELETE, "/engines/_configure",   configure_remove),

	ROUTE(OPEN,    GET,    "/",                     health_root),
	ROUTE(OPEN,    GET,    "/healthz",              health_live),
	ROUTE(OPEN,    GET,    "/readyz",               health_ready),
	ROUTE(OPEN,    GET,    "/version",              health_version),
	ROUTE(INSPECT, GET,    "/metrics",              health_metrics),
	ROUTE(INSPECT, GET,    "/logs",                 health_logs),
};
/* clang-format on */

const struct route *routes_table(size_t *n)
{
	*n = ARRAY_LEN(rows);
	return rows;
}
