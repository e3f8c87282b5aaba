#include "driver.h"
#include <string.h>

static size_t put_text(uint8_t *out, const char *text, size_t length) {
  out[0] = (uint8_t)(length >> 8);
  out[1] = (uint8_t)length;
  memcpy(out + 2, text, length);
  return length + 2;
}

static size_t put_length(uint8_t *out, size_t length) {
  size_t n = 0;
  do {
    uint8_t byte = length & 127;
    length >>= 7;
    out[n++] = byte | (length ? 128 : 0);
  } while (length);
  return n;
}

static size_t frame(uint8_t *out, uint8_t type, const uint8_t *rest, size_t length) {
  out[0] = type;
  size_t n = 1 + put_length(out + 1, length);
  memcpy(out + n, rest, length);
  return n + length;
}

size_t mqtt_connect(uint8_t *out, const Options *o, const char *client, int keepalive) {
  uint8_t rest[512];
  size_t n = put_text(rest, "MQTT", 4);
  rest[n++] = 4;
  rest[n++] = (uint8_t)((o->persistent ? 0 : 2) | (o->user ? 128 : 0) | (o->password ? 64 : 0));
  rest[n++] = (uint8_t)(keepalive >> 8);
  rest[n++] = (uint8_t)keepalive;
  n += put_text(rest + n, client, strlen(client));
  if (o->user) n += put_text(rest + n, o->user, strlen(o->user));
  if (o->password) n += put_text(rest + n, o->password, strlen(o->password));
  return frame(out, 0x10, rest, n);
}

void mqtt_open(int fd, const Options *o, const char *client, int keepalive) {
  uint8_t packet[600], answer[4];
  send_all(fd, packet, mqtt_connect(packet, o, client, keepalive));
  recv_all(fd, answer, sizeof answer);
  if (answer[0] != 0x20 || answer[3] != 0) die("CONNECT refused with code %d", answer[3]);
}

size_t mqtt_subscribe_packet(uint8_t *out, const char *filter, int qos) {
  uint8_t rest[600];
  rest[0] = 0;
  rest[1] = 1;
  size_t n = 2 + put_text(rest + 2, filter, strlen(filter));
  rest[n++] = (uint8_t)qos;
  return frame(out, 0x82, rest, n);
}

void mqtt_subscribe(int fd, const char *filter, int qos) {
  uint8_t packet[700], answer[5];
  send_all(fd, packet, mqtt_subscribe_packet(packet, filter, qos));
  recv_all(fd, answer, sizeof answer);
  if (answer[0] != 0x90 || answer[4] > 2) die("SUBSCRIBE to %s refused with code %d", filter, answer[4]);
}

size_t mqtt_publish(uint8_t *out, const char *topic, size_t topic_length, int flags, uint16_t id,
                    const char *payload, size_t payload_length, size_t *payload_offset) {
  int qos = flags >> 1 & 3;
  out[0] = (uint8_t)(0x30 | flags);
  size_t n = 1 + put_length(out + 1, 2 + topic_length + (qos ? 2 : 0) + payload_length);
  n += put_text(out + n, topic, topic_length);
  if (qos) {
    out[n++] = (uint8_t)(id >> 8);
    out[n++] = (uint8_t)id;
  }
  *payload_offset = n;
  memcpy(out + n, payload, payload_length);
  return n + payload_length;
}
