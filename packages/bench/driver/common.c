#include "driver.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

double cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("bench driver: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

void raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

int connect_blocking(const Options *o) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket: %s", strerror(errno));
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
  if (inet_pton(AF_INET, o->host, &to.sin_addr) != 1) die("--host wants an IPv4 address, not %s", o->host);
  struct timeval deadline = {.tv_sec = 10};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
    die("connect to %s:%d: %s", o->host, o->port, strerror(errno));
  return fd;
}

void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

void set_blocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); }

void wake_at(int fd, int bytes) {
  if (setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) != 0) die("SO_RCVLOWAT: %s", strerror(errno));
}

void limit_send_buffer(int fd) {
  int bytes = 128 * 1024;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

void send_all(int fd, const void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t n = send(fd, (const char *)bytes + done, length - done, MSG_NOSIGNAL);
    if (n <= 0) die("send: %s", strerror(errno));
    done += (size_t)n;
  }
}

void recv_all(int fd, void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t n = recv(fd, (char *)bytes + done, length - done, 0);
    if (n == 0) die("the server closed the connection during set-up");
    if (n < 0) die("no answer during set-up: %s", strerror(errno));
    done += (size_t)n;
  }
}

int epoll_new(void) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) die("epoll: %s", strerror(errno));
  set_nonblocking(STDIN_FILENO);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = TAG_CONTROL};
  // A plain file on stdin cannot be polled; then nobody controls the role and it ends by itself.
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0 && errno != EPERM) die("epoll: %s", strerror(errno));
  return epoll;
}

void epoll_set(int epoll, int op, int fd, uint32_t events, uint64_t tag) {
  struct epoll_event event = {.events = events, .data.u64 = tag};
  if (epoll_ctl(epoll, op, fd, &event) != 0) die("epoll: %s", strerror(errno));
}

size_t expand(char *out, size_t room, const char *pattern, int connection, int topic) {
  size_t n = 0;
  for (const char *p = pattern; *p; p++) {
    if (n + 8 > room) die("%s is too long", pattern);
    if (strncmp(p, "{c}", 3) == 0 || strncmp(p, "{t}", 3) == 0) {
      n += (size_t)sprintf(out + n, "%06d", p[1] == 'c' ? connection : topic);
      p += 2;
    } else {
      out[n++] = *p;
    }
  }
  out[n] = 0;
  return n;
}

size_t unhex(uint8_t *out, size_t room, const char *hex) {
  size_t n = strlen(hex) / 2;
  if (n > room) die("hex of %zu bytes is too long", n);
  for (size_t i = 0; i < n; i++) {
    unsigned byte;
    if (sscanf(hex + 2 * i, "%2x", &byte) != 1) die("bad hex: %s", hex);
    out[i] = (uint8_t)byte;
  }
  return n;
}

size_t build_payload(char *out, int length, bool stamp) {
  char head[64];
  int n = stamp ? sprintf(head, "{\"ns\":\"%020d\",\"t\":21.5,\"p\":\"", 0)
                : sprintf(head, "{\"t\":21.5,\"h\":48.25,\"p\":\"");
  if (length < n + 2) die("--payload must be at least %d bytes", n + 2);
  memcpy(out, head, (size_t)n);
  memset(out + n, 'x', (size_t)(length - n - 2));
  memcpy(out + length - 2, "\"}", 2);
  return stamp ? STAMP_OFFSET : 0;
}

void write_stamp(char *at, uint64_t ns) {
  for (int i = STAMP_DIGITS - 1; i >= 0; i--, ns /= 10) at[i] = (char)('0' + ns % 10);
}

uint64_t read_stamp(const char *at) {
  uint64_t ns = 0;
  for (int i = 0; i < STAMP_DIGITS; i++) ns = ns * 10 + (uint64_t)(at[i] - '0');
  return ns;
}

static char control_buffer[256];
static size_t control_length;

bool control_pending(void) { return memchr(control_buffer, '\n', control_length) != NULL; }

Control control_read(void) {
  if (!control_pending()) {
    ssize_t n = read(STDIN_FILENO, control_buffer + control_length, sizeof control_buffer - control_length);
    if (n == 0) return CONTROL_STOP;
    if (n < 0) return errno == EAGAIN ? CONTROL_NONE : CONTROL_STOP;
    control_length += (size_t)n;
  }
  char *end = memchr(control_buffer, '\n', control_length);
  if (end == NULL) {
    if (control_length == sizeof control_buffer) die("a control line is too long");
    return CONTROL_NONE;
  }
  *end = 0;
  Control command = strcmp(control_buffer, "snapshot") == 0 ? CONTROL_SNAPSHOT
                    : strcmp(control_buffer, "reset") == 0  ? CONTROL_RESET
                    : strcmp(control_buffer, "stop") == 0   ? CONTROL_STOP
                                                            : CONTROL_NONE;
  size_t used = (size_t)(end + 1 - control_buffer);
  memmove(control_buffer, end + 1, control_length - used);
  control_length -= used;
  return command;
}
