// Holds many connections open and does nothing on them but keep alive. One process and four source addresses per
// 15,000 connections: a process has a limited number of files, an address about 28,000 ports towards one server, and the
// kernel takes ever longer to find a free one as they are used up: that would be what limits a storm of connects.
#include "driver.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ADDRESSES 4              // of each process
#define IN_PROGRESS 128          // handshakes at a time: below the usual accept backlog
#define STALL_NS 30000000000ull  // set-up is given up when nothing moves for so long
#define TICK_MS 100
#define MAX_TRIES 50 // a refused device comes again a moment later, as a real one does; each try is counted

typedef enum { CONNECTING, GREETING, SUBSCRIBING, OPEN, CLOSED, WAITING } State;

typedef struct {
  int fd;
  State state;
  int tries;
} Connection;

/** One per child, in shared memory; the child writes, the parent reads. */
typedef struct {
  _Atomic int connected, failed, closed, done, error;
  _Atomic unsigned long long pings, retries, settled_ns;
} Shared;

typedef struct {
  const Options *o;
  Shared *shared;
  Connection *connections;
  int epoll, first, count, begun, settled, in_progress, next_ping, waiting;
  struct in_addr source;
  uint8_t hello[1024], ping[1024];
  size_t hello_length, ping_length;
} Holder;

static const uint8_t MQTT_PING[2] = {0xc0, 0};

static void settle(Holder *h, Connection *c, State state) {
  if (c->state == CONNECTING || c->state == GREETING || c->state == SUBSCRIBING) {
    h->in_progress--;
    if (state == CLOSED && ++c->tries < MAX_TRIES) {
      if (c->fd >= 0) close(c->fd);
      c->fd = -1;
      c->state = WAITING;
      h->waiting++;
      h->shared->retries++;
      return;
    }
    h->settled++;
    if (state == OPEN) h->shared->connected++;
    else h->shared->failed++;
  } else if (state == CLOSED && c->state == OPEN) {
    h->shared->closed++;
  }
  c->state = state;
  if (state == CLOSED) {
    if (h->shared->error == 0) h->shared->error = errno;
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
  }
}

static void greet(Holder *h, int index) {
  Connection *c = &h->connections[index];
  uint8_t packet[1100];
  size_t length = 0;
  if (strcmp(h->o->protocol, "mqtt") == 0) {
    char client[128];
    snprintf(client, sizeof client, "%sidle%06d", h->o->client, h->first + index);
    length = mqtt_connect(packet, h->o, client, h->o->keepalive);
  } else {
    memcpy(packet, h->hello, length = h->hello_length);
    char digits[9];
    snprintf(digits, sizeof digits, "%08d", h->first + index);
    uint8_t *mark = length ? memmem(packet, length, "########", 8) : NULL;
    if (mark) memcpy(mark, digits, 8);
  }
  if (length == 0) return settle(h, c, OPEN);
  c->state = GREETING;
  if (send(c->fd, packet, length, MSG_NOSIGNAL) != (ssize_t)length) settle(h, c, CLOSED);
}

static void subscribe(Holder *h, int index) {
  Connection *c = &h->connections[index];
  char filter[512];
  uint8_t packet[700];
  expand(filter, sizeof filter, h->o->filter, h->first + index, h->first + index);
  size_t length = mqtt_subscribe_packet(packet, filter, h->o->qos);
  c->state = SUBSCRIBING;
  if (send(c->fd, packet, length, MSG_NOSIGNAL) != (ssize_t)length) settle(h, c, CLOSED);
}

static void begin(Holder *h, int index) {
  const Options *o = h->o;
  Connection *c = &h->connections[index];
  c->state = CONNECTING;
  h->in_progress++;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) return settle(h, c, CLOSED);
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ntohl(h->source.s_addr) + (uint32_t)(index % ADDRESSES))};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
  inet_pton(AF_INET, o->host, &to.sin_addr);
  int on = 1;
  setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0) return settle(h, c, CLOSED);
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) return settle(h, c, CLOSED);
  epoll_set(h->epoll, EPOLL_CTL_ADD, c->fd, EPOLLIN | EPOLLOUT, (uint64_t)index);
}

static void on_event(Holder *h, int index, uint32_t events) {
  Connection *c = &h->connections[index];
  if (c->fd < 0) return;
  if (c->state == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
      errno = error;
      return settle(h, c, CLOSED);
    }
    epoll_set(h->epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN, (uint64_t)index);
    greet(h, index);
  }
  if (c->fd < 0 || !(events & EPOLLIN)) return;
  uint8_t bytes[4096];
  ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n == 0) errno = ECONNRESET;
  if (n <= 0) return settle(h, c, CLOSED);
  if (c->state != GREETING && c->state != SUBSCRIBING) return;
  bool mqtt = strcmp(h->o->protocol, "mqtt") == 0;
  bool refused = c->state == SUBSCRIBING ? n < 5 || bytes[0] != 0x90 || bytes[4] > 2
                                         : mqtt && (n < 4 || bytes[0] != 0x20 || bytes[3] != 0);
  errno = ECONNREFUSED;
  if (!refused && c->state == GREETING && mqtt && h->o->filter) subscribe(h, index);
  else settle(h, c, refused ? CLOSED : OPEN);
}

/** Spreads the pings evenly: every connection gets one in each half of its keep-alive. */
static void keep_alive(Holder *h) {
  const void *ping = h->ping_length ? (const void *)h->ping : (const void *)MQTT_PING;
  size_t length = h->ping_length ? h->ping_length : sizeof MQTT_PING;
  if (h->ping_length == 0 && strcmp(h->o->protocol, "mqtt") != 0) return;
  int share = h->count * TICK_MS * 2 / (h->o->keepalive * 1000) + 1;
  for (int i = 0; i < share; i++) {
    Connection *c = &h->connections[h->next_ping++ % h->count];
    if (c->state == OPEN && send(c->fd, ping, length, MSG_NOSIGNAL) > 0) h->shared->pings++;
  }
  h->next_ping %= h->count;
}

/** Once per tick, so that whoever was refused waits a moment. */
static void try_again(Holder *h) {
  for (int i = 0; h->waiting > 0 && i < h->begun && h->in_progress < IN_PROGRESS; i++) {
    if (h->connections[i].state != WAITING) continue;
    h->waiting--;
    begin(h, i);
  }
}

static void hold(Holder *h) {
  h->epoll = epoll_create1(EPOLL_CLOEXEC);
  h->connections = calloc((size_t)h->count, sizeof *h->connections);
  uint64_t moved = now_ns(), ticked = moved;
  for (;;) {
    while (h->begun < h->count && h->in_progress < IN_PROGRESS) begin(h, h->begun++);
    struct epoll_event events[256];
    int before = h->settled, n = epoll_wait(h->epoll, events, 256, TICK_MS);
    for (int i = 0; i < n; i++) on_event(h, (int)events[i].data.u64, events[i].events);
    uint64_t now = now_ns();
    if (h->settled != before) moved = now;
    if (!h->shared->done && (h->settled == h->count || now - moved > STALL_NS)) {
      h->shared->failed += h->count - h->settled;
      h->begun = h->count;
      h->shared->settled_ns = moved;
      h->shared->done = 1;
    }
    if (now - ticked >= TICK_MS * 1000000ull) {
      ticked = now;
      try_again(h);
      keep_alive(h);
    }
  }
}

static int report(const Options *o, const Shared *shared, int children, const char *event, uint64_t started) {
  int connected = 0, failed = 0, closed = 0, done = 0, error = 0;
  unsigned long long pings = 0, retries = 0, settled_ns = 0;
  for (int i = 0; i < children; i++) {
    connected += shared[i].connected, failed += shared[i].failed, closed += shared[i].closed, done += shared[i].done;
    pings += shared[i].pings, retries += shared[i].retries;
    if (shared[i].settled_ns > settled_ns) settled_ns = shared[i].settled_ns;
    if (shared[i].error) error = shared[i].error;
  }
  if (event == NULL) return done;
  printf("{\"event\":\"%s\",\"role\":\"idle\",\"time_ns\":\"%llu\",\"protocol\":\"%s\",\"connections\":%d,\"connected\":%d,"
         "\"open\":%d,\"failed\":%d,\"closed\":%d,\"pings\":%llu,\"retries\":%llu,\"seconds\":%.3f,\"connect_seconds\":%.6f,\"processes\":%d,\"error\":\"%s\"}\n",
         event, (unsigned long long)now_ns(), o->protocol, o->connections, connected, connected - closed, failed,
         closed, pings, retries, (double)(now_ns() - started) / 1e9,
         done == children ? (double)(settled_ns - started) / 1e9 : 0.0, children, error ? strerror(error) : "");
  fflush(stdout);
  return failed + closed;
}

int role_idle(const Options *o) {
  int children = (o->connections + o->per_process - 1) / o->per_process;
  if (children > 250) die("too many processes: raise --per-process");
  uint64_t started = now_ns();
  Shared *shared = mmap(NULL, sizeof *shared * (size_t)children, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t *pids = calloc((size_t)children, sizeof *pids);
  pid_t parent = getpid();
  for (int i = 0; i < children; i++) {
    if ((pids[i] = fork()) != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    static Holder h;
    h.o = o;
    h.shared = &shared[i];
    h.first = i * o->per_process;
    h.count = o->connections - h.first < o->per_process ? o->connections - h.first : o->per_process;
    h.source.s_addr = htonl(0x7f000002u + (uint32_t)i);
    if (o->hello) h.hello_length = unhex(h.hello, sizeof h.hello, o->hello);
    if (o->ping) h.ping_length = unhex(h.ping, sizeof h.ping, o->ping);
    hold(&h);
  }
  bool ready = false;
  for (;;) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (poll(&input, 1, 50) > 0 || control_pending()) {
      Control command = control_read();
      if (command == CONTROL_SNAPSHOT) report(o, shared, children, "snapshot", started);
      if (command == CONTROL_STOP) break;
    }
    if (!ready && report(o, shared, children, NULL, started) == children) {
      ready = true;
      report(o, shared, children, "ready", started);
    }
    if (o->seconds > 0 && (double)(now_ns() - started) / 1e9 >= o->seconds) break;
  }
  int trouble = report(o, shared, children, "done", started);
  for (int i = 0; i < children; i++) kill(pids[i], SIGKILL);
  for (int i = 0; i < children; i++) waitpid(pids[i], NULL, 0);
  return trouble ? 2 : 0;
}
