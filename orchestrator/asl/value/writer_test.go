package value

import (
	"encoding/json"
	"testing"
	"time"
)

// TestWriterTime writes times one after the other with one writer, each as package
// encoding/json writes it.
func TestWriterTime(t *testing.T) {
	at := time.Date(2026, 11, 26, 23, 59, 59, 999_999_999, time.UTC)
	var w Writer
	for _, at := range []time.Time{
		at, at.Add(-1), at.Add(-99_999_999), at.Truncate(time.Second), at.Add(-999_999_998), at.Add(1), at.Add(2), at.Add(1),
		at.In(time.FixedZone("", 3600)), at, at.In(time.FixedZone("", -5400)), at.In(time.FixedZone("", 0)), at.Add(120), at.Round(time.Millisecond),
		time.Unix(0, 1).UTC(), time.Unix(0, 0).UTC(), time.Unix(-1, 500).UTC(), {}, time.Date(9999, 12, 31, 0, 0, 0, 10, time.UTC),
	} {
		w.Reset()
		w.Open('{')
		w.Time("at", at)
		w.Close('}')
		want, err := json.Marshal(struct {
			At time.Time `json:"at"`
		}{at})
		if err != nil || w.Err != nil || string(w.Text) != string(want) {
			t.Errorf("%v is written %s, %v; want %s, %v", at, w.Text, w.Err, want, err)
		}
	}
	for range 2 { // a year that RFC 3339 has no room for is refused each time
		w.Reset()
		if w.Time("at", time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)); w.Err == nil {
			t.Errorf("the year 10000 is written %s, want an error", w.Text)
		}
	}
}
