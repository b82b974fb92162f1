// The table of call styles. A new style is a file beside this one and a row here.

import { deepseekStyle } from "./deepseek.ts";
import { glmStyle } from "./glm.ts";
import { graniteStyle } from "./granite.ts";
import { harmonyStyle } from "./harmony.ts";
import { jsonStyle } from "./json.ts";
import { lfm2Style } from "./lfm2.ts";
import { minimaxStyle } from "./minimax.ts";
import { mistralStyle } from "./mistral.ts";
import { qwenJsonStyle } from "./qwen_json.ts";
import { qwenXmlStyle } from "./qwen_xml.ts";
import type { CallStyle, ModelTraits } from "./style.ts";

/** Tried in this order: each returns its style if the model was trained on it, else null. */
const STYLES: readonly ((model: ModelTraits) => CallStyle | null)[] = [
  mistralStyle,
  harmonyStyle,
  deepseekStyle,
  graniteStyle,
  minimaxStyle,
  lfm2Style,
  glmStyle,
  qwenXmlStyle,
  qwenJsonStyle,
];

/**
 * The style of a model. A model trained on none of them gets the JSON protocol, which
 * its prompt explains.
 */
export function styleOf(model: ModelTraits): CallStyle {
  for (const styleFor of STYLES) {
    const style = styleFor(model);
    if (style !== null) return style;
  }
  return jsonStyle;
}
