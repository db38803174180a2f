package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal"
)

var day = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)

// standing is a group as a person would say it: its champion, those before it,
// and the rest.
func standing(s *State, group string) string {
	var b strings.Builder
	if c := s.Champion(group); c != nil {
		fmt.Fprintf(&b, "live %d", c.Version)
	} else {
		b.WriteString("no champion")
	}
	for _, m := range s.Versions(group) {
		if m.Stage != anneal.StageLive {
			fmt.Fprintf(&b, ", %s %d", m.Stage, m.Version)
		}
	}
	return b.String()
}

// A group's life, step by step. The fold of all records, its JSON form, and the
// fold of each record twice agree after every step.
func TestLife(t *testing.T) {
	s := &State{}
	twice := &State{}
	now := day
	apply := func(models ...anneal.Model) {
		for _, m := range models {
			s.Apply(m)
			twice.Apply(m)
			twice.Apply(m)
		}
	}
	train := func(run string) {
		m := s.Candidate(anneal.Run{ID: run, Model: "churn"}, anneal.Model{Artifact: anneal.Artifact{URI: "s3://m/" + run}, Metrics: map[string]float64{"accuracy": 0.9}, Importance: map[string]float64{"price": float64(len(run))}}, now)
		apply(m)
	}
	promote := func(version int) {
		records, err := s.Promote("churn", version, now, "it is better")
		if err != nil {
			t.Fatal(err)
		}
		apply(records...)
	}
	rollback := func() {
		records, err := s.Rollback("churn", now, "it is worse")
		if err != nil {
			t.Fatal(err)
		}
		apply(records...)
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"nothing", func() {}, "no champion"},
		{"first run", func() { train("r1") }, "no champion, candidate 1"},
		{"the same run again", func() { train("r1") }, "no champion, candidate 1"},
		{"promote the first", func() { promote(1) }, "live 1"},
		{"promote it again", func() { promote(1) }, "live 1"},
		{"second run", func() { train("r2") }, "live 1, candidate 2"},
		{"third run", func() { train("r3") }, "live 1, candidate 3, candidate 2"},
		{"promote the third", func() { promote(3) }, "live 3, candidate 2, retired 1"},
		{"promote the second", func() { promote(2) }, "live 2, retired 3, retired 1"},
		{"roll back", rollback, "live 3, retired 2, retired 1"},
		{"roll back further", rollback, "live 1, retired 3, retired 2"},
		{"promote the third again", func() { promote(3) }, "live 3, retired 2, retired 1"},
		{"retire it without another", func() {
			m := *s.Champion("churn")
			m.Stage = anneal.StageRetired
			apply(m)
		}, "no champion, retired 3, retired 2, retired 1"},
		{"roll back to it", rollback, "live 3, retired 2, retired 1"},
	} {
		now = now.Add(time.Hour)
		step.do()
		if got := standing(s, "churn"); got != step.want {
			t.Errorf("%s: got %s; want %s", step.name, got, step.want)
		}
		if diff := cmp.Diff(s, twice); diff != "" {
			t.Errorf("%s: each record folded in twice makes a difference:\n%s", step.name, diff)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		back := &State{}
		if err := json.Unmarshal(text, back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, back); diff != "" {
			t.Errorf("%s: the JSON form makes a difference:\n%s", step.name, diff)
		}
	}
	if got := s.NextVersion("churn"); got != 4 {
		t.Errorf("next version is %d; want 4", got)
	}
}

func TestRecords(t *testing.T) {
	s := &State{}
	run := anneal.Run{ID: "r1", Model: "churn", Training: anneal.Training{Objects: []anneal.Object{{URI: "s3://d/a.csv", Rows: 10}}}}
	artifact := anneal.Artifact{URI: "s3://m/model.tar.gz", SHA256: "ab", Bytes: 7}
	got := s.Candidate(run, anneal.Model{Artifact: artifact, Metrics: map[string]float64{"auc": 0.8}, Importance: map[string]float64{"price": 2}}, day)
	want := anneal.Model{
		Group: "churn", Version: 1, Stage: anneal.StageCandidate, Metrics: map[string]float64{"auc": 0.8}, Artifact: artifact,
		Importance: map[string]float64{"price": 2},
		Run:        "r1", TrainedAt: day, Objects: run.Training.Objects, StageAt: day,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("candidate (-want +got):\n%s", diff)
	}

	first := s.PromoteModel(got, day.Add(time.Hour), "it is the first")
	want.Stage, want.StageAt, want.Reason = anneal.StageLive, day.Add(time.Hour), "it is the first"
	if diff := cmp.Diff([]anneal.Model{want}, first); diff != "" {
		t.Errorf("promoted (-want +got):\n%s", diff)
	}
	s.Apply(first[0])
	s.Apply(s.Candidate(anneal.Run{ID: "r2", Model: "churn"}, anneal.Model{Artifact: artifact}, day.Add(2*time.Hour)))
	records, err := s.Promote("churn", 2, day.Add(3*time.Hour), "it is better")
	if err != nil || len(records) != 2 {
		t.Fatalf("got %d records, %v; want 2", len(records), err)
	}
	if m := records[0]; m.Version != 2 || m.Stage != anneal.StageLive || m.Reason != "it is better" || !m.StageAt.Equal(day.Add(3*time.Hour)) {
		t.Errorf("first record is %+v; want version 2, live", m)
	}
	if m := records[1]; m.Version != 1 || m.Stage != anneal.StageRetired || m.Reason != "version 2 is live" || len(m.Objects) != 1 || m.Importance["price"] != 2 {
		t.Errorf("second record is %+v; want version 1, retired, whole", m)
	}
	if c := s.Champion("churn"); c.Version != 1 || c.Stage != anneal.StageLive {
		t.Errorf("making records changed the champion: %+v", c)
	}
}

func TestNotFound(t *testing.T) {
	s := &State{}
	if _, err := s.Promote("churn", 1, day, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("promote in no group: got %v; want %v", err, ErrNotFound)
	}
	if _, err := s.Rollback("churn", day, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("roll back no group: got %v; want %v", err, ErrNotFound)
	}
	s.Apply(anneal.Model{Group: "churn", Version: 1, Stage: anneal.StageLive})
	if _, err := s.Rollback("churn", day, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("roll back the first: got %v; want %v", err, ErrNotFound)
	}
	if s.Champion("other") != nil || s.NextVersion("other") != 1 || s.Versions("other") != nil {
		t.Error("a group that nobody knows has something")
	}
}

// However many versions there are, few are kept: the champion always, then those
// that it may be rolled back to, and the newest.
func TestKeepsFew(t *testing.T) {
	s := &State{}
	for i := 1; i <= 1000; i++ {
		m := s.Candidate(anneal.Run{ID: fmt.Sprint("r", i), Model: "churn"}, anneal.Model{}, day)
		s.Apply(m)
		if i <= 10 {
			for _, r := range s.PromoteModel(m, day, "") {
				s.Apply(r)
			}
		}
	}
	var got []int
	for _, m := range s.Versions("churn") {
		got = append(got, m.Version)
	}
	want := []int{1000, 999, 998, 997, 996, 995, 994, 993, 10, 9, 8, 7, 6}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if s.NextVersion("churn") != 1001 {
		t.Errorf("next version is %d; want 1001", s.NextVersion("churn"))
	}
	if _, err := s.Promote("churn", 500, day, ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("promote what is not kept: got %v; want %v", err, ErrNotFound)
	}
}
