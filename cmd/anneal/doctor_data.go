package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/journal/file"
)

// This file checks the data folder, the disk under it and the journal in it.

func (d *doctor) data() string { return string(d.cfg.Settings.Data) }

func (d *doctor) journalFolder() string { return filepath.Join(d.data(), journalFolder) }

// existing is path, or the nearest folder above it that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

func (d *doctor) dataFolder() {
	path := d.data()
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		above := existing(path)
		if err := unix.Access(above, unix.W_OK|unix.X_OK); err != nil {
			d.fail("data folder", "let the daemon's user write there, or set data in "+d.cfg.File, "%s is not there and cannot be made in %s: %v", path, above, err)
			return
		}
		d.ok("data folder", "%s is not there yet, and can be made", path)
	case err != nil:
		d.fail("data folder", "set data in "+d.cfg.File, "%v", err)
		return
	case !info.IsDir():
		d.fail("data folder", "set data in "+d.cfg.File, "%s is a file", path)
		return
	default:
		if !d.syncs(path) {
			return
		}
		d.permissions(path, info)
	}
	if pid, held := journalHolder(d.journalFolder()); held {
		d.ok("lock", "the journal is held by %s", processName(pid))
	} else {
		d.ok("lock", "nobody holds the journal")
	}
}

// slowSync is what a sync may take, in the middle of several. Every
// acknowledgement waits for one.
const slowSync = 20 * time.Millisecond

// syncs writes and syncs a small file a few times, and removes it.
func (d *doctor) syncs(path string) bool {
	const remedy = "let the daemon's user write there, and see that there is room"
	f, err := os.CreateTemp(path, ".doctor-")
	if err != nil {
		d.fail("data folder", remedy, "%v", err)
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []time.Duration
	for i := range 15 {
		begun := time.Now()
		_, err := f.WriteAt(make([]byte, 4096), int64(i)*4096)
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			d.fail("data folder", remedy, "%v", err)
			return false
		}
		took = append(took, time.Since(begun))
	}
	d.ok("data folder", "%s can be written", path)
	slices.Sort(took)
	median, worst := took[len(took)/2].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond)
	if median > slowSync {
		d.warn("sync", "put data on a disk that syncs faster: every acknowledgement waits for one", "a sync takes %s, at worst %s", median, worst)
	} else {
		d.ok("sync", "a sync takes %s, at worst %s", median, worst)
	}
	return true
}

func (d *doctor) permissions(path string, info fs.FileInfo) {
	owner, known := ownerOf(info)
	mode := info.Mode()
	switch {
	case mode.Perm()&0o002 != 0 && mode&fs.ModeSticky == 0:
		d.fail("permissions", "chmod o-w "+path, "everybody can write %s (%v): whoever can write the journal can write history", path, mode)
	case mode&fs.ModeSetuid != 0:
		d.warn("permissions", "chmod u-s "+path, "%s has the set-user-ID bit (%v)", path, mode)
	case known && owner != os.Geteuid():
		d.warn("permissions", fmt.Sprintf("run the daemon as user %d, or chown the folder", owner), "%s belongs to user %d, this is user %d", path, owner, os.Geteuid())
	default:
		d.ok("permissions", "%v", mode)
	}
	if mask := umask(); mask&0o002 == 0 {
		d.warn("umask", "umask 022, or UMask= in the unit", "it is %03o: what is made can be written by everybody", mask)
	}
}

// Room that is needed: a segment of the journal, and a day of what comes.
const (
	leastRoom = 128 << 20 // bytes
	goodRoom  = 1 << 30
)

// file systems that a journal had better not be on, by the magic numbers of
// statfs.
var poorDisks = map[int64]struct{ name, remedy string }{
	0x6969:     {"NFS", "use a local disk, or see that locks and syncs work on it"},
	0x517b:     {"SMB", "use a local disk, or see that locks and syncs work on it"},
	0xff534d42: {"CIFS", "use a local disk, or see that locks and syncs work on it"},
	0x01021994: {"tmpfs", "use a disk: this is gone when the machine restarts"},
	0x794c7630: {"the container's own layer", "mount a volume: this is gone with the container"},
}

func (d *doctor) disk() {
	seen := map[uint64]bool{}
	for _, f := range []struct{ name, path string }{{"disk", d.data()}, {"disk of staging", d.stagingFolder()}} {
		if f.path == "" {
			continue
		}
		path := existing(f.path)
		device, ok := deviceOf(path)
		if !ok || seen[device] {
			continue
		}
		seen[device] = true
		var s unix.Statfs_t
		if err := unix.Statfs(path, &s); err != nil {
			d.warn(f.name, "", "%s: %v", path, err)
			continue
		}
		free, all := int64(s.Bavail)*int64(s.Bsize), int64(s.Blocks)*int64(s.Bsize)
		percent := 100 * free / max(all, 1)
		remedy := "free some, give it a larger disk, or shorten retention in " + d.cfg.File
		switch {
		case free < leastRoom:
			d.fail(f.name, remedy, "%s has %s free", path, size(free))
		case free < goodRoom || percent < 5:
			d.warn(f.name, remedy, "%s has %s free, %d %%", path, size(free), percent)
		default:
			d.ok(f.name, "%s has %s free, %d %%", path, size(free), percent)
		}
		if s.Files > 0 { // else there is no such limit
			switch left := int64(s.Ffree); {
			case left < 1000:
				d.fail(f.name, "remove small files, or make the file system with more inodes", "%d inodes are left on %s", left, path)
			case left < int64(s.Files)/20:
				d.warn(f.name, "remove small files, or make the file system with more inodes", "%d of %d inodes are left on %s", left, s.Files, path)
			}
		}
		if poor, ok := poorDisks[int64(s.Type)&0xffffffff]; ok && f.name == "disk" {
			d.warn(f.name, poor.remedy, "%s is on %s", path, poor.name)
		}
	}
}

func (d *doctor) stagingFolder() string {
	to := d.cfg.Settings.Staging
	if rest, ok := strings.CutPrefix(to, "s3://"); ok {
		bucket, key, _ := strings.Cut(rest, "/")
		folder := d.cfg.Settings.Buckets[bucket]
		if folder == "" {
			return ""
		}
		return filepath.Join(string(folder), key)
	}
	return to
}

func deviceOf(path string) (uint64, bool) {
	var s unix.Stat_t
	if unix.Stat(existing(path), &s) != nil {
		return 0, false
	}
	return uint64(s.Dev), true
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// verifyUpTo is how large a journal is verified by the doctor, in bytes.
const verifyUpTo = 2 << 30

// journal verifies the log and compares its newest time with the clock.
func (d *doctor) journal() {
	dir := d.journalFolder()
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		d.ok("journal", "there is none yet")
		return
	}
	command := "anneal journal verify " + d.data()
	store, err := file.Open(dir, file.Options{ReadOnly: true})
	if err != nil {
		d.fail("journal", command, "%v", err)
		return
	}
	bytes, err := store.Size()
	store.Close()
	if err != nil {
		d.fail("journal", command, "%v", err)
		return
	}
	if bytes > verifyUpTo {
		d.ok("journal", "%s: too large for a quick look, see `%s`", size(bytes), command)
	} else {
		report, err := file.Verify(d.ctx, dir)
		if err != nil {
			d.fail("journal", command, "%v", err)
			return
		}
		if !report.Sound() && report.Damage[0].Problem == journal.Newer {
			d.fail("journal", "run the newer anneal that wrote it", "%v", report.Damage[0])
			return
		}
		if !report.Sound() {
			d.fail("journal", command+", then `anneal journal salvage`", "not sound: %v", report.Damage[0])
			return
		}
		d.ok("journal", "sound: %s, %s", records(report.Records, report.First, report.Last), size(report.Bytes))
	}
	j, err := openJournal(d.ctx, d.data(), journal.Options{ReadOnly: true})
	if err != nil {
		d.fail("journal", command, "%v", err)
		return
	}
	defer j.Close()
	for r, err := range j.Newest(d.ctx, controller.KindEvent, 0) {
		var e anneal.Event
		if err == nil {
			err = json.Unmarshal(r.Data, &e)
		}
		switch ahead := time.Until(e.Seen); {
		case err != nil:
			d.fail("journal", command, "%v", err)
		case ahead > time.Minute:
			d.fail("clock", "set the clock, or wait: decisions would be older than what they are about",
				"the journal's newest event was seen at %s, %s from now", e.Seen.UTC().Format(time.RFC3339), ahead.Round(time.Second))
		default:
			d.ok("newest event", "%s, %s ago", e.Seen.UTC().Format(time.RFC3339), (-ahead).Round(time.Second))
		}
		break
	}
}

// journalHolder is the process that has locked the journal, as far as the system
// tells; the lock is not touched. The process is 0 where it is another
// container's.
func journalHolder(dir string) (pid int, held bool) {
	var s unix.Stat_t
	if unix.Stat(filepath.Join(dir, "lock"), &s) != nil {
		return 0, false
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0, false
	}
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(uint64(s.Dev)), unix.Minor(uint64(s.Dev)), s.Ino)
	for line := range strings.Lines(string(locks)) {
		f := strings.Fields(line)
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != want {
			continue
		}
		pid, _ = strconv.Atoi(f[4])
		return max(pid, 0), true
	}
	return 0, false
}
