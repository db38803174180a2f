package directory

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers/triggertest"
)

// forge changes a file so that only reading it can tell.
func (in *inbox) forge(t *testing.T, key, content string) {
	t.Helper()
	name := filepath.Join(in.path, key)
	stat, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(name, stat.ModTime(), stat.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// A start tells everything again, and reads only what the cache does not know.
func TestRestart(t *testing.T) {
	in, sink := newInbox(t), triggertest.NewSink()
	stop := in.watch(t, sink)
	in.write(t, "a.csv", "one")
	in.write(t, "b.csv", "one")
	sink.Wait(t, "a.csv")
	sink.Wait(t, "b.csv")
	// An event is durable before the cache has its file; the next file's event
	// comes after.
	in.write(t, "c.csv", "one")
	sink.Wait(t, "c.csv")
	stop()

	in.forge(t, "a.csv", "two")
	in.write(t, "b.csv", "while away")
	stop = in.watch(t, sink)
	waitFor(t, func() bool { return len(of(sink, "b.csv")) == 2 })
	stop()
	if got := len(of(sink, "a.csv")); got != 1 {
		t.Errorf("a.csv was read again although the cache knows it: %d events, want 1", got)
	}

	if err := os.Remove(in.cache); err != nil {
		t.Fatal(err)
	}
	in.watch(t, sink)
	waitFor(t, func() bool { return len(of(sink, "a.csv")) == 2 })
}

// A cache that was cut, spoilt or made unreadable costs time and nothing else.
func TestSpoiltCache(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, in *inbox, content []byte){
		"flipped bit": func(t *testing.T, in *inbox, content []byte) {
			content[strings.Index(string(content), `"sha256":"`)+12] ^= 1
			write(t, in.cache, content)
		},
		"cut": func(t *testing.T, in *inbox, content []byte) {
			write(t, in.cache, content[:len(content)/2])
		},
		"binary": func(t *testing.T, in *inbox, content []byte) {
			write(t, in.cache, make([]byte, 3<<20))
		},
		"a folder": func(t *testing.T, in *inbox, _ []byte) {
			if err := os.Remove(in.cache); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(in.cache, 0o777); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			in, sink := newInbox(t), triggertest.NewSink()
			stop := in.watch(t, sink)
			in.write(t, "a.csv", "one")
			id := sink.Wait(t, "a.csv").ID
			waitFor(t, func() bool { content, _ := os.ReadFile(in.cache); return len(content) > 0 })
			stop()

			content, err := os.ReadFile(in.cache)
			if err != nil {
				t.Fatal(err)
			}
			spoil(t, in, content)
			sink = triggertest.NewSink()
			stop = in.watch(t, sink)
			if got := sink.Wait(t, "a.csv").ID; got != id {
				t.Errorf("event is %s, was %s", got, id)
			}
			in.write(t, "b.csv", "two")
			sink.Wait(t, "b.csv")
			stop()

			sink = triggertest.NewSink()
			in.watch(t, sink)
			sink.Wait(t, "a.csv")
			sink.Wait(t, "b.csv")
		})
	}
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestCacheCompacts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache")
	var log logbook
	c := openCache(path, slog.New(slog.NewTextHandler(&log, nil)))
	c.load()
	keep := make(map[string]known)
	for i := range 3000 {
		f := file{key: fmt.Sprintf("%d.csv", i%10), stamp: stamp{size: int64(i)}, sum: &[32]byte{byte(i)}}
		c.add(f)
		keep[f.key] = known{stamp: f.stamp}
		c.compact(keep)
	}
	keep = map[string]known{"3.csv": keep["3.csv"]}
	for range 3000 {
		c.add(file{key: "gone.csv", sum: &[32]byte{}})
		c.compact(keep)
	}
	c.close()
	stat, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if stat.Size() > 300_000 {
		t.Errorf("cache has %d bytes for one file", stat.Size())
	}
	c = openCache(path, slog.New(slog.NewTextHandler(&log, nil)))
	defer c.close()
	all := c.load()
	if got, want := all["3.csv"], (remembered{stamp{size: 2993}, [32]byte{2993 % 256}}); got != want {
		t.Errorf("3.csv is remembered as %v; want %v", got, want)
	}
	if log.String() != "" {
		t.Errorf("log has %s", log.String())
	}
}

// A sink that refuses for a while delays what comes after, and loses nothing.
func TestSinkRefuses(t *testing.T) {
	in, sink := newInbox(t), triggertest.NewSink()
	tries := 0
	sink.Refuse = func(e anneal.Event) error {
		if tries++; tries <= 3 {
			return errors.New("no space left on device")
		}
		return nil
	}
	for n := 1; n <= 20; n++ {
		in.Happen(t, n)
	}
	in.watch(t, sink) // all are there, so they settle together and keep their order
	for n := 1; n <= 20; n++ {
		sink.Wait(t, fmt.Sprintf("batch_%02d.csv", n))
	}
	for i, e := range sink.Events() {
		if want := fmt.Sprintf("batch_%02d.csv", i+1); e.Subject != want {
			t.Errorf("event %d is %s; want %s", i+1, e.Subject, want)
		}
	}
	if n := strings.Count(in.log.String(), "no space left"); n != 1 {
		t.Errorf("three refusals are told %d times; want once", n)
	}
}
