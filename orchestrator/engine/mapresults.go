package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// maxResults is how large the results of a map run may become that are the
// output of its state, before ResultSelector or the limit of a state's data has
// a say, in bytes.
const maxResults = 16 * asl.MaxData

// results are the outcome of a run whose children have all ended: what they came
// to, or where it was written.
func (d *distribution) results(outcome asl.Outcome) (asl.Outcome, error) {
	if d.spec.Writer.Parameters != nil {
		if outcome.Error == asl.ErrItemReaderFailed {
			return outcome, nil
		}
		err := d.write()
		if d.ctx.Err() != nil || errors.As(err, new(journalError)) {
			return outcome, err
		}
		if err != nil {
			return asl.Outcome{Error: asl.ErrResultWriterFailed, Cause: err.Error()}, nil
		}
		if outcome.Error == "" {
			outcome.Output = d.spec.Written()
		}
		return outcome, nil
	}
	if outcome.Error != "" {
		return outcome, nil
	}
	var out bytes.Buffer
	out.WriteByte('[')
	err := d.each(func(c asl.Child) error {
		for _, x := range d.spec.Results(c) {
			if out.Len() > 1 {
				out.WriteByte(',')
			}
			if out.Write(x); out.Len() > maxResults {
				return errTooLarge
			}
		}
		return nil
	})
	if errors.Is(err, errTooLarge) {
		return asl.Outcome{
			Error: asl.ErrDataLimitExceeded,
			Cause: fmt.Sprintf("The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit.", d.spec.State),
		}, nil
	}
	out.WriteByte(']')
	outcome.Output = out.Bytes()
	return outcome, err
}

// maxKept is how much of the children that have ended is kept in memory; the rest
// is read again, in bytes.
const maxKept = 16 << 20

// childOf is a child as its last turn tells of it.
func childOf(t asl.Turn) asl.Child {
	c := asl.Child{Info: t.State.Execution, Status: t.Status, Input: t.State.Input, Output: t.Output, Error: t.Error, Cause: t.Cause}
	if n := len(t.Events); n > 0 {
		c.Stopped = t.Events[n-1].Timestamp
	}
	return c
}

// sizeOf is about what a child takes in memory, in bytes.
func sizeOf(c asl.Child) int { return 1000 + len(c.Input) + len(c.Output) + len(c.Cause) }

var errTooLarge = errors.New("the results are too large")

// each gives the children that have begun, in order.
func (d *distribution) each(do func(asl.Child) error) error {
	for i := range d.next {
		d.e.mu.Lock()
		c, ok := d.kept[i]
		d.e.mu.Unlock()
		if !ok {
			t, err := d.child(asl.ChildName(d.r.id, i))
			if errors.Is(err, orchestrator.ErrNotFound) {
				continue // it was to begin as the run failed
			}
			if err != nil {
				return err
			}
			c = childOf(t.Turn)
		}
		if err := do(c); err != nil {
			return err
		}
	}
	return nil
}

// A resultFile gathers the results of the children with one kind of end.
type resultFile struct {
	key string
	w   *objects.Writer
	n   int
	at  int64
}

// write exports the results: SUCCEEDED_0.json, FAILED_0.json, and manifest.json
// last.
func (d *distribution) write() error {
	if d.e.objects == nil {
		return errors.New("no objects can be written here")
	}
	bucket, manifest := d.spec.Manifest()
	if bucket == "" {
		return errors.New("the parameters of the ResultWriter have no Bucket")
	}
	uri := func(key string) string { return "s3://" + bucket + "/" + key }
	end, begin, between, after := ".json", "[", ",", "]"
	if d.spec.Writer.Lines {
		end, begin, between, after = ".jsonl", "", "\n", "\n"
	}
	files := map[string]*resultFile{}
	defer func() {
		for _, f := range files {
			f.w.Close()
		}
	}()
	put := func(f *resultFile, text string) error {
		n, err := f.w.Write([]byte(text))
		f.at += int64(n)
		return err
	}
	err := d.each(func(c asl.Child) error {
		kind := "FAILED"
		if c.Status == asl.StatusSucceeded {
			kind = "SUCCEEDED"
		}
		f := files[kind]
		if f == nil {
			f = &resultFile{key: path.Dir(manifest) + "/" + kind + "_0" + end}
			var err error
			if f.w, err = d.e.objects.Create(d.ctx, uri(f.key)); err != nil {
				return err
			}
			files[kind] = f
			if err := put(f, begin); err != nil {
				return err
			}
		}
		for _, x := range d.spec.Results(c) {
			if f.n++; f.n > 1 {
				if err := put(f, between); err != nil {
					return err
				}
			}
			if err := put(f, string(x)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	type written struct {
		Key  string
		Size int64
	}
	told := struct {
		DestinationBucket string
		MapRunArn         string
		ResultFiles       map[string][]written
	}{bucket, d.spec.ARN, map[string][]written{"FAILED": {}, "PENDING": {}, "SUCCEEDED": {}}}
	for kind, f := range files {
		if err := put(f, after); err != nil {
			return err
		}
		if err := f.w.Commit(); err != nil {
			return err
		}
		told.ResultFiles[kind] = append(told.ResultFiles[kind], written{f.key, f.at})
	}
	data, err := json.Marshal(told)
	if err != nil {
		return err
	}
	w, err := d.e.objects.Create(d.ctx, uri(manifest))
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Commit(); err != nil {
		return err
	}
	d.e.mu.Lock()
	d.r.rec.Written = d.r.totals().Ended()
	d.e.mu.Unlock()
	return nil
}
