// Package cmdline is the frame around each of the three binaries: it fills a
// settings struct, makes the logger, turns signals into a context and ends the
// process with a meaningful status.
//
// A settings struct is one of github.com/alecthomas/kong's. Each flag has two
// twins: --ack-wait is GPUPULSE_ACK_WAIT in the environment and ack-wait in the
// YAML file that --config names. A flag beats the environment, the environment
// beats the file, the file beats the default. An environment variable that is
// set and empty counts as unset. A file with a key that is no flag is refused,
// so a misspelt setting never passes unnoticed. A flag may have further names in
// the environment through kong's env tag; GPUPULSE_ comes first.
//
// Every binary has these flags besides its own:
//
//	--config FILE         settings in YAML, one flag a key
//	--log-level LEVEL     debug, info, warn, error; also LOG_LEVEL
//	--log-format FORMAT   auto (text on a terminal, otherwise json), text, json; also LOG_FORMAT
//	--log-add-source      file and line of each record; also LOG_ADD_SOURCE
//	--version, --help
//
// Values: a time.Duration is written 250ms, 30s, 24h, 7d or 1w2d; a Bytes is
// written 512, 64KiB or 10GB.
//
// Exit status: 0 done, or ended by SIGINT or SIGTERM as asked; 1 failed; 2 the
// settings are wrong. An error with a method ExitCode() int chooses its own. The
// first signal cancels the context, a second one kills the process.
//
// The package starts no goroutine that outlives Main and keeps no state but the
// build's version, which the linker writes.
package cmdline
