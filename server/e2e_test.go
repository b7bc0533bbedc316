package main_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reading is a reading as REST and the CLI answer it.
type reading struct {
	Time    time.Time          `json:"time"`
	Host    string             `json:"host"`
	GPU     string             `json:"gpu"`
	Labels  map[string]string  `json:"labels"`
	Metrics map[string]float64 `json:"metrics"`
}

// sample names one value of one GPU.
type sample struct {
	metric string
	time   time.Time
}

// canonicals are the snapshot's metrics with their canonical names, and the factors
// mul / div into their canonical units.
func canonicals() map[string]struct {
	name     string
	mul, div float64
} {
	type c = struct {
		name     string
		mul, div float64
	}
	return map[string]c{
		"DCGM_FI_DEV_GPU_UTIL":      {"gpu.util", 1, 100},
		"DCGM_FI_DEV_MEM_COPY_UTIL": {"gpu.mem.bw_util", 1, 100},
		"DCGM_FI_DEV_ENC_UTIL":      {"gpu.enc.util", 1, 100},
		"DCGM_FI_DEV_DEC_UTIL":      {"gpu.dec.util", 1, 100},
		"DCGM_FI_DEV_FB_USED":       {"gpu.mem.used", 1 << 20, 1},
		"DCGM_FI_DEV_FB_FREE":       {"gpu.mem.free", 1 << 20, 1},
		"DCGM_FI_DEV_GPU_TEMP":      {"gpu.temp", 1, 1},
		"DCGM_FI_DEV_POWER_USAGE":   {"gpu.power", 1, 1},
		"DCGM_FI_DEV_SM_CLOCK":      {"gpu.clock.sm", 1e6, 1},
		"DCGM_FI_DEV_MEM_CLOCK":     {"gpu.clock.mem", 1e6, 1},
	}
}

// snapshot is what a CSV in long form says: of each GPU its samples as they were sent.
type snapshot struct {
	path  string
	rows  int
	hosts map[string]bool
	gpus  map[string]map[sample]float64
}

func readSnapshot(t *testing.T, path string) snapshot {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	s := snapshot{path, len(rows) - 1, map[string]bool{}, map[string]map[sample]float64{}}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339, row[column["timestamp"]])
		require.NoError(t, err)
		value, err := strconv.ParseFloat(row[column["value"]], 64)
		require.NoError(t, err)
		gpu := row[column["uuid"]]
		if s.gpus[gpu] == nil {
			s.gpus[gpu] = map[sample]float64{}
		}
		s.gpus[gpu][sample{row[column["metric_name"]], at}] = value
		s.hosts[row[column["Hostname"]]] = true
	}
	return s
}

// writeSnapshot writes a file of the snapshot's shape: metrics of one GPU differ by up to
// three seconds in time.
func writeSnapshot(t *testing.T, hosts, gpus int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot.csv")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	w := csv.NewWriter(f)
	random := rand.New(rand.NewPCG(1, 2))
	require.NoError(t, w.Write(strings.Split("timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,value,labels_raw", ",")))
	for _, metric := range slices.Sorted(maps.Keys(canonicals())) {
		for i := range hosts * gpus {
			host, index, uuid := fmt.Sprintf("node-%03d", i/gpus), strconv.Itoa(i%gpus), fmt.Sprintf("GPU-%08x-0000-4000-8000-%012x", i, i)
			at := time.Date(2025, 7, 18, 20, 42, 34+random.IntN(4), 0, time.UTC).Format(time.RFC3339)
			value := strconv.FormatFloat(float64(random.IntN(10000))/100, 'f', -1, 64)
			raw := fmt.Sprintf(`DCGM_FI_DRIVER_VERSION="535.129.03",Hostname="%s",UUID="%s",gpu="%s"`, host, uuid, index)
			require.NoError(t, w.Write([]string{at, metric, index, "nvidia" + index, uuid, "NVIDIA H100 80GB HBM3", host, "", "", "", value, raw}))
		}
	}
	w.Flush()
	require.NoError(t, w.Error())
	return path
}

func TestSnapshotArrivesExactly(t *testing.T) {
	t.Run("generated", func(t *testing.T) {
		snapshotArrives(t, readSnapshot(t, writeSnapshot(t, 5, 8)))
	})
	t.Run("of a real fleet", func(t *testing.T) {
		path := filepath.Join("..", "..", "shared", "data", "dcgm-snapshot.csv")
		if _, err := os.Stat(path); err != nil {
			t.Skipf("the snapshot of a real fleet is not kept with the code, and is not at %s", path)
		}
		s := readSnapshot(t, path)
		require.Equal(t, 2470, s.rows)
		require.Len(t, s.hosts, 31)
		require.Len(t, s.gpus, 247)
		snapshotArrives(t, s)
	})
}

// snapshotArrives sends a snapshot, looks at everything, restarts the server, sends
// it again, and looks again.
func snapshotArrives(t *testing.T, want snapshot) {
	s := startServer(t, t.TempDir(), "")
	send := func(s *server) {
		agent := startAgent(s, "--csv", want.path, "--timestamps", "keep")
		agent.wait(0, startTime)
		sum := agent.summary()
		assert.Equal(t, want.rows, sum.Read)
		assert.Equal(t, want.rows, sum.Acknowledged)
		s.settle()
	}
	send(s)
	readings := s.holds(want)
	s.terminate()

	s = s.again()
	assert.Equal(t, readings, s.holds(want), "readings after a restart")
	send(s)
	assert.Equal(t, readings, s.holds(want), "readings after sending all of it again")
	s.terminate()
}

// holds expects the server to have exactly the snapshot, and answers how many readings
// that are.
func (s *server) holds(want snapshot) (readings int) {
	s.t.Helper()
	hosts := whole[map[string]any](s, "/api/v1/hosts", url.Values{})
	assert.Len(s.t, hosts, len(want.hosts))
	gpus := whole[struct{ ID string }](s, "/api/v1/gpus", url.Values{})
	require.Len(s.t, gpus, len(want.gpus))
	for _, gpu := range gpus {
		readings += s.holdsGPU(gpu.ID, want.gpus[gpu.ID])
	}
	return readings
}

func (s *server) holdsGPU(id string, sent map[sample]float64) (readings int) {
	s.t.Helper()
	path := "/api/v1/gpus/" + id + "/telemetry"
	canonical, names := map[sample]float64{}, canonicals()
	for at, value := range sent {
		c := names[at.metric]
		canonical[sample{c.name, at.time}] = value * c.mul / c.div
	}
	asSent := whole[reading](s, path, url.Values{"names": {"source"}})
	require.Equal(s.t, sent, samples(asSent), "%s as sent", id)
	require.Equal(s.t, canonical, samples(whole[reading](s, path, url.Values{})), "%s in canonical units", id)

	var gpu struct {
		Latest map[string]struct {
			Value float64
			Time  time.Time
		}
	}
	s.fetch("/api/v1/gpus/"+id, url.Values{}, &gpu)
	latest := map[sample]float64{}
	for metric, value := range gpu.Latest {
		latest[sample{metric, value.Time}] = value.Value
	}
	require.Equal(s.t, canonical, latest, "latest of %s", id)
	return len(asSent)
}

// samples spreads readings out.
func samples(readings []reading) map[sample]float64 {
	all := map[sample]float64{}
	for _, r := range readings {
		for metric, value := range r.Metrics {
			all[sample{metric, r.Time.UTC()}] = value
		}
	}
	return all
}

// writeRows writes a wide CSV: rows of a few GPUs whose value is the row's number.
func writeRows(t *testing.T, rows, gpus int, begin time.Time) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("timestamp,gpu_id,hostname,temperature,row_number\n")
	for i := range rows {
		at := begin.Add(time.Duration(i) * time.Millisecond).Format(time.RFC3339Nano)
		fmt.Fprintf(&b, "%s,GPU-%02d,node-01,%d,%d\n", at, i%gpus, 40+i%50, i)
	}
	path := filepath.Join(t.TempDir(), "rows.csv")
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	return path
}

func TestKilledServerLosesNothing(t *testing.T) {
	const (
		rounds, rows, gpus = 5, 6000, 4
		rate               = 4000 // rows a second: the kill comes in the middle
	)
	s := startServer(t, t.TempDir(), "")
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for round := range rounds {
		agent := startAgent(s, "--csv", writeRows(t, rows, gpus, begin.Add(time.Duration(round)*time.Hour)), "--rate", strconv.Itoa(rate))
		before := rows/5 + rand.IntN(rows*3/5)
		require.Eventually(t, func() bool { return s.published() >= before }, startTime, pollTime)
		s.kill()
		require.True(t, agent.running(), "the agent had ended before the server was killed")
		s = s.again()
		agent.wait(0, startTime)
		sum := agent.summary()
		require.Equal(t, rows, sum.Acknowledged, "round %d: %+v", round, sum)
		s.settle()
		s.holdsRows(round+1, rows, gpus, begin)
	}
	s.terminate()
}

// published is how many messages the hub has taken since its start.
func (s *server) published() int {
	s.t.Helper()
	var stats struct {
		Messages int `json:"messages_in"`
	}
	s.fetch("/api/v1/stats", url.Values{}, &stats)
	return stats.Messages
}

// holdsRows expects every row of so many files of writeRows to be there once.
func (s *server) holdsRows(files, rows, gpus int, begin time.Time) {
	s.t.Helper()
	for g := range gpus {
		readings := whole[reading](s, fmt.Sprintf("/api/v1/gpus/GPU-%02d/telemetry", g), url.Values{"order": {"asc"}})
		require.Len(s.t, readings, files*rows/gpus)
		for i, r := range readings {
			file, row := i/(rows/gpus), i%(rows/gpus)*gpus+g
			at := begin.Add(time.Duration(file)*time.Hour + time.Duration(row)*time.Millisecond)
			require.True(s.t, at.Equal(r.Time), "GPU %d, reading %d: %v, not %v", g, i, r.Time, at)
			require.Equal(s.t, float64(row), r.Metrics["row_number"])
		}
	}
}

func TestSubPrintsReadingsAsJSONLines(t *testing.T) {
	s := startServer(t, t.TempDir(), "")
	agent := startAgent(s, "--source", "sim", "--sim-hosts", "2", "--sim-gpus", "2", "--interval", "100ms")
	readings := jsonLines[reading](t, s.cli("sub", "gpu.>", "--count", "12"))
	require.Len(t, readings, 12)
	for _, r := range readings {
		assert.NotEmpty(t, r.GPU)
		assert.NotEmpty(t, r.Host)
		assert.WithinDuration(t, time.Now(), r.Time, startTime)
		assert.Contains(t, r.Metrics, "gpu.util")
	}
	t.Run("ends cleanly on Ctrl-C", func(t *testing.T) {
		sub := launch(t, "gpupulse", "--server", s.ws(), "sub", "gpu.>")
		sub.find(sub.stdout, `(?m)^({.*})$`)
		sub.signal(os.Interrupt)
		sub.wait(0, endTime)
	})
	t.Run("ends cleanly when its reader has gone", func(t *testing.T) {
		from, to, err := os.Pipe()
		require.NoError(t, err)
		sub := launchWith(t, to, "gpupulse", "--server", s.ws(), "sub", "gpu.>")
		require.NoError(t, to.Close())
		_, err = bufio.NewReader(from).ReadString('\n')
		require.NoError(t, err, "each line is written as it comes")
		require.NoError(t, from.Close())
		sub.wait(0, endTime)
	})
	agent.terminate()
	s.terminate()
}

func TestCommandLineTool(t *testing.T) {
	s := startServer(t, t.TempDir(), "")
	agent := startAgent(s, "--csv", writeRows(t, 40, 4, time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)))
	agent.wait(0, startTime)
	s.settle()

	assert.Regexp(t, `(?m)^HOST +GPUS +LAST SEEN\nnode-01 +4 `, s.cli("hosts"))
	assert.Regexp(t, `(?m)^GPU-03 +node-01 `, s.cli("gpus", "--host", "node-01"))
	assert.Regexp(t, `(?m)^TIME +gpu.temp +row_number\n20\S+Z +\d+ +36$`, s.cli("query", "GPU-00", "--limit", "1"))
	assert.Regexp(t, `(?m)^store +gpu.> `, s.cli("consumers"))
	assert.Regexp(t, `(?m)^gpu.node-01.GPU-00 +10 `, s.cli("topics"))
	assert.Contains(t, s.cli("connections"), "collector")

	var answer list[reading]
	require.NoError(t, json.Unmarshal([]byte(s.cli("query", "GPU-01", "--start", "1h", "--metric", "gpu.temp", "-o", "json")), &answer))
	assert.Equal(t, 10, answer.Total)
	assert.Len(t, answer.Items, 10)
	assert.Equal(t, []string{"gpu.temp"}, slices.Collect(maps.Keys(answer.Items[0].Metrics)))

	t.Run("publishes once for each id", func(t *testing.T) {
		first := s.cli("pub", "demo.hello", "hello", "--id", "greeting", "--header", "lang=en")
		assert.Regexp(t, `^published 1 to demo.hello: sequence 41\n$`, first)
		assert.Contains(t, s.cli("pub", "demo.hello", "hello", "--id", "greeting"), "sequence 41, 1 there before")
		var message struct {
			Topic, Text, ID string
			Headers         map[string]string
		}
		require.NoError(t, json.Unmarshal([]byte(s.cli("sub", "demo.>", "--last", "--count", "1")), &message))
		assert.Equal(t, "hello", message.Text)
		assert.Equal(t, "greeting", message.ID)
		assert.Equal(t, map[string]string{"lang": "en"}, message.Headers)
	})
	t.Run("publishes lines", func(t *testing.T) {
		pub := launch(t, "gpupulse", "--server", s.ws(), "pub", "demo.lines", "-o", "json")
		_, err := io.WriteString(pub.stdin, "one\ntwo\nthree\n")
		require.NoError(t, err)
		require.NoError(t, pub.stdin.Close())
		pub.wait(0, startTime)
		assert.JSONEq(t, `{"published": 3, "duplicates": 0, "first_sequence": 42, "last_sequence": 44}`, pub.stdout.String())
	})
	t.Run("says what is wrong", func(t *testing.T) {
		for _, c := range []struct {
			status int
			want   string
			args   []string
		}{
			{1, `GPU-99`, []string{"query", "GPU-99"}},
			{1, `"demo..x"`, []string{"pub", "demo..x", "hello"}},
			{1, `gpu.>.x`, []string{"sub", "gpu.>.x"}},
			{1, "neither a time", []string{"query", "GPU-00", "--start", "yesterday"}},
			{2, "unexpected argument", []string{"hosts", "all"}},
			{3, "no gpupulse server at http://127.0.0.1:1", []string{"--server", "ws://127.0.0.1:1/ws", "hosts"}},
			{3, "no gpupulse server at ws://127.0.0.1:1/ws", []string{"--server", "ws://127.0.0.1:1/ws", "sub", "gpu.>"}},
		} {
			p := launch(t, "gpupulse", append([]string{"--server", s.ws()}, c.args...)...)
			p.wait(c.status, startTime)
			assert.Contains(t, p.stderr.String(), c.want)
			assert.Empty(t, p.stdout.String())
		}
	})
	s.terminate()
}

func TestBrokenRowsAreCountedAndGoodOnesArrive(t *testing.T) {
	s := startServer(t, t.TempDir(), "")
	text := "\ufeff# a comment before the header\r\n" +
		"timestamp,gpu_id,hostname,temperature,power_draw\r\n" +
		"2026-01-01T00:00:00Z,GPU-00,node-01,41,100.5\r\n" + // line 3
		"2026-01-01T00:00:01Z,GPU-00,node-01\r\n" + // 4: too few fields
		"2026-01-01T00:00:02Z,GPU-00,node-01,42,NaN\r\n" + // 5: not a number
		"2026-01-01T00:00:03Z,GPU-00,node-01,hot,100\r\n" + // 6: text in a number's column
		"2026-01-01T00:00:04Z,GPU-00,node-01,43," + strings.Repeat("9", 1<<20) + "\r\n" + // 7: a cell of 1 MB
		"# a comment between\r\n" +
		"2026-01-01T00:00:05Z,GPU-00,node-01,44,102\r\n" // 9
	rejected := map[string][]int{
		"too few fields": {4}, "not a finite number": {5}, "text in a number's column": {6}, "row too long": {7},
	}
	agent := startAgent(s, "--csv", "-", "--listen", "127.0.0.1:0")
	health := agent.find(agent.stderr, `"address":"([0-9.:]+)"`)
	_, err := io.WriteString(agent.stdin, text)
	require.NoError(t, err)
	for reason := range rejected {
		line := fmt.Sprintf("\ngpupulse_agent_rejects_total{reason=%q} 1\n", reason)
		require.Eventually(t, func() bool { return strings.Contains(page(health, "/metrics"), line) }, startTime, pollTime, line)
	}
	require.NoError(t, agent.stdin.Close())
	agent.wait(0, startTime)

	sum := agent.summary()
	told := map[string][]int{}
	for _, r := range sum.Rejects {
		told[r.Reason] = r.Lines
		assert.Equal(t, 1, r.Rows, r.Reason)
	}
	assert.Equal(t, rejected, told)
	assert.Equal(t, []int{6, 2, 4}, []int{sum.Read, sum.Acknowledged, sum.Rejected})
	s.settle()
	var stored []map[string]float64
	for _, r := range whole[reading](s, "/api/v1/gpus/GPU-00/telemetry", url.Values{"order": {"asc"}}) {
		stored = append(stored, r.Metrics)
	}
	assert.Equal(t, []map[string]float64{{"gpu.temp": 41, "gpu.power": 100.5}, {"gpu.temp": 44, "gpu.power": 102}}, stored)
	s.terminate()
}

func TestTerminationLosesNothing(t *testing.T) {
	s := startServer(t, t.TempDir(), "")
	agent := startAgent(s, "--source", "sim", "--sim-hosts", "4", "--sim-gpus", "8", "--interval", "20ms")
	require.Eventually(t, func() bool { return s.published() > 2000 }, startTime, pollTime)
	agent.terminate()
	sum := agent.summary()
	require.Zero(t, sum.Unanswered)
	s.terminate()

	s = s.again()
	s.settle()
	stored := 0
	for _, gpu := range whole[struct{ ID string }](s, "/api/v1/gpus", url.Values{}) {
		var p list[reading]
		s.fetch("/api/v1/gpus/"+gpu.ID+"/telemetry", url.Values{"limit": {"1"}}, &p)
		stored += p.Total
	}
	assert.Equal(t, sum.Acknowledged, stored)
	s.signal(syscall.SIGTERM)
	s.wait(0, endTime)
}

func TestTerminatedServerIsFoundAgain(t *testing.T) {
	const rows = 3000
	s := startServer(t, t.TempDir(), "")
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	agent := startAgent(s, "--csv", writeRows(t, rows, 2, begin), "--rate", "3000")
	require.Eventually(t, func() bool { return s.published() > rows/4 }, startTime, pollTime)
	s.terminate()
	s = s.again()
	agent.wait(0, startTime)
	assert.Equal(t, rows, agent.summary().Acknowledged)
	s.settle()
	s.holdsRows(1, rows, 2, begin)
	s.terminate()
}

func TestServerSaysWhyItDoesNotStart(t *testing.T) {
	s := startServer(t, t.TempDir(), "")
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	require.NoError(t, os.WriteFile(settings, []byte("lisen: 127.0.0.1:0\n"), 0o600))
	for _, c := range []struct {
		status int
		want   string
		flags  []string
	}{
		{1, "access", []string{"--listen", "0.0.0.0:0", "--data-dir", t.TempDir()}},
		{1, "lock", []string{"--listen", "127.0.0.1:0", "--data-dir", s.data}},
		{1, "address already in use", []string{"--listen", s.address, "--data-dir", t.TempDir()}},
		{2, `unknown key "lisen"`, []string{"--config", settings}},
		{2, "--fsync", []string{"--fsync", "sometimes"}},
	} {
		p := launch(t, "server", c.flags...)
		p.wait(c.status, startTime)
		assert.Contains(t, p.stderr.String(), c.want)
	}
	s.terminate()
}
