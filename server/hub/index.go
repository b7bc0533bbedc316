package hub

import (
	"strings"

	"gpupulse/sdk/topic"
)

// index finds the subscriptions whose filters fit a topic: a tree of tokens, so
// that the cost of a match is the depth of the topic and the matches found. It is
// not safe for concurrent use.
type index struct {
	root       node
	generation uint64 // changes with every change; what was matched before is stale
}

type node struct {
	children map[string]*node
	here     []*subscription // filters that end here
	below    []*subscription // filters that go on with >
}

func (x *index) add(s *subscription) {
	x.generation++
	n := &x.root
	for rest, more := s.filter, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if token == ">" {
			n.below = append(n.below, s)
			return
		}
		child := n.children[token]
		if child == nil {
			child = new(node)
			if n.children == nil {
				n.children = map[string]*node{}
			}
			n.children[token] = child
		}
		n = child
	}
	n.here = append(n.here, s)
}

func (x *index) remove(s *subscription) {
	x.generation++
	x.root.remove(s, s.filter)
}

// remove takes s out and drops nodes that hold nothing any more.
func (n *node) remove(s *subscription, filter string) {
	token, rest, more := strings.Cut(filter, ".")
	if token == ">" {
		n.below = without(n.below, s)
		return
	}
	child := n.children[token]
	if child == nil {
		return
	}
	if more {
		child.remove(s, rest)
	} else {
		child.here = without(child.here, s)
	}
	if len(child.children) == 0 && len(child.here) == 0 && len(child.below) == 0 {
		delete(n.children, token)
	}
}

func without(list []*subscription, s *subscription) []*subscription {
	for i := range list {
		if list[i] == s {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

// match adds to dst the subscriptions whose filters fit t.
func (x *index) match(dst []*subscription, t string) []*subscription {
	if topic.Reserved(t) {
		first, rest, more := strings.Cut(t, ".")
		child := x.root.children[first]
		switch {
		case child == nil:
			return dst
		case !more:
			return append(dst, child.here...)
		}
		return child.match(dst, rest)
	}
	return x.root.match(dst, t)
}

func (n *node) match(dst []*subscription, t string) []*subscription {
	dst = append(dst, n.below...)
	if len(n.children) == 0 {
		return dst
	}
	token, rest, more := strings.Cut(t, ".")
	for _, child := range [2]*node{n.children[token], n.children["*"]} {
		switch {
		case child == nil:
		case more:
			dst = child.match(dst, rest)
		default:
			dst = append(dst, child.here...)
		}
	}
	return dst
}
