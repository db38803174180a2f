package file

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes what was written to f durable.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}

// grow makes f longer by zeros, from size bytes to another size.
func grow(f *os.File, from, to int64) error {
	return unix.Fallocate(int(f.Fd()), 0, from, to-from)
}
