package telemetry

import (
	"fmt"
	"strings"

	"gpupulse/sdk/topic"
)

// DefaultTopic is where readings are published.
const DefaultTopic = "gpu.{host}.{gpu}"

// Topic fills a template such as DefaultTopic: {host}, {gpu} and {name} for any label, each
// escaped to be one token. A label that the reading lacks is the token %00.
func Topic(template string, r *Reading) (string, error) {
	if template == DefaultTopic {
		return "gpu." + topic.Escape(r.Host) + "." + topic.Escape(r.GPU), nil
	}
	var out strings.Builder
	for rest := template; rest != ""; {
		before, after, found := strings.Cut(rest, "{")
		out.WriteString(before)
		if !found {
			break
		}
		name, more, closed := strings.Cut(after, "}")
		if !closed || name == "" {
			return "", fmt.Errorf("topic template %q: a brace is not closed, or empty", template)
		}
		out.WriteString(topic.Escape(r.placeholder(name)))
		rest = more
	}
	name := out.String()
	if err := topic.Check(name); err != nil {
		return "", fmt.Errorf("topic template %q: %w", template, err)
	}
	return name, nil
}

func (r *Reading) placeholder(name string) string {
	switch name {
	case "host":
		return r.Host
	case "gpu":
		return r.GPU
	}
	return r.Labels[name]
}
