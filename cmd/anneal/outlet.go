package main

import (
	"io"
	"os"
	"sync"
)

// An outlet is standard output. It keeps the first error of a write, for what could not
// be written was not told, whatever the command makes of it.
type outlet struct {
	io.Writer

	mu  sync.Mutex
	err error // guarded by mu
}

func (o *outlet) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

// failed is the first error of a write, nil if there was none.
func (o *outlet) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// fileOf is the file that is written to by w, if it is one.
func fileOf(w io.Writer) (*os.File, bool) {
	if o, ok := w.(*outlet); ok {
		w = o.Writer
	}
	f, ok := w.(*os.File)
	return f, ok
}
