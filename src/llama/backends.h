/* backends.h - which of ggml's backends are loaded. */
#pragma once

/* Loads those in a folder. Of the CPU's, one for each kind of processor, only
 * the best that runs here is: ggml itself opens all of them to ask how good
 * they are, which takes 10 to 20 ms more. */
void backends_load(const char *folder);
