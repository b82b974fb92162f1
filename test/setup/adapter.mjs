// Makes sure that the tests can have a WebGPU adapter: asks Dawn for one, and on Debian as root
// installs software ones.
//
// Nothing here makes the tests fail: where no adapter can be had, it says why and what to do, and
// the tests that need one are skipped by name (with CI=true they fail).

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

const SWIFTSHADER = "/usr/lib/chromium/vk_swiftshader_icd.json";
const APT_SOURCES = "/etc/apt/sources.list.d";

// In a process of its own: a Vulkan driver that crashes must not take the tests with it.
const PROBE = `
  const { create } = await import("webgpu").catch(() => process.exit(2));
  const gpu = create([]);
  process.exit((await gpu.requestAdapter()) ? 0 : 1);
`;

/**
 * What Dawn finds, SwiftShader of an installed Chromium included: "adapter", "none",
 * or "no package".
 */
function probe() {
  const env = existsSync(SWIFTSHADER) ? { ...process.env, VK_ADD_DRIVER_FILES: SWIFTSHADER } : process.env;
  const options = { env, cwd: new URL("../../", import.meta.url), stdio: "ignore", timeout: 60_000 };
  const { status } = spawnSync(process.execPath, ["--input-type=module", "-e", PROBE], options);
  return status === 0 ? "adapter" : status === 2 ? "no package" : "none";
}

/** "bookworm" on Debian 12; null on anything that is not Debian. */
function debianCodename() {
  if (!existsSync("/etc/os-release")) return null;
  const fields = Object.fromEntries(
    readFileSync("/etc/os-release", "utf8")
      .split("\n")
      .map((line) => line.replaceAll('"', "").split("=")),
  );
  return fields.ID === "debian" ? fields.VERSION_CODENAME : null;
}

function apt(...args) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const { status } = spawnSync("apt-get", ["-q", ...args], { env, stdio: ["ignore", 2, 2], timeout: 600_000 });
  return status === 0;
}

/** The text of every apt source that is in use. */
function aptSources() {
  const files = existsSync("/etc/apt/sources.list") ? ["/etc/apt/sources.list"] : [];
  for (const name of readdirSync(APT_SOURCES)) if (/\.(list|sources)$/.test(name)) files.push(`${APT_SOURCES}/${name}`);
  return files.map((file) => readFileSync(file, "utf8"));
}

/** Adds bookworm's backports from the mirror that this machine uses for the rest of Debian. */
function addBackports() {
  const texts = aptSources();
  if (texts.some((text) => /^[^#\n]*bookworm-backports/m.test(text))) return true;
  const mirror = texts
    .map(
      (text) => /^URIs:\s*(\S+\/debian\/?)\s*$/m.exec(text) ?? /^deb\s+(?:\[.*?\]\s+)?(\S+\/debian\/?)\s/m.exec(text),
    )
    .find((match) => match)?.[1];
  if (mirror === undefined) return false;
  const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
  const stanza = `Types: deb\nURIs: ${mirror}\nSuites: bookworm-backports\nComponents: main\nSigned-By: ${keyring}\n`;
  writeFileSync(`${APT_SOURCES}/hotset-backports.sources`, stanza);
  return true;
}

function installSoftwareAdapters(codename) {
  const backports = codename === "bookworm" && addBackports();
  const install = ["install", "-y", "--no-install-recommends"];
  if (!apt("update")) console.error("setup: apt-get update failed; trying with the package lists at hand");
  if (!apt(...install, "libvulkan1", "chromium")) console.error("setup: could not install libvulkan1 and chromium");
  // Bookworm's own Mesa (22.3) is too old for Dawn.
  const from = backports ? ["-t", "bookworm-backports"] : [];
  if (!apt(...install, ...from, "mesa-vulkan-drivers")) console.error("setup: could not install mesa-vulkan-drivers");
}

/** Firefox for the tests that run everything; without it they are skipped by name. */
function installFirefox() {
  if (process.env.CI !== "true" || ["/usr/bin/firefox-esr", "/usr/bin/firefox"].some(existsSync)) return;
  if (debianCodename() === null || process.getuid?.() !== 0) return;
  console.error("setup: installing firefox-esr");
  const install = ["install", "-y", "--no-install-recommends", "firefox-esr"];
  if (!apt(...install) && !(apt("update") && apt(...install))) console.error("setup: could not install firefox-esr");
}

/**
 * Where Dawn finds no adapter at all: installs software ones on Debian as root, else says how to
 * get one.
 */
export function ensureAdapter() {
  let found = probe();
  const codename = debianCodename();
  if (found === "none" && codename !== null && process.getuid?.() === 0) {
    console.error("setup: no WebGPU adapter; installing software ones (libvulkan1, chromium, mesa-vulkan-drivers)");
    installSoftwareAdapters(codename);
    found = probe();
  }
  installFirefox();
  if (found === "adapter") return;
  const remedy =
    found === "no package"
      ? "install the npm package webgpu (an optional dependency; it has no binary for every platform)"
      : codename === null
        ? "install a Vulkan driver (Mesa's lavapipe computes on the CPU: package mesa-vulkan-drivers on most systems)"
        : "run `npm test` once as root, or install libvulkan1, chromium and mesa-vulkan-drivers (on Debian 12 the last from bookworm-backports)";
  console.error(
    `setup: there is no WebGPU adapter, so the tests that need one will be skipped; to run them, ${remedy}`,
  );
}
