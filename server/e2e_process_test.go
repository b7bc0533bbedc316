package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The whole system as people run it: the three binaries as processes of their own, on
// loopback and on ports that the system chooses.

const (
	// startTime bounds how long a process may take to be ready, on a busy machine.
	startTime = 30 * time.Second
	// endTime is the promise: SIGTERM ends every process within it.
	endTime = 10 * time.Second
	// pollTime is how often something outside of this process is looked at.
	pollTime = 20 * time.Millisecond
)

// binaries builds the three binaries once and answers the folder that they are in.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "gpupulse-e2e-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "gpupulse/server", "gpupulse/agent", "gpupulse/sdk/cmd/gpupulse")
	if out, err := build.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%v: %w\n%s", build.Args, err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, _ := binaries(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(status)
}

// process is one of the binaries, running.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout *lines
	stderr *lines
	stdin  io.WriteCloser
	ended  chan struct{}
}

// lines is an output that is looked at while it grows.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// launch starts a binary. It is killed at the end of the test, if it still runs then.
func launch(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return launchWith(t, nil, name, args...)
}

// launchWith is launch with a standard output of the caller's; nil collects it.
func launchWith(t *testing.T, stdout *os.File, name string, args ...string) *process {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes")
	}
	dir, err := binaries()
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.Command(filepath.Join(dir, name), args...), stdout: &lines{}, stderr: &lines{}, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); !strings.HasPrefix(name, "GPUPULSE_") && !strings.HasPrefix(name, "LOG_") {
			p.cmd.Env = append(p.cmd.Env, variable)
		}
	}
	p.stdin, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the state tells
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %s\nstdout:\n%s\nstderr:\n%s", name, strings.Join(args, " "), tail(p.stdout.String()), tail(p.stderr.String()))
		}
	})
	return p
}

func tail(text string) string {
	const shown = 4000
	if len(text) > shown {
		return "…" + text[len(text)-shown:]
	}
	return text
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// wait expects the process to end by itself with a status.
func (p *process) wait(status int, within time.Duration) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		require.FailNow(p.t, "process has not ended", "within %v: %v", within, p.cmd.Args)
	}
	require.Equal(p.t, status, p.cmd.ProcessState.ExitCode(), "exit status of %v\nstderr: %s", p.cmd.Args, tail(p.stderr.String()))
}

// terminate expects SIGTERM to end the process with 0 in the promised time.
func (p *process) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.wait(0, endTime)
}

// find waits until an output matches, and answers the pattern's first group.
func (p *process) find(l *lines, pattern string) string {
	p.t.Helper()
	expression := regexp.MustCompile(pattern)
	var found []string
	require.Eventually(p.t, func() bool {
		found = expression.FindStringSubmatch(l.String())
		return found != nil
	}, startTime, pollTime, "no %q in\n%s", pattern, tail(l.String()))
	return found[1]
}

// server is a running gpupulse-server.
type server struct {
	*process
	address string // host:port
	data    string
}

// startServer starts a server on a data directory. An empty address is any free port.
func startServer(t *testing.T, data, address string, flags ...string) *server {
	t.Helper()
	listen := address
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	p := launch(t, "server", append([]string{"--listen", listen, "--data-dir", data}, flags...)...)
	s := &server{process: p, data: data, address: p.find(p.stdout, `http://([0-9.:]+)/`)}
	require.Eventually(t, func() bool { return page(s.address, "/readyz") != "" }, startTime, pollTime, "server is not ready")
	return s
}

func (s *server) ws() string { return "ws://" + s.address + "/ws" }

// again starts the server once more, on the same data and port, after it has ended.
func (s *server) again() *server {
	s.t.Helper()
	return startServer(s.t, s.data, s.address)
}

// page answers what is at a path, or nothing.
func page(address, path string) string {
	response, err := http.Get("http://" + address + path)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// list is a list as REST answers it.
type list[T any] struct {
	Items []T `json:"items"`
	Total int `json:"total"`
}

// fetch asks REST and decodes the answer into what to points to.
func (s *server) fetch(path string, query url.Values, to any) {
	s.t.Helper()
	response, err := http.Get("http://" + s.address + path + "?" + query.Encode())
	require.NoError(s.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, response.StatusCode, "%s: %s", path, body)
	require.NoError(s.t, json.Unmarshal(body, to), "%s: %s", path, body)
}

// whole fetches a list page by page.
func whole[T any](s *server, path string, query url.Values) []T {
	s.t.Helper()
	var items []T
	query.Set("limit", "1000")
	for {
		query.Set("offset", strconv.Itoa(len(items)))
		var p list[T]
		s.fetch(path, query, &p)
		items = append(items, p.Items...)
		if len(items) >= p.Total || len(p.Items) == 0 {
			require.Len(s.t, items, p.Total, path)
			return items
		}
	}
}

type consumerInfo struct {
	Consumer string `json:"consumer"`
	Floor    uint64 `json:"floor"`
	Pending  int    `json:"pending"`
	InFlight int    `json:"in_flight"`
}

// settle waits until the collector has stored everything that the hub has.
func (s *server) settle() {
	s.t.Helper()
	var last []consumerInfo
	require.Eventually(s.t, func() bool {
		last = whole[consumerInfo](s, "/api/v1/consumers", url.Values{})
		return len(last) == 1 && last[0].Pending == 0 && last[0].InFlight == 0
	}, startTime, pollTime, "the collector has not caught up: %+v", &last)
}

// agentSummary is what an agent says with --summary json.
type agentSummary struct {
	Read         int `json:"rows_read"`
	Readings     int `json:"readings"`
	Acknowledged int `json:"rows_acknowledged"`
	Duplicate    int `json:"rows_duplicate"`
	Rejected     int `json:"rows_rejected"`
	Unanswered   int `json:"rows_unanswered"`
	Rejects      []struct {
		Reason string `json:"reason"`
		Rows   int    `json:"rows"`
		Lines  []int  `json:"lines"`
	} `json:"rejects"`
}

// startAgent starts an agent that ends with a JSON summary.
func startAgent(s *server, flags ...string) *process {
	s.t.Helper()
	return launch(s.t, "agent", append([]string{"--server", s.ws(), "--summary", "json"}, flags...)...)
}

// summary is that of an agent that has ended.
func (p *process) summary() agentSummary {
	p.t.Helper()
	var sum agentSummary
	require.NoError(p.t, json.Unmarshal([]byte(p.stdout.String()), &sum), "%q", p.stdout.String())
	return sum
}

// cli runs the operator's tool to its end and answers its standard output.
func (s *server) cli(args ...string) string {
	s.t.Helper()
	p := launch(s.t, "gpupulse", append([]string{"--server", s.ws()}, args...)...)
	require.NoError(s.t, p.stdin.Close())
	p.wait(0, startTime)
	return p.stdout.String()
}

// jsonLines decodes a text of one JSON object a line.
func jsonLines[T any](t *testing.T, text string) []T {
	t.Helper()
	var all []T
	scanner := bufio.NewScanner(strings.NewReader(text))
	for scanner.Scan() {
		var one T
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &one), scanner.Text())
		all = append(all, one)
	}
	return all
}
