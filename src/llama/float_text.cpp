#include "llama/float_text.h"

#include <charconv>

size_t float_text(float v, char out[FLOAT_TEXT])
{
	return (size_t)(std::to_chars(out, out + FLOAT_TEXT, v).ptr - out);
}
