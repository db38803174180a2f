package file

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/journal"
)

const recordSize = 512

// BenchmarkAppend appends records of 512 bytes from many writers, each of
// which waits for its own, beside a bare loop of write and fdatasync, one
// record at a time, on the same disk just before. ratio is the journal's
// records/s over the bare loop's; p50-ratio its median latency over the bare
// one's.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 256, 1000} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			dir := b.TempDir()
			bare, bareRate := bareLoop(b, filepath.Join(dir, "bare"), min(b.N, 2000))
			j, err := OpenJournal(b.Context(), filepath.Join(dir, "journal"), journal.Options{})
			if err != nil {
				b.Fatal(err)
			}
			took := make([]time.Duration, b.N)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					data := make([]byte, recordSize)
					for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
						began := time.Now()
						if _, err := j.Append(context.Background(), journal.Record{Kind: "event", Key: fmt.Sprint(i), Data: data}); err != nil {
							b.Error(err)
							return
						}
						took[i] = time.Since(began)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			rate := float64(b.N) / b.Elapsed().Seconds()
			p50 := median(took)
			b.ReportMetric(rate, "records/s")
			b.ReportMetric(micros(p50), "p50-µs")
			b.ReportMetric(micros(bare), "bare-p50-µs")
			b.ReportMetric(rate/bareRate, "ratio")
			b.ReportMetric(float64(p50)/float64(bare), "p50-ratio")
			if err := j.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// bareLoop writes n records to a file that grows, and syncs each.
func bareLoop(b *testing.B, path string, n int) (p50 time.Duration, rate float64) {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, recordSize)
	took := make([]time.Duration, n)
	start := time.Now()
	for i := range took {
		began := time.Now()
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := datasync(f); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(began)
	}
	return median(took), float64(n) / time.Since(start).Seconds()
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func micros(d time.Duration) float64 { return float64(d) / 1e3 }

// BenchmarkMillion is about a journal with a million events of 600 bytes, and
// few records of another kind.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	dir := filepath.Join(b.TempDir(), "journal")
	open := func(readOnly bool) *journal.Journal {
		j, err := OpenJournal(b.Context(), dir, journal.Options{ReadOnly: readOnly})
		if err != nil {
			b.Fatal(err)
		}
		return j
	}
	j := open(false)
	data := make([]byte, 600)
	for i := 0; i < n; i += 500 {
		batch := make([]journal.Record, 500)
		for k := range batch {
			batch[k] = journal.Record{Kind: "event", Key: fmt.Sprint("event-", i+k), Data: data}
		}
		if i%100_000 == 0 {
			batch[0].Kind = "model"
		}
		if _, err := j.Append(b.Context(), batch...); err != nil {
			b.Fatal(err)
		}
	}
	newest := func(b *testing.B, j *journal.Journal, kind string, want int) {
		got := 0
		for _, err := range j.Newest(b.Context(), kind, 0) {
			if err != nil {
				b.Fatal(err)
			}
			if got++; got == want {
				break
			}
		}
		if got != want {
			b.Fatalf("%d %s records, want %d", got, kind, want)
		}
	}
	b.Run("newest-100", func(b *testing.B) {
		for b.Loop() {
			newest(b, j, "event", 100)
		}
	})
	b.Run("newest-10-rare", func(b *testing.B) {
		for b.Loop() {
			newest(b, j, "model", 10)
		}
	})
	b.Run("find", func(b *testing.B) {
		for i := 1; b.Loop(); i++ {
			key := fmt.Sprint("event-", (i*7919)%n/100_000*100_000+1+i%99_999)
			if _, err := j.Find(b.Context(), "event", key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("find-nothing", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := j.Find(b.Context(), "event", fmt.Sprint("nothing-", i)); err == nil {
				b.Fatal("found")
			}
		}
	})
	b.Run("read-only-open-and-newest-100", func(b *testing.B) {
		for b.Loop() {
			r := open(true)
			newest(b, r, "event", 100)
			r.Close()
		}
	})
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	size := int64(0)
	names, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			size += info.Size()
		}
	}
	for name, prepare := range map[string]func() error{
		"open":               func() error { return nil },
		"open-without-cache": func() error { return os.RemoveAll(filepath.Join(dir, "cache")) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				if err := prepare(); err != nil {
					b.Fatal(err)
				}
				if err := open(false).Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
}

// TestMemoryStaysLevel appends 100,000 records of 600 bytes and looks at what
// the heap has more afterwards.
func TestMemoryStaysLevel(t *testing.T) {
	j, err := OpenJournal(t.Context(), filepath.Join(t.TempDir(), "journal"), journal.Options{Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	data := make([]byte, 600)
	add := func(n int) {
		for i := 0; i < n; i += 100 {
			batch := make([]journal.Record, 100)
			for k := range batch {
				batch[k] = journal.Record{Kind: "event", Key: fmt.Sprintf("%032d", i+k), Data: data}
			}
			if _, err := j.Append(t.Context(), batch...); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(10_000)
	before := heap()
	add(100_000)
	if grown := heap() - before; grown > 2<<20 {
		t.Errorf("the heap has grown by %d bytes over 100,000 records, want at most 2 MiB", grown)
	}
}
