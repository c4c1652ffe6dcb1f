/* notify.h - tells systemd how we are (sd_notify(3)'s protocol). */
#pragma once

/* "READY=1", "STOPPING=1", "RELOADING=1"; nothing happens without systemd. */
void notify_systemd(const char *state);
