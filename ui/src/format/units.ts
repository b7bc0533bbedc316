/** Canonical values as people read them. A value that is absent is a dash, never zero. */

export const absent = "—";

/** A number and its unit apart, so that pages can set them in different type. */
export interface Shown {
  text: string;
  unit: string;
}

const nothing: Shown = { text: absent, unit: "" };

/** canonical is a value in the canonical unit; NaN, null and undefined are absent. */
export function show(canonical: number | null | undefined, unit: string): Shown {
  if (canonical === null || canonical === undefined || !Number.isFinite(canonical)) return nothing;
  switch (unit) {
    case "ratio":
      return { text: fixed(canonical * 100, 0), unit: "%" };
    case "bytes":
      return binary(canonical, "B");
    case "bytes_per_second":
      return binary(canonical, "B/s");
    case "celsius":
      return { text: fixed(canonical, 0), unit: "°C" };
    case "watts":
      return Math.abs(canonical) >= 10_000 ? decimal(canonical, "W") : { text: fixed(canonical, 0), unit: "W" };
    case "hertz":
      return { text: fixed(canonical / 1e6, 0), unit: "MHz" };
    case "joules":
      return decimal(canonical, "J");
    case "seconds":
      return { text: fixed(canonical, canonical < 10 ? 1 : 0), unit: "s" };
    case "rpm":
      return { text: fixed(canonical, 0), unit: "rpm" };
    case "bool":
      return { text: canonical === 0 ? "no" : "yes", unit: "" };
    case "bits":
      return { text: `0x${Math.trunc(canonical).toString(16)}`, unit: "" };
    default:
      return { text: plain(canonical), unit: "" };
  }
}

/** Number and unit in one text: "41 °C". */
export function showText(canonical: number | null | undefined, unit: string): string {
  const s = show(canonical, unit);
  return s.unit === "" ? s.text : `${s.text} ${s.unit}`;
}

function fixed(v: number, digits: number): string {
  // -0.2 without digits would be "-0".
  const rounded = Number(v.toFixed(digits)) || 0;
  return rounded.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const binaryPrefixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi"];
const decimalPrefixes = ["", "k", "M", "G", "T", "P"];

function binary(v: number, unit: string): Shown {
  return scaled(v, 1024, binaryPrefixes, unit);
}

function decimal(v: number, unit: string): Shown {
  return scaled(v, 1000, decimalPrefixes, unit);
}

function scaled(v: number, base: number, prefixes: string[], unit: string): Shown {
  let i = 0;
  let x = v;
  // 999.5 would be written as 1000: that is the next prefix's 1.
  while (Math.abs(x) >= base - 0.5 && i < prefixes.length - 1) {
    x /= base;
    i++;
  }
  const digits = i === 0 || Math.abs(x) >= 100 ? 0 : 1;
  return { text: fixed(x, digits), unit: `${prefixes[i] ?? ""}${unit}` };
}

/** A number with as many digits as serve: 12,345 and 0.0123. */
export function plain(v: number | null | undefined): string {
  if (v === null || v === undefined || !Number.isFinite(v)) return absent;
  const whole = Number.isInteger(v) || Math.abs(v) >= 1000;
  return v.toLocaleString("en", whole ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 });
}

/** How a chart's axis shows a unit: by what to divide, and what stands beside the numbers. */
export function axisUnit(unit: string, most: number): { divisor: number; unit: string } {
  switch (unit) {
    case "ratio":
      return { divisor: 0.01, unit: "%" };
    case "celsius":
      return { divisor: 1, unit: "°C" };
    case "hertz":
      return { divisor: 1e6, unit: "MHz" };
    case "watts":
      return { divisor: 1, unit: "W" };
    case "bytes":
    case "bytes_per_second": {
      const i = Math.min(5, Math.max(0, Math.floor(Math.log2(Math.max(1, most)) / 10)));
      return { divisor: 1024 ** i, unit: `${binaryPrefixes[i] ?? ""}B${unit === "bytes" ? "" : "/s"}` };
    }
    case "joules": {
      const i = Math.min(5, Math.max(0, Math.floor(Math.log10(Math.max(1, most)) / 3)));
      return { divisor: 1000 ** i, unit: `${decimalPrefixes[i] ?? ""}J` };
    }
    case "seconds":
      return { divisor: 1, unit: "s" };
    default:
      return { divisor: 1, unit: "" };
  }
}
