// What runner.ts needs of node_modules: these packages have no others behind them.

export const RUNNER_PACKAGES = [
  "@vitest/runner",
  "@vitest/expect",
  "@vitest/spy",
  "@vitest/utils",
  "@vitest/pretty-format",
  "chai",
  "pathe",
  "tinyrainbow",
] as const;
