package wire

import "fmt"

// Subprotocols, in the order in which a hub prefers them.
const (
	ProtocolBinary = "gpupulse.v1"      // protobuf in binary messages
	ProtocolJSON   = "gpupulse.v1.json" // protobuf JSON in text messages
)

// Code says why a request was refused or a connection closed. Its range tells a
// client what to do.
//
//	100-199    the request was refused; the connection stays
//	4000-4499  the connection is closed; come back, after the hint if there was one
//	4500-4999  the connection is closed; coming back the same way will not help
type Code uint32

// Codes of refused requests.
const (
	BadFrame       Code = 100 // not a frame, or a kind that this hub does not know
	BadTopic       Code = 101 // topic or filter outside the grammar
	MessageTooBig  Code = 102 // over Welcome.max_message_bytes
	NotAllowed     Code = 103 // the token does not permit it
	TooMany        Code = 104 // a bound on subscriptions, topics or unanswered messages
	NotFound       Code = 105 // no such subscription or consumer
	Conflict       Code = 106 // the consumer exists with other settings, the request number is in use, or the topic has another newest message than expected
	BadRequest     Code = 107 // a field is outside its range
	LogUnavailable Code = 108 // the log cannot take messages now; publish again later
	Internal       Code = 109 // a fault of the hub's own, logged there
)

// Codes that close the connection. They are WebSocket close codes too.
const (
	Draining      Code = 4000 // the hub is going down
	SlowReader    Code = 4001 // the client took nothing for too long
	IdleTimeout   Code = 4002 // no Connect, or no answer to pings
	TooBusy       Code = 4003 // over the hub's bound on connections, or on those begun within a second
	FrameTooBig   Code = 4500 // over Welcome.max_frame_bytes
	ProtocolFault Code = 4501 // not a frame at all, a wrong message type, or no Connect first
	Unauthorised  Code = 4502 // the token is missing, wrong or revoked
	WrongVersion  Code = 4503 // no common subprotocol
)

var codeNames = map[Code]string{
	BadFrame: "bad frame", BadTopic: "bad topic", MessageTooBig: "message too big", NotAllowed: "not allowed",
	TooMany: "too many", NotFound: "not found", Conflict: "conflict", BadRequest: "bad request",
	LogUnavailable: "log unavailable", Internal: "internal error",
	Draining: "draining", SlowReader: "slow reader", IdleTimeout: "idle timeout", TooBusy: "too busy",
	FrameTooBig: "frame too big", ProtocolFault: "protocol fault", Unauthorised: "unauthorised", WrongVersion: "wrong version",
}

// String is the code's name in English.
func (c Code) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// Closes reports whether the code ends the connection.
func (c Code) Closes() bool { return c >= 4000 }

// Retry reports whether coming back may help.
func (c Code) Retry() bool { return c < 4500 }

// Fault is a refusal as a Go error: what a hub sends in Error or a close frame.
type Fault struct {
	Code Code
	Text string
}

func (f *Fault) Error() string {
	if f.Text == "" {
		return f.Code.String()
	}
	return f.Code.String() + ": " + f.Text
}

// Faultf makes a Fault with a formatted text.
func Faultf(code Code, format string, args ...any) *Fault {
	return &Fault{Code: code, Text: fmt.Sprintf(format, args...)}
}
