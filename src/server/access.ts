// Access from web pages: only from allowed origins, and only under host names that belong
// to this machine.
//
// A page anywhere can make its visitor's browser send requests to localhost, and by pointing its
// own name at 127.0.0.1 (DNS rebinding) it can read the answers too. The browser cannot be made to
// lie about Host and Origin.

import { HttpError } from "./errors.ts";
import { hostCheck, splitHost } from "./host_header.ts";

/** Checks the Host and Origin headers of requests. */
export interface AccessCheck {
  /** @throws HttpError 403 */
  check(headers: Headers, url: string): void;
  /** Whether a page of this origin may use the server. */
  allows(origin: string): boolean;
}

/**
 * Names that cannot be owned on the internet: ".internal" is reserved for private networks;
 * containers use it for their host.
 */
const LOCAL = /^(localhost|.+\.localhost|.+\.internal)$/;
const IP = /^(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+(%[\w.-]+)?\])$/;

/**
 * Origins on this machine: other programs' pages (such as a chat front end on its own port), and
 * applications made of pages. The same as Ollama allows. No page of the internet can have one of
 * them; nor is "null" allowed, which sandboxed pages have.
 */
const LOCAL_ORIGIN =
  /^(https?:\/\/(localhost|[^/:]+\.localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(:\d+)?|(app|file|tauri|vscode-webview|vscode-file):\/\/.*)$/;

/**
 * @param hosts names besides localhost and IP addresses (host_header.ts). A literal address needs
 * no DNS, so it cannot be rebound.
 * @throws RequestError for a host that cannot match
 */
export function createAccessCheck(origins: readonly string[], hosts: readonly string[]): AccessCheck {
  const named = hostCheck(hosts);
  const listed = new Set(origins.map((origin) => origin.toLowerCase().replace(/\/$/, "")));
  const allows = (origin: string): boolean =>
    listed.has("*") || listed.has(origin.toLowerCase()) || LOCAL_ORIGIN.test(origin.toLowerCase());
  return {
    allows,
    check(headers, url) {
      const host = (headers.get("host") ?? new URL(url).host).toLowerCase();
      const { name } = splitHost(host);
      if (!LOCAL.test(name) && !IP.test(name) && !named(host)) {
        const found = JSON.stringify(host);
        throw new HttpError(403, `this server is not known as ${found}; \`hotset serve --allow-host\` allows a name`);
      }
      const origin = headers.get("origin");
      if (origin === null || allows(origin) || sameHost(origin, host)) return;
      // The browser says so itself, about the host that the page used; a gateway may have replaced
      // the Host header.
      if (headers.get("sec-fetch-site") === "same-origin") return;
      const found = JSON.stringify(origin);
      throw new HttpError(
        403,
        `web pages of ${found} may not use this server; \`hotset serve --cors\` allows an origin`,
      );
    },
  };
}

/**
 * Whether a page comes from this server: by http, or by https through a gateway
 * that terminates TLS.
 */
function sameHost(origin: string, host: string): boolean {
  const { name, port } = splitHost(host);
  return ["http", "https"].some((scheme) => {
    const usual = scheme === "http" ? "80" : "443";
    const own = `${scheme}://${name}${port === null || port === usual ? "" : `:${port}`}`;
    return origin.toLowerCase() === own;
  });
}
