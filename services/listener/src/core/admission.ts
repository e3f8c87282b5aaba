/** The question every protocol asks before it lets anything in: who is this, and may it? */
import type { X509Certificate } from "node:crypto";
import type { ErrorCode } from "@myelin/kernel";

/** Who is on the other side, once admitted. One object per connection; kept by tables and sessions, never changed. */
export interface Identity {
  /** Empty: the default tenant. */
  readonly tenant: string;
  readonly deviceId: string;
  /** Empty for anonymous. */
  readonly user: string;
  /** What the client called itself, where that is not the device id. */
  readonly clientId?: string | undefined;
  /** What settings for some clients go by, such as the bounds of their offline queues; absent: those of all. */
  readonly label?: string | undefined;
  /** Anonymous from the machine itself, and trusted for it. */
  readonly local?: boolean | undefined;
}

/** What stands in a client's certificate, which an authority that the port trusts has vouched for. */
export interface ClientCertificate {
  /** Of the subject; empty when it has none. */
  readonly commonName: string;
  /** Alternative names of the subject with their type before them, as in `DNS:boiler-1.example.com`. */
  readonly names: readonly string[];
  /** Has this authority signed it, itself or through others that the client has shown? Absent: only a proxy has seen it. Slow. */
  readonly isIssuedBy?: (authority: X509Certificate) => boolean;
}

/** What a client has shown of itself. Nothing of it is kept; `password` may be overwritten after the answer. */
export interface Credentials {
  /** Registry key of the protocol, e.g. `mqtt`. */
  readonly protocol: string;
  /** Name of the port it came in by. */
  readonly port: string;
  /** Remote IP address as Node prints it, `unix` for who comes by a Unix socket. */
  readonly address: string;
  /** The device id the client claims: MQTT client id, URL device, MCP hello. */
  readonly deviceId: string;
  readonly user?: string | undefined;
  readonly password?: Uint8Array | undefined;
  /** Absent: it has shown none, or was not asked for one. */
  readonly certificate?: ClientCertificate | undefined;
}

/** Allowed with an identity, or refused with a code of the catalogue (`auth.*`, `limit.*`). */
export type ConnectVerdict =
  | { readonly allow: true; readonly identity: Identity }
  | { readonly allow: false; readonly code: ErrorCode };

/** What a step of an exchange leads to: more of it, while `verdict` is absent, or its end. */
export interface AuthenticationStep {
  /** For the client; may be empty. */
  readonly data: Uint8Array;
  readonly verdict?: ConnectVerdict | undefined;
}

/** One client that proves who it is in several steps, such as by SCRAM. */
export interface AuthenticationExchange {
  /** Takes what the client says; keeps the bytes. Called again after each answer without a verdict. Never throws: what is wrong is a refusal. */
  step(data: Uint8Array): AuthenticationStep;
}

/** Told of each change. `isRevoked` is true for who was let in by what holds no longer: a removed user, an old password. */
export type AdmissionListener = (isRevoked: (identity: Identity) => boolean) => void;

/** Whose clients and sessions somebody may see and end: those of all tenants, or of its own. */
export type AdminScope = "all" | "tenant";

/** Decides who may connect, publish and subscribe. Never asked per message: answers are kept with the connection. */
export interface Admission {
  /** Grows whenever an answer might differ from before; tables that hold answers compare it and start anew. */
  readonly generation: number;
  /**
   * Asked once per connection, or per HTTP request. Answers at once where it can, so that a plain connect costs no promise;
   * a slow check (password hashing) runs off the event loop. Never rejects: trouble is a refusal.
   */
  connect(who: Credentials): ConnectVerdict | Promise<ConnectVerdict>;
  /**
   * Begins an exchange by a method of enhanced authentication, such as `SCRAM-SHA-256`; undefined: the method is not offered. Absent: none
   * is. `who.user` and `who.password` are not part of it.
   */
  authenticate?(method: string, who: Credentials): AuthenticationExchange | undefined;
  /** May this client send to `path`? Asked once per channel and connection; answers from memory. */
  publish(identity: Identity, path: string): boolean;
  /** May this client hold this MQTT filter? Asked once per subscription; answers from memory. */
  subscribe(identity: Identity, filter: string): boolean;
  /** What of the HTTP API for operators is open to the client; undefined: nothing. Asked per request; answers from memory. Absent: nothing is. */
  administer?(identity: Identity): AdminScope | undefined;
  /**
   * Calls the listener after each change, when every question is answered by the new rules already; a `connect` that is under way is
   * decided by them too. Returns what ends it.
   */
  onChange(listener: AdmissionListener): () => void;
}
