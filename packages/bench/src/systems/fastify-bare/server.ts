// A process of its own: `node server.js PORT`. Reads the body, as bytes for NDJSON and parsed for JSON, and answers 202.
import { fastify } from "fastify";

const app = fastify({ bodyLimit: 16 * 1024 * 1024 });
app.addContentTypeParser("application/x-ndjson", { parseAs: "buffer" }, (_request, body, done) =>
  done(null, body),
);
app.post("/readings/:device", (_request, reply) => {
  reply.code(202).send();
});
await app.listen({ port: Number(process.argv[2]), host: "127.0.0.1" });
