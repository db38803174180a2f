// Package registry records models and promotes them.
//
// A group's versions are numbered 1, 2, 3, …; the live one is its champion, and
// there is at most one. [State] is a fold of the model records, which are whole:
// the newest record of a version is the version. Making a candidate, promoting
// and rolling back return the records to append and change nothing themselves.
//
// State holds each group's champion, the champions before it and the newest
// versions, not all of them: the rest is in the journal.
//
// [Evaluate] and [Register] are the built-in functions `evaluate-model` and
// `register-model` of state machines. Whether a candidate is better is for the
// policy to say.
package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
)

// What is kept of a group, besides its champion.
const (
	keptRecent = 8 // newest versions
	keptPast   = 4 // champions before this one
)

// ErrNotFound is the error of a version that is not known, or no longer kept.
var ErrNotFound = errors.New("no such model version")

// State is what the model records add up to. The zero value is before the
// first. It has a JSON form, for checkpoints.
type State struct {
	Groups map[string]*Group `json:"groups,omitempty"`
}

// A Group is the versions of one model.
type Group struct {
	Newest   int            `json:"newest"`             // the highest version given away
	Champion *anneal.Model  `json:"champion,omitempty"` // the live one
	Past     []anneal.Model `json:"past,omitempty"`     // champions before it, latest last
	Recent   []anneal.Model `json:"recent,omitempty"`   // by version, newest last
}

// Apply folds the next record in. Folded in twice, it changes nothing more.
func (s *State) Apply(m anneal.Model) {
	if s.Groups == nil {
		s.Groups = make(map[string]*Group)
	}
	g := s.Groups[m.Group]
	if g == nil {
		g = &Group{}
		s.Groups[m.Group] = g
	}
	g.Newest = max(g.Newest, m.Version)
	g.Recent = put(g.Recent, m)
	slices.SortFunc(g.Recent, func(a, b anneal.Model) int { return cmp.Compare(a.Version, b.Version) })
	g.Recent = newest(g.Recent, keptRecent)

	isChampion := g.Champion != nil && g.Champion.Version == m.Version
	switch {
	case m.Stage == anneal.StageLive && isChampion:
		g.Champion = &m
	case m.Stage == anneal.StageLive:
		if i := index(g.Past, m.Version); i >= 0 {
			g.Past = append([]anneal.Model(nil), g.Past[:i]...) // back to it: what came after is undone
		} else if g.Champion != nil {
			g.Past = newest(append(g.Past, *g.Champion), keptPast)
		}
		g.Champion = &m
	case isChampion:
		g.Past = newest(append(g.Past, m), keptPast)
		g.Champion = nil
	default:
		if i := index(g.Past, m.Version); i >= 0 {
			g.Past[i] = m
		}
	}
}

// Champion is the live version of a group, or nil. It must not be changed.
func (s *State) Champion(group string) *anneal.Model {
	if g := s.Groups[group]; g != nil {
		return g.Champion
	}
	return nil
}

// NextVersion is the number of the group's next version.
func (s *State) NextVersion(group string) int {
	if g := s.Groups[group]; g != nil {
		return g.Newest + 1
	}
	return 1
}

// Versions are the versions of a group that are kept, newest first.
func (s *State) Versions(group string) []anneal.Model {
	g := s.Groups[group]
	if g == nil {
		return nil
	}
	all := slices.Clone(g.Recent)
	for _, m := range g.Past {
		if index(all, m.Version) < 0 {
			all = append(all, m)
		}
	}
	if g.Champion != nil && index(all, g.Champion.Version) < 0 {
		all = append(all, *g.Champion)
	}
	slices.SortFunc(all, func(a, b anneal.Model) int { return cmp.Compare(b.Version, a.Version) })
	return all
}

// Candidate is the record of a model that a run left behind at a time: the next
// version of the run's group. A run whose version is known already gives that
// version again.
func (s *State) Candidate(run anneal.Run, made anneal.Model, at time.Time) anneal.Model {
	for _, m := range s.Versions(run.Model) {
		if m.Run == run.ID {
			return m
		}
	}
	made.Group, made.Version, made.Stage = run.Model, s.NextVersion(run.Model), anneal.StageCandidate
	made.Run, made.Objects = run.ID, run.Training.Objects
	made.TrainedAt, made.StageAt = at, at
	return made
}

// Promote returns the records that make version the champion: the version,
// live, then the champion until now, retired, if there is one. No records if
// it is the champion already; [ErrNotFound] if it is not among [State.Versions].
func (s *State) Promote(group string, version int, at time.Time, reason string) ([]anneal.Model, error) {
	i := index(s.Versions(group), version)
	if i < 0 {
		return nil, fmt.Errorf("promote %s: %w", anneal.ModelID(group, version), ErrNotFound)
	}
	return s.PromoteModel(s.Versions(group)[i], at, reason), nil
}

// PromoteModel is [State.Promote] for a model that is at hand: a candidate not
// applied yet, or an old version found in the journal.
func (s *State) PromoteModel(m anneal.Model, at time.Time, reason string) []anneal.Model {
	old := s.Champion(m.Group)
	if old != nil && old.Version == m.Version {
		return nil
	}
	m.Stage, m.StageAt, m.Reason = anneal.StageLive, at, reason
	records := []anneal.Model{m}
	if old != nil {
		retired := *old
		retired.Stage, retired.StageAt = anneal.StageRetired, at
		retired.Reason = fmt.Sprintf("version %d is live", m.Version)
		records = append(records, retired)
	}
	return records
}

// Rollback returns the records that make the champion before this one the
// champion again; a second rollback goes one further back. [ErrNotFound] if
// there is none.
func (s *State) Rollback(group string, at time.Time, reason string) ([]anneal.Model, error) {
	g := s.Groups[group]
	if g == nil || len(g.Past) == 0 {
		return nil, fmt.Errorf("roll back %s: no champion before this one: %w", group, ErrNotFound)
	}
	return s.PromoteModel(g.Past[len(g.Past)-1], at, reason), nil
}

func index(models []anneal.Model, version int) int {
	return slices.IndexFunc(models, func(m anneal.Model) bool { return m.Version == version })
}

func put(models []anneal.Model, m anneal.Model) []anneal.Model {
	if i := index(models, m.Version); i >= 0 {
		models[i] = m
		return models
	}
	return append(models, m)
}

// newest keeps the last n, in memory of their own.
func newest(models []anneal.Model, n int) []anneal.Model {
	if len(models) <= n {
		return models
	}
	return slices.Clone(models[len(models)-n:])
}
