#include "cli/confirm.h"
#include "base/str.h"
#include "cli/term.h"

#include <stdio.h>

int confirm_ask(const char *warning, struct err *e)
{
	char line[64];
	term_printf("%s\nAre you sure you want to continue? [y/N] ", warning);
	term_flush();
	if (!fgets(line, sizeof line, stdin))
		return err_set(e, ERR_USAGE,
			       "nobody answered; --force does it unasked");
	struct str answer =
		str_trim(str_head(str_of(line), strcspn(line, "\n")));
	if (str_eq_nocase(answer, "y") || str_eq_nocase(answer, "yes"))
		return 0;
	term_printf("Operation cancelled.\n");
	return CONFIRM_NO;
}
