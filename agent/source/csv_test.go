package source_test

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gpupulse/agent/source"
	"gpupulse/sdk/telemetry"
)

func openCSV(t testing.TB, text string, o source.CSVOptions) *source.CSV {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "in.csv")
	require.NoError(t, os.WriteFile(o.Path, []byte(text), 0o600))
	if o.Host == "" {
		o.Host = "here"
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	c, err := source.NewCSV(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// readAll reads to the end; the rows of the readings are summed up.
func readAll(t testing.TB, c source.Source) (all []telemetry.Reading, rows int) {
	t.Helper()
	for {
		b, err := c.Read(context.Background())
		if errors.Is(err, io.EOF) {
			return all, rows
		}
		require.NoError(t, err)
		require.NotEmpty(t, b.Readings)
		require.LessOrEqual(t, len(b.Readings), source.MaxBatch)
		require.Len(t, b.Rows, len(b.Readings))
		all = append(all, b.Readings...)
		for _, n := range b.Rows {
			rows += n
		}
	}
}

// texts are the readings as JSON, with what the source called and measured things in.
func texts(readings []telemetry.Reading) (all []string) {
	for i := range readings {
		all = append(all, string(readings[i].AppendJSON(nil, true)))
	}
	return all
}

const longHeader = "timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,value,labels_raw\n"

func longRow(at, metric string, gpu int, value string) string {
	return fmt.Sprintf(`"%s","%s","%d","nvidia%d","GPU-%d","NVIDIA H100 80GB HBM3","node-01","","","","%s","DCGM_FI_DRIVER_VERSION=""535.129.03"",Hostname=""node-01"",UUID=""GPU-%d"",__name__=""%s"",device=""nvidia%d"",gpu=""%d"",instance=""node-01:9400"",job=""dcgm"""`+"\n",
		at, metric, gpu, gpu, gpu, value, gpu, metric, gpu, gpu)
}

func TestFormats(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"long form, joined over the file": {
			longHeader + longRow("2025-07-18T20:42:34Z", "DCGM_FI_DEV_GPU_UTIL", 0, "29") + longRow("2025-07-18T20:42:34Z", "DCGM_FI_DEV_GPU_UTIL", 1, "30") +
				longRow("2025-07-18T20:42:34Z", "DCGM_FI_DEV_POWER_USAGE", 0, "117.77") + longRow("2025-07-18T20:42:36Z", "DCGM_FI_DEV_POWER_USAGE", 1, "70.5"),
			[]string{
				`{"time":"2025-07-18T20:42:34Z","host":"node-01","gpu":"GPU-0","labels":{"model":"NVIDIA H100 80GB HBM3","device":"nvidia0","index":"0","driver":"535.129.03","instance":"node-01:9400","job":"dcgm"},"metrics":{"DCGM_FI_DEV_GPU_UTIL":29,"DCGM_FI_DEV_POWER_USAGE":117.77}}`,
				`{"time":"2025-07-18T20:42:34Z","host":"node-01","gpu":"GPU-1","labels":{"model":"NVIDIA H100 80GB HBM3","device":"nvidia1","index":"1","driver":"535.129.03","instance":"node-01:9400","job":"dcgm"},"metrics":{"DCGM_FI_DEV_GPU_UTIL":30}}`,
				`{"time":"2025-07-18T20:42:36Z","host":"node-01","gpu":"GPU-1","labels":{"model":"NVIDIA H100 80GB HBM3","device":"nvidia1","index":"1","driver":"535.129.03","instance":"node-01:9400","job":"dcgm"},"metrics":{"DCGM_FI_DEV_POWER_USAGE":70.5}}`,
			},
		},
		"the same metric again begins a new reading": {
			"timestamp,metric_name,uuid,value\n5000000000,temp,g,1\n5000000000,temp,g,2\n",
			[]string{
				`{"time":"2128-06-11T08:53:20Z","host":"here","gpu":"g","labels":{},"metrics":{"temp":1}}`,
				`{"time":"2128-06-11T08:53:20Z","host":"here","gpu":"g","labels":{},"metrics":{"temp":2}}`,
			},
		},
		"wide without host and time": {
			"gpu_id,temperature,utilization,memory_used,power_draw\ngpu_0,72.3,85.5,4096,250.5\n",
			[]string{`{"time":"2026-01-02T03:04:05Z","host":"here","gpu":"gpu_0","labels":{},"metrics":{"temperature":72.3,"utilization":85.5,"memory_used":4096,"power_draw":250.5}}`},
		},
		"wide with host, time, BOM, CRLF, comments and blank lines": {
			"\xef\xbb\xbf# made by hand\r\n\r\ntimestamp,gpu_id,utilization,temperature,memory_used,power_draw,fan_speed,hostname\r\n2024-01-01T12:00:00Z,GPU-aaaa,85.5,72.3,4096,250.5,2500,node-01\r\n# in between\r\n",
			[]string{`{"time":"2024-01-01T12:00:00Z","host":"node-01","gpu":"GPU-aaaa","labels":{},"metrics":{"utilization":85.5,"temperature":72.3,"memory_used":4096,"power_draw":250.5,"fan_speed":2500}}`},
		},
		"any other schema": {
			"time,gpu,host,rack,queue depth,active,note\n1700000000.25,3,n,r7,12,yes,\"a \"\"quoted\"\", text\"\n",
			[]string{`{"time":"2023-11-14T22:13:20.25Z","host":"n","gpu":"n:gpu-003","labels":{"index":"3","rack":"r7","note":"a \"quoted\", text"},"metrics":{"queue depth":12,"active":1}}`},
		},
		"nvidia-smi": {
			"timestamp, index, uuid, name, temperature.gpu, utilization.gpu [%], memory.used [MiB], power.draw [W], fan.speed [%]\n2026/07/14 08:12:38.696, 0, GPU-1, NVIDIA H100, 41, 0 %, 12 MiB, 69.85 W, [N/A]\n",
			[]string{`{"time":"2026-07-14T08:12:38.696Z","host":"here","gpu":"GPU-1","labels":{"index":"0","model":"NVIDIA H100"},"metrics":{"temperature.gpu":41,"utilization.gpu":0,"memory.used":12,"power.draw":69.85}}`},
		},
		"absent is not zero": {
			"timestamp,uuid,temperature,power_draw,DCGM_FI_DEV_FB_USED\n1700000000000,g,N/A,5,9223372036854775794\n",
			[]string{`{"time":"2023-11-14T22:13:20Z","host":"here","gpu":"g","labels":{},"metrics":{"power_draw":5}}`},
		},
		"no line end at the end": {
			"uuid,temperature,timestamp\ng,1,2024-01-01 00:00:00",
			[]string{`{"time":"2024-01-01T00:00:00Z","host":"here","gpu":"g","labels":{},"metrics":{"temperature":1}}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rejects := new(source.Rejects)
			all, _ := readAll(t, openCSV(t, c.in, source.CSVOptions{Rejects: rejects, Now: func() time.Time { return now }}))
			require.Empty(t, rejects.List())
			got := texts(all)
			require.Len(t, got, len(c.want))
			for i := range c.want {
				require.JSONEq(t, c.want[i], got[i])
			}
		})
	}
}

func TestFanSpeedOverAHundredIsRPM(t *testing.T) {
	all, _ := readAll(t, openCSV(t, "uuid,fan_speed\na,2500\nb,40\n", source.CSVOptions{}))
	require.Equal(t, "gpu.fan.rpm", all[0].Samples[0].Metric.Name)
	require.Equal(t, "gpu.fan", all[1].Samples[0].Metric.Name)
	require.Equal(t, 0.4, all[1].Samples[0].Value())
}

func TestJoinWindowKeepsEachSamplesTime(t *testing.T) {
	in := longHeader + longRow("2025-07-18T20:42:34Z", "DCGM_FI_DEV_GPU_UTIL", 0, "29") + longRow("2025-07-18T20:42:37Z", "DCGM_FI_DEV_POWER_USAGE", 0, "117.77") +
		longRow("2025-07-18T20:42:45Z", "DCGM_FI_DEV_GPU_TEMP", 0, "41")
	all, rows := readAll(t, openCSV(t, in, source.CSVOptions{JoinWindow: 5 * time.Second}))
	require.Equal(t, 3, rows)
	require.Len(t, all, 2)
	require.Equal(t, 3*time.Second, all[0].Samples[1].Offset)
	require.Zero(t, all[1].Samples[0].Offset)
}

// TestBrokenRows: each broken row costs itself, is counted by its reason and told by its line.
func TestBrokenRows(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		header string
		rows   []string // the broken one is in the middle
		reason string
	}{
		"too few fields":           {"uuid,temperature,power_draw", []string{"a,1,2", "b,1", "c,1,2"}, "too few fields"},
		"too many fields":          {"uuid,temperature,power_draw", []string{"a,1,2", "b,1,2,3", "c,1,2"}, "too many fields"},
		"NaN":                      {"uuid,temperature,power_draw", []string{"a,1,2", "b,NaN,2", "c,1,2"}, "not a finite number"},
		"infinity":                 {"uuid,temperature,power_draw", []string{"a,1,2", "b,-Inf,2", "c,1,2"}, "not a finite number"},
		"out of range":             {"uuid,temperature,power_draw", []string{"a,1,2", "b,1e999,2", "c,1,2"}, "not a finite number"},
		"text in a known column":   {"uuid,temperature,power_draw", []string{"a,1,2", "b,warm,2", "c,1,2"}, "text in a number's column"},
		"text in a number column":  {"uuid,own,power_draw", []string{"a,1,2", "b,warm,2", "c,1,2"}, "text in a number's column"},
		"a megabyte of a cell":     {"uuid,temperature,note", []string{"a,1,x", "b,1," + big, "c,1,x"}, "row too long"},
		"a megabyte in quotes":     {"uuid,temperature,note", []string{"a,1,x", `b,1,"` + big + `"`, "c,1,x"}, "row too long"},
		"long text":                {"uuid,temperature,pod", []string{"a,1,x", "b,1," + big[:2000], "c,1,x"}, "text too long"},
		"an open quote":            {"uuid,temperature,note", []string{"a,1,x", `b,1,"open`, "c,1,x"}, "quote is not closed"},
		"text after a quote":       {"uuid,temperature,note", []string{"a,1,x", `b,1,"x"y`, "c,1,x"}, "text after a closing quote"},
		"no GPU":                   {"uuid,temperature,note", []string{"a,1,x", ",1,x", "c,1,x"}, "no gpu"},
		"bad time":                 {"uuid,temperature,time", []string{"a,1,1700000000", "b,1,yesterday", "c,1,1700000000"}, "bad time"},
		"not UTF-8":                {"uuid,temperature,pod", []string{"a,1,x", "b,1,\xff", "c,1,x"}, "not UTF-8"},
		"nothing measured":         {"uuid,temperature,pod", []string{"a,1,x", "b,N/A,x", "c,1,x"}, "no value"},
		"long form, NaN":           {"timestamp,metric_name,uuid,value", []string{"1700000000,t,a,1", "1700000000,t,b,NaN", "1700000000,t,c,1"}, "not a finite number"},
		"long form, text":          {"timestamp,metric_name,uuid,value", []string{"1700000000,t,a,1", "1700000000,t,b,hot", "1700000000,t,c,1"}, "text in a number's column"},
		"long form, no metric":     {"timestamp,metric_name,uuid,value", []string{"1700000000,t,a,1", "1700000000,,b,1", "1700000000,t,c,1"}, "no metric name"},
		"long form, broken labels": {"timestamp,metric_name,uuid,value,labels_raw", []string{"1700000000,t,a,1,", `1700000000,t,b,1,pod=x`, "1700000000,t,c,1,"}, "bad labels_raw"},
	} {
		t.Run(name, func(t *testing.T) {
			rejects := new(source.Rejects)
			all, rows := readAll(t, openCSV(t, c.header+"\n"+strings.Join(c.rows, "\n")+"\n", source.CSVOptions{Rejects: rejects}))
			require.Equal(t, 2, rows, "%v", rejects.List())
			require.Equal(t, "a", all[0].GPU)
			require.Equal(t, "c", all[1].GPU)
			list := rejects.List()
			require.Len(t, list, 1)
			require.Equal(t, c.reason, list[0].Reason)
			require.Equal(t, uint64(1), list[0].Rows)
			require.Equal(t, []int{3}, list[0].Lines)
		})
	}
}

// TestBrokenRowDecidesNothing: what a column holds is learned from good rows only.
func TestBrokenRowDecidesNothing(t *testing.T) {
	rejects := new(source.Rejects)
	all, _ := readAll(t, openCSV(t, "uuid,own,temperature\na,text,warm\nb,5,1\nc,6,2\n", source.CSVOptions{Rejects: rejects}))
	require.Equal(t, uint64(1), rejects.Rows())
	require.Len(t, all, 2)
	require.Len(t, all[0].Samples, 2)
}

// TestIdentitiesAreToldApart: cells that look the same one after another are not the same.
func TestIdentitiesAreToldApart(t *testing.T) {
	all, _ := readAll(t, openCSV(t, "uuid,pod,temperature\na\x00b,c,1\na,b\x00c,2\n", source.CSVOptions{}))
	require.Equal(t, "a\x00b", all[0].GPU)
	require.Equal(t, "a", all[1].GPU)
	require.Equal(t, "b\x00c", all[1].Labels["pod"])
}

func TestUselessHeadersAreErrors(t *testing.T) {
	for _, header := range []string{"temperature,power_draw\n1,2\n", "\"a\"b,uuid\n1,2\n", strings.Repeat("c,", 5000) + "uuid\n"} {
		c := openCSV(t, header, source.CSVOptions{})
		_, err := c.Read(context.Background())
		require.ErrorContains(t, err, "line 1")
	}
	_, err := source.NewCSV(source.CSVOptions{Path: "/nowhere/at/all.csv"})
	require.ErrorContains(t, err, "/nowhere/at/all.csv")
	_, err = source.NewCSV(source.CSVOptions{Path: "-", Loop: true})
	require.Error(t, err)
}

func TestLoopBeginsAgain(t *testing.T) {
	c := openCSV(t, "uuid,temperature\na,1\nb,2\n", source.CSVOptions{Loop: true})
	n := 0
	for n < 10 {
		b, err := c.Read(context.Background())
		require.NoError(t, err)
		n += len(b.Readings)
	}
	for _, useless := range []string{"uuid,temperature\n", "uuid,temperature\na,warm\n"} {
		c := openCSV(t, useless, source.CSVOptions{Loop: true})
		_, err := c.Read(context.Background())
		require.ErrorContains(t, err, "no rows", "a loop over nothing must not spin")
	}
}

// TestPipeDoesNotKeepReadingsWaiting: what a pipe has brought comes out although more may come.
func TestPipeDoesNotKeepReadingsWaiting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, os.Symlink(fmt.Sprintf("/proc/self/fd/%d", r.Fd()), path))
	c, err := source.NewCSV(source.CSVOptions{Path: path, Host: "here"})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, r.Close())
	_, err = w.WriteString("timestamp,metric_name,uuid,value\n1700000000,t,a,1\n1700000000,u,a,2\n")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b, err := c.Read(ctx)
	require.NoError(t, err)
	require.Len(t, b.Readings, 1)
	require.Len(t, b.Readings[0].Samples, 2)
	_, err = w.WriteString("1700000001,t,a,1\n")
	require.NoError(t, err)
	stopped, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	b, err = c.Read(stopped)
	require.NoError(t, err, "what was read before the end is handed on")
	require.Len(t, b.Readings, 1)
	_, err = c.Read(stopped)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestSnapshot reads a real export: 247 GPUs on 31 hosts, ten metrics each.
func TestSnapshot(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "data", "dcgm-snapshot.csv")
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the snapshot is not beside this checkout")
	}
	require.NoError(t, err)
	defer f.Close()
	want := map[string]float64{} // by GPU, metric and time
	records, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	for _, r := range records[1:] {
		v, err := strconv.ParseFloat(r[10], 64)
		require.NoError(t, err)
		want[r[4]+" "+r[1]+" "+r[0]] = v
	}
	for _, window := range []time.Duration{0, 5 * time.Second} {
		rejects := new(source.Rejects)
		c, err := source.NewCSV(source.CSVOptions{Path: path, JoinWindow: window, Rejects: rejects})
		require.NoError(t, err)
		all, rows := readAll(t, c)
		require.NoError(t, c.Close())
		require.Empty(t, rejects.List())
		require.Equal(t, 2470, rows)
		got, hosts, gpus := map[string]float64{}, map[string]bool{}, map[string]bool{}
		for _, r := range all {
			hosts[r.Host], gpus[r.GPU] = true, true
			require.Equal(t, "535.129.03", r.Labels["driver"])
			require.Equal(t, "NVIDIA H100 80GB HBM3", r.Labels["model"])
			for _, s := range r.Samples {
				got[r.GPU+" "+s.Metric.Source+" "+time.Unix(0, r.Time+int64(s.Offset)).UTC().Format(time.RFC3339)] = s.Sent
			}
		}
		require.Equal(t, want, got)
		require.Len(t, hosts, 31)
		require.Len(t, gpus, 247)
		if window > 0 {
			require.Len(t, all, 247, "the whole snapshot is one reading a GPU")
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add(longHeader + longRow("2025-07-18T20:42:34Z", "DCGM_FI_DEV_GPU_UTIL", 0, "29"))
	f.Add("uuid,temperature,note\na,1,\"x\ny\"\nb,NaN\n")
	f.Add("\xef\xbb\xbf#\r\n\"uuid\",\"a\"\"b\"\r\n1,2\r\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		rejects := new(source.Rejects)
		c := openCSV(t, text, source.CSVOptions{Rejects: rejects})
		for {
			b, err := c.Read(context.Background())
			if err != nil {
				break // the end, or a header that is none
			}
			for i := range b.Readings {
				_, err := telemetry.Append(nil, &b.Readings[i])
				require.NoError(t, err, "what a source hands on can be sent")
			}
		}
	})
}

func benchmark(b *testing.B, header string, row func(i int) string) {
	var text strings.Builder
	text.WriteString(header)
	const rows = 50_000
	for i := range rows {
		text.WriteString(row(i))
	}
	path := filepath.Join(b.TempDir(), "in.csv")
	require.NoError(b, os.WriteFile(path, []byte(text.String()), 0o600))
	b.SetBytes(int64(text.Len()))
	b.ResetTimer()
	for range b.N {
		c, err := source.NewCSV(source.CSVOptions{Path: path})
		require.NoError(b, err)
		_, n := readAll(b, c)
		require.Equal(b, rows, n)
		require.NoError(b, c.Close())
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkCSVLong(b *testing.B) {
	metrics := []string{"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_SM_CLOCK"}
	benchmark(b, longHeader, func(i int) string {
		gpu, metric, second := i%8, i/8%len(metrics), i/8/len(metrics)
		return longRow(time.Unix(int64(1.7e9)+int64(second), 0).UTC().Format(time.RFC3339), metrics[metric], gpu, strconv.Itoa(i%100))
	})
}

// BenchmarkCSVLongFleet is a large fleet's file: all GPUs' rows of one metric, then the next.
func BenchmarkCSVLongFleet(b *testing.B) {
	metrics := []string{"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_SM_CLOCK"}
	benchmark(b, longHeader, func(i int) string {
		return longRow("2025-07-18T20:42:34Z", metrics[i/10_000], i%10_000, strconv.Itoa(i%100))
	})
}

func BenchmarkCSVWide(b *testing.B) {
	benchmark(b, "timestamp,gpu_id,utilization,temperature,memory_used,power_draw,fan_speed,hostname\n", func(i int) string {
		return fmt.Sprintf("2024-01-01T12:%02d:%02dZ,GPU-%d,85.5,72.3,4096,250.5,40,node-01\n", i/60%60, i%60, i%8)
	})
}
