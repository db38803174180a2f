package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	outcomes "github.com/anneal-ml/anneal/drift/outcome"
	"github.com/anneal-ml/anneal/drift/profile"
	"github.com/anneal-ml/anneal/drift/report"
	"github.com/anneal-ml/anneal/drift/statistics"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/policy"
)

// TestPredictions plays the stories of testdata/predictions-*.txt: a policy, and
// steps with what came of each. Every story is told twice, the second time to a
// controller that starts anew before each step.
//
//	at 1d drop KEY N rows …        an object is dropped: see content
//	at 1d post TYPE JSON           an event comes with this data
//	at 1d champion 2 accuracy=0.9  a model takes over, trained on the objects whose keys follow
//	at 1d load NAME                the policy of that name in the file decides from here on
func TestPredictions(t *testing.T) {
	stories(t, "testdata/predictions-*.txt", tell)
}

// tell plays the steps of a story and gives it with what came of them.
func tell(t *testing.T, archive *txtar.Archive, story string, restarts bool) (told string) {
	policies := map[string]*policy.Policy{}
	for _, f := range archive.Files[:len(archive.Files)-1] {
		policies[f.Name] = written(t, string(f.Data))
	}
	synctest.Test(t, func(t *testing.T) {
		s := &teller{t: t, memory: &journal.Memory{}, begin: time.Now(), contents: map[string]string{}, policy: policies[archive.Files[0].Name]}
		s.start()
		var out strings.Builder
		for line := range strings.Lines(story) {
			if strings.HasPrefix(line, " ") {
				continue // what came of it the last time
			}
			out.WriteString(line)
			fields := strings.Fields(line)
			if len(fields) < 3 {
				continue
			}
			d, err := policy.ParseDuration(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(s.begin.Add(time.Duration(d))))
			synctest.Wait()
			if restarts {
				s.stop()
				s.start()
			}
			switch fields[2] {
			case "drop":
				s.drop(fields[3], content(t, fields[4:]))
			case "post":
				s.post(fields[3], strings.Join(fields[4:], " "))
			case "champion":
				s.champion(fields[3:])
			case "load":
				s.policy = policies[fields[3]]
				s.stop()
				s.start()
			default:
				t.Fatalf("unknown step %q", line)
			}
			synctest.Wait()
			out.WriteString(s.came())
		}
		s.stop()
		j := s.open(true)
		v, err := controller.Verify(context.Background(), j)
		if err != nil || !v.Sound() || v.Decisions == 0 {
			t.Errorf("decisions made again: %+v, %v", v, err)
		}
		j.Close()
		told = out.String()
	})
	return told
}

// content makes rows: `predictions 1-100 a` predicts a for these keys, `labels
// 1-100 a 90` has 90 of them come true and b of the rest, `data N` has N rows,
// `rows 1-100` has data with these ids, a column that is always the same with
// `dull` and each row twice with `again`, `scores 1-100` predicts a where the score is at least a half, `truths 1-100` has
// a come true as often as the score says, or with `truths 1-100 never` as often as
// it does not; and `text …` is the words, a line each.
func content(t *testing.T, words []string) string {
	t.Helper()
	var b strings.Builder
	switch words[0] {
	case "text":
		return strings.Join(words[1:], "\n") + "\n"
	case "data":
		var n int
		fmt.Sscan(words[1], &n)
		b.WriteString("x,class\n")
		for i := range n {
			fmt.Fprintf(&b, "%d,%d\n", i%7, i%2)
		}
		return b.String()
	}
	score := func(i int) float64 { return float64(i%10)/10 + 0.05 }
	class := func(a bool) string {
		if a {
			return "a"
		}
		return "b"
	}
	var from, to, right int
	if _, err := fmt.Sscanf(words[1], "%d-%d", &from, &to); err != nil {
		t.Fatal(err)
	}
	if words[0] == "rows" {
		b.WriteString("id,x,y\n")
		for i := from; i <= to; i++ {
			x := i % 7
			if slices.Contains(words, "dull") {
				x = 3
			}
			row := fmt.Sprintf("k%d,%d,%d\n", i, x, i%2)
			b.WriteString(row)
			if slices.Contains(words, "again") {
				b.WriteString(row)
			}
		}
		return b.String()
	}
	if words[0] == "scores" || words[0] == "truths" {
		b.WriteString("id,predicted,score,class\n")
		for i := from; i <= to; i++ {
			came := float64(i/10*3%10)+0.5 < 10*score(i)
			fmt.Fprintf(&b, "%d,%s,%.2f,%s\n", i, class(score(i) >= 0.5), score(i), class(came != (len(words) > 2)))
		}
		return b.String()
	}
	if words[0] == "losses" {
		b.WriteString("id,y,heat\n")
		for i := from; i <= to; i++ {
			heat := i % 2
			switch {
			case slices.Contains(words, "hot"):
				heat = 1
			case slices.Contains(words, "cold"):
				heat = 0
			}
			y := i / 2 * 7 % 50
			if slices.Contains(words, "true") {
				y -= 1 + 9*heat
			}
			fmt.Fprintf(&b, "%d,%d,%v\n", i, y, map[bool]any{true: "", false: heat}[i%37 == 0])
		}
		return b.String()
	}
	header := "id,predicted,model"
	if words[0] == "labels" {
		header = "id,class"
		fmt.Sscan(words[3], &right)
	}
	b.WriteString(header + "\n")
	for i := from; i <= to; i++ {
		switch {
		case words[0] == "predictions" && len(words) > 3:
			fmt.Fprintf(&b, "%d,%s,%s\n", i, words[2], words[3])
		case words[0] == "predictions":
			fmt.Fprintf(&b, "%d,%s,1\n", i, words[2])
		case i-from < right:
			fmt.Fprintf(&b, "%d,%s\n", i, words[2])
		default:
			fmt.Fprintf(&b, "%d,b\n", i)
		}
	}
	return b.String()
}

// A teller is a controller over a journal in memory, in virtual time.
type teller struct {
	t        *testing.T
	memory   *journal.Memory
	begin    time.Time
	contents map[string]string // by URI and version
	policy   *policy.Policy
	journal  *journal.Journal
	*controller.Controller
	cancel context.CancelFunc
	ended  chan error
	shown  uint64 // the last record that came() has shown
}

func (s *teller) open(readOnly bool) *journal.Journal {
	j, err := journal.Open(context.Background(), s.memory, journal.Options{ReadOnly: readOnly, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	return j
}

func (s *teller) start() {
	s.journal = s.open(false)
	recovery, err := controller.Recover(context.Background(), s.journal)
	if err != nil {
		s.t.Fatal(err)
	}
	open := func(o anneal.Object) (*strings.Reader, string) {
		return strings.NewReader(s.contents[o.URI+" "+o.Version]), o.URI
	}
	s.Controller = controller.New(controller.Config{
		Journal: s.journal, Log: slog.New(slog.DiscardHandler), Generation: controller.Generation{Policies: []*policy.Policy{s.policy}},
		Profile: func(ctx context.Context, o anneal.Object, opt dataset.Options) (*profile.Profile, error) {
			r, name := open(o)
			return profile.Build(ctx, r, name, opt)
		},
		Open: func(_ context.Context, o anneal.Object) (io.ReadCloser, error) {
			r, _ := open(o)
			return io.NopCloser(r), nil
		},
		Outcomes: func(ctx context.Context, o anneal.Object, form outcomes.Form) (*outcomes.Batch, error) {
			r, name := open(o)
			return outcomes.Read(ctx, r, name, form, dataset.Options{})
		},
		Report: func(ctx context.Context, o anneal.Object, form report.Form) (*report.Report, error) {
			r, name := open(o)
			return report.Read(ctx, r, name, form)
		},
	}, recovery.State)
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.Run(ctx) }()
	synctest.Wait()
}

func (s *teller) stop() {
	s.cancel()
	if err := <-s.ended; err != nil {
		s.t.Error(err)
	}
	s.journal.Close()
}

func (s *teller) drop(key, text string) {
	version := anneal.ID("content", text)
	data := anneal.ObjectCreated{Version: "0", Bucket: anneal.BucketRef{Name: "inbox"}, Object: anneal.ObjectRef{Key: key, Size: int64(len(text)), SHA256: version}}
	raw, _ := json.Marshal(data)
	s.contents[data.URI()+" "+data.ObjectVersion()] = text
	now := time.Now().UTC()
	if _, _, err := s.Ingest(context.Background(), anneal.Event{
		SpecVersion: "1.0", ID: data.EventID(anneal.SourceDirectory), Source: anneal.SourceDirectory,
		Type: anneal.TypeObjectCreated, Subject: key, Time: now, Seen: now, Data: raw,
	}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *teller) post(kind, data string) {
	now := time.Now().UTC()
	if _, _, err := s.Ingest(context.Background(), anneal.Event{
		SpecVersion: "1.0", ID: anneal.ID("event", kind, now.String()), Source: "monitor", Type: kind, Time: now, Seen: now, Data: json.RawMessage(data),
	}); err != nil {
		s.t.Fatal(err)
	}
}

// champion has a model take over from the one before it.
func (s *teller) champion(words []string) {
	s.stop()
	j := s.open(false)
	var m anneal.Model
	fmt.Sscan(words[0], &m.Version)
	var accuracy float64
	fmt.Sscanf(words[1], "accuracy=%f", &accuracy)
	now := time.Now().UTC()
	m.Group, m.Stage, m.Metrics, m.StageAt, m.TrainedAt = "g", anneal.StageLive, map[string]float64{"accuracy": accuracy}, now, now
	for _, key := range words[2:] {
		for at := range s.contents {
			if uri, version, _ := strings.Cut(at, " "); strings.HasSuffix(uri, "/"+key) {
				m.Objects = append(m.Objects, anneal.Object{URI: uri, Version: version})
			}
		}
	}
	records := []anneal.Model{m}
	if m.Version > 1 {
		old := m
		old.Version, old.Stage = m.Version-1, anneal.StageRetired
		records = []anneal.Model{old, m}
	}
	for _, m := range records {
		data, _ := json.Marshal(m)
		if _, err := j.Append(context.Background(), journal.Record{Kind: controller.KindModel, Key: m.ID(), Data: data}); err != nil {
			s.t.Fatal(err)
		}
	}
	j.Close()
	s.start()
}

// came says what was measured, decided and parked since it was asked last.
func (s *teller) came() string {
	var lines []string
	for record, err := range s.journal.Read(context.Background(), s.shown+1, false) {
		if err != nil {
			s.t.Fatal(err)
		}
		s.shown = record.Seq
		switch record.Kind {
		case controller.KindSignal:
			var sig anneal.Signal
			json.Unmarshal(record.Data, &sig)
			if sig.Name == "rows" {
				continue
			}
			line := fmt.Sprintf("%s %s", sig.Name, sig.Status)
			var detail struct {
				Found string
				At    time.Time
			}
			json.Unmarshal(sig.Detail, &detail)
			switch {
			case sig.Value == nil:
				line += ": " + sig.Error
			case detail.Found != "":
				line += fmt.Sprintf(" %v of %d: %s", *sig.Value, sig.N, detail.Found)
				if !detail.At.IsZero() {
					line += fmt.Sprintf(", at %v", detail.At.Sub(s.begin))
				}
			case sig.Share == nil || sig.Low == nil || sig.High == nil:
				line += fmt.Sprintf(" %.3f of %d", *sig.Value, sig.N)
			default:
				line += fmt.Sprintf(" %.3f (%.3f to %.3f) of %d, %.0f %% labelled", *sig.Value, *sig.Low, *sig.High, sig.N, 100**sig.Share)
			}
			lines = append(lines, line)
		case controller.KindDecision:
			var d anneal.Decision
			json.Unmarshal(record.Data, &d)
			lines = append(lines, fmt.Sprintf("%s: %s; trains on %d rows", d.Verdict, d.Reason, d.Training.Rows))
		case controller.KindParked:
			var p struct{ Reason string }
			json.Unmarshal(record.Data, &p)
			lines = append(lines, "parked: "+p.Reason)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "        " + strings.Join(lines, "\n        ") + "\n"
}

// TestNames holds that policies can choose what drift has for profiles, for
// predictions and for reports, and nothing else.
func TestNames(t *testing.T) {
	if diff := cmp.Diff(drift.SketchTestNames(), policy.DriftTests()); diff != "" {
		t.Errorf("tests of drift and of policies (-drift +policy):\n%s", diff)
	}
	detectors, _ := policy.StreamDetectors()
	have := drift.Detectors()
	slices.Sort(detectors)
	slices.Sort(have)
	for _, c := range []struct {
		what                string
		ofDrift, ofPolicies []string
	}{
		{"estimates of several classes", policy.ClassEstimates(), outcomes.ClassEstimates()},
		{"estimates of losses", policy.LossEstimates(), outcomes.LossEstimates()},
		{"detectors", have, detectors},
		{"facts", []string{
			drift.FactNoRows, drift.FactRagged, drift.FactNewColumn, drift.FactVanishedColumn, drift.FactTypeChange, drift.FactMissing,
			drift.FactRange, drift.FactConstant, drift.FactNewCategories, drift.FactVanishedCategories,
		}, policy.Facts()},
		{"metrics", outcomes.Metrics(), policy.Metrics()},
		{"estimates", outcomes.Estimates(), policy.Estimates()},
		{"formats of reports", report.Formats(), policy.ReportFormats()},
	} {
		if diff := cmp.Diff(c.ofDrift, c.ofPolicies); diff != "" {
			t.Errorf("%s (-drift +policy):\n%s", c.what, diff)
		}
	}
	for _, format := range report.Formats() {
		if diff := cmp.Diff(report.Metrics(format), policy.ReportMetrics(format)); diff != "" {
			t.Errorf("metrics of %s (-drift +policy):\n%s", format, diff)
		}
		for _, metric := range report.Metrics(format) {
			if needs, may := policy.ReportColumn(metric); needs != report.OfColumn(metric) || may != report.MayBeOfColumn(metric) {
				t.Errorf("%s of a column: needed %v, possible %v; of a policy %v, %v", metric, report.OfColumn(metric), report.MayBeOfColumn(metric), needs, may)
			}
		}
	}
	for _, c := range policy.Corrections() {
		if !slices.Contains(statistics.Corrections(), statistics.Correction(c)) {
			t.Errorf("policies can choose the correction %s, which there is not", c)
		}
	}
	if len(policy.Corrections()) != len(statistics.Corrections()) {
		t.Error("policies cannot choose every correction")
	}
}
