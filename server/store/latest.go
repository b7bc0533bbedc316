package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	"gpupulse/sdk/telemetry"
)

// gpu is a GPU as its newest reading shows it. One that the catalogue holds is never
// changed: the writer puts a changed copy in its place.
type gpu struct {
	id     uint32
	uuid   string
	newest int64     // time of the newest reading; no row has a later one
	stamp  stamp     // of the newest reading
	labels *labelSet // of the newest reading
	latest []latest  // one a canonical metric, in the order in which they were first seen
}

// latest is the newest sample of one metric of one GPU.
type latest struct {
	metric     *telemetry.Descriptor
	descriptor uint32
	time       int64
	stamp      stamp
	sent       float64
}

// latestBytes is about what one metric takes in a latest record, and the record's head.
const latestBytes = 40

func (g *gpu) clone() *gpu {
	c := *g
	c.latest = slices.Clone(g.latest)
	return &c
}

// seen takes note of a reading's time and labels.
func (g *gpu) seen(time int64, s stamp, labels *labelSet) {
	if g.labels == nil || time > g.newest || time == g.newest && !s.before(g.stamp) {
		g.newest, g.stamp, g.labels = time, s, labels
	}
}

// sample takes note of a sample. hint is where its metric may be found in g.latest;
// where it was is returned.
func (g *gpu) sample(l latest, hint int) int {
	i := g.find(l.metric, hint)
	if i < 0 {
		g.latest = append(g.latest, l)
		return len(g.latest) - 1
	}
	if old := &g.latest[i]; l.time > old.time || l.time == old.time && !supersedes(old.stamp, old.descriptor, l.stamp, l.descriptor) {
		*old = l
	}
	return i
}

// supersedes reports whether sample a stays where b is of the same GPU, metric and
// time. Equal stamps mean that one reading had the metric under two descriptors.
func supersedes(a stamp, aDescriptor uint32, b stamp, bDescriptor uint32) bool {
	return b.before(a) || a == b && aDescriptor > bDescriptor
}

func (g *gpu) find(d *telemetry.Descriptor, hint int) int {
	if hint < len(g.latest) && g.latest[hint].metric == d {
		return hint
	}
	return slices.IndexFunc(g.latest, func(l latest) bool { return l.metric.Name == d.Name })
}

// appendLatest appends a GPU's latest record:
//
//	newest i64, stamp of the newest reading, labels uvarint,
//	then for each metric: descriptor uvarint, newest less its time uvarint, stamp, value
//
// with stamps and values as in a row.
func appendLatest(dst []byte, g *gpu) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(g.newest))
	dst = appendRowHead(dst, g.stamp, g.labels.id)
	for _, l := range g.latest {
		dst = binary.AppendUvarint(dst, uint64(l.descriptor))
		dst = binary.AppendUvarint(dst, uint64(g.newest-l.time))
		dst = binary.AppendUvarint(dst, uint64(l.stamp.epoch))
		dst = binary.AppendUvarint(dst, l.stamp.sequence)
		dst = appendValue(dst, l.sent)
	}
	return dst
}

// decodeLatest fills g from its latest record and returns its labels' number.
func decodeLatest(g *gpu, record []byte, descriptor func(uint32) *telemetry.Descriptor) (labels uint32, err error) {
	if len(record) < 8 {
		return 0, fmt.Errorf("latest of GPU %d: %w", g.id, errDamaged)
	}
	g.newest = int64(binary.BigEndian.Uint64(record))
	r := reader{b: record[8:]}
	g.stamp, labels = r.stamp(), r.uint32()
	for r.err == nil && len(r.b) > 0 {
		l := latest{descriptor: r.uint32(), time: g.newest - int64(r.uvarint()), stamp: r.stamp(), sent: r.value()}
		if l.metric = descriptor(l.descriptor); l.metric == nil {
			return 0, fmt.Errorf("latest of GPU %d: descriptor %d is missing: %w", g.id, l.descriptor, errDamaged)
		}
		g.latest = append(g.latest, l)
	}
	if r.err != nil {
		return 0, fmt.Errorf("latest of GPU %d: %w", g.id, r.err)
	}
	return labels, nil
}
