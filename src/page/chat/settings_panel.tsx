// The parameters of a conversation: presets, system message, sampling, stops, format, tools.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { ParameterName, ParameterRule } from "../engine.ts";
import type { Kind } from "./conversation.ts";
import { usePresets } from "./presets.ts";
import { FORMAT_EXAMPLES, FORMAT_NAMES, FORMATS, PRESETS, type Settings, TOOL_EXAMPLE } from "./settings.ts";

interface Control {
  readonly label: string;
  readonly help: string;
  /** Where the slider ends; the number beside it takes all that the engine takes. */
  readonly slider?: readonly [min: number, max: number];
  readonly step: number;
}

const CONTROLS: Readonly<Record<ParameterName, Control>> = {
  temperature: {
    label: "Temperature",
    help: "0 takes the likeliest token; higher is more varied",
    slider: [0, 2],
    step: 0.05,
  },
  max_tokens: { label: "Max tokens", help: "The answer ends here at the latest", step: 1 },
  top_p: {
    label: "Top-p",
    help: "Only the likeliest tokens that reach this share together; 1 is off",
    slider: [0, 1],
    step: 0.01,
  },
  top_k: { label: "Top-k", help: "Only this many likeliest tokens; 0 is off", slider: [0, 200], step: 1 },
  min_p: {
    label: "Min-p",
    help: "Only tokens at least this share as likely as the likeliest; 0 is off",
    slider: [0, 1],
    step: 0.01,
  },
  repetition_penalty: {
    label: "Repetition penalty",
    help: "Above 1, tokens that were there are less likely; 1 is off",
    slider: [0.5, 2],
    step: 0.01,
  },
  frequency_penalty: {
    label: "Frequency penalty",
    help: "Less likely with each time that a token was written; 0 is off",
    slider: [-2, 2],
    step: 0.05,
  },
  presence_penalty: {
    label: "Presence penalty",
    help: "Less likely once a token was written; 0 is off",
    slider: [-2, 2],
    step: 0.05,
  },
  seed: { label: "Seed", help: "The same seed gives the same answer", step: 1 },
};
const ORDER = Object.keys(CONTROLS) as readonly ParameterName[];

export interface SettingsPanelProps {
  readonly kind: Kind;
  readonly settings: Settings;
  readonly rules: readonly ParameterRule[];
  readonly change: (settings: Partial<Settings>) => void;
}

export function SettingsPanel({ kind, settings, rules, change }: SettingsPanelProps): JSX.Element {
  const set = (name: ParameterName, value: number | null): void => {
    const { [name]: _, ...rest } = settings.sampling;
    change({ sampling: value === null ? rest : { ...rest, [name]: value } });
  };
  return (
    <div class="settings">
      <h2 class="hidden">Parameters</h2>
      <PresetPicker settings={settings} change={change} />
      {kind === "chat" && (
        <label class="field">
          System message
          <textarea
            rows={3}
            value={settings.system}
            placeholder="None"
            onInput={(event) => change({ system: event.currentTarget.value })}
          />
        </label>
      )}
      {ORDER.map((name) => {
        const rule = rules.find((one) => one.name === name);
        if (rule === undefined) return null;
        return <Parameter key={name} rule={rule} value={settings.sampling[name]} set={(value) => set(name, value)} />;
      })}
      <Stops stop={settings.stop} change={(stop) => change({ stop })} />
      <label class="check">
        <input
          type="checkbox"
          checked={settings.probabilities}
          onChange={(event) => change({ probabilities: event.currentTarget.checked })}
        />
        <span>
          Show probabilities{" "}
          <small class="quiet">each token with its alternatives; choose another and go on from there</small>
        </span>
      </label>
      <FormatField settings={settings} change={change} />
      {kind === "chat" && <ToolsField settings={settings} change={change} />}
    </div>
  );
}

type FieldProps = Pick<SettingsPanelProps, "settings" | "change">;

function PresetPicker({ settings, change }: FieldProps): JSX.Element {
  const { presets, keep, drop } = usePresets();
  const [name, setName] = useState("");
  const all = [...PRESETS, ...presets];
  const same = all.find(
    ({ system, sampling }) =>
      system === settings.system && JSON.stringify(sampling) === JSON.stringify(settings.sampling),
  );
  const own = presets.some((preset) => preset.name === same?.name);
  return (
    <>
      <label class="field">
        Preset
        <select
          value={same?.name ?? ""}
          onChange={(event) => {
            const preset = all.find((one) => one.name === event.currentTarget.value);
            if (preset) change({ system: preset.system, sampling: preset.sampling });
          }}
        >
          {same === undefined && <option value="">Your own</option>}
          {all.map((preset) => (
            <option key={preset.name} value={preset.name}>
              {preset.name}
            </option>
          ))}
        </select>
      </label>
      {own && (
        <button type="button" class="quiet-button" onClick={() => drop(same!.name)}>
          Delete this preset
        </button>
      )}
      {same === undefined && (
        <form
          class="row"
          onSubmit={(event) => {
            event.preventDefault();
            if (name.trim() === "" || PRESETS.some((preset) => preset.name === name.trim())) return;
            keep({ name: name.trim(), system: settings.system, sampling: settings.sampling });
            setName("");
          }}
        >
          <input
            aria-label="Name of a new preset"
            placeholder="Save as a preset"
            maxLength={60}
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
          <button type="submit" disabled={name.trim() === ""}>
            Save
          </button>
        </form>
      )}
    </>
  );
}

interface ParameterProps {
  readonly rule: ParameterRule;
  readonly value: number | undefined;
  /** Null: the engine's own. */
  readonly set: (value: number | null) => void;
}

function Parameter({ rule, value, set }: ParameterProps): JSX.Element {
  const { label, help, slider, step } = CONTROLS[rule.name];
  const usual = rule.default === null ? "auto" : String(rule.default);
  const id = `parameter-${rule.name}`;
  const take = (text: string): void => {
    const number = Number(text);
    if (text.trim() === "") set(null);
    else if (Number.isFinite(number))
      set(Math.min(rule.max, Math.max(rule.min, rule.integer ? Math.round(number) : number)));
  };
  return (
    <div class="parameter">
      <label for={id} title={help}>
        {label}
      </label>
      <input
        id={id}
        type="number"
        min={rule.min}
        max={rule.max}
        step={rule.integer ? 1 : "any"}
        placeholder={usual}
        value={value ?? ""}
        aria-describedby={`${id}-help`}
        onChange={(event) => take(event.currentTarget.value)}
      />
      {slider && (
        <input
          type="range"
          aria-label={label}
          min={Math.max(slider[0], rule.min)}
          max={Math.min(slider[1], rule.max)}
          step={step}
          value={value ?? rule.default ?? slider[0]}
          class={value === undefined ? "unset" : ""}
          onInput={(event) => take(event.currentTarget.value)}
        />
      )}
      {value !== undefined && (
        <button
          type="button"
          class="icon reset"
          aria-label={`${label}: back to ${usual}`}
          title={`Back to ${usual}`}
          onClick={() => set(null)}
        >
          {"\u21BA"}
        </button>
      )}
      <small id={`${id}-help`} class="quiet help">
        {help}
      </small>
    </div>
  );
}

function Stops({
  stop,
  change,
}: {
  readonly stop: readonly string[];
  readonly change: (stop: readonly string[]) => void;
}): JSX.Element {
  const written = stop.map((text) => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")).join("\n");
  return (
    <label class="field">
      <span>
        Stop texts <small class="quiet">one a line; \n is a line's end</small>
      </span>
      <textarea
        rows={2}
        value={written}
        onChange={(event) => {
          const lines = event.currentTarget.value.split("\n").filter((line) => line !== "");
          change(lines.map((line) => line.replace(/\\([n\\])/g, (_, sign) => (sign === "n" ? "\n" : "\\"))));
        }}
      />
    </label>
  );
}

function FormatField({ settings, change }: FieldProps): JSX.Element {
  const { format, formatText } = settings;
  const example = FORMAT_EXAMPLES[format];
  return (
    <>
      <label class="field">
        Answer format
        <select
          value={format}
          onChange={(event) => {
            const next = FORMATS.find((one) => one === event.currentTarget.value) ?? "text";
            change({ format: next, formatText: FORMAT_EXAMPLES[next] });
          }}
        >
          {FORMATS.map((one) => (
            <option key={one} value={one}>
              {FORMAT_NAMES[one]}
            </option>
          ))}
        </select>
      </label>
      {example !== "" && (
        <textarea
          class="mono"
          rows={Math.min(12, Math.max(2, formatText.split("\n").length))}
          aria-label={FORMAT_NAMES[format]}
          spellcheck={false}
          value={formatText}
          onInput={(event) => change({ formatText: event.currentTarget.value })}
        />
      )}
    </>
  );
}

function ToolsField({ settings: { tools }, change }: FieldProps): JSX.Element {
  return (
    <details class="tools" open={tools !== ""}>
      <summary>Tools</summary>
      <textarea
        class="mono"
        rows={Math.min(14, Math.max(3, tools.split("\n").length))}
        aria-label="Tools, a JSON list of functions"
        spellcheck={false}
        placeholder='[{"name": "get_weather", "parameters": {...}}]'
        value={tools}
        onInput={(event) => change({ tools: event.currentTarget.value })}
      />
      {tools === "" && (
        <button type="button" class="quiet-button" onClick={() => change({ tools: TOOL_EXAMPLE })}>
          Put in an example
        </button>
      )}
    </details>
  );
}
