package cmdline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk/cmdline"
)

type settings struct {
	Listen  string        `help:"Address and port." default:"127.0.0.1:8080"`
	AckWait time.Duration `help:"Time to answer a message." default:"30s"`
	MaxSize cmdline.Bytes `help:"Size of the log." default:"10GiB"`
	DataDir string        `help:"Directory." default:"./data" placeholder:"DIR"`
	Hosts   []string      `help:"Only these hosts."`
	Loop    bool          `help:"Again and again." env:"AGAIN"`
	Rate    float64       `help:"Rows per second." default:"0"`
}

// parse runs Parse in a world of its own.
func parse(t *testing.T, file string, env map[string]string, args ...string) (settings, error) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "settings.yaml")
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		args = append(args, "--config", path)
	}
	var cfg settings
	_, err := program(env, args...).Parse(&cfg)
	return cfg, err
}

func program(env map[string]string, args ...string) cmdline.Program {
	if args == nil {
		args = []string{}
	}
	return cmdline.Program{
		Name: "demo", Description: "Shows the settings.", Args: args,
		Env:    func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{},
		Exit: func(status int) { panic(exited(status)) },
	}
}

type exited int

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	env := map[string]string{"GPUPULSE_LISTEN": "env:1"}
	for _, step := range []struct {
		name, file string
		env        map[string]string
		args       []string
		want       string
	}{
		{"default", "", nil, nil, "127.0.0.1:8080"},
		{"file", "listen: file:1", nil, nil, "file:1"},
		{"environment", "listen: file:1", env, nil, "env:1"},
		{"flag", "listen: file:1", env, []string{"--listen", "flag:1"}, "flag:1"},
		{"empty environment is unset", "listen: file:1", map[string]string{"GPUPULSE_LISTEN": ""}, nil, "file:1"},
	} {
		t.Run(step.name, func(t *testing.T) {
			cfg, err := parse(t, step.file, step.env, step.args...)
			require.NoError(t, err)
			assert.Equal(t, step.want, cfg.Listen)
		})
	}
}

func TestEveryKindOfValueFromEverywhere(t *testing.T) {
	want := settings{DataDir: "./data", Listen: "[::1]:9", AckWait: 36 * time.Hour, MaxSize: 64 << 10, Hosts: []string{"a", "b"}, Loop: true, Rate: 0.5}
	fromFile := "# of the demo\nlisten: '[::1]:9'\nack-wait: 1d12h\nmax-size: 64KiB\nhosts: [a, b]\nloop: true\nrate: 0.5\n"
	fromEnv := map[string]string{
		"GPUPULSE_LISTEN": "[::1]:9", "GPUPULSE_ACK_WAIT": "1d12h", "GPUPULSE_MAX_SIZE": "64KiB",
		"GPUPULSE_HOSTS": "a,b", "AGAIN": "true", "GPUPULSE_RATE": "0.5",
	}
	fromArgs := []string{"--listen=[::1]:9", "--ack-wait=1d12h", "--max-size=64KiB", "--hosts=a,b", "--loop", "--rate=0.5"}

	cfg, err := parse(t, fromFile, nil)
	require.NoError(t, err)
	assert.Equal(t, want, cfg, "file")
	cfg, err = parse(t, "", fromEnv)
	require.NoError(t, err)
	assert.Equal(t, want, cfg, "environment")
	cfg, err = parse(t, "", nil, fromArgs...)
	require.NoError(t, err)
	assert.Equal(t, want, cfg, "flags")
}

func TestCommaInsideOneItemOfAListSurvives(t *testing.T) {
	cfg, err := parse(t, "hosts: ['rack 1, left', b]", nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"rack 1, left", "b"}, cfg.Hosts)
}

func TestConfigFromTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.yaml")
	require.NoError(t, os.WriteFile(path, []byte("rate: 2"), 0o600))
	cfg, err := parse(t, "", map[string]string{"GPUPULSE_CONFIG": path})
	require.NoError(t, err)
	assert.Equal(t, 2.0, cfg.Rate)
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for _, c := range []struct {
		name, file string
		env        map[string]string
		args       []string
		want       []string
	}{
		{"unknown key", "listen: a:1\nlisen: b:2\n", nil, nil, []string{"settings.yaml", "line 2", `unknown key "lisen"`}},
		{"key of another spelling", "ack_wait: 1s", nil, nil, []string{`unknown key "ack_wait"`}},
		{"file naming a file", "config: x", nil, nil, []string{`unknown key "config"`}},
		{"key twice", "rate: 1\nrate: 2", nil, nil, []string{`"rate" is there twice`}},
		{"key without value", "rate:", nil, nil, []string{`"rate" has no value`}},
		{"nested", "rate: {a: 1}", nil, nil, []string{`"rate" must be`}},
		{"no mapping", "- rate", nil, nil, []string{"must be a list"}},
		{"no YAML", "rate: [1", nil, nil, []string{"settings.yaml"}},
		{"bad duration in file", "ack-wait: soon", nil, nil, []string{"ack-wait", "soon", "such as"}},
		{"bad size in environment", "", map[string]string{"GPUPULSE_MAX_SIZE": "-1GiB"}, nil, []string{"max-size", "-1GiB"}},
		{"bad number as flag", "", nil, []string{"--rate=fast"}, []string{"rate", "fast"}},
		{"unknown flag", "", nil, []string{"--lisen=x"}, []string{"--lisen"}},
		{"no such file", "", nil, []string{"--config=gone.yaml"}, []string{"gone.yaml", "no such file"}},
		{"log level", "", map[string]string{"LOG_LEVEL": "loud"}, nil, []string{"--log-level", "loud"}},
		{"log format", "log-format: xml", nil, nil, []string{"--log-format", "xml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, c.file, c.env, c.args...)
			require.Error(t, err)
			for _, word := range c.want {
				assert.ErrorContains(t, err, word)
			}
		})
	}
}

func TestLogLevelAndFormatHaveTheirPlainNames(t *testing.T) {
	for _, name := range []string{"", "GPUPULSE_"} {
		p := program(map[string]string{name + "LOG_LEVEL": "WARNING", name + "LOG_FORMAT": "text", name + "LOG_ADD_SOURCE": "true"})
		invocation, err := p.Parse(&settings{})
		require.NoError(t, err)
		invocation.Log.Info("quiet")
		invocation.Log.Warn("loud", "topic", "gpu.a")
		out := p.Stderr.(*bytes.Buffer).String()
		assert.NotContains(t, out, "quiet")
		assert.Contains(t, out, "level=WARN")
		assert.Contains(t, out, "topic=gpu.a")
		assert.Contains(t, out, "program_test.go")
	}
}

func TestLogIsJSONAwayFromATerminal(t *testing.T) {
	p := program(nil)
	invocation, err := p.Parse(&settings{})
	require.NoError(t, err)
	invocation.Log.Info("started")
	assert.Contains(t, p.Stderr.(*bytes.Buffer).String(), `"msg":"started"`)
}

func TestHelpShowsDefaultsUnitsAndTwins(t *testing.T) {
	p := program(nil, "--help")
	assert.PanicsWithValue(t, exited(0), func() { _, _ = p.Parse(&settings{}) })
	help := p.Stdout.(*bytes.Buffer).String()
	for _, want := range []string{`--listen="127.0.0.1:8080"`, "--ack-wait=30s", "--max-size=10GiB", "$GPUPULSE_ACK_WAIT", "$AGAIN", "$LOG_LEVEL", "Shows the settings.", "--data-dir=DIR", "Default: ./data."} {
		assert.Contains(t, help, want)
	}
}

func TestVersionNamesTheBuild(t *testing.T) {
	p := program(nil, "--version")
	assert.PanicsWithValue(t, exited(0), func() { _, _ = p.Parse(&settings{}) })
	assert.Contains(t, p.Stdout.(*bytes.Buffer).String(), cmdline.CurrentBuild().String())
}

type statusError int

func (s statusError) Error() string { return fmt.Sprintf("status %d", int(s)) }
func (s statusError) ExitCode() int { return int(s) }

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		err  error
		want int
	}{
		{"done", nil, nil, 0},
		{"failed", nil, errors.New("disk is full"), 1},
		{"own status", nil, fmt.Errorf("query: %w", statusError(7)), 7},
		{"canceled by itself", nil, context.Canceled, 1},
		{"wrong flag", []string{"--nope"}, nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := program(nil, c.args...)
			got := p.Main(&settings{}, func(context.Context, *cmdline.Invocation) error { return c.err })
			assert.Equal(t, c.want, got)
			if c.want == 1 || c.want == 7 {
				assert.Equal(t, "demo: "+c.err.Error()+"\n", p.Stderr.(*bytes.Buffer).String())
			}
		})
	}
}

func TestSignalEndsTheContextAndTheStatusIsZero(t *testing.T) {
	got := program(nil).Main(&settings{}, func(ctx context.Context, _ *cmdline.Invocation) error {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			return err
		}
		<-ctx.Done()
		return fmt.Errorf("serve: %w", ctx.Err())
	})
	assert.Zero(t, got)
}

type commands struct {
	Server string `default:"ws://127.0.0.1:8080/ws"`
	Show   show   `cmd:"" help:"Show a thing."`
}

type show struct {
	Name  string `arg:""`
	Limit int    `default:"10"`
}

func (s *show) Run(ctx context.Context, log *slog.Logger, seen *[]string) error {
	log.Debug("asked")
	*seen = append(*seen, fmt.Sprint(s.Name, s.Limit, ctx.Err()))
	return nil
}

func TestCommandsGetWhatTheyAskFor(t *testing.T) {
	var seen []string
	p := program(map[string]string{"GPUPULSE_LIMIT": "3"}, "show", "x")
	invocation, err := p.Parse(&commands{})
	require.NoError(t, err)
	require.NoError(t, invocation.Run(t.Context(), &seen))
	assert.Equal(t, []string{"x3 <nil>"}, seen)
}
