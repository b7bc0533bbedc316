// Package hub is the broker: it takes messages from publishers, stores them in a log,
// answers once they are safe, and hands them to live subscriptions and durable consumers.
//
// # The way of a message
//
//	conn.read -> dispatch -> add: check, dedupe -> submit: log.Append
//	  log's committer -> PubAck into the publisher's outbox
//	                  -> fanout.push -> fanout.run -> each matching subscription's queue
//	                                               -> wakes the durable consumers
//	  consumer.run: log.Read -> a member's outbox        conn.write: outbox -> socket
//
// # Goroutines
//
// Two for each connection, its reader (the HTTP request's own) and its writer; one for the
// fan-out; one for each durable consumer; one clock, once a second. The log's committer
// calls back and must not be held up: what it calls only queues.
//
// # Who waits for whom
//
// A publisher waits for its window (wire.MaxUnacked), for the log's queue and for the
// fan-out's (fanoutBytes); nobody waits for a subscriber. A live subscription that is
// slow loses its oldest messages, or keeps the newest of each topic if it is
// conflated, and is told how many it lost. A consumer is a place in the log: what its
// members have not asked for yet costs no memory.
//
// # Locks
//
// Hub.mu (lists of connections and consumers) before consumer.mu; fanout.mu before
// outbox.mu; consumer.mu before outbox.mu. dedupe.mu and the fan-out's queue and names
// stand alone. No I/O happens under any of them.
package hub
