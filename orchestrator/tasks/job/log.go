package job

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// CreateLog begins the log of the folder dir anew, for what is run in another
// way than by a shim. Its limit is that of [Spec.LogLimit].
func CreateLog(dir string, limit int64) (io.WriteCloser, error) {
	f, err := os.OpenFile(filepath.Join(dir, Log), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &logFile{newLog(f, limit), f}, nil
}

type logFile struct {
	*boundedLog
	f *os.File
}

func (l *logFile) Close() error { return errors.Join(l.finish(), l.f.Close()) }

func newLog(w io.Writer, limit int64) *boundedLog {
	if limit < 2 {
		limit = 16 << 20
	}
	return &boundedLog{w: w, half: limit / 2}
}

// boundedLog keeps the beginning and the end of what is written to it. It
// never fails, so that a full disk does not stop the command that logs.
type boundedLog struct {
	w     io.Writer
	half  int64  // bytes of beginning, and of end
	total int64  // bytes written so far
	ring  []byte // the newest bytes after the beginning, from total-half on
	err   error  // the first of w
}

func (l *boundedLog) Write(p []byte) (int, error) {
	n := len(p)
	if room := l.half - l.total; room > 0 {
		head := p[:min(int64(len(p)), room)]
		l.put(head)
		l.total += int64(len(head))
		p = p[len(head):]
	}
	for len(p) > 0 {
		at := (l.total - l.half) % l.half
		if at == int64(len(l.ring)) { // not full yet
			k := min(int64(len(p)), l.half-at)
			l.ring = append(l.ring, p[:k]...)
			l.total += k
			p = p[k:]
			continue
		}
		k := copy(l.ring[at:], p)
		l.total += int64(k)
		p = p[k:]
	}
	return n, nil
}

// finish writes the end.
func (l *boundedLog) finish() error {
	if left := l.total - 2*l.half; left > 0 {
		l.put(fmt.Appendf(nil, "\n[%d bytes are left out here]\n", left))
		at := (l.total - l.half) % l.half
		l.put(l.ring[at:])
		l.put(l.ring[:at])
	} else {
		l.put(l.ring)
	}
	return l.err
}

func (l *boundedLog) put(p []byte) {
	if l.err == nil {
		_, l.err = l.w.Write(p)
	}
}

// capture keeps the first bytes that are written to it and takes the rest.
type capture struct {
	w        io.Writer
	room     int64
	overflow bool
	err      error // the first of w
}

func (c *capture) Write(p []byte) (int, error) {
	n := len(p)
	if int64(n) > c.room {
		p, c.overflow = p[:c.room], true
	}
	c.room -= int64(len(p))
	if c.err == nil && len(p) > 0 {
		_, c.err = c.w.Write(p)
	}
	return n, nil
}
