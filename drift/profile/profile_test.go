package profile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/drift/dataset"
)

func build(t *testing.T, data string, types map[string]dataset.Type) *Profile {
	t.Helper()
	p, err := Build(t.Context(), strings.NewReader(data), "test.csv", dataset.Options{Columns: types})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// describe writes a column on one line.
func describe(c *Column) string {
	return fmt.Sprintf("%s %s: %d of %d rows, %d missing, %d infinite, %d mixed, %d different, mean %.4g", c.Name, c.Kind(),
		c.N(), c.Rows, c.Missing, c.Infinite, c.Mixed, c.Distinct(), c.Moments.Mean)
}

func TestBuild(t *testing.T) {
	var data strings.Builder
	data.WriteString("id,price,color,when,note,empty\n")
	for i := range 100 {
		price := fmt.Sprint(i % 10)
		switch i % 50 {
		case 7:
			price = "NA"
		case 13:
			price = "inf"
		case 17:
			price = "broken"
		}
		fmt.Fprintf(&data, "%d,%s,%s,2026-01-%02d,note %d,\n", i+5, price, []string{"red", "green"}[i%2], i%28+1, i)
	}
	data.WriteString("1,2,3\n\n")
	p := build(t, data.String(), nil)
	want := []string{
		"id index: 100 of 100 rows, 0 missing, 0 infinite, 0 mixed, 100 different, mean 54.5",
		"price numeric: 94 of 100 rows, 2 missing, 2 infinite, 2 mixed, 10 different, mean 4.426",
		"color categorical: 100 of 100 rows, 0 missing, 0 infinite, 0 mixed, 2 different, mean 0",
		"when timestamp: 100 of 100 rows, 0 missing, 0 infinite, 0 mixed, 0 different, mean 0",
		"note text: 100 of 100 rows, 0 missing, 0 infinite, 0 mixed, 100 different, mean 0",
		"empty empty: 0 of 100 rows, 100 missing, 0 infinite, 0 mixed, 0 different, mean 0",
	}
	for i, w := range want {
		if got := describe(&p.Columns[i]); got != w {
			t.Errorf("got  %s\nwant %s", got, w)
		}
	}
	if p.Counts.Ragged != 1 || p.Counts.Blank != 1 || p.Counts.Rows != 100 || p.Objects != 1 {
		t.Errorf("counts %+v", p.Counts)
	}
}

func TestBuildFails(t *testing.T) {
	_, err := Build(t.Context(), strings.NewReader(""), "x.csv", dataset.Options{})
	var e *dataset.Error
	if !errors.As(err, &e) {
		t.Errorf("of an empty object: got error %v, want a *dataset.Error", err)
	}
	_, err = Build(t.Context(), strings.NewReader("a\n"+strings.Repeat("1\n", 200_000)+"\x00"), "x.csv", dataset.Options{})
	if !errors.As(err, &e) {
		t.Errorf("of an object with a NUL at its end: got error %v, want a *dataset.Error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	endless := io.MultiReader(strings.NewReader("a\n"), reader(func(p []byte) (int, error) {
		cancel()
		return copy(p, "1\n2\n"), nil
	}))
	if _, err = Build(ctx, endless, "x.csv", dataset.Options{}); !errors.Is(err, context.Canceled) || errors.As(err, &e) {
		t.Errorf("of an endless object: got error %v, want the context's", err)
	}
}

type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

func TestMerge(t *testing.T) {
	a := build(t, "x,y,z\n1,red,5\n2,blue,\n,red,7\n", nil)
	b := build(t, "y,x,new\nred,4,1\n", nil)
	c := build(t, "x,z\nhigh,5\nlow,6\n", nil)
	want := []string{
		"x categorical: 5 of 6 rows, 1 missing, 0 infinite, 0 mixed, 5 different, mean 0",
		"y categorical: 4 of 4 rows, 0 missing, 0 infinite, 0 mixed, 2 different, mean 0",
		"z numeric: 4 of 5 rows, 1 missing, 0 infinite, 0 mixed, 3 different, mean 5.75",
		"new numeric: 1 of 1 rows, 0 missing, 0 infinite, 0 mixed, 1 different, mean 1",
	}
	before := a.Encode()
	for _, order := range [][]*Profile{{a, b, c}, {c, b, a}, {b, a, c}, {Merge(a, b), c}} {
		m := Merge(order...)
		for _, w := range want {
			name, _, _ := strings.Cut(w, " ")
			if got := describe(m.Column(name)); got != w {
				t.Errorf("got  %s\nwant %s", got, w)
			}
		}
		if m.Objects != 3 || m.Counts.Rows != 6 || m.Column("new").Objects != 1 {
			t.Errorf("%d objects, %d rows, %d with the new column; want 3, 6, 1", m.Objects, m.Counts.Rows, m.Column("new").Objects)
		}
	}
	if !bytes.Equal(a.Encode(), before) {
		t.Error("a merge has changed what it merged")
	}
	if m := Merge(); m.Counts.Rows != 0 || len(m.Columns) != 0 {
		t.Errorf("of nothing: %+v", m)
	}
}

// large is data whose numbers take more values than are kept each.
func large(seed uint64, rows int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	b.WriteString("x,c,u\n")
	for range rows {
		fmt.Fprintf(&b, "%.6f,%c,%x\n", r.NormFloat64(), 'a'+r.IntN(5), r.Uint64())
	}
	return b.String()
}

func TestCodec(t *testing.T) {
	for _, data := range []string{"a\n", "a,b\n1,\n2,x\n", large(1, 20_000)} {
		p := build(t, data, nil)
		b := p.Encode()
		if !bytes.Equal(build(t, data, nil).Encode(), b) {
			t.Error("the second profile of the same data differs")
		}
		q, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(q.Encode(), b) {
			t.Error("a decoded profile differs")
		}
		// A merge of decoded profiles is that of the profiles themselves.
		if !bytes.Equal(Merge(p, p).Encode(), Merge(q, q).Encode()) {
			t.Error("decoded profiles merge differently")
		}
		if kept := slices.Clone(b); len(b) > 120_000 {
			t.Errorf("%d bytes", len(kept))
		}
		for _, at := range []int{0, 3, 5, len(b) / 2, len(b) - 1} {
			broken := slices.Clone(b)
			broken[at] ^= 0x40
			if _, err := Decode(broken); err == nil {
				t.Errorf("no error with byte %d of %d flipped", at, len(b))
			}
		}
		if _, err := Decode(b[:len(b)-1]); err == nil {
			t.Error("no error when cut")
		}
	}
	if _, err := Decode([]byte("anp9????")); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("of another version: got error %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	p, err := Build(context.Background(), strings.NewReader("a,b\n1,x\n2,\n"), "x.csv", dataset.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := Decode(b); err == nil {
			Merge(p, p)
		}
	})
}
