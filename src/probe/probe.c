/* modeld-probe: does a container reach the name? `docker model doctor` makes an
 * image of this one static file and runs it: the name is resolved as any
 * program there would, then asked over HTTP. One line says what came of it:
 *
 *   ok 169.254.255.81 200
 *   resolve model-runner.docker.internal: Name or service not known
 *   connect 169.254.255.81: No route to host
 *
 * It uses nothing of the tree, so that it stays small. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A look-up that goes to a dead DNS server, and each further step. */
#define LOOKUP_SECONDS 15
#define STEP_MS 5000

static int wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int error = 0;
	socklen_t n = sizeof error;
	int got = poll(&p, 1, STEP_MS);
	if (got < 0)
		return errno;
	if (got == 0)
		return ETIMEDOUT;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
	return error;
}

static int open_to(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return fd;
	if (errno == EINPROGRESS)
		errno = wait_for(fd, POLLOUT);
	if (!errno)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* The status of the answer, or 0 with errno. */
static int ask(int fd, const char *name, const char *path)
{
	char text[1024];
	int n = snprintf(text, sizeof text,
			 "GET %s HTTP/1.1\r\nHost: %s\r\n"
			 "User-Agent: modeld-probe/" MODELD_VERSION "\r\n"
			 "Connection: close\r\n\r\n",
			 path, name);
	int status = 0;
	size_t got = 0;
	if (n < 0 || (size_t)n >= sizeof text) {
		errno = ENAMETOOLONG;
		return 0;
	}
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		return 0;
	/* "HTTP/1.1 200" */
	while (got < 12) {
		errno = wait_for(fd, POLLIN);
		if (errno)
			return 0;
		ssize_t more = recv(fd, text + got, 12 - got, 0);
		if (more < 0)
			return 0;
		if (more == 0)
			break;
		got += (size_t)more;
	}
	text[got] = '\0';
	errno = EPROTO;
	return sscanf(text, "HTTP/1.%*1[01] %3d", &status) == 1 ? status : 0;
}

static int probe(const char *name, const char *port, const char *path)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	char address[NI_MAXHOST] = "";
	alarm(LOOKUP_SECONDS);
	int failed = getaddrinfo(name, port, &want, &found);
	alarm(0);
	if (failed) {
		printf("resolve %s: %s\n", name, gai_strerror(failed));
		return 1;
	}
	getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof address,
		    NULL, 0, NI_NUMERICHOST);
	int fd = open_to(found);
	freeaddrinfo(found);
	if (fd < 0) {
		printf("connect %s: %s\n", address, strerror(errno));
		return 1;
	}
	int status = ask(fd, name, path);
	if (!status)
		printf("ask %s: %s\n", address, strerror(errno));
	else
		printf("ok %s %d\n", address, status);
	close(fd);
	return status == 200 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("modeld-probe %s\n", MODELD_VERSION);
		return 0;
	}
	if (argc != 4) {
		fprintf(stderr, "Usage: modeld-probe NAME PORT PATH\n");
		return 2;
	}
	return probe(argv[1], argv[2], argv[3]);
}
