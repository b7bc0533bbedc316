// Command gpupulse is the operator's tool: it publishes and subscribes over the
// hub's WebSocket and asks the server's REST interface.
//
// Results go to standard output, everything else to standard error. Exit status:
// 0 done, or ended by Ctrl-C or a closed pipe; 1 refused or failed; 2 wrong usage; 3
// the server cannot be reached.
package main

import (
	"io"
	"os"

	"gpupulse/sdk/cmdline"
)

// cli is the whole command line; each command stands in a file of its own or with
// its like.
type cli struct {
	connection `embed:""`

	Pub         pubCommand         `cmd:"" help:"Publish messages: one from an argument or a file, or every line of standard input."`
	Sub         subCommand         `cmd:"" help:"Print what is published, as it comes: readings as JSON lines."`
	Topics      topicsCommand      `cmd:"" help:"List topics with their rates."`
	Consumers   consumersCommand   `cmd:"" help:"List durable consumers with their lag."`
	Consumer    consumerCommand    `cmd:"" help:"Pause, resume, reset or delete a durable consumer."`
	DeadLetters deadLettersCommand `cmd:"" name:"dead-letters" help:"List, replay or purge what a consumer gave up."`
	Connections connectionsCommand `cmd:"" help:"List connections."`
	Hosts       hostsCommand       `cmd:"" help:"List hosts."`
	GPUs        gpusCommand        `cmd:"" name:"gpus" help:"List GPUs."`
	Query       queryCommand       `cmd:"" help:"Print the stored readings of a GPU."`
	Bench       benchCommand       `cmd:"" help:"Publish many messages and print rate and latency."`
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	var c cli
	cmdline.Commands("gpupulse", "Publish to, listen to and ask a gpupulse server.", &c,
		&c.connection, &streams{os.Stdin, os.Stdout, os.Stderr})
}
