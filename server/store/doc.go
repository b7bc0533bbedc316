// Package store keeps every reading durably and answers questions about them.
//
// # Promise
//
// When Append returns nil, its readings are on disk, together with the checkpoint
// that names the last log sequence whose effect is in the store. Appending the same
// reading again changes nothing: of several samples of one GPU, metric and time the
// one with the highest log sequence stays. Late and unordered readings are found in
// order. Values are kept as they were sent, with a reference to the descriptor that
// says what they mean, so both the canonical and the source's number are exact.
//
// # Layout
//
// One Badger with fixed-width big-endian keys. Everything that repeats is written
// once, in the catalogue, and named by a number that is never given twice:
//
//	key                                     value
//	'!'                                     format version
//	'E' epoch u32                           name of a log's epoch
//	'G' gpu u32                             GPU's id (its UUID, or what identifies it best)
//	'D' descriptor u32                      what a source's number means (JSON)
//	'S' schema u32                          descriptor u32 …: the columns of a row, ascending
//	'L' labels u32                          host and labels
//	'l' first 16 bytes of SHA-256 of those  labels u32
//	'T' gpu u32                             latest record: newest sample of each metric
//	'r' gpu u32  time u64  schema u32       row: stamp, labels, one value a column
//	'C'                                     checkpoint: epoch, sequence
//	'N'                                     number of rows
//
// Times are nanoseconds since 1970 with the sign bit turned over, so that keys sort
// as times do. A reading whose samples have different times becomes a row for each of
// them. A stamp is (epoch, sequence): later epochs win over earlier ones. One file a
// record tells the bytes of the values: row.go, labels.go, latest.go.
//
// # Goroutines and locks
//
// One writer goroutine makes all transactions. It takes every Append that waits, so
// that one fsync serves them all, and it alone changes the catalogue; what a failed
// transaction would have added is forgotten, and its numbers stay unused. catalogue.mu
// guards the maps that queries read; what they point to is never changed after it was
// put there. Queries run in the caller's goroutine on a Badger snapshot.
package store
