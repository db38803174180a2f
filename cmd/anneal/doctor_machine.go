package main

import (
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// This file checks the machine: clock, memory, limits, and what it runs in.

func (d *doctor) clock() {
	now := time.Now()
	if now.Year() < 2025 || now.Year() > 2100 {
		d.fail("clock", "set the clock", "it is %s", now.UTC().Format(time.RFC3339))
		return
	}
	zones := map[string]bool{}
	if d.cfg != nil {
		for _, p := range d.cfg.Policies {
			if zone := p.Spec.Spec.TimeZone; zone != "" {
				zones[zone] = true
			}
		}
	}
	for _, zone := range sortedKeys(zones) {
		if _, err := time.LoadLocation(zone); err != nil {
			d.fail("time zone", "name one of the IANA list, such as Europe/Berlin", "%v", err)
			return
		}
	}
	if !clockKept() {
		d.warn("clock", "run chrony or systemd-timesyncd, unless the host does so for it", "it is %s, and nothing seems to keep it right", now.UTC().Format(time.RFC3339))
		return
	}
	d.ok("clock", "it is %s, %s known", now.UTC().Format(time.RFC3339), plural(len(zones), "time zone of the policies is", "time zones of the policies are"))
}

// Memory that the daemon needs, and with room to spare, in bytes. Local jobs
// come on top.
const (
	leastMemory = 96 << 20
	goodMemory  = 256 << 20
)

func (d *doctor) memory() {
	limit, what := int64(math.MaxInt64), "the machine"
	if n, ok := meminfo("MemTotal:"); ok {
		limit = n
	}
	if n, ok := cgroupLimit("memory.max", "memory/memory.limit_in_bytes"); ok && n < limit {
		limit, what = n, "the cgroup"
	}
	if limit == math.MaxInt64 {
		return
	}
	good := int64(goodMemory)
	jobs := 0
	if d.cfg != nil && len(d.cfg.Settings.Embedded.Images) > 0 {
		jobs = d.cfg.Settings.Embedded.Jobs
		good += int64(jobs) * goodMemory
	}
	switch {
	case limit < leastMemory:
		d.fail("memory", fmt.Sprintf("give it %s", size(good)), "%s allows %s, the daemon needs %s", what, size(limit), size(leastMemory))
	case limit < good:
		d.warn("memory", fmt.Sprintf("give it %s, or set embedded.jobs lower", size(good)), "%s allows %s, for the daemon and %s at a time", what, size(limit), count(jobs, "local job"))
	default:
		d.ok("memory", "%s allows %s", what, size(limit))
	}
}

func meminfo(name string) (int64, bool) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) >= 2 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}

// cgroupLimit is the least limit of this process's cgroup and those above it, by
// its name in version 2 and in version 1.
func cgroupLimit(v2, v1 string) (least int64, ok bool) {
	least = math.MaxInt64
	groups, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		if controllers != "" {
			continue
		}
		for ; ; path = filepath.Dir(path) {
			if n, found := number(filepath.Join("/sys/fs/cgroup", path, v2)); found && n < least {
				least, ok = n, true
			}
			if path == "/" || path == "." || path == "" {
				break
			}
		}
	}
	if n, found := number(filepath.Join("/sys/fs/cgroup", v1)); found && n < least {
		least, ok = n, true
	}
	return least, ok
}

// number reads a file that holds one.
func number(path string) (int64, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64) // not "max"
	return n, err == nil
}

// limits checks what the system allows this process.
func (d *doctor) limits() {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		remedy := "ulimit -n 65536, or LimitNOFILE= in the unit"
		switch {
		case files.Max < 256:
			d.fail("open files", remedy, "%d are allowed", files.Max)
		case files.Max < 1024:
			d.warn("open files", remedy, "%d are allowed", files.Max)
		default:
			d.ok("open files", "%d are allowed", files.Max)
		}
	}
	allowed := int64(math.MaxInt64)
	var processes unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &processes); err == nil && processes.Cur < math.MaxInt64 && os.Geteuid() != 0 {
		allowed = int64(processes.Cur)
	}
	if n, ok := cgroupLimit("pids.max", "pids/pids.max"); ok {
		allowed = min(allowed, n)
	}
	need := int64(64)
	if d.cfg != nil {
		need += 32 * int64(d.cfg.Settings.Embedded.Jobs) // a job, its shim, and their threads
	}
	switch {
	case allowed == math.MaxInt64:
		d.ok("processes", "as many as the machine has room for")
	case allowed < need:
		d.warn("processes", fmt.Sprintf("allow %d: ulimit -u, or pids.max of the cgroup", need), "%d processes and threads are allowed, with jobs there may be %d", allowed, need)
	default:
		d.ok("processes", "%d are allowed", allowed)
	}
}

// surroundings tells what is different in a container, and as root.
func (d *doctor) surroundings() {
	where := ""
	for _, mark := range []struct{ path, name string }{{"/.dockerenv", "Docker"}, {"/run/.containerenv", "Podman"}} {
		if _, err := os.Stat(mark.path); err == nil {
			where = mark.name
		}
	}
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		where = "Kubernetes"
	}
	if where != "" {
		d.ok("container", "%s: local jobs end with the container, and are found lost at the next start; give it 60 s to stop, and a volume for data", where)
	}
	if os.Geteuid() == 0 && where == "" {
		d.warn("user", "run it as a user of its own", "this is root, and so are local jobs")
	} else {
		d.ok("user", "%d", os.Geteuid())
	}
}

// A holder is a process that listens on a port.
type holder struct {
	pid int // 0: not known
}

func (h holder) String() string {
	if h.pid == 0 {
		return "another process, which this user cannot see"
	}
	return processName(h.pid)
}

func processName(pid int) string {
	if pid == 0 {
		return "a process of another container"
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
}

// portHolder finds who listens on an address, as far as the system tells.
func portHolder(address string) (h holder) {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return h
	}
	port, err := net.LookupPort("tcp", text)
	if err != nil {
		return h
	}
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, _ := os.ReadFile(table)
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line) // sl local remote state … inode
			if len(f) > 9 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) && f[3] == "0A" {
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && sockets[to] {
			h.pid, _ = strconv.Atoi(strings.Split(link, "/")[2])
			return h
		}
	}
	return h
}

func ownerOf(info fs.FileInfo) (int, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}

// umask is this process's.
func umask() int {
	mask := unix.Umask(0o077)
	unix.Umask(mask)
	return mask
}
