// Which layers of a model are of which kind, from the fields of config.json that several families
// share.

import type { KvGeometry } from "../backend/ops.ts";
import type { Fields } from "./config.ts";
import type { Architecture, LayerArchitecture } from "./family.ts";

/**
 * The same layers, but for those that mlp_only_layers lists, and those whose number from 1 on
 * decoder_sparse_step does not divide: they are dense, without shared experts.
 */
export function withDense(c: Fields, layers: readonly LayerArchitecture[]): readonly LayerArchitecture[] {
  const depth = layers.length;
  const step = c.count("decoder_sparse_step", { otherwise: 1 });
  const listed = c.indices("mlp_only_layers", depth);
  const isDense = (i: number): boolean => (i + 1) % step !== 0 || listed.includes(i);
  const numbers = [...layers.keys()];
  if (!numbers.some(isDense)) return layers;
  if (numbers.every(isDense)) c.fail("decoder_sparse_step", "a layer with experts beside those of mlp_only_layers");
  const dense = { experts: null, dense: { intermediate: c.size("intermediate_size") }, shared: null };
  return layers.map((layer, i) => (isDense(i) ? { ...layer, ...dense } : layer));
}

interface KindRule<Kind> {
  /** The field that lists the kinds; by default layer_types. */
  readonly field?: string;
  readonly known: readonly Kind[];
  /** A kind that one layer must have. */
  readonly needed?: Kind;
  /** Each layer's kind where the field is absent; without it the field must be there. */
  readonly usual?: (layer: number) => Kind;
}

/** Each layer's kind, from a list in config.json. @throws WeightsError for an unfit list */
export function layerKinds<Kind extends string>(
  c: Fields,
  depth: number,
  { field = "layer_types", known, needed, usual }: KindRule<Kind>,
): readonly Kind[] {
  const kinds = c.raw(field) ?? (usual && Array.from({ length: depth }, (_, i) => usual(i)));
  const fits = Array.isArray(kinds) && kinds.length === depth && kinds.every((kind) => known.includes(kind));
  if (fits && (needed === undefined || kinds.includes(needed))) return kinds;
  const names = known.map((kind) => `"${kind}"${kind === needed ? " (once at least)" : ""}`);
  return c.fail(field, `a list of ${depth}, of ${names.join(" and ")}`);
}

/** layer_types: whether each layer has a window, or what `usual` says of it. */
export function windowed(c: Fields, depth: number, usual: (layer: number) => boolean): readonly boolean[] {
  const kinds = layerKinds(c, depth, {
    known: ["sliding_attention", "full_attention"],
    usual: (i) => (usual(i) ? "sliding_attention" : "full_attention"),
  });
  return kinds.map((kind) => kind === "sliding_attention");
}

/** The same layers, of which some see only the last `window` positions. */
export function withWindows(
  layers: readonly LayerArchitecture[],
  window: number,
  has: readonly boolean[],
): readonly LayerArchitecture[] {
  return layers.map((layer, i) => (has[i] ? { ...layer, attention: { ...layer.attention!, window } } : layer));
}

/** The longest window, and which of the layers with attention have one; undefined: none. */
export function windowsOf({ layers }: Pick<Architecture, "layers">): KvGeometry["windows"] {
  const all = layers.flatMap(({ attention }) => (attention ? [attention.window] : []));
  const positions = Math.max(0, ...all.map((window) => window ?? 0));
  return positions > 0 ? { positions, layers: all.map((window) => window !== null) } : undefined;
}
