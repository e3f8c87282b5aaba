#include "driver.h"
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "driver publish|subscribe|idle|http [options]\n"
    "  all        --host 127.0.0.1 --port N --connections 50 --client PREFIX --user U --password P\n"
    "             --seconds S --count N    ends by itself; without them at \"stop\" on stdin or its end\n"
    "  publish    --topic bench/{c}/data --topics N --qos 0|1|2 --window 100 --payload 64 --rate PER_SECOND --stamp --eager --retain\n"
    "  subscribe  --filter bench/# --qos 0|1|2 --stamp --gather --persistent\n"
    "  idle       --protocol mqtt|tcp --keepalive 60 --per-process 15000 --hello HEX --ping HEX\n"
    "             --filter FILTER --qos 0|1|2 --persistent\n"
    "  histogram  reads nanoseconds, one a line, and prints what a latency report would say\n"
    "  http       --path /x/{c} --lines N --payload 64 --rate PER_SECOND --header LINE --body TEXT\n";

enum { HOST = 1, PORT, CONNECTIONS, QOS, WINDOW, PAYLOAD, TOPICS, TOPIC, FILTER, CLIENT, USER, PASSWORD, RATE, SECONDS,
       COUNT, STAMP, GATHER, EAGER, PROTOCOL, KEEPALIVE, PER_PROCESS, HELLO, PING, PATH, HEADER, BODY, LINES,
       RETAIN, PERSISTENT };

static const struct option options[] = {
    {"host", 1, 0, HOST},         {"port", 1, 0, PORT},         {"connections", 1, 0, CONNECTIONS},
    {"qos", 1, 0, QOS},           {"window", 1, 0, WINDOW},     {"payload", 1, 0, PAYLOAD},
    {"topics", 1, 0, TOPICS},     {"topic", 1, 0, TOPIC},       {"filter", 1, 0, FILTER},
    {"client", 1, 0, CLIENT},     {"user", 1, 0, USER},         {"password", 1, 0, PASSWORD},
    {"rate", 1, 0, RATE},         {"seconds", 1, 0, SECONDS},   {"count", 1, 0, COUNT},
    {"stamp", 0, 0, STAMP},       {"gather", 0, 0, GATHER},   {"eager", 0, 0, EAGER},
          {"protocol", 1, 0, PROTOCOL}, {"keepalive", 1, 0, KEEPALIVE},
    {"per-process", 1, 0, PER_PROCESS}, {"hello", 1, 0, HELLO}, {"ping", 1, 0, PING},
    {"path", 1, 0, PATH},         {"header", 1, 0, HEADER},     {"body", 1, 0, BODY},
    {"lines", 1, 0, LINES},       {"retain", 0, 0, RETAIN},     {"persistent", 0, 0, PERSISTENT},
    {0, 0, 0, 0}};

static long number(const char *name, long least, long most) {
  char *end;
  long value = strtol(optarg, &end, 10);
  if (*end || end == optarg || value < least || value > most)
    die("--%s wants a whole number from %ld to %ld, not %s", name, least, most, optarg);
  return value;
}

static double positive(const char *name) {
  char *end;
  double value = strtod(optarg, &end);
  if (*end || end == optarg || !(value > 0)) die("--%s wants a number above 0, not %s", name, optarg);
  return value;
}

int main(int argc, char **argv) {
  Options o = {.host = "127.0.0.1", .connections = 50, .window = 100, .payload = 64, .topic = "bench/{c}/data",
               .client = "bench-", .protocol = "mqtt", .keepalive = 60, .per_process = 15000,
               .path = "/"};
  signal(SIGPIPE, SIG_IGN);
  for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    switch (c) {
    case HOST: o.host = optarg; break;
    case PORT: o.port = (int)number("port", 1, 65535); break;
    case CONNECTIONS: o.connections = (int)number("connections", 1, 1000000); break;
    case QOS: o.qos = (int)number("qos", 0, 2); break;
    case WINDOW: o.window = (int)number("window", 1, 65535); break;
    case PAYLOAD: o.payload = (int)number("payload", 32, 65536); break;
    case TOPICS: o.topics = (int)number("topics", 1, 1000000); break;
    case TOPIC: o.topic = optarg; break;
    case FILTER: o.filter = optarg; break;
    case CLIENT: o.client = optarg; break;
    case USER: o.user = optarg; break;
    case PASSWORD: o.password = optarg; break;
    case RATE: o.rate = positive("rate"); break;
    case SECONDS: o.seconds = positive("seconds"); break;
    case COUNT: o.count = (uint64_t)number("count", 1, 1000000000000l); break;
    case STAMP: o.stamp = true; break;
    case GATHER: o.gather = true; break;
    case EAGER: o.eager = true; break;
    case PROTOCOL: o.protocol = optarg; break;
    case KEEPALIVE: o.keepalive = (int)number("keepalive", 2, 65535); break;
    case PER_PROCESS: o.per_process = (int)number("per-process", 1, 28000); break;
    case HELLO: o.hello = optarg; break;
    case PING: o.ping = optarg; break;
    case PATH: o.path = optarg; break;
    case HEADER: o.header = optarg; break;
    case BODY: o.body = optarg; break;
    case RETAIN: o.retain = true; break;
    case PERSISTENT: o.persistent = true; break;
    case LINES: o.lines = (int)number("lines", 1, 100000); break;
    default: fputs(usage, stderr); return 64;
    }
  }
  if (optind == argc - 1 && strcmp(argv[optind], "histogram") == 0) return role_histogram();
  if (optind != argc - 1 || o.port == 0) {
    fputs(usage, stderr);
    return 64;
  }
  raise_file_limit();
  const char *role = argv[optind];
  if (strcmp(role, "publish") == 0) {
    if (o.stamp && o.rate == 0) die("--stamp needs --rate: a stamp is the time by the schedule");
    return role_publish(&o);
  }
  if (strcmp(role, "subscribe") == 0) {
    if (o.filter == NULL) o.filter = "bench/#";
    return role_subscribe(&o);
  }
  if (strcmp(role, "idle") == 0) return role_idle(&o);
  if (strcmp(role, "http") == 0) return role_http(&o);
  fputs(usage, stderr);
  return 64;
}
