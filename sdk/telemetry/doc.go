// Package telemetry is what gpupulse measures: the Reading, its payload on the wire, and the
// one vocabulary of metrics.
//
// Sources call the same thing by many names and in many units. The catalogue maps each
// (name, unit) to a canonical metric in base units; a Descriptor carries both. Values are
// kept as they were sent and converted when they are read, so 29 percent is answered as 0.29
// and, to who asks for the source's names, as exactly 29.
//
// Payloads are protobuf (reading.proto), written by hand for speed; a descriptor of the
// catalogue travels as its number, any other one in full. A payload that begins with a
// brace is a JSON reading, for shells and scripts.
//
// history.go has the questions that one asks about stored telemetry.
//
// Everything here is a pure function over values; descriptors of the catalogue are shared
// and read only.
package telemetry
