// Package collector takes readings from the hub into the store.
//
// It is a member of a durable consumer: every message is decoded, stored together with
// a checkpoint, and only then acknowledged. A payload that cannot be decoded, or that
// the store can never take, is term'ed, so that the hub keeps it as a dead letter with
// the reason. While the store fails nothing is acknowledged and nothing is given back:
// the messages wait here, their leases are extended, and storing is tried again until
// it works. An outage of the store so costs no message one of its deliveries.
//
// # Goroutines and locks
//
// The SDK's goroutine calls take, which deals messages to workers by the hash of their
// topic, so that one GPU's readings stay in order; each worker has a bounded queue, and
// a full one holds up the SDK and with it the hub. A goroutine extends leases. All of
// them end with Drain or Close. tracker.mu guards the list of what is not yet stored;
// nothing is called while it is held.
package collector
