package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// environment holds the binaries and a directory for data.
type environment struct {
	dir    string
	length time.Duration
	binary map[string]string
}

func newEnvironment(length time.Duration) (*environment, error) {
	dir, err := os.MkdirTemp("", "gpupulse-bench")
	if err != nil {
		return nil, err
	}
	e := &environment{dir: dir, length: length, binary: map[string]string{}}
	for name, path := range map[string]string{"gpupulse-server": "./server", "nats-server": "github.com/nats-io/nats-server/v2"} {
		e.binary[name] = filepath.Join(dir, name)
		build := exec.Command("go", "build", "-o", e.binary[name], path)
		build.Stderr = os.Stderr
		if strings.HasPrefix(path, "./") {
			build.Dir = "../.." // our own: with the versions of its own module
		}
		if err := build.Run(); err != nil {
			return nil, errors.Join(fmt.Errorf("build %s: %w", path, err), e.close())
		}
	}
	return e, nil
}

func (e *environment) close() error { return os.RemoveAll(e.dir) }

// server is a running process.
type server struct {
	command *exec.Cmd
	data    string
	address string // host:port
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// start runs a binary until it answers at its address.
func (e *environment) start(binary string, args func(address, data string) ([]string, error), ready func(address string) bool) (*server, error) {
	address, err := freePort()
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp(e.dir, "data")
	if err != nil {
		return nil, err
	}
	list, err := args(address, data)
	if err != nil {
		return nil, err
	}
	s := &server{command: exec.Command(e.binary[binary], list...), data: data, address: address}
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ready(address) {
			return s, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("%s did not answer at %s", binary, address), s.stop())
}

func (s *server) stop() error {
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = s.command.Wait() // how it ends is not measured
	return os.RemoveAll(s.data)
}

// memory is the resident size in MiB.
func (s *server) memory() (float64, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(s.command.Process.Pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("no VmRSS")
}

func (e *environment) gpupulse(fsync string) (*server, error) {
	return e.start("gpupulse-server", func(address, data string) ([]string, error) {
		return []string{"--listen", address, "--data-dir", data, "--fsync", fsync, "--log-level", "warn"}, nil
	}, func(address string) bool {
		response, err := http.Get("http://" + address + "/healthz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// nats starts nats-server with JetStream; sync is its sync_interval, "" its default. Its
// WebSocket port is the one that is told.
func (e *environment) nats(sync string) (plain, web string, s *server, err error) {
	web, err = freePort()
	if err != nil {
		return "", "", nil, err
	}
	s, err = e.start("nats-server", func(address, data string) ([]string, error) {
		config := fmt.Sprintf("listen: %q\nmax_payload: 1MB\nwebsocket { listen: %q, no_tls: true }\njetstream { store_dir: %q", address, web, data)
		if sync != "" {
			config += "\nsync_interval: " + sync
		}
		path := filepath.Join(data, "nats.conf")
		return []string{"-c", path}, os.WriteFile(path, []byte(config+"\n}\n"), 0o644)
	}, func(address string) bool {
		for _, a := range []string{address, web} {
			c, err := net.Dial("tcp", a)
			if err != nil {
				return false
			}
			_ = c.Close()
		}
		return true
	})
	if err != nil {
		return "", "", nil, err
	}
	return "nats://" + s.address, "ws://" + web, s, nil
}
