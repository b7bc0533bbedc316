package cmdline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const envPrefix = "GPUPULSE_"

// resolver gives kong the values of flags that are not on the command line: from
// the environment, then from the file of --config.
type resolver struct {
	env     func(string) (string, bool)
	aliases map[string][]string // flag -> further names in the environment
	flags   map[string]bool     // every flag that a file may set
	file    map[string]string
	loaded  bool
}

// learn notes the flags of the finished model. It takes kong's own reading of
// the environment away, because that comes after the file's.
func (r *resolver) learn(k *kong.Kong) error {
	r.aliases, r.flags = map[string][]string{}, map[string]bool{}
	return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			r.aliases[flag.Name] = flag.Envs
			flag.Envs, flag.Tag.Envs = nil, nil
			if fromElsewhere(flag.Name) && flag.Name != "config" {
				r.flags[flag.Name] = true
			}
		}
		return next(nil)
	})
}

// Validate is there for kong's interface; learn and load check all there is.
func (r *resolver) Validate(*kong.Application) error { return nil }

// Resolve answers the flag's value as text, or nil if nobody set it.
func (r *resolver) Resolve(command *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !fromElsewhere(flag.Name) {
		return nil, nil
	}
	if err := r.load(command); err != nil {
		return nil, err
	}
	for _, name := range r.envNames(flag.Name) {
		if value, ok := r.env(name); ok && value != "" {
			return value, nil
		}
	}
	if value, ok := r.file[flag.Name]; ok {
		return value, nil
	}
	return nil, nil
}

// load reads the file once, as soon as the first flag is asked for.
func (r *resolver) load(command *kong.Context) error {
	if r.loaded {
		return nil
	}
	r.loaded = true
	path, _ := r.env(envPrefix + "CONFIG")
	for _, step := range command.Path {
		if step.Flag != nil && step.Flag.Name == "config" {
			path = fmt.Sprint(command.FlagValue(step.Flag))
		}
	}
	if path == "" {
		return nil
	}
	file, err := readFile(path, r.flags)
	r.file = file
	return err
}

func (r *resolver) envNames(flag string) []string {
	own := envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	return slices.Concat([]string{own}, r.aliases[flag])
}

// describe is a flag's line in the help, with its names in the environment. A flag with
// a placeholder shows that in place of its default, which therefore follows here.
func (r *resolver) describe(value *kong.Value) string {
	if value.Flag == nil || !fromElsewhere(value.Name) {
		return value.Help
	}
	help := value.Help
	if value.HasDefault && value.Default != "" && value.Flag.PlaceHolder != "" && value.Flag.PlaceHolder != value.Default {
		help += " Default: " + value.Default + "."
	}
	return help + " ($" + strings.Join(r.envNames(value.Name), ", $") + ")"
}

// fromElsewhere tells whether a flag has twins outside the command line.
func fromElsewhere(flag string) bool { return flag != "help" && flag != "version" }
