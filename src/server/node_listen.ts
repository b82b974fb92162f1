// Listens on an address, a Unix socket, or one that is handed over, with errors that say what
// to do.

import { existsSync, lstatSync, unlinkSync } from "node:fs";
import type { Server } from "node:http";
import { type AddressInfo, connect, isIPv6 } from "node:net";
import { dirname } from "node:path";
import { RequestError } from "../errors.ts";
import { socketPath } from "./host_header.ts";

/**
 * Connections that wait to be accepted, as far as the system allows. With Node's 511 it drops those
 * of a thousand clients that come at once on a busy machine, and resets them later.
 */
const BACKLOG = 4096;

/**
 * Accepts connections of a socket that another program opened and listens on.
 * @param fd its descriptor in this process
 * @returns "127.0.0.1:8080", with brackets around IPv6; of a Unix socket, whose path is not known,
 *   "fd:3"
 * @throws RequestError where it is no such socket
 */
export async function takeOver(server: Server, fd: number): Promise<string> {
  try {
    await begin(server, { fd });
  } catch (error) {
    const { message } = error as Error;
    throw new RequestError(`descriptor ${fd}: expected a socket that listens for streams (${message})`);
  }
  const address = server.address() as AddressInfo | null;
  return address === null ? `fd:${fd}` : named(address);
}

/**
 * @param host an address, or "unix:/path"
 * @param port not used for a Unix socket
 * @returns "127.0.0.1:8080", with brackets around IPv6, or "unix:/path"
 * @throws RequestError where it cannot listen
 */
export async function listen(server: Server, host: string, port: number): Promise<string> {
  const path = socketPath(host);
  try {
    if (path === null) await begin(server, { host, port });
    else {
      if (await isLeftOver(path)) unlinkSync(path);
      await begin(server, { path });
    }
  } catch (error) {
    throw path === null
      ? cannotListen(error as NodeJS.ErrnoException, host, port)
      : cannotListenOn(error as NodeJS.ErrnoException, path);
  }
  if (path !== null) return host;
  return named({ address: host, port: (server.address() as AddressInfo).port });
}

type Where = { readonly host: string; readonly port: number } | { readonly path: string } | { readonly fd: number };

function begin(server: Server, where: Where): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ ...where, backlog: BACKLOG }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Whether a server that was killed has left this socket: it is one, and refuses connections. */
async function isLeftOver(path: string): Promise<boolean> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return false;
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.on("connect", () => {
      probe.destroy();
      resolve(false);
    });
    probe.on("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  });
}

function named({ address, port }: Pick<AddressInfo, "address" | "port">): string {
  return `${bracketed(address)}:${port}`;
}

function bracketed(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}

function cannotListenOn({ code, message }: NodeJS.ErrnoException, path: string): RequestError {
  if (code === "EADDRINUSE") {
    return new RequestError(`${path} is in use by another program, or is no socket; choose another path with --host`);
  }
  if (!existsSync(dirname(path))) {
    return new RequestError(`${path}: its folder does not exist; create it, or choose another path with --host`);
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new RequestError(`this user may not create ${path}; choose another path with --host`);
  }
  return new RequestError(`cannot listen on ${path}: ${message}`);
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): RequestError {
  const where = named({ address: host, port });
  if (error.code === "EADDRINUSE") {
    return new RequestError(`${where} is in use by another program; choose another port with --port`);
  }
  if (error.code === "EADDRNOTAVAIL" || error.code === "ENOTFOUND" || error.code === "EAI_AGAIN") {
    return new RequestError(
      `${host} is not an address of this machine; --host takes one of its addresses: 127.0.0.1 for this machine only, or 0.0.0.0 (:: with IPv6) for all`,
    );
  }
  if (error.code === "EACCES") {
    return new RequestError(`this user may not listen on ${where}; choose a port above 1023 with --port`);
  }
  return new RequestError(`cannot listen on ${where}: ${error.message}`);
}
