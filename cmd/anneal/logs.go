package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
)

// A logWriter keeps the lines of executions that log. It is used by one goroutine.
type logWriter interface {
	// write returns when the lines are durable, or never will be.
	write(ctx context.Context, lines []sfnapi.LogLine) error
}

// newLogs chooses where executions are logged.
func (d *daemon) newLogs() {
	settings := d.cfg.Settings.Embedded
	path, set := d.cfg.Settings.LogsFolder()
	if d.wire == nil || set {
		d.logs = &logFolder{path, int64(settings.Logs.Megabytes) << 20}
		return
	}
	d.logs = &logGroups{client: d.wire, log: d.log, region: settings.Region, process: anneal.ID("logs", strconv.FormatInt(time.Now().UnixNano(), 10))[:8], patience: 15 * time.Second}
}

// groupsOf are lines by their group, each in their order.
func groupsOf(lines []sfnapi.LogLine) map[string][]sfnapi.LogLine {
	groups := map[string][]sfnapi.LogLine{}
	for _, l := range lines {
		groups[l.Group] = append(groups[l.Group], l)
	}
	return groups
}

// groupName is the name of the log group of an ARN, and groupRegion where it is.
func groupName(arn string) string {
	p := strings.SplitN(arn, ":", 7)
	return strings.TrimSuffix(p[len(p)-1], ":*")
}

func groupRegion(arn string) string {
	if p := strings.Split(arn, ":"); len(p) > 3 {
		return p[3]
	}
	return ""
}

// A logFolder keeps the lines of a log group in two files, GROUP.jsonl and before it
// GROUP.1.jsonl, which together stay below a size. A line that a crash cut short is
// taken away, for it comes again.
type logFolder struct {
	path string
	most int64 // bytes a group
}

// file is where the newest lines of a group are.
func (f *logFolder) file(group string) string {
	name := url.PathEscape(groupName(group))
	if len(name) > 200 {
		name = anneal.ID(name)
	}
	return filepath.Join(f.path, name+".jsonl")
}

func (f *logFolder) write(_ context.Context, lines []sfnapi.LogLine) error {
	if err := os.MkdirAll(f.path, 0o777); err != nil {
		return err
	}
	groups := groupsOf(lines)
	for _, group := range sortedKeys(groups) {
		for lines := range slices.Chunk(groups[group], 64) { // a line has up to 250 KiB, half of the least file
			if err := f.append(f.file(group), lines); err != nil {
				return fmt.Errorf("log of %s: %w", group, err)
			}
		}
	}
	return nil
}

func (f *logFolder) append(path string, lines []sfnapi.LogLine) (err error) {
	var text bytes.Buffer
	for _, l := range lines {
		text.Write(l.Message)
		text.WriteByte('\n')
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	end, err := wholeLines(file)
	if err != nil {
		return err
	}
	if end > 0 && end+int64(text.Len()) > f.most/2 {
		if err := os.Rename(path, strings.TrimSuffix(path, ".jsonl")+".1.jsonl"); err != nil {
			return err
		}
		return f.append(path, lines)
	}
	if _, err := file.WriteAt(text.Bytes(), end); err != nil {
		return err
	}
	return file.Sync()
}

// wholeLines cuts off what follows the last line that has an end, and says where that
// is.
func wholeLines(file *os.File) (int64, error) {
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	var part [4096]byte
	for at := end; at > 0; {
		n := min(at, int64(len(part)))
		if _, err := file.ReadAt(part[:n], at-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part[:n], '\n'); i >= 0 {
			if at-n+int64(i)+1 == end {
				return end, nil
			}
			return at - n + int64(i) + 1, file.Truncate(at - n + int64(i) + 1)
		}
		at -= n
	}
	return 0, file.Truncate(0)
}
