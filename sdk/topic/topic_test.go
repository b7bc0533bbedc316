package topic_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"gpupulse/sdk/topic"
)

func TestCheck(t *testing.T) {
	deep := strings.Repeat("a.", topic.MaxTokens) + "a"
	for _, c := range []struct {
		text          string
		topic, filter bool
	}{
		{"a", true, true},
		{"gpu.dgx-031.GPU-5fd4f087", true, true},
		{"$dead.store", true, true},
		{"gpu.host%2Eexample%2Ecom.0", true, true},
		{"gpu.größe.1", true, true},
		{"gpu.*.0", false, true},
		{"gpu.>", false, true},
		{">", false, true},
		{"*", false, true},
		{"", false, false},
		{".", false, false},
		{"a..b", false, false},
		{"a.", false, false},
		{".a", false, false},
		{"a b", false, false},
		{"a\nb", false, false},
		{"a%2", false, false},
		{"a%zz", false, false},
		{">.a", false, false},
		{"a.b*", false, false},
		{"a.>b", false, false},
		{"a.\xff", false, false},
		{deep, false, false},
		{strings.Repeat("a", topic.MaxBytes+1), false, false},
	} {
		require.Equal(t, c.topic, topic.Check(c.text) == nil, "topic %q: %v", c.text, topic.Check(c.text))
		require.Equal(t, c.filter, topic.CheckFilter(c.text) == nil, "filter %q: %v", c.text, topic.CheckFilter(c.text))
	}
	var fault *topic.Error
	require.ErrorAs(t, topic.Check("ab.c d"), &fault)
	require.Equal(t, 4, fault.Offset)
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.c", false},
		{"a.b", "a", false},
		{"a.b", "a.b.c", false},
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.*", "a.b.c", false},
		{"*.b", "a.b", true},
		{"a.>", "a.b", true},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{">", "a", true},
		{"*.*.c", "a.b.c", true},
		{"a.*.>", "a.b", false},
		{">", "$dead.store", false},
		{"*.store", "$dead.store", false},
		{"$dead.*", "$dead.store", true},
	} {
		require.Equal(t, c.want, topic.Match(c.filter, c.topic), "%s on %s", c.filter, c.topic)
	}
}

// TestCovers holds Covers against what it means, over all short filters and topics.
func TestCovers(t *testing.T) {
	var filters, topics []string
	tokens := []string{"a", "b", "*", ">"}
	for _, x := range tokens {
		filters = append(filters, x)
		for _, y := range tokens {
			filters = append(filters, x+"."+y)
			for _, z := range tokens {
				filters = append(filters, x+"."+y+"."+z)
			}
		}
	}
	kept := filters[:0]
	for _, f := range filters {
		if topic.CheckFilter(f) == nil {
			kept = append(kept, f)
		}
	}
	// A token that no filter names tells a wildcard from a list of all names.
	for _, x := range []string{"a", "b", "c"} {
		topics = append(topics, x)
		for _, y := range []string{"a", "b", "c"} {
			topics = append(topics, x+"."+y)
			for _, z := range []string{"a", "b", "c"} {
				topics = append(topics, x+"."+y+"."+z, x+"."+y+"."+z+".c")
			}
		}
	}
	for _, outer := range kept {
		for _, inner := range kept {
			want := true
			for _, name := range topics {
				want = want && (!topic.Match(inner, name) || topic.Match(outer, name))
			}
			require.Equal(t, want, topic.Covers(outer, inner), "%s over %s", outer, inner)
		}
	}
}

func TestEscapeMakesAValidTokenAndBack(t *testing.T) {
	require.Equal(t, "dgx%2Eexample%2Ecom", topic.Escape("dgx.example.com"))
	require.Equal(t, "GPU-1", topic.Escape("GPU-1"))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a.*>%$ \x00-\x1f]{0,20}`),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) })).Draw(t, "text")
		token := topic.Escape(text)
		if len(token) <= topic.MaxBytes {
			require.NoError(t, topic.Check(token), "token %q", token)
			require.False(t, topic.Reserved(token))
		}
		require.NotContains(t, token, ".")
		if text != "\x00" {
			require.Equal(t, text, topic.Unescape(token))
		}
	})
}
