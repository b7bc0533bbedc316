package hub

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// stats counts what passes through the hub.
type stats struct {
	messagesIn, messagesOut    atomic.Uint64
	bytesIn, bytesOut          atomic.Uint64
	redelivered, dead, dropped atomic.Uint64
	refused                    atomic.Uint64 // handshakes over the bound
	mu                         sync.Mutex
	rateIn, rateOut            meter
	registered                 []prometheus.Collector
}

func (s *stats) tick(elapsed time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rateIn.tick(s.messagesIn.Load(), elapsed)
	s.rateOut.tick(s.messagesOut.Load(), elapsed)
}

// Stats is the hub as a whole.
type Stats struct {
	Server        string    `json:"server"`
	Version       string    `json:"version"`
	Started       time.Time `json:"started"`
	UptimeSeconds float64   `json:"uptime_seconds"`
	Epoch         string    `json:"epoch"`
	Fsync         string    `json:"fsync"`
	Connections   int       `json:"connections"`
	Topics        int       `json:"topics"`
	Subscriptions int       `json:"subscriptions"`
	Consumers     int       `json:"consumers"`
	MessagesIn    uint64    `json:"messages_in"`
	MessagesOut   uint64    `json:"messages_out"`
	BytesIn       uint64    `json:"bytes_in"`
	BytesOut      uint64    `json:"bytes_out"`
	RateIn1s      float64   `json:"rate_in_1s"`
	RateIn1m      float64   `json:"rate_in_1m"`
	RateOut1s     float64   `json:"rate_out_1s"`
	RateOut1m     float64   `json:"rate_out_1m"`
	Redelivered   uint64    `json:"redelivered"`
	DeadLetters   uint64    `json:"dead_letters"`
	Dropped       uint64    `json:"dropped"`
	// Bytes of messages that are in the log and wait to be handed to subscriptions; past
	// the bound publishers wait.
	FanoutBytes    int `json:"fanout_bytes"`
	FanoutMaxBytes int `json:"fanout_max_bytes"`
	// HandshakesRefused counts connections refused because too many began within a second.
	HandshakesRefused uint64 `json:"handshakes_refused"`
}

// Stats tells how the hub is.
func (h *Hub) Stats() Stats {
	conns := h.connections()
	h.mu.Lock()
	consumers := len(h.consumers)
	h.mu.Unlock()
	h.fan.names.RLock()
	topics := len(h.fan.names.byName)
	h.fan.names.RUnlock()
	s := Stats{
		Server: h.o.Name, Version: h.o.Version, Started: h.started.UTC(), UptimeSeconds: time.Since(h.started).Seconds(),
		Epoch: h.epoch, Fsync: h.o.Fsync, Connections: len(conns), Topics: topics, Consumers: consumers,
		MessagesIn: h.stats.messagesIn.Load(), MessagesOut: h.stats.messagesOut.Load(),
		BytesIn: h.stats.bytesIn.Load(), BytesOut: h.stats.bytesOut.Load(),
		Redelivered: h.stats.redelivered.Load(), DeadLetters: h.stats.dead.Load(), Dropped: h.stats.dropped.Load(),
		FanoutBytes: h.fan.depth(), FanoutMaxBytes: fanoutBytes, HandshakesRefused: h.stats.refused.Load(),
	}
	for _, c := range conns {
		s.Subscriptions += int(c.opened.Load())
	}
	h.stats.mu.Lock()
	defer h.stats.mu.Unlock()
	s.RateIn1s, s.RateIn1m = h.stats.rateIn.now, h.stats.rateIn.minute()
	s.RateOut1s, s.RateOut1m = h.stats.rateOut.now, h.stats.rateOut.minute()
	return s
}

// TopicInfo is a topic as lists show it. Counts are of what this process has seen, the
// part of the log that it read at its start included.
type TopicInfo struct {
	Topic        string    `json:"topic"`
	Messages     uint64    `json:"messages"`
	Bytes        uint64    `json:"bytes"`
	Rate1s       float64   `json:"rate_1s"`
	Rate1m       float64   `json:"rate_1m"`
	LastSequence uint64    `json:"last_sequence"`
	LastTime     time.Time `json:"last_time"`
	Subscribers  int       `json:"subscribers"`
}

// Topics lists the topics by name.
func (h *Hub) Topics() []TopicInfo {
	states := h.fan.states("")
	list := make([]TopicInfo, 0, len(states))
	h.fan.mu.Lock()
	defer h.fan.mu.Unlock()
	for _, t := range states {
		if t.messages == 0 {
			continue // its first message is not safe yet
		}
		list = append(list, TopicInfo{
			Topic: t.name, Messages: t.messages, Bytes: t.bytes, Rate1s: t.rate.now, Rate1m: t.rate.minute(),
			LastSequence: t.sequence, LastTime: time.Unix(0, t.unixNano).UTC(), Subscribers: len(h.fan.matchesLocked(t)),
		})
	}
	return list
}

// ConsumerInfo is a durable consumer as lists show it.
type ConsumerInfo struct {
	Consumer    string  `json:"consumer"`
	Filter      string  `json:"filter"`
	Floor       uint64  `json:"floor"`     // everything up to here is answered
	Delivered   uint64  `json:"delivered"` // highest sequence delivered
	Pending     uint64  `json:"pending"`   // sequences not yet delivered; with a filter, at most so many messages
	InFlight    int     `json:"in_flight"` // delivered and not answered
	MaxInFlight int     `json:"max_in_flight"`
	Acked       uint64  `json:"acked"`
	Redelivered uint64  `json:"redelivered"`
	DeadLetters uint64  `json:"dead_letters"`
	Lost        uint64  `json:"lost"` // gone from the log before they were answered
	Members     int     `json:"members"`
	LagSeconds  float64 `json:"lag_seconds"` // age of the oldest message that is not answered
	AckWaitMs   int64   `json:"ack_wait_ms"`
	MaxDeliver  int     `json:"max_deliver"` // 0: without bound
	Paused      bool    `json:"paused"`
	DeadListed  int     `json:"dead_letters_listed"` // can be replayed or purged
}

// Consumers lists the durable consumers by name.
func (h *Hub) Consumers() []ConsumerInfo {
	h.mu.Lock()
	all := make([]*consumer, 0, len(h.consumers))
	for _, c := range h.consumers {
		all = append(all, c)
	}
	h.mu.Unlock()
	slices.SortFunc(all, func(a, b *consumer) int { return strings.Compare(a.name, b.name) })
	list := make([]ConsumerInfo, len(all))
	for i, c := range all {
		list[i] = c.info(time.Now())
	}
	return list
}

func (c *consumer) info(now time.Time) ConsumerInfo {
	_, last := c.hub.log.Bounds()
	c.mu.Lock()
	f := &c.inFlight
	info := ConsumerInfo{
		Consumer: c.name, Filter: c.filter, Floor: f.floorLocked(), Delivered: max(c.counts.last, f.floorLocked()),
		InFlight: f.open, Acked: c.counts.acked, Redelivered: c.counts.redelivered, DeadLetters: c.counts.dead,
		Paused: c.paused, DeadListed: len(c.deadAt), Lost: c.counts.lost, Members: len(c.members), AckWaitMs: c.settings.ackWait.Milliseconds(), MaxDeliver: c.settings.maxDeliver,
	}
	if last > f.scanned {
		info.Pending = last - f.scanned
	}
	for _, m := range c.members {
		info.MaxInFlight += m.maxOpen
	}
	var oldest int64
	if f.head < len(f.slots) {
		oldest = f.slots[f.head].unixNano
	}
	c.mu.Unlock()
	if oldest == 0 && info.Pending > 0 {
		oldest = c.hub.timeOf(info.Floor + 1)
	}
	if oldest > 0 {
		info.LagSeconds = now.Sub(time.Unix(0, oldest)).Seconds()
	}
	return info
}

// timeOf is when the first message at or after a sequence was stored, 0 if there is none.
func (h *Hub) timeOf(sequence uint64) (unixNano int64) {
	err := h.log.Read(sequence, 1, func(_ uint64, _ int, at int64, _ []byte) bool {
		unixNano = at
		return false
	})
	if err != nil {
		h.o.Logger.Error("read log", "seq", sequence, "err", err)
	}
	return unixNano
}

// ConnectionInfo is a connection as lists show it.
type ConnectionInfo struct {
	ID            uint64    `json:"id"`
	Name          string    `json:"name"`
	Client        string    `json:"client"`
	Remote        string    `json:"remote"`
	Protocol      string    `json:"protocol"`
	Since         time.Time `json:"since"`
	Subscriptions int64     `json:"subscriptions"`
	Consumers     int64     `json:"consumers"`
	Published     uint64    `json:"published"`
	Delivered     uint64    `json:"delivered"`
	Dropped       uint64    `json:"dropped"`
	// What waits to be written, and how many messages its live subscriptions may hold: a
	// conflated one holds one a topic.
	QueueMessages    int `json:"queue_messages"`
	QueueMaxMessages int `json:"queue_max_messages"`
	QueueBytes       int `json:"queue_bytes"`
}

// Connections lists the connections, oldest first.
func (h *Hub) Connections() []ConnectionInfo {
	conns := h.connections()
	slices.SortFunc(conns, func(a, b *conn) int { return int(a.id) - int(b.id) })
	list := make([]ConnectionInfo, len(conns))
	for i, c := range conns {
		messages, most, bytes := c.out.depth(h.o.MaxTopics)
		list[i] = ConnectionInfo{
			ID: c.id, Name: c.name, Client: c.client, Remote: c.remote, Protocol: c.protocol, Since: c.since.UTC(),
			Subscriptions: c.opened.Load(), Consumers: c.joined.Load(), Published: c.published.Load(),
			Delivered: c.delivered.Load(), Dropped: c.dropped.Load(), QueueMessages: messages, QueueMaxMessages: most, QueueBytes: bytes,
		}
	}
	return list
}

func (s *stats) register(reg prometheus.Registerer, h *Hub) {
	if reg == nil {
		return
	}
	counter := func(name, help string, v *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) })
	}
	gauge := func(name, help string, v func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, v)
	}
	s.registered = []prometheus.Collector{
		counter("gpupulse_hub_messages_in_total", "Messages that publishers sent.", &s.messagesIn),
		counter("gpupulse_hub_messages_out_total", "Messages delivered to subscriptions and consumers.", &s.messagesOut),
		counter("gpupulse_hub_in_bytes_total", "Bytes of frames received.", &s.bytesIn),
		counter("gpupulse_hub_out_bytes_total", "Bytes of frames sent.", &s.bytesOut),
		counter("gpupulse_hub_redelivered_total", "Messages delivered again.", &s.redelivered),
		counter("gpupulse_hub_dead_letters_total", "Messages sent to the dead letters.", &s.dead),
		counter("gpupulse_hub_dropped_total", "Messages that live subscriptions missed.", &s.dropped),
		counter("gpupulse_hub_handshakes_refused_total", "Connections refused because too many began within a second.", &s.refused),
		gauge("gpupulse_hub_fanout_bytes", "Bytes of messages that wait to be handed to subscriptions.", func() float64 { return float64(h.fan.depth()) }),
		gauge("gpupulse_hub_fanout_max_bytes", "Bound of that: past it publishers wait.", func() float64 { return fanoutBytes }),
		gauge("gpupulse_hub_connections", "Open connections.", func() float64 { return float64(len(h.connections())) }),
		gauge("gpupulse_hub_topics", "Topics known.", func() float64 { return float64(h.Stats().Topics) }),
		consumerCollector{h},
	}
	reg.MustRegister(s.registered...)
}

func (s *stats) unregister(reg prometheus.Registerer) {
	for _, c := range s.registered {
		reg.Unregister(c)
	}
}

// consumerCollector tells each consumer's state.
type consumerCollector struct{ h *Hub }

// consumerMetrics are a consumer's numbers, each with how it is read.
var consumerMetrics = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(ConsumerInfo) float64
}{
	{consumerDesc("pending_messages", "Sequences not yet delivered."), prometheus.GaugeValue, func(c ConsumerInfo) float64 { return float64(c.Pending) }},
	{consumerDesc("in_flight_messages", "Messages delivered and not answered."), prometheus.GaugeValue, func(c ConsumerInfo) float64 { return float64(c.InFlight) }},
	{consumerDesc("max_in_flight_messages", "Messages that all members together may hold unanswered."), prometheus.GaugeValue, func(c ConsumerInfo) float64 { return float64(c.MaxInFlight) }},
	{consumerDesc("members", "Connections that share the work."), prometheus.GaugeValue, func(c ConsumerInfo) float64 { return float64(c.Members) }},
	{consumerDesc("lag_seconds", "Age of the oldest message that is not answered."), prometheus.GaugeValue, func(c ConsumerInfo) float64 { return c.LagSeconds }},
	{consumerDesc("acked_total", "Messages acknowledged."), prometheus.CounterValue, func(c ConsumerInfo) float64 { return float64(c.Acked) }},
	{consumerDesc("redelivered_total", "Messages delivered again."), prometheus.CounterValue, func(c ConsumerInfo) float64 { return float64(c.Redelivered) }},
	{consumerDesc("dead_letters_total", "Messages sent to the dead letters."), prometheus.CounterValue, func(c ConsumerInfo) float64 { return float64(c.DeadLetters) }},
	{consumerDesc("lost_total", "Messages that left the log before they were answered."), prometheus.CounterValue, func(c ConsumerInfo) float64 { return float64(c.Lost) }},
}

func consumerDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("gpupulse_hub_consumer_"+name, help, []string{"consumer"}, nil)
}

// Describe is prometheus.Collector's.
func (c consumerCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range consumerMetrics {
		ch <- m.desc
	}
}

// Collect is prometheus.Collector's.
func (c consumerCollector) Collect(ch chan<- prometheus.Metric) {
	for _, info := range c.h.Consumers() {
		for _, m := range consumerMetrics {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(info), info.Consumer)
		}
	}
}
