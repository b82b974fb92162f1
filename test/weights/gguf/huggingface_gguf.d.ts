// What the tests use of @huggingface/gguf.

declare module "@huggingface/gguf" {
  export function gguf(
    path: string,
    options: { allowLocalFile: true },
  ): Promise<{
    metadata: Record<string, unknown>;
    tensorInfos: { name: string; n_dims: number; shape: bigint[]; dtype: number; offset: bigint }[];
    tensorDataOffset: bigint;
  }>;
}
