package directory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"syscall"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers"
)

// Between two tries of a sink that refuses.
const (
	shortestWait = 100 * time.Millisecond
	longestWait  = 30 * time.Second
)

// A result is how a job ended: delivered, with the file's checksum, unless
// changed or err says otherwise.
type result struct {
	file    file
	read    bool  // the checksum is new
	changed bool  // it is not the file it was
	err     error // it could not be read
}

// A deliverer reads one settled file after the other and hands it to the sink.
type deliverer struct {
	cfg     Config
	log     *slog.Logger
	sink    triggers.Sink
	jobs    chan file
	results chan result
}

func (d *deliverer) run(ctx context.Context) {
	for {
		var f file
		select {
		case <-ctx.Done():
			return
		case f = <-d.jobs:
		}
		r := result{file: f}
		if f.sum == nil {
			r.read = true
			r.file.sum, r.changed, r.err = d.read(ctx, f)
		}
		if ctx.Err() != nil || !r.changed && r.err == nil && !d.deliver(ctx, r.file) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case d.results <- r:
		}
	}
}

// read computes the checksum of a file, and makes sure that it is one of the
// file's whole content: that nothing has changed before, while or after.
func (d *deliverer) read(ctx context.Context, f file) (sum *[sha256.Size]byte, changed bool, err error) {
	root, err := os.OpenRoot(d.cfg.Path)
	if err != nil {
		return nil, true, nil // the folder has gone, and the file with it
	}
	defer root.Close()
	same := func() bool {
		stat, err := root.Stat(f.key)
		return err == nil && stat.Mode().IsRegular() && stampOf(stat) == f.stamp
	}
	if !same() {
		return nil, true, nil
	}
	r, err := root.OpenFile(f.key, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a pipe by now
	if err != nil {
		return nil, !same(), err
	}
	defer r.Close()
	if stat, err := r.Stat(); err != nil || stampOf(stat) != f.stamp {
		return nil, true, nil
	}
	h := sha256.New()
	_, err = io.Copy(h, &reader{ctx, r})
	if !same() {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	return (*[sha256.Size]byte)(h.Sum(nil)), false, nil
}

// deliver returns when the sink has the file, or false when ctx has ended.
func (d *deliverer) deliver(ctx context.Context, f file) bool {
	event := d.event(f, time.Now())
	told := ""
	for wait := shortestWait; ; wait = min(2*wait, longestWait) {
		_, duplicate, err := d.sink.Ingest(ctx, event)
		if err == nil {
			if told != "" {
				d.log.Info("event is taken again", "event", event.ID)
			}
			d.log.Debug("file taken", "event", event.ID, "key", f.key, "bytes", f.size, "duplicate", duplicate)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if told != err.Error() {
			told = err.Error()
			d.log.Warn("event is not taken, trying again", "event", event.ID, "key", f.key, "err", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}

// event is the event of a file that has a sum.
func (d *deliverer) event(f file, now time.Time) anneal.Event {
	now = now.UTC()
	data := anneal.ObjectCreated{
		Version: "0",
		Bucket:  anneal.BucketRef{Name: d.cfg.Bucket},
		Object: anneal.ObjectRef{
			Key:    f.key,
			Size:   f.size,
			SHA256: hex.EncodeToString(f.sum[:]),
		},
		Reason: "PutObject",
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		panic(err) // unreachable: a struct of strings has a JSON form
	}
	return anneal.Event{
		SpecVersion:     "1.0",
		ID:              data.EventID(anneal.SourceDirectory),
		Source:          anneal.SourceDirectory,
		Type:            anneal.TypeObjectCreated,
		Subject:         data.Object.Key,
		Time:            time.Unix(0, f.mtime).UTC(), // 1677 to 2262, so it has a JSON form
		DataContentType: "application/json",
		Data:            encoded,
		Seen:            now,
	}
}

// reader stops reading when ctx ends.
type reader struct {
	ctx context.Context
	f   *os.File
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.f.Read(p)
}
