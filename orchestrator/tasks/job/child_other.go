//go:build unix && !linux

package job

import (
	"os/exec"
	"syscall"
)

// childAttr puts the command in a process group of its own. It outlives a
// shim that is killed: only Linux can tie the two together.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// adoptOrphans does nothing: a process that leaves its group gets away.
func adoptOrphans() {}

// waitExit blocks until the command's first process has ended, and reaps it.
func waitExit(cmd *exec.Cmd) { cmd.Wait() }

func orphans(int) []int { return nil }

// Reap does nothing: what a lost job left behind cannot be found.
func Reap(string) (int, error) { return 0, nil }
