package controller

import (
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/policy"
)

// Data is the data of one policy: its newest objects, in the order they came,
// and how many rows have come in all. Only as many objects are kept as a window
// or a training can ask for.
type Data struct {
	Objects []anneal.Object `json:"objects"`
	Rows    int64           `json:"rows"`    // of all objects that ever came
	Trained int64           `json:"trained"` // Rows when the last successful run was decided
	// Open has Rows at the decision of each open run.
	Open map[string]int64 `json:"open,omitempty"`
	// Left has it of the last runs that did not succeed, which may be redriven;
	// the newest last.
	Left []leftRun `json:"left,omitempty"`
}

type leftRun struct {
	Run  string `json:"run"`
	Rows int64  `json:"rows"`
}

// maxLeft is how many runs that did not succeed are remembered.
const maxLeft = 64

// add takes an object in. A new version of one that is there takes its place
// at the end: both under one name cannot be trained on. Where a trigger gathers,
// what was seen since from is kept, whatever the policy trains on.
func (d *Data) add(r objectRecord, from time.Time, gathers bool) {
	d.Objects = slices.DeleteFunc(d.Objects, func(o anneal.Object) bool { return o.URI == r.Object.URI })
	d.Objects = append(d.Objects, r.Object)
	d.Rows += r.Object.Rows
	since := func(t time.Time) int { // how many objects from the first that was seen then
		i := slices.IndexFunc(d.Objects, func(o anneal.Object) bool { return !o.Seen.Before(t) })
		return len(d.Objects) - i
	}
	n := max(r.Window, 1)
	if gathers {
		n = max(n, since(from))
	}
	switch {
	case r.Keep.Last > 0:
		d.keepLast(max(n, r.Keep.Last))
	case r.Keep.Since > 0:
		d.keepLast(max(n, since(r.Object.Seen.Add(-time.Duration(r.Keep.Since)))))
	}
}

func (d *Data) keepLast(n int) {
	if extra := len(d.Objects) - n; extra > 0 {
		d.Objects = slices.Delete(d.Objects, 0, extra)
	}
}

func (d *Data) started(run anneal.Run) {
	if d.Open == nil {
		d.Open = map[string]int64{}
	}
	d.Open[run.ID] = d.Rows
	if i := slices.IndexFunc(d.Left, func(l leftRun) bool { return l.Run == run.ID }); i >= 0 {
		d.Open[run.ID] = d.Left[i].Rows
		d.Left = slices.Delete(d.Left, i, i+1)
	}
}

func (d *Data) ended(run anneal.Run) {
	rows, open := d.Open[run.ID]
	switch {
	case run.Status == anneal.StatusSucceeded && run.Redrives > 0:
		d.Trained = max(d.Trained, rows) // a later run may have trained meanwhile
	case run.Status == anneal.StatusSucceeded:
		d.Trained = rows
	case open:
		d.Left = append(d.Left, leftRun{run.ID, rows})
		d.Left = d.Left[max(0, len(d.Left)-maxLeft):]
	}
	delete(d.Open, run.ID)
}

// window is the newest n objects that the champion was not trained on; fewer
// where there are not as many.
func (d *Data) window(n int, champion *anneal.Model) []anneal.Object {
	var window []anneal.Object
	for _, o := range slices.Backward(d.Objects) {
		if len(window) == n || champion != nil && trainedOn(champion, o) {
			break
		}
		window = append(window, o)
	}
	slices.Reverse(window)
	return window
}

func trainedOn(m *anneal.Model, o anneal.Object) bool {
	return slices.ContainsFunc(m.Objects, func(t anneal.Object) bool { return t.URI == o.URI && t.Version == o.Version })
}

// training chooses what a run would train on now: what the policy trains on,
// and all that was gathered for the decision, which was seen since then.
func (d *Data) training(train policy.Train, now time.Time, gathered *time.Time) anneal.Training {
	t := anneal.Training{}
	for i, o := range d.Objects {
		old := train.Last > 0 && i < len(d.Objects)-train.Last ||
			train.Since > 0 && o.Seen.Before(now.Add(-time.Duration(train.Since)))
		if old && (gathered == nil || o.Seen.Before(*gathered)) {
			continue
		}
		t.Objects = append(t.Objects, o)
		t.Rows += o.Rows
		t.Bytes += o.Bytes
	}
	return t
}
