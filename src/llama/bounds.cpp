#include "llama/bounds.h"

#include "base/limits.h"

#include <cstdio>
#include <cstdlib>
#include <csignal>
#include <cstring>
#include <ctime>
#include <dlfcn.h>
#include <exception>
#include <malloc.h>
#include <new>
#include <sys/resource.h>
#include <unistd.h>
#include <unwind.h>

/* The clock is a system call: it is read once in so many steps, and for each
 * large piece, since that takes its time to fill. */
static constexpr unsigned STEPS = 256;
static constexpr size_t LARGE_BYTES = 64 << 10;
static constexpr size_t SIGNAL_STACK_BYTES = 64 << 10;
/* From operator new to the destructor that needs memory. */
static constexpr unsigned DESTRUCTOR_FRAMES = 16;

struct state {
	bool is_on;
	unsigned steps;
	int64_t bytes, most_bytes;
	uint64_t until_ns;
	uintptr_t stack;
	size_t most_stack;
	const char *exceeded;
	char text[80];
	uint64_t time_ms;
	timer_t timer;
	bool has_timer;
	char signal_stack[SIGNAL_STACK_BYTES];
};

/* Each thread is in bounds of its own. */
static thread_local state here;
static int events_fd = -1;

uint64_t bounds_cpu_ns(void)
{
	timespec t = {};
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct walk {
	unsigned frames;
	bool is_destructor;
};

static _Unwind_Reason_Code on_frame(_Unwind_Context *c, void *ctx)
{
	auto *w = static_cast<walk *>(ctx);
	Dl_info at = {};
	auto *place = reinterpret_cast<void *>(_Unwind_GetIP(c) - 1);
	if (dladdr(place, &at) && at.dli_sname) {
		size_t n = strlen(at.dli_sname);
		const char *end = at.dli_sname + (n < 4 ? 0 : n - 4);
		w->is_destructor = end[0] == 'D' && end[1] >= '0' &&
				   end[1] <= '2' && strcmp(end + 2, "Ev") == 0;
	}
	return w->is_destructor || ++w->frames == DESTRUCTOR_FRAMES
		       ? _URC_END_OF_STACK
		       : _URC_NO_REASON;
}

/* Destructors allocate too (a JSON value's does, as much as it has members),
 * and what they throw ends the process. Found by name, since libllama-common
 * tells its functions' names; slow, and asked only where a bound is met. */
static bool in_destructor()
{
	walk w = {};
	_Unwind_Backtrace(on_frame, &w);
	return w.is_destructor;
}

/* Says so, and lets the handlers of this exception and what goes on after it
 * have a little more of all: llama.cpp tries a template in several ways, and
 * each of them shall soon come to its end. */
static void exceed(uint64_t n, const char *unit, const char *what)
{
	state &s = here;
	if (!s.exceeded)
		snprintf(s.text, sizeof s.text, "%llu %s of %s",
			 (unsigned long long)n, unit, what);
	s.exceeded = s.text;
	s.most_bytes += s.most_bytes / 16;
	s.most_stack += s.most_stack / 16;
	s.until_ns = bounds_cpu_ns() + s.time_ms * 1000000 / 16;
	if (!in_destructor())
		throw std::bad_alloc();
}

/* Kept out of operator new, which is used everywhere. */
static void __attribute__((noinline)) check(size_t n)
{
	state &s = here;
	auto at = (uintptr_t)__builtin_frame_address(0);
	size_t depth = at < s.stack ? s.stack - at : 0;
	/* Nothing may be thrown while an exception is on its way. */
	if (std::uncaught_exceptions())
		return;
	if (n > INT64_MAX / 2 || s.bytes + (int64_t)n > s.most_bytes)
		exceed((uint64_t)s.most_bytes >> 20, "MiB", "memory");
	if (depth > s.most_stack)
		exceed(s.most_stack >> 10, "KiB", "stack");
	if ((++s.steps % STEPS == 0 || n >= LARGE_BYTES) &&
	    bounds_cpu_ns() > s.until_ns)
		exceed(s.time_ms, "ms", "processor time");
}

static void *take(size_t n)
{
	if (__builtin_expect(here.is_on, false))
		check(n);
	void *p = std::malloc(n ? n : 1);
	if (!p)
		throw std::bad_alloc();
	if (__builtin_expect(here.is_on, false))
		here.bytes += (int64_t)malloc_usable_size(p);
	return p;
}

static void give(void *p)
{
	if (__builtin_expect(here.is_on, false) && p)
		here.bytes -= (int64_t)malloc_usable_size(p);
	std::free(p);
}

/* All of them: a sanitizer's own would not fit some of ours. */
void *operator new(size_t n)
{
	return take(n);
}

void *operator new[](size_t n)
{
	return take(n);
}

void *operator new(size_t n, const std::nothrow_t &) noexcept
try {
	return take(n);
} catch (const std::bad_alloc &) {
	return nullptr;
}

void *operator new[](size_t n, const std::nothrow_t &) noexcept
try {
	return take(n);
} catch (const std::bad_alloc &) {
	return nullptr;
}

void operator delete(void *p) noexcept
{
	give(p);
}

void operator delete[](void *p) noexcept
{
	give(p);
}

void operator delete(void *p, size_t) noexcept
{
	give(p);
}

void operator delete[](void *p, size_t) noexcept
{
	give(p);
}

/* ---- the date ---- */

/* Templates write it by this, and the C library's gives all threads one and the
 * same struct: of theirs, each has its own here. */
struct tm *localtime(const time_t *t) noexcept
{
	static thread_local struct tm own;
	return localtime_r(t, &own);
}

/* ---- the end of what never allocates ---- */

static void say(int fd, const char *text)
{
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		return; /* nobody listens */
}

#define FAILED(words)                                                  \
	"{\"event\":\"failed\",\"cause\":\"unsupported\",\"message\":" \
	"\"the model's chat template " words ", and the engine ended\"}\n"

static void on_time_over(int)
{
	say(events_fd, FAILED("did not come to an end"));
	say(STDERR_FILENO, FAILED("did not come to an end"));
	_exit(1);
}

/* Nested a hundred thousand times it can use the stack up while it is parsed,
 * which allocates nothing on the way down. */
static void on_crash(int number)
{
	if (here.is_on) {
		say(events_fd, FAILED("crashed or nests too deeply"));
		say(STDERR_FILENO, FAILED("crashed or nests too deeply"));
	}
	signal(number, SIG_DFL);
	raise(number); /* comes when this is left */
}

/* The handler is the process's, the stack it needs each thread's own. */
static void watch_crash()
{
	struct sigaction was = {}, on = {};
	stack_t own = {};
	sigaction(SIGSEGV, nullptr, &was);
	if (was.sa_flags & SA_SIGINFO ||
	    (was.sa_handler != SIG_DFL && was.sa_handler != on_crash))
		return; /* a sanitizer has more to say */
	own.ss_sp = here.signal_stack;
	own.ss_size = sizeof here.signal_stack;
	sigaltstack(&own, nullptr);
	on.sa_handler = on_crash;
	on.sa_flags = SA_ONSTACK;
	sigaction(SIGSEGV, &on, nullptr);
}

static void make_timer()
{
	struct sigaction on = {};
	sigevent how = {};
	on.sa_handler = on_time_over;
	sigaction(SIGVTALRM, &on, nullptr);
	how.sigev_notify = SIGEV_SIGNAL;
	how.sigev_signo = SIGVTALRM;
	here.has_timer =
		timer_create(CLOCK_THREAD_CPUTIME_ID, &how, &here.timer) == 0;
	watch_crash();
}

static void set_timer(uint64_t ms)
{
	itimerspec t = {};
	t.it_value.tv_sec = (time_t)(ms / 1000);
	t.it_value.tv_nsec = (long)(ms % 1000) * 1000000;
	if (here.has_timer)
		timer_settime(here.timer, 0, &t, nullptr);
}

/* ---- the bounds ---- */

void bounds_tell(int fd)
{
	events_fd = fd;
}

static size_t half_of_stack()
{
	rlimit r = {};
	if (getrlimit(RLIMIT_STACK, &r) || r.rlim_cur == RLIM_INFINITY)
		return LIMIT_TEMPLATE_STACK_BYTES;
	return MIN((size_t)r.rlim_cur / 2, (size_t)LIMIT_TEMPLATE_STACK_BYTES);
}

void bounds_begin(const struct bounds *b)
{
	state &s = here;
	if (!s.has_timer)
		make_timer();
	s.exceeded = nullptr;
	s.bytes = 0;
	s.most_bytes = (int64_t)MIN(b->bytes, (uint64_t)INT64_MAX / 2);
	s.time_ms = b->time_ms;
	s.until_ns = bounds_cpu_ns() + b->time_ms * 1000000;
	s.stack = (uintptr_t)__builtin_frame_address(0);
	s.most_stack = half_of_stack();
	set_timer(b->time_ms + LIMIT_TEMPLATE_GRACE_MS);
	s.is_on = true;
}

const char *bounds_end()
{
	here.is_on = false;
	set_timer(0);
	return here.exceeded;
}
