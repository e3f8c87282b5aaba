// Receives readings of devices and sends one back: `node ten-lines.mjs [localhost:9090 | unix:/path/to/apps.sock]`.
import { IpcClient } from "@myelin/sdk-node";

const client = new IpcClient({
  app: "ten-lines",
  target: process.argv[2] ?? "localhost:9090",
  subscriptions: ["#"],
});
client.onMessage(async (message) => {
  console.log(`${message.deviceId} ${message.path} ${message.text()}`);
  const state = await client
    .send(message.deviceId, "display/text", `got ${message.text()}`)
    .catch((e) => e.code);
  console.log(`answer to ${message.deviceId}: ${state}`);
});
await client.start();
console.log(`connected to ${client.health().bridge}`);
process.once("SIGTERM", () => client.stop());
