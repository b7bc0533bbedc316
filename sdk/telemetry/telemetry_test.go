package telemetry_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"gpupulse/sdk/telemetry"
)

var update = flag.Bool("update", false, "write the golden files anew")

func lookup(t testing.TB, source string) *telemetry.Descriptor {
	t.Helper()
	d, ok := telemetry.Lookup(source)
	require.True(t, ok, source)
	return d
}

func at(text string) int64 {
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return when.UnixNano()
}

// typical is a reading as a DCGM exporter gives it.
func typical(t testing.TB) telemetry.Reading {
	return telemetry.Reading{
		Time: at("2025-07-18T20:42:34Z"), Host: "node-01", GPU: "GPU-0c4e7a10-9b2d-4f63-8a51-3d7e92c6b048",
		Labels: map[string]string{"model": "NVIDIA H100 80GB HBM3", "device": "nvidia0", "index": "0", "driver": "535.129.03"},
		Samples: []telemetry.Sample{
			{Metric: lookup(t, "DCGM_FI_DEV_GPU_UTIL"), Sent: 29},
			{Metric: lookup(t, "DCGM_FI_DEV_GPU_TEMP"), Sent: 41},
			{Metric: lookup(t, "DCGM_FI_DEV_POWER_USAGE"), Sent: 117.77},
			{Metric: lookup(t, "DCGM_FI_DEV_FB_USED"), Sent: 73420},
			{Metric: lookup(t, "DCGM_FI_DEV_FB_FREE"), Sent: 7587},
			{Metric: lookup(t, "DCGM_FI_DEV_SM_CLOCK"), Sent: 1980},
			{Metric: lookup(t, "DCGM_FI_DEV_MEM_CLOCK"), Sent: 2619},
			{Metric: lookup(t, "DCGM_FI_DEV_MEM_COPY_UTIL"), Sent: 57},
			{Metric: lookup(t, "DCGM_FI_DEV_ENC_UTIL"), Sent: 0},
			{Metric: lookup(t, "DCGM_FI_DEV_DEC_UTIL"), Sent: 0},
		},
	}
}

func readings(t testing.TB) map[string]telemetry.Reading {
	offset := typical(t)
	offset.Samples = offset.Samples[:2]
	offset.Samples[1].Offset = -1500 * time.Millisecond
	event := *telemetry.Custom("My Counter (total)")
	event.Kind, event.Unit, event.SourceUnit, event.Mul, event.Div = telemetry.Counter, "bytes", "kB", 1000, 3
	return map[string]telemetry.Reading{
		"typical": typical(t),
		"empty":   {Time: -1, Host: "h", GPU: "0"},
		"times":   offset,
		"custom": {
			Time: math.MaxInt64, Host: "größe.example", GPU: `GPU "1"`, Labels: map[string]string{"pod": "", "note": "a\nb\\"},
			Samples: []telemetry.Sample{
				{Metric: telemetry.Custom("queue depth"), Sent: -0.1}, {Metric: lookup(t, "gpu.xid"), Sent: 79},
				{Metric: &event, Sent: 1e300}, {Metric: telemetry.Custom("tiny"), Sent: 5e-324},
			},
		},
	}
}

type vector struct {
	Name       string          `json:"name"`
	Hex        string          `json:"hex"`
	JSON       json.RawMessage `json:"json"`
	SourceJSON json.RawMessage `json:"source_json"`
}

const vectorsPath = "testdata/readings.json"

func TestVectors(t *testing.T) {
	if *update {
		var out []vector
		for _, name := range []string{"typical", "empty", "times", "custom"} {
			r := readings(t)[name]
			payload, err := telemetry.Append(nil, &r)
			require.NoError(t, err)
			out = append(out, vector{name, hex.EncodeToString(payload), r.AppendJSON(nil, false), r.AppendJSON(nil, true)})
		}
		b, err := json.MarshalIndent(out, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(vectorsPath, append(b, '\n'), 0o644))
	}
	file, err := os.ReadFile(vectorsPath)
	require.NoError(t, err)
	var vectors []vector
	require.NoError(t, json.Unmarshal(file, &vectors))
	require.Len(t, vectors, len(readings(t)))
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			want := readings(t)[v.Name]
			payload, err := hex.DecodeString(v.Hex)
			require.NoError(t, err)
			var got telemetry.Reading
			require.NoError(t, telemetry.Decode(payload, &got))
			same(t, &want, &got)
			again, err := telemetry.Append(nil, &got)
			require.NoError(t, err)
			require.Equal(t, payload, again)
			require.JSONEq(t, string(v.JSON), string(got.AppendJSON(nil, false)))
			require.JSONEq(t, string(v.SourceJSON), string(got.AppendJSON(nil, true)))
		})
	}
}

// same compares readings; custom descriptors by their content, no labels with none.
func same(t require.TestingT, want, got *telemetry.Reading) {
	require.Equal(t, want.Time, got.Time)
	require.Equal(t, want.Host, got.Host)
	require.Equal(t, want.GPU, got.GPU)
	require.Len(t, got.Labels, len(want.Labels))
	for name, value := range want.Labels {
		require.Equal(t, value, got.Labels[name])
	}
	require.Len(t, got.Samples, len(want.Samples))
	for i := range want.Samples {
		require.Equal(t, *want.Samples[i].Metric, *got.Samples[i].Metric)
		require.Equal(t, want.Samples[i].Sent, got.Samples[i].Sent)
		require.Equal(t, want.Samples[i].Offset, got.Samples[i].Offset)
	}
}

func TestValuesAreCanonicalAndExactlyAsSent(t *testing.T) {
	r := typical(t)
	var j struct{ Metrics map[string]float64 }
	require.NoError(t, json.Unmarshal(r.AppendJSON(nil, false), &j))
	require.Equal(t, map[string]float64{
		"gpu.util": 0.29, "gpu.temp": 41, "gpu.power": 117.77, "gpu.mem.used": 73420 << 20, "gpu.mem.free": 7587 << 20,
		"gpu.clock.sm": 1980e6, "gpu.clock.mem": 2619e6, "gpu.mem.bw_util": 0.57, "gpu.enc.util": 0, "gpu.dec.util": 0,
	}, j.Metrics)
	j.Metrics = nil
	require.NoError(t, json.Unmarshal(r.AppendJSON(nil, true), &j))
	require.Equal(t, 29.0, j.Metrics["DCGM_FI_DEV_GPU_UTIL"])
	require.Equal(t, 73420.0, j.Metrics["DCGM_FI_DEV_FB_USED"])
	for percent := range 101 {
		require.Equal(t, float64(percent)/100, lookup(t, "DCGM_FI_DEV_GPU_UTIL").Canonical(float64(percent)))
	}
}

// TestHandWrittenEqualsGenerated holds the codec against the generated code.
func TestHandWrittenEqualsGenerated(t *testing.T) {
	for name, r := range readings(t) {
		payload, err := telemetry.Append(nil, &r)
		require.NoError(t, err)
		p := new(telemetry.ReadingPayload)
		require.NoError(t, proto.Unmarshal(payload, p), name)
		require.Equal(t, r.Time, p.GetTimeUnixNano())
		require.Len(t, p.GetLabels(), len(r.Labels))
		require.Len(t, p.GetValue(), len(r.Samples))
		again, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
		require.NoError(t, err)
		require.Equal(t, payload, again, name)
	}
}

func TestRoundTrip(t *testing.T) {
	known := telemetry.Catalogue()
	text := rapid.StringN(1, 20, 40)
	sample := rapid.Custom(func(t *rapid.T) telemetry.Sample {
		s := telemetry.Sample{Sent: rapid.Float64Range(-1e15, 1e15).Draw(t, "sent"), Metric: rapid.SampledFrom(known).Draw(t, "metric")}
		if rapid.Bool().Draw(t, "custom") {
			s.Metric = telemetry.Custom(text.Draw(t, "source"))
		}
		if rapid.Bool().Draw(t, "own time") {
			s.Offset = time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "offset"))
		}
		return s
	})
	var reused telemetry.Reading
	rapid.Check(t, func(t *rapid.T) {
		want := telemetry.Reading{
			Time: rapid.Int64().Draw(t, "time"), Host: text.Draw(t, "host"), GPU: text.Draw(t, "gpu"),
			Labels:  rapid.MapOfN(text, rapid.StringN(0, 20, 40), 0, 8).Draw(t, "labels"),
			Samples: rapid.SliceOfN(sample, 0, 20).Draw(t, "samples"),
		}
		payload, err := telemetry.Append(nil, &want)
		require.NoError(t, err)
		require.NoError(t, telemetry.Decode(payload, &reused))
		same(t, &want, &reused)
	})
}

func TestJSONReadings(t *testing.T) {
	var r telemetry.Reading
	require.NoError(t, telemetry.Decode([]byte(`{"time":"2025-07-18T20:42:34.5Z","host":"h","gpu":"g","labels":{"pod":"p"},
		"metrics":{"gpu.temp":41,"DCGM_FI_DEV_GPU_UTIL":29,"own":1.5,"absent":null}}`), &r))
	require.Equal(t, at("2025-07-18T20:42:34.5Z"), r.Time)
	require.Len(t, r.Samples, 3)
	require.JSONEq(t, `{"time":"2025-07-18T20:42:34.5Z","host":"h","gpu":"g","labels":{"pod":"p"},
		"metrics":{"gpu.temp":41,"gpu.util":0.29,"own":1.5}}`, string(r.AppendJSON(nil, false)))
	want := readings(t)["times"]
	require.NoError(t, telemetry.Decode(want.AppendJSON(nil, true), &r))
	require.ElementsMatch(t, want.Samples, r.Samples, "source names lead back")
}

func TestBadReadingsAreRefusedWithAReason(t *testing.T) {
	good := typical(t)
	change := func(f func(*telemetry.Reading)) telemetry.Reading {
		r := good
		r.Samples = append([]telemetry.Sample(nil), good.Samples...)
		r.Labels = map[string]string{"a": "b"}
		f(&r)
		return r
	}
	long := strings.Repeat("x", telemetry.MaxLabelBytes+1)
	for want, r := range map[string]telemetry.Reading{
		"host is empty":                      change(func(r *telemetry.Reading) { r.Host = "" }),
		"gpu is empty":                       change(func(r *telemetry.Reading) { r.GPU = "" }),
		"host has 1025 bytes":                change(func(r *telemetry.Reading) { r.Host = long }),
		"gpu is not UTF-8":                   change(func(r *telemetry.Reading) { r.GPU = "\xff" }),
		"label pod has 1025 bytes":           change(func(r *telemetry.Reading) { r.Labels["pod"] = long }),
		"labels have one without a name":     change(func(r *telemetry.Reading) { r.Labels[""] = "x" }),
		"metric gpu.util is not a finite":    change(func(r *telemetry.Reading) { r.Samples[0].Sent = math.NaN() }),
		"metric gpu.temp is not a finite":    change(func(r *telemetry.Reading) { r.Samples[1].Sent = math.Inf(1) }),
		"metrics are 1025, 1024 are allowed": change(func(r *telemetry.Reading) { r.Samples = make([]telemetry.Sample, 1025) }),
		"metrics have one without a":         change(func(r *telemetry.Reading) { r.Samples[0].Metric = nil }),
	} {
		_, err := telemetry.Append(nil, &r)
		var fault *telemetry.Error
		require.ErrorAs(t, err, &fault, want)
		require.ErrorContains(t, err, want)
	}
	for _, payload := range []string{"", "\xff", "{", `{"host":"h","gpu":"g"}`, `{"time":"2025-07-18T20:42:34Z","host":"h","gpu":"g","metrics":{"a":"x"}}`,
		`{"time":"2025-07-18T20:42:34Z","host":"h","gpu":"g","wrong":1}`, `{"time":"2025-07-18T20:42:34Z","host":"h","gpu":"g"} trailing`} {
		var r telemetry.Reading
		var fault *telemetry.Error
		require.ErrorAs(t, telemetry.Decode([]byte(payload), &r), &fault, "payload %q", payload)
	}
	newer, err := proto.Marshal(&telemetry.ReadingPayload{Host: "h", Gpu: "g", Descriptor_: []uint32{60000}, Value: []float64{1}})
	require.NoError(t, err)
	var r telemetry.Reading
	require.ErrorContains(t, telemetry.Decode(newer, &r), "number 60000")
}

func TestTopicTemplates(t *testing.T) {
	r := telemetry.Reading{Host: "a.b", GPU: "GPU-1", Labels: map[string]string{"pod": "p 1"}}
	for template, want := range map[string]string{
		telemetry.DefaultTopic: "gpu.a%2Eb.GPU-1",
		"x.{pod}.{host}":       "x.p%201.a%2Eb",
		"x.{none}":             "x.%00",
		"plain":                "plain",
	} {
		got, err := telemetry.Topic(template, &r)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{"x.{host", "x.{}", "", "a..b", "a.*"} {
		_, err := telemetry.Topic(bad, &r)
		require.Error(t, err, bad)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range readings(f) {
		payload, err := telemetry.Append(nil, &r)
		require.NoError(f, err)
		f.Add(payload)
		f.Add(r.AppendJSON(nil, true))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var r, again telemetry.Reading
		if err := telemetry.Decode(payload, &r); err != nil {
			var fault *telemetry.Error
			require.ErrorAs(t, err, &fault)
			return
		}
		require.True(t, json.Valid(r.AppendJSON(nil, true)))
		encoded, err := telemetry.Append(nil, &r)
		require.NoError(t, err)
		require.NoError(t, telemetry.Decode(encoded, &again))
		same(t, &r, &again)
	})
}

func BenchmarkAppend(b *testing.B) {
	r := typical(b)
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := telemetry.Append(buf, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	r := typical(b)
	payload, err := telemetry.Append(nil, &r)
	require.NoError(b, err)
	var into telemetry.Reading
	b.ReportAllocs()
	b.ReportMetric(float64(len(payload)), "bytes")
	for b.Loop() {
		if err := telemetry.Decode(payload, &into); err != nil {
			b.Fatal(err)
		}
	}
}
