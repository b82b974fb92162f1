// What systemd and the server tell each other: when it is ready and when it stops (Type=notify),
// and the socket that systemd listens on for it.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { RequestError } from "../errors.ts";

const TIMEOUT_MS = 10_000;
/** The first descriptor that is handed on, as sd_listen_fds(3) has it. */
const FIRST_FD = 3;

/**
 * The descriptor of the socket that the service manager listens on for this process (LISTEN_FDS);
 * null if there is none.
 * @throws RequestError if there are several
 */
export function handedSocket(): number | null {
  const { LISTEN_FDS, LISTEN_PID } = process.env;
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(process.pid)) return null;
  if (LISTEN_FDS === "1") return FIRST_FD;
  throw new RequestError(
    `LISTEN_FDS: expected one socket, found ${LISTEN_FDS}; leave one ListenStream= in the socket unit`,
  );
}

/**
 * Sends a state to the service manager that started this process, if it asked for that
 * (NOTIFY_SOCKET). Node has no datagram sockets in the file system, so the program systemd-notify
 * sends it, for which the unit needs NotifyAccess=all.
 * @returns null, or why it could not be sent
 */
export async function notifySystemd(state: "READY=1" | "STOPPING=1", status: string): Promise<string | null> {
  if (!process.env.NOTIFY_SOCKET) return null;
  try {
    await promisify(execFile)("systemd-notify", [state, `STATUS=${status}`], { timeout: TIMEOUT_MS });
    return null;
  } catch (error) {
    return `systemd was not told ${state}: ${(error as Error).message.trim().replace(/\s*\n\s*/g, " ")}`;
  }
}
