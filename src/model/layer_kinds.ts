// Which layers of a model are of which kind, from the fields of config.json that several families
// share.

import type { Fields } from "./config.ts";
import type { LayerArchitecture } from "./family.ts";

/**
 * All layers: `sparse`, but for those that mlp_only_layers lists, and those whose number from 1 on
 * decoder_sparse_step does not divide, which are dense, without shared experts.
 */
export function withDense(c: Fields, depth: number, sparse: LayerArchitecture): readonly LayerArchitecture[] {
  const step = c.count("decoder_sparse_step", { otherwise: 1 });
  const listed = c.indices("mlp_only_layers", depth);
  const isDense = (i: number): boolean => (i + 1) % step !== 0 || listed.includes(i);
  const numbers = Array.from({ length: depth }, (_, i) => i);
  if (!numbers.some(isDense)) return numbers.map(() => sparse);
  if (numbers.every(isDense)) c.fail("decoder_sparse_step", "a layer with experts beside those of mlp_only_layers");
  const dense = { ...sparse, experts: null, dense: { intermediate: c.size("intermediate_size") }, shared: null };
  return numbers.map((i) => (isDense(i) ? dense : sparse));
}

/** layer_types: whether each layer has a window, or what `otherwise` says of it. */
export function windowed(c: Fields, depth: number, otherwise: (layer: number) => boolean): readonly boolean[] {
  const kinds = c.raw("layer_types");
  if (kinds == null) return Array.from({ length: depth }, (_, i) => otherwise(i));
  const known = ["sliding_attention", "full_attention"];
  if (!Array.isArray(kinds) || kinds.length !== depth || !kinds.every((kind) => known.includes(kind)))
    return c.fail("layer_types", `${depth} of ${known.join(" or ")}`);
  return kinds.map((kind) => kind === known[0]);
}

/** The same layers, of which some see only the last `window` positions. */
export function withWindows(
  layers: readonly LayerArchitecture[],
  window: number,
  has: readonly boolean[],
): readonly LayerArchitecture[] {
  return layers.map((layer, i) => (has[i] ? { ...layer, attention: { ...layer.attention!, window } } : layer));
}
