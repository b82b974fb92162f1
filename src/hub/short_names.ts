// Short names of popular models: quantized files that most machines can run.

/** Short name -> model. A tag after the name (`mixtral:Q8_0`) replaces the one here. */
export const SHORT_NAMES: Readonly<Record<string, { readonly repo: string; readonly tag: string }>> = {
  mixtral: { repo: "TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF", tag: "Q4_K_M" },
  "qwen3-30b": { repo: "Qwen/Qwen3-30B-A3B-GGUF", tag: "Q4_K_M" },
  "qwen3.6-35b": { repo: "unsloth/Qwen3.6-35B-A3B-GGUF", tag: "UD-Q4_K_M" },
  "qwen3-next-80b": { repo: "unsloth/Qwen3-Next-80B-A3B-Instruct-GGUF", tag: "Q4_K_M" },
  "gpt-oss-20b": { repo: "ggml-org/gpt-oss-20b-GGUF", tag: "mxfp4" },
  "gpt-oss-120b": { repo: "ggml-org/gpt-oss-120b-GGUF", tag: "mxfp4" },
  "glm-4.7-flash": { repo: "unsloth/GLM-4.7-Flash-GGUF", tag: "Q4_K_M" },
  "lfm2-8b": { repo: "LiquidAI/LFM2-8B-A1B-GGUF", tag: "Q4_K_M" },
  olmoe: { repo: "allenai/OLMoE-1B-7B-0924-Instruct-GGUF", tag: "Q4_K_M" },
  "deepseek-v2-lite": { repo: "mradermacher/DeepSeek-V2-Lite-Chat-GGUF", tag: "Q4_K_M" },
};

/** For errors. */
export const A_SHORT_NAME = `a short name (${Object.keys(SHORT_NAMES).join(", ")})`;
