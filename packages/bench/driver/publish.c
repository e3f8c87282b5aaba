// Publishes over N connections. Each connection owns a ring of pre-built PUBLISH packets of one size, so that a
// message costs a share of one send() and nothing else. Packet ids belong to ring slots: as a window never
// exceeds the ring, an id is free again when its slot comes round. With QoS 2 a message is finished by PUBCOMP; PUBRELs go between
// two PUBLISHes, where the next one begins.
#include "driver.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define MAX_SEND_BYTES 65536
#define NO_LIMIT (1ull << 46) // messages; times 64 kB still fits a 64-bit byte count

typedef struct {
  int fd;
  bool waiting;      // EPOLLOUT is armed: the socket buffer is full
  uint8_t *ring;
  uint64_t sent;     // bytes handed to the kernel
  uint64_t filled;   // messages that may be sent
  uint64_t acked;
  uint8_t ack[MQTT_ACK_BYTES];
  size_t ack_length;
  uint64_t released; // QoS 2: PUBRECs taken
  uint8_t *releases; // PUBRELs not yet in the kernel
  size_t releases_length;
} Connection;

typedef struct {
  const Options *o;
  Connection *connections;
  int epoll, timer;
  size_t size;       // bytes of one packet
  size_t stamp_at;   // offset of the stamp in a packet
  uint32_t slots;
  uint64_t started, ended, due;
  uint64_t acked, closed, bad_acks;
  bool stopping;
  Histogram ack_latency;
} Publisher;

static uint64_t scheduled(const Publisher *p, uint64_t k) { return p->started + (uint64_t)((double)k * 1e9 / p->o->rate); }

static uint64_t sent_total(const Publisher *p) {
  uint64_t bytes = 0;
  for (int i = 0; i < p->o->connections; i++) bytes += p->connections[i].sent / p->size;
  return bytes;
}

static void build_ring(Publisher *p, int index) {
  const Options *o = p->o;
  Connection *c = &p->connections[index];
  char payload[65536], topic[512];
  if (o->payload > (int)sizeof payload) die("--payload is at most %zu bytes", sizeof payload);
  size_t stamp = build_payload(payload, o->payload, o->stamp), at;
  int flags = o->qos << 1 | (o->retain ? 1 : 0);
  if (o->qos == 2) c->releases = malloc((size_t)o->window * MQTT_ACK_BYTES);
  uint32_t own = o->topics > o->connections ? (uint32_t)(o->topics / o->connections) : 1;
  uint32_t least = o->qos ? (uint32_t)o->window : (uint32_t)(MAX_SEND_BYTES / (o->payload + 32) + 1);
  p->slots = own >= least ? own : (least + own - 1) / own * own;
  if (o->qos && p->slots > 65535) die("%u topics per connection need more packet ids than there are", own);
  for (uint32_t slot = 0; slot < p->slots; slot++) {
    uint32_t number = o->topics > o->connections ? (uint32_t)index * own + slot % own
                                                 : (uint32_t)(o->topics ? index % o->topics : index);
    size_t length = expand(topic, sizeof topic, o->topic, index, (int)number);
    if (slot == 0) {
      uint8_t *probe = malloc((size_t)o->payload + 600);
      p->size = mqtt_publish(probe, topic, length, flags, 1, payload, (size_t)o->payload, &at);
      free(probe);
      c->ring = malloc(p->size * p->slots);
      if (c->ring == NULL) die("no memory for %u prepared messages", p->slots);
    }
    mqtt_publish(c->ring + slot * p->size, topic, length, flags, (uint16_t)(slot + 1), payload, (size_t)o->payload, &at);
    p->stamp_at = at + stamp;
  }
}

static void close_connection(Publisher *p, Connection *c) {
  if (c->fd < 0) return;
  close(c->fd);
  c->fd = -1;
  p->closed++;
}

/** How many messages of connection `index` are due by the schedule; no schedule means no limit. */
static uint64_t due_of(const Publisher *p, int index) {
  uint64_t n = (uint64_t)p->o->connections;
  return p->due > (uint64_t)index ? (p->due - (uint64_t)index + n - 1) / n : 0;
}

static void fill(Publisher *p, int index) {
  Connection *c = &p->connections[index];
  if (p->stopping) return;
  uint64_t limit = due_of(p, index);
  if (p->o->qos && limit > c->acked + (uint64_t)p->o->window) limit = c->acked + (uint64_t)p->o->window;
  // Without acknowledgements the ring itself is the bound: a slot may be stamped again once it is in the kernel.
  if (p->o->stamp && limit > c->sent / p->size + p->slots) limit = c->sent / p->size + p->slots;
  if (limit <= c->filled) return;
  if (p->o->stamp)
    for (uint64_t k = c->filled; k < limit; k++)
      write_stamp((char *)c->ring + k % p->slots * p->size + p->stamp_at,
                  scheduled(p, k * (uint64_t)p->o->connections + (uint64_t)index));
  c->filled = limit;
}

/** Only where no PUBLISH is half sent. False: the socket takes no more. */
static bool send_releases(Publisher *p, Connection *c) {
  if (c->releases_length == 0) return true;
  ssize_t n = send(c->fd, c->releases, c->releases_length, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) close_connection(p, c);
  if (n <= 0) return false;
  memmove(c->releases, c->releases + n, c->releases_length -= (size_t)n);
  return c->releases_length == 0;
}

static void pump(Publisher *p, int index) {
  Connection *c = &p->connections[index];
  if (c->fd < 0) return;
  uint64_t ring_bytes = (uint64_t)p->size * p->slots;
  for (size_t budget = MAX_SEND_BYTES; budget > 0;) {
    uint64_t begun = c->sent % p->size;
    if (begun == 0 && !send_releases(p, c)) break;
    fill(p, index);
    uint64_t left = c->filled * p->size - c->sent;
    if (left == 0) break;
    if (begun > 0 && c->releases_length > 0) left = p->size - begun;
    uint64_t at = c->sent % ring_bytes;
    size_t length = ring_bytes - at < left ? (size_t)(ring_bytes - at) : (size_t)left;
    if (length > budget) length = budget;
    ssize_t n = send(c->fd, c->ring + at, length, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return close_connection(p, c);
    if (n > 0) c->sent += (uint64_t)n, budget -= (size_t)n;
    if (n < (ssize_t)length) break;
  }
  if (c->fd < 0) return;
  bool more = c->filled * p->size > c->sent || c->releases_length > 0 || (!p->stopping && !p->o->qos && p->o->rate == 0);
  if (more != c->waiting) {
    c->waiting = more;
    epoll_set(p->epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN | (more ? EPOLLOUT : 0), (uint64_t)index);
  }
}

static void take_acks(Publisher *p, int index) {
  Connection *c = &p->connections[index];
  static uint8_t buffer[65536];
  ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return close_connection(p, c);
  uint64_t now = p->o->stamp ? now_ns() : 0;
  for (ssize_t i = 0; i < n; i++) {
    c->ack[c->ack_length++] = buffer[i];
    if (c->ack_length < MQTT_ACK_BYTES) continue;
    c->ack_length = 0;
    // Acknowledgements come in the order of their PUBLISHes and PUBRELs (MQTT 3.1.1, 4.6.0-2 to 4.6.0-4).
    uint32_t id = (uint32_t)(c->ack[2] << 8 | c->ack[3]);
    if (p->o->qos == 2 && c->ack[0] == 0x50) {
      if (id != c->released % p->slots + 1) p->bad_acks++;
      if (c->releases_length + MQTT_ACK_BYTES > (size_t)p->o->window * MQTT_ACK_BYTES) die("more PUBRECs than PUBLISHes");
      uint8_t *release = c->releases + c->releases_length;
      release[0] = 0x62, release[1] = 2, release[2] = c->ack[2], release[3] = c->ack[3];
      c->releases_length += MQTT_ACK_BYTES;
      c->released++;
      continue;
    }
    if (c->ack[0] != (p->o->qos == 2 ? 0x70 : 0x40) || id != c->acked % p->slots + 1) p->bad_acks++;
    if (p->o->stamp) {
      uint64_t at = scheduled(p, c->acked * (uint64_t)p->o->connections + (uint64_t)index);
      histogram_add(&p->ack_latency, now > at ? now - at : 0);
    }
    c->acked++;
    p->acked++;
  }
}

static void report(const Publisher *p, const char *event) {
  double seconds = (double)((p->ended ? p->ended : now_ns()) - p->started) / 1e9;
  uint64_t sent = sent_total(p);
  printf("{\"event\":\"%s\",\"role\":\"publish\",\"time_ns\":\"%llu\",\"connections\":%d,\"sent\":%llu,\"acked\":%llu,"
         "\"seconds\":%.6f,\"send_rate\":%.0f,\"cpu_seconds\":%.6f,\"closed\":%llu,\"bad_acks\":%llu",
         event, (unsigned long long)now_ns(), p->o->connections, (unsigned long long)sent,
         (unsigned long long)p->acked, seconds, (double)sent / seconds, cpu_seconds(), (unsigned long long)p->closed,
         (unsigned long long)p->bad_acks);
  if (p->o->stamp && p->o->qos) histogram_print(stdout, "ack_latency", &p->ack_latency);
  puts("}");
  fflush(stdout);
}

/** Ends at the next message boundary; what was not yet on its way is not sent. */
static void stop(Publisher *p) {
  if (p->stopping) return;
  p->stopping = true;
  for (int i = 0; i < p->o->connections; i++) {
    Connection *c = &p->connections[i];
    c->filled = (c->sent + p->size - 1) / p->size;
    if (c->fd >= 0) wake_at(c->fd, 1);
  }
}

static void advance(Publisher *p) {
  const Options *o = p->o;
  uint64_t before = p->due, now = now_ns();
  uint64_t limit = o->count ? o->count : NO_LIMIT;
  if (o->rate == 0) {
    p->due = limit;
  } else {
    uint64_t due = (uint64_t)((double)(now - p->started) * o->rate / 1e9) + 1;
    p->due = due < limit ? due : limit;
    // A publisher that the system holds up far behind schedule sends the rest later, with its first due time.
    uint64_t news = p->due - before;
    for (uint64_t k = 0; k < news && k < (uint64_t)o->connections; k++) pump(p, (int)((before + k) % (uint64_t)o->connections));
    struct itimerspec next = {0};
    uint64_t at = scheduled(p, p->due);
    next.it_value.tv_sec = (time_t)(at / 1000000000ull);
    next.it_value.tv_nsec = (long)(at % 1000000000ull);
    timerfd_settime(p->timer, TFD_TIMER_ABSTIME, &next, NULL);
  }
  if (o->seconds > 0 && (double)(now - p->started) / 1e9 >= o->seconds) stop(p);
}

/** All that was promised is in the kernel and, with QoS 1, acknowledged. */
static bool settled(const Publisher *p) {
  for (int i = 0; i < p->o->connections; i++) {
    const Connection *c = &p->connections[i];
    if (c->fd >= 0 && (c->sent < c->filled * p->size || (p->o->qos && c->acked < c->filled))) return false;
  }
  return true;
}

/** Ends each connection politely, so that nothing in flight is lost to a reset. */
static void disconnect(Publisher *p) {
  static const uint8_t goodbye[2] = {0xe0, 0};
  uint8_t rest[256];
  for (int i = 0; i < p->o->connections; i++) {
    Connection *c = &p->connections[i];
    if (c->fd < 0) continue;
    epoll_ctl(p->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    set_blocking(c->fd);
    send(c->fd, goodbye, sizeof goodbye, MSG_NOSIGNAL);
    shutdown(c->fd, SHUT_WR);
  }
  uint64_t deadline = now_ns() + 30000000000ull;
  for (int i = 0; i < p->o->connections; i++) {
    Connection *c = &p->connections[i];
    if (c->fd < 0) continue;
    while (now_ns() < deadline && recv(c->fd, rest, sizeof rest, 0) > 0) continue;
    close(c->fd);
    c->fd = -1;
  }
}

int role_publish(const Options *o) {
  static Publisher p;
  p.o = o;
  p.epoll = epoll_new();
  p.connections = calloc((size_t)o->connections, sizeof *p.connections);
  for (int i = 0; i < o->connections; i++) {
    Connection *c = &p.connections[i];
    char client[128];
    snprintf(client, sizeof client, "%s%06d", o->client, i);
    build_ring(&p, i);
    c->fd = connect_blocking(o);
    limit_send_buffer(c->fd);
    mqtt_open(c->fd, o, client, MQTT_LONG_KEEPALIVE);
    set_nonblocking(c->fd);
    // Half a window of PUBACKs at once: at least the other half stays in flight, so the system always has work.
    // A count has an end at which fewer may be missing, a schedule has gaps: both look at every PUBACK.
    if (o->qos == 1 && !o->eager && o->rate == 0 && o->count == 0) wake_at(c->fd, (o->window + 1) / 2 * MQTT_ACK_BYTES);
    epoll_set(p.epoll, EPOLL_CTL_ADD, c->fd, EPOLLIN, (uint64_t)i);
  }
  p.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  epoll_set(p.epoll, EPOLL_CTL_ADD, p.timer, EPOLLIN, TAG_TIMER);
  p.started = now_ns();
  report(&p, "ready");
  advance(&p);
  for (int i = 0; i < o->connections; i++) pump(&p, i);
  uint64_t give_up = 0;
  for (;;) {
    struct epoll_event events[256];
    bool promised = o->count > 0 && p.due == o->count;
    if ((p.stopping || promised) && settled(&p) && (p.stopping || sent_total(&p) >= o->count)) break;
    if (p.stopping && give_up == 0) give_up = now_ns() + 30000000000ull;
    if ((give_up && now_ns() > give_up) || p.closed == (uint64_t)o->connections) break;
    int n = epoll_wait(p.epoll, events, 256, 100);
    if (n < 0 && errno != EINTR) die("epoll: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
      uint64_t tag = events[i].data.u64;
      if (tag == TAG_TIMER) {
        uint64_t expirations;
        if (read(p.timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("timer: %s", strerror(errno));
      } else if (tag == TAG_CONTROL) {
        do {
          Control command = control_read();
          if (command == CONTROL_SNAPSHOT) report(&p, "snapshot");
          if (command == CONTROL_RESET) histogram_reset(&p.ack_latency), report(&p, "reset");
          if (command == CONTROL_STOP) stop(&p);
        } while (!p.stopping && control_pending());
        if (p.stopping) epoll_ctl(p.epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
      } else {
        if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) take_acks(&p, (int)tag);
        pump(&p, (int)tag);
      }
    }
    if (!p.stopping) advance(&p);
  }
  p.ended = now_ns();
  disconnect(&p);
  report(&p, "done");
  return p.closed || p.bad_acks ? 2 : 0;
}
