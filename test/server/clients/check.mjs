// The official clients, unmodified, against a running server: chat, stream, a tool round trip, JSON
// schema, abort, errors. Run by run.mjs, in a folder where the clients are installed.

await import("./openai.mjs");
await import("./openai_responses.mjs");
await import("./anthropic.mjs");
await import("./mistral.mjs");
await import("./openrouter.mjs");
await import("./vercel.mjs");
await import("./langchain.mjs");
await import("./llamaindex.mjs");
await import("./ollama.mjs");
const { failed, passed } = await import("./support.mjs");

console.log(`${passed} checks passed, ${failed === 0 ? "all clients were content" : `${failed} failed`}`);
process.exit(failed === 0 ? 0 : 1);
