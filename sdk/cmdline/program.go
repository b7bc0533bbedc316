package cmdline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit statuses of a process.
const (
	exitFailed = 1
	exitUsage  = 2
)

// Program is a binary and the world that it runs in. Of the fields from Args
// on, a zero value means the process's own.
type Program struct {
	Name        string
	Description string
	LogLevel    string // default of --log-level; empty: info

	Args   []string // without the program's name
	Env    func(name string) (string, bool)
	Stdout io.Writer
	Stderr io.Writer
	Exit   func(status int) // called by --help and --version
}

// Invocation is what Parse made of a command line.
type Invocation struct {
	Log     *slog.Logger
	command *kong.Context
}

// common are the flags of every binary.
type common struct {
	Config       string           `help:"Settings as YAML, one flag a key." placeholder:"FILE"`
	LogLevel     string           `help:"Least level that is logged: debug, info, warn or error." default:"${log_level}" env:"LOG_LEVEL"`
	LogFormat    string           `help:"auto, text or json; auto is text on a terminal, otherwise json." default:"auto" env:"LOG_FORMAT"`
	LogAddSource bool             `help:"Log the file and line of each record." env:"LOG_ADD_SOURCE"`
	Version      kong.VersionFlag `help:"Print version, commit and date, and end."`
}

// Main runs a binary that has one thing to do, and does not return. cfg points to
// its settings, which are filled when run is called; run ends soon after its
// context does.
func Main(name, description string, cfg any, run func(ctx context.Context, log *slog.Logger) error) {
	p := Program{Name: name, Description: description}
	os.Exit(p.Main(cfg, func(ctx context.Context, i *Invocation) error { return run(ctx, i.Log) }))
}

// Commands runs a binary whose cli struct has commands, and does not return. The
// chosen command's method Run(…) error is called with what it asks for of
// context.Context, *slog.Logger and bind. Only warnings are logged by default. A
// reader of standard output that has gone is no failure.
func Commands(name, description string, cli any, bind ...any) {
	p := Program{Name: name, Description: description, LogLevel: "warn"}
	signal.Ignore(syscall.SIGPIPE) // so that a command can end in order
	os.Exit(p.Main(cli, func(ctx context.Context, i *Invocation) error {
		err := i.Run(ctx, bind...)
		if readerGone(err) {
			return nil
		}
		return err
	}))
}

// readerGone tells whether a file could not be written because nobody reads it any
// more, such as standard output behind head. A socket's end is another matter.
func readerGone(err error) bool {
	var file *os.PathError
	return errors.As(err, &file) && errors.Is(file.Err, syscall.EPIPE)
}

// Run calls the chosen command's Run method.
func (i *Invocation) Run(ctx context.Context, bind ...any) error {
	i.command.BindTo(ctx, (*context.Context)(nil))
	return i.command.Run(append(bind, i.Log)...)
}

// Main parses, runs under a context that SIGINT and SIGTERM cancel, and returns
// the exit status. What went wrong is printed to Stderr in one line.
func (p Program) Main(cfg any, run func(context.Context, *Invocation) error) int {
	p = p.withDefaults()
	invocation, err := p.Parse(cfg)
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\nTry %s --help.\n", p.Name, err, p.Name)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal is the system's to handle
	err = run(ctx, invocation)
	if err == nil || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return 0
	}
	fmt.Fprintf(p.Stderr, "%s: %v\n", p.Name, err)
	var coder interface{ ExitCode() int }
	if errors.As(err, &coder) {
		return coder.ExitCode()
	}
	return exitFailed
}

// Parse fills cfg from flags, environment and file.
func (p Program) Parse(cfg any) (*Invocation, error) {
	p = p.withDefaults()
	var shared common
	settings := &resolver{env: p.Env}
	parser, err := kong.New(cfg,
		kong.Embed(&shared),
		kong.Name(p.Name), kong.Description(p.Description),
		kong.Vars{"log_level": p.LogLevel, "version": CurrentBuild().String()},
		kong.Writers(p.Stdout, p.Stderr), kong.Exit(p.Exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ValueFormatter(settings.describe),
		durations(), kong.PostBuild(settings.learn), kong.Resolvers(settings),
	)
	if err != nil {
		return nil, fmt.Errorf("settings of %s: %w", p.Name, err)
	}
	command, err := parser.Parse(p.Args)
	if err != nil {
		return nil, err
	}
	log, err := newLogger(p.Stderr, shared)
	if err != nil {
		return nil, err
	}
	return &Invocation{Log: log, command: command}, nil
}

func (p Program) withDefaults() Program {
	if p.LogLevel == "" {
		p.LogLevel = "info"
	}
	if p.Args == nil {
		p.Args = os.Args[1:]
	}
	if p.Env == nil {
		p.Env = os.LookupEnv
	}
	if p.Stdout == nil {
		p.Stdout = os.Stdout
	}
	if p.Stderr == nil {
		p.Stderr = os.Stderr
	}
	if p.Exit == nil {
		p.Exit = os.Exit
	}
	return p
}
