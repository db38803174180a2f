package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anneal-ml/anneal/configs"
)

// This file checks what the settings name, besides the data folder.

// ports looks whether what is listened on is free.
func (d *doctor) ports() {
	d.port("port", "listen", d.cfg.Settings.Listen)
	if api := d.cfg.Settings.Embedded.Listen; api != "off" {
		d.port("port of the Step Functions API", "embedded.listen", api)
	}
}

// port looks at an address; key is its setting.
func (d *doctor) port(check, key, address string) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		l.Close()
		d.ok(check, "%s is free", address)
		return
	}
	set := "set " + key + " in " + d.cfg.File
	if !errors.Is(err, unix.EADDRINUSE) {
		d.fail(check, set, "%v", err)
		return
	}
	holder := portHolder(address)
	if pid, held := journalHolder(d.journalFolder()); held && holder.pid == pid && pid != 0 {
		d.ok(check, "%s is held by the daemon of this data folder, process %d", address, pid)
		return
	}
	d.fail(check, "stop it, or "+set, "%s is held by %s", address, holder)
}

func (d *doctor) sources() {
	n := 0
	for _, s := range d.cfg.Settings.Sources {
		if s.SQS != nil {
			n++
			d.queue(s.SQS)
		}
		if s.NATS != nil {
			n++
			d.stream(s.NATS)
		}
		if s.CloudWatch != nil {
			n++
			d.alarms(s.CloudWatch)
		}
		if s.Directory == nil {
			continue
		}
		n++
		path := string(s.Directory.Path)
		name := "source " + s.Directory.Bucket
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d.warn(name, "make it: mkdir -p "+path, "%s is not there", path)
			continue
		case err != nil:
			d.fail(name, "let the daemon's user read it", "%v", err)
			continue
		case !info.IsDir():
			d.fail(name, "name a folder", "%s is a file", path)
			continue
		}
		if err := unix.Access(path, unix.R_OK|unix.X_OK); err != nil {
			d.fail(name, "let the daemon's user read it", "%s: %v", path, err)
			continue
		}
		if inside(string(d.cfg.Settings.Data), path) {
			d.warn(name, "keep what comes in apart from what the daemon writes", "%s is in the data folder", path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			d.fail(name, "let the daemon's user read it", "%v", err)
			continue
		}
		unread := []string{}
		for _, e := range entries[:min(len(entries), 1000)] {
			file := filepath.Join(path, e.Name())
			if !strings.HasPrefix(e.Name(), ".") && e.Type().IsRegular() && unix.Access(file, unix.R_OK) != nil {
				unread = append(unread, e.Name())
			}
		}
		if len(unread) > 0 {
			d.warn(name, "let the daemon's user read them", "%s cannot be read: %s", count(len(unread), "file"), listed(unread))
			continue
		}
		d.ok(name, "%s, %s", path, plural(len(entries), "entry", "entries"))
	}
	if n == 0 {
		d.ok("sources", "no folder is watched, no queue or stream followed")
	}
}

// inside says whether path is folder or below it.
func inside(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// watches compares the folders that are watched with what the system allows.
func (d *doctor) watches() {
	allowed, ok := number("/proc/sys/fs/inotify/max_user_watches")
	if !ok {
		return
	}
	folders := int64(len(d.cfg.Files))
	for _, s := range d.cfg.Settings.Sources {
		if s.Directory == nil {
			continue
		}
		// A large tree is not worth a longer look than this.
		_ = filepath.WalkDir(string(s.Directory.Path), func(_ string, e fs.DirEntry, err error) error {
			if err != nil || folders > allowed || d.ctx.Err() != nil {
				return filepath.SkipDir
			}
			if e.IsDir() {
				folders++
			}
			return nil
		})
	}
	remedy := fmt.Sprintf("sysctl fs.inotify.max_user_watches=%d", max(2*folders, 65536))
	switch {
	case folders >= allowed:
		d.fail("inotify", remedy, "%d folders are to be watched, %d are allowed for this user", folders, allowed)
	case folders*10 > allowed*8:
		d.warn("inotify", remedy, "%d folders are to be watched, %d are allowed for this user", folders, allowed)
	default:
		d.ok("inotify", "%d to be watched of %d", folders, allowed)
	}
	if n, ok := number("/proc/sys/fs/inotify/max_user_instances"); ok && n < 16 {
		d.warn("inotify", "sysctl fs.inotify.max_user_instances=128", "only %d watchers are allowed for this user", n)
	}
}

// commands looks for what functions and images run, as the daemon will.
func (d *doctor) commands() {
	embedded := d.cfg.Settings.Embedded
	named := map[string][]string{}
	for name, f := range embedded.Functions {
		if len(f.Command) > 0 {
			named["function "+name] = f.Command
		}
	}
	for name, image := range embedded.Images {
		if len(image.Command) > 0 && image.Container == "" { // else it is in the image
			named["image "+name] = image.Command
		}
	}
	pythons := map[string]bool{}
	for _, name := range sortedKeys(named) {
		command := named[name]
		path, err := d.program(command[0])
		if err != nil {
			d.fail(name, "install it, or name another command in "+d.cfg.File, "%v", err)
			continue
		}
		interpreter := strings.HasPrefix(filepath.Base(path), "python")
		if interpreter {
			pythons[path] = true
		}
		if script := scriptOf(command); script != "" {
			if _, err := os.Stat(d.relative(script)); err != nil {
				d.fail(name, "put it there: commands run in "+d.cfg.Dir(), "script: %v", err)
				continue
			}
		}
		d.ok(name, "%s", path)
	}
	for _, path := range sortedKeys(pythons) {
		text, err := d.ask(path, "--version")
		if err != nil {
			d.fail("python", "install Python, or name another interpreter", "%s: %v", path, err)
			continue
		}
		d.ok("python", "%s is %s", path, text)
	}
}

// program finds what a command begins with: in PATH, or from the folder of the
// settings.
func (d *doctor) program(name string) (string, error) {
	if !strings.Contains(name, "/") {
		return exec.LookPath(name)
	}
	return exec.LookPath(d.relative(name))
}

func (d *doctor) relative(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(d.cfg.Dir(), path)
}

// scriptOf is the script that an interpreter is given, if it is plain to see.
func scriptOf(command []string) string {
	if len(command) > 1 && slices.Contains([]string{".py", ".sh", ".R", ".r", ".js"}, filepath.Ext(command[1])) {
		return command[1]
	}
	return ""
}

// ask runs a program that answers at once, and returns the first line it says.
func (d *doctor) ask(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	text, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil && text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return text, err
}

// containers asks what runs images that are not commands here.
func (d *doctor) containers() {
	images := map[string][]string{} // by what runs them
	for name, image := range d.cfg.Settings.Embedded.Images {
		if image.Container != "" {
			images[image.Container] = append(images[image.Container], name)
		}
	}
	for _, runtime := range sortedKeys(images) {
		path, err := exec.LookPath(runtime)
		var text string
		if err == nil {
			text, err = d.ask(path, "version", "--format", "{{.Client.Version}}")
		}
		if err != nil {
			d.fail("containers", "install it and let the daemon's user use it, or give the images a command",
				"%s needs %s: %v", listed(images[runtime]), runtime, err)
			continue
		}
		d.ok("containers", "%s %s, for %s", runtime, text, listed(images[runtime]))
	}
}

// staging says whether training data is linked or copied.
func (d *doctor) staging() {
	to := d.stagingFolder()
	if to == "" {
		d.ok("staging", "%s, in S3: what is there is copied there, the rest is sent", d.cfg.Settings.Staging)
		return
	}
	device, ok := deviceOf(to)
	if !ok {
		d.fail("staging", "set staging in "+d.cfg.File, "%s cannot be looked at", to)
		return
	}
	if err := unix.Access(existing(to), unix.W_OK); err != nil {
		d.fail("staging", "let the daemon's user write there", "%s: %v", existing(to), err)
		return
	}
	var copied []string
	for name, folder := range d.cfg.Settings.Buckets {
		if other, ok := deviceOf(string(folder)); ok && other != device {
			copied = append(copied, name)
		}
	}
	if len(copied) > 0 {
		d.warn("staging", "put staging on the disk of the data to have it linked", "%s is on another disk than %s: training data is copied for each run", to, listed(copied))
		return
	}
	d.ok("staging", "%s, on the disk of the data: it is linked, not copied", to)
}

// secrets resolves every secret of the settings, wherever it stands.
func (d *doctor) secrets() {
	n := 0
	eachSecret(reflect.ValueOf(d.cfg.Settings), "", func(path string, s configs.Secret) {
		n++
		if value, err := s.Resolve(); err != nil {
			d.fail("secret "+path, "set it where the daemon runs", "%v", err)
		} else if value == "" {
			d.warn("secret "+path, "set it where the daemon runs", "%v is empty", s)
		}
	})
	if n > 0 && !slices.ContainsFunc(d.findings, func(f finding) bool { return strings.HasPrefix(f.Check, "secret ") }) {
		d.ok("secrets", "%d, all there for this user in this environment", n)
	}
}

// eachSecret visits the secrets in v, with the keys that lead to them.
func eachSecret(v reflect.Value, path string, visit func(path string, s configs.Secret)) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			eachSecret(v.Elem(), path, visit)
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			eachSecret(v.MapIndex(key), path+"."+key.String(), visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachSecret(v.Index(i), fmt.Sprintf("%s[%d]", path, i), visit)
		}
	case reflect.Struct:
		if s, ok := v.Interface().(configs.Secret); ok {
			if s != (configs.Secret{}) {
				visit(strings.TrimPrefix(path, "."), s)
			}
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				eachSecret(v.Field(i), path+"."+cmp.Or(name, strings.ToLower(f.Name)), visit)
			}
		}
	}
}
