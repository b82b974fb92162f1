// Tells systemd when the server is ready and when it stops, for units with Type=notify.

import { execFile } from "node:child_process";
import { promisify } from "node:util";

const TIMEOUT_MS = 10_000;

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
