package wire

import "time"

// Limits that both ends keep to. A hub states its own in Welcome; these are the defaults.
const (
	// MaxFrameBytes bounds what either end sends in one WebSocket message.
	MaxFrameBytes = 1 << 20
	// MaxMessageBytes bounds topic, payload, headers and id of one message
	// together; it leaves a frame room for the message and its envelope.
	MaxMessageBytes = 256 << 10
	// CoalesceBytes is how much a writer gathers into one frame: over this a
	// frame's own cost no longer matters and its latency begins to.
	CoalesceBytes = 64 << 10
	// MaxUnacked bounds the messages that one connection has published and not
	// yet had answered.
	MaxUnacked = 8192
	// MaxSubscriptions bounds the subscriptions and consumer memberships of one connection.
	MaxSubscriptions = 256
	// MaxHeaders bounds the headers of one message.
	MaxHeaders = 32
	// MaxIDBytes bounds a message id.
	MaxIDBytes = 64
	// MaxNameBytes bounds names of connections, publishers and consumers.
	MaxNameBytes = 128
	// PingInterval is how often a hub pings.
	PingInterval = 20 * time.Second
)
