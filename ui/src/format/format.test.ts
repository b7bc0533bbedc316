import { expect, test } from "vitest";

import { compareMetrics, metricTitle } from "./metrics";
import { ago, duration, parseTime } from "./time";
import { axisUnit, plain, showText } from "./units";

test.each([
  [0.29, "ratio", "29 %"],
  [0, "ratio", "0 %"],
  [-0.001, "ratio", "0 %"],
  [85_899_345_920, "bytes", "80.0 GiB"],
  [1023.6, "bytes", "1.0 KiB"],
  [0, "bytes", "0 B"],
  [41.4, "celsius", "41 °C"],
  [598.8, "watts", "599 W"],
  [21_900, "watts", "21.9 kW"],
  [1_980_000_000, "hertz", "1,980 MHz"],
  [478_567_033, "joules", "479 MJ"],
  [79, "code", "79"],
  [6, "bits", "0x6"],
  [1, "bool", "yes"],
  [0.01234, "", "0.0123"],
  [NaN, "watts", "—"],
  [undefined, "ratio", "—"],
  [null, "bytes", "—"],
])("%f %s is %s", (value, unit, text) => {
  expect(showText(value, unit)).toBe(text);
});

test("plain numbers and axes", () => {
  expect(plain(1_234_567.8)).toBe("1,234,568");
  expect(plain(undefined)).toBe("—");
  expect(axisUnit("ratio", 1)).toEqual({ divisor: 0.01, unit: "%" });
  expect(axisUnit("bytes", 80 * 2 ** 30)).toEqual({ divisor: 2 ** 30, unit: "GiB" });
  expect(axisUnit("bytes_per_second", 0)).toEqual({ divisor: 1, unit: "B/s" });
  expect(axisUnit("hertz", 2e9)).toEqual({ divisor: 1e6, unit: "MHz" });
});

test("times", () => {
  expect(parseTime("2026-01-31T12:00:00Z")).toBe(Date.UTC(2026, 0, 31, 12));
  expect(parseTime("2026-01-31T12:00:00.123456789Z")).toBeCloseTo(Date.UTC(2026, 0, 31, 12) + 123.456789, 3);
  expect(parseTime("2026-01-31T13:00:00.5+01:00")).toBe(Date.UTC(2026, 0, 31, 12) + 500);
  expect(parseTime("yesterday")).toBeNaN();
  const s = 1000;
  expect([0, 45 * s, 200 * s, 3600 * s, 5 * 3600 * s + 600 * s, 30 * 3600 * s, 90 * 3600 * s, -5].map(duration)).toEqual([
    "0 s", "45 s", "3 min 20 s", "1 h", "5 h 10 min", "30 h", "3 d", "0 s",
  ]);
  expect([100, 5000].map(ago)).toEqual(["now", "5 s ago"]);
});

test("metrics have titles and an order", () => {
  expect(metricTitle("gpu.util")).toBe("Utilisation");
  expect(metricTitle("gpu.rows.pending")).toBe("Rows pending");
  expect(["zz", "gpu.temp", "aa", "gpu.util"].sort(compareMetrics)).toEqual(["gpu.util", "gpu.temp", "aa", "zz"]);
});
