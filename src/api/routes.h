/* routes.h - THE table of every endpoint; adding one is a row and a handler.
 *
 * Handlers are declared here and live in one file per family. `app` is the
 * struct api. */
#pragma once
#include "http/router.h"

const struct route *routes_table(size_t *n);

/* health.c: is it there, is it ready, what is it */
void health_root(void *app, struct http_exchange *x,
		 const struct route_match *m);
void health_live(void *app, struct http_exchange *x,
		 const struct route_match *m);
void health_ready(void *app, struct http_exchange *x,
		  const struct route_match *m);
void health_version(void *app, struct http_exchange *x,
		    const struct route_match *m);
void health_metrics(void *app, struct http_exchange *x,
		    const struct route_match *m);
void health_logs(void *app, struct http_exchange *x,
		 const struct route_match *m);

/* infer.c: requests that an engine answers */
void infer_general(void *app, struct http_exchange *x,
		   const struct route_match *m);
void infer_engine(void *app, struct http_exchange *x,
		  const struct route_match *m);
void infer_look(void *app, struct http_exchange *x,
		const struct route_match *m);
void infer_look_engine(void *app, struct http_exchange *x,
		       const struct route_match *m);

/* openai.c: OpenAI's view of the models */
void openai_models(void *app, struct http_exchange *x,
		   const struct route_match *m);
void openai_model(void *app, struct http_exchange *x,
		  const struct route_match *m);
void openai_engine_models(void *app, struct http_exchange *x,
			  const struct route_match *m);
void openai_engine_model(void *app, struct http_exchange *x,
			 const struct route_match *m);

/* models.c: Docker Model Runner's view of the models, and what changes them */
void models_list(void *app, struct http_exchange *x,
		 const struct route_match *m);
void models_inspect(void *app, struct http_exchange *x,
		    const struct route_match *m);
void models_create(void *app, struct http_exchange *x,
		   const struct route_match *m);
void models_load(void *app, struct http_exchange *x,
		 const struct route_match *m);
void models_export(void *app, struct http_exchange *x,
		   const struct route_match *m);
void models_sweep_prune(void *app, struct http_exchange *x,
			const struct route_match *m);
void models_sweep_purge(void *app, struct http_exchange *x,
			const struct route_match *m);
void models_push(void *app, struct http_exchange *x,
		 const struct route_match *m);
void models_repackage(void *app, struct http_exchange *x,
		      const struct route_match *m);
void models_verify(void *app, struct http_exchange *x,
		   const struct route_match *m);
void models_tag(void *app, struct http_exchange *x,
		const struct route_match *m);
void models_delete(void *app, struct http_exchange *x,
		   const struct route_match *m);
void models_action(void *app, struct http_exchange *x,
		   const struct route_match *m);

/* configure.c: how models are started */
void configure_set(void *app, struct http_exchange *x,
		   const struct route_match *m);
void configure_set_engine(void *app, struct http_exchange *x,
			  const struct route_match *m);
void configure_list(void *app, struct http_exchange *x,
		    const struct route_match *m);
void configure_remove(void *app, struct http_exchange *x,
		      const struct route_match *m);

/* engines.c: what runs */
void engines_status(void *app, struct http_exchange *x,
		    const struct route_match *m);
void engines_ps(void *app, struct http_exchange *x,
		const struct route_match *m);
void engines_requests(void *app, struct http_exchange *x,
		      const struct route_match *m);
void engines_df(void *app, struct http_exchange *x,
		const struct route_match *m);
void engines_unload(void *app, struct http_exchange *x,
		    const struct route_match *m);
