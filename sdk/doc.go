// Package sdk is the Go client of a gpupulse hub: publish with acknowledgement,
// subscribe live, consume durably.
//
//	c, err := sdk.Dial(ctx, "ws://127.0.0.1:8080/ws", sdk.Options{Name: "example"})
//	results, err := c.Publish(ctx, sdk.Message{Topic: "demo.hello", Payload: []byte("hi")})
//
// A Client is one connection that comes back by itself, with full jitter. What was
// published and not answered is sent again with the same message ids, so the hub stores
// it once; subscriptions and consumers are opened again.
//
// # Promises
//
// A Result without an error means that the message is in the hub's log, on disk if the
// hub syncs (its default). A consumer's message is delivered until it is answered: at
// least once. A live subscription is at most once, and is told what it missed.
//
// # Goroutines
//
// Each client has one goroutine that connects and reads, one that writes while
// connected, and one for each subscription or consumer, which calls the handler. A
// handler may publish and answer; it must not close its own client. Close waits for
// all of them.
package sdk
