// Package commitlog is an ordered, durable record of messages on one disk.
//
// Append takes records, each a body that holds some number of messages, and
// answers when they are safe under the chosen Policy. One goroutine, the
// committer, takes everything that waits, gives it sequence numbers, writes it
// with one write and makes it durable with one fdatasync; the next group gathers
// meanwhile. So the cost of a sync is shared by all who publish at that moment
// and nobody waits for a timer.
//
// Beside messages the log keeps a small table of named values (Put, Each), made
// durable by the same commits: what a hub must remember about its consumers.
//
// # Files
//
// The directory holds a file lock, segments named by their first sequence, and
// at times one prepared segment, next.tmp. A segment is SegmentBytes of zeros
// really written before use: an fdatasync on a file that does not grow is about
// twice as fast. (With FsyncNever they are a hole.) All numbers are little endian.
//
//	segment   0  8  "GPLOG" 0 0 and the format version, 1
//	          8 16  epoch: random, made with the log; sequences of another epoch mean nothing
//	         24  8  first sequence
//	         32  8  creation time, nanoseconds since 1970
//	         40  8  promised: offset in the segment before this one below which everything
//	                had been acknowledged when this one was begun; 0 if there is none
//	         48  4  CRC-32C of bytes 0 to 47
//	         52 12  zero
//	         64     records, one after another; a zero length ends them
//
//	record    0  4  length of the body
//	          4  4  CRC-32C of everything from byte 8 to the end of the body
//	          8  1  kind: 1 messages, 2 values
//	          9  3  number of messages in the body; 0 for values
//	         12  4  promised: the offset in this segment below which everything had
//	                been acknowledged when this record was written
//	         16  8  sequence of the first message (for values: of the next message)
//	         24  8  time, nanoseconds since 1970; never less than the record's before
//	         32     body
//
// A body of values is a list of: uvarint key length, key, a byte that is 1 if a value
// follows and 0 if the key was deleted, uvarint value length, value. Every segment
// begins with a values record that holds the whole table, so the last segment
// is enough to restore it and old segments can go.
//
// # Recovery
//
// Open scans the last segment. Bytes that do not read back as a record are a torn
// tail if no later record promises them, and are left behind: nobody was told that
// they were safe. If a later record does promise them, acknowledged messages have
// been damaged: that range is skipped, never cut, and reported by Damage with
// segment, offset and sequences. After either the log goes on in a new segment.
// An older segment is scanned when it is first read; its successor's header tells how
// far it was promised, and what lies past that is ignored. Close promises all.
// A header that does not read back is reported as damage and costs no message: the file's
// name has the first sequence, the other segments the epoch.
//
// A failed write or sync fails its group, abandons the segment after the last
// acknowledged record and goes on in a new one as soon as the disk allows. The
// sequences that the failed group had are used again there.
//
// # Goroutines and locks
//
// Who has the turn owns the segment being written: the committer, or the caller of an
// Append that commits for itself. A preparer runs while the next segment's zeros
// are written. Log.mu guards the queue, the list of segments and the table; no
// I/O happens under it. Readers read files without locks; a
// segment that is trimmed under a reader looks to it as if it had never been.
package commitlog
