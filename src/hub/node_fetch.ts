// fetch for downloads: through the proxies of the environment, and over HTTP/1.1, whose connections
// each have their own window. Node only.

/**
 * The same as the global fetch, but that HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured in every
 * version of Node.
 */
export async function downloadFetch(): Promise<typeof fetch> {
  const { EnvHttpProxyAgent, fetch: send } = await import("undici");
  const dispatcher = new EnvHttpProxyAgent({ allowH2: false });
  // undici's types are those of the newest Node: the same objects at run time.
  return ((input: string, init: object) => send(input, { ...init, dispatcher })) as unknown as typeof fetch;
}
