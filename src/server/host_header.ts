// Checks the Host header of a request against the names that `--allow-host` lists.

import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { RequestError } from "../errors.ts";

/** Whether a Host header, in lower case, is one of the names. */
export type HostCheck = (host: string) => boolean;

const FORMS = '"llm.example", "llm.example:8443", "*.example", or "*" for any name';
/** Clients leave these ports out of the header. */
const DEFAULT_PORTS = ["80", "443"];
const LABEL = /^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?$/;
const ADDRESS = /^(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\]|[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*)$/;

/**
 * @param patterns each is a name, `*.name` for every name below it, or `*`; with a port only for
 * that port; or several of these, separated by commas
 * @throws RequestError for a pattern that no request can match
 */
export function hostCheck(patterns: readonly string[]): HostCheck {
  const checks = patterns.flatMap((text) => text.split(",")).map((text) => oneHost(text.trim().toLowerCase()));
  return (host) => {
    const { name, port } = splitHost(host);
    return checks.some((matches) => matches(name, port));
  };
}

/** Whether clients can send this name, or address, as a Host. */
export function isHost(text: string): boolean {
  try {
    hostCheck([text]);
    return true;
  } catch {
    return false;
  }
}

/** Splits "llm.example:80" into name and port. The final dot of an absolute name is dropped. */
export function splitHost(host: string): { readonly name: string; readonly port: string | null } {
  const [, name = host, port = null] = /^(.*?)(?::(\d+))?$/.exec(host) ?? [];
  return { name: name.replace(/\.$/, ""), port };
}

/** Longest path of a Unix socket in bytes; the kernel's field has 108, one of which ends it. */
const LONGEST_PATH = 107;

/** The path of a host that is a Unix socket, "unix:/run/hotset.sock"; null for any other. */
export function socketPath(host: string): string | null {
  return /^unix:(.*)$/is.exec(host)?.[1] ?? null;
}

/**
 * An address to listen on, without the brackets that URLs put around IPv6, or a Unix socket
 * ("unix:/run/hotset.sock").
 * @throws RequestError for anything else: a URL, a port, a relative path
 */
export function listenHost(text: string): string {
  const refuse = (why: string): RequestError =>
    new RequestError(
      `host, --host: ${JSON.stringify(text)} ${why}; expected an IP address or a name of this machine, 0.0.0.0 (:: with IPv6) for all, or unix:/path`,
    );
  const path = socketPath(text);
  if (path !== null) {
    if (!path.startsWith("/") || path.endsWith("/")) throw refuse("needs the absolute path of a socket");
    if (Buffer.byteLength(path) > LONGEST_PATH) throw refuse(`has a path of more than ${LONGEST_PATH} bytes`);
    return `unix:${path}`;
  }
  const host = text.trim().replace(/^\[(.*)\]$/, "$1");
  if (isIP(host)) return host;
  if (host === "") throw refuse("is empty");
  if (host === "*") throw refuse("is not an address");
  if (host.includes("://")) throw refuse("is a URL");
  if (host.includes("/")) throw refuse("is a path, which needs unix: in front");
  if (/:\d+$/.test(host)) throw refuse("has a port, which --port takes");
  if (/[\s:@[\]*]/.test(host)) throw refuse("is not a name");
  return host;
}

function oneHost(text: string): (name: string, port: string | null) => boolean {
  if (text === "*") return () => true;
  const refuse = (why: string): RequestError =>
    new RequestError(`hosts, --allow-host: ${JSON.stringify(text)} ${why}; expected ${FORMS}`);
  if (text === "") throw refuse("is empty");
  if (text.includes("/")) throw refuse("is a URL, a name is wanted");
  if (ADDRESS.test(text)) {
    const bare = text.replace(/^\[|\]$/g, "");
    return (name) => name.replace(/^\[|\]$/g, "") === bare;
  }
  const [, below, rest = "", wanted = null] = /^(\*\.)?(.*?)(?::(\d+|\*))?$/.exec(text) ?? [];
  if (wanted !== null && wanted !== "*" && Number(wanted) > 65_535) throw refuse("has a port that does not exist");
  const samePort = (port: string | null): boolean =>
    wanted === null || wanted === "*" || port === wanted || (port === null && DEFAULT_PORTS.includes(wanted));
  if (ADDRESS.test(rest)) return (name, port) => name === rest && samePort(port);
  if (rest.includes("*")) throw refuse("has a * that is not its first part");
  if (rest.startsWith(".")) throw refuse("begins with a dot");
  const ascii = domainToASCII(rest) || rest; // clients send names in other scripts encoded
  const wantedName = ascii.replace(/\.$/, "");
  if (!wantedName.split(".").every((label) => LABEL.test(label))) throw refuse("is not a name that a client can send");
  return (name, port) => samePort(port) && (below ? name.endsWith(`.${wantedName}`) : name === wantedName);
}
