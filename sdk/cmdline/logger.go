package cmdline

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/term"
)

// newLogger makes the process's logger from the common flags.
func newLogger(out io.Writer, c common) (*slog.Logger, error) {
	level, err := parseLevel(c.LogLevel)
	if err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level, AddSource: c.LogAddSource}
	format := strings.ToLower(c.LogFormat)
	if format == "auto" {
		format = "json"
		if isTerminal(out) {
			format = "text"
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(out, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(out, options)), nil
	}
	return nil, fmt.Errorf("--log-format: %q is not auto, text or json", c.LogFormat)
}

func parseLevel(text string) (slog.Level, error) {
	if strings.EqualFold(text, "warning") {
		return slog.LevelWarn, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("--log-level: %q is not debug, info, warn or error", text)
	}
	return level, nil
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
