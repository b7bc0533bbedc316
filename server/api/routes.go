package api

import (
	"net/http"
	"strings"

	"gpupulse/sdk/telemetry"
	"gpupulse/server/hub"
)

// route is one line of the table that the router and the OpenAPI document are made from.
type route struct {
	method, path string // in OpenAPI's way: /hosts/{host}
	summary, tag string
	query        []param
	body         bool // takes a body of any kind
	status       int  // of success; 0: 200
	answer       any  // of success: a value of the Go type
	list         any  // instead of answer: a value of the items' Go type
	handle       func(*request) error
}

// param is a parameter of the query.
type param struct {
	name, description string
	schema            schema
	list              bool // may be given more than once
}

// schema is a JSON Schema.
type schema map[string]any

// reading is a reading as JSON, for the document; telemetry encodes it.
type reading struct {
	Time    string             `json:"time"`
	Host    string             `json:"host"`
	GPU     string             `json:"gpu"`
	Labels  map[string]string  `json:"labels"`
	Metrics map[string]float64 `json:"metrics"`
}

func limitParam(highest int) param {
	return param{"limit", "How many items, at most.", schema{"type": "integer", "minimum": 1, "maximum": highest, "default": defaultLimit}, false}
}

func timeParam(name, description string) param {
	return param{name, description, schema{"type": "string", "format": "date-time"}, false}
}

func textParam(name, description string) param {
	return param{name, description, schema{"type": "string"}, false}
}

func choiceParam(name, description string, words ...string) param {
	return param{name, description, schema{"type": "string", "enum": words, "default": words[0]}, false}
}

// routes is the table.
func (s *Server) routes() []route {
	offset := param{"offset", "How many items to leave out first.", schema{"type": "integer", "minimum": 0, "default": 0}, false}
	page, pageAll := []param{limitParam(maxLimit), offset}, []param{limitParam(maxLimitAll), offset}
	names := choiceParam("names", "Names and units: canonical, or as the source has them.", "canonical", "source")
	metric := param{"metric", "Only these metrics, by canonical or source name; repeated or separated by commas.",
		schema{"type": "array", "items": schema{"type": "string"}}, true}
	host := textParam("host", "Only those of this host.")
	sequences := param{"sequence", "Only the dead letters with these sequences; all if left out.",
		schema{"type": "array", "items": schema{"type": "integer", "minimum": 1}}, true}
	with := func(base []param, more ...param) []param { return append(more, base...) }

	return []route{
		{method: http.MethodGet, path: "/api/v1/hosts", tag: "telemetry", summary: "Hosts, sorted by name",
			query: page, list: hostItem{}, handle: s.hosts},
		{method: http.MethodGet, path: "/api/v1/hosts/{host}/gpus", tag: "telemetry", summary: "The GPUs of a host",
			query: pageAll, list: gpuItem{}, handle: s.hostGPUs},
		{method: http.MethodGet, path: "/api/v1/gpus", tag: "telemetry", summary: "GPUs, sorted by host, index and id",
			query: with(pageAll, host, textParam("model", "Only those of this model.")), list: gpuItem{}, handle: s.gpus},
		{method: http.MethodGet, path: "/api/v1/gpus/{id}", tag: "telemetry", summary: "One GPU with the latest value of each metric",
			query: []param{names}, answer: gpuAnswer{}, handle: s.gpu},
		{method: http.MethodGet, path: "/api/v1/gpus/{id}/telemetry", tag: "telemetry", summary: "Readings of a GPU, newest first unless asked otherwise",
			query: with(page, timeParam("start_time", "No reading before this."), timeParam("end_time", "No reading after this."), metric,
				choiceParam("order", "Newest or oldest first.", "desc", "asc"), names),
			list: reading{}, handle: s.telemetry},
		{method: http.MethodGet, path: "/api/v1/gpus/{id}/series", tag: "telemetry", summary: "Columns for a chart: a value for each metric and step",
			query: []param{metric, timeParam("start_time", "Begin; an hour before the end if left out."),
				timeParam("end_time", "End; the GPU's newest reading if left out."),
				textParam("step", "Duration such as 30s, or seconds; chosen for at most 1,000 steps if left out."),
				choiceParam("agg", "How the samples of a step become one value.", aggNames()...), names},
			answer: seriesAnswer{}, handle: s.series},
		{method: http.MethodGet, path: "/api/v1/latest", tag: "telemetry", summary: "The latest value of every series that fits",
			query: with(pageAll, metric, host, names), list: latestItem{}, handle: s.latest},
		{method: http.MethodGet, path: "/api/v1/metrics", tag: "telemetry", summary: "Metrics with unit, kind and what sources call them",
			query: page, list: telemetry.MetricInfo{}, handle: s.metrics},
		{method: http.MethodPost, path: "/api/v1/topics/{topic}/messages", tag: "hub", summary: "Publish the body as one message; answers when it is stored",
			query: []param{textParam("id", "Id of the message, as the header Idempotency-Key: a second one with the same id is not stored.")},
			body:  true, status: http.StatusCreated, answer: publishAnswer{}, handle: s.publish},
		{method: http.MethodGet, path: "/api/v1/topics", tag: "hub", summary: "Topics with their rates", query: page, list: hub.TopicInfo{}, handle: s.topics},
		{method: http.MethodGet, path: "/api/v1/consumers", tag: "hub", summary: "Durable consumers with their lag", query: page, list: hub.ConsumerInfo{}, handle: s.consumers},
		{method: http.MethodPost, path: "/api/v1/consumers/{consumer}/pause", tag: "hub", summary: "Stop a consumer's deliveries", answer: hub.ConsumerInfo{}, handle: s.pauseConsumer},
		{method: http.MethodPost, path: "/api/v1/consumers/{consumer}/resume", tag: "hub", summary: "Go on with a consumer's deliveries", answer: hub.ConsumerInfo{}, handle: s.resumeConsumer},
		{method: http.MethodPost, path: "/api/v1/consumers/{consumer}/reset", tag: "hub", summary: "Let a consumer begin anew",
			query: []param{choiceParam("start", "Where.", startNames()...), textParam("sequence", "The sequence, for start=sequence."),
				timeParam("time", "The time, for start=time.")},
			answer: hub.ConsumerInfo{}, handle: s.resetConsumer},
		{method: http.MethodDelete, path: "/api/v1/consumers/{consumer}", tag: "hub", summary: "Forget a consumer that has no members",
			answer: countAnswer{}, handle: s.deleteConsumer},
		{method: http.MethodGet, path: "/api/v1/consumers/{consumer}/dead-letters", tag: "hub", summary: "A consumer's dead letters, newest first; payloads in base64",
			query: page, list: hub.DeadLetter{}, handle: s.deadLetters},
		{method: http.MethodPost, path: "/api/v1/consumers/{consumer}/dead-letters/replay", tag: "hub", summary: "Publish dead letters again where they came from",
			query: []param{sequences}, answer: countAnswer{}, handle: s.replayDeadLetters},
		{method: http.MethodDelete, path: "/api/v1/consumers/{consumer}/dead-letters", tag: "hub", summary: "Take dead letters off the list",
			query: []param{sequences}, answer: countAnswer{}, handle: s.purgeDeadLetters},
		{method: http.MethodGet, path: "/api/v1/connections", tag: "hub", summary: "Open connections", query: page, list: hub.ConnectionInfo{}, handle: s.connections},
		{method: http.MethodGet, path: "/api/v1/stats", tag: "hub", summary: "Numbers of the hub and the other parts", answer: statsAnswer{}, handle: s.stats},
		{method: http.MethodGet, path: "/healthz", tag: "health", summary: "Whether the process answers", answer: map[string]string{}, handle: s.healthz},
		{method: http.MethodGet, path: "/readyz", tag: "health", summary: "Whether every part does its work; 503 with reasons if not", answer: readyAnswer{}, handle: s.readyz},
	}
}

// echoPath writes {name} as :name.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}
