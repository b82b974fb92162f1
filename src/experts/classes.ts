// Groups layers by the shape of their experts: layers of one class share slots and a tier.

import type { ExpertShape } from "../tensor/record.ts";

export interface ExpertClass {
  readonly shape: ExpertShape;
  /** The model's layers with experts of this shape, ascending. A tier counts them from 0. */
  readonly layers: readonly number[];
}

/** The classes of a model's layers, in the order of their first layers. */
export function classesOf(shapes: readonly ExpertShape[]): ExpertClass[] {
  const classes = new Map<string, { readonly shape: ExpertShape; readonly layers: number[] }>();
  for (const [layer, shape] of shapes.entries()) {
    const { count, hidden, intermediate, up, down } = shape;
    const key = [count, hidden, intermediate, up.name, down.name].join(" ");
    const found = classes.get(key);
    if (found) found.layers.push(layer);
    else classes.set(key, { shape, layers: [layer] });
  }
  return [...classes.values()];
}

/** Values of the model's layers from those of each class's layers. */
export function byLayer<T>(classes: readonly ExpertClass[], values: readonly (readonly T[])[]): T[] {
  const all: T[] = [];
  for (const [c, { layers }] of classes.entries()) {
    for (const [i, layer] of layers.entries()) all[layer] = values[c]![i]!;
  }
  return all;
}
