package telemetry_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gpupulse/sdk/telemetry"
)

func TestCatalogueIsWhole(t *testing.T) {
	metrics := map[string]telemetry.MetricInfo{}
	for _, m := range telemetry.Metrics() {
		require.NotContains(t, metrics, m.Name)
		require.NotEmpty(t, m.Unit, m.Name)
		require.NotEmpty(t, m.Description, m.Name)
		metrics[m.Name] = m
	}
	seen := map[string]bool{}
	for i, d := range telemetry.Catalogue() {
		require.Equal(t, uint32(i+1), d.Number)
		m, ok := metrics[d.Name]
		require.True(t, ok, "%s maps to %s, which is no canonical metric", d.Source, d.Name)
		require.Equal(t, m.Unit, d.Unit)
		require.Equal(t, m.Kind, d.Kind)
		require.False(t, seen[d.Source+" "+d.SourceUnit], "%s in %s comes twice", d.Source, d.SourceUnit)
		seen[d.Source+" "+d.SourceUnit] = true
		require.NotZero(t, d.Mul)
		require.NotZero(t, d.Div)
	}
	for name := range metrics {
		d, ok := telemetry.Lookup(name)
		require.True(t, ok, "canonical names can be sent too")
		require.Equal(t, 1.0, d.Mul/d.Div)
	}
}

// TestNumbersNeverChange names some descriptors of the first version: stored readings refer
// to these numbers.
func TestNumbersNeverChange(t *testing.T) {
	for number, source := range map[uint32]string{
		1: "DCGM_FI_DEV_GPU_UTIL", 9: "DCGM_FI_DEV_GPU_TEMP", 12: "DCGM_FI_DEV_POWER_USAGE", 30: "DCGM_FI_DEV_XID_ERRORS",
		65: "DCGM_FI_DEV_GPU_UTIL_RATIO", 89: "dcgm_gpu_utilization", 103: "utilization.gpu", 147: "gpu_busy_percent", 162: "utilization", 177: "gpu.util",
	} {
		d, ok := telemetry.ByNumber(number)
		require.True(t, ok)
		require.Equal(t, source, d.Source, "number %d", number)
	}
	_, ok := telemetry.ByNumber(0)
	require.False(t, ok)
	_, ok = telemetry.ByNumber(1 << 30)
	require.False(t, ok)
}

func TestLookup(t *testing.T) {
	for source, want := range map[string]string{
		"utilization.gpu [%]": "gpu.util", "memory.used [MiB]": "gpu.mem.used", "temperature": "gpu.temp", "gpu.power": "gpu.power",
	} {
		d, ok := telemetry.Lookup(source)
		require.True(t, ok, source)
		require.Equal(t, want, d.Name)
	}
	_, ok := telemetry.Lookup("nothing known")
	require.False(t, ok)
	d, ok := telemetry.LookupUnit("fan_speed", "rpm")
	require.True(t, ok)
	require.Equal(t, "gpu.fan.rpm", d.Name)
}

func TestCustomNames(t *testing.T) {
	for source, want := range map[string]string{"Queue Depth (max)": "queue_depth_max", "a.b": "a.b", "%%%": "unnamed", "Grün": "gr_n"} {
		d := telemetry.Custom(source)
		require.Equal(t, want, d.Name)
		require.Equal(t, source, d.Source)
		require.Equal(t, 7.0, d.Canonical(7))
	}
}

const scriptPath = "../js/src/catalogue.gen.ts"

// TestScriptCatalogue keeps the TypeScript copy of the catalogue as it is here.
func TestScriptCatalogue(t *testing.T) {
	want := scriptCatalogue(t)
	if *update {
		require.NoError(t, os.MkdirAll("../js/src", 0o755))
		require.NoError(t, os.WriteFile(scriptPath, []byte(want), 0o644))
	}
	got, err := os.ReadFile(scriptPath)
	require.NoError(t, err, "run go test ./sdk/telemetry -update")
	require.Equal(t, want, string(got), "run go test ./sdk/telemetry -update")
}

func scriptCatalogue(t *testing.T) string {
	quote := func(v any) string {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return string(b)
	}
	var out strings.Builder
	out.WriteString("// Generated from sdk/telemetry/catalogue.go by `go test ./sdk/telemetry -update`. Do not edit.\n\n")
	out.WriteString("export type Kind = \"gauge\" | \"counter\" | \"event\";\n\n")
	out.WriteString("export interface Descriptor {\n  /** Place in the catalogue, 0 for a descriptor that came with its reading. */\n  number: number;\n" +
		"  name: string;\n  unit: string;\n  kind: Kind;\n  source: string;\n  sourceUnit: string;\n  /** canonical = sent * mul / div */\n  mul: number;\n  div: number;\n}\n\n")
	out.WriteString("export interface Metric {\n  name: string;\n  unit: string;\n  kind: Kind;\n  description: string;\n}\n\n")
	out.WriteString("export const metrics: readonly Metric[] = [\n")
	for _, m := range telemetry.Metrics() {
		fmt.Fprintf(&out, "  { name: %s, unit: %s, kind: %s, description: %s },\n", quote(m.Name), quote(m.Unit), quote(m.Kind), quote(m.Description))
	}
	out.WriteString("];\n\n/** In the order of their numbers: catalogue[i].number is i + 1. */\nexport const catalogue: readonly Descriptor[] = [\n")
	for _, d := range telemetry.Catalogue() {
		fmt.Fprintf(&out, "  { number: %d, name: %s, unit: %s, kind: %s, source: %s, sourceUnit: %s, mul: %s, div: %s },\n",
			d.Number, quote(d.Name), quote(d.Unit), quote(d.Kind), quote(d.Source), quote(d.SourceUnit), quote(d.Mul), quote(d.Div))
	}
	out.WriteString("];\n")
	return out.String()
}
