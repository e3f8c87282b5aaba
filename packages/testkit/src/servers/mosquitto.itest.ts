import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { requires } from "../requires.js";
import { startMosquitto } from "./mosquitto.js";
import type { TestServer } from "./server.js";

// CONNECT of MQTT 3.1.1 (section 3.1): clean session, keep alive 60 s, client id "probe".
const CONNECT = Buffer.from("101100044d5154540402003c000570726f6265", "hex");

function connectReply(server: TestServer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, server.host, () => socket.write(CONNECT));
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString("hex"));
    });
  });
}

describe("startMosquitto", requires.program("mosquitto"), () => {
  test("starts a broker that accepts a client, also after a kill", async () => {
    await using broker = await startMosquitto();
    expect(broker.url).toBe(`mqtt://127.0.0.1:${broker.port}`);
    expect(await connectReply(broker)).toBe("20020000");
    await broker.kill();
    await expect(connectReply(broker)).rejects.toThrow("ECONNREFUSED");
    await broker.restart();
    expect(await connectReply(broker)).toBe("20020000");
  });

  test("hands further configuration to the broker", async () => {
    await using broker = await startMosquitto({ config: "clientid_prefixes wanted-" });
    // Refused: "identifier rejected" or "not authorized", as the version of the broker sees it.
    expect(await connectReply(broker)).toMatch(/^2002000[25]$/);
  });
});
