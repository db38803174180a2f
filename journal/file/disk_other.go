//go:build !linux

package file

import (
	"errors"
	"os"
)

// datasync makes what was written to f durable.
func datasync(f *os.File) error { return f.Sync() }

// grow would make f longer by zeros.
func grow(*os.File, int64, int64) error { return errors.ErrUnsupported }
