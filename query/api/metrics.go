package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are what /metrics shows. Labels are routes, logs, cells and the like: no paths, no names of people.
type Metrics struct {
	// Registry takes further metrics of the process.
	Registry *prometheus.Registry

	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	append   *prometheus.HistogramVec
}

// NewMetrics makes metrics in a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "domicile_http_requests_total",
			Help: "Requests answered, by route of the OpenAPI document."}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "domicile_http_request_duration_seconds",
			Help:    "Time until the answer was written.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .2, .5, 1, 2.5, 5, 10, 30}}, []string{"method", "route"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "domicile_http_requests_in_flight",
			Help: "Requests being answered, by class of routes."}, []string{"class"}),
		append: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "domicile_control_append_duration_seconds",
			Help:    "Time until an entry was committed to the control log.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5}}, []string{"jurisdiction"}),
	}
	m.Registry.MustRegister(m.requests, m.seconds, m.inFlight, m.append,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// ControlAppended records how long an append to a cell's control log took.
func (m *Metrics) ControlAppended(jurisdiction string, took time.Duration) {
	m.append.WithLabelValues(jurisdiction).Observe(took.Seconds())
}

// WatchEngine shows how often the embedded engine was started again.
func (m *Metrics) WatchEngine(restarts func() uint64) error {
	return m.register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "domicile_engine_restarts_total",
		Help: "How often the embedded engine was started again."}, func() float64 { return float64(restarts()) }))
}

// LogSizes are sizes of a log, in leaves, of which only its writer knows.
type LogSizes struct {
	Origin    string
	Committed uint64
	Bound     uint64 // by batch entries in the control log; 0 for a control log
}

// WatchWriters shows the sizes that writers know.
func (m *Metrics) WatchWriters(sizes func() []LogSizes) error {
	return m.register(writers{sizes})
}

// register tolerates what is registered already: several handlers may share metrics.
func (m *Metrics) register(c prometheus.Collector) error {
	var again prometheus.AlreadyRegisteredError
	if err := m.Registry.Register(c); err != nil && !errors.As(err, &again) {
		return err
	}
	return nil
}

func (m *Metrics) watch(cells Cells) error { return m.register(states{cells}) }

func (m *Metrics) begin(c class) { m.inFlight.WithLabelValues(string(c)).Inc() }
func (m *Metrics) end(c class)   { m.inFlight.WithLabelValues(string(c)).Dec() }

func (m *Metrics) answered(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "none" // whatever was asked for is not a label
	}
	m.requests.WithLabelValues(known(method), route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(known(method), route).Observe(took.Seconds())
}

func (m *Metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, DisableCompression: true, EnableOpenMetrics: true,
	})
}

// Descriptions of what is looked at when it is asked for.
var (
	describeUp        = describe("domicile_cell_up", "Whether a cell can describe its logs.", "jurisdiction")
	describePublished = describe("domicile_log_published_leaves", "Size of the newest published checkpoint.", "log")
	describeIndexed   = describe("domicile_index_leaves", "Leaves that the index holds, counted from the first without a gap.", "log")
	describeLag       = describe("domicile_index_lag_leaves", "Published leaves that the index lacks.", "log")
	describeStalled   = describe("domicile_index_stalled", "Whether the index does not advance because of an error.", "log")
	describeCommitted = describe("domicile_log_committed_leaves", "Size of the newest commit.", "log")
	describeBound     = describe("domicile_log_bound_leaves", "Leaves that batch entries bind into the control log.", "log")
)

func describe(name, help, label string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{label}, nil)
}

func gauge(d *prometheus.Desc, value float64, label string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, label)
}

// states shows how far logs and indexes are.
type states struct{ cells Cells }

func (s states) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{describeUp, describePublished, describeIndexed, describeLag, describeStalled} {
		out <- d
	}
}

func (s states) Collect(out chan<- prometheus.Metric) {
	// The interface hands no context on; a cell that hangs must not hold a scrape for ever.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, c := range s.cells.States(ctx) {
		if c.Err != nil || c.State == nil {
			out <- gauge(describeUp, 0, c.Jurisdiction)
			continue
		}
		out <- gauge(describeUp, 1, c.Jurisdiction)
		out <- gauge(describePublished, float64(c.State.Control.Checkpoint.Size), c.State.Control.Origin)
		for _, l := range c.State.Logs {
			stalled := 0.0
			if l.IndexError != "" {
				stalled = 1
			}
			out <- gauge(describePublished, float64(l.Checkpoint.Size), l.Origin)
			out <- gauge(describeIndexed, float64(l.Indexed), l.Origin)
			out <- gauge(describeLag, float64(l.Behind), l.Origin)
			out <- gauge(describeStalled, stalled, l.Origin)
		}
	}
}

// writers shows what writers know.
type writers struct{ sizes func() []LogSizes }

func (w writers) Describe(out chan<- *prometheus.Desc) {
	out <- describeCommitted
	out <- describeBound
}

func (w writers) Collect(out chan<- prometheus.Metric) {
	for _, l := range w.sizes() {
		out <- gauge(describeCommitted, float64(l.Committed), l.Origin)
		out <- gauge(describeBound, float64(l.Bound), l.Origin)
	}
}
