package wire_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"gpupulse/sdk/wire"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorsPath = "testdata/vectors.json"

// vector is one golden frame: a good one with its JSON, or a bad one with the code that
// it is refused with. Go and TypeScript read the same file.
type vector struct {
	Name      string          `json:"name"`
	Direction string          `json:"direction,omitempty"`
	JSON      json.RawMessage `json:"json,omitempty"`
	Hex       string          `json:"hex"`
	Code      wire.Code       `json:"code,omitempty"`
}

type named struct {
	name, direction string
	frame           *wire.Frame
}

func goodFrames() []named {
	toHub, toClient, both := "client", "hub", "both"
	message := &wire.Message{Topic: "gpu.node-01.GPU-5fd4f087", Payload: []byte{0, 1, 0xfe, 0xff}, Id: "42"}
	headers := &wire.Message{Topic: "a.b", Headers: map[string]string{"content-type": "text/plain"}, Payload: []byte("hé")}
	delivery := &wire.Delivery{Sequence: math.MaxUint64, Attempt: 3, TimeUnixNano: 1753216954_123456789, Message: message}
	ranges := []*wire.Range{{First: 1, Last: 7}, {First: 9}}
	return []named{
		{"connect", toHub, &wire.Frame{Kind: &wire.Frame_Connect{Connect: &wire.Connect{Token: "secret", Name: "agent node-01", Publisher: "p-1", Agent: "gpupulse-agent 1"}}}},
		{"publish one", toHub, &wire.Frame{Kind: &wire.Frame_Publish{Publish: &wire.Publish{Request: 1, Messages: []*wire.Message{message}}}}},
		{"publish two", toHub, &wire.Frame{Kind: &wire.Frame_Publish{Publish: &wire.Publish{Request: 300, Messages: []*wire.Message{message, headers}}}}},
		{"publish expecting", toHub, &wire.Frame{Kind: &wire.Frame_Publish{Publish: &wire.Publish{Request: 3, Messages: []*wire.Message{{Topic: "a.b", ExpectedSequence: proto.Uint64(300)}, {Topic: "a.c", ExpectedSequence: proto.Uint64(0)}}}}}},
		{"publish none", toHub, &wire.Frame{Kind: &wire.Frame_Publish{Publish: &wire.Publish{Request: 2}}}},
		{"subscribe", toHub, &wire.Frame{Kind: &wire.Frame_Subscribe{Subscribe: &wire.Subscribe{Request: 7, Filter: "gpu.*.>", ConflateMs: 250, SendLast: true, MaxQueue: 10}}}},
		{"subscribe resuming", toHub, &wire.Frame{Kind: &wire.Frame_Subscribe{Subscribe: &wire.Subscribe{Request: 8, Filter: "gpu.>", Epoch: "e-1", AfterSequence: 99}}}},
		{"consume", toHub, &wire.Frame{Kind: &wire.Frame_Consume{Consume: &wire.Consume{
			Request: 9, Consumer: "store", Filter: "gpu.>", Start: wire.Start_START_SEQUENCE, StartSequence: 5,
			StartTimeUnixNano: 1, AckWaitMs: 30000, MaxDeliver: 5, BackoffMs: []uint32{100, 1000}, MaxInFlight: 1000, MaxInFlightBytes: 1 << 20,
		}}}},
		{"unsubscribe", toHub, &wire.Frame{Kind: &wire.Frame_Unsubscribe{Unsubscribe: &wire.Unsubscribe{Request: 9}}}},
		{"ack", toHub, &wire.Frame{Kind: &wire.Frame_Ack{Ack: &wire.Ack{Subscription: 9, Ranges: ranges}}}},
		{"nak", toHub, &wire.Frame{Kind: &wire.Frame_Nak{Nak: &wire.Nak{Subscription: 9, Ranges: ranges, DelayMs: 1500}}}},
		{"term", toHub, &wire.Frame{Kind: &wire.Frame_Term{Term: &wire.Term{Subscription: 9, Ranges: ranges, Reason: "no reading"}}}},
		{"progress", toHub, &wire.Frame{Kind: &wire.Frame_Progress{Progress: &wire.Progress{Subscription: 9, Ranges: ranges}}}},
		{"ping", both, &wire.Frame{Kind: &wire.Frame_Ping{Ping: &wire.Ping{Nonce: 77}}}},
		{"pong", both, &wire.Frame{Kind: &wire.Frame_Pong{Pong: &wire.Pong{Nonce: 77}}}},
		{"welcome", toClient, &wire.Frame{Kind: &wire.Frame_Welcome{Welcome: &wire.Welcome{
			Server: "hub-1", Version: "0.1.0", Epoch: "0b0e6c1e-0000-4000-8000-000000000001", FirstSequence: 1, LastSequence: 1 << 40,
			MaxFrameBytes: wire.MaxFrameBytes, MaxMessageBytes: wire.MaxMessageBytes, MaxUnacked: wire.MaxUnacked,
			PingIntervalMs: 20000, Connection: 12, MaxSubscriptions: wire.MaxSubscriptions,
		}}}},
		{"puback", toClient, &wire.Frame{Kind: &wire.Frame_PubAck{PubAck: &wire.PubAck{Request: 1, FirstSequence: 1000, Count: 64}}}},
		{"puback with exceptions", toClient, &wire.Frame{Kind: &wire.Frame_PubAck{PubAck: &wire.PubAck{Request: 1, FirstSequence: 1000, Count: 3, Exceptions: []*wire.PubException{
			{Index: 0, DuplicateOf: 17}, {Index: 2, Code: uint32(wire.BadTopic), Text: "topic \"\": is empty"},
		}}}}},
		{"subscribed", toClient, &wire.Frame{Kind: &wire.Frame_Subscribed{Subscribed: &wire.Subscribed{Request: 8, Epoch: "e-1", Sequence: 120, Recovered: true}}}},
		{"deliver", toClient, &wire.Frame{Kind: &wire.Frame_Deliver{Deliver: &wire.Deliver{Subscription: 7, Deliveries: []*wire.Delivery{
			delivery, {Sequence: 2, Attempt: 1, TimeUnixNano: -1, Message: headers},
		}}}}},
		{"dropped", toClient, &wire.Frame{Kind: &wire.Frame_Dropped{Dropped: &wire.Dropped{Subscription: 7, Count: 1234}}}},
		{"error", toClient, &wire.Frame{Kind: &wire.Frame_Error{Error: &wire.Error{Request: 3, Code: uint32(wire.NotFound), Text: "no subscription 3"}}}},
		{"go away", toClient, &wire.Frame{Kind: &wire.Frame_GoAway{GoAway: &wire.GoAway{Reason: "draining", RetryAfterMs: 2500}}}},
	}
}

func badFrames() []vector {
	return []vector{
		{Name: "truncated", Hex: "0a0a61", Code: wire.ProtocolFault},
		{Name: "not protobuf", Hex: "ffffffffffffffffffffff", Code: wire.ProtocolFault},
		{Name: "empty", Hex: "", Code: wire.BadFrame},
		{Name: "unknown kind", Hex: "fa0700", Code: wire.BadFrame},
		{Name: "text that is not UTF-8", Hex: "0a040a02c328", Code: wire.ProtocolFault},
	}
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	file, err := os.ReadFile(vectorsPath)
	require.NoError(t, err)
	var vectors struct{ Good, Bad []vector }
	require.NoError(t, json.Unmarshal(file, &vectors))
	frames := goodFrames()
	require.Len(t, vectors.Good, len(frames), "run with -update")
	for i, v := range vectors.Good {
		t.Run(v.Name, func(t *testing.T) {
			want := frames[i].frame
			b, err := hex.DecodeString(v.Hex)
			require.NoError(t, err)
			f, err := wire.Unmarshal(b)
			require.NoError(t, err)
			require.True(t, proto.Equal(want, f), "binary: %v", f)
			f, err = wire.UnmarshalJSON(v.JSON)
			require.NoError(t, err)
			require.True(t, proto.Equal(want, f), "JSON: %v", f)
			b, err = wire.MarshalJSON(want)
			require.NoError(t, err)
			require.JSONEq(t, string(v.JSON), string(b))
		})
	}
	for _, v := range vectors.Bad {
		t.Run(v.Name, func(t *testing.T) {
			b, err := hex.DecodeString(v.Hex)
			require.NoError(t, err)
			_, err = wire.Unmarshal(b)
			var fault *wire.Fault
			require.ErrorAs(t, err, &fault)
			require.Equal(t, v.Code, fault.Code)
		})
	}
}

func writeVectors(t *testing.T) {
	var out struct {
		Good []vector `json:"good"`
		Bad  []vector `json:"bad"`
	}
	for _, f := range goodFrames() {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(f.frame)
		require.NoError(t, err)
		j, err := wire.MarshalJSON(f.frame)
		require.NoError(t, err)
		out.Good = append(out.Good, vector{Name: f.name, Direction: f.direction, JSON: j, Hex: hex.EncodeToString(b)})
	}
	out.Bad = badFrames()
	b, err := json.MarshalIndent(out, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll("testdata", 0o755))
	require.NoError(t, os.WriteFile(vectorsPath, append(b, '\n'), 0o644))
}

// TestHandWrittenEqualsGenerated holds the hot paths against the generated code.
func TestHandWrittenEqualsGenerated(t *testing.T) {
	for _, v := range goodFrames() {
		encoded, err := wire.Marshal(v.frame)
		require.NoError(t, err)
		switch k := v.frame.GetKind().(type) {
		case *wire.Frame_Publish:
			var messages []byte
			for _, m := range k.Publish.GetMessages() {
				size := wire.MessageSize(m.GetTopic(), m.GetPayload(), m.GetHeaders(), m.GetId(), m.ExpectedSequence)
				messages = wire.AppendPublished(messages, size, func(dst []byte) []byte {
					return wire.AppendMessage(dst, m.GetTopic(), m.GetPayload(), m.GetHeaders(), m.GetId(), m.ExpectedSequence)
				})
			}
			require.Equal(t, encoded, wire.AppendPublish(nil, k.Publish.GetRequest(), messages))
			content, ok := wire.IsPublish(encoded)
			require.True(t, ok)
			i := 0
			request, err := wire.ParsePublish(content, func(message []byte) error {
				sameMessage(t, k.Publish.GetMessages()[i], message)
				i++
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, k.Publish.GetRequest(), request)
			require.Len(t, k.Publish.GetMessages(), i)
		case *wire.Frame_Deliver:
			checkDeliver(t, encoded, k.Deliver)
		default:
			_, publish := wire.IsPublish(encoded)
			_, deliver := wire.IsDeliver(encoded)
			require.False(t, publish || deliver, v.name)
		}
	}
}

func checkDeliver(t *testing.T, encoded []byte, want *wire.Deliver) {
	content, ok := wire.IsDeliver(encoded)
	require.True(t, ok)
	var i int
	var deliveries []byte
	subscription, err := wire.ParseDeliver(content, func(d wire.RawDelivery) error {
		w := want.GetDeliveries()[i]
		require.Equal(t, w.GetSequence(), d.Sequence)
		require.Equal(t, w.GetAttempt(), d.Attempt)
		require.Equal(t, w.GetTimeUnixNano(), d.UnixNano)
		sameMessage(t, w.GetMessage(), d.Message)
		deliveries = wire.AppendDelivery(deliveries, d.Sequence, d.Attempt, d.UnixNano, d.Message)
		i++
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, want.GetSubscription(), subscription)
	require.Equal(t, encoded, append(wire.AppendDeliver(nil, subscription, len(deliveries)), deliveries...))
}

func sameMessage(t *testing.T, want *wire.Message, encoded []byte) {
	m, err := wire.ParseMessage(encoded)
	require.NoError(t, err)
	require.Equal(t, want.GetTopic(), string(m.Topic))
	require.Equal(t, string(want.GetPayload()), string(m.Payload))
	require.Equal(t, want.GetId(), string(m.ID))
	headers := map[string]string{}
	m.EachHeader(func(name, value string) { headers[name] = value })
	require.Len(t, headers, m.Headers)
	for name, value := range want.GetHeaders() {
		require.Equal(t, value, headers[name])
	}
}

func TestCheckRefusesWithTheRightCode(t *testing.T) {
	long := strings.Repeat("x", wire.MaxIDBytes+1)
	many := map[string]string{}
	for i := range wire.MaxHeaders + 1 {
		many[strings.Repeat("h", i+1)] = ""
	}
	for _, c := range []struct {
		topic, id string
		payload   int
		headers   map[string]string
		want      wire.Code
	}{
		{"a.b", "1", 10, nil, 0},
		{"", "", 0, nil, wire.BadTopic},
		{"a..b", "", 0, nil, wire.BadTopic},
		{"a.*", "", 0, nil, wire.BadTopic},
		{"$dead.x", "", 0, nil, wire.NotAllowed},
		{"a", long, 0, nil, wire.BadRequest},
		{"a", "", 1001, nil, wire.MessageTooBig},
		{"a", "", 0, many, wire.BadRequest},
	} {
		m, err := wire.ParseMessage(wire.AppendMessage(nil, c.topic, make([]byte, c.payload), c.headers, c.id, nil))
		require.NoError(t, err)
		err = m.Check(1000)
		if c.want == 0 {
			require.NoError(t, err)
			continue
		}
		var fault *wire.Fault
		require.ErrorAs(t, err, &fault)
		require.Equal(t, c.want, fault.Code, c.topic)
	}
}

func FuzzFrame(f *testing.F) {
	for _, v := range goodFrames() {
		b, err := wire.Marshal(v.frame)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if content, ok := wire.IsPublish(b); ok {
			_, _ = wire.ParsePublish(content, func(message []byte) error {
				if m, err := wire.ParseMessage(message); err == nil && m.Check(1000) == nil {
					require.NotEmpty(t, m.Topic)
					m.EachHeader(func(string, string) {})
				}
				return nil
			})
		}
		if content, ok := wire.IsDeliver(b); ok {
			_, _ = wire.ParseDeliver(content, func(wire.RawDelivery) error { return nil })
		}
		frame, err := wire.Unmarshal(b)
		if err != nil {
			var fault *wire.Fault
			require.ErrorAs(t, err, &fault)
			return
		}
		again, err := wire.Marshal(frame)
		require.NoError(t, err)
		same, err := wire.Unmarshal(again)
		require.NoError(t, err)
		require.True(t, proto.Equal(frame, same))
	})
}
