// The part of the npm package safetensors 0.0.1, which ships no types, that the tests use as a
// second reader.
declare module "safetensors" {
  export class SafeTensor {
    constructor(file: Uint8Array);
    readonly metadata: Map<string, { dtype: string; shape: number[]; data_offsets: number[] }>;
    getTensor(name: string): Uint8Array;
  }
}
