// Package streamer brings what a source reads to the hub.
//
//	source --Read--> Run --queues--> workers --PublishAsync--> publisher --> hub
//
// Run reads batches and splits their readings among the workers by GPU: a GPU's
// readings always take the same way, so they stay in order, and no reading takes
// two. A worker encodes readings, at no more than its rate, into batches of up to
// maxBatch messages. The publisher (an sdk.Client) bounds what is sent and not
// acknowledged; when it is full the workers wait, then their queues fill, then the
// source is not read: nothing piles up and nothing is dropped on the way.
//
// Run ends when the source has ended and everything is acknowledged. When its
// context ends first, it reads no further, sends what the workers hold and waits
// for the acknowledgements, for as long as Options.DrainTimeout. What a rate has
// not let through by then stays unread: it is neither sent nor counted.
//
// Every row that was read is accounted for in Summary, which the metrics of
// Register show too. Goroutines: one for each worker and one that watches the
// context; all end before Run returns. Acknowledgements come on the publisher's
// own goroutine and only count.
//
// The next stop of a row is sdk/publish.go.
package streamer
