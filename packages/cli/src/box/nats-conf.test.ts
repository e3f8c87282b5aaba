import { describe, expect, it } from "vitest";
import { natsConf } from "./nats-conf.js";

const conf = {
  port: 4222,
  monitorPort: 8222,
  storeDir: "/data/jetstream",
  token: "secret",
  durability: "strict",
} as const;

describe("the configuration of nats-server", () => {
  it("syncs always when strict, and every two minutes when balanced", () => {
    expect(natsConf(conf)).toContain("sync_interval: always");
    expect(natsConf({ ...conf, durability: "balanced" })).toContain('sync_interval: "2m"');
  });

  it("listens on loopback only, with a token", () => {
    const text = natsConf(conf);
    expect(text).toContain('listen: "127.0.0.1:4222"');
    expect(text).toContain('http: "127.0.0.1:8222"');
    expect(text).toContain('authorization { token: "secret" }');
  });

  it("quotes a folder whose name has spaces and quotes", () => {
    expect(natsConf({ ...conf, storeDir: '/my "data"/js' })).toContain('store_dir: "/my \\"data\\"/js"');
  });
});
