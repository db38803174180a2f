package frame

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sample() ([]byte, Header, Sum) {
	body := make([]byte, HeaderSize)
	body = AppendEntry(body, "event", "a", []byte(`{"x":1}`))
	body = AppendEntry(body, "decision", "", nil)
	h := Header{Flags: Begins | Ends, Count: 2, PrevSeq: 7, Epoch: 3, First: 12, PrevHash: Sum{1, 2, 3}}
	b, sum := Seal(body, h)
	h.Length = len(b)
	return b, h, sum
}

func TestFrame(t *testing.T) {
	b, want, wantSum := sample()
	h, body, sum, err := Open(b)
	if err != nil || sum != wantSum {
		t.Fatalf("open: %x, %v, want %x", sum, err, wantSum)
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("header: %s", diff)
	}
	var got []string
	for e, err := range Entries(body) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.Kind)+" "+string(e.Key)+" "+string(e.Data))
	}
	if diff := cmp.Diff([]string{`event a {"x":1}`, "decision  "}, got); diff != "" {
		t.Errorf("entries: %s", diff)
	}
}

func TestEveryBitOfAFrameCounts(t *testing.T) {
	b, _, _ := sample()
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if _, _, _, err := Open(b); err == nil {
			t.Errorf("bit %d was changed: no error", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	for n := range len(b) {
		if _, _, _, err := Open(b[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are a frame", n, len(b))
		}
	}
}

func TestEveryBitOfAMarkCounts(t *testing.T) {
	want := Mark{Order: 9, Base: 3, BaseHash: Sum{1}, First: 20, Tip: 8, TipHash: Sum{2}, Last: 44}
	b := want.Encode()
	if got, err := ParseMark(b); err != nil || got != want {
		t.Fatalf("mark: %+v, %v, want %+v", got, err, want)
	}
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := ParseMark(b); err == nil {
			t.Errorf("bit %d was changed: no error", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func TestParseHeaderSaysWhatIsWrong(t *testing.T) {
	b, _, _ := sample()
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{b[:20], "cut after 20 of 80 bytes"},
		{b[1:], "no frame begins here"},
		{append(bytes.Clone(b[:8]), make([]byte, 80)...), "checksum"},
	} {
		if _, err := ParseHeader(c.b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("header %x: %v, want %q", c.b, err, c.want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	b, _, _ := sample()
	f.Add(b)
	f.Add(b[:HeaderSize])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, sum, err := Open(b)
		if err != nil {
			return
		}
		again, sumAgain := Seal(append(make([]byte, HeaderSize), body...), h)
		if !bytes.Equal(b[HeaderSize:], again[HeaderSize:]) && sum == sumAgain {
			t.Errorf("another frame has the same hash")
		}
	})
}

func FuzzEntries(f *testing.F) {
	b, _, _ := sample()
	f.Add(b[HeaderSize : len(b)-32])
	f.Fuzz(func(t *testing.T, body []byte) {
		var again []byte
		for e, err := range Entries(body) {
			if err != nil {
				return
			}
			again = AppendEntry(again, string(e.Kind), string(e.Key), e.Data)
		}
		if len(again) != len(body) {
			t.Errorf("%d bytes of entries become %d", len(body), len(again))
		}
	})
}
