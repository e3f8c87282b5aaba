// A process of its own: `node broker.js PORT`.
import { createServer } from "node:net";
import { Aedes } from "aedes";

const broker = await Aedes.createBroker({ concurrency: 1_000, heartbeatInterval: 60_000 });
createServer({ noDelay: true }, (socket) => {
  broker.handle(socket);
}).listen(Number(process.argv[2]), "127.0.0.1");
