/* quantize FROM TO TYPE - a GGUF file in another of llama.cpp's file types (a
 * number of enum llama_ftype), for benchmarks. */
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>

static void say_nothing(enum ggml_log_level level, const char *text, void *data)
{
	(void)level, (void)text, (void)data;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: quantize FROM TO TYPE\n");
		return 2;
	}
	llama_log_set(say_nothing, NULL);
	llama_backend_init();
	struct llama_model_quantize_params p =
		llama_model_quantize_default_params();
	p.ftype = (enum llama_ftype)strtol(argv[3], NULL, 10);
	return llama_model_quantize(argv[1], argv[2], &p) ? 1 : 0;
}
