// The page's entry: an engine, and the shell around it.

import { render } from "preact";
import { App } from "./app.tsx";
import { ForgetKey, KeyQuestion, keyRing } from "./keys.tsx";
import { remoteEngine } from "./remote/remote.ts";
import { applyTheme } from "./theme.ts";

applyTheme();
const keys = keyRing();
const engine = remoteEngine(document.baseURI, keys);
render(
  <>
    <App engine={engine}>
      <ForgetKey ring={keys} />
    </App>
    <KeyQuestion ring={keys} />
  </>,
  document.getElementById("page")!,
);
