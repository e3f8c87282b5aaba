#include "driver.h"
#include <string.h>

void histogram_reset(Histogram *h) { memset(h, 0, sizeof *h); }

static unsigned slot_of(uint64_t v) {
  if (v < 256) return (unsigned)v;
  unsigned shift = 56 - (unsigned)__builtin_clzll(v); // leaves 128..255
  unsigned slot = shift * 128 + (unsigned)(v >> shift);
  return slot < HISTOGRAM_SLOTS ? slot : HISTOGRAM_SLOTS - 1;
}

static uint64_t value_of(unsigned slot) {
  if (slot < 256) return slot;
  unsigned shift = slot / 128 - 1;
  uint64_t base = (uint64_t)(slot - shift * 128) << shift;
  return base + ((1ull << shift) >> 1);
}

void histogram_add(Histogram *h, uint64_t ns) {
  h->slots[slot_of(ns)]++;
  h->count++;
  h->sum += (double)ns;
  if (ns > h->max) h->max = ns;
}

uint64_t histogram_quantile(const Histogram *h, double q) {
  if (h->count == 0) return 0;
  uint64_t rank = (uint64_t)(q * (double)h->count);
  if (rank >= h->count) rank = h->count - 1;
  uint64_t seen = 0;
  for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++) {
    seen += h->slots[i];
    if (seen > rank) return value_of(i) < h->max ? value_of(i) : h->max;
  }
  return h->max;
}

void histogram_print(FILE *out, const char *name, const Histogram *h) {
  fprintf(out,
          ",\"%s\":{\"count\":%llu,\"mean_us\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,"
          "\"p999_us\":%.1f,\"max_us\":%.1f}",
          name, (unsigned long long)h->count, h->count ? h->sum / (double)h->count / 1e3 : 0,
          (double)histogram_quantile(h, 0.5) / 1e3, (double)histogram_quantile(h, 0.9) / 1e3,
          (double)histogram_quantile(h, 0.99) / 1e3, (double)histogram_quantile(h, 0.999) / 1e3,
          (double)h->max / 1e3);
}

int role_histogram(void) {
  static Histogram h;
  for (unsigned long long ns; scanf("%llu", &ns) == 1;) histogram_add(&h, ns);
  printf("{\"event\":\"done\"");
  histogram_print(stdout, "latency", &h);
  puts("}");
  return 0;
}
