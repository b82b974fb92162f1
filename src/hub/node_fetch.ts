// fetch for downloads: through the proxies of the environment, and over HTTP/1.1, whose connections
// each have their own window. Node only.

import { RequestError } from "../errors.ts";

/**
 * The same as the global fetch, but that HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured in every
 * version of Node.
 * @throws RequestError for a proxy that is no address; the message does not quote it, because it
 * may have a password
 */
export async function downloadFetch(): Promise<typeof fetch> {
  const { EnvHttpProxyAgent, fetch: send } = await import("undici");
  const proxies = { httpProxy: proxyOf("HTTP_PROXY"), httpsProxy: proxyOf("HTTPS_PROXY") };
  const dispatcher = new EnvHttpProxyAgent({ ...proxies, allowH2: false });
  // undici's types are those of the newest Node: the same objects at run time.
  return ((input: string, init: object) => send(input, { ...init, dispatcher })) as unknown as typeof fetch;
}

/** The address in a variable, in small letters first, as curl reads it: "proxy:3128" is http. */
function proxyOf(name: string): string {
  const text = (process.env[name.toLowerCase()] ?? process.env[name] ?? "").trim();
  const address = text === "" || /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (address === "" || (URL.canParse(address) && /^https?:/i.test(address))) return address;
  throw new RequestError(
    `${name}: expected the address of a proxy, such as http://proxy.example:3128, found one of another form`,
  );
}
