package outcome

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// An Outcome is a prediction and what came true.
type Outcome struct {
	At      int64   // when it was predicted, in milliseconds since 1970
	Told    int64   // when its label first came
	Version string  // of the model, if predictions say it
	Error   float64 // of classes 1 where it was wrong and 0 where it was right; of numbers how far it was off
}

// Follow takes a batch in as [Join.Add] does, and gives the outcomes that are known
// by it: each key's once, in the order of their predictions, those made at one
// time in the order of the batch. The same batches in the same order give the same
// outcomes.
func (j *Join) Follow(b *Batch, labels bool, seen time.Time) []Outcome {
	j.Add(b, labels, seen)
	var found []Outcome
	for _, key := range b.keys {
		p, predicted := j.predictions[key]
		l, labelled := j.labels[key]
		if !predicted || !labelled || p.done {
			continue
		}
		p.done = true
		j.predictions[key] = p
		o := Outcome{At: p.at, Told: l.first}
		if len(j.versions.list) > 0 {
			o.Version = j.versions.list[p.version]
		}
		if isFinite(p.number) && isFinite(l.number) {
			o.Error = math.Abs(p.number - l.number)
		} else if p.class != l.class {
			o.Error = 1
		}
		found = append(found, o)
	}
	slices.SortStableFunc(found, func(a, b Outcome) int { return cmp.Compare(a.At, b.At) })
	return found
}
