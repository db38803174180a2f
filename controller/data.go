package controller

import (
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
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
}

// add takes an object in. A new version of one that is there takes its place
// at the end: both under one name cannot be trained on.
func (d *Data) add(r objectRecord) {
	d.Objects = slices.DeleteFunc(d.Objects, func(o anneal.Object) bool { return o.URI == r.Object.URI })
	d.Objects = append(d.Objects, r.Object)
	d.Rows += r.Object.Rows
	switch {
	case r.Keep.Last > 0:
		d.keepLast(max(r.Keep.Last, r.Window, 1))
	case r.Keep.Since > 0:
		oldest := r.Object.Seen.Add(-time.Duration(r.Keep.Since))
		n := len(d.Objects)
		i := slices.IndexFunc(d.Objects, func(o anneal.Object) bool { return !o.Seen.Before(oldest) })
		d.keepLast(max(n-i, r.Window, 1))
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
}

func (d *Data) ended(run anneal.Run) {
	if run.Status == anneal.StatusSucceeded {
		d.Trained = d.Open[run.ID]
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

// training chooses what a run would train on now.
func (d *Data) training(last int, since time.Duration, now time.Time) anneal.Training {
	objects := d.Objects
	if last > 0 && len(objects) > last {
		objects = objects[len(objects)-last:]
	}
	t := anneal.Training{}
	for _, o := range objects {
		if since > 0 && o.Seen.Before(now.Add(-since)) {
			continue
		}
		t.Objects = append(t.Objects, o)
		t.Rows += o.Rows
		t.Bytes += o.Bytes
	}
	return t
}
