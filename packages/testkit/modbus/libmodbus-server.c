/* A Modbus server of libmodbus: one unit, 2000 places in each table. Place n of the registers begins as n. */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACES 2000

int main(int argc, char **argv) {
  if (argc < 4) return 64;
  int rtu = strcmp(argv[1], "rtu") == 0;
  modbus_t *ctx = rtu ? modbus_new_rtu(argv[2], atoi(argv[3]), 'N', 8, 1) : modbus_new_tcp(argv[2], atoi(argv[3]));
  modbus_mapping_t *map = modbus_mapping_new(PLACES, PLACES, PLACES, PLACES);
  if (ctx == NULL || map == NULL) return 70;
  for (int i = 0; i < PLACES; i++) map->tab_registers[i] = map->tab_input_registers[i] = i;
  uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
  int listener = -1;
  if (rtu) {
    modbus_set_slave(ctx, argc > 4 ? atoi(argv[4]) : 1);
    if (modbus_connect(ctx) == -1) return 71;
  } else if ((listener = modbus_tcp_listen(ctx, 4)) == -1) return 71;
  puts("ready");
  fflush(stdout);
  for (;;) {
    if (!rtu && modbus_tcp_accept(ctx, &listener) == -1) return 72;
    for (;;) {
      int size = modbus_receive(ctx, query);
      if (size > 0) modbus_reply(ctx, query, size, map);
      else if (size == -1 && !rtu) break;
    }
    if (!rtu) modbus_close(ctx);
  }
}
