package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gpupulse/sdk"
	"gpupulse/sdk/cmdline"
)

// parse fills the settings as a command line would.
func parse(t *testing.T, args ...string) *agent {
	t.Helper()
	var a agent
	p := cmdline.Program{
		Name: "gpupulse-agent", Args: append([]string{}, args...), Env: func(string) (string, bool) { return "", false },
		Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Exit: func(int) { t.Fatal("exit") },
	}
	_, err := p.Parse(&a)
	require.NoError(t, err)
	return &a
}

func TestSourceIsChosenBySettings(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "no source"},
		{[]string{"--source=nvidia"}, "want csv or sim"},
		{[]string{"--source=csv"}, "needs --csv"},
		{[]string{"--source=sim", "--csv=x"}, "exclude each other"},
		{[]string{"--csv=gone.csv"}, "gone.csv"},
		{[]string{"--csv=-", "--loop"}, "standard input"},
		{[]string{"--source=sim", "--sim-hosts=-1"}, "-1 hosts"},
		{[]string{"--source=sim", "--loop"}, "--loop"},
	} {
		_, err := parse(t, c.args...).open()
		assert.ErrorContains(t, err, c.want, c.args)
	}
	feed, err := parse(t, "--source=sim", "--sim-hosts=2", "--sim-gpus=3").open()
	require.NoError(t, err)
	defer feed.Close()
	batch, err := feed.Read(t.Context())
	require.NoError(t, err)
	assert.Len(t, batch.Readings, 6)
}

func TestHostsThatNobodyHasAreWarnedOf(t *testing.T) {
	a := parse(t, "--source=sim", "--hosts=nobody,noone")
	feed, err := a.open()
	require.NoError(t, err)
	defer feed.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = feed.Read(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var out bytes.Buffer
	feed.warnIfNothingMatched(slog.New(slog.NewTextHandler(&out, nil)), a.Hosts)
	assert.Contains(t, out.String(), "level=WARN")
	assert.Contains(t, out.String(), "nobody")
	assert.Contains(t, out.String(), "rows=32")
}

func TestServerThatStaysAwayIsNotLoggedWithEachTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := connectionLog{log: slog.New(slog.NewTextHandler(&out, nil))}
		away := func(tries int) {
			for range tries {
				<-time.After(time.Second)
				l.onState(sdk.Connecting, nil)
				l.onState(sdk.Disconnected, errors.New("refused"))
			}
		}
		away(29)
		assert.Equal(t, 1, strings.Count(out.String(), "refused"))
		away(30)
		assert.Equal(t, 2, strings.Count(out.String(), "refused"))
		l.onState(sdk.Connected, nil)
		away(1)
		assert.Equal(t, 3, strings.Count(out.String(), "refused"), "a new absence is told at once")
	})
}
