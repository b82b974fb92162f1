// The map on a canvas: drawn at most once a frame, looked at by pointer or keys.

import type { JSX, TargetedPointerEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useStore } from "../store.ts";
import { theme } from "../theme.ts";
import { cellSize, type Palette, type Shades, shadesOf } from "./map.ts";

export interface MapProps {
  /** Of cells: L rows of E. */
  readonly width: number;
  readonly height: number;
  readonly label: string;
  /** Writes the cells; returns whether another frame is needed although nothing else happens. */
  readonly paint: (pixels: Uint32Array, shades: Shades) => boolean;
  /** Called with a function that asks for a frame. */
  readonly onReady?: (draw: () => void) => void;
  /** What is known of a cell. */
  readonly describe: (cell: number) => string;
}

/** Cells of so many pixels have lines between them. */
const LARGE = 8;

const VARIABLES: Palette = {
  places: ["--map-disk", "--map-ram", "--map-gpu", "--map-none"],
  lit: "--map-lit",
  less: "--map-less",
  more: "--map-more",
  same: "--map-same",
};

const STEPS: Readonly<Record<string, readonly [x: number, y: number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export function ExpertsMap({ width, height, label, paint, onReady, describe }: MapProps): JSX.Element {
  const frame = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const painted = useRef(paint);
  const [room, setRoom] = useState(0);
  const [cell, setCell] = useState<number | null>(null);
  const [said, setSaid] = useState("");
  const look = useStore(theme);
  painted.current = paint;
  const size = cellSize(width, height, room);

  useEffect(() => {
    const observer = new ResizeObserver(() => setRoom(frame.current?.clientWidth ?? 0));
    observer.observe(frame.current!);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const context = canvas.current!.getContext("2d")!;
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    let shades = shadesIn(canvas.current!);
    let asked = 0;
    const draw = (): void => {
      asked ||= requestAnimationFrame(() => {
        asked = 0;
        const again = painted.current(pixels, shades);
        context.putImageData(image, 0, 0);
        if (again) draw();
      });
    };
    const recolor = (): void => {
      shades = shadesIn(canvas.current!);
      draw();
    };
    dark.addEventListener("change", recolor);
    onReady?.(draw);
    draw();
    return () => {
      cancelAnimationFrame(asked);
      dark.removeEventListener("change", recolor);
    };
  }, [width, height, look]);

  useEffect(() => {
    if (cell === null) return;
    const say = (): void => setSaid(describe(cell));
    say();
    const timer = setInterval(say, 500);
    return () => clearInterval(timer);
  }, [cell, describe]);

  const at = (event: TargetedPointerEvent<HTMLCanvasElement>): number => {
    const box = event.currentTarget.getBoundingClientRect();
    const x = Math.min(width - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * width)));
    const y = Math.min(height - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * height)));
    return y * width + x;
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const [x, y] = cell === null ? [0, 0] : [cell % width, Math.floor(cell / width)];
    const far = event.shiftKey ? 8 : 1;
    const to = (now: number, by: number, most: number): number => Math.min(most - 1, Math.max(0, now + by * far));
    setCell(cell === null ? 0 : to(y, step[1], height) * width + to(x, step[0], width));
  };
  const marked = cell !== null && {
    left: `${(cell % width) * size.x}px`,
    top: `${Math.floor(cell / width) * size.y}px`,
    width: `${size.x}px`,
    height: `${size.y}px`,
  };
  return (
    <>
      <div class="map-frame" ref={frame}>
        <div
          class={size.x >= LARGE && size.y >= LARGE ? "map grid" : "map"}
          style={{
            width: `${width * size.x}px`,
            height: `${height * size.y}px`,
            "--cell": `${size.x}px ${size.y}px`,
          }}
        >
          <canvas
            ref={canvas}
            width={width}
            height={height}
            role="img"
            aria-label={label}
            tabIndex={0}
            onPointerMove={(event) => setCell(at(event))}
            onPointerDown={(event) => setCell(at(event))}
            onKeyDown={onKeyDown}
          />
          {marked && <span class="map-cell" style={marked} />}
        </div>
      </div>
      <p class="map-said" aria-live="polite">
        {cell === null
          ? "A row for each layer, a cell for each expert. Point at one, or move with the arrow keys (with Shift by eight)."
          : said}
      </p>
    </>
  );
}

/** The map's colours, as CSS has them now. */
function shadesIn(element: Element): Shades {
  const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })!;
  const probe = document.createElement("span");
  element.parentElement!.append(probe);
  const rgbOf = (name: string): [number, number, number] => {
    // Where a variable holds light-dark(), only a colour that is in use says which it is.
    probe.style.color = `var(${name})`;
    context.fillStyle = getComputedStyle(probe).color;
    context.fillRect(0, 0, 1, 1);
    const [r = 0, g = 0, b = 0] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b];
  };
  const shades = shadesOf(VARIABLES, rgbOf);
  probe.remove();
  return shades;
}
