package cmdline

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds a settings file: a hundred flags with long lists fit many times over.
const maxFileBytes = 1 << 20

// readFile reads settings as flag -> value in the words of the command line; the
// items of a list are joined by commas. A key outside known is an error.
func readFile(path string, known map[string]bool) (map[string]string, error) {
	text, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("settings file %s: %w", path, err)
	}
	settings, err := parseFile(text, known)
	if err != nil {
		return nil, fmt.Errorf("settings file %s: %w", path, err)
	}
	return settings, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller names the file
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(text) > maxFileBytes {
		err = fmt.Errorf("over %d bytes", maxFileBytes)
	}
	return text, err
}

func parseFile(text []byte, known map[string]bool) (map[string]string, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	settings := map[string]string{}
	if len(document.Content) == 0 {
		return settings, nil
	}
	top := document.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: must be a list of `flag: value`", top.Line)
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if !known[key.Value] {
			return nil, fmt.Errorf("line %d: unknown key %q", key.Line, key.Value)
		}
		if _, twice := settings[key.Value]; twice {
			return nil, fmt.Errorf("line %d: key %q is there twice", key.Line, key.Value)
		}
		word, err := flagValue(value)
		if err != nil {
			return nil, fmt.Errorf("line %d: key %q %w", value.Line, key.Value, err)
		}
		settings[key.Value] = word
	}
	return settings, nil
}

// flagValue writes a YAML value as one would on the command line.
func flagValue(node *yaml.Node) (string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Tag == "!!null" {
			return "", errors.New("has no value")
		}
		return node.Value, nil
	case yaml.SequenceNode:
		words := make([]string, len(node.Content))
		for i, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return "", errors.New("has a list with something else than words in it")
			}
			words[i] = strings.ReplaceAll(item.Value, ",", `\,`)
		}
		return strings.Join(words, ","), nil
	default:
		return "", errors.New("must be a word, a number or a list of these")
	}
}
