package demo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
)

func archive(t testing.TB, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	z.Close()
	return b.Bytes()
}

const smallModel = `{"task": "classification", "target": "y", "classes": ["a", "b"], "weights": [[0, 1, 0]],
	"features": [{"column": "x", "kind": "number", "scale": 1, "low": -1, "high": 1, "levels": ["missing"]}]}`

// TestUnpackRefuses has artifacts that would make a prediction panic.
func TestUnpackRefuses(t *testing.T) {
	if _, err := unpack(bytes.NewReader(archive(t, "model.json", smallModel))); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ file, text, want string }{
		"no model":      {"other.json", smallModel, "no model.json in it"},
		"not JSON":      {"model.json", "model", "read model.json"},
		"another's":     {"model.json", "{}", `unknown task ""`},
		"few weights":   {"model.json", strings.Replace(smallModel, "[0, 1, 0]", "[0, 1]", 1), "2 weights, want 3"},
		"one class":     {"model.json", strings.Replace(smallModel, `["a", "b"]`, `["a"]`, 1), "1 rows of weights for 1 classes"},
		"without scale": {"model.json", strings.Replace(smallModel, `"scale": 1`, `"scale": 0`, 1), `column "x" has scale 0`},
	} {
		if _, err := unpack(bytes.NewReader(archive(t, test.file, test.text))); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want %q", name, err, test.want)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, "model.json", smallModel))
	f.Add([]byte("\x1f\x8b"))
	rows := &Rows{Header: []string{"x", "y"}, Records: [][]string{{"0.5", "a"}, {"", "b"}, {"1", "1"}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := unpack(bytes.NewReader(data))
		if err != nil {
			return
		}
		_, _, _ = m.Score(rows) // must not panic
	})
}
