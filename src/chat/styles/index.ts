// The table of call styles. A new style is a file beside this one and a row here.

import { jsonStyle } from "./json.ts";
import { mistralStyle } from "./mistral.ts";
import type { CallStyle, ModelTraits } from "./style.ts";

/** In the order in which they are tried: each gives its style for a model that was trained on it, or null. */
const STYLES: readonly ((model: ModelTraits) => CallStyle | null)[] = [mistralStyle];

/** The style of a model; models that were trained on none get the JSON protocol, explained in their prompt. */
export function styleOf(model: ModelTraits): CallStyle {
  for (const styleFor of STYLES) {
    const style = styleFor(model);
    if (style !== null) return style;
  }
  return jsonStyle;
}
