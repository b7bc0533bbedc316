package source

import (
	"errors"
	"fmt"
	"strings"

	"gpupulse/sdk/telemetry"
)

// identityLabels are in labels_raw and in columns of their own too.
var identityLabels = map[string]bool{"__name__": true, "uuid": true, "gpu_uuid": true, "hostname": true}

// mergeRaw adds labels in the exporter's syntax, name="value",…, under their standard names; a
// label that a column has given stays.
func mergeRaw(labels map[string]string, raw string) error {
	for rest := strings.TrimSpace(raw); rest != ""; {
		name, after, ok := strings.Cut(rest, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return fmt.Errorf("labels_raw: no equals sign at %q", clip(rest))
		}
		value, more, err := quotedValue(after)
		if err != nil {
			return fmt.Errorf("labels_raw: value of %s: %w", name, err)
		}
		if len(name) > telemetry.MaxLabelBytes || len(value) > telemetry.MaxLabelBytes {
			return fmt.Errorf("labels_raw: %s is longer than %d bytes", clip(name), telemetry.MaxLabelBytes)
		}
		if standard := labelName(name); value != "" && !identityLabels[strings.ToLower(name)] {
			if _, has := labels[standard]; !has {
				labels[standard] = value
			}
		}
		more = strings.TrimSpace(more)
		if more != "" && more[0] != ',' {
			return fmt.Errorf("labels_raw: no comma at %q", clip(more))
		}
		rest = strings.TrimSpace(strings.TrimPrefix(more, ","))
	}
	return nil
}

// quotedValue reads a value in quotes, with backslashes before quotes, backslashes and n.
func quotedValue(s string) (value, rest string, err error) {
	if s == "" || s[0] != '"' {
		return "", "", errors.New("is not in quotes")
	}
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return out.String(), s[i+1:], nil
		case '\\':
			i++
			if i == len(s) {
				return "", "", errors.New("ends in a backslash")
			}
			if s[i] == 'n' {
				out.WriteByte('\n')
			} else {
				out.WriteByte(s[i])
			}
		default:
			out.WriteByte(s[i])
		}
	}
	return "", "", errors.New("has no closing quote")
}
