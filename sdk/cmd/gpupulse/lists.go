package main

import (
	"context"
	"net/url"
)

type topicsCommand struct{ output }

// Run lists topics.
func (t *topicsCommand) Run(ctx context.Context, c *connection, s *streams) error {
	return show(ctx, c, s, t.output, "/api/v1/topics", url.Values{}, []column{
		{"TOPIC", "topic", text}, {"MESSAGES", "messages", whole}, {"SIZE", "bytes", size}, {"PER SECOND", "rate_1s", rate},
		{"LAST SEQUENCE", "last_sequence", whole}, {"LAST", "last_time", text}, {"SUBSCRIBERS", "subscribers", whole},
	})
}

type consumersCommand struct{ output }

// Run lists consumers.
func (k *consumersCommand) Run(ctx context.Context, c *connection, s *streams) error {
	return show(ctx, c, s, k.output, "/api/v1/consumers", url.Values{}, []column{
		{"CONSUMER", "consumer", text}, {"FILTER", "filter", text}, {"MEMBERS", "members", whole}, {"PENDING", "pending", whole},
		{"IN FLIGHT", "in_flight", whole}, {"ACKED", "acked", whole}, {"REDELIVERED", "redelivered", whole},
		{"DEAD LETTERS", "dead_letters", whole}, {"LAG", "lag_seconds", seconds},
	})
}

type connectionsCommand struct{ output }

// Run lists connections.
func (k *connectionsCommand) Run(ctx context.Context, c *connection, s *streams) error {
	return show(ctx, c, s, k.output, "/api/v1/connections", url.Values{}, []column{
		{"ID", "id", text}, {"NAME", "name", text}, {"REMOTE", "remote", text}, {"CLIENT", "client", text}, {"SINCE", "since", text},
		{"PUBLISHED", "published", whole}, {"DELIVERED", "delivered", whole}, {"DROPPED", "dropped", whole}, {"QUEUED", "queue_bytes", size},
	})
}

type hostsCommand struct{ output }

// Run lists hosts.
func (h *hostsCommand) Run(ctx context.Context, c *connection, s *streams) error {
	return show(ctx, c, s, h.output, "/api/v1/hosts", url.Values{}, []column{
		{"HOST", "name", text}, {"GPUS", "gpus", whole}, {"LAST SEEN", "last_seen", text},
	})
}

type gpusCommand struct {
	output
	Host  string `help:"Only this host's."`
	Model string `help:"Only of this model."`
}

// Run lists GPUs.
func (g *gpusCommand) Run(ctx context.Context, c *connection, s *streams) error {
	query := url.Values{}
	for name, value := range map[string]string{"host": g.Host, "model": g.Model} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return show(ctx, c, s, g.output, "/api/v1/gpus", query, []column{
		{"GPU", "id", text}, {"HOST", "host", text}, {"INDEX", "index", text}, {"MODEL", "model", text}, {"LAST SEEN", "last_seen", text},
	})
}

// show fetches a whole list and prints it.
func show(ctx context.Context, c *connection, s *streams, o output, path string, query url.Values, columns []column) error {
	l, err := c.all(ctx, path, query, 0)
	if err != nil {
		return err
	}
	return printList(s.out, o, l, columns)
}
