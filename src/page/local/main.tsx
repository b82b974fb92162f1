// The entry of the page that computes itself.

import { render } from "preact";
import { App } from "../app.tsx";
import { PANELS } from "../panels.ts";
import { applyTheme } from "../theme.ts";
import { localEngine } from "./engine.ts";
import { becomeIsolated } from "./isolation.ts";
import { openPanel } from "./panel.tsx";

applyTheme();
const missing = await becomeIsolated();
const engine = localEngine({ script: new URL("engine.js", document.baseURI) });
const hub = document.querySelector<HTMLMetaElement>('meta[name="hotset-hub"]')?.content;
render(
  <App engine={engine} all={[openPanel(engine, { missing, ...(hub && { hub }) }), ...PANELS]} />,
  document.getElementById("page")!,
);
// For people at the console.
Object.assign(globalThis, { hotset: engine });
