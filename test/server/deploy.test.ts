import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { describe, expect, it, onTestFinished } from "vitest";
import { addServe } from "../../src/cli/serve.ts";
import { inRepo, titled } from "../support/fixtures.ts";

const FOLDER = "src/server/deploy";
const read = (file: string): string => readFileSync(inRepo(`${FOLDER}/${file}`), "utf8");
const files = readdirSync(inRepo(FOLDER));

function serveOptions(): string[] {
  const program = new Command();
  addServe(program, () => Promise.reject(new Error("not opened")));
  return program.commands[0]!.options.map((option) => option.name());
}

describe("src/server/deploy", () => {
  it("names options that exist, as variables and in the file of options", () => {
    const options = serveOptions();
    const variables = ["HOTSET_CACHE", ...options.map((name) => `HOTSET_${name.replaceAll("-", "_").toUpperCase()}`)];
    const named = files.flatMap((file) => [...read(file).matchAll(/\bHOTSET_\w+/g)].map(([name]) => name));
    expect(named.length).toBeGreaterThan(8);
    expect(named.filter((name) => !variables.includes(name))).toEqual([]);
    const config = /hotset\.json: \|\n((?: {4}.*\n)+)/.exec(read("kubernetes.yaml"))![1]!;
    expect(Object.keys(JSON.parse(config)).filter((name) => !options.includes(name))).toEqual([]);
  });

  it("probes paths that exist, and gives answers the time that they may take", () => {
    const yaml = read("kubernetes.yaml");
    expect([...yaml.matchAll(/path: (\/\w+)/g)].map(([, path]) => path)).toEqual(["/livez", "/livez", "/readyz"]);
    const drain = Number(/"drain": "(\d+)s"/.exec(yaml)?.[1]);
    const sleep = Number(/sleep: \{ seconds: (\d+) \}/.exec(yaml)?.[1]);
    expect(Number(/terminationGracePeriodSeconds: (\d+)/.exec(yaml)?.[1])).toBeGreaterThan(drain + sleep);
    const unit = read("hotset.service");
    const stop = Number(/TimeoutStopSec=(\d+)/.exec(unit)?.[1]);
    expect(stop).toBeGreaterThan(Number(/HOTSET_DRAIN=(\d+)s/.exec(unit)?.[1]));
  });

  it("copies into the image what the command needs, as the package has it", () => {
    const { bin } = JSON.parse(readFileSync(inRepo("package.json"), "utf8"));
    const dockerfile = read("Dockerfile");
    expect(dockerfile).toContain(`ENTRYPOINT ["node", "/hotset/${bin.hotset}"]`);
    expect(dockerfile).toMatch(/^RUN npm run build && npm pack .* package\/dist$/m);
    expect(dockerfile).toContain("COPY --from=build /hotset/package/dist ./dist\n");
  });

  const PROGRAMS: readonly (readonly [string, string, (folder: string) => string[]])[] = [
    ["haproxy.cfg", "/usr/sbin/haproxy", (folder) => ["-c", "-f", join(folder, "haproxy.cfg")]],
    ["nginx.conf", "/usr/sbin/nginx", (folder) => ["-t", "-q", "-p", folder, "-c", "main.conf"]],
    ["hotset.service", "/usr/bin/systemd-analyze", (folder) => ["verify", "--man=no", join(folder, "hotset.service")]],
    ["hotset.socket", "/usr/bin/systemd-analyze", (folder) => ["verify", "--man=no", join(folder, "hotset.socket")]],
  ];
  for (const [file, program, args] of PROGRAMS) {
    const skip = existsSync(program) ? null : `skipped: ${program} is not on this machine`;
    it.skipIf(skip !== null)(titled(`${file}: ${program} has nothing to say`, skip), () => {
      const folder = mkdtempSync(join(tmpdir(), "hotset-test-"));
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
      // Places and programs that every machine has.
      for (const name of files) {
        const text = read(name)
          .replace("bind :80", `bind unix@${folder}/s`)
          .replace("listen 80;", `listen unix:${folder}/s;`);
        writeFileSync(join(folder, name), text.replaceAll("/usr/bin/hotset", "/bin/true"));
      }
      writeFileSync(
        join(folder, "main.conf"),
        "pid nginx.pid; error_log stderr; events {} http { include nginx.conf; }",
      );
      const said = execFileSync(program, args(folder), { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
      expect(said.replace("Configuration file is valid\n", "")).toBe("");
    });
  }
});
