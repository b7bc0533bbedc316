package hub

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gpupulse/sdk/wire"
	"gpupulse/server/commitlog"
)

// TestExpectationKeepsOthersOut: from the check of an expectation until the log has the message
// nobody else can gather messages, or what was checked might no longer be so.
func TestExpectationKeepsOthersOut(t *testing.T) {
	log, err := commitlog.Open(t.TempDir(), commitlog.Options{SegmentBytes: 1 << 20})
	require.NoError(t, err)
	h, err := New(log, Options{})
	require.NoError(t, err)
	others := func() bool {
		free := h.order.TryRLock()
		if free {
			h.order.RUnlock()
		}
		return free
	}
	expected := uint64(0)
	for name, message := range map[string][]byte{
		"plain":     wire.AppendMessage(nil, "plain", nil, nil, "", nil),
		"expecting": wire.AppendMessage(nil, "expecting", nil, nil, "", &expected),
		"refused":   wire.AppendMessage(nil, "", nil, nil, "", &expected),
	} {
		answered := make(chan *wire.PubAck, 1)
		p := h.newPublication("p", 0, func(ack *wire.PubAck) { answered <- ack })
		h.gather()
		h.add(p, message, false)
		require.Equal(t, name != "expecting", others(), name)
		h.submit(p, true)
		require.True(t, others(), "%s: in the log's order, or refused", name)
		require.Equal(t, name == "refused", len((<-answered).GetExceptions()) > 0, name)
	}
	require.NoError(t, h.Close())
	require.NoError(t, log.Close())
}
