// The most that a GGUF file may claim: far above real files, far below what would hurt.

/** Key/value pairs; real files have some 50. */
export const MAX_KEYS = 65_536;
/** Tensors; real files have some 1,000, and 31,000 with a tensor an expert. */
export const MAX_TENSORS = 1_000_000;
/** Bytes before the data; vocabularies take 3 to 30 MB. */
export const MAX_METADATA = 256 * 2 ** 20;
/** Bytes of a tensor's name, as ggml has it. */
export const MAX_TENSOR_NAME = 63;
export const MAX_DIMS = 4;
export const MAX_ALIGNMENT = 2 ** 20;
export const DEFAULT_ALIGNMENT = 32;
/** Layers and experts of a model. */
export const MAX_LAYERS = 512;
export const MAX_EXPERTS = 1024;
/** Parts of a split model. */
export const MAX_PARTS = 4096;
/** Pairs of a head that RoPE turns. */
export const MAX_ROPE_FACTORS = 4096;
