// Subscribes over N connections and counts PUBLISH packets without decoding more than their length.
#include "driver.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (512 * 1024)
#define CROWD 64 // from so many connections on each has a small buffer
#define CROWD_BUFFER_BYTES (64 * 1024)
#define MAX_PENDING_ACKS 65536
// With --gather: a broker that writes message by message then neither wakes us nor costs us a system call for each.
#define GATHER_BYTES 65536
#define GATHER_MS 1

typedef struct {
  int fd;
  uint8_t *buffer;
  size_t length;
  uint64_t received;
  uint8_t *acks; // PUBACKs, PUBRECs and PUBCOMPs not yet in the kernel
  size_t acks_length;
  bool armed; // EPOLLOUT
} Connection;

typedef struct {
  const Options *o;
  int epoll;
  Connection *connections;
  size_t buffer_bytes;
  uint64_t subscribed_ns; // when the last SUBSCRIBE was sent
  uint64_t received, duplicates, bytes, first_ns, last_ns, closed, started;
  Histogram latency;
} Subscriber;

static void report(const Subscriber *s, const char *event) {
  uint64_t least = UINT64_MAX, most = 0;
  for (int i = 0; i < s->o->connections; i++) {
    uint64_t one = s->connections[i].received;
    if (one < least) least = one;
    if (one > most) most = one;
  }
  printf("{\"event\":\"%s\",\"role\":\"subscribe\",\"time_ns\":\"%llu\",\"received\":%llu,\"duplicates\":%llu,"
         "\"bytes\":%llu,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"closed\":%llu,"
         "\"least\":%llu,\"most\":%llu,\"since_subscribe\":%.6f",
         event, (unsigned long long)now_ns(), (unsigned long long)s->received, (unsigned long long)s->duplicates,
         (unsigned long long)s->bytes, (double)(s->last_ns - s->first_ns) / 1e9, cpu_seconds(),
         (unsigned long long)s->closed, (unsigned long long)least, (unsigned long long)most,
         s->last_ns > s->subscribed_ns ? (double)(s->last_ns - s->subscribed_ns) / 1e9 : 0.0);
  if (s->o->stamp) histogram_print(stdout, "latency", &s->latency);
  puts("}");
  fflush(stdout);
}

static void close_connection(Subscriber *s, Connection *c) {
  close(c->fd);
  c->fd = -1;
  s->closed++;
}

static void flush_acks(Subscriber *s, Connection *c, uint64_t tag) {
  if (c->acks_length == 0) return;
  ssize_t n = send(c->fd, c->acks, c->acks_length, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return close_connection(s, c);
  if (n > 0) memmove(c->acks, c->acks + n, c->acks_length -= (size_t)n);
  if (c->armed == (c->acks_length > 0)) return;
  c->armed = c->acks_length > 0;
  epoll_set(s->epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN | (c->armed ? EPOLLOUT : 0), tag);
}

static void put_ack(Connection *c, uint8_t type, const uint8_t *id) {
  if (c->acks_length + MQTT_ACK_BYTES > MAX_PENDING_ACKS * MQTT_ACK_BYTES) die("the system does not take our acknowledgements");
  uint8_t *ack = c->acks + c->acks_length;
  ack[0] = type, ack[1] = 2, ack[2] = id[0], ack[3] = id[1];
  c->acks_length += MQTT_ACK_BYTES;
}

static void take_publish(Subscriber *s, Connection *c, const uint8_t *packet, const uint8_t *rest, const uint8_t *end,
                         uint64_t now) {
  int qos = packet[0] >> 1 & 3;
  const uint8_t *at = rest + 2 + (rest[0] << 8 | rest[1]);
  if (qos) {
    put_ack(c, qos == 2 ? 0x50 : 0x40, at);
    at += 2;
  }
  s->received++;
  c->received++;
  if (packet[0] & 8) s->duplicates++;
  if (s->o->stamp && end - at >= STAMP_OFFSET + STAMP_DIGITS) {
    uint64_t sent = read_stamp((const char *)at + STAMP_OFFSET);
    histogram_add(&s->latency, now > sent ? now - sent : 0);
  }
}

/** Walks the complete packets in the buffer and keeps the rest. */
static void take_packets(Subscriber *s, Connection *c, uint64_t now) {
  uint8_t *at = c->buffer, *end = c->buffer + c->length;
  while (end - at >= 2) {
    size_t length = 0, shift = 0;
    uint8_t *rest = at + 1;
    bool complete = false;
    while (rest < end && shift <= 21) {
      uint8_t byte = *rest++;
      length |= (size_t)(byte & 127) << shift;
      shift += 7;
      if (!(byte & 128)) {
        complete = true;
        break;
      }
    }
    if (!complete && shift > 21) die("a packet's length is malformed");
    if (!complete || (size_t)(end - rest) < length) break;
    if (at[0] >> 4 == 3) take_publish(s, c, at, rest, rest + length, now);
    if (at[0] >> 4 == 6) put_ack(c, 0x70, rest);
    at = rest + length;
  }
  c->length = (size_t)(end - at);
  if (c->length == s->buffer_bytes) die("a packet is longer than %zu bytes", s->buffer_bytes);
  memmove(c->buffer, at, c->length);
}

static void on_readable(Subscriber *s, Connection *c, uint64_t tag) {
  ssize_t n = recv(c->fd, c->buffer + c->length, s->buffer_bytes - c->length, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return close_connection(s, c);
  uint64_t now = now_ns();
  if (s->received == 0) s->first_ns = now;
  c->length += (size_t)n;
  s->bytes += (uint64_t)n;
  take_packets(s, c, now);
  s->last_ns = now;
  flush_acks(s, c, tag);
}

int role_subscribe(const Options *o) {
  static Subscriber s;
  s.o = o;
  s.epoll = epoll_new();
  s.buffer_bytes = o->connections < CROWD ? BUFFER_BYTES : CROWD_BUFFER_BYTES;
  s.connections = calloc((size_t)o->connections, sizeof *s.connections);
  for (int i = 0; i < o->connections; i++) {
    Connection *c = &s.connections[i];
    char client[128], filter[512];
    snprintf(client, sizeof client, "%s%06d", o->client, i);
    expand(filter, sizeof filter, o->filter, i, i);
    c->buffer = malloc(s.buffer_bytes);
    c->acks = malloc(MAX_PENDING_ACKS * MQTT_ACK_BYTES);
    c->fd = connect_blocking(o);
    mqtt_open(c->fd, o, client, MQTT_LONG_KEEPALIVE);
    s.subscribed_ns = now_ns();
    mqtt_subscribe(c->fd, filter, o->qos);
    set_nonblocking(c->fd);
    if (o->gather) wake_at(c->fd, GATHER_BYTES);
    epoll_set(s.epoll, EPOLL_CTL_ADD, c->fd, EPOLLIN, (uint64_t)i);
  }
  s.started = now_ns();
  report(&s, "ready");
  for (bool running = true; running && s.closed < (uint64_t)o->connections;) {
    struct epoll_event events[64];
    int n = epoll_wait(s.epoll, events, 64, o->gather ? GATHER_MS : 100);
    if (n < 0 && errno != EINTR) die("epoll: %s", strerror(errno));
    for (int i = 0; n == 0 && o->gather && i < o->connections; i++)
      if (s.connections[i].fd >= 0) on_readable(&s, &s.connections[i], (uint64_t)i);
    for (int i = 0; i < n; i++) {
      uint64_t tag = events[i].data.u64;
      if (tag == TAG_CONTROL) {
        do {
          Control command = control_read();
          if (command == CONTROL_SNAPSHOT) report(&s, "snapshot");
          if (command == CONTROL_RESET) histogram_reset(&s.latency), report(&s, "reset");
          if (command == CONTROL_STOP) running = false;
        } while (running && control_pending());
      } else {
        Connection *c = &s.connections[tag];
        if (c->fd >= 0 && events[i].events & EPOLLOUT) flush_acks(&s, c, tag);
        if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) on_readable(&s, c, tag);
      }
    }
    if (o->count && s.received >= o->count) running = false;
    if (o->seconds > 0 && (double)(now_ns() - s.started) / 1e9 >= o->seconds) running = false;
  }
  report(&s, "done");
  return 0;
}
