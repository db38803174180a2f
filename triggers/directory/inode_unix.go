//go:build unix

package directory

import (
	"io/fs"
	"syscall"
)

func inodeOf(stat fs.FileInfo) uint64 {
	if s, ok := stat.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
