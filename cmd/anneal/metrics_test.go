package main

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
)

// Event records are remembered until they are taken, and not until somebody asks how
// many are not.
func TestEventsUnasked(t *testing.T) {
	m := newMeasures()
	const events, behind = 100_000, 5
	for seq := uint64(1); seq <= events; seq++ {
		if err := m.record(journal.Record{Seq: seq, Kind: controller.KindEvent, Data: []byte(`{"source":"s"}`)}); err != nil {
			t.Fatal(err)
		}
		m.settle(func() uint64 { return max(seq, behind) - behind })
	}
	if n := len(m.pending); n > fewPending+1 {
		t.Errorf("%d records are remembered of %d events, of which all but %d were taken", n, events, behind)
	}
	if got := m.lag(events - behind); got != behind {
		t.Errorf("the lag is %d, want %d", got, behind)
	}
	// Where none is taken, none is forgotten.
	stuck := newMeasures()
	for seq := uint64(1); seq <= 3*fewPending; seq++ {
		if err := stuck.record(journal.Record{Seq: seq, Kind: controller.KindEvent, Data: []byte(`{"source":"s"}`)}); err != nil {
			t.Fatal(err)
		}
		stuck.settle(func() uint64 { return 0 })
	}
	if got := stuck.lag(0); got != 3*fewPending {
		t.Errorf("the lag is %d, want %d", got, 3*fewPending)
	}
}

// What is shown of signals is of those that are measured: a policy that is no longer
// loaded leaves no last value behind.
func TestSignalsLoaded(t *testing.T) {
	m, dir := newMeasures(), t.TempDir()
	load := func(policies map[string]string) {
		t.Helper()
		var files []string
		for name, body := range policies {
			write(t, dir, map[string]string{name + ".yaml": "apiVersion: anneal/v1alpha1\nkind: RetrainPolicy\nmetadata: {name: " + name + "}\nspec:\n  model: {group: m}\n  rules: [{id: never, if: \"false\"}]\n" + body})
			files = append(files, filepath.Join(dir, name+".yaml"))
		}
		cfg, err := configs.LoadPolicies(files, configs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		m.load(cfg.Policies)
	}
	measure := func(policy, model, signal string) {
		t.Helper()
		data := fmt.Sprintf(`{"policy":%q,"model":%q,"name":%q,"status":"ok","value":1}`, policy, model, signal)
		if err := m.record(journal.Record{Seq: 1, Kind: controller.KindSignal, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(when string, want ...string) {
		t.Helper()
		registry := prometheus.NewRegistry()
		registry.MustRegister(m.signal, m.usable)
		w := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		var all []string
		for _, name := range []string{"anneal_signal_ok", "anneal_signal_value"} {
			for _, labels := range want {
				all = append(all, name+"{"+labels+"} 1")
			}
		}
		got := slices.DeleteFunc(strings.Split(strings.TrimSpace(w.Body.String()), "\n"), func(line string) bool { return strings.HasPrefix(line, "#") })
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	const rows = "  signals: {rows: {source: data, reduce: rows, since: lastTrained}}\n"
	const both = "  signals: {rows: {source: data, reduce: rows, since: lastTrained}, drift: {source: data, window: {objects: 1}, reference: champion}}\n"
	load(map[string]string{"a": both, "b": rows})
	for _, signal := range []string{"a rows", "a drift", "b rows", "gone rows"} {
		policy, name, _ := strings.Cut(signal, " ")
		measure(policy, "m", name)
	}
	a, b, drift := `model="m",policy="a",signal="rows"`, `model="m",policy="b",signal="rows"`, `model="m",policy="a",signal="drift"`
	shows("at first", drift, a, b)
	load(map[string]string{"a": rows})
	shows("without policy b and a signal of a", a)
	measure("b", "m", "rows")
	shows("after what was still on its way", a)
	measure("a", "other", "rows")
	shows("of another model", `model="other",policy="a",signal="rows"`)
}
