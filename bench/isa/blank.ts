// Weights that hold nothing: a model's shapes in a format, for a device that reads none of them.

import { FORMATS } from "../../kernels/formats/index.ts";
import type { ModelSources } from "../../src/model/family.ts";
import { type Format, panelLayout } from "../../src/tensor/format.ts";
import { recordLayout } from "../../src/tensor/record.ts";
import type { ExpertSource, MatrixSource, StoredBytes } from "../../src/tensor/types.ts";

/** The model's sources as if all of its matrices were stored in `format`. Nothing is read. */
export function blankSources({ embed, norm, head, layers }: ModelSources, format: Format): ModelSources {
  const matrix = (source: MatrixSource) => blank(source, format);
  return {
    embed: matrix(embed),
    norm: matrix(norm),
    head: head && matrix(head),
    layers: layers.map((layer) => ({
      ...layer,
      attnNorm: matrix(layer.attnNorm),
      qkv: layer.qkv.length > 0 ? [matrix(stacked(layer.qkv))] : [],
      wo: matrix(layer.wo),
      ffnNorm: matrix(layer.ffnNorm),
      gate: layer.gate && blank(layer.gate, FORMATS.f32),
      experts: layer.experts.map((expert) => blankExpert(expert, format)),
      ffn: layer.ffn && {
        ...blankExpert(layer.ffn, format),
        gate: layer.ffn.gate && blank(layer.ffn.gate, FORMATS.f32),
      },
    })),
  };
}

const nothing = (bytes: number): StoredBytes => ({ bytes, read: async () => {} });

function blank({ name, rows, cols }: MatrixSource, format: Format): MatrixSource {
  const panels = { format, ...nothing(panelLayout(format, rows, cols).bytes) };
  return { name, rows, cols, format, panels, readRows: async () => {} };
}

/** One matrix of the rows of all. */
function stacked(parts: readonly MatrixSource[]): MatrixSource {
  return { ...parts[0]!, rows: parts.reduce((sum, { rows }) => sum + rows, 0) };
}

function blankExpert({ w1, w3, w2 }: ExpertSource, format: Format): ExpertSource {
  const shape = { hidden: w1.cols, intermediate: w1.rows, up: format, down: format };
  const record = { up: format, down: format, ...nothing(recordLayout(shape).bytes) };
  return { w1: blank(w1, format), w3: blank(w3, format), w2: blank(w2, format), record };
}
