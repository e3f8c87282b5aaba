// Posts over N keep-alive connections, one request in flight on each; reads answers framed by length or by chunks.
#include "driver.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES 65536

typedef struct {
  int fd;
  char *request;
  size_t request_length, sent;
  char answer[ANSWER_BYTES];
  size_t answer_length;
  uint64_t started; // of the request in flight, ns
  bool busy, armed;
} Connection;

typedef struct {
  const Options *o;
  int epoll;
  Connection *connections;
  uint64_t started, ended, requests, accepted, closed, begun;
  uint64_t status[6]; // by hundreds
  bool stopping;
  Histogram latency;
} Poster;

static void report(const Poster *p, const char *event) {
  double seconds = (double)((p->ended ? p->ended : now_ns()) - p->started) / 1e9;
  uint64_t per_request = (uint64_t)(p->o->lines ? p->o->lines : 1), readings = p->accepted * per_request;
  printf("{\"event\":\"%s\",\"role\":\"http\",\"time_ns\":\"%llu\",\"connections\":%d,\"requests\":%llu,\"accepted\":%llu,"
         "\"sent\":%llu,\"readings\":%llu,\"seconds\":%.6f,\"request_rate\":%.0f,\"cpu_seconds\":%.6f,\"closed\":%llu,"
         "\"status\":{\"2xx\":%llu,\"3xx\":%llu,\"4xx\":%llu,\"5xx\":%llu}",
         event, (unsigned long long)now_ns(), p->o->connections, (unsigned long long)p->requests,
         (unsigned long long)p->accepted, (unsigned long long)(p->requests * per_request), (unsigned long long)readings, seconds,
         (double)p->requests / seconds, cpu_seconds(), (unsigned long long)p->closed, (unsigned long long)p->status[2],
         (unsigned long long)p->status[3], (unsigned long long)p->status[4], (unsigned long long)p->status[5]);
  histogram_print(stdout, "latency", &p->latency);
  puts("}");
  fflush(stdout);
}

static void close_connection(Poster *p, Connection *c) {
  if (c->fd < 0) return;
  close(c->fd);
  c->fd = -1;
  p->closed++;
}

static void build_request(Connection *c, const Options *o, int index) {
  char path[512], *body = NULL;
  size_t body_length;
  expand(path, sizeof path, o->path, index, index);
  if (o->body) {
    body_length = strlen(o->body);
    body = strdup(o->body);
  } else {
    int lines = o->lines ? o->lines : 1;
    size_t line = (size_t)o->payload + (o->lines ? 1 : 0);
    body_length = line * (size_t)lines;
    body = malloc(body_length);
    for (int i = 0; i < lines; i++) {
      build_payload(body + (size_t)i * line, o->payload, false);
      if (o->lines) body[(size_t)(i + 1) * line - 1] = '\n';
    }
  }
  c->request = malloc(body_length + 2048);
  int head = snprintf(c->request, 2048,
                      "POST %s HTTP/1.1\r\nhost: %s:%d\r\ncontent-type: %s\r\ncontent-length: %zu\r\n%s%s\r\n", path,
                      o->host, o->port, o->lines ? "application/x-ndjson" : "application/json", body_length,
                      o->header ? o->header : "", o->header ? "\r\n" : "");
  if (head >= 2048) die("the request head is too long");
  memcpy(c->request + head, body, body_length);
  c->request_length = (size_t)head + body_length;
  free(body);
}

static void arm(Poster *p, Connection *c, bool write, uint64_t tag) {
  if (c->armed == write) return;
  c->armed = write;
  epoll_set(p->epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN | (write ? EPOLLOUT : 0), tag);
}

static void push(Poster *p, Connection *c, uint64_t tag) {
  while (c->sent < c->request_length) {
    ssize_t n = send(c->fd, c->request + c->sent, c->request_length - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return close_connection(p, c);
    c->sent += (size_t)n;
  }
  arm(p, c, c->sent < c->request_length, tag);
}

static void begin(Poster *p, Connection *c, uint64_t tag) {
  const Options *o = p->o;
  c->busy = false;
  if (p->stopping || (o->count && p->begun >= o->count)) return;
  c->started = now_ns();
  if (o->rate > 0) {
    uint64_t due = p->started + (uint64_t)((double)p->begun * 1e9 / o->rate);
    if (due > c->started) return;
    c->started = due;
  }
  p->begun++;
  c->busy = true;
  c->sent = 0;
  c->answer_length = 0;
  push(p, c, tag);
}

static const char *header(const char *head, const char *end, const char *name) {
  size_t length = strlen(name);
  for (const char *line = head; line < end;) {
    if ((size_t)(end - line) > length && strncasecmp(line, name, length) == 0) return line + length;
    const char *next = memchr(line, '\n', (size_t)(end - line));
    if (next == NULL) break;
    line = next + 1;
  }
  return NULL;
}

/** Whether a chunked body is all there; trailers are not expected. */
static bool chunks_complete(const char *at, const char *end) {
  for (;;) {
    const char *line = memchr(at, '\n', (size_t)(end - at));
    if (line == NULL) return false;
    size_t size = strtoul(at, NULL, 16);
    if ((size_t)(end - line - 1) < size + 2) return false;
    if (size == 0) return true;
    at = line + 1 + size + 2;
  }
}

/** Status of a complete answer; 0 while more bytes are to come. */
static int answer_status(Connection *c) {
  c->answer[c->answer_length] = 0;
  char *split = strstr(c->answer, "\r\n\r\n");
  if (split == NULL) return 0;
  char *body = split + 4, *end = c->answer + c->answer_length;
  int status = atoi(c->answer + 9);
  const char *length = header(c->answer, split + 2, "content-length:");
  if (length != NULL) return (size_t)(end - body) >= strtoul(length, NULL, 10) ? status : 0;
  if (header(c->answer, split + 2, "transfer-encoding:") != NULL) return chunks_complete(body, end) ? status : 0;
  return status;
}

static void take_answer(Poster *p, Connection *c, uint64_t tag) {
  ssize_t n = recv(c->fd, c->answer + c->answer_length, ANSWER_BYTES - 1 - c->answer_length, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return close_connection(p, c);
  c->answer_length += (size_t)n;
  int status = answer_status(c);
  if (status == 0) {
    if (c->answer_length == ANSWER_BYTES - 1) die("an answer is longer than %d bytes", ANSWER_BYTES);
    return;
  }
  p->requests++;
  p->status[status / 100 < 6 ? status / 100 : 0]++;
  if (status / 100 == 2) p->accepted++;
  histogram_add(&p->latency, now_ns() - c->started);
  if (c->sent < c->request_length) return close_connection(p, c); // answered early: the rest would be misread
  begin(p, c, tag);
}

int role_http(const Options *o) {
  static Poster p;
  p.o = o;
  p.epoll = epoll_new();
  p.connections = calloc((size_t)o->connections, sizeof *p.connections);
  for (int i = 0; i < o->connections; i++) {
    Connection *c = &p.connections[i];
    build_request(c, o, i);
    c->fd = connect_blocking(o);
    set_nonblocking(c->fd);
    epoll_set(p.epoll, EPOLL_CTL_ADD, c->fd, EPOLLIN, (uint64_t)i);
  }
  p.started = now_ns();
  report(&p, "ready");
  for (int i = 0; i < o->connections; i++) begin(&p, &p.connections[i], (uint64_t)i);
  uint64_t give_up = 0;
  for (;;) {
    int busy = 0;
    for (int i = 0; i < o->connections; i++) busy += p.connections[i].fd >= 0 && p.connections[i].busy;
    if (o->seconds > 0 && (double)(now_ns() - p.started) / 1e9 >= o->seconds) p.stopping = true;
    if (o->count && p.begun >= o->count) p.stopping = true;
    if (p.stopping && give_up == 0) give_up = now_ns() + 30000000000ull;
    if ((p.stopping && (busy == 0 || now_ns() > give_up)) || p.closed == (uint64_t)o->connections) break;
    if (o->rate > 0)
      for (int i = 0; i < o->connections; i++)
        if (p.connections[i].fd >= 0 && !p.connections[i].busy) begin(&p, &p.connections[i], (uint64_t)i);
    struct epoll_event events[256];
    int n = epoll_wait(p.epoll, events, 256, o->rate > 0 ? 1 : 100);
    if (n < 0 && errno != EINTR) die("epoll: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
      uint64_t tag = events[i].data.u64;
      if (tag == TAG_CONTROL) {
        do {
          Control command = control_read();
          if (command == CONTROL_SNAPSHOT) report(&p, "snapshot");
          if (command == CONTROL_RESET) histogram_reset(&p.latency), report(&p, "reset");
          if (command == CONTROL_STOP) p.stopping = true;
        } while (!p.stopping && control_pending());
        if (p.stopping) epoll_ctl(p.epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
      } else {
        Connection *c = &p.connections[tag];
        if (c->fd >= 0 && events[i].events & EPOLLOUT) push(&p, c, tag);
        if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) take_answer(&p, c, tag);
      }
    }
  }
  p.ended = now_ns();
  report(&p, "done");
  return p.closed ? 2 : 0;
}
