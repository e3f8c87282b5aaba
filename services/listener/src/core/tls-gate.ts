/** Ends TLS for a port: handshakes with the certificate of the moment, and refuses clients by theirs. */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { CertificateFiles } from "./certificate-files.js";
import type { ProtocolContext } from "./protocol.js";
import { knownPeer, knowPeer } from "./socket-peer.js";
import { type TlsSettings, tlsOptions } from "./tls.js";

export interface TlsGateOptions {
  readonly settings: TlsSettings;
  /** Names of application protocols, best first; a client that offers others only is refused by an alert. Empty: none is talked about. */
  readonly alpn: readonly string[];
  readonly handshakeTimeoutMs: number;
  /** Told of each connection that ends in its handshake, with a metric label. */
  readonly onRefused: (reason: "tls_handshake" | "client_certificate") => void;
}

const NO_CERTIFICATE = "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE";

type Then = (socket: TLSSocket) => void;

/** A server of the library that is handed its connections and listens to nothing. */
export class TlsGate {
  private server: Server | undefined;
  private files: CertificateFiles | undefined;
  /** Handshakes under way, by the far end of their connection. */
  private readonly pending = new Map<string, { readonly raw: Socket; readonly then: Then }>();

  constructor(
    private readonly ctx: Pick<ProtocolContext, "clock" | "log" | "port" | "metrics">,
    private readonly options: TlsGateOptions,
  ) {}

  /** @throws AppError `config.invalid` for a certificate that cannot be served */
  start(): void {
    const { settings, alpn, handshakeTimeoutMs, onRefused } = this.options;
    const { clock, log, port, metrics } = this.ctx;
    this.files = new CertificateFiles({
      port,
      settings,
      clock,
      log,
      certificates: metrics.certificates,
      // Connections keep the context they began with.
      onMaterial: (changed) => this.server?.setSecureContext(tlsOptions(settings, changed)),
    });
    const material = this.files.start();
    this.server = createServer({
      ...tlsOptions(settings, material),
      handshakeTimeout: handshakeTimeoutMs,
      ...(alpn.length > 0 && { ALPNProtocols: [...alpn] }),
    });
    this.server.on("secureConnection", (socket) => this.onSecure(socket));
    // The library has closed the connection already.
    this.server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      // The types do not know that there is none before a certificate has been looked at.
      const hasWrongOne = (socket.authorizationError as unknown) != null;
      onRefused(hasWrongOne || error.code === NO_CERTIFICATE ? "client_certificate" : "tls_handshake");
    });
  }

  stop(): void {
    this.files?.stop();
    for (const { raw } of this.pending.values()) raw.destroy();
    this.files = this.server = undefined;
  }

  /** Owns the connection, which nobody reads, until `then` gets what is inside it; it never does when the handshake fails. */
  secure(raw: Socket, then: Then): void {
    const key = keyOf(raw);
    this.pending.set(key, { raw, then });
    raw.once("close", () => this.pending.delete(key));
    this.server!.emit("connection", raw);
  }

  private onSecure(socket: TLSSocket): void {
    const key = keyOf(socket);
    const waiting = this.pending.get(key);
    this.pending.delete(key);
    if (waiting === undefined) {
      socket.destroy();
      return;
    }
    const peer = knownPeer(waiting.raw);
    if (peer !== undefined) knowPeer(socket, peer);
    if (this.isLetIn(socket)) {
      waiting.then(socket);
      return;
    }
    this.options.onRefused("client_certificate");
    socket.destroy();
  }

  private isLetIn(socket: TLSSocket): boolean {
    const { clientCa, clientCertificate } = this.options.settings;
    if (clientCa === undefined) return true;
    // A session that is resumed counts as authorized also when no certificate was shown in it.
    if (socket.getPeerX509Certificate() === undefined) return clientCertificate === "optional";
    return socket.authorized;
  }
}

/** The library does not say which connection it has secured; while it is open no other one has its far end. */
function keyOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
