// Shared by the roles of the load driver. One process plays one role on one thread, with one epoll set.
// Control: a role prints {"event":"ready"} when it is connected, answers each line on stdin
// (snapshot, reset, stop) with one JSON line, and ends at "stop" or at the end of stdin with {"event":"done"}.
#ifndef MYELIN_BENCH_DRIVER_H
#define MYELIN_BENCH_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct {
  const char *host;
  int port;
  int connections;
  int qos;
  int window;          // unfinished PUBLISHes above QoS 0 per connection
  int payload;         // bytes of one payload, or of one NDJSON line without its newline
  int topics;          // different topics over all connections; 0 = one per connection
  const char *topic;   // publish topic; {c} = connection, {t} = topic number, both zero-padded
  const char *filter;  // subscription; {c} = connection. idle: none unless given
  const char *client;  // client id prefix
  const char *user;
  const char *password;
  double rate;         // messages or requests per second over all connections; 0 = as fast as possible
  double seconds;      // 0 = until told
  uint64_t count;      // 0 = no limit
  bool gather;         // subscribe: look once per millisecond instead of at every wake-up
  bool eager;          // publish: look at every PUBACK instead of at half a window of them
  bool retain;         // publish: with the RETAIN flag
  bool persistent;     // the session is to outlive its connection (clean session 0)
  bool stamp;          // payload carries the scheduled send time, CLOCK_MONOTONIC ns
  const char *protocol; // idle: mqtt or tcp
  int keepalive;       // seconds
  int per_process;     // idle: connections per process and source address
  const char *hello;   // idle tcp: hex, sent once connected; ######## becomes the connection's number
  const char *ping;    // idle tcp: hex, sent every keepalive/2 seconds
  const char *path;    // http: {c} = connection
  const char *header;  // http: one more header line
  const char *body;    // http: literal body instead of the built one
  int lines;           // http: NDJSON readings per request; 0 = one JSON body
} Options;

int role_publish(const Options *o);
int role_subscribe(const Options *o);
int role_idle(const Options *o);
int role_http(const Options *o);
int role_histogram(void);

// --- common.c
uint64_t now_ns(void);
double cpu_seconds(void);
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void raise_file_limit(void);
int connect_blocking(const Options *o);
void set_nonblocking(int fd);
void set_blocking(int fd);
/** The socket counts as readable from so many bytes on: fewer system calls where the other end writes little by little. */
void wake_at(int fd, int bytes);
/** Otherwise the kernel would hold megabytes per connection for a system that is slow to read. */
void limit_send_buffer(int fd);
void send_all(int fd, const void *bytes, size_t length);
void recv_all(int fd, void *bytes, size_t length);
int epoll_new(void);
void epoll_set(int epoll, int op, int fd, uint32_t events, uint64_t tag);
size_t expand(char *out, size_t room, const char *pattern, int connection, int topic);
size_t unhex(uint8_t *out, size_t room, const char *hex);
/** Fills `out` with printable JSON of exactly `length` bytes; returns the offset of its 20-digit stamp. */
size_t build_payload(char *out, int length, bool stamp);
void write_stamp(char *at, uint64_t ns);
uint64_t read_stamp(const char *at);
#define STAMP_DIGITS 20
#define STAMP_OFFSET 7 // {"ns":"00000000000000000000", ...

typedef enum { CONTROL_NONE, CONTROL_SNAPSHOT, CONTROL_RESET, CONTROL_STOP } Control;
/** Reads what stdin has; one command per call, CONTROL_STOP at its end. */
Control control_read(void);
bool control_pending(void);
#define TAG_CONTROL UINT64_MAX
#define TAG_TIMER (UINT64_MAX - 1)

// --- histogram.c: log-linear, 128 steps per power of two, so a value is off by less than 0.8 %
#define HISTOGRAM_SLOTS (58 * 128)
typedef struct {
  uint64_t slots[HISTOGRAM_SLOTS];
  uint64_t count, max;
  double sum;
} Histogram;
void histogram_reset(Histogram *h);
void histogram_add(Histogram *h, uint64_t ns);
uint64_t histogram_quantile(const Histogram *h, double q);
/** Prints ,"name":{"count":…,"p50_us":…} */
void histogram_print(FILE *out, const char *name, const Histogram *h);

// --- mqtt.c: MQTT 3.1.1
size_t mqtt_connect(uint8_t *out, const Options *o, const char *client, int keepalive);
void mqtt_open(int fd, const Options *o, const char *client, int keepalive);
size_t mqtt_subscribe_packet(uint8_t *out, const char *filter, int qos);
void mqtt_subscribe(int fd, const char *filter, int qos);
size_t mqtt_publish(uint8_t *out, const char *topic, size_t topic_length, int flags, uint16_t id,
                    const char *payload, size_t payload_length, size_t *payload_offset);
#define MQTT_ACK_BYTES 4 // PUBACK, PUBREC, PUBREL, PUBCOMP
#define MQTT_LONG_KEEPALIVE 3600 // seconds: longer than a run, so that nobody pings; some brokers refuse 0

#endif
