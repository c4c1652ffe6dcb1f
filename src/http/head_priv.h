/* head_priv.h - what kind of character a byte is in HTTP, for head.c and
 * chunk.c. One look-up per byte, no calls. */
#pragma once

enum {
	HEAD_TOKEN = 1,	 /* tchar: methods and field names */
	HEAD_TARGET = 2, /* visible ASCII */
	HEAD_VALUE = 4,	 /* field values: visible, space, tab, 0x80 and up */
};

extern const unsigned char head_class[256];
