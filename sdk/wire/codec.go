package wire

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"gpupulse/sdk/topic"
)

// Field numbers of frame.proto that the hot paths below read and write by hand.
const (
	framePublish = 2
	frameDeliver = 19

	publishRequest  = 1
	publishMessages = 2

	deliverSubscription = 1
	deliverDeliveries   = 2

	deliverySequence = 1
	deliveryAttempt  = 2
	deliveryTime     = 3
	deliveryMessage  = 4

	messageTopic   = 1
	messagePayload = 2
	messageHeaders = 3
	messageID      = 4
	messageExpect  = 5
)

// Marshal encodes a frame for the binary subprotocol.
func Marshal(f *Frame) ([]byte, error) {
	b, err := proto.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	return b, nil
}

// Unmarshal decodes a frame of the binary subprotocol. A frame of no kind, or of one that
// this version does not know, is a *Fault with BadFrame; what is no frame at all one
// with ProtocolFault.
func Unmarshal(b []byte) (*Frame, error) {
	f := new(Frame)
	if err := proto.Unmarshal(b, f); err != nil {
		return nil, Faultf(ProtocolFault, "not a frame: %v", err)
	}
	return f, known(f)
}

// MarshalJSON encodes a frame for the JSON subprotocol.
func MarshalJSON(f *Frame) ([]byte, error) {
	b, err := protojson.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	// protojson varies its spaces on purpose; bytes that differ from run to run serve nobody.
	var compact json.RawMessage = b
	return json.Marshal(compact)
}

// UnmarshalJSON decodes a frame of the JSON subprotocol; errors as Unmarshal's.
func UnmarshalJSON(b []byte) (*Frame, error) {
	f := new(Frame)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, f); err != nil {
		return nil, Faultf(ProtocolFault, "not a frame: %v", err)
	}
	return f, known(f)
}

func known(f *Frame) error {
	if f.GetKind() == nil {
		return Faultf(BadFrame, "a frame of no kind that is known here")
	}
	return nil
}

// IsPublish reports whether the binary frame b is a Publish, and returns its content for
// ParsePublish.
func IsPublish(b []byte) (content []byte, ok bool) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num != framePublish || typ != protowire.BytesType {
		return nil, false
	}
	content, m := protowire.ConsumeBytes(b[n:])
	if m < 0 || n+m != len(b) {
		return nil, false
	}
	return content, true
}

// IsDeliver reports whether the binary frame b is a Deliver, and returns its content for
// ParseDeliver.
func IsDeliver(b []byte) (content []byte, ok bool) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 || num != frameDeliver || typ != protowire.BytesType {
		return nil, false
	}
	content, m := protowire.ConsumeBytes(b[n:])
	if m < 0 || n+m != len(b) {
		return nil, false
	}
	return content, true
}

// ParsePublish reads the content of a Publish without copying: visit is called with the
// encoding of each message in turn, and what it returns ends the parse.
func ParsePublish(content []byte, visit func(message []byte) error) (request uint64, err error) {
	err = fields(content, func(num protowire.Number, v uint64, b []byte) error {
		switch {
		case num == publishRequest && b == nil:
			request = v
		case num == publishMessages && b != nil:
			return visit(b)
		}
		return nil
	})
	return request, err
}

// ParseDeliver reads the content of a Deliver without copying.
func ParseDeliver(content []byte, visit func(d RawDelivery) error) (subscription uint64, err error) {
	err = fields(content, func(num protowire.Number, v uint64, b []byte) error {
		switch {
		case num == deliverSubscription && b == nil:
			subscription = v
		case num == deliverDeliveries && b != nil:
			d, err := parseDelivery(b)
			if err != nil {
				return err
			}
			return visit(d)
		}
		return nil
	})
	return subscription, err
}

// RawDelivery is a Delivery whose message is still encoded.
type RawDelivery struct {
	Sequence uint64
	Attempt  uint32
	UnixNano int64
	Message  []byte
}

func parseDelivery(b []byte) (d RawDelivery, err error) {
	err = fields(b, func(num protowire.Number, v uint64, b []byte) error {
		switch num {
		case deliverySequence:
			d.Sequence = v
		case deliveryAttempt:
			d.Attempt = uint32(v)
		case deliveryTime:
			d.UnixNano = int64(v)
		case deliveryMessage:
			d.Message = b
		}
		return nil
	})
	return d, err
}

// RawMessage is a Message whose parts alias the bytes that it was parsed from.
type RawMessage struct {
	Topic   []byte
	Payload []byte
	ID      []byte
	// Headers counts the headers; EachHeader reads them.
	Headers int
	// Expected is the sequence that the topic's newest message must have, if Expects.
	Expected uint64
	Expects  bool
	encoded  []byte
}

// ParseMessage reads an encoded Message without copying. It checks that it is
// well-formed and that its texts are UTF-8, nothing else.
func ParseMessage(encoded []byte) (m RawMessage, err error) {
	m.encoded = encoded
	err = fields(encoded, func(num protowire.Number, v uint64, b []byte) error {
		if num > messageExpect {
			return nil
		}
		if (b == nil) != (num == messageExpect) {
			return Faultf(BadFrame, "message field %d has the wrong type", num)
		}
		switch num {
		case messageTopic:
			m.Topic = b
		case messagePayload:
			m.Payload = b
			return nil
		case messageHeaders:
			m.Headers++
			return fields(b, func(_ protowire.Number, _ uint64, text []byte) error { return checkText(num, text) })
		case messageID:
			m.ID = b
		case messageExpect:
			m.Expected, m.Expects = v, true
			return nil
		}
		return checkText(num, b)
	})
	return m, err
}

func checkText(num protowire.Number, b []byte) error {
	if !utf8.Valid(b) {
		return Faultf(BadFrame, "message field %d is not UTF-8", num)
	}
	return nil
}

// EachHeader calls visit for every header.
func (m *RawMessage) EachHeader(visit func(name, value string)) {
	_ = fields(m.encoded, func(num protowire.Number, _ uint64, b []byte) error {
		if num != messageHeaders || b == nil {
			return nil
		}
		var name, value string
		err := fields(b, func(num protowire.Number, _ uint64, text []byte) error {
			switch num {
			case 1:
				name = string(text)
			case 2:
				value = string(text)
			}
			return nil
		})
		visit(name, value)
		return err
	}) // ParseMessage has been over these bytes
}

// Check says what keeps a message from being published: a *Fault with BadTopic,
// NotAllowed, BadRequest or MessageTooBig.
func (m *RawMessage) Check(maxBytes int) error {
	t := string(m.Topic)
	if err := topic.Check(t); err != nil {
		return Faultf(BadTopic, "%v", err)
	}
	if topic.Reserved(t) {
		return Faultf(NotAllowed, "topic %q belongs to the hub", t)
	}
	switch {
	case len(m.encoded) > maxBytes:
		return Faultf(MessageTooBig, "message of %d bytes, %d are allowed", len(m.encoded), maxBytes)
	case len(m.ID) > MaxIDBytes:
		return Faultf(BadRequest, "message id of %d bytes, %d are allowed", len(m.ID), MaxIDBytes)
	case m.Headers > MaxHeaders:
		return Faultf(BadRequest, "%d headers, %d are allowed", m.Headers, MaxHeaders)
	}
	return nil
}

// fields walks the fields of an encoded message. b is nil for numbers and not nil for
// bytes. Groups are refused.
func fields(content []byte, visit func(num protowire.Number, v uint64, b []byte) error) error {
	for len(content) > 0 {
		num, typ, n := protowire.ConsumeTag(content)
		if n < 0 {
			return Faultf(BadFrame, "malformed: %v", protowire.ParseError(n))
		}
		content = content[n:]
		var v uint64
		var b []byte
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(content)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(content)
		case protowire.Fixed32Type:
			var v32 uint32
			v32, n = protowire.ConsumeFixed32(content)
			v = uint64(v32)
		case protowire.BytesType:
			b, n = protowire.ConsumeBytes(content)
			if b == nil {
				b = []byte{}
			}
		default:
			return Faultf(BadFrame, "malformed: field %d has wire type %d", num, typ)
		}
		if n < 0 {
			return Faultf(BadFrame, "malformed: %v", protowire.ParseError(n))
		}
		content = content[n:]
		if err := visit(num, v, b); err != nil {
			return err
		}
	}
	return nil
}

// AppendMessage adds the encoding of a message. Headers are in no order.
func AppendMessage(dst []byte, topic string, payload []byte, headers map[string]string, id string, expected *uint64) []byte {
	dst = appendText(dst, messageTopic, topic)
	if len(payload) > 0 {
		dst = protowire.AppendTag(dst, messagePayload, protowire.BytesType)
		dst = protowire.AppendBytes(dst, payload)
	}
	for name, value := range headers {
		dst = protowire.AppendTag(dst, messageHeaders, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(textSize(1, name)+textSize(2, value)))
		dst = appendText(dst, 1, name)
		dst = appendText(dst, 2, value)
	}
	dst = appendText(dst, messageID, id)
	if expected != nil {
		dst = protowire.AppendTag(dst, messageExpect, protowire.VarintType)
		dst = protowire.AppendVarint(dst, *expected)
	}
	return dst
}

// MessageSize is the length of AppendMessage's result.
func MessageSize(topic string, payload []byte, headers map[string]string, id string, expected *uint64) int {
	size := textSize(messageTopic, topic) + textSize(messageID, id)
	if expected != nil {
		size += protowire.SizeTag(messageExpect) + protowire.SizeVarint(*expected)
	}
	if len(payload) > 0 {
		size += protowire.SizeTag(messagePayload) + protowire.SizeBytes(len(payload))
	}
	for name, value := range headers {
		size += protowire.SizeTag(messageHeaders) + protowire.SizeBytes(textSize(1, name)+textSize(2, value))
	}
	return size
}

func appendText(dst []byte, num protowire.Number, text string) []byte {
	if text == "" {
		return dst
	}
	dst = protowire.AppendTag(dst, num, protowire.BytesType)
	return protowire.AppendString(dst, text)
}

func textSize(num protowire.Number, text string) int {
	if text == "" {
		return 0
	}
	return protowire.SizeTag(num) + protowire.SizeBytes(len(text))
}

// AppendPublished adds a message, given by its encoding's size and a function that
// appends it, as one of a Publish's messages.
func AppendPublished(dst []byte, size int, appendMessage func([]byte) []byte) []byte {
	dst = protowire.AppendTag(dst, publishMessages, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	return appendMessage(dst)
}

// AppendPublishedRaw adds an encoded message as one of a Publish's messages.
func AppendPublishedRaw(dst, message []byte) []byte {
	dst = protowire.AppendTag(dst, publishMessages, protowire.BytesType)
	return protowire.AppendBytes(dst, message)
}

// AppendPublish adds the Publish frame whose messages AppendPublished has made.
func AppendPublish(dst []byte, request uint64, messages []byte) []byte {
	return append(AppendPublishHead(dst, request, len(messages)), messages...)
}

// AppendPublishHead adds the head of a Publish frame whose messages, made by
// AppendPublished, take size bytes and must follow.
func AppendPublishHead(dst []byte, request uint64, size int) []byte {
	size += protowire.SizeTag(publishRequest) + protowire.SizeVarint(request)
	dst = protowire.AppendTag(dst, framePublish, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, publishRequest, protowire.VarintType)
	return protowire.AppendVarint(dst, request)
}

// AppendDelivery adds a message with its encoding as one of a Deliver's deliveries. The
// result is the same for every subscription, so it can be shared among them.
func AppendDelivery(dst []byte, sequence uint64, attempt uint32, unixNano int64, message []byte) []byte {
	size := protowire.SizeTag(deliverySequence) + protowire.SizeVarint(sequence) +
		protowire.SizeTag(deliveryAttempt) + protowire.SizeVarint(uint64(attempt)) +
		protowire.SizeTag(deliveryTime) + 8 +
		protowire.SizeTag(deliveryMessage) + protowire.SizeBytes(len(message))
	dst = protowire.AppendTag(dst, deliverDeliveries, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, deliverySequence, protowire.VarintType)
	dst = protowire.AppendVarint(dst, sequence)
	dst = protowire.AppendTag(dst, deliveryAttempt, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(attempt))
	dst = protowire.AppendTag(dst, deliveryTime, protowire.Fixed64Type)
	dst = protowire.AppendFixed64(dst, uint64(unixNano))
	dst = protowire.AppendTag(dst, deliveryMessage, protowire.BytesType)
	return protowire.AppendBytes(dst, message)
}

// AppendDeliver adds the head of a Deliver frame whose deliveries, made by
// AppendDelivery, take size bytes and must follow.
func AppendDeliver(dst []byte, subscription uint64, size int) []byte {
	size += protowire.SizeTag(deliverSubscription) + protowire.SizeVarint(subscription)
	dst = protowire.AppendTag(dst, frameDeliver, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, deliverSubscription, protowire.VarintType)
	return protowire.AppendVarint(dst, subscription)
}
