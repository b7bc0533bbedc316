/** Colours that canvases need, read from the theme's custom properties. */

export interface Palette {
  /** From the least to the most; lightness runs one way, so it reads without hue too. */
  scale: readonly string[];
  /** Text on each colour of the scale. */
  onScale: readonly string[];
  text: string;
  muted: string;
  line: string;
  panel: string;
  hot: string;
  quiet: string;
  focus: string;
  lines: readonly string[];
}

/** Lightness rises from dark blue to yellow: dark is little, on a dark page. */
const dark: readonly [number, number, number][] = [
  [30, 38, 66], [38, 60, 110], [31, 92, 140], [24, 126, 146], [49, 158, 132], [118, 187, 101], [190, 211, 84], [250, 230, 110],
];
/** The same way turned round: pale is little, on a light page. */
const light: readonly [number, number, number][] = [
  [214, 222, 233], [184, 212, 224], [140, 193, 207], [86, 164, 187], [44, 128, 168], [34, 96, 150], [38, 68, 128], [36, 42, 98],
];

const steps = 64;

/** Reads the palette of the theme that is set on the root element now. */
export function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const v = (name: string) => style.getPropertyValue(name).trim();
  const isLight = v("--theme") === "light";
  const colours = ramp(isLight ? light : dark);
  return {
    scale: colours.map(css),
    onScale: colours.map((c) => (luminance(c) > 0.26 ? "#0b1018" : "#f4f7fb")),
    text: v("--text"),
    muted: v("--muted"),
    line: v("--line"),
    panel: v("--panel"),
    hot: v("--hot"),
    quiet: v("--quiet"),
    focus: v("--focus"),
    lines: [1, 2, 3, 4, 5, 6, 7, 8].map((i) => v(`--line-${i}`)),
  };
}

/** Place on the scale of a value within [least, most]; -1 if it is absent. */
export function scaleIndex(value: number, least: number, most: number): number {
  if (Number.isNaN(value)) return -1;
  if (most <= least) return 0;
  const share = Math.min(1, Math.max(0, (value - least) / (most - least)));
  return Math.round(share * (steps - 1));
}

/** A CSS gradient of the scale, from left to right. */
export function gradient(p: Palette): string {
  const stops = [0, 9, 18, 27, 36, 45, 54, 63].map((i) => p.scale[i] ?? "");
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

type Rgb = [number, number, number];

function ramp(stops: readonly Rgb[]): Rgb[] {
  return Array.from({ length: steps }, (_, i) => {
    const at = (i / (steps - 1)) * (stops.length - 1);
    const a = stops[Math.floor(at)] ?? [0, 0, 0];
    const b = stops[Math.ceil(at)] ?? a;
    const t = at % 1;
    return [0, 1, 2].map((k) => (a[k] ?? 0) + ((b[k] ?? 0) - (a[k] ?? 0)) * t) as Rgb;
  });
}

const css = (c: Rgb) => `rgb(${c.map(Math.round).join(" ")})`;

/** Relative luminance as WCAG defines it. */
function luminance(c: Rgb): number {
  const [r, g, b] = c.map((x) => {
    const s = x / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * (r ?? 0) + 0.7152 * (g ?? 0) + 0.0722 * (b ?? 0);
}
