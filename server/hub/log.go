package hub

// Log is the durable order of messages that a hub publishes into. Its methods may be
// called concurrently.
type Log interface {
	// Epoch identifies the log: sequences of another epoch mean nothing here.
	Epoch() string
	// Bounds returns the first sequence kept and the last one acknowledged.
	Bounds() (first, last uint64)
	// Append stores a record of count messages and calls done once, when it is safe
	// or refused; body must not change until then. done must return soon. With alone
	// the log may do its work in the caller's goroutine, and done be called in Append.
	Append(count int, body []byte, alone bool, done func(first uint64, unixNano int64, err error))
	// Read visits the records from the one that holds sequence from on, until about
	// maxBytes have been seen or visit returns false. A body is valid in its visit only.
	Read(from uint64, maxBytes int, visit func(first uint64, count int, unixNano int64, body []byte) bool) error
	// FirstSince returns the first sequence stored at or after a time.
	FirstSince(unixNano int64) (uint64, error)
	// Keep tells retention what must stay.
	Keep(from uint64)
	Memory
}

// Memory is a small durable table beside the log: what the hub remembers of its consumers.
type Memory interface {
	// Put sets or, with a nil value, deletes a key; it is safe once a later Append is, or
	// when done is called.
	Put(key string, value []byte, done func(error))
	// Each visits all keys.
	Each(visit func(key string, value []byte))
}
