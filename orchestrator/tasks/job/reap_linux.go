package job

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Reap kills what a lost job left behind: processes that have the job's mark in
// their environment, wherever they went, and those of the shim's session where
// one of them is in it. A session's number is not given away while a process is
// in it, so that no stranger is hit. n is how many were killed. It does nothing
// for a job that has a shim.
func Reap(dir string) (n int, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return 0, fmt.Errorf("reap job: %w", err)
	}
	if held, err := lockHeld(filepath.Join(dir, lockFile)); err != nil || held {
		return 0, err
	}
	killed := map[int]bool{}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		left, err := marked([]byte(mark(dir)))
		if err != nil {
			return len(killed), fmt.Errorf("reap job: %w", err)
		}
		if len(left) == 0 {
			return len(killed), nil
		}
		if time.Now().After(end) {
			return len(killed), fmt.Errorf("reap job: processes %v do not end", left)
		}
		for _, pid := range left {
			killed[pid] = true
		}
	}
}

// marked kills the processes that have the mark, and lists them.
func marked(mark []byte) (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	type process struct{ pid, handle, session int }
	var ours, others []process
	defer func() {
		for _, p := range append(ours, others...) {
			unix.Close(p.handle)
		}
	}()
	uid := os.Getuid()
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var info unix.Stat_t
		if unix.Stat("/proc/"+e.Name(), &info) != nil || uid != 0 && int(info.Uid) != uid {
			continue
		}
		// What is read after the handle was opened is of the process that the
		// handle is for, or of none.
		handle, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOSYS) {
			return nil, err
		}
		if err != nil {
			continue // it has ended
		}
		p := process{pid, handle, session(pid)}
		environ, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		if p.session != 0 && bytes.Contains(append([]byte{0}, environ...), mark) {
			ours = append(ours, p)
		} else {
			others = append(others, p)
		}
	}
	sessions := map[int]bool{}
	for _, p := range ours {
		sessions[p.session] = true
	}
	if own := session(os.Getpid()); sessions[own] {
		delete(sessions, own) // it was started by hand
	}
	for _, p := range others {
		if p.session != 0 && sessions[p.session] {
			ours = append(ours, p)
		}
	}
	for _, p := range ours {
		if unix.PidfdSendSignal(p.handle, unix.SIGKILL, nil, 0) == nil {
			pids = append(pids, p.pid)
		}
	}
	return pids, nil
}

// session is that of a process; 0 for one that has ended.
func session(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	f := strings.Fields(rest) // state, parent, group, session
	if len(f) < 4 || f[0] == "Z" || f[0] == "X" {
		return 0
	}
	n, _ := strconv.Atoi(f[3])
	return n
}
